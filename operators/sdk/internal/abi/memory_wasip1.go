// SPDX-License-Identifier: Apache-2.0

package abi

import "unsafe"

// space is the component's own memory: all of Go's objects are in it.
type space struct{}

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
