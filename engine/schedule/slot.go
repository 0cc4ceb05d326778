// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// lookahead is how many messages for each instance of a pool are on their way at
// most, so that instances don't stand idle behind a message that takes longer.
const lookahead = 4

// slot is an instance of an operation, and after a fault the next one. One goroutine
// at a time uses it: the worker's or, where the operation has several, its own.
type slot struct {
	worker   *Worker
	node     *node
	instance operator.Instance
}

// open makes an instance; a panic of the opener is an error.
func (s *slot) open(ctx context.Context) (err error) {
	defer catch(&err)
	instance, err := s.node.opener.Open(ctx)
	if err == nil && instance == nil {
		err = errors.New("opener returned no instance")
	}
	if err == nil {
		s.instance = instance
	}
	return err
}

// close gives the instance up, if there is one.
func (s *slot) close() (err error) {
	defer catch(&err)
	instance := s.instance
	s.instance = nil
	if instance == nil {
		return nil
	}
	return instance.Close()
}

// catch turns a panic into an error: a fault of the operator, not of the process.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// ask is call; timed says that somebody wants to know how long it takes.
func (s *slot) ask(ctx context.Context, at hlc.Timestamp, m *message.Message, timed bool) answer {
	if !timed {
		return s.call(ctx, at, m)
	}
	began := s.worker.clock.Now()
	a := s.call(ctx, at, m)
	a.took = s.worker.clock.Now().Sub(began)
	return a
}

// call asks the operator about m, with a second try on a new instance after a fault
// that allows one.
func (s *slot) call(ctx context.Context, at hlc.Timestamp, m *message.Message) (a answer) {
	for try := 0; ; try++ {
		if a.err = s.try(ctx, at, m, &a); a.err == nil {
			return a
		}
		// A message is held up by its faults once, however often it is tried.
		if err := s.renew(ctx, a.err, try == 0 && retryable(a.err)); err != nil {
			return answer{fault: a.err, fatal: err}
		}
		if try > 0 || !retryable(a.err) {
			return a
		}
		a = answer{fault: a.err}
	}
}

func (s *slot) try(ctx context.Context, at hlc.Timestamp, m *message.Message, a *answer) (err error) {
	defer catch(&err)
	switch s.node.kind {
	case operator.Map:
		if a.message, err = s.instance.Map(ctx, m); err == nil && a.message == nil {
			err = errors.New("map returned no message")
		}
	case operator.Filter:
		a.yes, err = s.instance.Filter(ctx, m)
	case operator.Branch:
		a.yes, err = s.instance.Branch(ctx, at, m)
	default:
		a.until, err = s.instance.Delay(ctx, m, at)
	}
	return err
}

// accumulate folds batch into staged; a single try.
func (s *slot) accumulate(ctx context.Context, staged *message.Message, batch []*message.Message) (out *message.Message, err error) {
	defer catch(&err)
	out, err = s.instance.Accumulate(ctx, staged, batch)
	if err == nil && out == nil {
		err = errors.New("accumulate returned no message")
	}
	return out, err
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

// survive gets s ready for the next call after one that ended in err: after a fault
// with a new instance. It returns an error if the worker has to end instead.
func (s *slot) survive(ctx context.Context, err error) error { return s.renew(ctx, err, false) }

// renew is survive; atOnce leaves the pause out that crowded faults cost, unless no
// instance can be had.
func (s *slot) renew(ctx context.Context, err error, atOnce bool) error {
	if refused(err) {
		return nil
	}
	w, n := s.worker, s.node
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := w.countFault(ctx, n, err)
		if err := s.close(); err != nil {
			w.log.LogAttrs(ctx, slog.LevelWarn, "closing a faulty instance failed", slog.String("operation", n.name), slog.Any("error", err))
		}
		if pause > 0 && !(atOnce && attempt == 1) {
			if err := w.clock.Sleep(ctx, pause); err != nil {
				return err
			}
		}
		err = s.open(ctx)
		n.down.Store(err != nil)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("open a new instance: %w", err)
		if w.virtual != nil && attempt == crowd {
			// Nothing will change by waiting: virtual time has no outside.
			return fmt.Errorf("schedule: operation %q: %w", n.name, err)
		}
	}
}

// countFault counts and logs a fault, and returns how long to wait before the next
// instance.
func (w *Worker) countFault(ctx context.Context, n *node, err error) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
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
	return n.pause
}

// startPools starts the instances of the operations that have several, each in a
// goroutine of its own, and returns what ends them.
func (w *Worker) startPools(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for i := range w.nodes {
		n := &w.nodes[i]
		if len(n.slots) < 2 {
			continue
		}
		jobs := make(chan *run, len(w.runs))
		n.jobs = jobs
		for j := range n.slots {
			running.Go(func() { n.slots[j].serve(ctx, jobs, w.answers) })
		}
	}
	return func() {
		cancel()
		for i := range w.nodes {
			if n := &w.nodes[i]; n.jobs != nil {
				close(n.jobs)
				n.jobs = nil
			}
		}
		running.Wait()
	}
}

// serve answers what it is asked until there are no more jobs; without calling the
// operator once ctx has ended.
func (s *slot) serve(ctx context.Context, jobs <-chan *run, answers chan<- *run) {
	for r := range jobs {
		if err := ctx.Err(); err != nil {
			r.reply = answer{fatal: err}
		} else {
			r.reply = s.ask(ctx, r.at, r.query, r.arrival.timed)
		}
		answers <- r // has room for all runs
	}
}
