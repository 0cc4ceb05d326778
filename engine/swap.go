// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/engine/window"
)

// ErrNotRunning says that a graph that doesn't run, or no longer, was to be changed.
var ErrNotRunning = errors.New("the graph does not run")

// Version is what a graph does between its ends; the fields are those of Config.
type Version struct {
	Plan    *plan.Plan
	Options plan.Options
	Openers []operator.Opener
	// Windows is used where the graph has none in use: the plan before was not timed.
	Windows window.Store
}

// Swap makes a running graph do what v says, while its ends stay connected. The
// operators of v are opened first. Then comes the cut, between two messages: what the
// version before has begun is finished, confirmed and written down, and v takes the
// rest, in the same order. What delays and accumulates hold moves to the operations of
// the same names and kinds; with the option on-swap set to fire it comes out before the
// cut.
//
// Swap returns nil when v runs and has shown, for every window that it inherited,
// that its operations can go on with it, or the window has closed. If one can't,
// everything is given back to the version before, and the error wraps a
// *schedule.CarryError. Any other error says why v did not come to run; the version
// before goes on in each case. The end of ctx takes the swap back, up to the cut;
// after it, it ends the wait, v stays, and Swap returns nil. One Swap runs at a time;
// others wait.
//
// v's plan must have the sources and sinks of the one before. There is no Swap in
// virtual time.
func (g *Graph) Swap(ctx context.Context, v Version) error {
	select {
	case g.swapping <- struct{}{}:
		defer func() { <-g.swapping }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.config.Virtual != nil {
		return fmt.Errorf("engine: swap graph %q: it runs in virtual time", g.config.Plan.Graph)
	}
	next, err := g.newWorker(v)
	if err != nil {
		return err
	}
	if err := next.OpenOperators(ctx); err != nil {
		return fmt.Errorf("engine: swap graph %q: %w", g.config.Plan.Graph, err)
	}
	leftover, err := g.swap(ctx, next, v.Options.OnSwap == plan.Fire)
	if closing := leftover.Close(); closing != nil {
		g.config.Logger.Warn("closing the operators of a version failed", "graph", g.config.Plan.Graph, "error", closing)
	}
	if err != nil {
		return fmt.Errorf("engine: swap graph %q: %w", g.config.Plan.Graph, err)
	}
	return nil
}

// swap puts next in the place of the worker that runs, and returns the one of the two
// that runs no more.
func (g *Graph) swap(ctx context.Context, next *schedule.Worker, letOut bool) (leftover *schedule.Worker, err error) {
	h := &handover{next: next, before: g.worker.Load(), taken: make(chan error, 1), returned: make(chan error, 1)}
	if !g.offer(h, letOut) {
		return next, ErrNotRunning
	}
	select {
	case err = <-h.taken:
	case <-g.ended:
		select {
		case err = <-h.taken:
		default:
			err = ErrNotRunning
		}
	case <-ctx.Done():
		if g.withdraw(h) {
			return next, ctx.Err()
		}
		err = <-h.taken
	}
	if err != nil {
		return next, err
	}
	select {
	case <-next.Proven():
	case err := <-h.returned:
		return next, err
	case <-ctx.Done():
	case <-g.ended:
	}
	if !g.withdraw(h) {
		return next, <-h.returned // at the last moment
	}
	return h.before, nil
}

// handover is a swap under way, between Swap and the goroutine that runs workers.
type handover struct {
	next, before *schedule.Worker
	taken        chan error // from the cut: whether next has inherited
	returned     chan error // why before has everything again
	done         bool       // next has inherited; guarded by change.mu
}

// change is the place for a handover.
type change struct {
	mu       sync.Mutex
	handover *handover // guarded by mu; nil where nothing is under way
}

// offer makes the worker that runs pause for h.
func (g *Graph) offer(h *handover, letOut bool) bool {
	g.change.mu.Lock()
	defer g.change.mu.Unlock()
	if !g.running.Load() {
		return false
	}
	g.change.handover = h
	h.before.Pause(letOut)
	return true
}

// withdraw ends h: before the cut everything stays as it was, and after it as it is.
// It returns false if h has ended already.
func (g *Graph) withdraw(h *handover) bool {
	g.change.mu.Lock()
	defer g.change.mu.Unlock()
	if g.change.handover != h {
		return false
	}
	g.change.handover = nil
	if h.done {
		h.next.Trust()
	} else {
		h.before.Unpause()
	}
	return true
}

// work runs the graph's worker, and what takes its place, until there is nothing more
// to do or ctx ends.
func (g *Graph) work(ctx context.Context) error {
	for {
		err := g.worker.Load().Run(ctx)
		var carry *schedule.CarryError
		switch {
		case errors.Is(err, schedule.ErrPaused):
			g.cut(ctx)
		case errors.As(err, &carry):
			g.giveBack(ctx, carry)
		default:
			return err
		}
	}
}

// cut lets the next worker inherit from the one that has paused.
func (g *Graph) cut(ctx context.Context) {
	g.change.mu.Lock()
	defer g.change.mu.Unlock()
	h := g.change.handover
	if h == nil {
		g.worker.Load().Unpause() // withdrawn
		return
	}
	if err := h.next.Inherit(ctx, h.before); err != nil {
		h.before.Unpause()
		g.change.handover = nil
		h.taken <- err
		return
	}
	g.worker.Store(h.next)
	h.done = true
	h.taken <- nil
}

// giveBack lets the worker before have everything again.
func (g *Graph) giveBack(ctx context.Context, carry *schedule.CarryError) {
	g.change.mu.Lock()
	defer g.change.mu.Unlock()
	w, h := g.worker.Load(), g.change.handover
	if h != nil {
		h.before.Trust() // it has nobody to give anything back to
		err := h.before.Inherit(ctx, w)
		if err == nil {
			g.worker.Store(h.before)
			g.change.handover = nil
			h.returned <- carry
			return
		}
		g.config.Logger.Error("the version before can't be gone back to", "graph", g.config.Plan.Graph, "error", err)
	}
	w.Trust()
	w.Unpause()
}
