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
	"math"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
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
	Memory  core.Memory
	Realloc core.Func
	// Batch, if not nil, calls Realloc several times; see rewrite.BatchType.
	Batch    core.Func
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

	life    Lifetime
	into    *value.Arena // where lifted values go
	own     value.Arena
	given   bool   // values in own belong to others
	lifted  int    // values
	moved   uint64 // bytes that were lifted, and that were allocated for what is lowered
	memory  []byte // view of Heap.Memory
	lenders []uint32
	borrows int
	stack   [4]uint64

	// Allocations to come, as rewrite.BatchType wants them. Those before next have been
	// handed out; those from first to ready have been made, and pointers has them.
	expected           []uint64
	first, next, ready int
	closed             bool // nothing more is expected
	pointers           [rewrite.BatchSize]uint64
}

// Lifetime says for how long lifted values are good.
type Lifetime uint8

const (
	// Kept values are copies, and belong to who lifted them.
	Kept Lifetime = iota
	// Brief values are copies, and good until Done.
	Brief
	// Aliased values share the guest's memory, and are good until it runs.
	Aliased
)

// maxLifted bounds how many values one call may lift: a value is wider than the
// bytes it comes from.
const maxLifted = 1 << 22

// maxShared is how many bytes a call may lift beyond twice what the guest's memory has.
// A guest may name the same bytes again and again: without a bound, millions of strings
// that are all the same hundred megabytes.
const maxShared = 1 << 26

// Begin readies f for a call of which lifted values live as long as life says.
func (f *Frame) Begin(ctx context.Context, h *Heap, life Lifetime) {
	f.Ctx, f.Heap, f.life = ctx, h, life
	f.borrows, f.lifted, f.moved = 0, 0, 0
	f.lenders = f.lenders[:0]
	f.forget()
	if f.given {
		f.own.Release()
	}
	f.given = life == Kept
	f.into = &f.own
	f.Stale()
}

// LiftInto makes lifted values live in a, until its Reset.
func (f *Frame) LiftInto(a *value.Arena) { f.into, f.given = a, false }

// Own is the arena of values that live until Done, unless they are Kept.
func (f *Frame) Own() *value.Arena { return &f.own }

// Done ends the call: lent handles are given back. For an export's call it is an
// error when the guest still holds handles that were only lent to it.
func (f *Frame) Done() error {
	for _, i := range f.lenders {
		f.Table.handles[i].lends--
	}
	f.lenders = f.lenders[:0]
	if f.life != Kept {
		f.own.Reset()
	}
	if f.Export && f.borrows != 0 {
		return fmt.Errorf("borrow handles still remain at the end of the call: %d", f.borrows)
	}
	return nil
}

// Stale tells f that the guest has run, so that its memory may have moved.
func (f *Frame) Stale() {
	if f.Heap.Memory == nil {
		f.memory = nil
		return
	}
	m := f.Heap.Memory.Bytes()
	if len(m) != len(f.memory) || unsafe.SliceData(m) != unsafe.SliceData(f.memory) {
		f.memory = m
	}
}

// Memory returns the guest's memory; the view is good until the guest runs, which
// Realloc makes it do.
func (f *Frame) Memory() []byte { return f.memory }

var (
	errMoved     = errors.New("one call passes the same bytes too often")
	errNoMemory  = errors.New("canonical options have no memory")
	errNoRealloc = errors.New("canonical options have no realloc")
)

// maxExpected bounds the list of allocations to come.
const maxExpected = 1 << 12

// Expect announces the next call of Realloc but for those announced before. The guest
// is then called once for several of them: its allocator runs as often, in the same
// order and with the same arguments. It only can't see what was written between. Who
// announces an allocation must make it. Where the guest can't do that, nothing happens.
func (f *Frame) Expect(align uint32, size uint64) {
	if f.closed {
		return
	}
	if f.Heap.Batch == nil || size > math.MaxUint32 || len(f.expected) == maxExpected {
		f.closed = true
		return
	}
	f.expected = append(f.expected, uint64(align)<<32|size)
}

// ExpectString announces the allocation that LowerString makes for s.
func (f *Frame) ExpectString(s string) {
	if f.Heap.Encoding != UTF8 { // its size is not known yet
		f.closed = true
		return
	}
	f.Expect(1, uint64(len(s)))
}

// forget ends what was expected; more may be announced.
func (f *Frame) forget() {
	f.expected = f.expected[:0]
	f.first, f.next, f.ready, f.closed = 0, 0, 0, false
}

// Realloc asks the guest for size bytes aligned to align (a power of two), and
// checks what it returns.
func (f *Frame) Realloc(align uint32, size uint64) (uint32, error) {
	if f.next < len(f.expected) {
		if f.expected[f.next] != uint64(align)<<32|size {
			return 0, fmt.Errorf("abi: allocation of %d bytes, aligned to %d, is not the one expected", size, align)
		}
		if f.next == f.ready && len(f.expected)-f.next > 1 {
			if err := f.batch(); err != nil {
				return 0, err
			}
		}
	}
	var ptr uint32
	if f.next < f.ready {
		ptr = uint32(f.pointers[f.next-f.first])
	} else {
		if size > math.MaxUint32 {
			return 0, fmt.Errorf("allocation of %d bytes does not fit in the guest's memory", size)
		}
		f.stack = [4]uint64{0, 0, uint64(align), size}
		if err := f.allocate(f.Heap.Realloc, f.stack[:]); err != nil {
			return 0, err
		}
		ptr = uint32(f.stack[0])
	}
	f.moved += size
	if f.next++; f.next >= len(f.expected) {
		f.forget()
	}
	if ptr&(align-1) != 0 {
		return 0, fmt.Errorf("realloc returned unaligned pointer %#x for alignment %d", ptr, align)
	}
	if uint64(ptr)+size > uint64(len(f.memory)) {
		return 0, fmt.Errorf("realloc returned pointer %#x out of bounds for %d bytes", ptr, size)
	}
	return ptr, nil
}

// batch makes the next expected allocations.
func (f *Frame) batch() error {
	n := copy(f.pointers[:], f.expected[f.next:])
	clear(f.pointers[n:])
	f.first, f.ready = f.next, f.next+n
	return f.allocate(f.Heap.Batch, f.pointers[:])
}

func (f *Frame) allocate(realloc core.Func, stack []uint64) error {
	if realloc == nil {
		return errNoRealloc
	}
	*f.Stuck = true
	err := realloc.Call(f.Ctx, stack)
	*f.Stuck = false
	f.Stale()
	if err != nil {
		return fmt.Errorf("realloc: %w", err)
	}
	return nil
}

// View returns size bytes of the guest's memory at ptr, checked for bounds and
// alignment. The view is good until the guest runs. All views of a call together may
// have about twice the size of the memory.
func (f *Frame) View(ptr, align uint32, size uint64) ([]byte, error) {
	m := f.memory
	if m == nil && f.Heap.Memory == nil {
		return nil, errNoMemory
	}
	if ptr&(align-1) != 0 {
		return nil, fmt.Errorf("pointer %#x is not aligned to %d", ptr, align)
	}
	if uint64(ptr)+size > uint64(len(m)) {
		return nil, fmt.Errorf("pointer %#x out of bounds for %d bytes", ptr, size)
	}
	if !f.move(size) {
		return nil, errMoved
	}
	return m[ptr : uint64(ptr)+size : uint64(ptr)+size], nil
}

// move counts bytes that are lifted, and tells whether they are not too many.
func (f *Frame) move(size uint64) bool {
	f.moved += size
	return f.moved <= 2*uint64(len(f.memory))+maxShared
}

// Work estimates what the call has cost the host so far, in units of a guest's fuel.
func (f *Frame) Work() uint64 { return f.moved/8 + uint64(f.lifted)*16 }

// room returns room for n values.
func (f *Frame) room(n int) ([]value.Value, error) {
	if f.lifted += n; f.lifted > maxLifted {
		return nil, fmt.Errorf("more than %d values in one call", maxLifted)
	}
	return f.into.Values(n), nil
}

// Text returns b, which is the guest's, as a string of the call's Lifetime.
func (f *Frame) Text(b []byte) string {
	b = f.Copy(b)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Copy returns b, which is the guest's, with the call's Lifetime. Many small copies of
// a call share one allocation.
func (f *Frame) Copy(b []byte) []byte {
	if f.life == Aliased {
		return b
	}
	c := f.into.Bytes(len(b))
	copy(c, b)
	return c
}
