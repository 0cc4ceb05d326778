// SPDX-License-Identifier: Apache-2.0

// Package memory is a state store in memory. It is the store of graphs that run
// without a broker, and lives as long as the process.
//
// Time comes from the caller, so that in virtual time keys expire with the run.
// Expired keys are gone for every request; what they hold is freed by the next
// request. The store starts no goroutine.
package memory

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/state"
)

// DefaultMaxBytes is the quota of a store whose Config names none.
const DefaultMaxBytes = 64 << 20

// keyOverhead is what a key counts for besides its own bytes and its value's.
const keyOverhead = 128

// Config says how a Store works.
type Config struct {
	Clock    *hlc.Clock       // issues the versions
	Now      func() time.Time // physical time: keys expire by it, and fencing tokens are checked against it
	MaxBytes int64            // quota over all keys and values, each key counting 128 bytes more; default DefaultMaxBytes
	MaxDrift time.Duration    // how far ahead of Now a fencing token may be; default hlc.DefaultMaxDrift
}

// Store is a state.Store in memory. It is safe for concurrent use.
type Store struct {
	config Config

	mu       sync.Mutex
	entries  map[string]*entry // guarded by mu
	expiring expiryQueue       // guarded by mu; those of entries that expire
	bytes    int64             // guarded by mu; what entries count for
}

var _ state.Store = (*Store)(nil)

// entry is what a key holds. value is never changed, only replaced.
type entry struct {
	key     string
	value   []byte
	version hlc.Timestamp
	fencing *hlc.Timestamp // nil: the key is not protected
	expires time.Time      // zero: never
	index   int            // in the expiry queue, where expires is set
}

func (e *entry) size() int64 { return keyOverhead + int64(len(e.key)) + int64(len(e.value)) }

// New returns an empty store.
func New(c Config) *Store {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MaxDrift == 0 {
		c.MaxDrift = hlc.DefaultMaxDrift
	}
	return &Store{config: c, entries: map[string]*entry{}}
}

// Get implements state.Store. The value is a copy.
func (s *Store) Get(ctx context.Context, key []byte) ([]byte, hlc.Timestamp, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "get", key); err != nil {
		return nil, hlc.Timestamp{}, false, err
	}
	e := s.entries[string(key)]
	if e == nil {
		return nil, hlc.Timestamp{}, false, nil
	}
	return append([]byte{}, e.value...), e.version, true, nil
}

// Set implements state.Store. Where the condition did not hold, the version is
// that of the value that stays.
func (s *Store) Set(ctx context.Context, key, value []byte, opts state.SetOptions) (bool, hlc.Timestamp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "set", key); err != nil {
		return false, hlc.Timestamp{}, err
	}
	if opts.Expires < 0 || opts.Condition > state.IfAbsentEqual {
		return false, hlc.Timestamp{}, &state.RequestError{Text: state.TextSyntax}
	}
	old := s.entries[string(key)]
	if err := s.checkFencing(old, opts.Fencing); err != nil {
		return false, hlc.Timestamp{}, err
	}
	if old != nil && (opts.Condition == state.IfAbsent || opts.Condition == state.IfAbsentEqual && !bytes.Equal(old.value, value)) {
		return false, old.version, nil
	}
	fresh := &entry{key: string(key), value: append([]byte{}, value...)}
	grown := fresh.size()
	if old != nil {
		grown -= old.size()
		fresh.fencing = old.fencing
	}
	if s.bytes+grown > s.config.MaxBytes {
		return false, hlc.Timestamp{}, &state.RequestError{Text: state.TextQuota}
	}
	if opts.Fencing != nil { // at least the old one: it was checked
		token := *opts.Fencing
		fresh.fencing = &token
	}
	version, err := s.config.Clock.Now()
	if err != nil {
		return false, hlc.Timestamp{}, fmt.Errorf("state/memory: set %q: %w", key, err)
	}
	fresh.version = version
	if old != nil {
		s.remove(old)
	}
	s.add(fresh, opts.Expires)
	return true, version, nil
}

// Delete implements state.Store. The version is that of the value, removed or
// left.
func (s *Store) Delete(ctx context.Context, key, value []byte, fencing *hlc.Timestamp) (int64, hlc.Timestamp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "delete", key); err != nil {
		return 0, hlc.Timestamp{}, err
	}
	e := s.entries[string(key)]
	if err := s.checkFencing(e, fencing); err != nil {
		return 0, hlc.Timestamp{}, err
	}
	switch {
	case e == nil:
		return 0, hlc.Timestamp{}, nil
	case value != nil && !bytes.Equal(e.value, value):
		return -1, e.version, nil
	}
	s.remove(e)
	return 1, e.version, nil
}

// begin does what every request starts with.
func (s *Store) begin(ctx context.Context, verb string, key []byte) error {
	if err := ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = state.ErrTimeout
		}
		return fmt.Errorf("state/memory: %s %q: %w", verb, key, err)
	}
	if len(key) == 0 {
		return &state.RequestError{Text: state.TextKeyEmpty}
	}
	now := s.config.Now()
	for len(s.expiring) > 0 && !now.Before(s.expiring[0].expires) {
		s.remove(s.expiring[0])
	}
	return nil
}

// checkFencing checks the token of a request to change e, which is nil where there
// is no key.
func (s *Store) checkFencing(e *entry, token *hlc.Timestamp) error {
	switch {
	case token != nil && token.Millis > s.config.Now().Add(s.config.MaxDrift).UnixMilli():
		return &state.RequestError{Text: state.TextFencingAhead}
	case e == nil || e.fencing == nil:
		return nil
	case token == nil:
		return &state.RequestError{Text: state.TextFencingMissing}
	case token.Compare(*e.fencing) < 0:
		return &state.RequestError{Text: state.TextFencingLower}
	}
	return nil
}

// add adds an entry whose key is not there, to expire after d unless d is 0.
func (s *Store) add(e *entry, d time.Duration) {
	s.entries[e.key] = e
	s.bytes += e.size()
	if d > 0 {
		e.expires = s.config.Now().Add(d)
		heap.Push(&s.expiring, e)
	}
}

// remove removes an entry.
func (s *Store) remove(e *entry) {
	delete(s.entries, e.key)
	s.bytes -= e.size()
	if !e.expires.IsZero() {
		heap.Remove(&s.expiring, e.index)
	}
}

// expiryQueue is a heap of entries, the next to expire first.
type expiryQueue []*entry

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].expires.Before(q[j].expires) }

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *expiryQueue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
