// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

func TestMain(m *testing.M) { os.Exit(coretest.EveryEngine{M: m}.Run()) }

//go:embed testdata/kernels.wasm
var kernels []byte

//go:embed testdata/endless.wasm
var endless []byte

//go:embed testdata/semantics.wasm
var semantics []byte

// quantum is what a tick gives.
const quantum = 1_000_000

// host is what the modules of these tests import: tick and overflow, and a
// function of its own.
type host struct {
	tick  func(remaining int64) int64 // nil gives a quantum
	ticks int
	used  int64 // fuel, up to the last tick
}

func (h *host) funcs() []core.HostFunc {
	i32, i64 := core.I32, core.I64
	return []core.HostFunc{
		{
			Name: "tick",
			Type: core.FuncType{Params: []core.ValueType{i64}, Results: []core.ValueType{i64}},
			Call: func(_ context.Context, stack []uint64) {
				h.ticks++
				h.used -= int64(stack[0])
				fuel := int64(quantum)
				if h.tick != nil {
					fuel = h.tick(int64(stack[0]))
				}
				h.used += fuel
				stack[0] = uint64(fuel)
			},
		},
		{
			Name: "overflow",
			Call: func(context.Context, []uint64) { panic(core.ErrExhausted) },
		},
		{
			Name: "uncaught",
			Call: func(context.Context, []uint64) { panic(errUncaught) },
		},
		{
			Name: "double",
			Type: core.FuncType{Params: []core.ValueType{i32}, Results: []core.ValueType{i32}},
			Call: func(_ context.Context, stack []uint64) { stack[0] = uint64(uint32(2 * stack[0])) },
		},
	}
}

var errUncaught = errors.New("uncaught exception")

var options = rewrite.Options{
	Tick:     rewrite.Name{Module: "host", Field: "tick"},
	Overflow: rewrite.Name{Module: "host", Field: "overflow"},
	Memory:   func(memory uint32) string { return fmt.Sprint("memory ", memory) },
	Uncaught: rewrite.Name{Module: "host", Field: "uncaught"},
}

func newEngine(tb testing.TB, config wazero.Config) core.Engine {
	tb.Helper()
	e, err := wazero.New(tb.Context(), config)
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

// guest is a compiled module that imports from the host only.
type guest struct {
	tb     testing.TB
	engine core.Engine
	host   core.Module
	module core.Module
}

func compile(tb testing.TB, e core.Engine, wasm []byte, h *host) guest {
	tb.Helper()
	hostModule, err := e.CompileHost(tb.Context(), h.funcs())
	if err != nil {
		tb.Fatal(err)
	}
	m, err := e.Compile(tb.Context(), wasm)
	if err != nil {
		tb.Fatal(err)
	}
	return guest{tb, e, hostModule, m}
}

// instance is a guest's instance, in a store of its own.
type instance struct {
	core.Instance
	store core.Store
}

// Close closes the store. The end of the test does it, too.
func (i *instance) Close(ctx context.Context) error { return i.store.Close(ctx) }

func (g guest) instantiate() *instance {
	g.tb.Helper()
	i := &instance{store: g.engine.NewStore(core.Limits{})}
	g.tb.Cleanup(func() {
		if err := i.Close(context.Background()); err != nil {
			g.tb.Error(err)
		}
	})
	var slots []core.Instance
	resolve := func(string) core.Instance { return slots[0] }
	for _, m := range []core.Module{g.host, g.module} {
		made, err := i.store.Instantiate(g.tb.Context(), m, resolve)
		if err != nil {
			g.tb.Fatal(err)
		}
		slots = append(slots, made)
	}
	i.Instance = slots[1]
	return i
}

// instantiate compiles and instantiates a module that imports from the host only.
func instantiate(tb testing.TB, e core.Engine, wasm []byte, h *host) *instance {
	tb.Helper()
	return compile(tb, e, wasm, h).instantiate()
}

// instrument rewrites a module with default limits and options.
func instrument(tb testing.TB, wasm []byte) []byte {
	tb.Helper()
	m, err := rewrite.Decode(wasm, rewrite.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	out, err := m.Rewrite(options)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
