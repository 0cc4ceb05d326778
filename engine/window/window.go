// SPDX-License-Identifier: Apache-2.0

// Package window is the contract between the engine and where it keeps the open
// windows of a graph: messages that an accumulate or a delay holds, results that are
// not delivered yet, and which messages of a source are in there already. Drivers
// are its sub-packages; memory is the one without I/O, and windowtest is the suite
// that every driver passes.
//
// A store holds records: bytes under bytes, which mean something to the engine only
// (package schedule says what). What a driver answers for is that changes given
// together are there together or not at all, also after a crash at any point; that
// they stay in the order in which they were given; and that it notices when what it
// reads is not what was written.
//
// Beside the contract there is the binary form of messages in records: AppendMessage
// and DecodeMessage.
package window

import (
	"context"
	"errors"
)

// ErrCorrupt says that a store is not what was written, and is better not used. The
// text of what wraps it says where it is, and what can be done.
var ErrCorrupt = errors.New("window store is corrupt")

// ErrFull says that there is no room for a commit. It may be tried again.
var ErrFull = errors.New("window store is full")

// ErrLocked says that somebody else has the store open.
var ErrLocked = errors.New("window store is in use")

// Store keeps the windows of one graph. One goroutine at a time calls it, but for
// Range, which may be called beside a Commit.
type Store interface {
	// Read calls yield with each record, in the order of their keys, until yield
	// returns an error, which it then returns. The slices are valid until yield
	// returns. The error wraps ErrCorrupt where the records are not those of the last
	// Commit.
	Read(ctx context.Context, yield func(key, value []byte) error) error
	// Range calls yield with the first most records whose keys are from from on up to
	// and not including to, in their order, until yield returns an error, which it then
	// returns. The slices are valid until yield returns. It sees every Commit that
	// returned before; whether it sees one under way is open, but all of it or nothing.
	// The error wraps ErrCorrupt where a record is not what was written.
	Range(ctx context.Context, from, to []byte, most int, yield func(key, value []byte) error) error
	// Commit makes changes, in their order, all or none. When it returns nil they
	// survive a crash of the process and of the machine. An error that wraps ErrFull
	// says that nothing is changed, and that the same changes may be given again when
	// there may be room. After any other error the store must be closed; opened again,
	// it has all of the changes or none. It does not retain the slices.
	Commit(ctx context.Context, changes []Change) error
	// Close gives the store up. Every successful Commit was safe before.
	Close() error
}

// Change is a change of a store's records.
type Change struct {
	Key   []byte // not empty
	Value []byte // what the record has from now on; nil removes it
	// End, where it is not nil, makes it the removal of all records from Key on up to
	// and not including End. Value is nil then.
	End []byte
}
