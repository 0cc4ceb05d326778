// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

// ticket is a message on its way to a sink: what is sent, and the claim to release
// when that is confirmed. Tickets are used again and again, with their closure and
// their properties, so that sending costs no memory but for the stamp's text.
type ticket struct {
	worker  *Worker
	node    *node // the sink; nil for a dead letter
	claim   claim
	origin  *message.Message // for the dead letters
	out     message.Message
	shared  bool // out's properties are those of another message
	confirm func(error)
	err     error // why the message can't be delivered
	busy    atomic.Bool
	next    *ticket // in the list of free or returned ones
}

// send gives m to the sink at n.
func (w *Worker) send(ctx context.Context, n *node, m *message.Message) {
	r := w.current
	t := w.ticket(r.claim)
	// Most messages end with the one that they become, which then keeps what they kept.
	if len(r.todo) == 0 && r.arrival.message != nil && w.journal == nil {
		r.passed = true
	} else {
		w.retain(r.claim)
	}
	t.node, t.origin = n, r.origin
	if n.bare {
		t.out, t.shared = *m, true
	} else {
		t.fill(m)
	}
	r.sent = true
	if w.watch != nil {
		w.watch(Event{Kind: Sent, Operation: n.name, At: r.at, Origin: r.origin, Message: m})
	}
	w.dispatch(ctx, t, r.gated)
}

// sendDead sends origin, which was dropped, to the dead letters; gated: once the
// current step is committed.
func (w *Worker) sendDead(ctx context.Context, origin *message.Message, c claim, operation string, why reason, err error, gated bool) {
	t := w.ticket(c)
	w.retain(c)
	t.node, t.origin = nil, origin
	t.fill(origin)
	t.out.Properties = append(t.out.Properties,
		message.Property{Key: ReasonProperty, Value: string(why)},
		message.Property{Key: OperationProperty, Value: operation},
		message.Property{Key: ErrorProperty, Value: err.Error()})
	if w.watch != nil {
		w.watch(Event{Kind: Buried, Operation: operation, Origin: origin, Reason: string(why), Err: err})
	}
	w.dispatch(ctx, t, gated)
}

// dispatch sends a ticket's message, now or once the current step is committed.
func (w *Worker) dispatch(ctx context.Context, t *ticket, gated bool) {
	if gated {
		w.journal.next.sends = append(w.journal.next.sends, t)
		return
	}
	w.handOver(ctx, t)
}

// ticket returns a ticket that will release c: the caller sees to it that it holds c.
func (w *Worker) ticket(c claim) *ticket {
	if w.spare == nil {
		w.mu.Lock()
		w.spare, w.free = w.free, nil
		w.mu.Unlock()
	}
	t := w.spare
	if t == nil {
		t = &ticket{worker: w}
		t.confirm = t.confirmed
	} else {
		w.spare = t.next
	}
	t.next, t.claim = nil, c
	t.busy.Store(true)
	w.issued.Add(1)
	return t
}

// inFlight is how many tickets are out; w.mu is held. Where the worker's goroutine doesn't
// ask, there may be more by now.
func (w *Worker) inFlight() uint64 { return w.issued.Load() - w.handedBack }

// fill makes what is sent of m: m with its time as the property StampProperty.
func (t *ticket) fill(m *message.Message) {
	properties := t.out.Properties[:0]
	for _, p := range m.Properties {
		if p.Key != endpoint.StampProperty {
			properties = append(properties, p)
		}
	}
	t.out = *m
	t.out.Properties = append(properties, message.Property{Key: endpoint.StampProperty, Value: m.Time.String()})
}

// handOver sends a ticket's message. The worker ends where the sink doesn't take
// it, and leaves its origin unsettled.
func (w *Worker) handOver(ctx context.Context, t *ticket) {
	sink := w.deadLetter
	if t.node != nil {
		sink = t.node.sink
	}
	if err := sink.Send(ctx, &t.out, t.confirm); err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("schedule: send: %w", err)
		}
		w.failure = err
	}
}

// confirmed is called by the sink, from any goroutine, when it is done with t.
func (t *ticket) confirmed(err error) {
	if !t.busy.Swap(false) {
		return // the sink has confirmed twice
	}
	w := t.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.counters.undeliverable.Add(1)
		w.logUndeliverable(t, err)
	case t.node != nil:
		w.counters.sent.Add(1)
		t.node.sent.Add(1)
	default:
		w.counters.buried.Add(1)
	}
	if err != nil && t.node != nil && w.deadLetter != nil {
		t.err, t.next, w.returned = err, w.returned, t
		w.rouse()
		return
	}
	w.discharge(t)
}

func (w *Worker) logUndeliverable(t *ticket, err error) {
	sink := "dead letters"
	if t.node != nil {
		sink = t.node.name
	}
	if skipped, ok := w.failures.take(w.clock.Now().UnixMilli()); ok {
		w.log.Warn("message can't be delivered", "sink", sink, "topic", t.out.Topic, "error", err, "suppressed", skipped)
	}
}

// discharge ends a ticket and releases its claim; w.mu is held.
func (w *Worker) discharge(t *ticket) {
	w.unhold(t.claim)
	properties := t.out.Properties[:cap(t.out.Properties)]
	if t.shared {
		properties = nil
	}
	clear(properties)
	t.out, t.shared = message.Message{Properties: properties[:0]}, false
	t.claim, t.origin, t.node, t.err = claim{}, nil, nil, nil
	t.next, w.free = w.free, t
	w.handedBack++
	if w.inFlight() == 0 && (w.stopped || w.pausing) {
		w.rouse()
	}
}

// bury sends what sinks have returned as undeliverable to the dead letters.
func (w *Worker) bury(ctx context.Context) {
	w.mu.Lock()
	var list *ticket
	for t := w.returned; t != nil; { // the last returned is first: turn them round
		next := t.next
		t.next, list = list, t
		t = next
	}
	w.returned = nil
	w.mu.Unlock()
	for t := list; t != nil && w.failure == nil; {
		next := t.next
		w.sendDead(ctx, t.origin, t.claim, t.node.name, reasonUndeliverable, t.err, false)
		w.mu.Lock()
		w.discharge(t)
		w.mu.Unlock()
		t = next
	}
}

// retain adds a hold to c.
func (w *Worker) retain(c claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold(c)
}

// hold adds a hold to c; w.mu is held.
func (w *Worker) hold(c claim) {
	if c.group != nil {
		c.group.holds++
		return
	}
	w.sources[c.source].ledger.Hold(c.epoch, 1)
}

// release takes a hold from c.
func (w *Worker) release(c claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unhold(c)
}

// unhold takes a hold from c and settles what has none left; w.mu is held. Settling
// under the lock keeps its order; it doesn't block, says package endpoint.
func (w *Worker) unhold(c claim) {
	if c.group != nil {
		c.group.holds--
		if c.group.holds > 0 {
			return
		}
		for _, c := range c.group.claims {
			w.unhold(c)
		}
		if c.group.frozen != 0 {
			w.journal.thawed = append(w.journal.thawed, c.group.frozen)
			w.rouse()
		}
		return
	}
	ledger := &w.sources[c.source].ledger
	ledger.Release(c.epoch)
	for r, ok := ledger.Pop(); ok; r, ok = ledger.Pop() {
		if r.settle != nil {
			r.settle()
		}
		if !r.received.IsZero() {
			w.settled(w.clock.Now().Sub(r.received))
		}
	}
}
