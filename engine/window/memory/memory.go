// SPDX-License-Identifier: Apache-2.0

// Package memory is the window store without I/O. It outlives the graph that uses
// it, but not the process: for programs that embed the engine and replace graphs,
// and for tests. It has no limit: what a graph holds, it holds, in some hundred bytes
// a message beside the message itself.
package memory

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/wasm-graph/graphd/engine/window"
)

var _ window.Store = (*Store)(nil)

// Store keeps records in memory. The zero Store is empty and ready for use; it may
// be used again after Close. It is safe for concurrent use.
type Store struct {
	mu     sync.RWMutex
	blocks [][]record // guarded by mu; the records in order, none of them empty
}

type record struct {
	key   string
	value []byte // not changed
}

// mostRecords is how many records a block has before it is split.
const mostRecords = 512

// place returns the block and the index in it of the first record whose key is not
// before key.
func (s *Store) place(key string) (block, at int) {
	block, _ = slices.BinarySearchFunc(s.blocks, key, func(b []record, key string) int { return strings.Compare(b[len(b)-1].key, key) })
	if block == len(s.blocks) {
		return block, 0
	}
	at, _ = slices.BinarySearchFunc(s.blocks[block], key, func(r record, key string) int { return strings.Compare(r.key, key) })
	return block, at
}

// put adds a record or replaces the one of its key.
func (s *Store) put(r record) {
	block, at := s.place(r.key)
	if block == len(s.blocks) { // behind all others
		if block == 0 {
			s.blocks = append(s.blocks, []record{r})
			return
		}
		block--
		at = len(s.blocks[block])
	}
	b := s.blocks[block]
	if at < len(b) && b[at].key == r.key {
		b[at] = r
		return
	}
	b = slices.Insert(b, at, r)
	s.blocks[block] = b
	if len(b) > mostRecords {
		half := len(b) / 2
		s.blocks[block] = slices.Clone(b[:half])
		s.blocks = slices.Insert(s.blocks, block+1, slices.Clone(b[half:]))
	}
}

// remove removes the records from key on up to and not including end.
func (s *Store) remove(key, end string) {
	block, at := s.place(key)
	for block < len(s.blocks) {
		b := s.blocks[block]
		to := at
		for to < len(b) && b[to].key < end {
			to++
		}
		whole := to == len(b)
		if b = slices.Delete(b, at, to); len(b) == 0 {
			s.blocks = slices.Delete(s.blocks, block, block+1)
		} else {
			s.blocks[block] = b
			block++
		}
		if !whole {
			return
		}
		at = 0
	}
}

// take returns up to most records whose keys are from from on and, unless to is nil,
// before to.
func (s *Store) take(from, to []byte, most int) []record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var taken []record
	block, at := s.place(string(from))
	for ; block < len(s.blocks); block, at = block+1, 0 {
		for _, r := range s.blocks[block][at:] {
			if len(taken) == most || to != nil && r.key >= string(to) {
				return taken
			}
			taken = append(taken, r)
		}
	}
	return taken
}

// Read implements window.Store; it sees the records as they are when it begins.
func (s *Store) Read(ctx context.Context, yield func(key, value []byte) error) error {
	return s.Range(ctx, nil, nil, s.Len(), yield)
}

// Range implements window.Store. Where to is nil there is no end.
func (s *Store) Range(ctx context.Context, from, to []byte, most int, yield func(key, value []byte) error) error {
	for _, r := range s.take(from, to, most) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield([]byte(r.key), r.value); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Commit implements window.Store.
func (s *Store) Commit(ctx context.Context, changes []window.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		switch {
		case c.End != nil:
			s.remove(string(c.Key), string(c.End))
		case c.Value == nil:
			s.remove(string(c.Key), string(c.Key)+"\x00")
		default:
			s.put(record{string(c.Key), bytes.Clone(c.Value)})
		}
	}
	return nil
}

// Len returns how many records there are.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for _, b := range s.blocks {
		n += len(b)
	}
	return n
}

// Close implements window.Store. The records stay.
func (s *Store) Close() error { return nil }
