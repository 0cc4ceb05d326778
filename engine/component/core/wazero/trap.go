// SPDX-License-Identifier: Apache-2.0

package wazero

import (
	"errors"
	"reflect"
	"regexp"
	"runtime"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// How wazero writes errors: its own ones are of a type that it doesn't export, and
// a backtrace is part of the text.
const (
	engineErrorType = "*wasmruntime.Error"
	stackOverflow   = "stack overflow"
	ownPrefix       = "wasm error: "
	recovered       = " (recovered by wazero)"
	stackTrace      = "\nwasm stack trace:\n\t"
	goStackTrace    = "\n\nGo runtime stack trace:"
)

// trap returns the *core.Trap that an error of wazero stands for. An error that
// stands for none is returned as it is.
func trap(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if t := asTrap(e); t != nil {
			return t
		}
	}
	return err
}

func asTrap(err error) *core.Trap {
	if engineError(err) { // a stack overflow comes without a backtrace
		return engineTrap(err.Error(), "")
	}
	text, cause := err.Error(), errors.Unwrap(err)
	if cause == nil { // a host function panicked with something that is no error
		if reason, frames, ok := strings.Cut(text, recovered+stackTrace); ok {
			return &core.Trap{Reason: reason, Backtrace: backtrace(frames)}
		}
		return nil
	}
	reason := cause.Error()
	if frames, ok := strings.CutPrefix(text, ownPrefix+reason+stackTrace); ok && engineError(cause) {
		return engineTrap(reason, frames)
	}
	frames, ok := strings.CutPrefix(text, reason+recovered+stackTrace)
	if !ok {
		return nil
	}
	t := &core.Trap{Reason: reason, Backtrace: backtrace(frames), Cause: cause}
	var fault runtime.Error
	if errors.As(cause, &fault) {
		t.Cause = err // a bug in a host function: the text has the Go stack
	}
	return t
}

// engineTrap is a trap by WebAssembly's own rules.
func engineTrap(reason, frames string) *core.Trap {
	t := &core.Trap{Reason: reason, Backtrace: backtrace(frames)}
	if reason == stackOverflow {
		t.Reason, t.Cause = core.ErrExhausted.Error(), core.ErrExhausted
	}
	return t
}

func engineError(err error) bool {
	return reflect.TypeOf(err).String() == engineErrorType
}

// signature is the end of a line of a backtrace: the types of a function.
var signature = regexp.MustCompile(`\([a-z0-9,]*\)( [a-z0-9]+| \([a-z0-9,]+\))?$`)

// backtrace returns the function names of a backtrace: "module.function", or
// "function" where the module has no name.
func backtrace(frames string) []string {
	frames, _, _ = strings.Cut(frames, goStackTrace)
	var names []string
	for line := range strings.SplitSeq(frames, "\n\t") {
		if at := signature.FindStringIndex(line); at != nil {
			names = append(names, strings.TrimPrefix(line[:at[0]], "."))
		}
	}
	return names
}
