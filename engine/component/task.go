// SPDX-License-Identifier: Apache-2.0

package component

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// task is what a call of one of a component's functions has of its own. A part is in
// one call at a time, so it has one task.
type task struct {
	context  [2]uint64 // what context.set stored
	returned bool      // task.return was called
	result   value.Value
	typ      *types.Type // of result; nil for none
}

// What an async call that has returned tells its caller, and what an async function
// with a callback returns when it is done.
const (
	returned = 2
	exited   = 0
)

// finish ends a call of an async function: its result is the task's.
func (p *part) finish(l *link.Lift, c Codec, stack []uint64) error {
	d, ok := c.(*dynamic)
	switch {
	case !ok:
		return errors.New("an async function can only be called with dynamic values")
	case l.Callback && uint32(stack[0]) != exited:
		return errors.New("an async function must wait, which is not supported")
	case !p.task.returned:
		return errors.New("an async function ended without calling task.return")
	}
	if err := types.Same(p.task.typ, l.Signature.Type().Result); err != nil {
		return fmt.Errorf("task.return of another type than the function's: %w", err)
	}
	d.result = p.task.result
	return nil
}

func (i *Instance) taskReturn(t *link.Trampoline, stack []uint64) {
	p := &i.parts[t.Instance]
	a := i.lowerTo(p, t, abi.Kept)
	args, err := t.Signature.LiftParams(&a.frame, stack)
	i.check(t, err)
	i.check(t, a.frame.Done())
	p.depth--
	if p.task.returned {
		i.check(t, errors.New("the task has returned already"))
	}
	p.task.returned = true
	if len(args) > 0 {
		p.task.result, p.task.typ = args[0], t.Signature.Type().Params[0].Type
	}
}

func (i *Instance) contextGet(t *link.Trampoline, stack []uint64) {
	stack[0] = i.parts[t.Instance].task.context[t.Slot]
}

func (i *Instance) contextSet(t *link.Trampoline, stack []uint64) {
	i.parts[t.Instance].task.context[t.Slot] = stack[0]
}

// maxBackpressure bounds how often a component may ask not to be called.
const maxBackpressure = 1<<16 - 1

func (i *Instance) backpressure(t *link.Trampoline, change int) {
	p := &i.parts[t.Instance]
	p.backpressure += change
	if p.backpressure < 0 || p.backpressure > maxBackpressure {
		i.check(t, errors.New("backpressure counter out of range"))
	}
}

var errUnsupported = errors.New("asynchronous built-ins that wait, or serve waiting, are not supported")

// unsupported is what is left of the asynchronous built-ins.
func (i *Instance) unsupported(t *link.Trampoline) {
	i.builtin(t)
	i.check(t, errUnsupported)
}
