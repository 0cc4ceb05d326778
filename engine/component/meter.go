// SPDX-License-Identifier: Apache-2.0

package component

import (
	"context"
	"fmt"
	"time"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// quantum is how much fuel a guest gets at a time, in units of about one
// instruction: a quarter of a millisecond's worth. A collection of garbage waits for
// the guest a few times, a cancellation once; the host is rarely asked nevertheless.
const quantum = 1 << 18

// meter measures one call. No clock is read when a call begins; the first tick
// within it does, so a deadline is late by at most a quantum of work.
type meter struct {
	limit   time.Duration // <= 0: none
	started time.Time     // zero until the first tick
	fuel    uint64        // used since the call began
	host    uint64        // fuel for work of the host's, since it was last paid
	// refusals is how often the guest had been refused memory when the call began.
	refusals uint64
	context  context.Context // the call's, with its deadline; nil until a host function asks
	cancel   context.CancelFunc
}

// enter begins a call from outside.
func (i *Instance) enter(ctx context.Context, limit time.Duration) {
	i.context.Context = ctx
	i.meter.limit, i.meter.started, i.meter.fuel, i.meter.host = limit, time.Time{}, 0, 0
	i.meter.refusals = i.refusals()
}

// leave ends it.
func (i *Instance) leave() {
	if i.meter.cancel != nil {
		i.meter.cancel()
		i.meter.context, i.meter.cancel = nil, nil
	}
	i.context.Context = context.Background()
}

// turn is after how many quanta of one call other goroutines get theirs. To yield costs a
// guest its processor and what is in the caches there, so a call that takes less time
// doesn't.
const turn = 4

// long reports whether it is time for others to run.
func long(ctx context.Context) bool {
	quanta := ctx.(*callContext).instance.meter.fuel / quantum
	return quanta > 0 && quanta%turn == 0
}

// tick is called by a guest that has used up its quantum: stack holds what is left
// (zero or less) and gets the next quantum. Being a Go function, it is also where
// the garbage collector can stop the guest, and where other goroutines get their turn.
func tick(ctx context.Context, stack []uint64) {
	cc := ctx.(*callContext)
	i := cc.instance
	i.continues()
	m := &i.meter
	grant := int64(quantum)
	if limit := i.config.Fuel; limit != 0 {
		grant = int64(min(quantum, limit-m.fuel))
	}
	m.fuel += uint64(grant)
	// What the guest overdrew (a long bulk operation) is taken off the next quantum
	// only as far as it leaves some: a guest always moves on.
	stack[0] = uint64(max(grant+int64(stack[0]), 1))
}

// continues panics if the call must end.
func (i *Instance) continues() {
	if err := i.context.Err(); err != nil {
		panic(fmt.Errorf("cancelled: %w", context.Cause(i.context.Context)))
	}
	m := &i.meter
	if limit := i.config.Fuel; limit != 0 {
		if m.fuel >= limit {
			panic(fmt.Errorf("%w: %d units of fuel used", ErrDeadline, limit))
		}
	} else if m.limit > 0 {
		if over := i.elapsed() - m.limit; over > 0 {
			panic(fmt.Errorf("%w: ran for more than %v", ErrDeadline, m.limit))
		}
	}
}

// callUnits is the fuel that a call of the host costs, whatever it passes.
const callUnits = 1 << 7

// charge makes a guest pay for work that the host does on its behalf: a guest that only
// makes the host work would hardly use fuel itself, and not be stopped for minutes.
func (i *Instance) charge(units uint64) {
	m := &i.meter
	if m.host += units; m.host >= quantum {
		m.fuel += m.host
		m.host = 0
		i.continues()
	}
}

// elapsed returns for how long the call has run, counted from when it was first
// asked for.
func (i *Instance) elapsed() time.Duration {
	now := i.config.Now()
	if i.meter.started.IsZero() {
		i.meter.started = now
	}
	return now.Sub(i.meter.started)
}

// overflow is called by a guest whose call stack is full.
func overflow(context.Context, []uint64) { panic(core.ErrExhausted) }

// uncaught is called where an exception leaves the core modules of a component.
func uncaught(context.Context, []uint64) { panic(ErrUncaught) }
