// SPDX-License-Identifier: Apache-2.0

// Package memory is the window store without I/O. It outlives the graph that uses
// it, but not the process: for programs that embed the engine and replace graphs,
// and for tests.
package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/wasm-graph/graphd/engine/window"
)

var _ window.Store = (*Store)(nil)

// Store keeps records in memory. The zero Store is empty and ready for use; it may
// be used again after Close. It is safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	records map[string][]byte // guarded by mu
}

// Read implements window.Store; it sees the records as they are when it begins.
func (s *Store) Read(ctx context.Context, yield func(key, value []byte) error) error {
	s.mu.Lock()
	records := maps.Clone(s.records)
	s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield([]byte(key), records[key]); err != nil {
			return err
		}
	}
	return nil
}

// Commit implements window.Store.
func (s *Store) Commit(ctx context.Context, changes []window.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = map[string][]byte{}
	}
	for _, c := range changes {
		switch {
		case c.End != nil:
			maps.DeleteFunc(s.records, func(key string, _ []byte) bool {
				return key >= string(c.Key) && key < string(c.End)
			})
		case c.Value == nil:
			delete(s.records, string(c.Key))
		default:
			s.records[string(c.Key)] = bytes.Clone(c.Value)
		}
	}
	return nil
}

// Len returns how many records there are.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// Close implements window.Store. The records stay.
func (s *Store) Close() error { return nil }
