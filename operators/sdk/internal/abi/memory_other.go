// SPDX-License-Identifier: Apache-2.0

//go:build !wasip1

package abi

import "unsafe"

// space stands in for a component's memory: an address is an offset into ram.
type space struct {
	ram  []uint64
	used int
}

// NewMemory returns a Memory of so many bytes.
func NewMemory(size int) *Memory {
	return &Memory{space: space{ram: make([]uint64, size/8), used: 1024}}
}

func (s *space) words(n int) []uint64 {
	w := s.ram[s.used:][:n:n]
	s.used += n
	return w
}

func (s *space) address(p unsafe.Pointer) uint32 {
	return uint32(uintptr(p) - uintptr(unsafe.Pointer(unsafe.SliceData(s.ram))))
}

func (s *space) pointer(address uint32) unsafe.Pointer {
	return unsafe.Pointer(&unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s.ram))), len(s.ram)*8)[address])
}

// lower returns where the host finds a copy of b.
func (m *Memory) lower(b []byte) list {
	l := list{m.Allocate(uint32(len(b))), uint32(len(b))}
	copy(m.bytes(l), b)
	return l
}

// borrow is lower: a copy needs no keeping alive.
func (m *Memory) borrow(b []byte) list { return m.lower(b) }
