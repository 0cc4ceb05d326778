// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
)

func TestSystemClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c schedule.SystemClock
		begin := c.Now()
		if err := c.Sleep(t.Context(), 3*time.Second); err != nil || c.Now().Sub(begin) != 3*time.Second {
			t.Errorf("Sleep = %v after %v, want nil after 3s", err, c.Now().Sub(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sleep = %v, want the context's error", err)
		}
	})
}

// straight is a plan from a source to a sink.
func straight() *plan.Plan {
	return &plan.Plan{
		Nodes: []plan.Node{
			{Operation: "source", Kind: operator.Source, Outputs: [2][]int{{1}}},
			{Operation: "sink", Kind: operator.Sink},
		},
		Sources: []int{0}, Sinks: []int{1},
	}
}

// TestVirtualTime checks where a run's clock stands after each message, and which
// time the message has.
func TestVirtualTime(t *testing.T) {
	const start = 1577836800000 // 2020
	for _, tt := range []struct {
		name   string
		start  time.Time
		stamps []string
		times  []int64 // of the messages
		clocks []int64
	}{
		{"no stamps", time.Time{}, []string{"", ""}, []int64{start + 1, start + 2}, []int64{start + 1, start + 2}},
		{"stamps", time.UnixMilli(5000), []string{"5000:0:n", "4000:0:n", "6000:9:m"}, []int64{5000, 4000, 6000}, []int64{5000, 5000, 6000}},
		{"mixed", time.UnixMilli(5000), []string{"5000:0:n", "", "malformed", "5001:0:n", ""}, []int64{5000, 5001, 5002, 5001, 5003}, []int64{5000, 5001, 5002, 5002, 5003}},
		{"far in the future", time.Time{}, []string{"9000000000000:0:n", ""}, []int64{9000000000000, 9000000000001}, []int64{9000000000000, 9000000000001}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			virtual := schedule.NewVirtualTime(tt.start)
			var got []hlc.Timestamp
			w, err := schedule.New(schedule.Config{
				Plan: straight(), Openers: make([]operator.Opener, 2), Virtual: virtual, Node: "run",
				Sinks: []endpoint.Sink{memory.NewSink(func(m *message.Message) error { got = append(got, m.Time); return nil })},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range tt.stamps {
				m := &message.Message{}
				if s != "" {
					m.Properties = []message.Property{{Key: "__ts", Value: s}}
				}
				if !w.Take(0, endpoint.Delivery{Message: m}) {
					t.Fatal("the worker takes nothing")
				}
				if err := w.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				if now := virtual.Now().UnixMilli(); got[i].Millis != tt.times[i] || now != tt.clocks[i] {
					t.Errorf("message %d has time %d, clock at %d; want %d and %d", i, got[i].Millis, now, tt.times[i], tt.clocks[i])
				}
			}
			w.End(0)
			if err := w.Run(t.Context()); err != nil {
				t.Errorf("Run: %v", err)
			}
			if w.Take(0, endpoint.Delivery{Message: &message.Message{}}) {
				t.Error("the worker takes messages after the end")
			}
		})
	}
}

func TestNewFaults(t *testing.T) {
	sink := []endpoint.Sink{memory.NewSink(nil)}
	withMap := straight()
	withMap.Nodes[0].Module = "m:1"
	for _, tt := range []struct {
		name   string
		config schedule.Config
	}{
		{"too few openers", schedule.Config{Plan: straight(), Sinks: sink}},
		{"too few sinks", schedule.Config{Plan: straight(), Openers: make([]operator.Opener, 2)}},
		{"a module without an opener", schedule.Config{Plan: withMap, Openers: make([]operator.Opener, 2), Sinks: sink}},
	} {
		if _, err := schedule.New(tt.config); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}
