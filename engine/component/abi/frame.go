// SPDX-License-Identifier: Apache-2.0

// Package abi is the Canonical ABI: how component values become core values and
// bytes in a guest's linear memory (lowering), and how they come back (lifting).
//
// A function type is compiled once into a Signature, the plan of its layout. A
// call then walks that plan with a Frame, which knows the guest's memory and
// allocator, its handle table, and the resource types behind the plan's numbers.
// The walk trusts nothing that comes from a guest: every pointer is checked for
// alignment and bounds, every string for its encoding, every case and handle for
// its validity, and a fault is an error that the caller turns into a trap.
//
// The rules are those of WebAssembly/component-model, design/mvp/CanonicalABI.md,
// without the asynchronous parts.
package abi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/value"
)

var le = binary.LittleEndian

// Encoding is the string encoding that a guest asked for.
type Encoding uint8

// The string encodings.
const (
	UTF8 Encoding = iota
	UTF16
	Latin1UTF16
)

// Heap is what the options of a canon lift or lower name: a memory, the function
// that allocates in it, and how strings are encoded there. Memory and Realloc may
// be nil where the signature needs none.
type Heap struct {
	Memory   core.Memory
	Realloc  core.Func
	Encoding Encoding
}

// Frame is one call's view of a guest. It belongs to one component instance and
// is used by one goroutine at a time; an instance keeps one per nesting level and
// reuses it, so that a call allocates nothing here.
type Frame struct {
	Ctx       context.Context
	Heap      *Heap
	Table     *Table
	Resources []*Resource // by the signature's numbers
	// Stuck is set while Realloc runs: the guest must not call out meanwhile.
	Stuck *bool
	// Export is set while calling a guest's export: borrows lowered into it are
	// counted, so that Done can tell whether it dropped them all.
	Export bool

	alias   bool
	memory  []byte   // view of Heap.Memory, nil when stale
	lenders []uint32 // handles lent to this call
	borrows int
	stack   [4]uint64

	// Lifted values and text are carved out of chunks, so that a call makes one
	// allocation of each and not one for each value. Chunks belong to whoever got
	// values of them, except that those of aliasing values are used again.
	values chunk[value.Value]
	text   chunk[byte]
}

// chunk is room for the values of one call.
type chunk[T any] struct {
	whole []T // the latest chunk
	free  []T // what is left of it
	last  int // taken by the call before
	taken int // by this call, of all chunks
}

// reset begins a call; keep says that nobody holds values of the chunk any more.
func (c *chunk[T]) reset(keep bool) {
	c.last, c.taken = c.taken, 0
	if !keep {
		c.whole = nil
	}
	c.free = c.whole
}

// take returns room for n values.
func (c *chunk[T]) take(n int) []T {
	if n > len(c.free) {
		c.whole = make([]T, max(n, min(max(c.last-c.taken, c.taken), maxChunk)))
		c.free = c.whole
	}
	v := c.free[:n:n]
	c.free = c.free[n:]
	c.taken += n
	return v
}

// maxChunk bounds what one value that is kept can keep alive with it.
const maxChunk = 1 << 10

// maxLifted bounds how many values one call may lift: a value is wider than the
// bytes it comes from.
const maxLifted = 1 << 22

// Begin readies f for a call. With alias, lifted strings and bytes share the guest's
// memory, and values are only valid until the guest runs or the next call begins.
func (f *Frame) Begin(ctx context.Context, h *Heap, alias bool) {
	f.Ctx, f.Heap, f.memory = ctx, h, nil
	f.borrows = 0
	f.lenders = f.lenders[:0]
	f.values.reset(alias && f.alias)
	f.text.reset(false)
	f.alias = alias
}

// Done ends the call: lent handles are given back. For an export's call it is an
// error when the guest still holds handles that were only lent to it.
func (f *Frame) Done() error {
	for _, i := range f.lenders {
		f.Table.handles[i].lends--
	}
	f.lenders = f.lenders[:0]
	f.memory = nil
	if f.alias {
		clear(f.values.whole) // let go of what they refer to
	}
	if f.Export && f.borrows != 0 {
		return fmt.Errorf("borrow handles still remain at the end of the call: %d", f.borrows)
	}
	return nil
}

// Stale tells f that the guest has run, so that its memory may have moved.
func (f *Frame) Stale() { f.memory = nil }

// Memory returns the guest's memory; the view is good until the guest runs, which
// Realloc makes it do.
func (f *Frame) Memory() []byte {
	if f.memory == nil && f.Heap.Memory != nil {
		f.memory = f.Heap.Memory.Bytes()
	}
	return f.memory
}

var (
	errNoMemory  = errors.New("canonical options have no memory")
	errNoRealloc = errors.New("canonical options have no realloc")
)

// Realloc asks the guest for size bytes aligned to align (a power of two), and
// checks what it returns.
func (f *Frame) Realloc(align uint32, size uint64) (uint32, error) {
	if f.Heap.Realloc == nil {
		return 0, errNoRealloc
	}
	if size > 1<<32-1 {
		return 0, fmt.Errorf("allocation of %d bytes does not fit in the guest's memory", size)
	}
	f.stack = [4]uint64{0, 0, uint64(align), size}
	*f.Stuck = true
	err := f.Heap.Realloc.Call(f.Ctx, f.stack[:])
	*f.Stuck = false
	f.memory = nil
	if err != nil {
		return 0, fmt.Errorf("realloc: %w", err)
	}
	ptr := uint32(f.stack[0])
	if ptr&(align-1) != 0 {
		return 0, fmt.Errorf("realloc returned unaligned pointer %#x for alignment %d", ptr, align)
	}
	if uint64(ptr)+size > uint64(len(f.Memory())) {
		return 0, fmt.Errorf("realloc returned pointer %#x out of bounds for %d bytes", ptr, size)
	}
	return ptr, nil
}

// View returns size bytes of the guest's memory at ptr, checked for bounds and
// alignment. The view is good until the guest runs.
func (f *Frame) View(ptr, align uint32, size uint64) ([]byte, error) {
	m := f.Memory()
	if m == nil && f.Heap.Memory == nil {
		return nil, errNoMemory
	}
	if ptr&(align-1) != 0 {
		return nil, fmt.Errorf("pointer %#x is not aligned to %d", ptr, align)
	}
	if uint64(ptr)+size > uint64(len(m)) {
		return nil, fmt.Errorf("pointer %#x out of bounds for %d bytes", ptr, size)
	}
	return m[ptr : uint64(ptr)+size : uint64(ptr)+size], nil
}

// room returns room for n values.
func (f *Frame) room(n int) ([]value.Value, error) {
	if f.values.taken+n > maxLifted {
		return nil, fmt.Errorf("more than %d values in one call", maxLifted)
	}
	return f.values.take(n), nil
}

// Text returns b, which is the guest's, as a string: a copy, or with aliasing a view.
func (f *Frame) Text(b []byte) string {
	if !f.alias {
		c := f.text.take(len(b))
		copy(c, b)
		b = c
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}
