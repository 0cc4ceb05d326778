// SPDX-License-Identifier: Apache-2.0

//go:build (linux || darwin) && (amd64 || arm64)

package wazero

import "syscall"

// storage is a range of address space as long as the memory may get, of which
// only what is in use is accessible. It never moves, growing it copies nothing,
// the system gives it pages when they are touched, and the garbage collector
// doesn't count it.
type storage struct {
	mapping    []byte
	accessible uint64 // bytes
}

// reserve reserves address space.
func (s *storage) reserve(size uint64) (err error) {
	if size == 0 {
		return nil
	}
	s.mapping, err = syscall.Mmap(-1, 0, int(size), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	return err
}

// resize makes the first size bytes accessible, and returns nil if it can't.
func (s *storage) resize(size uint64) []byte {
	if size > s.accessible {
		if err := syscall.Mprotect(s.mapping[s.accessible:size], syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			return nil
		}
		s.accessible = size
	}
	if size == 0 {
		return []byte{}
	}
	return s.mapping[:size:size]
}

// release gives the memory back to the system. It may be called again.
func (s *storage) release() {
	if s.mapping != nil {
		_ = syscall.Munmap(s.mapping) // can only fail for what isn't mapped
		s.mapping = nil
	}
}
