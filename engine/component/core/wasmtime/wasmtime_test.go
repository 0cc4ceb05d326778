// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime

package wasmtime_test

import (
	"context"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wasmtime"
)

func open(tb testing.TB) core.Engine {
	tb.Helper()
	e, err := wasmtime.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return e
}

func TestEngine(t *testing.T) { coretest.Run(t, open) }
