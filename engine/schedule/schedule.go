// SPDX-License-Identifier: Apache-2.0

// Package schedule runs a plan: one worker, one goroutine, message after message.
//
// Sources hand their deliveries to Take, from their own goroutines: it stamps the
// message, opens its epoch and puts it into the worker's inbox, the only queue
// there is. The worker takes a message out and runs it to completion: node after
// node of the plan by plain calls, up to the sinks that take it or the window that
// holds it. Nothing on that way is looked up or started. Only a graph's sole operator
// may be called for the next few messages before (see ahead.go). Sinks confirm from
// any goroutine; when everything that came of a message is confirmed, and of all
// before it, its source is told to settle it.
//
// What is held for later, by a delay or an accumulate, is worked on when the
// graph's frontier passes its time: time after time, and for each time node after
// node in the plan's order, so that a window's result is there before the window
// after it closes. With a window store, what is held is written down, and its
// messages are settled as soon as that is done; what a worker finds there when it is
// opened, it goes on with (see journal.go). Without one, they stay unsettled until
// what came of them is safe.
//
// In virtual time the caller steps the worker itself; clock and frontier follow the
// input, so that equal input gives equal output.
package schedule

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
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/window"
)

// DefaultInbox is how many messages wait for the worker at most.
const DefaultInbox = 1024

// TimedEvery is of how many messages of a source one is timed. To time them all would
// cost more than all other counts together.
const TimedEvery = 16

// tick is how often a worker in real time looks whether the frontier has moved.
const tick = 50 * time.Millisecond

// Config is what a worker is made of. Fields without a default are needed.
type Config struct {
	Plan    *plan.Plan
	Options plan.Options
	Openers []operator.Opener // by node; nil where the node has no module
	Sinks   []endpoint.Sink   // by place in Plan.Sinks
	// DeadLetter takes the messages that are dropped; nil drops them with no more
	// than a count and a line in the log.
	DeadLetter endpoint.Sink
	Clock      Clock        // default SystemClock
	Virtual    *VirtualTime // instead of Clock: time follows the input
	Node       string       // node id of the stamps that the worker makes
	// Windows keeps what delays and accumulates hold; nil: it is kept in memory only.
	// It is not for virtual time, nor for plans that are not timed. The worker's owner
	// closes it.
	Windows window.Store
	// Observe is told every stamp that a message brought along, to merge it into the
	// node's own clock; nil: nobody is interested. Called from any goroutine.
	Observe func(hlc.Timestamp)
	// Connected reports whether the source at that place in Plan.Sources is connected.
	// Needed for timed plans in real time.
	Connected func(source int) bool
	// Settled is told how long a message was in the graph, when it is settled: of each
	// source's messages the first, and one in TimedEvery. Nil: nobody is interested. It
	// must not block.
	Settled func(time.Duration)
	// Worked is told how long the operators took together that a message came to, until it was
	// sent, dropped or held; of the same messages, where they came to any. Nil: nobody is
	// interested. It is called from the worker's goroutine, and must not block.
	Worked func(time.Duration)
	// Watch is told everything that the worker does, in that order, from the goroutine
	// that does it; nil: nobody watches, and it costs nothing. It must not block. A worker
	// that is watched has a frontier even where nothing in its plan needs one. See
	// Worker.Watch.
	Watch  func(Event)
	Logger *slog.Logger // default: discard
	Inbox  int          // default DefaultInbox
}

// Worker runs one plan. Take, Stop, End, Watch, Stats and Health may be called from any
// goroutine; Open, Run, Step and Close are for the one that owns the worker.
type Worker struct {
	plan       *plan.Plan
	options    plan.Options
	deadLetter endpoint.Sink
	clock      Clock
	virtual    *VirtualTime
	node       string
	observe    func(hlc.Timestamp)
	connected  func(int) bool
	settled    func(time.Duration)
	worked     func(time.Duration)
	log        *slog.Logger
	capacity   int
	maxDelay   int64 // milliseconds
	dropLate   bool
	dropDrift  bool

	// Only the worker's goroutine touches these.
	nodes    []node
	timed    []int       // indexes of the delays and accumulates
	clocked  bool        // somebody needs the frontier; changed under mu
	watch    func(Event) // nil: nobody watches
	batch    []arrival   // being worked on
	sequel   []arrival   // the part of batch not worked on yet
	entrance []*node     // by place of a source: who is asked ahead; see entrances
	ahead    []answer    // of the entrance, about the arrivals that come next
	foreseen []answer    // where ahead is kept; nil: nobody was asked yet
	gathered []entry     // taken off a page
	recalled int         // how many of these were in the store only
	runs     []run       // a ring, from oldest on as many as are underway
	oldest   int
	underway int
	current  *run      // being worked on
	answers  chan *run // from the pools; nil if there are none
	failure  error     // why the worker can't go on
	relapse  error     // why it has to give back what it has inherited
	quiet    bool      // it was told to pause, and nothing of it is under way
	keeps    bool      // it has a window store
	journal  *journal  // nil without one, or where an heir has it
	spare    *ticket   // tickets taken from free, all at once

	// Of what is inherited (see inherit.go):
	unproven int           // windows that another version has begun
	proven   chan struct{} // closed when there are none left
	trusted  atomic.Bool   // and nobody cares any more

	cut atomic.Bool // pausing, for who is in the middle of a batch

	issued   atomic.Uint64 // tickets that were sent out; changed by the worker's goroutine
	counters counters

	mu         sync.Mutex // guards everything below
	space      sync.Cond  // the inbox has become shorter, or the worker stops
	sources    []source
	inbox      []arrival
	stopped    bool        // takes no more
	ended      bool        // and what is held is to be fired
	pausing    bool        // Run is to return between two messages
	emptying   bool        // and before, what is held is to come out
	heir       *Worker     // has taken over
	watching   func(Event) // what watch is from the next batch on
	ending     int         // sources that have ended
	idle       bool        // the worker sleeps until woken
	frontier   progress.Time
	local      hlc.Timestamp // the last stamp made here
	handedBack uint64        // tickets that have come back; see Worker.issued
	free       *ticket
	returned   *ticket // undeliverable, waiting to be sent to the dead letters
	failures   logQuota

	wake chan struct{} // has room for one signal
}

// source is the worker's side of a source.
type source struct {
	ledger   progress.Ledger[receipt]
	frontier *progress.Frontier
	waiting  bool // Take waits for space
	untimed  int  // messages to come before the next that is timed
}

// receipt is what there is to do when a message is done.
type receipt struct {
	settle   func()    // nil: nothing
	received time.Time // zero: it is not timed
}

// arrival is a message in the inbox.
type arrival struct {
	message *message.Message
	source  int
	epoch   progress.Epoch
	drop    reason // not empty: it is dropped for that reason
	moved   bool   // it was older than the frontier
	at      int64  // when it came, in Unix nanoseconds
	timed   bool   // see Config.Worked

	position    endpoint.Position
	redelivered bool
}

// claim is a hold on what is not safe yet: a message of a source, or all those that
// went into a window.
type claim struct {
	source int
	epoch  progress.Epoch
	group  *group // not nil: the others don't count
}

// group is what the result of a window stands for: the claims of those that went
// into it, or a record in the window store.
type group struct {
	holds  int
	claims []claim
	frozen uint64 // serial number of the record; 0: none
}

// New returns a worker that has opened nothing yet.
func New(c Config) (*Worker, error) {
	if len(c.Openers) != len(c.Plan.Nodes) {
		return nil, fmt.Errorf("schedule: plan has %d nodes, %d openers given", len(c.Plan.Nodes), len(c.Openers))
	}
	if len(c.Sinks) != len(c.Plan.Sinks) {
		return nil, fmt.Errorf("schedule: plan has %d sinks, %d given", len(c.Plan.Sinks), len(c.Sinks))
	}
	w := &Worker{
		plan: c.Plan, options: c.Options, deadLetter: c.DeadLetter, clock: c.Clock, virtual: c.Virtual,
		node: c.Node, observe: c.Observe, connected: c.Connected, settled: c.Settled, worked: c.Worked, watch: c.Watch, watching: c.Watch, log: c.Logger, capacity: c.Inbox,
		maxDelay: plan.DefaultMaxDelay.Milliseconds(), dropLate: c.Options.LatePolicy == plan.DropLate,
		dropDrift: c.Options.DriftPolicy == plan.DropDrift,
		frontier:  progress.Beginning, wake: make(chan struct{}, 1),
	}
	w.space.L = &w.mu
	switch {
	case w.virtual != nil:
		w.clock = w.virtual
		w.failures.unlimited = true
	case w.clock == nil:
		w.clock = SystemClock{}
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.capacity <= 0 {
		w.capacity = DefaultInbox
	}
	if c.Options.MaxDelay > 0 {
		w.maxDelay = c.Options.MaxDelay.Milliseconds()
	}
	w.nodes = make([]node, len(c.Plan.Nodes))
	ahead := 0
	for i, p := range c.Plan.Nodes {
		n := &w.nodes[i]
		n.name, n.kind, n.outputs, n.opener = p.Operation, p.Kind, p.Outputs, c.Openers[i]
		n.drops.unlimited = w.virtual != nil
		switch {
		case p.Module != "" && n.opener == nil:
			return nil, fmt.Errorf("schedule: no opener for operation %q", p.Operation)
		case p.Kind == operator.Delay || p.Kind == operator.Accumulate:
			n.held = &calendar{}
			w.timed = append(w.timed, i)
		}
		if n.opener != nil {
			n.slots = make([]slot, w.instances(p))
			for j := range n.slots {
				n.slots[j] = slot{worker: w, node: n}
			}
			if len(n.slots) > 1 {
				ahead += lookahead * len(n.slots)
			}
		}
	}
	w.entrance = w.entrances()
	w.runs = make([]run, 1+ahead)
	if ahead > 0 {
		w.answers = make(chan *run, len(w.runs))
	}
	w.clocked = len(w.timed) > 0 || w.watch != nil
	for i, index := range c.Plan.Sinks {
		w.nodes[index].sink, w.nodes[index].bare = c.Sinks[i], endpoint.OmitsStamp(c.Sinks[i])
	}
	w.proven = make(chan struct{})
	close(w.proven)
	if c.Windows != nil {
		w.keeps = true
		if w.virtual != nil || len(w.timed) == 0 {
			return nil, errors.New("schedule: a window store is given to a worker that has no use for it")
		}
		w.journal = w.newJournal(c.Windows)
	}
	for range c.Plan.Sources {
		w.sources = append(w.sources, source{
			frontier: progress.NewFrontier(w.lateness(), c.Options.MaxStall.Milliseconds(), progress.Beginning),
		})
	}
	return w, nil
}

// Plan returns the plan that the worker runs.
func (w *Worker) Plan() *plan.Plan { return w.plan }

// instances is how many instances an operation is given. In virtual time one message
// is in the graph at a time, so one is enough.
func (w *Worker) instances(p plan.Node) int {
	if w.virtual != nil {
		return 1
	}
	return max(1, p.Parallelism)
}

func (w *Worker) lateness() int64 {
	if w.options.Lateness != nil {
		return w.options.Lateness.Milliseconds()
	}
	return plan.DefaultLateness.Milliseconds()
}

// Open reads what is in the window store, and opens an instance of every operation.
// On an error those opened before are closed.
func (w *Worker) Open(ctx context.Context) error {
	if w.journal != nil {
		if err := w.load(ctx); err != nil {
			return err
		}
	}
	return w.OpenOperators(ctx)
}

// OpenOperators opens an instance of every operation, and reads nothing: a worker that
// is to inherit is opened so. On an error those opened before are closed.
func (w *Worker) OpenOperators(ctx context.Context) error {
	for i := range w.nodes {
		n := &w.nodes[i]
		for j := range n.slots {
			if err := n.slots[j].open(ctx); err != nil {
				return errors.Join(fmt.Errorf("schedule: open operation %q: %w", n.name, err), w.Close())
			}
		}
	}
	return nil
}

// Close closes all instances. The worker must not be running.
func (w *Worker) Close() error {
	var errs []error
	for i := range w.nodes {
		n := &w.nodes[i]
		for j := range n.slots {
			if err := n.slots[j].close(); err != nil {
				errs = append(errs, fmt.Errorf("schedule: close operation %q: %w", n.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Take hands over a delivery of the source at that place in Plan.Sources. It
// blocks while the inbox is full. It reports false, and leaves the delivery
// unsettled, once the worker is stopped. One goroutine at a time calls it for one
// source.
func (w *Worker) Take(from int, d endpoint.Delivery) bool {
	now := w.clock.Now()
	stamp, stamped, malformed := carried(d.Message)

	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.sources[from]
	for len(w.inbox) >= w.capacity && !w.stopped && w.heir == nil {
		s.waiting = true
		w.space.Wait()
	}
	s.waiting = false
	if heir := w.heir; heir != nil {
		w.mu.Unlock()
		defer w.mu.Lock()
		return heir.Take(from, d)
	}
	if w.stopped {
		return false
	}
	w.counters.received.Add(1)
	if stamped || malformed {
		d.Message.Properties = slices.DeleteFunc(d.Message.Properties, isStamp)
	}
	if malformed {
		w.counters.malformed.Add(1)
	}
	if stamped && w.observe != nil {
		w.observe(stamp)
	}
	a := arrival{message: d.Message, source: from, position: d.Position, redelivered: d.Redelivered}
	a.drop = w.stamp(d.Message, now, stamp, stamped)
	if w.virtual != nil {
		now = w.virtual.Now() // the message may have moved it
	}
	a.at = now.UnixNano()
	if w.clocked {
		s.frontier.Received(progress.Time(now.UnixMilli()), progress.Time(d.Message.Time.Millis))
	}
	if len(w.timed) > 0 {
		again := false
		if w.journal != nil { // what is in a window already can't come too late for it
			_, again = w.journal.recall(from, d.Position, d.Redelivered)
		}
		if !again {
			var late reason
			if late, a.moved = w.admit(d.Message); a.drop == "" {
				a.drop = late
			}
		}
	}
	r := receipt{settle: d.Settle}
	if w.settled != nil || w.worked != nil {
		if s.untimed == 0 {
			a.timed, s.untimed = w.worked != nil, TimedEvery
			if w.settled != nil {
				r.received = now
			}
		}
		s.untimed--
	}
	a.epoch = s.ledger.Open(r)
	w.inbox = append(w.inbox, a)
	w.rouse()
	return true
}

// Watch makes f what Config.Watch was, from the next batch on; nil: nobody watches.
// What f was before may be called until then.
func (w *Worker) Watch(f func(Event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heir != nil {
		w.heir.Watch(f)
		return
	}
	w.watching = f
	w.rouse()
}

// Stop makes the worker finish what it has taken, and no more than that: what is
// held for later stays unsettled.
func (w *Worker) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heir != nil {
		w.heir.Stop()
		return
	}
	w.stopped = true
	w.space.Broadcast()
	w.rouse()
}

// End says that the source at that place has come to its end. When all have, the
// worker stops, once everything that is held has come out.
func (w *Worker) End(from int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heir != nil {
		w.heir.End(from)
		return
	}
	w.sources[from].frontier.Close()
	w.ending++
	if w.ending == len(w.sources) {
		w.stopped, w.ended = true, true
		w.rouse()
	}
}

// rouse wakes the worker if it sleeps; w.mu is held.
func (w *Worker) rouse() {
	if !w.idle {
		return
	}
	w.idle = false
	select {
	case w.wake <- struct{}{}:
	default: // it is about to wake up anyhow
	}
}

// Run works until the worker is stopped or ended, everything taken is worked on,
// and every sink has confirmed. When ctx ends before, it returns ctx's error at
// once, and what isn't settled by then never will be. Any other error says that a
// sink broke its contract, an operation can't be had any more, or windows can't be
// kept.
func (w *Worker) Run(ctx context.Context) error {
	defer w.startPools(ctx)()
	if w.journal == nil {
		return w.run(ctx)
	}
	w.journal.orders = make(chan *transaction, 1)
	committing, cancel := context.WithCancel(ctx)
	var committer sync.WaitGroup
	committer.Go(func() { w.commitAll(committing) })
	defer committer.Wait()
	defer close(w.journal.orders)
	defer cancel()
	if w.resume(ctx); w.failure != nil {
		return w.failure
	}
	return w.run(ctx)
}

func (w *Worker) run(ctx context.Context) error {
	var ticks <-chan time.Time
	var committed <-chan *transaction
	if w.journal != nil {
		committed = w.journal.committed
	}
	w.prove(ctx)
	for {
		work, done := w.fetch()
		if ticks == nil && w.clocked && w.virtual == nil {
			ticker := time.NewTicker(tick)
			defer ticker.Stop()
			ticks = ticker.C
		}
		w.work(ctx, ticks)
		w.flush(ctx)
		switch {
		case w.failure != nil:
			return w.failure
		case done && w.relapse != nil:
			return w.relapse
		case done && w.quiet:
			return ErrPaused
		case done:
			return nil
		case work:
			continue
		}
		select {
		case <-w.wake:
		case <-ticks:
			if !w.cut.Load() {
				w.advance(ctx)
			}
		case r := <-w.answers:
			w.collect(ctx, r)
		case t := <-committed:
			w.deliver(ctx, t)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Step works on everything taken, in virtual time, and on what is due by now, and
// returns when it is done or has failed. It waits for no confirmation.
func (w *Worker) Step(ctx context.Context) error {
	w.fetch()
	w.work(ctx, nil)
	if w.clocked && w.failure == nil {
		w.moveTo(ctx, w.virtual.frontier(w.lateness()))
	}
	return w.failure
}

// fetch takes over the inbox. work is false if there is nothing to do for now, and
// the worker may sleep; done is true if there will never be anything again.
func (w *Worker) fetch() (work, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = false
	w.watch = w.watching
	w.clocked = w.clocked || w.watch != nil
	clear(w.batch)
	w.batch = w.batch[:0]
	if !w.pausing {
		full := len(w.inbox) >= w.capacity
		w.batch, w.inbox = w.inbox, w.batch
		if full {
			w.space.Broadcast()
		}
	}
	w.sequel = w.batch
	if len(w.batch) > 0 || w.returned != nil {
		return true, false
	}
	if w.pausing {
		if w.emptying && w.holding() {
			return true, false
		}
		w.quiet = w.inFlight() == 0 && w.underway == 0 && !w.pending()
		w.idle = !w.quiet
		return false, w.quiet
	}
	if w.stopped && w.inFlight() == 0 && w.underway == 0 && (!w.ended || !w.holding()) && !w.pending() {
		return false, true
	}
	if w.ended && w.holding() {
		return true, false
	}
	w.idle = true
	return false, false
}

// work works on the batch, on what sinks have returned and, when all sources have
// ended, on what is held.
func (w *Worker) work(ctx context.Context, ticks <-chan time.Time) {
	w.bury(ctx)
	for i := range w.batch {
		if len(w.ahead) == 0 {
			if w.cut.Load() {
				w.putBack(w.batch[i:])
				break
			}
			w.foresee(ctx, w.batch[i:])
		}
		w.sequel = w.batch[i+1:]
		w.arrive(ctx, &w.batch[i])
		w.collectAll(ctx)
		if w.failure != nil {
			return
		}
		if ticks != nil {
			select {
			case <-ticks:
				w.advance(ctx)
			default:
			}
		}
	}
	w.mu.Lock()
	ended := w.ended && len(w.inbox) == 0 && !w.pausing
	emptying := w.pausing && w.emptying
	w.mu.Unlock()
	if ended && w.failure == nil {
		w.moveTo(ctx, progress.End)
	}
	if emptying {
		w.fireBefore(ctx, progress.End)
	}
}

// putBack puts arrivals back into the inbox, where they were.
func (w *Worker) putBack(arrivals []arrival) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox = append(slices.Clone(arrivals), w.inbox...)
	w.sequel = nil
}

// arrive starts the run of a message that came from a source. In virtual time what is
// due by then follows at once.
func (w *Worker) arrive(ctx context.Context, a *arrival) {
	r := w.admitRun(ctx)
	if r == nil {
		return // unsettled, so it will come again
	}
	r.origin, r.at, r.claim, r.arrival = a.message, a.message.Time, claim{source: a.source, epoch: a.epoch}, *a
	n := &w.nodes[w.plan.Sources[a.source]]
	n.in.Add(1)
	if w.watch != nil {
		w.watch(Event{Kind: Arrived, Operation: n.name, At: r.at, Origin: r.origin, Message: r.origin, Received: time.Unix(0, a.at), Moved: a.moved})
	}
	if a.drop != "" {
		r.loss = loss{n, a.drop, a.drop.err()}
	} else {
		w.pass(r, n, 0, a.message)
	}
	if len(w.ahead) > 0 {
		r.ahead, w.ahead = &w.ahead[0], w.ahead[1:]
	}
	w.launch(ctx, r)
	if w.virtual != nil && w.clocked {
		w.moveTo(ctx, w.virtual.frontier(w.lateness()))
	}
}

// counters are the worker's counts beside those of its nodes.
type counters struct {
	received, sent, undeliverable, buried, malformed, drifted, late atomic.Uint64

	lastDrift atomic.Int64 // Unix milliseconds of the last that was stamped too far ahead
}
