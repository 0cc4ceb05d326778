// SPDX-License-Identifier: Apache-2.0

package component

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/core"
)

var (
	// ErrDeadline is the cause of a trap that ended a call at its deadline, or when
	// its fuel was used up.
	ErrDeadline = errors.New("deadline exceeded")
	// ErrExhausted is the cause of a trap that ended a recursion too deep.
	ErrExhausted = core.ErrExhausted
	// ErrMemory is the cause of a trap of a guest that was refused memory beyond its
	// limit in the same call.
	ErrMemory = errors.New("memory limit exceeded")
	// ErrUncaught is the cause of a trap of a guest that threw an exception and did not
	// catch it.
	ErrUncaught = errors.New("uncaught exception")
	// ErrPoisoned says that an earlier call trapped and the instance can't be used.
	ErrPoisoned = errors.New("instance is poisoned by an earlier trap")
	// ErrBusy says that an instance, which serves one call at a time, is in a call.
	ErrBusy = errors.New("instance is already in a call")
)

// Trap is the error of a guest that trapped, or was made to. Its instance is
// poisoned: close it and make a new one.
type Trap struct {
	Component string   // name, as given to Compile
	Function  string   // the export that was called, "interface#function"
	Cause     error    // what happened; a *core.Trap where the engine saw it
	Backtrace []string // guest functions, innermost first, where names are known
}

func (t *Trap) Error() string {
	s := fmt.Sprintf("component %s: %s: %v", t.Component, t.Function, t.Cause)
	if len(t.Backtrace) > 0 {
		s += " (in " + strings.Join(t.Backtrace[:min(len(t.Backtrace), 4)], " < ") + ")"
	}
	return s
}

// Unwrap returns the cause.
func (t *Trap) Unwrap() error { return t.Cause }

// trap makes err, which came out of a call of function, a *Trap.
func (i *Instance) trap(function string, err error) *Trap {
	if t := (*Trap)(nil); errors.As(err, &t) {
		return t
	}
	t := &Trap{Component: i.component.name, Function: function, Cause: err}
	if c := (*core.Trap)(nil); errors.As(err, &c) {
		t.Backtrace = ofGuest(c.Backtrace)
		if c.Cause != nil {
			t.Cause = c.Cause // what a host function said, without the engine's wrapping
		} else if i.refusals() > i.meter.refusals {
			t.Cause = fmt.Errorf("%w: %w", ErrMemory, err)
		}
	}
	return t
}

// ofGuest returns the part of a backtrace that is the guest's: without the host's
// functions, and without those that package rewrite put into its modules.
func ofGuest(backtrace []string) []string {
	return slices.DeleteFunc(slices.Clone(backtrace), func(name string) bool {
		return strings.HasPrefix(name, "graphd.") || strings.Contains(name, ".graphd.")
	})
}
