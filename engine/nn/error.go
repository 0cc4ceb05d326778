// SPDX-License-Identifier: Apache-2.0

package nn

import (
	"context"
	"errors"
	"fmt"
)

// Code sorts errors. The values are those of wasi:nn's error-code.
type Code uint8

// The codes.
const (
	InvalidArgument      Code = iota
	InvalidEncoding           // the bytes are no model of that encoding
	Timeout                   // the context was done before the work was
	RuntimeError              // the backend failed
	UnsupportedOperation      // the backend does not have it
	TooLarge                  // a limit is exceeded
	NotFound                  // no model of that name
	Security                  // not allowed
	Unknown
)

func (c Code) String() string {
	return name(int(c), "invalid argument", "invalid encoding", "timeout", "runtime error",
		"unsupported operation", "too large", "not found", "security", "unknown")
}

// Error is what goes wrong with models and tensors.
type Error struct {
	Code Code
	Err  error // the cause, in words for whoever made the model
}

func (e *Error) Error() string { return fmt.Sprintf("nn: %s: %v", e.Code, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error with that code and a cause made by fmt.Errorf.
func Errorf(code Code, format string, args ...any) error {
	return &Error{code, fmt.Errorf(format, args...)}
}

// Done returns nil while ctx is not, and then a Timeout.
func Done(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &Error{Timeout, context.Cause(ctx)}
}

// AsError returns err as an *Error: the one that it wraps, or one whose code is
// Unknown.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Unknown, err}
}
