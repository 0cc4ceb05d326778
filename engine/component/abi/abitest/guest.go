// SPDX-License-Identifier: Apache-2.0

// Package abitest has a stand-in for a guest's heap, for tests of code that lowers
// and lifts values without running any guest.
package abitest

import (
	"context"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// Guest is a linear memory with a bump allocator. It is the memory and the realloc
// of its own Heap.
type Guest struct {
	Memory   []byte
	Top      uint64      // next free address
	Refuse   error       // when set, what realloc traps with
	Single   bool        // it can't be asked for several allocations at once
	Requests [][2]uint64 // alignment and size of what was asked for
	Batches  int         // calls for several allocations at once
}

// NewGuest returns a Guest of one page whose first eight bytes are never given out.
func NewGuest() *Guest { return &Guest{Memory: make([]byte, 1<<16), Top: 8} }

// Heap returns g as a heap with strings in encoding e.
func (g *Guest) Heap(e abi.Encoding) *abi.Heap {
	h := &abi.Heap{Memory: g, Realloc: g, Encoding: e}
	if !g.Single {
		h.Batch = batch{g}
	}
	return h
}

// batch is the batch function of a guest.
type batch struct{ *Guest }

// Type implements core.Func.
func (batch) Type() core.FuncType { return rewrite.BatchType() }

// Call implements core.Func.
func (b batch) Call(ctx context.Context, stack []uint64) error {
	b.Batches++
	for i, request := range stack[:rewrite.BatchSize] {
		if request == 0 {
			continue
		}
		one := [4]uint64{0, 0, request >> 32, request & (1<<32 - 1)}
		if err := b.Guest.Call(ctx, one[:]); err != nil {
			return err
		}
		stack[i] = one[0]
	}
	return nil
}

// Frame returns a frame, begun, for a call of g with that table and resources.
func (g *Guest) Frame(e abi.Encoding, t *abi.Table, resources ...*abi.Resource) *abi.Frame {
	f := &abi.Frame{Table: t, Resources: resources, Stuck: new(bool)}
	f.Begin(context.Background(), g.Heap(e), abi.Kept)
	return f
}

// Bytes implements core.Memory.
func (g *Guest) Bytes() []byte { return g.Memory }

// Refused implements core.Memory.
func (g *Guest) Refusals() uint64 { return 0 }

// Type implements core.Func.
func (g *Guest) Type() core.FuncType { return core.FuncType{} }

// Call implements core.Func: it is cabi_realloc.
func (g *Guest) Call(_ context.Context, stack []uint64) error {
	if g.Refuse != nil {
		return g.Refuse
	}
	align, size := stack[2], stack[3]
	g.Requests = append(g.Requests, [2]uint64{align, size})
	g.Top = (g.Top + align - 1) &^ (align - 1)
	stack[0] = g.Top
	g.Top += size
	for uint64(len(g.Memory)) < g.Top {
		g.Memory = append(g.Memory, make([]byte, 1<<16)...)
	}
	return nil
}
