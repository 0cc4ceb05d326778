// SPDX-License-Identifier: Apache-2.0

// Package state is the contract of the state store: the key-value store that
// guests see. Drivers are its sub-packages.
//
// The rules of versions, conditions, expiry and fencing tokens are those of the
// Azure IoT Operations state store protocol (its public reference), so that a
// guest can't tell one store from the other.
package state

import (
	"context"
	"errors"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
)

// Condition says when a Set takes effect.
type Condition uint8

// The conditions of a Set.
const (
	Always        Condition = iota
	IfAbsent                // only if the key does not exist
	IfAbsentEqual           // only if the key does not exist or has this very value
)

// SetOptions are the options of a Set; the zero value sets always and for ever.
type SetOptions struct {
	Condition Condition
	Expires   time.Duration // 0: never
	Fencing   *hlc.Timestamp
}

// Store is a key-value store. It is safe for concurrent use. It copies the keys,
// values and tokens that it keeps, and what it returns belongs to the caller. The
// version of a key is the HLC time of the write that made its value; the zero
// Timestamp stands for none.
//
// A fencing token protects the key that it is set with: from then on, until the
// key is gone, changing it takes that token or a newer one, which becomes the
// protecting one if the change is made.
//
// An error that wraps *RequestError is the store's refusal; one that wraps
// ErrTimeout says that ctx ended first by its deadline. After an error other than
// a refusal a change may or may not have been made.
type Store interface {
	// Get returns the value and its version; found is false where there is none.
	Get(ctx context.Context, key []byte) (value []byte, version hlc.Timestamp, found bool, err error)
	// Set stores value. applied is false where the condition did not hold; version is
	// that of what the key then holds. A Set without expiry ends an earlier one's.
	Set(ctx context.Context, key, value []byte, opts SetOptions) (applied bool, version hlc.Timestamp, err error)
	// Delete removes the key and returns how many were removed: 1 or 0. Where value
	// is not nil, only if the key holds exactly that value; -1 where it holds another.
	// version is that of the value, removed or not.
	Delete(ctx context.Context, key, value []byte, fencing *hlc.Timestamp) (removed int64, version hlc.Timestamp, err error)
}

// RequestError is the store's refusal of a request, in the protocol's own words.
type RequestError struct{ Text string }

func (e *RequestError) Error() string { return "state store: " + e.Text }

// ErrTimeout says that the store did not answer in time.
var ErrTimeout = errors.New("state store: timeout")
