// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
)

// versionOf is what a graph of that topology does; see newRig.
func versionOf(t *testing.T, topology string, operators map[string]*native.Operator) engine.Version {
	t.Helper()
	r := newRig(t, topology, operators)
	return engine.Version{Plan: r.config.Plan, Openers: r.config.Openers}
}

// mark appends a letter to each payload, and notes in closed that it was given up.
func mark(letter string, closed *string) *native.Operator {
	return &native.Operator{
		Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			out := m.Clone()
			out.Payload = append([]byte(letter), m.Payload...)
			return out, nil
		},
		Close: func() error {
			*closed += letter
			return nil
		},
	}
}

// TestSwap: the new version begins where the one before has ended, and the ends
// don't notice.
func TestSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := ""
		r := newRig(t, "in>m:map>out", map[string]*native.Operator{"m": mark("a", &closed)})
		if err := func() error {
			g, err := engine.New(r.config)
			if err != nil {
				t.Fatal(err)
			}
			return g.Swap(t.Context(), versionOf(t, "in>m:map>out", map[string]*native.Operator{"m": mark("x", &closed)}))
		}(); !errors.Is(err, engine.ErrNotRunning) {
			t.Errorf("Swap before Run = %v", err)
		}
		r.start()
		synctest.Wait()
		r.publish("1", "2")
		r.wait()
		if err := r.graph.Swap(t.Context(), versionOf(t, "in>more:map>m:map>out", map[string]*native.Operator{"m": mark("b", &closed), "more": mark("c", &closed)})); err != nil {
			t.Fatal(err)
		}
		r.publish("3")
		r.wait()
		if err := r.graph.Swap(t.Context(), versionOf(t, "in>out", nil)); err != nil {
			t.Fatal(err)
		}
		r.publish("4")
		r.wait()
		r.finish()
		if got := r.sinks[0].payloads(); got != "a1 a2 bc3 4" {
			t.Errorf("came out: %q", got)
		}
		if closed != "xacb" && closed != "xabc" {
			t.Errorf("closed %q", closed)
		}
		if s := r.graph.Stats(); s.Received != 4 || s.Sent != 4 {
			t.Errorf("counts are %+v, want those of all versions", s)
		}
		if err := r.graph.Swap(t.Context(), versionOf(t, "in>out", nil)); !errors.Is(err, engine.ErrNotRunning) {
			t.Errorf("Swap after Run = %v", err)
		}
	})
}

// TestSwapInABatch: a version that takes over in the middle of a batch goes on with the
// rest of it, before what came meanwhile.
func TestSwapInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(time.Second)
			return m, nil
		}}
		r := newRig(t, "in>m:map>out", map[string]*native.Operator{"m": slow})
		r.start()
		r.publish("1")
		synctest.Wait()
		r.publish("2", "3", "4") // the next batch
		time.Sleep(1500 * time.Millisecond)
		r.publish("5", "6") // while it is worked on
		synctest.Wait()
		closed := ""
		if err := r.graph.Swap(t.Context(), versionOf(t, "in>m:map>out", map[string]*native.Operator{"m": mark("b", &closed)})); err != nil {
			t.Fatal(err)
		}
		r.wait()
		r.finish()
		if got := r.sinks[0].payloads(); got != "1 2 b3 b4 b5 b6" {
			t.Errorf("came out: %q", got)
		}
	})
}

// TestSwapKeepsTime: the frontier and the stamps of the version before are not gone
// back behind.
func TestSwapKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topology = "in>w:delay>sum:accumulate>out in>out2"
		operators := map[string]*native.Operator{"w": window(), "sum": join()}
		r := newRig(t, topology, operators)
		r.start()
		time.Sleep(time.Minute)
		old := fmt.Sprintf("%d:0:n", time.Now().Add(-30*time.Second).UnixMilli())
		r.publish("a")
		synctest.Wait()
		if err := r.graph.Swap(t.Context(), versionOf(t, topology, operators)); err != nil {
			t.Fatal(err)
		}
		r.publish("b")
		if err := r.sources[0].Publish(&message.Message{Payload: []byte("old"), Properties: []message.Property{{Key: "__ts", Value: old}}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := r.graph.Stats(); s.Late != 1 {
			t.Errorf("%d messages were late, want the one that is older than the frontier before the swap", s.Late)
		}
		got := r.sinks[1].messages()
		if len(got) != 3 || got[0].Time.Compare(got[1].Time) >= 0 {
			t.Errorf("the stamps of %d messages are %v and %v, want them to rise", len(got), got[0].Time, got[1].Time)
		}
		time.Sleep(time.Minute)
		r.finish()
	})
}

// TestSwapRefused: whatever is wrong with a new version, the one before goes on.
func TestSwapRefused(t *testing.T) {
	for _, tt := range []struct {
		name, topology string
		operators      map[string]*native.Operator
		want           string
	}{
		{"init fails", "in>w:delay>sum:accumulate>out", map[string]*native.Operator{
			"w": window(), "sum": {Init: func(context.Context) error { return errors.New("no licence") }},
		}, `open operation "sum": no licence`},
		{"other ends", "in>w:delay>sum:accumulate>out in2>out", map[string]*native.Operator{"w": window(), "sum": join()}, `other sources and sinks: ["in" "in2" "" "out" ""], before ["in" "" "out" ""]`},
		{"operation gone", "in>out", nil, `operation "w" holds 1 messages and is gone; set the option on-swap to fire`},
		{"operation of another kind", "in>w:accumulate>out", map[string]*native.Operator{"w": join()}, `operation "w" holds 1 messages as a delay and is now a accumulate; set`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
				store := &windowmemory.Store{}
				r.config.Windows = store
				time.Sleep(time.Second)
				r.start()
				r.publish("a")
				synctest.Wait()
				v := versionOf(t, tt.topology, tt.operators)
				v.Windows = store
				if err := r.graph.Swap(t.Context(), v); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Swap = %v, want %s", err, tt.want)
				}
				r.publish("b")
				time.Sleep(20 * time.Second)
				r.finish()
				if got := r.sinks[0].payloads(); got != "a+b" {
					t.Errorf("came out: %q, want a+b", got)
				}
			})
		})
	}
}

// TestSwapFires: what is held comes out of the version that has it.
func TestSwapFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
		r.config.Windows = &windowmemory.Store{}
		time.Sleep(time.Second)
		r.start()
		r.publish("a", "b")
		synctest.Wait()
		v := versionOf(t, "in>out", nil)
		v.Options.OnSwap = plan.Fire
		if err := r.graph.Swap(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		r.publish("c")
		synctest.Wait()
		if got := r.sinks[0].payloads(); got != "a+b c" {
			t.Errorf("came out: %q, want a+b c", got)
		}
		// And back: windows are kept again, in the same store.
		v = versionOf(t, "in>w:delay>out", map[string]*native.Operator{"w": window()})
		v.Windows = r.config.Windows
		if err := r.graph.Swap(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		r.publish("d")
		synctest.Wait()
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are unsettled", n)
		}
		time.Sleep(20 * time.Second)
		r.finish()
		if got := r.sinks[0].payloads(); got != "a+b c d" {
			t.Errorf("came out: %q, want a+b c d", got)
		}
	})
}

// TestSwapGivesBack: a version that makes nothing of what another has folded gives
// everything back, at the cut where messages wait to be folded, else with the next
// that are.
func TestSwapGivesBack(t *testing.T) {
	strict := func() *native.Operator { // takes only what begins with "new"
		o := join()
		inner := o.Accumulate
		o.Accumulate = func(ctx context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
			if len(staged.Payload) > 0 && !strings.HasPrefix(string(staged.Payload), "new") {
				return nil, errors.New("unreachable executed")
			}
			out, err := inner(ctx, staged, batch)
			if err == nil && !strings.HasPrefix(string(out.Payload), "new") {
				out.Payload = append([]byte("new"), out.Payload...)
			}
			return out, err
		}
		return o
	}
	for _, before := range []int{64, 65, 100} {
		for _, kept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d messages, kept %v", before, kept), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, "in>sum:accumulate>out", map[string]*native.Operator{"sum": join()})
					v := versionOf(t, "in>sum:accumulate>out", map[string]*native.Operator{"sum": strict()})
					if kept {
						r.config.Windows = &windowmemory.Store{}
						v.Windows = r.config.Windows
					}
					stamp := time.Now().Add(10 * time.Second).UnixMilli()
					var want []string
					publish := func(n int) {
						for range n {
							text := fmt.Sprint(len(want))
							want = append(want, text)
							if err := r.sources[0].Publish(&message.Message{Payload: []byte(text), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", stamp)}}}); err != nil {
								t.Fatal(err)
							}
						}
					}
					r.start()
					publish(before)
					synctest.Wait()
					outcome := make(chan error, 1)
					go func() { outcome <- r.graph.Swap(t.Context(), v) }()
					synctest.Wait()
					if before == 64 {
						select {
						case err := <-outcome:
							t.Errorf("Swap = %v, and nothing has shown yet whether the window can be gone on with", err)
						default:
						}
					}
					publish(70)
					var carry *schedule.CarryError
					if err := <-outcome; !errors.As(err, &carry) || carry.Operation != "sum" {
						t.Errorf("Swap = %v", err)
					}
					publish(30)
					time.Sleep(30 * time.Second)
					r.finish()
					if got := r.sinks[0].payloads(); got != strings.Join(want, "+") {
						t.Errorf("came out: %q\nwant %q", got, strings.Join(want, "+"))
					}
					if n := r.sources[0].Unsettled(); n != 0 {
						t.Errorf("%d messages are unsettled", n)
					}
				})
			})
		}
	}
}

// TestSwapProven: a swap is over when the windows it found have closed, or its
// context has ended.
func TestSwapProven(t *testing.T) {
	for _, patient := range []bool{true, false} {
		t.Run(fmt.Sprint(patient), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "in>sum:accumulate>out", map[string]*native.Operator{"sum": join()})
				stamp := time.Now().Add(10 * time.Second).UnixMilli()
				for range 64 {
					if err := r.sources[0].Publish(&message.Message{Payload: []byte("x"), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", stamp)}}}); err != nil {
						t.Fatal(err)
					}
				}
				r.start()
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if !patient {
					time.AfterFunc(2*time.Second, cancel)
				}
				began := time.Now()
				if err := r.graph.Swap(ctx, versionOf(t, "in>sum:accumulate>out", map[string]*native.Operator{"sum": join()})); err != nil {
					t.Errorf("Swap = %v", err)
				}
				took := time.Since(began)
				if patient && took < 15*time.Second || !patient && took != 2*time.Second {
					t.Errorf("Swap took %v", took)
				}
				time.Sleep(30 * time.Second)
				r.finish()
				if got, want := r.sinks[0].payloads(), strings.Repeat("x+", 63)+"x"; got != want {
					t.Errorf("came out: %q", got)
				}
			})
		})
	}
}

// TestSwapWaitsForConfirmations: the cut comes when everything sent is safe; a swap
// whose context ends before leaves everything as it was.
func TestSwapWaitsForConfirmations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := ""
		r := newRig(t, "in>m:map>out", map[string]*native.Operator{"m": mark("a", &closed)})
		sink := &slowSink{}
		r.config.Sinks[0] = sink
		r.start()
		r.publish("1")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		next := func(letter string) engine.Version {
			return versionOf(t, "in>m:map>out", map[string]*native.Operator{"m": mark(letter, &closed)})
		}
		if err := r.graph.Swap(ctx, next("b")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Swap = %v", err)
		}
		r.publish("2")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- r.graph.Swap(t.Context(), next("c")) }()
		synctest.Wait()
		r.publish("3")
		synctest.Wait()
		sink.confirm(0)
		sink.confirm(1)
		if err := <-done; err != nil {
			t.Errorf("Swap = %v", err)
		}
		synctest.Wait()
		sink.confirm(2)
		r.wait()
		r.finish()
		if text := strings.Join(sink.got, " "); text != "a1 a2 c3" {
			t.Errorf("came out: %q", text)
		}
		if closed != "bac" {
			t.Errorf("closed %q, want bac", closed)
		}
	})
}

// TestWatchWhileRunning: who begins to watch a running graph is told what happens from
// then on, whichever version does it, until it stops.
func TestWatchWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := ""
		r := newRig(t, "in>m:map>out", map[string]*native.Operator{"m": mark("a", &closed)})
		r.start()
		synctest.Wait()
		r.publish("1")
		r.wait()
		var first, second []string
		frontiers := 0
		watch := func(to *[]string) (stop func()) {
			return r.graph.Watch(func(e schedule.Event) {
				switch e.Kind {
				case schedule.Reached:
					*to = append(*to, e.Operation+" "+string(e.Message.Payload))
				case schedule.Advanced:
					frontiers++
				}
			})
		}
		stopFirst := watch(&first)
		r.publish("2")
		r.wait()
		stopSecond := watch(&second)
		if err := r.graph.Swap(t.Context(), versionOf(t, "in>n:map>out", map[string]*native.Operator{"n": mark("b", &closed)})); err != nil {
			t.Fatal(err)
		}
		r.publish("3")
		r.wait()
		stopFirst()
		r.publish("4")
		r.wait()
		time.Sleep(10 * time.Second)
		stopSecond()
		r.publish("5")
		r.wait()
		if got := strings.Join(first, ", "); got != "m 2, out a2, n 3, out b3" {
			t.Errorf("the first was told %q", got)
		}
		if got := strings.Join(second, ", "); got != "n 3, out b3, n 4, out b4" {
			t.Errorf("the second was told %q", got)
		}
		if frontiers == 0 {
			t.Error("nobody was told of a frontier")
		}
		if got := r.graph.Plan().Nodes[1].Operation; got != "n" {
			t.Errorf("the plan has %q", got)
		}
		r.finish()
		<-r.graph.Ended()
		r.graph.Watch(func(schedule.Event) {})()
	})
}
