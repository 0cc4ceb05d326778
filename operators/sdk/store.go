// SPDX-License-Identifier: Apache-2.0

package sdk

import (
	"errors"
	"time"
)

// Store is the state store: keys and values that outlive a message and that others
// may share. Every call is synchronous and, with a broker behind it, takes a round
// trip.
//
// A fencing token protects a key: once a key has been written with one, only
// requests with that token or a newer one may change it. A token is a Timestamp,
// usually the version of a lock that was taken with IfAbsent.
type Store struct{ imports Imports }

// Condition says when a Set takes effect.
type Condition uint8

// The conditions of a Set.
const (
	Always          Condition = iota
	IfAbsent                  // only if the key does not exist
	IfAbsentOrEqual           // only if the key does not exist or has this very value
)

// GetOptions are the options of a Get.
type GetOptions struct {
	Timeout time.Duration // how long to wait; 0: as long as the runtime likes
}

// SetOptions are the options of a Set. The zero value sets always and for ever.
type SetOptions struct {
	Condition Condition
	Expires   time.Duration // how long the key lives; 0: for ever
	Fencing   *Timestamp    // nil: none
	Timeout   time.Duration // see GetOptions
}

// DeleteOptions are the options of a Delete.
type DeleteOptions struct {
	Fencing *Timestamp    // nil: none
	Timeout time.Duration // see GetOptions
}

// Entry is what the store knows about a key.
type Entry struct {
	Value   []byte
	Found   bool
	Version *Timestamp // of the write that made the value; may be nil
}

// SetResult is what became of a Set.
type SetResult struct {
	Applied bool // false: the condition did not hold
	Version *Timestamp
}

// DeleteResult is what became of a Delete.
type DeleteResult struct {
	Removed int64 // 1 or 0; -1 where DeleteValue met another value
	Version *Timestamp
}

// RequestError is the store's refusal of a request, in its own words.
type RequestError struct{ Text string }

func (e *RequestError) Error() string { return "state store: " + e.Text }

// What else can go wrong with a request.
var (
	ErrTimeout  = errors.New("state store: timeout")
	ErrProtocol = errors.New("state store: protocol error")
	ErrInternal = errors.New("state store: internal error")
)

// Get returns what is stored under key. That there is nothing is not an error.
func (s *Store) Get(key string, o GetOptions) (Entry, error) {
	return s.imports.StoreGet([]byte(key), o)
}

// Set stores value under key. That a condition did not hold is not an error.
func (s *Store) Set(key string, value []byte, o SetOptions) (SetResult, error) {
	return s.imports.StoreSet([]byte(key), value, o)
}

// Delete removes key.
func (s *Store) Delete(key string, o DeleteOptions) (DeleteResult, error) {
	return s.imports.StoreDelete([]byte(key), o)
}

// DeleteValue removes key if it holds exactly value.
func (s *Store) DeleteValue(key string, value []byte, o DeleteOptions) (DeleteResult, error) {
	return s.imports.StoreDeleteValue([]byte(key), value, o)
}
