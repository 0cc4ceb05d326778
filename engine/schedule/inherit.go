// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
)

// One worker may take the place of another while their sources and sinks stay
// connected. The one before is paused: between two messages it stops, waits until
// everything that it has sent is confirmed and committed, and its Run returns. Then
// the other inherits: the messages that are waiting, what is not settled, the
// frontier, and what delays and accumulates hold. Nothing is read again, so nothing
// comes twice, and the order is that in which things came.
//
// What an accumulate has folded is its own invention, and another version of it may
// make nothing of it. So an inherited window is unproven until the heir has folded a
// message into it. If it can't, it gives up before anything is lost: its Run returns a
// CarryError, and the worker before may inherit everything back.

// ErrPaused is what Run returns after Pause.
var ErrPaused = errors.New("schedule: worker is paused")

// CarryError says that an operation makes nothing of a window that another version
// of it has left open.
type CarryError struct {
	Operation string
	Window    hlc.Timestamp
	Err       error // what the operation said
}

func (e *CarryError) Error() string {
	return fmt.Sprintf("schedule: operation %q fails on the open window of %v, which the version before has begun: %v", e.Operation, e.Window, e.Err)
}

// Unwrap returns what the operation said.
func (e *CarryError) Unwrap() error { return e.Err }

// Pause makes Run return ErrPaused, once everything that was sent is confirmed; with
// letOut not before everything that is held has come out. What waits in the inbox
// stays there, and more may be taken. Any goroutine may call it.
func (w *Worker) Pause(letOut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pausing, w.emptying = true, letOut
	w.cut.Store(true)
	w.rouse()
}

// Unpause takes Pause back. If Run has returned, it may be called again.
func (w *Worker) Unpause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pausing, w.emptying = false, false
	w.cut.Store(false)
	w.rouse()
}

// Proven returns what is closed once every inherited window is proven, or closed.
func (w *Worker) Proven() <-chan struct{} { return w.proven }

// Trust ends the proving of inherited windows: from now on an operation that makes
// nothing of one loses what it can't fold into it. Any goroutine may call it.
func (w *Worker) Trust() { w.trusted.Store(true) }

// Inherit takes over everything that from has, which is paused and not running; nor
// is w. From then on whatever is given to from goes to w. On an error, nothing has
// changed. Both have the same sources and sinks.
func (w *Worker) Inherit(ctx context.Context, from *Worker) error {
	if err := w.fits(from); err != nil {
		return err
	}
	if w.keeps && from.journal == nil {
		if err := w.load(ctx); err != nil {
			return err
		}
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heir, w.pausing, w.emptying, w.relapse = nil, false, false, nil
	w.cut.Store(false)
	for i := range w.sources {
		f := from.sources[i].frontier
		f.Retune(w.lateness(), w.options.MaxStall.Milliseconds())
		w.sources[i] = source{ledger: from.sources[i].ledger, frontier: f}
		from.sources[i] = source{frontier: progress.NewFrontier(0, 0, f.At())}
	}
	w.inbox, from.inbox = from.inbox, nil
	w.frontier = max(w.frontier, from.frontier)
	w.local = from.local
	w.stopped, w.ended, w.ending = from.stopped, from.ended, from.ending
	w.watch, w.watching = from.watching, from.watching
	if w.keeps && from.journal != nil {
		w.journal, from.journal = from.journal, nil
	}
	w.inheritWindows(from)
	w.inheritCounts(from)
	from.heir = w
	from.space.Broadcast()
	return nil
}

// fits reports why w can't go on where from was.
func (w *Worker) fits(from *Worker) error {
	if got, want := w.ends(), from.ends(); !slices.Equal(got, want) {
		return fmt.Errorf("schedule: inherit: other sources and sinks: %q, before %q", got, want)
	}
	for _, i := range from.timed {
		old := &from.nodes[i]
		if old.held.next() == progress.End {
			continue
		}
		remedy := "set the option on-swap to fire to let them out before"
		if n := w.named(old.name); n == nil || n.held == nil {
			return fmt.Errorf("schedule: inherit: operation %q holds %d messages and is gone; %s", old.name, old.holds.Load(), remedy)
		} else if n.kind != old.kind {
			return fmt.Errorf("schedule: inherit: operation %q holds %d messages as a %s and is now a %s; %s", old.name, old.holds.Load(), old.kind, n.kind, remedy)
		}
		if w.keeps != (from.journal != nil) {
			return fmt.Errorf("schedule: inherit: operation %q holds %d messages, and would keep them elsewhere; %s", old.name, old.holds.Load(), remedy)
		}
	}
	return nil
}

// inheritWindows takes over what from's nodes hold. The mutexes of both are held.
func (w *Worker) inheritWindows(from *Worker) {
	w.unproven, w.proven = 0, make(chan struct{})
	for _, i := range from.timed {
		old := &from.nodes[i]
		if old.held.next() == progress.End {
			continue
		}
		n := w.named(old.name)
		n.held, old.held = old.held, &calendar{}
		n.holds.Store(old.holds.Swap(0))
		for _, p := range n.held.pages {
			if w.foreign(p) {
				w.unproven++
			}
		}
	}
	if w.unproven == 0 {
		close(w.proven)
	}
}

// inheritCounts goes on counting where from was.
func (w *Worker) inheritCounts(from *Worker) {
	pairs := func(c *counters) []*atomic.Uint64 {
		return []*atomic.Uint64{&c.received, &c.sent, &c.undeliverable, &c.buried, &c.malformed, &c.drifted, &c.late}
	}
	for i, c := range pairs(&w.counters) {
		c.Store(pairs(&from.counters)[i].Load())
	}
	w.counters.lastDrift.Store(from.counters.lastDrift.Load())
	of := func(n *node) []*atomic.Uint64 {
		return []*atomic.Uint64{&n.in, &n.sent, &n.filtered, &n.refused, &n.lost, &n.faults}
	}
	for i := range from.nodes {
		old := &from.nodes[i]
		if n := w.named(old.name); n != nil && n.kind == old.kind {
			for j, c := range of(n) {
				c.Store(of(old)[j].Load())
			}
		}
	}
}

// foreign reports whether what p has folded was folded by another version.
func (w *Worker) foreign(p *page) bool { return p.folded > 0 && p.author != w }

// prove folds what waits in the windows that were inherited, so that it shows at once
// whether they can be gone on with.
func (w *Worker) prove(ctx context.Context) {
	for _, i := range w.timed {
		n := &w.nodes[i]
		if !n.folds() {
			continue
		}
		for _, t := range slices.Sorted(maps.Keys(n.held.pages)) {
			p := n.held.pages[t]
			if !w.foreign(p) || p.stored+len(p.entries) == 0 || w.failure != nil || w.relapse != nil {
				continue
			}
			if w.gather(ctx, n, p); w.failure == nil {
				w.fold(ctx, n, p, w.gathered, open)
			}
			w.flush(ctx)
		}
	}
}

// sound reports whether n can go on with p, which another version has begun, with any
// of entries, which are in w.gathered. If it can't, these are back in p, and the worker
// comes to its end.
func (w *Worker) sound(ctx context.Context, n *node, p *page, entries []entry) bool {
	if !w.foreign(p) || w.trusted.Load() {
		return true
	}
	var first error
	for _, e := range entries {
		_, err := n.slots[0].accumulate(ctx, p.staged, []*message.Message{e.message})
		if err == nil {
			return true
		}
		if first == nil {
			first = err
		}
		if w.failure = n.slots[0].survive(ctx, err); w.failure != nil {
			return false
		}
	}
	w.scatter(p)
	w.relapse = &CarryError{Operation: n.name, Window: p.at, Err: first}
	w.Pause(false)
	return false
}

// proved notes that p is this version's from now on.
func (w *Worker) proved(p *page) {
	if w.foreign(p) && w.unproven > 0 {
		if w.unproven--; w.unproven == 0 {
			close(w.proven)
		}
	}
	p.author = w
}

// ends are the names of the sources and sinks, in the plan's order.
func (w *Worker) ends() []string {
	var names []string
	for _, ends := range [][]int{w.plan.Sources, w.plan.Sinks} {
		for _, i := range ends {
			names = append(names, w.nodes[i].name)
		}
		names = append(names, "")
	}
	return names
}

// named returns the node of that name, or nil.
func (w *Worker) named(name string) *node {
	for i := range w.nodes {
		if w.nodes[i].name == name {
			return &w.nodes[i]
		}
	}
	return nil
}
