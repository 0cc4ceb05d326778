// SPDX-License-Identifier: Apache-2.0

//go:build !onnxruntime

package wiring

import (
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/purego"
)

// NewNN returns what runs neural networks.
func NewNN() (nn.Backend, error) { return purego.New(purego.Config{}), nil }
