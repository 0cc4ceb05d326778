// SPDX-License-Identifier: Apache-2.0

//go:build onnxruntime

package wiring

import (
	"os"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnxruntime"
)

// NewNN returns what runs neural networks: the C library that the environment variable
// ONNXRUNTIME names, or the system's.
func NewNN() (nn.Backend, error) {
	return onnxruntime.Open(onnxruntime.Config{Library: os.Getenv("ONNXRUNTIME")})
}
