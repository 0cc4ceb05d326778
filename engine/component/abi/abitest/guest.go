// SPDX-License-Identifier: Apache-2.0

// Package abitest has a stand-in for a guest's heap, for tests of code that lowers
// and lifts values without running any guest.
package abitest

import (
	"context"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/core"
)

// Guest is a linear memory with a bump allocator. It is the memory and the realloc
// of its own Heap.
type Guest struct {
	Memory []byte
	Top    uint64 // next free address
	Refuse error  // when set, what realloc traps with
}

// NewGuest returns a Guest of one page whose first eight bytes are never given out.
func NewGuest() *Guest { return &Guest{Memory: make([]byte, 1<<16), Top: 8} }

// Heap returns g as a heap with strings in encoding e.
func (g *Guest) Heap(e abi.Encoding) *abi.Heap { return &abi.Heap{Memory: g, Realloc: g, Encoding: e} }

// Frame returns a frame, begun, for a call of g with that table and resources.
func (g *Guest) Frame(e abi.Encoding, t *abi.Table, resources ...*abi.Resource) *abi.Frame {
	f := &abi.Frame{Table: t, Resources: resources, Stuck: new(bool)}
	f.Begin(context.Background(), g.Heap(e), false)
	return f
}

// Bytes implements core.Memory.
func (g *Guest) Bytes() []byte { return g.Memory }

// Refused implements core.Memory.
func (g *Guest) Refused() bool { return false }

// Type implements core.Func.
func (g *Guest) Type() core.FuncType { return core.FuncType{} }

// Call implements core.Func: it is cabi_realloc.
func (g *Guest) Call(_ context.Context, stack []uint64) error {
	if g.Refuse != nil {
		return g.Refuse
	}
	align, size := stack[2], stack[3]
	g.Top = (g.Top + align - 1) &^ (align - 1)
	stack[0] = g.Top
	g.Top += size
	for uint64(len(g.Memory)) < g.Top {
		g.Memory = append(g.Memory, make([]byte, 1<<16)...)
	}
	return nil
}
