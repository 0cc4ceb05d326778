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

// Store is a key-value store. It is safe for concurrent use. Keys and values are
// not retained by the store's caller nor changed by the store. The version of a
// key is the HLC time of the write that made its value.
type Store interface {
	// Get returns the value and its version; found is false where there is none.
	Get(ctx context.Context, key []byte) (value []byte, version hlc.Timestamp, found bool, err error)
	// Set stores value. applied is false where the condition did not hold.
	Set(ctx context.Context, key, value []byte, opts SetOptions) (applied bool, version hlc.Timestamp, err error)
	// Delete removes the key and returns how many were removed: 1 or 0. Where value
	// is not nil, only if the key holds exactly that value; -1 where it holds another.
	Delete(ctx context.Context, key, value []byte, fencing *hlc.Timestamp) (removed int64, version hlc.Timestamp, err error)
}

// RequestError is the store's refusal of a request, in the protocol's own words.
type RequestError struct{ Text string }

func (e *RequestError) Error() string { return "state store: " + e.Text }

// ErrTimeout says that the store did not answer in time.
var ErrTimeout = errors.New("state store: timeout")
