// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

func open(tb testing.TB, config wazero.Config) core.Engine {
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

func TestEngine(t *testing.T) {
	kept := newCache(t, t.TempDir())
	for _, tt := range []struct {
		name   string
		config wazero.Config
	}{
		{"compiler", wazero.Config{}},
		{"one worker", wazero.Config{CompileWorkers: 1}},
		{"interpreter", wazero.Config{Interpreter: true}},
		{"filling a cache", wazero.Config{Cache: kept}},
		{"from the cache", wazero.Config{Cache: kept}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			coretest.Run(t, func(tb testing.TB) core.Engine { return open(tb, tt.config) })
		})
	}
}

// trapModule has a memory, and a start function that traps.
var trapModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" + // type
	"\x03\x02\x01\x00" + // function
	"\x05\x03\x01\x00\x01" + // memory
	"\x08\x01\x00" + // start
	"\x0a\x05\x01\x03\x00\x00\x0b") // code

// Closing a store gives its memories back, those of modules that failed to start
// too: a process has no room for so many memories that may get 4 GiB.
func TestMemoryIsReturned(t *testing.T) {
	e := open(t, wazero.Config{})
	add, err := e.Compile(t.Context(), addModule)
	if err != nil {
		t.Fatal(err)
	}
	traps, err := e.Compile(t.Context(), trapModule)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 33_000 {
		store := e.NewStore(core.Limits{})
		if _, err := store.Instantiate(t.Context(), add, nil); err != nil {
			t.Fatalf("instance %d: %v", n, err)
		}
		var trap *core.Trap
		if _, err := store.Instantiate(t.Context(), traps, nil); !errors.As(err, &trap) {
			t.Fatalf("instance %d: error is %v, want a trap", n, err)
		}
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A host function for which a guest yields is called after the goroutines that wait for
// a processor.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	e := open(t, wazero.Config{})
	var ran, ranBefore atomic.Bool
	host, err := e.CompileHost(t.Context(), []core.HostFunc{
		{Name: "f", Yield: func(context.Context) bool { return true }, Call: func(context.Context, []uint64) { ranBefore.Store(ran.Load()) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	store := e.NewStore(core.Limits{})
	defer store.Close(context.Background())
	i, err := store.Instantiate(t.Context(), host, nil)
	if err != nil {
		t.Fatal(err)
	}
	go ran.Store(true) // has no processor before this goroutine leaves its own
	if err := i.Func("f").Call(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !ranBefore.Load() {
		t.Error("a goroutine that waits had no turn")
	}
}
