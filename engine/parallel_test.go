// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
)

// widen gives the map, filter and branch operations of a plan so many instances.
func widen(p *plan.Plan, parallelism int) {
	for i := range p.Nodes {
		if k := p.Nodes[i].Kind; k == operator.Map || k == operator.Filter || k == operator.Branch {
			p.Nodes[i].Parallelism = parallelism
		}
	}
}

// uneven makes o's stateless calls take a time that depends on the message, and fail
// for some: by a refusal, a trap that a second try survives, one that it doesn't, and
// a deadline.
func uneven(name string, o *native.Operator) *native.Operator {
	var mu sync.Mutex
	trapped := map[string]bool{}
	fail := func(m *message.Message) error {
		n := choose(m, "uneven"+name)
		time.Sleep(time.Duration(n%7) * time.Millisecond)
		switch n % 31 {
		case 0:
			return refuse("not this one")
		case 1:
			mu.Lock()
			defer mu.Unlock()
			if again := trapped[string(m.Payload)]; !again {
				trapped[string(m.Payload)] = true
				return errors.New("trap")
			}
		case 2:
			return errors.New("trap again and again")
		case 3:
			return operator.ErrDeadline
		}
		return nil
	}
	switch {
	case o.Map != nil:
		call := o.Map
		o.Map = func(ctx context.Context, m *message.Message) (*message.Message, error) {
			if err := fail(m); err != nil {
				return nil, err
			}
			return call(ctx, m)
		}
	case o.Filter != nil:
		call := o.Filter
		o.Filter = func(ctx context.Context, m *message.Message) (bool, error) {
			if err := fail(m); err != nil {
				return false, err
			}
			return call(ctx, m)
		}
	case o.Branch != nil:
		call := o.Branch
		o.Branch = func(ctx context.Context, at hlc.Timestamp, m *message.Message) (bool, error) {
			if err := fail(m); err != nil {
				return false, err
			}
			return call(ctx, at, m)
		}
	}
	return o
}

// TestParallelEqual runs random graphs over random messages with one instance of
// each operation and with several: every sink, and the dead letters, get the same in
// the same order, and all is settled in order.
func TestParallelEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		topology := drawTopology(rt, 1)
		texts := rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "bad"}), 1, 80).Draw(rt, "messages")
		ages := rapid.SliceOfN(rapid.IntRange(0, 30_000), len(texts), len(texts)).Draw(rt, "ages")
		run := func(parallelism int) (out map[string][]string) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, topology, nil)
				widen(r.config.Plan, parallelism)
				for i, n := range r.config.Plan.Nodes {
					if n.Module != "" {
						r.config.Openers[i] = uneven(n.Operation, implement(n.Operation, n.Kind, false, "1", false))
					}
				}
				// No window closes before the end.
				lateness := 24 * time.Hour
				r.config.Options.Lateness = &lateness
				r.config.DeadLetter = r.dead
				began := time.Now().UnixMilli()
				for i, text := range texts {
					m := &message.Message{Payload: fmt.Appendf(nil, "%s-0-%d", text, i)}
					m.Properties = []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", began+int64(ages[i]))}}
					if err := r.sources[0].Publish(m); err != nil {
						t.Fatal(err)
					}
				}
				r.start()
				time.Sleep(time.Minute) // all are worked on
				r.sources[0].Close()
				if err := <-r.ended; err != nil {
					t.Errorf("Run: %v", err)
				}
				r.stop()
				out = map[string][]string{}
				for i, s := range append(slices.Clone(r.sinks), r.dead) {
					for _, m := range s.messages() {
						text := fmt.Sprintf("%d %s", m.Time.Millis-began, m.Payload)
						for _, p := range m.Properties[1:] {
							text += " " + p.Value
						}
						out[fmt.Sprint(i)] = append(out[fmt.Sprint(i)], text)
					}
				}
				s := r.graph.Stats()
				for _, o := range s.Operations {
					out["counts"] = append(out["counts"], fmt.Sprintf("%+v", o))
				}
				if s.Unsettled != 0 || s.Late != 0 {
					t.Errorf("%d messages are unsettled, %d late", s.Unsettled, s.Late)
				}
			})
			return out
		}
		if diff := cmp.Diff(run(1), run(rapid.IntRange(2, 5).Draw(rt, "parallelism"))); diff != "" {
			rt.Errorf("%s\none instance and several (-want +got):\n%s", topology, diff)
		}
	})
}

// TestParallelCalls checks that so many calls are made side by side, and no more, each
// on an instance of its own, and that what is done after them keeps the order.
func TestParallelCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy, most, opened, closed atomic.Int64
		slow := &native.Operator{
			Init:  func(context.Context) error { opened.Add(1); return nil },
			Close: func() error { closed.Add(1); return nil },
			Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
				if n := busy.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer busy.Add(-1)
				time.Sleep(time.Duration('z'-m.Payload[0]) * 100 * time.Millisecond) // the first take longest
				return m, nil
			},
		}
		r := newRig(t, "in>slow:map>out", map[string]*native.Operator{"slow": slow})
		widen(r.config.Plan, 3)
		began := time.Now()
		r.start()
		r.publish("a", "b", "c", "d", "e", "f")
		time.Sleep(2 * time.Second)
		if n := r.sources[0].Unsettled(); n != 6 {
			t.Errorf("%d messages are unsettled while they are worked on, want 6", n)
		}
		r.wait()
		if took := time.Since(began); took != 4500*time.Millisecond { // a 2.5 s and then f 2 s; b 2.4 s, e 2.1 s; c 2.3 s, d 2.2 s
			t.Errorf("it took %v, want 4.5 s", took)
		}
		r.finish()
		if got := r.sinks[0].payloads(); got != "a b c d e f" {
			t.Errorf("came out: %s", got)
		}
		if most.Load() != 3 || opened.Load() != 3 || closed.Load() != 3 {
			t.Errorf("%d calls at once, %d instances opened, %d closed; want 3 of each", most.Load(), opened.Load(), closed.Load())
		}
	})
}

// TestParallelHoldsTime checks that no window closes over a message that an instance
// is still working on.
func TestParallelHoldsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			if string(m.Payload) == "b" {
				time.Sleep(time.Minute)
			}
			return m, nil
		}}
		r := newRig(t, "in>slow:map>w:delay>sum:accumulate>out", map[string]*native.Operator{"slow": slow, "w": window(), "sum": join()})
		widen(r.config.Plan, 4)
		time.Sleep(time.Second)
		r.start()
		r.publish("a", "b", "c")
		time.Sleep(50 * time.Second)
		if got := r.sinks[0].payloads(); got != "" {
			t.Errorf("came out: %q while a message of the window was worked on", got)
		}
		time.Sleep(30 * time.Second)
		r.finish()
		if got := r.sinks[0].payloads(); got != "a+b+c" || r.graph.Stats().Late != 0 {
			t.Errorf("came out: %q, %d late; want a+b+c", got, r.graph.Stats().Late)
		}
	})
}

// TestParallelDrain stops a graph while instances are at work: they finish.
func TestParallelDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(time.Second)
			return m, nil
		}}
		r := newRig(t, "in>slow:map>out", map[string]*native.Operator{"slow": slow})
		widen(r.config.Plan, 2)
		r.start()
		r.publish("a", "b", "c", "d", "e")
		synctest.Wait()
		r.finish()
		if got := r.sinks[0].payloads(); got != "a b c d e" || r.sources[0].Unsettled() != 0 {
			t.Errorf("came out: %q, %d unsettled", got, r.sources[0].Unsettled())
		}
	})
}

// TestParallelGrace stops a graph whose instances don't come back in time.
func TestParallelGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &native.Operator{Map: func(ctx context.Context, m *message.Message) (*message.Message, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		r := newRig(t, "in>stuck:map>out", map[string]*native.Operator{"stuck": stuck})
		widen(r.config.Plan, 2)
		r.start()
		r.publish("a", "b", "c", "d", "e")
		synctest.Wait()
		r.stop()
		if err := <-r.ended; !errors.Is(err, engine.ErrGrace) {
			t.Errorf("Run = %v, want ErrGrace", err)
		}
		if n := r.sources[0].Unsettled(); n != 5 {
			t.Errorf("%d messages are unsettled, want 5", n)
		}
	})
}

// TestParallelFaults checks that while one instance waits before it is replaced the
// others go on, and that the graph says that it is not well.
func TestParallelFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(10 * time.Millisecond)
			if strings.HasPrefix(string(m.Payload), "trap") {
				return nil, errors.New("unreachable executed")
			}
			return m, nil
		}}
		r := newRig(t, "in>op:map>out", map[string]*native.Operator{"op": op})
		widen(r.config.Plan, 2)
		r.start()
		r.publish("trap1", "a", "trap2", "b", "trap3", "c", "trap4", "d", "e", "f")
		r.wait()
		if got := r.sinks[0].payloads(); got != "a b c d e f" {
			t.Errorf("came out: %s", got)
		}
		if h := r.graph.Health(); h.State != engine.Degraded || !strings.Contains(h.Message, "op") {
			t.Errorf("health %+v", h)
		}
		if s := r.graph.Stats(); s.Faults != 8 || s.Dropped != 4 {
			t.Errorf("%d faults, %d dropped; want 8 of 4 messages", s.Faults, s.Dropped)
		}
		r.finish()
	})
}

// TestVirtualParallel checks that virtual time comes to the same, whatever the
// number of instances.
func TestVirtualParallel(t *testing.T) {
	run := func(parallelism int) string {
		var out bytes.Buffer
		got, g := simulate(t, "in>up:map>w:delay>sum:accumulate>out", map[string]*native.Operator{"up": upper(), "w": window(), "sum": join()},
			plan.Options{}, "1:a", "2:b", "12:c", "13:d")
		fmt.Fprintf(&out, "%s%+v", got, g.Stats())
		return out.String()
	}
	if diff := cmp.Diff(run(1), run(4)); diff != "" {
		t.Errorf("one instance and four (-want +got):\n%s", diff)
	}
}
