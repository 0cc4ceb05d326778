// SPDX-License-Identifier: Apache-2.0

//go:build !((linux || darwin) && (amd64 || arm64))

package wazero

// storage is a slice that grows.
type storage struct {
	bytes []byte
	limit uint64
}

// reserve notes how large the memory may get.
func (s *storage) reserve(size uint64) error {
	s.limit = size
	return nil
}

// resize makes the memory size bytes long.
func (s *storage) resize(size uint64) []byte {
	if size > uint64(cap(s.bytes)) {
		// Twice as much as needed, so that growing by pages copies little.
		grown := make([]byte, size, min(2*size, s.limit))
		copy(grown, s.bytes)
		s.bytes = grown
	}
	if s.bytes == nil {
		s.bytes = []byte{}
	}
	s.bytes = s.bytes[:size]
	return s.bytes
}

// release drops the memory.
func (s *storage) release() { s.bytes = nil }
