// SPDX-License-Identifier: Apache-2.0

package abi

import "unsafe"

// Memory is where values are while they cross between the host and the operator. It
// hands out space, and it keeps alive what the host still has to read. It is not
// safe for concurrent use; a component runs one call at a time.
//
// Space comes from the Go heap, whose objects do not move. Small pieces are cut from
// blocks, because a message arrives as a dozen strings of a few bytes each. Nothing
// is ever used twice: an operator may keep what it was given.
type Memory struct {
	block []uint64         // what is left of the current block; keeps all of it alive
	pins  []unsafe.Pointer // what else must stay alive until Release
	area                   // where results are
	space                  // of the platform
}

const (
	blockWords = 512 // 4 KiB
	smallWords = 128 // 1 KiB: larger pieces are on their own
)

// Allocate returns a new zeroed piece of memory, which stays alive until Release.
// The alignment is 8, the largest that the ABI knows. Of size 0 it returns an
// address that must not be followed.
func (m *Memory) Allocate(size uint32) uint32 {
	if size == 0 {
		return 8
	}
	words := (int(size) + 7) / 8
	if words > smallWords {
		return m.keep(unsafe.Pointer(unsafe.SliceData(m.words(words))))
	}
	if words > len(m.block) {
		m.keep(unsafe.Pointer(unsafe.SliceData(m.block))) // for what was cut from it
		m.block = m.words(blockWords)
	}
	p := unsafe.Pointer(unsafe.SliceData(m.block))
	m.block = m.block[words:]
	return m.address(p)
}

// Release says that the host has read what it was given.
func (m *Memory) Release() {
	clear(m.pins)
	m.pins = m.pins[:0]
}

// Reallocate is what the ABI calls cabi_realloc.
func (m *Memory) Reallocate(old, oldSize, newSize uint32) uint32 {
	p := m.Allocate(newSize)
	if n := min(oldSize, newSize); n > 0 {
		copy(m.bytes(list{p, newSize}), m.bytes(list{old, n}))
	}
	return p
}

// keep keeps p alive until Release and returns its address.
func (m *Memory) keep(p unsafe.Pointer) uint32 {
	m.pins = append(m.pins, p)
	return m.address(p)
}

// bytes returns the bytes that l names, in place.
func (m *Memory) bytes(l list) []byte {
	if l.length == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(m.pointer(l.address)), l.length)
}

// text returns the string that l names.
func (m *Memory) text(l list) string { return string(m.bytes(l)) }

// elements returns the elements of the list l, in place. T is one of this
// package's layouts.
func elements[T any](m *Memory, l list) []T {
	if l.length == 0 {
		return nil
	}
	return unsafe.Slice((*T)(m.pointer(l.address)), l.length)
}

// newElements allocates a list of n elements.
func newElements[T any](m *Memory, n int) ([]T, list) {
	var element T
	l := list{m.Allocate(uint32(n) * uint32(unsafe.Sizeof(element))), uint32(n)}
	return elements[T](m, l), l
}
