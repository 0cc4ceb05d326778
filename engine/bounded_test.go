// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator/native"
	windows "github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/disk"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
)

// TestHeldOnDiskOnly checks that messages in windows are not in memory, too, once
// they are written down: neither those of a delay, nor those that an accumulate has
// not been called for, in one window or in many.
func TestHeldOnDiskOnly(t *testing.T) {
	for _, topology := range []string{"in>w:delay>out", "in>sum:accumulate>out"} {
		t.Run(topology, func(t *testing.T) {
			var mu sync.Mutex
			var seen []weak.Pointer[message.Message]
			see := func(m *message.Message) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, weak.Make(m))
			}
			hour := &native.Operator{Delay: func(_ context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
				see(m)
				return hlc.Timestamp{Millis: at.Millis + time.Hour.Milliseconds() + int64(m.Payload[0]%16)}, nil
			}}
			r := newRig(t, topology, map[string]*native.Operator{"w": hour, "sum": join()})
			r.config.Windows = &windowmemory.Store{}
			lateness := time.Hour
			r.config.Options.Lateness = &lateness
			now := time.Now().UnixMilli()
			r.start()
			const messages = 5000
			for i := range messages {
				m := &message.Message{Payload: fmt.Append(nil, i)}
				m.Properties = []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", now+int64(i%100))}} // 50 in each window
				if r.config.Plan.Nodes[1].Operation == "sum" {
					see(m)
				}
				if err := r.sources[0].Publish(m); err != nil {
					t.Fatal(err)
				}
			}
			r.wait()
			r.finish()
			runtime.GC()
			alive := 0
			for _, p := range seen {
				if p.Value() != nil {
					alive++
				}
			}
			held := r.graph.Stats().Operations[1].Held
			if len(seen) != messages || held != messages || alive > messages/20 {
				t.Errorf("of %d messages %d are held, and %d of them are in memory", len(seen), held, alive)
			}
		})
	}
}

// holeyStore loses a record.
type holeyStore struct{ windowmemory.Store }

func (s *holeyStore) Range(ctx context.Context, from, to []byte, most int, yield func(key, value []byte) error) error {
	first := true
	return s.Store.Range(ctx, from, to, most, func(key, value []byte) error {
		if first {
			first = false
			return nil
		}
		return yield(key, value)
	})
}

// TestHeldMessageMissing checks that a store that lost a message ends the graph.
func TestHeldMessageMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
		r.config.Windows = &holeyStore{}
		time.Sleep(time.Second)
		r.start()
		r.publish("a", "b", "c")
		if err := <-r.ended; !errors.Is(err, windows.ErrCorrupt) || !strings.Contains(err.Error(), `operation "w"`) || !strings.Contains(err.Error(), "1 are missing") {
			t.Errorf("Run = %v, want ErrCorrupt with the operation and the number", err)
		}
		if got := r.sinks[0].payloads(); got != "" {
			t.Errorf("came out: %q", got)
		}
		r.stop()
	})
}

// TestFullDiskIsBackPressure checks that while the disk is full no more is taken than
// there is room for in memory, and that nothing is lost.
func TestFullDiskIsBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
			n := 0
			fmt.Sscan(string(staged.Payload), &n)
			out := staged.Clone()
			out.Payload = fmt.Append(nil, n+len(batch))
			return out, nil
		}}
		const messages, most = 60_000, 2*16_384 + 2*1024
		r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": count})
		store := &fullStore{cause: fmt.Errorf("no space left: %w", windows.ErrFull)}
		r.config.Windows = store
		source := memory.NewSource(2 * messages)
		r.config.Sources, r.sources[0] = []endpoint.Source{source}, source
		time.Sleep(time.Second)
		r.start()
		for range messages {
			r.publish("x")
		}
		time.Sleep(time.Minute)
		if s := r.graph.Stats(); s.Received > most || s.Unsettled != int(s.Received) {
			t.Errorf("while the disk is full %d messages were taken, want at most %d, and %d are unsettled, want all", s.Received, most, s.Unsettled)
		}
		store.fail(nil)
		time.Sleep(time.Minute)
		r.finish()
		total := 0
		for _, m := range r.sinks[0].messages() {
			n := 0
			fmt.Sscan(string(m.Payload), &n)
			total += n
		}
		if n := source.Unsettled(); total != messages || n != 0 {
			t.Errorf("%d messages came out in windows with %d unsettled, want %d with 0", total, n, messages)
		}
	})
}

// TestStopWhileFiring stops a graph in the middle of a window that is let out: it ends
// without letting out the rest, which the next run does.
func TestStopWhileFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topology = "in>w:delay>slow:map>out"
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(10 * time.Millisecond)
			return m, nil
		}}
		operators := map[string]*native.Operator{"w": window(), "slow": slow}
		r := newRig(t, topology, operators)
		r.config.Windows = &windowmemory.Store{}
		time.Sleep(time.Second)
		r.start()
		var want []string
		for i := range 1000 {
			r.publish(fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		time.Sleep(19 * time.Second) // the window ends at 10, and is let out from 15 to 25
		began := time.Now()
		r.finish()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		first := r.sinks[0].payloads()
		if n := len(strings.Fields(first)); n < 300 || n > 600 {
			t.Errorf("%d messages came out before the stop", n)
		}
		r = r.again(topology, operators)
		r.start()
		time.Sleep(time.Minute)
		r.finish()
		if diff := cmp.Diff(want, strings.Fields(first+" "+r.sinks[0].payloads())); diff != "" {
			t.Errorf("came out (-want +got):\n%s", diff)
		}
	})
}

// cutStore is a store whose machine loses its power at one commit: before that, or
// after it and before anybody is told.
type cutStore struct {
	windows.Store
	at    int
	after bool
	power *power
	count int
}

func (s *cutStore) Commit(ctx context.Context, changes []windows.Change) error {
	s.count++
	cut := s.count == s.at
	if cut && !s.after {
		s.power.on.Store(false)
	}
	if !s.power.on.Load() {
		return errors.New("power is off")
	}
	err := s.Store.Commit(ctx, changes)
	if cut {
		s.power.on.Store(false)
		return errors.New("power is off")
	}
	return err
}

// TestCrashAtEveryCommit runs a graph once for each commit and crashes at it, once
// before and once after, over both stores: what comes out is the same.
func TestCrashAtEveryCommit(t *testing.T) {
	const topology = "in>out1 in>w:delay>up:map>sum:accumulate>out2 sum>w2:delay>all:accumulate>out3"
	for name, open := range map[string]func(t *testing.T) func() (windows.Store, error){
		"memory": func(*testing.T) func() (windows.Store, error) {
			s := &windowmemory.Store{}
			return func() (windows.Store, error) { return s, nil }
		},
		"disk": func(t *testing.T) func() (windows.Store, error) {
			path := filepath.Join(t.TempDir(), "w.db")
			return func() (windows.Store, error) { return disk.Open(path) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			want, commits := crashAt(t, topology, open, 0, false)
			if commits < 15 {
				t.Fatalf("only %d commits without a crash", commits)
			}
			for at := 1; at <= commits; at++ {
				for _, after := range []bool{false, true} {
					if got, _ := crashAt(t, topology, open, at, after); !cmp.Equal(want, got) {
						t.Errorf("commit %d of %d, after it %v: came out (-want +got):\n%s", at, commits, after, cmp.Diff(want, got))
					}
				}
			}
		})
	}
}

// crashAt runs ten messages through a graph whose power is cut at a commit and comes
// back a second later. It returns the first deliveries by sink, and the number of
// commits.
func crashAt(t *testing.T, topology string, create func(*testing.T) func() (windows.Store, error), at int, after bool) (out map[string][]string, commits int) {
	synctest.Test(t, func(t *testing.T) {
		open := create(t)
		m := &machine{topology: topology, parallel: 1, began: time.Now(), delivered: map[string][]string{}, sources: []*memory.Source{memory.NewSource(0)}}
		var publisher sync.WaitGroup
		publisher.Go(func() {
			for i := range 10 {
				time.Sleep(1700 * time.Millisecond)
				stamp := fmt.Sprintf("%d:0:n", time.Now().UnixMilli())
				if err := m.sources[0].Publish(&message.Message{Payload: fmt.Appendf(nil, "x-0-%d", i), Properties: []message.Property{{Key: "__ts", Value: stamp}}}); err != nil {
					t.Error(err)
				}
			}
		})
		store := &cutStore{at: at, after: after}
		for crashed := true; crashed; {
			var err error
			if store.Store, err = open(); err != nil {
				t.Fatal(err)
			}
			m.cut = store
			p := m.boot(t, t.Errorf)
			deadline := time.Now().Add(2 * time.Minute)
			for p.on.Load() && time.Now().Before(deadline) {
				time.Sleep(100 * time.Millisecond)
			}
			err = p.halt()
			if crashed = !p.on.Load(); err != nil && !crashed {
				t.Errorf("Run: %v", err)
			}
			if err := store.Store.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		publisher.Wait()
		if n := m.sources[0].Unsettled(); n != 0 {
			t.Errorf("cut at commit %d: %d messages are unsettled", at, n)
		}
		out = map[string][]string{}
		for sink, texts := range m.delivered {
			for _, text := range texts {
				if !slices.Contains(out[sink], text) {
					out[sink] = append(out[sink], text)
				}
			}
		}
		commits = store.count
	})
	return out, commits
}
