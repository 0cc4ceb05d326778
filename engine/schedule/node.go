// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// An operation that faults crowd times within crowdTime waits before it goes on,
// longer each time, up to longestPause.
const (
	crowd         = 5
	crowdTime     = 10 * time.Second
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// node is an operation at work.
type node struct {
	name     string
	kind     operator.Kind
	outputs  [2][]int
	opener   operator.Opener
	instance operator.Instance
	sink     endpoint.Sink
	held     *calendar // of a delay or accumulate

	in, sent, filtered, refused, lost, faults atomic.Uint64

	drops  logQuota
	pause  time.Duration       // before the next instance; grows while faults crowd
	recent [crowd]atomic.Int64 // Unix milliseconds of the last faults, a ring
	down   atomic.Bool         // no instance can be had
	holds  atomic.Int64        // messages in held
}

// folds reports whether n is an accumulate.
func (n *node) folds() bool { return n.kind == operator.Accumulate }

// open makes an instance; a panic of the opener is an error.
func (n *node) open(ctx context.Context) (instance operator.Instance, err error) {
	defer catch(&err)
	instance, err = n.opener.Open(ctx)
	if err == nil && instance == nil {
		err = errors.New("opener returned no instance")
	}
	return instance, err
}

// close gives the instance up.
func (n *node) close() (err error) {
	defer catch(&err)
	instance := n.instance
	n.instance = nil
	return instance.Close()
}

// catch turns a panic into an error: a fault of the operator, not of the process.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// The calls of an operator.

func (n *node) doMap(ctx context.Context, m *message.Message) (out *message.Message, err error) {
	defer catch(&err)
	out, err = n.instance.Map(ctx, m)
	if err == nil && out == nil {
		err = errors.New("map returned no message")
	}
	return out, err
}

func (n *node) doFilter(ctx context.Context, m *message.Message) (ok bool, err error) {
	defer catch(&err)
	return n.instance.Filter(ctx, m)
}

func (n *node) doBranch(ctx context.Context, at hlc.Timestamp, m *message.Message) (arm bool, err error) {
	defer catch(&err)
	return n.instance.Branch(ctx, at, m)
}

func (n *node) doDelay(ctx context.Context, m *message.Message, at hlc.Timestamp) (until hlc.Timestamp, err error) {
	defer catch(&err)
	return n.instance.Delay(ctx, m, at)
}

func (n *node) doAccumulate(ctx context.Context, staged *message.Message, batch []*message.Message) (out *message.Message, err error) {
	defer catch(&err)
	out, err = n.instance.Accumulate(ctx, staged, batch)
	if err == nil && out == nil {
		err = errors.New("accumulate returned no message")
	}
	return out, err
}

// step works on m at the node of that index, and on all that comes of it.
func (w *Worker) step(ctx context.Context, index int, m *message.Message) {
	n := &w.nodes[index]
	n.in.Add(1)
	if n.held != nil && w.current.mute {
		return
	}
	if w.watch != nil {
		w.watch(Event{Kind: Reached, Operation: n.name, At: w.current.at, Origin: w.current.origin, Message: m})
	}
	for try := 0; w.failure == nil; try++ {
		var err error
		switch n.kind {
		case operator.Map:
			var out *message.Message
			out, err = n.doMap(ctx, m)
			if w.watch != nil {
				w.called(n, m, Event{Result: out, Err: err})
			}
			if err == nil {
				if out != m && out.Envelope == nil {
					out.Envelope = m.Envelope // guests don't see it
				}
				w.pass(ctx, n, 0, out)
				return
			}
		case operator.Filter:
			var ok bool
			ok, err = n.doFilter(ctx, m)
			if w.watch != nil {
				w.called(n, m, Event{Output: number(ok), Err: err})
			}
			if err == nil {
				if ok {
					w.pass(ctx, n, 0, m)
				} else {
					w.stop(n, m)
				}
				return
			}
		case operator.Branch:
			var arm bool
			arm, err = n.doBranch(ctx, w.current.at, m)
			if w.watch != nil {
				w.called(n, m, Event{Output: number(arm), Err: err})
			}
			if err == nil {
				w.pass(ctx, n, number(arm), m)
				return
			}
		case operator.Delay:
			var until hlc.Timestamp
			until, err = n.doDelay(ctx, m, w.current.at)
			if w.watch != nil {
				w.called(n, m, Event{Until: until, Err: err})
			}
			if err == nil {
				w.delay(ctx, n, m, until)
				return
			}
		case operator.Accumulate:
			w.accumulate(ctx, n, m)
			return
		case operator.Sink:
			w.send(ctx, n, m)
			return
		default: // a concatenate
			w.pass(ctx, n, 0, m)
			return
		}
		if !w.survive(ctx, n, err) {
			return
		}
		if try > 0 || !retryable(err) {
			w.drop(ctx, n, err)
			return
		}
	}
}

// pass gives m to every node that is connected to an output of n.
func (w *Worker) pass(ctx context.Context, n *node, output int, m *message.Message) {
	to := n.outputs[output]
	if len(to) == 0 {
		w.stop(n, m)
		return
	}
	for _, index := range to {
		w.step(ctx, index, m)
	}
}

// stop counts that m ends at n, as it should.
func (w *Worker) stop(n *node, m *message.Message) {
	n.filtered.Add(1)
	if w.watch != nil {
		w.watch(Event{Kind: Filtered, Operation: n.name, At: w.current.at, Origin: w.current.origin, Message: m})
	}
}

// called tells who watches what the operator at n has answered to m.
func (w *Worker) called(n *node, m *message.Message, answer Event) {
	answer.Kind, answer.Operation, answer.At = Called, n.name, w.current.at
	answer.Origin, answer.Message = w.current.origin, m
	w.watch(answer)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// retryable reports whether a call that ended in err may be tried once more on a
// new instance. A refusal is an answer; a limit would be hit again, and is the more
// expensive to hit.
func retryable(err error) bool {
	return !refused(err) && !errors.Is(err, operator.ErrDeadline) && !errors.Is(err, operator.ErrMemory) && !errors.Is(err, operator.ErrStack)
}

func refused(err error) bool {
	var r *operator.Refusal
	return errors.As(err, &r)
}

// survive gets n ready for the next call after one that ended in err: after a fault
// with a new instance. It reports false if the worker has to end instead.
func (w *Worker) survive(ctx context.Context, n *node, err error) bool {
	if refused(err) {
		return true
	}
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			w.failure = ctx.Err()
			return false
		}
		w.countFault(ctx, n, err)
		if n.instance != nil {
			if err := n.close(); err != nil {
				w.log.LogAttrs(ctx, slog.LevelWarn, "closing a faulty instance failed", slog.String("operation", n.name), slog.Any("error", err))
			}
		}
		if n.pause > 0 {
			if err := w.clock.Sleep(ctx, n.pause); err != nil {
				w.failure = err
				return false
			}
		}
		n.instance, err = n.open(ctx)
		n.down.Store(err != nil)
		if err == nil {
			return true
		}
		err = fmt.Errorf("open a new instance: %w", err)
		if w.virtual != nil && attempt == crowd {
			// Nothing will change by waiting: virtual time has no outside.
			w.failure = fmt.Errorf("schedule: operation %q: %w", n.name, err)
			return false
		}
	}
}

// countFault counts and logs a fault, and sets the pause before the next instance.
func (w *Worker) countFault(ctx context.Context, n *node, err error) {
	count := n.faults.Add(1)
	now := w.clock.Now().UnixMilli()
	n.recent[count%crowd].Store(now)
	if count >= crowd && now-n.recent[(count+1)%crowd].Load() < crowdTime.Milliseconds() {
		n.pause = min(max(2*n.pause, shortestPause), longestPause)
	} else {
		n.pause = 0
	}
	if skipped, ok := n.drops.take(now); ok {
		w.log.LogAttrs(ctx, slog.LevelError, "operation faulted", slog.String("operation", n.name),
			slog.Any("error", err), slog.Duration("pause", n.pause), slog.Uint64("suppressed", skipped))
	}
}

// crowded reports whether n has faulted so often lately that it is not well.
func (n *node) crowded(now time.Time) bool {
	count := n.faults.Load()
	return count >= crowd && now.UnixMilli()-n.recent[(count+1)%crowd].Load() < crowdTime.Milliseconds()
}

// drop gives up at n what the worker is working on, because of err, and returns what
// that is called.
func (w *Worker) drop(ctx context.Context, n *node, err error) reason {
	why := reasonFault
	if refused(err) {
		why = reasonRefused
	}
	w.discard(ctx, n, why, err)
	return why
}

// discard counts and logs that what the worker is working on is dropped at n, and
// sends it to the dead letters.
func (w *Worker) discard(ctx context.Context, n *node, why reason, err error) {
	if why == reasonRefused {
		n.refused.Add(1)
	} else {
		n.lost.Add(1)
	}
	if skipped, ok := n.drops.take(w.clock.Now().UnixMilli()); ok {
		w.log.LogAttrs(ctx, slog.LevelWarn, "message dropped", slog.String("operation", n.name), slog.String("reason", string(why)),
			slog.Any("error", err), slog.String("topic", w.current.origin.Topic), slog.Uint64("suppressed", skipped))
	}
	if w.watch != nil {
		w.watch(Event{Kind: Dropped, Operation: n.name, At: w.current.at, Origin: w.current.origin, Reason: string(why), Err: err})
	}
	if w.deadLetter != nil {
		w.current.sent = true
		w.sendDead(ctx, w.current.origin, w.current.claim, n.name, why, err, w.current.gated)
	}
}

// logQuota limits lines in the log to perSecond; used by one goroutine.
type logQuota struct {
	unlimited bool // in virtual time: such a run ends, and a second of it is no time
	second    int64
	used      int
	skipped   uint64
}

const perSecond = 10

// take reports whether a line may be written at a time in milliseconds, and how
// many were left out before it.
func (q *logQuota) take(millis int64) (skipped uint64, ok bool) {
	if q.unlimited {
		return 0, true
	}
	if second := millis / 1000; second != q.second {
		q.second, q.used = second, 0
	}
	if q.used == perSecond {
		q.skipped++
		return 0, false
	}
	q.used++
	skipped, q.skipped = q.skipped, 0
	return skipped, true
}
