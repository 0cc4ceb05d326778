// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime

package coretest

import (
	"context"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wasmtime"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

// openers are the engines of this build. Without cgo there is no wasmtime.New, and
// the build fails: a test of both engines never quietly becomes one of one.
func openers() []opener {
	return []opener{
		{"wazero", func(ctx context.Context) (core.Engine, error) { return wazero.New(ctx, wazero.Config{}) }},
		{"wasmtime", func(context.Context) (core.Engine, error) { return wasmtime.New() }},
	}
}
