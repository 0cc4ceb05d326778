// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"errors"
	"fmt"
)

// The causes that a caller may want to tell apart. Any other cause is a fault of
// the file's making: bytes that the grammar does not allow, or a limit exceeded.
var (
	// ErrNotWasm says that the bytes are no WebAssembly at all.
	ErrNotWasm = errors.New("not a WebAssembly file")
	// ErrCoreModule says that the bytes are a core module, not a component.
	ErrCoreModule = errors.New("a core module, not a component")
	// ErrTruncated says that the file ends too early.
	ErrTruncated = errors.New("file ends too early")
	// ErrUnsupported says that the file uses a part of the Component Model that
	// this package does not decode; the error's text names it.
	ErrUnsupported = errors.New("not supported")
	// ErrLimit says that the file exceeds one of this package's limits.
	ErrLimit = errors.New("limit exceeded")
)

// Error is the error of Decode.
type Error struct {
	Offset  int    // in bytes from the start of the input, where the fault was found
	Reading string // what was being read, "canonical option"
	Err     error  // the cause, which may wrap one of this package's errors
}

func (e *Error) Error() string {
	return fmt.Sprintf("binary: decode %s at offset %#x: %v", e.Reading, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
