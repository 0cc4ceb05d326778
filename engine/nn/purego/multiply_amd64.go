// SPDX-License-Identifier: Apache-2.0

package purego

import "golang.org/x/sys/cpu"

// multiply adds the product of two panels to a block.
func multiply(block *block, left, right []float32) {
	if !cpu.X86.HasAVX {
		multiplyGo(block, left, right)
		return
	}
	// Assembly can't be interrupted, by the garbage collector for one: not too much of
	// it at a time.
	const most = 1 << 14
	for len(right) > 0 {
		depth := min(len(right)/panelColumns, most)
		multiplyAVX(block, &left[:depth*panelRows][0], &right[0], depth)
		left, right = left[depth*panelRows:], right[depth*panelColumns:]
	}
}

//go:noescape
func multiplyAVX(block *block, left, right *float32, depth int)
