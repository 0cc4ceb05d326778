// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-graph/graphd/engine/component/core"
	ours "github.com/wasm-graph/graphd/engine/component/core/wazero"
)

// addModule exports "add", of two i32, and a memory, "memory", of one page.
var addModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + // type
	"\x03\x02\x01\x00" + // function
	"\x05\x03\x01\x00\x01" + // memory
	"\x07\x10\x02\x03add\x00\x00\x06memory\x02\x00" + // export
	"\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b") // code

// BenchmarkCall compares a call through the seam with wazero's own.
func BenchmarkCall(b *testing.B) {
	ctx := context.Background()
	b.Run("wazero", func(b *testing.B) {
		r := wazero.NewRuntime(ctx)
		defer r.Close(ctx)
		m, err := r.Instantiate(ctx, addModule)
		if err != nil {
			b.Fatal(err)
		}
		add, stack := m.ExportedFunction("add"), make([]uint64, 2)
		for b.Loop() {
			stack[0], stack[1] = 1, 2
			if err := add.CallWithStack(ctx, stack); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("core", func(b *testing.B) {
		i := instantiate(b)
		add, stack := i.Func("add"), make([]uint64, 2)
		for b.Loop() {
			stack[0], stack[1] = 1, 2
			if err := add.Call(ctx, stack); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBytes takes the view of a memory.
func BenchmarkBytes(b *testing.B) {
	memory := instantiate(b).Memory("memory")
	for b.Loop() {
		if len(memory.Bytes()) == 0 {
			b.Fatal("memory is empty")
		}
	}
}

// BenchmarkInstantiate makes an instance, with a memory of one page of which
// something is used, and closes it.
func BenchmarkInstantiate(b *testing.B) {
	e := open(b, ours.Config{})
	m, err := e.Compile(b.Context(), addModule)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		store := e.NewStore(core.Limits{MemoryBytes: 256 << 20})
		i, err := store.Instantiate(b.Context(), m, nil)
		if err != nil {
			b.Fatal(err)
		}
		i.Memory("memory").Bytes()[100] = 1
		if err := store.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func instantiate(b *testing.B) core.Instance {
	b.Helper()
	e := open(b, ours.Config{})
	m, err := e.Compile(b.Context(), addModule)
	if err != nil {
		b.Fatal(err)
	}
	store := e.NewStore(core.Limits{})
	b.Cleanup(func() { store.Close(context.Background()) })
	i, err := store.Instantiate(b.Context(), m, nil)
	if err != nil {
		b.Fatal(err)
	}
	return i
}
