// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// run is a message on its way through the plan: one that came from a source, one
// that a delay has let out, or the result of a window; with all that comes of it at
// once. What is to be done for it is a stack of visits, so that it can wait in the
// middle, for an answer of a pool, while the messages behind it are worked on.
//
// They run ahead only so far as nobody can tell: operators are called that hold
// nothing, and what they answer is kept. Whatever has an effect, on a sink, a window
// or the dead letters, waits until the run is the first of all, those before it being
// finished. So effects come in the same order as if there were no pools.
type run struct {
	origin *message.Message // as it came from the source, or from the window
	at     hlc.Timestamp    // logical time
	claim  claim
	mute   bool // what is to be held of it is so already
	gated  bool // what is sent waits for the commit
	sent   bool // something was sent
	passed bool // its claim went to what was sent last, which ended it

	todo  []visit // the last is next
	loss  loss
	begun bool // it was first, and may have had effects
	skip  bool // nothing of it is to be done
	asked *node
	query *message.Message // what asked was asked about
	reply answer
	ahead *answer // of the operator at the entrance, if it was asked ahead

	took   time.Duration // all operators together, where arrival is timed
	called bool          // there were any

	arrival arrival // of a message from a source
	from    *node   // of what was held: by whom
	page    *page   // and where
	held    entry   // in it, of a delay
}

// visit is a message at a node.
type visit struct {
	node    int
	message *message.Message
}

// loss is why a run's message is to be dropped, and where.
type loss struct {
	node *node // nil: it isn't
	why  reason
	err  error
}

// answer is what came of the call of an operator.
type answer struct {
	message *message.Message // of a map
	yes     bool             // of a filter or a branch
	until   hlc.Timestamp    // of a delay
	err     error            // the message is to be dropped
	took    time.Duration    // all tries together, where somebody is interested
	fault   error            // of the first try, where there was a second
	fatal   error            // the worker can't go on
}

// first returns the run whose turn it is.
func (w *Worker) first() *run { return &w.runs[w.oldest] }

// admitRun returns a run to be filled in and launched; nil if the worker can't go
// on. It waits while too many are on their way.
func (w *Worker) admitRun(ctx context.Context) *run {
	for w.underway == len(w.runs) && w.failure == nil {
		w.await(ctx)
	}
	if w.failure != nil {
		return nil
	}
	r := &w.runs[(w.oldest+w.underway)%len(w.runs)]
	*r = run{todo: r.todo[:0]}
	w.underway++
	return r
}

// launch starts a run, and finishes what can be finished.
func (w *Worker) launch(ctx context.Context, r *run) {
	if r != w.first() {
		w.proceed(ctx, r)
	}
	w.retire(ctx)
}

// retire finishes runs, the first first, until one has to wait.
func (w *Worker) retire(ctx context.Context) {
	for w.underway > 0 && w.failure == nil {
		r := w.first()
		if !r.begun {
			r.begun = true
			w.begun(r)
		}
		if !w.proceed(ctx, r) {
			return
		}
		w.finish(ctx, r)
		if w.failure != nil {
			return
		}
		w.oldest = (w.oldest + 1) % len(w.runs)
		w.underway--
		w.flush(ctx)
	}
}

// begun finds out, now that all before it are finished, whether what r began with was
// worked on before.
func (w *Worker) begun(r *run) {
	if w.journal == nil || r.arrival.message == nil {
		return
	}
	w.mu.Lock()
	before, again := w.journal.recall(r.arrival.source, r.arrival.position, r.arrival.redelivered)
	w.mu.Unlock()
	r.mute = again
	r.skip = again && !before.sent // windows have all of it
}

// proceed makes r's visits until there are no more, and reports true, or r has to
// wait.
func (w *Worker) proceed(ctx context.Context, r *run) bool {
	w.current = r
	turn := r == w.first()
	for w.failure == nil && r.asked == nil {
		if r.skip {
			r.todo, r.loss = r.todo[:0], loss{}
		}
		if r.loss.node != nil {
			if !turn {
				return false
			}
			l := r.loss
			r.loss = loss{}
			w.discard(ctx, l.node, l.why, l.err)
			continue
		}
		last := len(r.todo) - 1
		if last < 0 {
			return true
		}
		v := r.todo[last]
		n := &w.nodes[v.node]
		if !turn && (n.held != nil || n.kind == operator.Sink) {
			return false
		}
		r.todo = r.todo[:last]
		n.in.Add(1)
		if n.folds() {
			n.bytes.Add(uint64(len(v.message.Payload)))
		}
		w.visit(ctx, r, n, v.message)
	}
	return false
}

// visit works on m at n.
func (w *Worker) visit(ctx context.Context, r *run, n *node, m *message.Message) {
	if n.held != nil && r.mute {
		return
	}
	if w.watch != nil {
		w.watch(Event{Kind: Reached, Operation: n.name, At: r.at, Origin: r.origin, Message: m})
	}
	switch n.kind {
	case operator.Map, operator.Filter, operator.Branch:
		if n.jobs != nil {
			r.asked, r.query = n, m
			n.jobs <- r // has room for all runs
			return
		}
		if r.ahead != nil {
			a := *r.ahead
			*r.ahead, r.ahead = answer{}, nil
			w.answered(r, n, m, a)
			return
		}
		w.answered(r, n, m, n.slots[0].ask(ctx, r.at, m, r.arrival.timed))
	case operator.Delay:
		a := n.slots[0].ask(ctx, r.at, m, r.arrival.timed)
		if w.answered(r, n, m, a); a.err == nil && a.fatal == nil {
			w.delay(ctx, n, m, a.until)
		}
	case operator.Accumulate:
		w.accumulate(ctx, n, m)
	case operator.Sink:
		w.send(ctx, n, m)
	default: // a concatenate
		w.pass(r, n, 0, m)
	}
}

// answered takes n's answer about m.
func (w *Worker) answered(r *run, n *node, m *message.Message, a answer) {
	if w.watch != nil {
		w.called(r, n, m, a)
	}
	r.took, r.called = r.took+a.took, true
	switch {
	case a.fatal != nil:
		w.failure = a.fatal
	case a.err != nil:
		r.loss = loss{n, reasonOf(a.err), a.err}
	case n.kind == operator.Map:
		if a.message != m && a.message.Envelope == nil {
			a.message.Envelope = m.Envelope // guests don't see it
		}
		w.pass(r, n, 0, a.message)
	case n.kind == operator.Filter:
		if a.yes {
			w.pass(r, n, 0, m)
		} else {
			w.stop(r, n, m)
		}
	case n.kind == operator.Branch:
		w.pass(r, n, number(a.yes), m)
	}
}

// called tells who watches what the operator at n has answered to m, each time.
func (w *Worker) called(r *run, n *node, m *message.Message, a answer) {
	e := Event{Kind: Called, Operation: n.name, At: r.at, Origin: r.origin, Message: m}
	if a.fault != nil {
		e.Err = a.fault
		w.watch(e)
	}
	if a.fatal == nil {
		e.Result, e.Output, e.Until, e.Err = a.message, number(a.yes), a.until, a.err
		w.watch(e)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stop counts that m ends at n, as it should.
func (w *Worker) stop(r *run, n *node, m *message.Message) {
	n.filtered.Add(1)
	if w.watch != nil {
		w.watch(Event{Kind: Filtered, Operation: n.name, At: r.at, Origin: r.origin, Message: m})
	}
}

// pass gives m to every node that is connected to an output of n.
func (w *Worker) pass(r *run, n *node, output int, m *message.Message) {
	to := n.outputs[output]
	if len(to) == 0 {
		w.stop(r, n, m)
		return
	}
	for i := len(to) - 1; i >= 0; i-- { // the first is visited first
		r.todo = append(r.todo, visit{to[i], m})
	}
}

// finish ends the step that r was.
func (w *Worker) finish(ctx context.Context, r *run) {
	switch {
	case r.arrival.message != nil:
		if r.arrival.timed && r.called {
			w.worked(r.took)
		}
		switch {
		case r.mute:
			w.secure(r.claim) // the first time may not be committed yet
		case w.journal != nil:
			w.remember(&r.arrival, r.sent)
		}
		if !r.passed {
			w.release(r.claim)
		}
	case r.from != nil:
		w.finishHeld(r)
	default: // a result of the run before
		w.release(r.claim)
	}
}

// await waits for what lets the runs under way go on.
func (w *Worker) await(ctx context.Context) {
	var committed <-chan *transaction
	if w.journal != nil {
		committed = w.journal.committed
	}
	select {
	case r := <-w.answers:
		w.collect(ctx, r)
	case t := <-committed:
		w.deliver(ctx, t)
	case <-ctx.Done():
		w.failure = ctx.Err()
	}
}

// collect takes over a pool's answer, and goes on with what waited for it.
func (w *Worker) collect(ctx context.Context, r *run) {
	n, m, a := r.asked, r.query, r.reply
	r.asked, r.query, r.reply = nil, nil, answer{}
	if w.answered(r, n, m, a); w.failure != nil {
		return
	}
	if r != w.first() {
		w.proceed(ctx, r)
		return
	}
	w.retire(ctx)
}

// collectAll takes over what answers there are.
func (w *Worker) collectAll(ctx context.Context) {
	for w.failure == nil {
		select {
		case r := <-w.answers:
			w.collect(ctx, r)
		default:
			return
		}
	}
}

// drain finishes all runs under way.
func (w *Worker) drain(ctx context.Context) {
	for w.underway > 0 && w.failure == nil {
		w.await(ctx)
	}
}
