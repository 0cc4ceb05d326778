// SPDX-License-Identifier: Apache-2.0

// Package network_test measures an inference: an image of 224 by 224 pixels through a
// network of MobileNetV2's shape and size, which takes 300 million multiplications.
package network_test

import (
	"fmt"
	"testing"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/nntest"
	"github.com/wasm-graph/graphd/engine/nn/purego"
)

// BenchmarkBaseline is as many multiplications in plain Go: a product of matrices, row
// by row.
func BenchmarkBaseline(b *testing.B) {
	const rows, depth, columns = 300, 1000, 1000
	left, right, out := nntest.Random(1, rows*depth), nntest.Random(2, depth*columns), make([]float32, rows*columns)
	for b.Loop() {
		for r := range rows {
			row := out[r*columns : (r+1)*columns]
			for k, x := range left[r*depth : (r+1)*depth] {
				for c, y := range right[k*columns : (k+1)*columns] {
					row[c] += x * y
				}
			}
		}
	}
}

func BenchmarkMobileNetV2(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("goroutines=%d", threads), func(b *testing.B) {
			m, err := purego.New(purego.Config{Threads: threads}).Load(b.Context(), [][]byte{nntest.MobileNetV2()}, nn.ONNX, nn.CPU)
			if err != nil {
				b.Fatal(err)
			}
			in := []nn.Named{{Name: "data", Tensor: nntest.Floats(nntest.Random(7, 3*224*224), 1, 3, 224, 224)}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Compute(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
