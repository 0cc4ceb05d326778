// SPDX-License-Identifier: Apache-2.0

package abi

import "unsafe"

// space is the component's own memory: all of Go's objects are in it.
type space struct {
	lent unsafe.Pointer // see lend
}

func (space) words(n int) []uint64 { return make([]uint64, n) }

func (space) address(p unsafe.Pointer) uint32 { return uint32(uintptr(p)) }

func (space) pointer(address uint32) unsafe.Pointer {
	p := uintptr(address)
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

// lower returns where the host finds b, which stays alive until Release.
func (m *Memory) lower(b []byte) list {
	if len(b) == 0 {
		return list{address: 1}
	}
	return list{m.keep(unsafe.Pointer(unsafe.SliceData(b))), uint32(len(b))}
}

// borrow returns where the host finds b during an import. The caller keeps it alive.
func (m *Memory) borrow(b []byte) list {
	if len(b) == 0 {
		return list{address: 1}
	}
	return list{m.lend(unsafe.Pointer(unsafe.SliceData(b))), uint32(len(b))}
}

// lend returns the address of p during an import. That p is stored makes the compiler
// place what it points to on the heap: a goroutine's stack may move.
func (m *Memory) lend(p unsafe.Pointer) uint32 {
	m.lent = p
	return m.address(p)
}
