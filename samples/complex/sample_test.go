// SPDX-License-Identifier: Apache-2.0

// Package complex_test does what the sample's README says, with the programs as they
// are built, and judges the model that the sample trains.
package complex_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/wasm-graph/graphd/conformance/services/programs"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/nntest"
	"github.com/wasm-graph/graphd/engine/nn/purego"
	"github.com/wasm-graph/graphd/samples/complex/pictures"
)

// artifacts makes the folder that serves as a registry for this sample.
func artifacts(t *testing.T, graphctl string) string {
	t.Helper()
	return programs.Artifacts(t, graphctl, "complex", "window", "snapshot", "format", "temperature", "humidity", "collection", "enrichment")
}

func TestGraphctlRun(t *testing.T) {
	graphctl := programs.Build(t, "graphctl")
	modules := artifacts(t, graphctl)
	want, err := os.ReadFile("expected.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), graphctl, "run", "../../graphs/complex.yaml", "--modules", modules,
		"--input", "input.jsonl", "--set", "snapshot_topic=sensor/images/raw")
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.Bytes())
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s printed\n%s\nwant\n%s", cmd, got, want)
	}
	if !bytes.Contains(stderr.Bytes(), []byte("read 13, sent 2, filtered 1, failed 0")) {
		t.Errorf("the summary is missing:\n%s", stderr.Bytes())
	}
}

// TestModel: the model knows more than eight of ten signs that it has not learned from.
func TestModel(t *testing.T) {
	network, err := os.ReadFile("../../operators/snapshot/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	labels, err := os.ReadFile("../../operators/snapshot/labels.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(labels, []byte(pictures.Labels())) {
		t.Errorf("the labels are\n%s\nwant\n%s", labels, pictures.Labels())
	}
	m, err := purego.New(purego.Config{}).Load(t.Context(), [][]byte{network}, nn.ONNX, nn.CPU)
	if err != nil {
		t.Fatal(err)
	}
	const each = 8
	right := 0
	for sign, name := range pictures.Names() {
		for i := range uint64(each) {
			out, err := m.Compute(t.Context(), []nn.Named{{Name: "data", Tensor: pictures.Example(name, 5_000_000+i*7+uint64(sign))}})
			if err != nil {
				t.Fatal(err)
			}
			scores := nntest.Values(out[0].Tensor)
			best := 0
			for k, s := range scores {
				if s > scores[best] {
					best = k
				}
			}
			if best == sign {
				right++
			}
		}
	}
	if all := each * len(pictures.Names()); right*10 <= all*8 {
		t.Errorf("the model knows %d of %d signs", right, all)
	}
}
