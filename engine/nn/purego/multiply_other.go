// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package purego

// multiply adds the product of two panels to a block.
func multiply(block *block, left, right []float32) { multiplyGo(block, left, right) }
