// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
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
	name    string
	kind    operator.Kind
	outputs [2][]int
	opener  operator.Opener
	slots   []slot    // of an operation with a module: its instances
	jobs    chan *run // to the instances, while several are running; else nil
	sink    endpoint.Sink
	bare    bool      // sink needs no StampProperty
	held    *calendar // of a delay or accumulate

	in, sent, filtered, refused, lost, faults, bytes atomic.Uint64

	recent [crowd]atomic.Int64 // Unix milliseconds of the last faults, a ring
	down   atomic.Bool         // no instance can be had
	holds  atomic.Int64        // messages in held

	mu    sync.Mutex // guards what follows
	drops logQuota
	pause time.Duration // before the next instance; grows while faults crowd
}

// folds reports whether n is an accumulate.
func (n *node) folds() bool { return n.kind == operator.Accumulate }

// crowded reports whether n has faulted so often lately that it is not well.
func (n *node) crowded(now time.Time) bool {
	count := n.faults.Load()
	return count >= crowd && now.UnixMilli()-n.recent[(count+1)%crowd].Load() < crowdTime.Milliseconds()
}

// reasonOf is what it is called that an operator's err drops a message.
func reasonOf(err error) reason {
	if refused(err) {
		return reasonRefused
	}
	return reasonFault
}

// discard counts and logs that what the worker is working on is dropped at n, and
// sends it to the dead letters.
func (w *Worker) discard(ctx context.Context, n *node, why reason, err error) {
	if why == reasonRefused {
		n.refused.Add(1)
	} else {
		n.lost.Add(1)
	}
	n.mu.Lock()
	skipped, ok := n.drops.take(w.clock.Now().UnixMilli())
	n.mu.Unlock()
	if ok {
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

// logQuota limits lines in the log to perSecond; used by one goroutine at a time.
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
