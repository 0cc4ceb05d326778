// SPDX-License-Identifier: Apache-2.0

//go:build (linux || darwin) && (amd64 || arm64)

package wazero

import (
	"runtime"
	"syscall"
)

// storage is a range of address space as long as the memory may get, of which
// only what is in use is accessible. It never moves, growing it copies nothing,
// the system gives it pages when they are touched, and the garbage collector
// doesn't count it.
type storage struct {
	mapping    *mapping
	accessible uint64 // bytes
}

// mapping is apart from storage for the cleanup that unmaps it.
type mapping struct {
	bytes []byte // nil when unmapped
}

func (m *mapping) unmap() {
	if m.bytes != nil {
		// It can only fail for a range that was not mapped.
		_ = syscall.Munmap(m.bytes)
		m.bytes = nil
	}
}

// reserve reserves address space.
func (s *storage) reserve(size uint64) error {
	s.mapping = &mapping{}
	if size == 0 {
		return nil
	}
	var err error
	s.mapping.bytes, err = syscall.Mmap(-1, 0, int(size), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err
	}
	// An instantiation that fails doesn't free its memory, and functions of it may
	// already be in a table. It goes when nothing refers to it any more.
	runtime.AddCleanup(s, (*mapping).unmap, s.mapping)
	return nil
}

// resize makes the first size bytes accessible, and returns nil if it can't.
func (s *storage) resize(size uint64) []byte {
	if size > s.accessible {
		if err := syscall.Mprotect(s.mapping.bytes[s.accessible:size], syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			return nil
		}
		s.accessible = size
	}
	if size == 0 {
		return []byte{}
	}
	return s.mapping.bytes[:size:size]
}

// release gives the memory back to the system.
func (s *storage) release() { s.mapping.unmap() }
