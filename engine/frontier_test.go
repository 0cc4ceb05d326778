// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// line is a source whose connection can be lost.
type line struct {
	*memory.Source
	down atomic.Bool
}

func (l *line) Connected() bool { return !l.down.Load() && l.Source.Connected() }

// clockRig is a rig that tells how its sources' frontiers do by windows of ten
// seconds; its clock starts at second 0 of one.
type clockRig struct {
	*rig
	lines []*line
	began time.Time
}

func newClockRig(t *testing.T, topology string, operators map[string]*native.Operator) *clockRig {
	r := &clockRig{rig: newRig(t, topology, operators), began: time.Now()}
	for i, s := range r.sources {
		r.lines = append(r.lines, &line{Source: s})
		r.config.Sources[i] = r.lines[i]
	}
	return r
}

// send publishes payloads at a source, stamped with a second since the beginning.
func (r *clockRig) send(source int, second float64, payloads ...string) {
	r.t.Helper()
	for _, p := range payloads {
		stamp := fmt.Sprintf("%d:0:n", r.began.UnixMilli()+int64(second*1000))
		if err := r.sources[source].Publish(&message.Message{Payload: []byte(p), Properties: []message.Property{{Key: "__ts", Value: stamp}}}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// until sleeps until a second since the beginning.
func (r *clockRig) until(second float64) {
	time.Sleep(time.Until(r.began.Add(time.Duration(second * float64(time.Second)))))
}

// check checks what has come out of sink 1: windows as "seconds a+b", and how many
// messages were late.
func (r *clockRig) check(late uint64, want ...string) {
	r.t.Helper()
	var got []string
	for _, m := range r.sinks[0].messages() {
		got = append(got, fmt.Sprintf("%v %s", float64(m.Time.Millis-r.began.UnixMilli())/1000, m.Payload))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("at %v: windows (-want +got):\n%s", time.Since(r.began), diff)
	}
	if s := r.graph.Stats(); s.Late != late {
		r.t.Errorf("at %v: %d messages are late, want %d", time.Since(r.began), s.Late, late)
	}
}

const tenSeconds = "in>w:delay>sum:accumulate>out"

// TestOutage loses the connection for a minute while a window is open. What was
// stamped meanwhile comes afterwards, over some seconds: nothing is late.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newClockRig(t, tenSeconds, map[string]*native.Operator{"w": window(), "sum": join()})
		r.start()
		r.until(4)
		r.send(0, 4, "a")
		r.until(6)
		r.lines[0].down.Store(true)
		r.until(66)
		r.check(0)
		r.lines[0].down.Store(false)
		for i := range 8 { // two messages a second of the outage, ten a second
			r.send(0, 8+float64(7*i), fmt.Sprint("b", i))
			r.until(66 + 0.4*float64(i+1))
			r.check(0)
		}
		r.until(72)
		r.check(0, "10 a+b0", "20 b1", "30 b2+b3", "40 b4", "50 b5+b6", "60 b7")
		r.finish()
	})
}

// TestOutageOfOne loses the connection of one of two sources: the other's windows wait,
// too, unless that is to have an end.
func TestOutageOfOne(t *testing.T) {
	for _, limit := range []time.Duration{0, 30 * time.Second} {
		t.Run(fmt.Sprint("max-stall ", limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newClockRig(t, "in1>w:delay>sum:accumulate>out in2>w", map[string]*native.Operator{"w": window(), "sum": join()})
				r.config.Options.MaxStall = limit
				r.start()
				r.until(4)
				r.send(0, 4, "a")
				r.until(5)
				r.send(1, 4, "b")
				r.until(6)
				r.lines[1].down.Store(true)
				r.until(34)
				r.check(0)
				r.until(40)
				if limit == 0 {
					r.check(0)
				} else {
					r.check(0, "10 a+b")
				}
				r.until(50)
				r.lines[1].down.Store(false)
				r.send(1, 8, "c")
				r.until(70)
				if limit == 0 {
					r.check(0, "10 a+b+c")
				} else {
					r.check(1, "10 a+b", "50 c") // where the frontier was: at 45
				}
				r.finish()
			})
		})
	}
}

// TestSourceClockGoesBack sets the clock of a busy source back: by less than the
// lateness nothing is late, by hours time goes on without it.
func TestSourceClockGoesBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		back float64 // seconds
		late uint64
	}{{"a little", 0.3, 0}, {"by the lateness", 4.9, 0}, {"by two hours", 7200, 450}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newClockRig(t, tenSeconds, map[string]*native.Operator{"w": window(), "sum": join()})
				r.start()
				for i := range 500 { // five a second
					at := 0.1 + float64(i)/5
					r.until(at)
					stamp := at
					if i >= 50 {
						stamp -= tt.back
					}
					r.send(0, stamp, fmt.Sprint(i))
				}
				r.until(99.9)
				if n := len(r.sinks[0].messages()); n < 7 {
					t.Errorf("only %d windows are closed at 99.9 s", n)
				}
				r.until(130)
				if n := strings.Count(r.sinks[0].payloads(), "+") + strings.Count(r.sinks[0].payloads(), " ") + 1; n != 500 {
					t.Errorf("%d messages are in windows, want 500", n)
				}
				if s := r.graph.Stats(); s.Late != tt.late {
					t.Errorf("%d messages are late, want %d", s.Late, tt.late)
				}
				r.finish()
			})
		})
	}
}

// TestLocalClockGoesBack sets the machine's clock back by an hour: the frontier waits
// for it, and messages are stamped on from where it was, so that nothing is late.
func TestLocalClockGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newClockRig(t, tenSeconds, map[string]*native.Operator{"w": window(), "sum": join()})
		clock := &steppedClock{}
		r.config.Clock = clock
		r.start()
		r.until(4)
		r.publish("a")
		r.until(5)
		clock.step.Store(-int64(time.Hour))
		r.publish("b")
		r.until(60)
		r.publish("c")
		r.check(0)
		r.until(3600 + 30)
		r.check(0, "10 a+b+c")
		r.finish()
	})
}

// steppedClock is the machine's clock, set by step.
type steppedClock struct {
	hurried
	step atomic.Int64
}

func (c *steppedClock) Now() time.Time { return time.Now().Add(time.Duration(c.step.Load())) }

// TestArms checks that windows of windows wait for arms that got nothing, in virtual
// time and in real time.
func TestArms(t *testing.T) {
	operators := func() map[string]*native.Operator {
		return map[string]*native.Operator{"w": window(), "split": evenArm(), "even": join(), "odd": join(), "all": join(), "none": noneOf()}
	}
	for _, tt := range []struct{ name, topology, want string }{
		{"both arms", "in>w:delay>split:branch.T>even:accumulate>join>all:accumulate>out split.F>odd:accumulate>join", "10 0+2+1|20 4|30 5"},
		{"a direct way beside a window", "in>w:delay>even:accumulate>join>all:accumulate>out w>join", "10 0+1+2+0+1+2|20 4+4|30 5+5"},
		{"an arm that nothing passes", "in>w:delay>none:filter>even:accumulate>join>all:accumulate>out w>odd:accumulate>join", "10 0+1+2|20 4|30 5"},
		{"three deep", "in>w:delay>even:accumulate>odd:accumulate>all:accumulate>out", "10 0+1+2|20 4|30 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := simulate(t, tt.topology, operators(), plan.Options{}, "1:0", "2:1", "3:2", "11:4", "21:5")
			want := strings.NewReplacer(" ", "s ", "|", "\n1 ").Replace(tt.want)
			if want = "1 " + want + "\n"; got != want {
				t.Errorf("virtual time: got %q, want %q", got, want)
			}
			synctest.Test(t, func(t *testing.T) {
				r := newClockRig(t, tt.topology, operators())
				r.start()
				for _, m := range []struct {
					at      float64
					payload string
				}{{1, "0"}, {2, "1"}, {3, "2"}, {11, "4"}, {21, "5"}} {
					r.until(m.at)
					r.send(0, m.at, m.payload)
				}
				r.until(60)
				r.check(0, strings.Split(tt.want, "|")...)
				r.finish()
			})
		})
	}
}

func evenArm() *native.Operator {
	return &native.Operator{Branch: func(_ context.Context, _ hlc.Timestamp, m *message.Message) (bool, error) {
		return m.Payload[0]%2 == 0, nil
	}}
}

func noneOf() *native.Operator {
	return &native.Operator{Filter: func(context.Context, *message.Message) (bool, error) { return false, nil }}
}

// TestDroppedByTime checks that what is dropped for its time goes to the dead letters as
// it came, but for the stamp, and is settled and counted.
func TestDroppedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newClockRig(t, tenSeconds, map[string]*native.Operator{"w": window(), "sum": join()})
		r.config.DeadLetter = r.dead
		r.config.Options.LatePolicy, r.config.Options.DriftPolicy = plan.DropLate, plan.DropDrift
		r.start()
		r.until(20)
		for _, second := range []float64{1, 19, 100} {
			r.send(0, second, fmt.Sprint(second))
		}
		r.until(40)
		r.finish()
		r.check(1, "20 19")
		var got []string
		for _, m := range r.dead.messages() {
			reason, _ := m.Property(schedule.ReasonProperty)
			where, _ := m.Property(schedule.OperationProperty)
			got = append(got, fmt.Sprintf("%s %s %s", m.Payload, reason, where))
		}
		if diff := cmp.Diff([]string{"1 late in", "100 drift in"}, got); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if s := r.graph.Stats(); s.Dropped != 2 || s.Drifted != 1 || s.DeadLetters != 2 || s.Unsettled != 0 {
			t.Errorf("dropped %d, drifted %d, dead letters %d, unsettled %d; want 2, 1, 2, 0", s.Dropped, s.Drifted, s.DeadLetters, s.Unsettled)
		}
	})
}
