// SPDX-License-Identifier: Apache-2.0

// Package engine runs graphs: it puts a plan, the operators that implement its
// operations, and the endpoints at its ends together, and moves messages from
// sources to sinks until it is told to stop.
//
// The parts are made elsewhere and handed in: the plan by engine/plan, operators by
// engine/processor or in Go, endpoints by the drivers under engine/endpoint. A
// Graph owns the running of them and nothing else. It is never reconfigured; what it
// does between its ends can be swapped for another version as a whole. How messages move is the business of engine/schedule.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/engine/window"
)

// DefaultGrace is how long a graph that is stopped may take to finish what it has
// taken.
const DefaultGrace = 10 * time.Second

// VirtualNode is the node id of stamps made in virtual time.
const VirtualNode = "graphd-run"

// ErrGrace says that a graph that was stopped could not finish in time. What is
// left unsettled comes again from its source, where that can.
var ErrGrace = errors.New("grace period is over")

// EndName names a source or a sink of a graph.
type EndName struct {
	Sink      bool
	Operation string // the source or sink in the plan; empty for the dead letters
}

func (n EndName) String() string {
	switch {
	case n.Operation == "":
		return "the sink for dead letters"
	case n.Sink:
		return fmt.Sprintf("sink %q", n.Operation)
	}
	return fmt.Sprintf("source %q", n.Operation)
}

// EndError says that a graph ended because a source or a sink did.
type EndError struct {
	EndName
	Err error
}

func (e *EndError) Error() string { return fmt.Sprintf("%v: %v", e.EndName, e.Err) }

// Unwrap returns why it ended.
func (e *EndError) Unwrap() error { return e.Err }

// Config is what a graph is put together from. Fields without a default are
// needed.
type Config struct {
	Plan    *plan.Plan
	Options plan.Options
	Openers []operator.Opener // by place in Plan.Nodes; nil for operations without a module
	Sources []endpoint.Source // by place in Plan.Sources
	Sinks   []endpoint.Sink   // by place in Plan.Sinks; one may stand in several places
	// DeadLetter takes dropped messages; default: they are only counted and logged.
	DeadLetter endpoint.Sink
	// Windows keeps what delays and accumulates hold, so that it outlives the process;
	// default: it is kept in memory, and its messages stay unsettled. Used only by
	// plans that are timed, in real time. Its owner closes it after Run.
	Windows window.Store
	// HLC is the node's clock: it merges the stamps of messages, and gives its node id
	// to what is stamped here. Not used in virtual time.
	HLC     *hlc.Clock
	Clock   schedule.Clock        // default schedule.SystemClock
	Virtual *schedule.VirtualTime // makes the run one in virtual time; default: real time
	// Settled is told how long one in schedule.TimedEvery messages was in the graph when
	// it is settled; it must not block. Default: nobody is interested.
	Settled func(time.Duration)
	// Worked is told how long the operators took together that a message came to, of the same
	// messages; see schedule.Config.Worked. It must not block. Default: nobody is
	// interested.
	Worked func(time.Duration)
	// Watch is told everything that happens to messages, in that order; see
	// schedule.Config. Default: nobody watches, and it costs nothing.
	Watch func(schedule.Event)
	// Feed, in virtual time, plays the input of all sources in one order, instead of
	// Sources, which then may be left out. It calls take for each delivery, with the place
	// of its source in Plan.Sources, and with an empty delivery when only Virtual has
	// moved. It returns nil at the end of the input, or take's error; where it returns
	// schedule.ErrHalt, the run ends as if time stood still: what is held stays held.
	Feed   func(ctx context.Context, take func(source int, d endpoint.Delivery) error) error
	Logger *slog.Logger  // default: discard
	Inbox  int           // messages waiting for the worker; default schedule.DefaultInbox
	Grace  time.Duration // default DefaultGrace
}

// Graph is a graph that runs, or may. Its methods are safe for concurrent use; Run
// is called once.
type Graph struct {
	config  Config
	worker  atomic.Pointer[schedule.Worker] // that runs now, or may
	sinks   []endpoint.Sink                 // each once, dead letters included
	met     []atomic.Bool                   // by place in Ends: it was connected once
	running atomic.Bool
	failure atomic.Pointer[string] // why Run returned

	watch watch

	swapping chan struct{} // has room for the one Swap that runs
	change   change
	ended    chan struct{} // closed when Run returns
}

// New puts a graph together. Nothing is opened or started.
func New(c Config) (*Graph, error) {
	if len(c.Sources) != len(c.Plan.Sources) && c.Feed == nil {
		return nil, fmt.Errorf("engine: graph %q has %d sources, %d given", c.Plan.Graph, len(c.Plan.Sources), len(c.Sources))
	}
	if c.Virtual == nil && c.Feed != nil {
		return nil, fmt.Errorf("engine: graph %q is to be fed in real time", c.Plan.Graph)
	}
	if c.Virtual == nil && c.HLC == nil {
		return nil, fmt.Errorf("engine: graph %q is to run in real time without a clock", c.Plan.Graph)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	g := &Graph{
		config: c, met: make([]atomic.Bool, len(c.Sources)+len(c.Sinks)+1),
		swapping: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	worker, err := g.newWorker(Version{Plan: c.Plan, Options: c.Options, Openers: c.Openers, Windows: c.Windows})
	if err != nil {
		return nil, err
	}
	g.worker.Store(worker)
	seen := map[endpoint.Sink]bool{nil: true}
	for _, s := range append(append([]endpoint.Sink(nil), c.Sinks...), c.DeadLetter) {
		if !seen[s] {
			seen[s] = true
			g.sinks = append(g.sinks, s)
		}
	}
	return g, nil
}

// newWorker returns a worker between the graph's ends.
func (g *Graph) newWorker(v Version) (*schedule.Worker, error) {
	c := g.config
	config := schedule.Config{
		Plan: v.Plan, Options: v.Options, Openers: v.Openers, Sinks: c.Sinks, DeadLetter: c.DeadLetter,
		Clock: c.Clock, Virtual: c.Virtual, Node: VirtualNode,
		Connected: func(source int) bool { return c.Sources[source].Connected() },
		Settled:   c.Settled, Worked: c.Worked, Watch: c.Watch, Logger: c.Logger.With("graph", c.Plan.Graph), Inbox: c.Inbox,
	}
	if c.Virtual == nil {
		config.Node, config.Observe = c.HLC.Node(), g.observe
		if v.Plan.Timed {
			config.Windows = v.Windows
		}
	}
	worker, err := schedule.New(config)
	if err != nil {
		return nil, fmt.Errorf("engine: graph %q: %w", c.Plan.Graph, err)
	}
	return worker, nil
}

// observe merges a stamp into the node's clock. What is too far ahead is not
// merged; the worker counts it.
func (g *Graph) observe(t hlc.Timestamp) {
	if _, err := g.config.HLC.Observe(t); err != nil {
		g.config.Logger.Debug("stamp not merged into the clock", "error", err)
	}
}

// Run opens the operators, connects the endpoints and moves messages until ctx
// ends, or all sources have come to their end. Then it takes nothing more, finishes
// what it has taken, waits for the sinks' confirmations, settles, and returns nil;
// or an error that wraps ErrGrace, if that takes longer than the grace period. Any
// other error says why the graph could not start, or not go on.
func (g *Graph) Run(ctx context.Context) error {
	err := g.run(ctx)
	if err != nil {
		err = fmt.Errorf("engine: run graph %q: %w", g.config.Plan.Graph, err)
		text := err.Error()
		g.failure.Store(&text)
	}
	return err
}

func (g *Graph) run(ctx context.Context) (err error) {
	if err := g.worker.Load().Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.worker.Load().Close()) }()
	if g.config.Plan.Timed && g.config.Virtual == nil && g.config.Windows == nil {
		g.config.Logger.Warn("open windows are kept in memory only: their messages stay unacknowledged until the window has closed, "+
			"so a source that delivers few messages without acknowledgement may stall", "graph", g.config.Plan.Graph)
	}
	g.running.Store(true)
	defer g.stop()

	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	outlet := g.startSinks(ctx, abort)
	if g.config.Virtual != nil {
		defer context.AfterFunc(ctx, abort)()
		err = g.runVirtual(working)
	} else {
		err = g.runReal(ctx, working, abort)
	}
	// A sink's failure ends the work, so it stands for what the work ended with.
	if sinks := outlet.stop(); sinks != nil {
		return sinks
	}
	return err
}

// stop notes that the graph runs no more.
func (g *Graph) stop() {
	g.change.mu.Lock()
	defer g.change.mu.Unlock()
	g.running.Store(false)
	close(g.ended)
}

// outlet is the running sinks.
type outlet struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// startSinks runs the sinks, and calls abort when one of them fails.
func (g *Graph) startSinks(ctx context.Context, abort context.CancelFunc) *outlet {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o := &outlet{cancel: cancel}
	for _, s := range g.sinks {
		o.ended.Go(func() {
			err := s.Run(running)
			if err == nil && running.Err() == nil {
				err = errors.New("sink ended by itself")
			}
			if err != nil {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.errs = append(o.errs, &EndError{EndName{true, g.sinkName(s)}, err})
				abort()
			}
		})
	}
	return o
}

// sinkName is what the plan calls a sink.
func (g *Graph) sinkName(s endpoint.Sink) string {
	if i := slices.Index(g.config.Sinks, s); i >= 0 {
		return g.operation(g.config.Plan.Sinks[i])
	}
	return ""
}

// stop lets the sinks finish and returns what they failed with.
func (o *outlet) stop() error {
	o.cancel()
	o.ended.Wait()
	return errors.Join(o.errs...)
}

// runReal runs sources and worker side by side, the worker in this goroutine: sources until
// ctx ends, the worker until working does. What happens first decides how it ends: ctx, a
// source's failure, or the end of the work. Afterwards everybody finishes.
func (g *Graph) runReal(ctx, working context.Context, abort context.CancelFunc) error {
	receiving, stopReceiving := context.WithCancel(ctx)
	defer stopReceiving()
	var first sync.Once
	var failure error
	var grace *time.Timer
	finish := func(err error) {
		first.Do(func() {
			failure = err
			stopReceiving()
			g.worker.Load().Stop()
			grace = time.AfterFunc(g.config.Grace, abort)
		})
	}
	defer context.AfterFunc(ctx, func() { finish(nil) })()
	flush := make(chan struct{})
	var sources sync.WaitGroup
	for i, s := range g.config.Sources {
		sources.Go(func() {
			err := s.Run(receiving, func(d endpoint.Delivery) { g.worker.Load().Take(i, d) }, flush)
			switch {
			case err != nil:
				finish(&EndError{EndName{false, g.operation(g.config.Plan.Sources[i])}, err})
			case receiving.Err() == nil:
				g.worker.Load().End(i)
			}
		})
	}
	err := g.work(working)
	finish(nil)
	if !grace.Stop() && err != nil {
		err = fmt.Errorf("%w: %d messages are not settled after %v", ErrGrace, g.worker.Load().Stats().Unsettled, g.config.Grace)
	}
	close(flush)
	sources.Wait()
	return errors.Join(failure, err)
}

// runVirtual runs everything in this goroutine, source after source.
func (g *Graph) runVirtual(ctx context.Context) error {
	if g.config.Feed != nil {
		return g.runFed(ctx)
	}
	flush := make(chan struct{})
	close(flush) // nothing is left to settle when a source returns
	for i, s := range g.config.Sources {
		receiving, stop := context.WithCancel(ctx)
		var failure error
		err := s.Run(receiving, func(d endpoint.Delivery) {
			if failure != nil || !g.worker.Load().Take(i, d) {
				return
			}
			if failure = g.worker.Load().Step(ctx); failure != nil {
				stop()
			}
		}, flush)
		stop()
		if err := errors.Join(failure, err, ctx.Err()); err != nil {
			return err
		}
		g.worker.Load().End(i)
	}
	return g.worker.Load().Run(ctx)
}

// runFed works on what the feed gives, in this goroutine.
func (g *Graph) runFed(ctx context.Context) error {
	err := g.config.Feed(ctx, func(source int, d endpoint.Delivery) error {
		if d.Message != nil {
			g.worker.Load().Take(source, d)
		}
		return errors.Join(g.worker.Load().Step(ctx), ctx.Err())
	})
	switch {
	case errors.Is(err, schedule.ErrHalt):
		g.worker.Load().Stop()
	case err != nil:
		return err
	default:
		for i := range g.config.Plan.Sources {
			g.worker.Load().End(i)
		}
	}
	return g.worker.Load().Run(ctx)
}

// Stats returns the graph's counts, those of versions before included.
func (g *Graph) Stats() schedule.Stats { return g.worker.Load().Stats() }
