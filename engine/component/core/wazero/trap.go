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

// How wazero writes errors. Its own ones are of a type that it doesn't export, and
// the backtrace is part of the text.
const (
	engineErrorType = "*wasmruntime.Error"
	stackOverflow   = "stack overflow"
	recovered       = " (recovered by wazero)"
	stackTrace      = "\nwasm stack trace:\n\t"
	goStackTrace    = "\n\nGo runtime stack trace:"
)

// trap turns an error of a guest call into one that wraps *core.Trap. An error
// that is no trap is returned as it is.
func trap(err error) error {
	if err == nil {
		return nil
	}
	if engineError(err) { // a stack overflow comes without a backtrace
		return newTrap(err, "")
	}
	text := err.Error()
	cause := errors.Unwrap(err)
	head, frames, ok := strings.Cut(text, stackTrace)
	if cause != nil {
		// The cause's own text may hold anything.
		if at := strings.Index(text, cause.Error()); at >= 0 {
			if _, rest, found := strings.Cut(text[at+len(cause.Error()):], stackTrace); found {
				frames, ok = rest, true
			}
		}
	}
	switch {
	case !ok && cause != nil && cause != err: // a start function's, wrapped once more
		if inner := trap(cause); inner != cause {
			return inner
		}
		return err
	case !ok:
		return err
	case cause == nil: // a panic with something else than an error
		return &core.Trap{Reason: strings.TrimSuffix(head, recovered), Backtrace: backtrace(frames)}
	}
	var fault runtime.Error
	if errors.As(cause, &fault) { // a bug in a host function: keep the Go stack
		return &core.Trap{Reason: cause.Error(), Backtrace: backtrace(frames), Cause: err}
	}
	return newTrap(cause, frames)
}

// newTrap returns the trap that cause led to.
func newTrap(cause error, frames string) *core.Trap {
	t := &core.Trap{Reason: cause.Error(), Backtrace: backtrace(frames), Cause: cause}
	if engineError(cause) {
		t.Cause = nil
		if t.Reason == stackOverflow {
			t.Reason, t.Cause = core.ErrExhausted.Error(), core.ErrExhausted
		}
	}
	return t
}

func engineError(err error) bool {
	return reflect.TypeOf(err).String() == engineErrorType
}

// signature is the end of a line of a backtrace: the types of a function.
var signature = regexp.MustCompile(`\([a-z0-9,]*\)( [a-z0-9]+| \([a-z0-9,]+\))?$`)

// backtrace returns the function names of a backtrace, "module.function", or
// "function" where the module has no name.
func backtrace(frames string) []string {
	frames, _, _ = strings.Cut(frames, goStackTrace)
	var names []string
	for line := range strings.SplitSeq(frames, "\n\t") {
		at := signature.FindStringIndex(line)
		if at == nil {
			continue
		}
		names = append(names, strings.TrimPrefix(line[:at[0]], "."))
	}
	return names
}
