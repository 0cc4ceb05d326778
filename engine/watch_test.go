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

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// spell writes an event down in a line.
func spell(e schedule.Event) string {
	text := func(m *message.Message) string {
		if m == nil {
			return "-"
		}
		return fmt.Sprintf("%q", m.Payload)
	}
	line := e.Kind.String()
	if e.Kind == schedule.Advanced {
		return fmt.Sprint(line, " ", e.Frontier)
	}
	line += fmt.Sprintf(" %s at %d origin %s message %s", e.Operation, e.At.Millis, text(e.Origin), text(e.Message))
	switch {
	case e.Result != nil:
		line += " result " + text(e.Result)
	case e.Until != hlc.Timestamp{}:
		line += fmt.Sprint(" until ", e.Until.Millis)
	case e.Output > 0:
		line += fmt.Sprint(" output ", e.Output)
	}
	if e.Err != nil {
		line += fmt.Sprint(" ", e.Reason, ": ", e.Err)
	}
	if e.Moved {
		line += " moved"
	}
	return line
}

// TestWatch sees everything that happens in a run.
func TestWatch(t *testing.T) {
	odd := &native.Operator{Filter: func(_ context.Context, m *message.Message) (bool, error) {
		if string(m.Payload) == "no" {
			return false, refuse("no")
		}
		return len(m.Payload) == 1, nil
	}}
	yes := &native.Operator{Branch: func(context.Context, hlc.Timestamp, *message.Message) (bool, error) { return true, nil }}
	r := newRig(t, "in>up:map>odd:filter>yes:branch.T>w:delay>sum:accumulate>out",
		map[string]*native.Operator{"up": upper(), "odd": odd, "yes": yes, "w": window(), "sum": join()})
	for i, o := range r.config.Openers {
		if o != nil && r.config.Plan.Nodes[i].Operation == "up" {
			r.config.Openers[i] = &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) { return m, nil }}
		}
	}
	var got []string
	r.config.HLC = nil
	r.config.Virtual = schedule.NewVirtualTime(time.Time{})
	r.config.DeadLetter = r.dead
	r.config.Watch = func(e schedule.Event) { got = append(got, spell(e)) }
	for _, m := range []struct {
		at      int
		payload string
	}{{1000, "a"}, {2000, "long"}, {3000, "no"}, {20_000, "b"}, {4000, "c"}} {
		r.sources[0].Publish(&message.Message{
			Payload: []byte(m.payload), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", m.at)}},
		})
	}
	r.sources[0].Close()
	g, err := engine.New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `arrived in at 1000 origin "a" message "a"
reached up at 1000 origin "a" message "a"
called up at 1000 origin "a" message "a" result "a"
reached odd at 1000 origin "a" message "a"
called odd at 1000 origin "a" message "a" output 1
reached yes at 1000 origin "a" message "a"
called yes at 1000 origin "a" message "a" output 1
reached w at 1000 origin "a" message "a"
called w at 1000 origin "a" message "a" until 10000
held w at 10000 origin "a" message "a"
advanced -4000
arrived in at 2000 origin "long" message "long"
reached up at 2000 origin "long" message "long"
called up at 2000 origin "long" message "long" result "long"
reached odd at 2000 origin "long" message "long"
called odd at 2000 origin "long" message "long"
filtered odd at 2000 origin "long" message "long"
advanced -3000
arrived in at 3000 origin "no" message "no"
reached up at 3000 origin "no" message "no"
called up at 3000 origin "no" message "no" result "no"
reached odd at 3000 origin "no" message "no"
called odd at 3000 origin "no" message "no" : operation op: no
dropped odd at 3000 origin "no" message - refused: operation op: no
buried odd at 0 origin "no" message - refused: operation op: no
advanced -2000
arrived in at 20000 origin "b" message "b"
reached up at 20000 origin "b" message "b"
called up at 20000 origin "b" message "b" result "b"
reached odd at 20000 origin "b" message "b"
called odd at 20000 origin "b" message "b" output 1
reached yes at 20000 origin "b" message "b"
called yes at 20000 origin "b" message "b" output 1
reached w at 20000 origin "b" message "b"
called w at 20000 origin "b" message "b" until 20000
held w at 20000 origin "b" message "b"
advanced 15000
released w at 10000 origin "a" message "a"
reached sum at 10000 origin "a" message "a"
held sum at 10000 origin "a" message "a"
folding sum at 10000 origin - message -
folded sum at 10000 origin "a" message "a" result "a"
closed sum at 10000 origin "a" message "a"
reached out at 10000 origin "a" message "a"
sent out at 10000 origin "a" message "a"
arrived in at 15000 origin "c" message "c" moved
`
	if have := strings.Join(got, "\n") + "\n"; !strings.HasPrefix(have, want) {
		t.Errorf("events (-want +got):\n%s", cmp.Diff(want, have))
	}
	if last := got[len(got)-1]; last != `sent out at 20000 origin "b+c" message "b+c"` {
		t.Errorf("last event %s", last)
	}
}

// TestWatchInRealTime: a graph without windows has a frontier while it is watched.
func TestWatchInRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		var got []string
		began := time.Now()
		r.config.Watch = func(e schedule.Event) {
			switch e.Kind {
			case schedule.Arrived:
				got = append(got, fmt.Sprintf("%s at %v", e.Message.Payload, e.Received.Sub(began)))
			case schedule.Advanced:
				if len(got) == 0 || got[len(got)-1] != "frontier" {
					got = append(got, "frontier")
				}
			}
		}
		r.start()
		time.Sleep(time.Second)
		r.publish("a")
		synctest.Wait()
		r.publish("b")
		time.Sleep(2 * time.Second)
		r.finish()
		if diff := cmp.Diff([]string{"frontier", "a at 1s", "b at 1s", "frontier"}, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestFeed plays two sources in one order, with a frontier of its own, and ends in the
// middle or at the end.
func TestFeed(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  error
		want string
		held int64
	}{
		{"to the end", nil, "a1 b1 a2 b2", 0},
		{"halted", schedule.ErrHalt, "a1 b1 a2", 1},
		{"failed", errors.New("broken"), "a1 b1 a2", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "in1>sum:accumulate>out in2>sum", map[string]*native.Operator{"sum": join()})
			virtual := schedule.NewVirtualTime(time.UnixMilli(1000))
			r.config.HLC, r.config.Sources, r.config.Virtual = nil, nil, virtual
			r.config.Feed = func(_ context.Context, take func(int, endpoint.Delivery) error) error {
				give := func(source int, payload string) {
					if err := take(source, endpoint.Delivery{Message: &message.Message{
						Payload: []byte(payload), Properties: []message.Property{{Key: "__ts", Value: payload[1:] + "000:0:n"}},
					}}); err != nil {
						t.Error(err)
					}
				}
				set := func(now int64, frontier progress.Time) {
					virtual.Set(time.UnixMilli(now), frontier)
					if err := take(0, endpoint.Delivery{}); err != nil {
						t.Error(err)
					}
				}
				set(1000, progress.Beginning)
				give(0, "a1")
				set(1100, 1001) // ends the window of one second
				give(1, "b1")   // so this is late
				give(0, "a2")
				if now := virtual.Now().UnixMilli(); now != 1100 {
					t.Errorf("the clock is at %d, want it at 1100, where it was set", now)
				}
				set(3000, 2001)
				set(2000, 5)
				give(1, "b2")
				return tt.end
			}
			g, err := engine.New(r.config)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Run(t.Context()); (err != nil) != (tt.name == "failed") {
				t.Errorf("Run = %v", err)
			}
			if got := r.sinks[0].payloads(); got != tt.want {
				t.Errorf("came out %q, want %q", got, tt.want)
			}
			for _, o := range g.Stats().Operations {
				if o.Kind == operator.Accumulate && o.Held != tt.held {
					t.Errorf("held %d, want %d", o.Held, tt.held)
				}
			}
		})
	}
	r := newRig(t, "in>out", nil)
	r.config.Feed = func(context.Context, func(int, endpoint.Delivery) error) error { return nil }
	if _, err := engine.New(r.config); err == nil || !strings.Contains(err.Error(), "real time") {
		t.Errorf("New with a feed in real time: %v", err)
	}
}
