// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime

package engines

import (
	"context"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wasmtime"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

// Without cgo there is no wasmtime.New, and the build fails: what was to run on both
// engines never quietly runs on one.
func all() []engine {
	return []engine{
		{"wazero", func(ctx context.Context) (core.Engine, error) { return wazero.New(ctx, wazero.Config{}) }},
		{"wasmtime", func(context.Context) (core.Engine, error) { return wasmtime.New(wasmtime.Config{}) }},
	}
}
