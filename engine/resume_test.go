// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	windows "github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/disk"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
)

// again returns a rig of the same kind that takes over r's sources and store.
func (r *rig) again(topology string, operators map[string]*native.Operator) *rig {
	r.t.Helper()
	next := newRig(r.t, topology, operators)
	next.config.Windows, next.config.Sources, next.sources = r.config.Windows, r.config.Sources, r.sources
	return next
}

// TestRestartInWindow stops a graph in the middle of a window and starts it again:
// messages are settled when they are written down, and the window is as without the
// stop.
func TestRestartInWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topology = "in>w:delay>sum:accumulate>out"
		operators := map[string]*native.Operator{"w": window(), "sum": join()}
		r := newRig(t, topology, operators)
		r.config.Windows = &windowmemory.Store{}
		time.Sleep(time.Second)
		r.start()
		r.publish("a", "b")
		synctest.Wait()
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are unsettled in an open window that is kept", n)
		}
		r.finish()
		time.Sleep(30 * time.Second) // the window would have closed long ago
		r.publish("late")            // stamped when it is received

		r = r.again(topology, operators)
		r.start()
		time.Sleep(30 * time.Second)
		r.finish()
		if got := r.sinks[0].payloads(); got != "a+b late" {
			t.Errorf("came out: %q, want a+b late", got)
		}
		if s := r.graph.Stats(); s.Late != 0 || s.Unsettled != 0 {
			t.Errorf("stats: %+v", s)
		}
		if strings.Contains(r.log.String(), "in memory only") {
			t.Errorf("it warns of windows in memory:\n%s", r.log.String())
		}
	})
}

// fullStore is a store without room, while full.
type fullStore struct {
	windowmemory.Store
	mu    sync.Mutex
	cause error
}

func (s *fullStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cause = err
}

func (s *fullStore) Commit(ctx context.Context, changes []windows.Change) error {
	s.mu.Lock()
	err := s.cause
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Store.Commit(ctx, changes)
}

// TestFullDisk checks that while windows can't be kept nothing is settled, and no
// result of a window goes out, and that all goes on when there is room.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
		store := &fullStore{}
		r.config.Windows = store
		time.Sleep(time.Second)
		r.start()
		r.publish("a")
		synctest.Wait()
		store.fail(fmt.Errorf("no space left: %w", windows.ErrFull))
		r.publish("b")
		time.Sleep(time.Minute)
		if got, n := r.sinks[0].payloads(), r.sources[0].Unsettled(); got != "" || n != 1 {
			t.Errorf("on a full disk %q came out, and %d messages are unsettled; want none out and 1", got, n)
		}
		if h := r.graph.Health(); h.State != engine.Degraded || !strings.Contains(h.Message, "no space left") {
			t.Errorf("health %+v", h)
		}
		store.fail(nil)
		time.Sleep(10 * time.Second)
		if got, n := r.sinks[0].payloads(), r.sources[0].Unsettled(); got != "a+b" || n != 0 {
			t.Errorf("%q came out with %d messages unsettled, want a+b with 0", got, n)
		}
		if h := r.graph.Health(); h.State != engine.Available {
			t.Errorf("health %+v", h)
		}
		r.finish()
	})
}

// TestStoreFails checks that a store that fails for good ends the graph, and settles
// nothing that isn't kept.
func TestStoreFails(t *testing.T) {
	r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
	store := &fullStore{cause: errors.New("input/output error")}
	r.config.Windows = store
	r.publish("a")
	r.start()
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "keep windows: input/output error") {
		t.Errorf("Run = %v", err)
	}
	if n := r.sources[0].Unsettled(); n != 1 {
		t.Errorf("%d messages are unsettled, want 1", n)
	}
	r.stop()
}

// TestUndelivered stops a graph while the result of a window is on its way to a
// sink and in a second window: it is delivered again, and not folded twice.
func TestUndelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topology = "in>w:delay>sum:accumulate>out1 sum>w2:delay>all:accumulate>out2"
		later := func() *native.Operator { // the windows of windows end half a minute later
			d := window()
			first := d.Delay
			d.Delay = func(ctx context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
				until, err := first(ctx, m, at)
				until.Millis += 30_000
				return until, err
			}
			return d
		}
		operators := map[string]*native.Operator{"w": window(), "sum": join(), "w2": later(), "all": join()}
		m := &machine{began: time.Now(), delivered: map[string][]string{}}
		p := &power{machine: m}
		p.on.Store(true)
		r := newRig(t, topology, operators)
		r.config.Windows = &windowmemory.Store{}
		stuck := newPoweredSink("stuck", p)
		r.config.Sinks[0] = stuck
		p.on.Store(false) // it takes messages, and never confirms them
		time.Sleep(time.Second)
		r.start()
		r.publish("a", "b")
		time.Sleep(20 * time.Second)
		r.stop()
		if err := <-r.ended; !errors.Is(err, engine.ErrGrace) {
			t.Errorf("Run = %v, want ErrGrace", err)
		}

		r = r.again(topology, operators)
		r.start()
		time.Sleep(time.Second)
		if got := r.sinks[0].payloads(); got != "a+b" {
			t.Errorf("delivered after the restart: %q, want a+b", got)
		}
		time.Sleep(time.Minute)
		r.finish()
		if got := r.sinks[1].payloads(); got != "a+b" {
			t.Errorf("the second window is %q, want a+b", got)
		}
	})
}

// TestCuts checks that a window is folded after a restart in the batches in which it
// was folded before, and that those it dropped stay dropped.
func TestCuts(t *testing.T) {
	for _, bad := range []bool{false, true} {
		t.Run(fmt.Sprintf("bad %v", bad), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var batches []string
				tally := func() *native.Operator {
					return &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
						for _, m := range batch {
							if string(m.Payload) == "bad" {
								return nil, refuse("bad")
							}
						}
						out := staged.Clone()
						out.Payload = fmt.Appendf(nil, "%s %d", staged.Payload, len(batch))
						batches = append(batches, fmt.Sprint(len(batch)))
						return out, nil
					}}
				}
				const topology = "in>sum:accumulate>out"
				began := time.Now()
				r := newRig(t, topology, map[string]*native.Operator{"sum": tally()})
				r.config.Windows = &windowmemory.Store{}
				stamped := func(n int, payload string) {
					for range n {
						m := &message.Message{Payload: []byte(payload), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprint(began.UnixMilli()+1000) + ":0:n"}}}
						if err := r.sources[0].Publish(m); err != nil {
							t.Fatal(err)
						}
					}
				}
				r.start()
				stamped(60, "x")
				if bad {
					stamped(1, "bad")
				}
				stamped(40, "x")
				synctest.Wait()
				r.finish()
				before := slices.Clone(batches)
				batches = nil
				r = r.again(topology, map[string]*native.Operator{"sum": tally()})
				r.start()
				stamped(50, "x")
				time.Sleep(20 * time.Second)
				r.finish()
				want := append(before, "64", "22")
				if bad {
					want = append(before, "64", "23")
				}
				if diff := cmp.Diff(want, batches); diff != "" {
					t.Errorf("batches (-want +got):\n%s", diff)
				}
				if got := r.sinks[0].payloads(); got != " "+strings.Join(want, " ") {
					t.Errorf("came out: %q, want the sizes of the batches %v", got, want)
				}
			})
		})
	}
}

// TestLargeWindow checks that a large window is the same after restarts, and that
// the store doesn't keep what has been folded for good.
func TestLargeWindow(t *testing.T) {
	const topology = "in>sum:accumulate>out"
	count := func() *native.Operator {
		return &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
			n := 0
			fmt.Sscan(string(staged.Payload), &n)
			out := staged.Clone()
			out.Payload = fmt.Append(nil, n+len(batch))
			return out, nil
		}}
	}
	synctest.Test(t, func(t *testing.T) {
		store := &windowmemory.Store{}
		r := newRig(t, topology, map[string]*native.Operator{"sum": count()})
		r.config.Windows = store
		payload, began := make([]byte, 10_000), time.Now()
		for range 3 {
			r.start()
			for range 500 {
				m := &message.Message{Payload: payload, Properties: []message.Property{{Key: "__ts", Value: fmt.Sprint(began.UnixMilli()+60_000) + ":0:n"}}}
				if err := r.sources[0].Publish(m); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			r.finish()
			r = r.again(topology, map[string]*native.Operator{"sum": count()})
		}
		if records, most := store.Len(), 1024+2*1_100_000/10_000; records > most {
			t.Errorf("the store has %d records for 1500 messages, want at most %d", records, most)
		}
		r.start()
		time.Sleep(2 * time.Minute)
		r.finish()
		if got := r.sinks[0].payloads(); got != "1500" {
			t.Errorf("came out: %q, want 1500", got)
		}
	})
}

// TestDefinitionChanged checks that windows of an operation that is gone, or has
// become another, are not forgotten in silence.
func TestDefinitionChanged(t *testing.T) {
	operators := map[string]*native.Operator{"w": window(), "v": window(), "sum": join()}
	path := filepath.Join(t.TempDir(), "w.db")
	began := time.Now()
	run := func(topology string, meanwhile func(*rig)) error {
		store, err := disk.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, topology, operators)
		r.config.Windows = store
		r.start()
		if meanwhile != nil {
			meanwhile(r)
			r.stop()
		}
		err = errors.Join(<-r.ended, store.Close())
		r.stop()
		return err
	}
	take := func(r *rig) {
		// Far enough in the future for the window to stay open.
		m := &message.Message{Payload: []byte("a"), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprint(began.UnixMilli()+50_000) + ":0:n"}}}
		if err := r.sources[0].Publish(m); err != nil {
			t.Fatal(err)
		}
		r.wait()
	}
	if err := run("in>w:delay>sum:accumulate>out", take); err != nil {
		t.Fatal(err)
	}
	for topology, want := range map[string]string{
		"in>v:delay>sum:accumulate>out":         `operation "w" is gone`,
		"in>v:delay>w:accumulate>out":           `operation "w" has open windows in the store, but is now of the kind accumulate`,
		"in>w:delay>sum:accumulate>v:delay>out": "",
	} {
		meanwhile := take
		if want != "" {
			meanwhile = nil // it ends by itself
		}
		err := run(topology, meanwhile)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", topology, err, want)
		}
	}
}

// BenchmarkWindow lets messages into one window, closes it, and lets the result out.
func BenchmarkWindow(b *testing.B) {
	count := &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, _ []*message.Message) (*message.Message, error) {
		return staged, nil
	}}
	hold := &native.Operator{Delay: func(_ context.Context, _ *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
		return hlc.Timestamp{Millis: at.Millis + time.Hour.Milliseconds()}, nil
	}}
	now := []message.Property{{Key: "__ts", Value: fmt.Sprint(time.Now().UnixMilli()) + ":0:n"}}
	for _, kept := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "disk"}[kept], func(b *testing.B) {
			c := engine.Config{
				Plan: planOf(b, "in>w:delay>sum:accumulate>out"), Openers: []operator.Opener{nil, hold, count, nil},
				Sources: []endpoint.Source{newFlood(b.N, now)}, Sinks: []endpoint.Sink{drain{}},
				HLC: hlc.NewClock(hlc.Config{Node: "here", Now: time.Now}),
			}
			if kept {
				store, err := disk.Open(filepath.Join(b.TempDir(), "w.db"))
				if err != nil {
					b.Fatal(err)
				}
				defer store.Close()
				c.Windows = store
			}
			g, err := engine.New(c)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := g.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// TestRefusedBeforeRestart stops a graph that has given up a message of an open window:
// it is given up once.
func TestRefusedBeforeRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topology = "in>sum:accumulate>out"
		count := &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
			n := 0
			_, _ = fmt.Sscan(string(staged.Payload), &n)
			for _, m := range batch {
				if string(m.Payload) == "no" {
					return nil, refuse("no")
				}
				n++
			}
			out := staged.Clone()
			out.Payload = fmt.Append(nil, n)
			return out, nil
		}}
		operators := map[string]*native.Operator{"sum": count}
		r := newRig(t, topology, operators)
		r.config.Windows, r.config.DeadLetter = &windowmemory.Store{}, r.dead
		stamp := fmt.Sprintf("%d:0:n", time.Now().Add(20*time.Second).UnixMilli())
		r.start()
		for i := range 100 {
			m := &message.Message{Payload: []byte("yes"), Properties: []message.Property{{Key: "__ts", Value: stamp}}}
			if i == 30 {
				m.Payload = []byte("no")
			}
			if err := r.sources[0].Publish(m); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		r.finish()
		if got := r.dead.payloads(); got != "no" {
			t.Errorf("dead letters before the restart: %q", got)
		}
		r = r.again(topology, operators)
		r.config.DeadLetter = r.dead
		r.start()
		time.Sleep(time.Minute)
		r.finish()
		if got, dead := r.sinks[0].payloads(), r.dead.payloads(); got != "99" || dead != "" {
			t.Errorf("came out after the restart: %q, dead letters %q; want 99 and none", got, dead)
		}
	})
}
