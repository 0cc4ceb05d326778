// SPDX-License-Identifier: Apache-2.0

//go:build onnxruntime

package onnxruntime_test

import (
	"os"
	"testing"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/nntest"
	"github.com/wasm-graph/graphd/engine/nn/onnxruntime"
	"github.com/wasm-graph/graphd/engine/nn/purego"
)

// open opens the library that ONNXRUNTIME names.
func open(t *testing.T) *onnxruntime.Backend {
	t.Helper()
	b, err := onnxruntime.Open(onnxruntime.Config{Library: os.Getenv("ONNXRUNTIME")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBackend(t *testing.T) { nntest.Run(t, open(t)) }

// TestReference: what package purego computes is what onnxruntime does.
func TestReference(t *testing.T) {
	snapshot, err := os.ReadFile("../../../operators/snapshot/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	reference := open(t)
	for name, model := range map[string][]byte{"MobileNetV2": nntest.MobileNetV2(), "snapshot": snapshot} {
		var scores [2][]float32
		for i, b := range []nn.Backend{purego.New(purego.Config{}), reference} {
			m, err := b.Load(t.Context(), [][]byte{model}, nn.ONNX, nn.CPU)
			if err != nil {
				t.Fatal(err)
			}
			out, err := m.Compute(t.Context(), []nn.Named{{Name: "data", Tensor: nntest.Floats(nntest.Random(5, 3*224*224), 1, 3, 224, 224)}})
			if err != nil {
				t.Fatal(err)
			}
			scores[i] = nntest.Values(out[0].Tensor)
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := nntest.Near(scores[0], scores[1], 1e-4); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
