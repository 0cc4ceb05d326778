// SPDX-License-Identifier: Apache-2.0

//go:build !wasmtime

package coretest

import (
	"context"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

// openers are the engines of this build.
func openers() []opener {
	return []opener{
		{"wazero", func(ctx context.Context) (core.Engine, error) { return wazero.New(ctx, wazero.Config{}) }},
	}
}
