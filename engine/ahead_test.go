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

	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// TestAhead checks when an operator is asked about messages before what comes of those
// before them has gone out, and for how many. What goes out, and in which order, is
// the same.
func TestAhead(t *testing.T) {
	var numbers []string
	for n := range 20 {
		numbers = append(numbers, fmt.Sprint(n))
	}
	one := func(r *rig) {}
	turns := "" // each by itself
	for _, n := range numbers {
		turns += " " + n + "? " + n + "!"
	}
	batch := func(from, to int) (text string) {
		for _, mark := range []string{"?", "!"} {
			for _, n := range numbers[from:to] {
				text += " " + n + mark
			}
		}
		return text
	}
	for _, tt := range []struct {
		name     string
		topology string
		takes    time.Duration // a call
		fails    map[string]error
		set      func(r *rig)
		want     string
	}{
		{name: "sixteen at most", topology: "in>m:map>out", set: one, want: batch(0, 1) + batch(1, 17) + batch(17, 20)},
		{name: "in half a millisecond", topology: "in>m:map>out", takes: 300 * time.Microsecond, set: one,
			want: batch(0, 1) + batch(1, 3) + batch(3, 5) + batch(5, 7) + batch(7, 9) + batch(9, 11) + batch(11, 13) + batch(13, 15) + batch(15, 17) + batch(17, 19) + batch(19, 20)},
		{name: "no slow ones", topology: "in>m:map>out", takes: time.Millisecond, set: one, want: turns},
		{name: "up to a refusal", topology: "in>m:map>out", fails: map[string]error{"3": refuse("no")}, set: one,
			want: batch(0, 1) + " 1? 2? 3? 1! 2! 3x" + batch(4, 20)},
		{name: "up to a fault", topology: "in>m:map>out", fails: map[string]error{"3": errors.New("trap")}, set: one,
			want: batch(0, 1) + " 1? 2? 3? 3? 1! 2! 3x" + batch(4, 20)},
		{name: "not before another operator", topology: "in>m:map>n:map>out", set: one, want: turns},
		{name: "behind the border of a graph", topology: "in>join>m:map>join2>out", set: one, want: batch(0, 1) + batch(1, 17) + batch(17, 20)},
		{name: "not behind a join", topology: "in>join>m:map>out in2>join", set: one, want: turns},
		{name: "not where others come in too", topology: "in>m:map>out in2>m", set: one, want: turns},
		{name: "not where all is watched", topology: "in>m:map>out",
			set: func(r *rig) { r.config.Watch = func(schedule.Event) {} }, want: turns},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var did []string // by the worker only
				note := func(m *message.Message, mark string) { did = append(did, string(m.Payload)+mark) }
				queued := make(chan struct{})
				m := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
					<-queued
					note(m, "?")
					time.Sleep(tt.takes)
					return m, tt.fails[string(m.Payload)]
				}}
				r := newRig(t, tt.topology, map[string]*native.Operator{"m": m, "n": upper()})
				r.sinks[0].deny = func(m *message.Message) error { note(m, "!"); return nil }
				r.dead.deny = func(m *message.Message) error { note(m, "x"); return nil }
				r.config.DeadLetter = r.dead
				tt.set(r)
				r.start()
				r.publish(numbers[0])
				synctest.Wait()
				r.publish(numbers[1:]...)
				synctest.Wait()
				close(queued)
				r.wait()
				r.finish()
				if diff := cmp.Diff(strings.Fields(tt.want), did); diff != "" {
					t.Errorf("asked and sent (-want +got):\n%s", diff)
				}
				if s := r.graph.Stats(); s.Received != 20 || s.Sent+s.DeadLetters != 20 || s.Operations[1].In != 20 && s.Operations[2].In != 20 {
					t.Errorf("stats = %+v", s)
				}
			})
		})
	}
}

// TestAheadSwap: a version asks about no more messages once another is to take over,
// and finishes those that it was asked about.
func TestAheadSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queued, third := make(chan struct{}), make(chan struct{})
		asked := ""
		m := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			<-queued
			asked += string(m.Payload)
			if string(m.Payload) == "3" {
				<-third
			}
			return m, nil
		}}
		r := newRig(t, "in>m:map>out", map[string]*native.Operator{"m": m})
		r.start()
		r.publish("0")
		synctest.Wait()
		r.publish("1", "2", "3", "4", "5")
		synctest.Wait()
		close(queued)
		synctest.Wait()
		closed := ""
		swapped := make(chan error)
		go func() {
			swapped <- r.graph.Swap(t.Context(), versionOf(t, "in>m:map>out", map[string]*native.Operator{"m": mark("b", &closed)}))
		}()
		synctest.Wait()
		if got := r.sinks[0].payloads(); got != "0" {
			t.Errorf("came out before the third answer: %q", got)
		}
		close(third)
		if err := <-swapped; err != nil {
			t.Fatal(err)
		}
		r.wait()
		r.finish()
		if got := r.sinks[0].payloads(); got != "0 1 2 3 b4 b5" || asked != "0123" {
			t.Errorf("came out: %q, and the first version was asked about %s", got, asked)
		}
	})
}
