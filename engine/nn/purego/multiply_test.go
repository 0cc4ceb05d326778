// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMultiply: the machine's instructions and the code in Go give the same, bit by
// bit, and so does what is for a few columns.
func TestMultiply(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, depth := range []int{0, 1, 2, 27, 320, 1<<14 + 5} {
		left, right := make([]float32, depth*panelRows), make([]float32, depth*panelColumns)
		for _, s := range [][]float32{left, right} {
			for i := range s {
				s[i] = float32(r.NormFloat64())
			}
		}
		var want, got, few block
		for i := range want {
			want[i] = float32(i)
		}
		got, few = want, want
		multiplyGo(&want, left, right)
		multiply(&got, left, right)
		multiplyFew(&few, left, right, panelColumns)
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) || math.Float32bits(few[i]) != math.Float32bits(want[i]) {
				t.Fatalf("depth %d, element %d: %v and %v, want %v", depth, i, got[i], few[i], want[i])
			}
		}
	}
}
