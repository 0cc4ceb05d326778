// SPDX-License-Identifier: Apache-2.0

//go:build !wasmtime

package engines

import (
	"context"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

func all() []engine {
	return []engine{
		{"wazero", func(ctx context.Context) (core.Engine, error) { return wazero.New(ctx, wazero.Config{}) }},
	}
}
