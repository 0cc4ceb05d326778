// SPDX-License-Identifier: Apache-2.0

package wazero

import (
	"errors"
	"fmt"
	"math"

	"github.com/tetratelabs/wazero/experimental"
)

// maxMemory is one page less than WebAssembly allows: wazero tells the size of a
// memory in 32 bits.
const maxMemory = 65535 * pageSize

const pageSize = 1 << 16

// memoryError is the reason why a memory can't be had. The allocator panics with
// it and Instantiate recovers it.
type memoryError struct {
	initial, left uint64
	cause         error
}

func (e *memoryError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("allocate memory of %d bytes: %v", e.initial, e.cause)
	}
	return fmt.Sprintf("memory starts with %d bytes, the limit leaves %d", e.initial, e.left)
}

func (e *memoryError) Unwrap() error { return e.cause }

// budget is how many bytes the memories of a store may take, together, beyond those
// that they have. It only shrinks: memories are freed when their store is closed.
type budget struct{ left uint64 }

func newBudget(limit uint64) *budget {
	if limit == 0 {
		limit = math.MaxUint64
	}
	return &budget{left: limit}
}

// allocator allocates the memory of one instance.
type allocator struct {
	budget *budget
	memory *linearMemory // if it has one
}

// Allocate implements experimental.MemoryAllocator. initial is the size that the
// memory starts with, since the runtime isn't configured otherwise.
func (a *allocator) Allocate(initial, maximum uint64) experimental.LinearMemory {
	limit := min(a.budget.left, maxMemory) / pageSize * pageSize
	if initial > limit {
		panic(&memoryError{initial: initial, left: limit})
	}
	m := &linearMemory{budget: a.budget}
	if err := m.reserve(min(maximum, limit)); err != nil {
		panic(&memoryError{initial: initial, cause: err})
	}
	if m.Reallocate(initial) == nil {
		m.Free()
		panic(&memoryError{initial: initial, cause: errors.New("out of memory")})
	}
	a.memory = m
	return m
}

// linearMemory is a core.Memory, and what wazero keeps one in. The view is what
// wazero works on: it is never stale.
type linearMemory struct {
	view     []byte
	budget   *budget
	refusals uint64
	storage
}

// Bytes returns the memory, or nil when its instance is closed.
func (m *linearMemory) Bytes() []byte { return m.view }

// Refused reports whether the guest wanted to grow the memory beyond its limit.
func (m *linearMemory) Refusals() uint64 { return m.refusals }

// Reallocate implements experimental.LinearMemory. wazero calls it with sizes up
// to the maximum that the module declares.
func (m *linearMemory) Reallocate(size uint64) []byte {
	more := size - uint64(len(m.view)) // a memory never shrinks
	if more > m.budget.left || size > maxMemory {
		m.refusals++
		return nil
	}
	view := m.resize(size)
	if view != nil {
		m.view = view
		m.budget.left -= more
	}
	return view
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() {
	m.view = nil
	m.release()
}
