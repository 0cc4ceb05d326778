// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a graph with memory endpoints.
type rig struct {
	t       testing.TB
	config  engine.Config
	graph   *engine.Graph
	sources []*memory.Source
	sinks   []*inbox
	dead    *inbox
	log     bytes.Buffer
	stop    context.CancelFunc
	ended   chan error
}

// inbox is a sink that collects what it gets.
type inbox struct {
	*memory.Sink
	mu   sync.Mutex
	got  []*message.Message
	deny func(*message.Message) error // nil: takes everything
}

func newInbox() *inbox {
	b := &inbox{}
	b.Sink = memory.NewSink(func(m *message.Message) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.deny != nil {
			if err := b.deny(m); err != nil {
				return err
			}
		}
		b.got = append(b.got, m)
		return nil
	})
	return b
}

func (b *inbox) messages() []*message.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func (b *inbox) payloads() string {
	var texts []string
	for _, m := range b.messages() {
		texts = append(texts, string(m.Payload))
	}
	return strings.Join(texts, " ")
}

// newRig puts the graph of a line such as "in>map:a>out a>b" together: operations
// joined by ">", each name with its kind on its first use unless it is in*, out*
// or join*; "split:branch.T>x" is an arm. Operators are given by name.
func newRig(t testing.TB, topology string, operators map[string]*native.Operator) *rig {
	t.Helper()
	p := planOf(t, topology)
	r := &rig{t: t, dead: newInbox(), ended: make(chan error, 1)}
	r.config = engine.Config{
		Plan: p,
		HLC:  hlc.NewClock(hlc.Config{Node: "here", Now: time.Now}),
	}
	r.config.Logger = slog.New(slog.NewTextHandler(&lockedBuffer{b: &r.log}, nil))
	for _, n := range p.Nodes {
		var o operator.Opener
		if n.Module != "" {
			o = operators[n.Operation]
		}
		r.config.Openers = append(r.config.Openers, o)
	}
	for range p.Sources {
		s := memory.NewSource(0)
		r.sources = append(r.sources, s)
		r.config.Sources = append(r.config.Sources, s)
	}
	for range p.Sinks {
		s := newInbox()
		r.sinks = append(r.sinks, s)
		r.config.Sinks = append(r.config.Sinks, s)
	}
	return r
}

type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func planOf(t testing.TB, topology string) *plan.Plan {
	t.Helper()
	d := &graph.Definition{Metadata: graph.Metadata{Name: "test"}}
	seen := map[string]bool{}
	for _, path := range strings.Fields(topology) {
		var from, arm string
		for _, part := range strings.Split(path, ">") {
			part, nextArm, _ := strings.Cut(part, ".")
			name, kind, _ := strings.Cut(part, ":")
			if !seen[name] {
				seen[name] = true
				op := graph.Operation{Name: name, Kind: graph.Kind(kind)}
				switch {
				case strings.HasPrefix(name, "in"):
					op.Kind = graph.Source
				case strings.HasPrefix(name, "out"):
					op.Kind = graph.Sink
				case strings.HasPrefix(name, "join"):
					op.Kind = graph.Concatenate
				default:
					op.Module = name + ":1"
				}
				d.Operations = append(d.Operations, op)
			}
			if from != "" {
				c := graph.Connection{From: from, To: name}
				switch arm {
				case "T":
					c.Arm = graph.True
				case "F":
					c.Arm = graph.False
				}
				d.Connections = append(d.Connections, c)
			}
			from, arm = name, nextArm
		}
	}
	p, err := plan.New(d, nil, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	if r.graph, err = engine.New(r.config); err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- r.graph.Run(ctx) }()
}

// finish stops the graph and checks that it drained.
func (r *rig) finish() {
	r.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// wait waits until everything published is settled.
func (r *rig) wait() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, s := range r.sources {
		if err := s.Wait(ctx); err != nil {
			r.t.Fatalf("waiting for %d messages to be settled: %v\n%s", s.Unsettled(), err, r.log.String())
		}
	}
}

func (r *rig) publish(payloads ...string) {
	r.t.Helper()
	for _, p := range payloads {
		if err := r.sources[0].Publish(&message.Message{Topic: "t/" + p, Payload: []byte(p)}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func upper() *native.Operator {
	return &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
		out := m.Clone()
		out.Payload = bytes.ToUpper(m.Payload)
		return out, nil
	}}
}

func refuse(text string) error { return &operator.Refusal{Operation: "op", Message: text} }

func TestSimple(t *testing.T) {
	r := newRig(t, "in>up:map>out", map[string]*native.Operator{"up": upper()})
	r.start()
	r.publish("a", "b", "c")
	r.wait()
	r.finish()
	if got := r.sinks[0].payloads(); got != "A B C" {
		t.Errorf("came out: %s, want A B C", got)
	}
	for _, m := range r.sinks[0].messages() {
		ts, ok := m.Property("__ts")
		if stamp, err := hlc.Parse(ts); !ok || err != nil || stamp.Node != "here" || time.Since(stamp.Time()) > time.Minute {
			t.Errorf("stamp %q (%v), want one of now and here", ts, err)
		}
	}
	s := r.graph.Stats()
	if s.Received != 3 || s.Sent != 3 || s.Filtered != 0 || s.Dropped != 0 || s.Unsettled != 0 {
		t.Errorf("stats = %+v", s)
	}
}

// TestEnvelope checks that what guests can't see goes past them.
func TestEnvelope(t *testing.T) {
	blank := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
		return &message.Message{Payload: m.Payload, Time: m.Time}, nil // as a guest's
	}}
	r := newRig(t, "in>blank:map>out", map[string]*native.Operator{"blank": blank})
	r.start()
	r.sources[0].Publish(&message.Message{Payload: []byte("a"), Envelope: &message.Envelope{ResponseTopic: "answers"}})
	r.wait()
	r.finish()
	if m := r.sinks[0].messages()[0]; m.Envelope == nil || m.Envelope.ResponseTopic != "answers" {
		t.Errorf("envelope %+v", m.Envelope)
	}
}

// TestShapes runs two messages, "a" and "b", through graphs of all shapes.
func TestShapes(t *testing.T) {
	operators := func() map[string]*native.Operator {
		isA := func(m *message.Message) bool { return strings.EqualFold(string(m.Payload), "a") }
		return map[string]*native.Operator{
			"up":    upper(),
			"keepA": {Filter: func(_ context.Context, m *message.Message) (bool, error) { return isA(m), nil }},
			"split": {Branch: func(_ context.Context, _ hlc.Timestamp, m *message.Message) (bool, error) { return isA(m), nil }},
		}
	}
	for _, tt := range []struct {
		topology string
		want     []string // by sink
		filtered uint64
	}{
		{"in>out", []string{"a b"}, 0},
		{"in>keepA:filter>out", []string{"a"}, 1},
		{"in>split:branch.T>out1 split.F>out2", []string{"a", "b"}, 0},
		{"in>split:branch.T>out1", []string{"a"}, 1},
		{"in>split:branch.T>up:map>join>out split.F>join", []string{"A b"}, 0},
		{"in>up:map>out1 in>out2", []string{"A B", "a b"}, 0},
		{"in>up:map>join>out in>join", []string{"A a B b"}, 0},
		{"in>out1 in>out2 in>keepA:filter>up:map>out3", []string{"a b", "a b", "A"}, 1},
	} {
		t.Run(tt.topology, func(t *testing.T) {
			r := newRig(t, tt.topology, operators())
			r.start()
			r.publish("a", "b")
			r.wait()
			r.finish()
			for i, want := range tt.want {
				if got := r.sinks[i].payloads(); got != want {
					t.Errorf("sink %d got %q, want %q", i, got, want)
				}
			}
			if s := r.graph.Stats(); s.Filtered != tt.filtered {
				t.Errorf("filtered %d, want %d", s.Filtered, tt.filtered)
			}
		})
	}
}

// unstamped is a sink that has no use for stamps.
type unstamped struct{ *inbox }

func (unstamped) OmitsStamp() bool { return true }

// A sink that has no use for stamps gets messages as they are, again and again; another
// one beside it gets them stamped.
func TestUnstampedSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>out1 in>out2", nil)
		r.config.Sinks[0] = unstamped{r.sinks[0]}
		r.start()
		for range 3 {
			r.sources[0].Publish(&message.Message{Payload: []byte("x"), Properties: []message.Property{{Key: "k", Value: "v"}}})
			r.wait()
		}
		r.finish()
		want := []string{"k k k", "k __ts k __ts k __ts"}
		for i, sink := range r.sinks {
			var keys []string
			for _, m := range sink.messages() {
				for _, p := range m.Properties {
					keys = append(keys, p.Key)
				}
			}
			if got := strings.Join(keys, " "); got != want[i] {
				t.Errorf("sink %d got properties %s, want %s", i+1, got, want[i])
			}
		}
	})
}

// One message in sixteen is timed, from the first on.
func TestSettledIsSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		var timed atomic.Int64
		r.config.Settled = func(time.Duration) { timed.Add(1) }
		r.start()
		for n := range int64(3*schedule.TimedEvery) + 1 {
			r.sources[0].Publish(&message.Message{Payload: []byte("x")})
			r.wait()
			if got, want := timed.Load(), n/schedule.TimedEvery+1; got != want {
				t.Fatalf("after %d messages %d are timed, want %d", n+1, got, want)
			}
		}
		r.finish()
	})
}

func TestStamps(t *testing.T) {
	for _, tt := range []struct {
		name      string
		stamp     func(now time.Time) string
		policy    plan.DriftPolicy
		local     bool // stamped here instead
		dropped   bool
		malformed uint64
		drifted   uint64
	}{
		{name: "valid", stamp: func(time.Time) string { return "900000000000:3:df" }},
		{name: "valid in the future", stamp: func(now time.Time) string { return fmt.Sprint(now.UnixMilli()+59_000) + ":0:x" }},
		{name: "malformed", stamp: func(time.Time) string { return "yesterday" }, local: true, malformed: 1},
		{name: "a counter that can't be raised", stamp: func(now time.Time) string { return fmt.Sprint(now.UnixMilli()) + ":18446744073709551615:x" }, local: true, malformed: 1},
		{name: "the largest counter", stamp: func(now time.Time) string { return fmt.Sprint(now.UnixMilli()) + ":18446744073709551614:x" }},
		{name: "nobody's", stamp: func(now time.Time) string { return fmt.Sprint(now.UnixMilli()) + ":0:" }},
		{name: "after time", stamp: func(time.Time) string { return "1000000000000000:0:x" }, local: true, malformed: 1},
		{name: "before time", stamp: func(time.Time) string { return "-5:0:x" }, local: true, malformed: 1},
		{name: "drifted", stamp: func(now time.Time) string { return fmt.Sprint(now.UnixMilli()+100_000) + ":0:x" }, local: true, drifted: 1},
		{name: "drifted and dropped", stamp: func(now time.Time) string { return fmt.Sprint(now.UnixMilli()+100_000) + ":0:x" }, policy: plan.DropDrift, dropped: true, drifted: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "in>out", nil)
				r.config.Options.DriftPolicy = tt.policy
				r.start()
				now := time.Now()
				text := tt.stamp(now)
				r.sources[0].Publish(&message.Message{Payload: []byte("x"), Properties: []message.Property{
					{Key: "before", Value: "1"}, {Key: "__ts", Value: text}, {Key: "after", Value: "2"}, {Key: "__ts", Value: "second"},
				}})
				r.wait()
				wantState := engine.Available
				if tt.drifted > 0 {
					wantState = engine.Degraded
				}
				if h := r.graph.Health(); h.State != wantState {
					t.Errorf("health = %+v, want %s", h, wantState)
				}
				r.finish()
				s := r.graph.Stats()
				if s.Malformed != tt.malformed || s.Drifted != tt.drifted {
					t.Errorf("malformed %d drifted %d, want %d and %d", s.Malformed, s.Drifted, tt.malformed, tt.drifted)
				}
				got := r.sinks[0].messages()
				if tt.dropped {
					if len(got) != 0 || s.Dropped != 1 {
						t.Errorf("%d messages out, %d dropped; want 0 and 1", len(got), s.Dropped)
					}
					return
				}
				want := hlc.Timestamp{Millis: now.UnixMilli(), Node: "here"}
				if !tt.local {
					want, _ = hlc.Parse(text)
				}
				if len(got) != 1 || got[0].Time != want {
					t.Fatalf("came out: %+v, want one message of time %v", got, want)
				}
				properties := []message.Property{{Key: "before", Value: "1"}, {Key: "after", Value: "2"}, {Key: "__ts", Value: want.String()}}
				if diff := cmp.Diff(properties, got[0].Properties); diff != "" {
					t.Errorf("properties (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestFastPublisher checks that stamps from ahead don't move the times of messages
// without a stamp, but do move the node's clock.
func TestFastPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		r.start()
		now := time.Now().UnixMilli()
		r.sources[0].Publish(&message.Message{Properties: []message.Property{{Key: "__ts", Value: fmt.Sprint(now+50_000) + ":7:other"}}},
			&message.Message{}, &message.Message{})
		r.wait()
		r.finish()
		var got []hlc.Timestamp
		for _, m := range r.sinks[0].messages() {
			got = append(got, m.Time)
		}
		want := []hlc.Timestamp{{Millis: now + 50_000, Counter: 7, Node: "other"}, {Millis: now, Node: "here"}, {Millis: now, Counter: 1, Node: "here"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("times (-want +got):\n%s", diff)
		}
		if ts, err := r.config.HLC.Now(); err != nil || ts.Millis != now+50_000 || ts.Counter <= 7 {
			t.Errorf("the node's clock says %v, %v; want it after the stamp", ts, err)
		}
	})
}

// poison returns a map that fails on payloads by their first letter.
func poison(calls *[]string) *native.Operator {
	return &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
		text := string(m.Payload)
		*calls = append(*calls, text)
		switch {
		case text == "refuse":
			return nil, fmt.Errorf("wrapped: %w", refuse("no"))
		case text == "trap":
			return nil, errors.New("unreachable executed")
		case text == "once" && !slices.Contains((*calls)[:len(*calls)-1], text):
			return nil, errors.New("unreachable executed")
		case text == "slow":
			return nil, fmt.Errorf("call: %w", operator.ErrDeadline)
		case text == "big":
			return nil, fmt.Errorf("call: %w", operator.ErrMemory)
		case text == "deep":
			return nil, fmt.Errorf("call: %w", operator.ErrStack)
		case text == "panic":
			panic("index out of range")
		case text == "nothing":
			return nil, nil
		}
		return m, nil
	}}
}

// TestPoison sends one message that an operator can't take between two that it can.
func TestPoison(t *testing.T) {
	for _, tt := range []struct {
		payload string
		calls   int // with that payload
		faults  uint64
		opened  int
		comes   bool // out after all
		reason  string
		text    string
	}{
		{"refuse", 1, 0, 1, false, "refused", "no"},
		{"trap", 2, 2, 3, false, "fault", "unreachable executed"},
		{"once", 2, 1, 2, true, "", ""},
		{"slow", 1, 1, 2, false, "fault", "deadline exceeded"},
		{"big", 1, 1, 2, false, "fault", "memory limit exceeded"},
		{"deep", 1, 1, 2, false, "fault", "call stack exhausted"},
		{"panic", 2, 2, 3, false, "fault", "panic: index out of range"},
		{"nothing", 2, 2, 3, false, "fault", "returned no message"},
	} {
		t.Run(tt.payload, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []string
				opened, closed := 0, 0
				op := poison(&calls)
				op.Init = func(context.Context) error { opened++; return nil }
				op.Close = func() error { closed++; return nil }
				r := newRig(t, "in>op:map>out", map[string]*native.Operator{"op": op})
				r.config.DeadLetter = r.dead
				r.start()
				r.publish("before", tt.payload, "after")
				r.wait()
				if h := r.graph.Health(); h.State != engine.Available {
					t.Errorf("health = %+v", h)
				}
				r.finish()
				want := "before after"
				if tt.comes {
					want = "before " + tt.payload + " after"
				}
				if got := r.sinks[0].payloads(); got != want {
					t.Errorf("came out: %s, want %s", got, want)
				}
				n := 0
				for _, c := range calls {
					if c == tt.payload {
						n++
					}
				}
				if n != tt.calls || opened != tt.opened || closed != opened {
					t.Errorf("%d calls, %d instances opened, %d closed; want %d, %d, %[5]d", n, opened, closed, tt.calls, tt.opened)
				}
				s := r.graph.Stats()
				if s.Faults != tt.faults {
					t.Errorf("%d faults, want %d", s.Faults, tt.faults)
				}
				if tt.comes {
					return
				}
				if s.Dropped != 1 || s.DeadLetters != 1 || !strings.Contains(r.log.String(), "message dropped") {
					t.Errorf("dropped %d, dead letters %d, log:\n%s", s.Dropped, s.DeadLetters, r.log.String())
				}
				dead := r.dead.messages()
				if len(dead) != 1 {
					t.Fatalf("%d dead letters, want 1", len(dead))
				}
				reason, _ := dead[0].Property("graphd-reason")
				operation, _ := dead[0].Property("graphd-operation")
				text, _ := dead[0].Property("graphd-error")
				if string(dead[0].Payload) != tt.payload || reason != tt.reason || operation != "op" || !strings.Contains(text, tt.text) {
					t.Errorf("dead letter %q with reason %q operation %q error %q", dead[0].Payload, reason, operation, text)
				}
			})
		})
	}
}

// TestCrowdedFaults checks the pauses and the health of an operation that faults
// again and again, and that nothing is lost by it.
func TestCrowdedFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		r := newRig(t, "in>op:map>out", map[string]*native.Operator{"op": poison(&calls)})
		r.start()
		r.publish(slices.Repeat([]string{"trap"}, 20)...)
		r.publish("after")
		synctest.Wait()
		if h := r.graph.Health(); h.State != engine.Degraded || h.Reason != "DataflowGraphModuleRuntimeFault" {
			t.Errorf("health = %+v, want Degraded for a fault", h)
		}
		// The first four faults cost no pause, the next ones 50 ms and so on up to a
		// second, but only once for each message: 20 take a little more than 15 s.
		time.Sleep(15 * time.Second) // of the bubble's time
		if n := r.sources[0].Unsettled(); n == 0 {
			t.Error("20 messages took less than 15 s: no pauses were made")
		}
		time.Sleep(3 * time.Second)
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are still held up: each waits for more than a second", n)
		}
		time.Sleep(time.Minute)
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are unsettled", n)
		}
		if h := r.graph.Health(); h.State != engine.Available {
			t.Errorf("health = %+v, want Available again", h)
		}
		r.publish("once") // a single fault costs no pause
		synctest.Wait()
		if got := r.sinks[0].payloads(); got != "after once" {
			t.Errorf("came out: %s, want after once", got)
		}
		r.finish()
		if s := r.graph.Stats(); s.Faults != 41 || s.Dropped != 20 {
			t.Errorf("faults %d dropped %d, want 41 and 20", s.Faults, s.Dropped)
		}
	})
}

// TestReopenFails checks that messages wait while no instance can be had.
func TestReopenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		opens := 0
		op := poison(&calls)
		op.Init = func(context.Context) error {
			if opens++; opens > 1 && opens < 30 {
				return operator.ErrInit
			}
			return nil
		}
		r := newRig(t, "in>op:map>out", map[string]*native.Operator{"op": op})
		r.start()
		r.publish("once", "after")
		time.Sleep(5 * time.Second)
		if h := r.graph.Health(); h.State != engine.Degraded {
			t.Errorf("health = %+v, want Degraded", h)
		}
		if got := r.sinks[0].payloads(); got != "" {
			t.Errorf("came out: %s, want nothing yet", got)
		}
		time.Sleep(time.Minute)
		r.finish()
		if got := r.sinks[0].payloads(); got != "once after" {
			t.Errorf("came out: %s, want once after", got)
		}
	})
}

func TestOpenFails(t *testing.T) {
	closed := 0
	good := upper()
	good.Close = func() error { closed++; return nil }
	bad := upper()
	bad.Init = func(context.Context) error { return operator.ErrInit }
	r := newRig(t, "in>good:map>bad:map>out", map[string]*native.Operator{"good": good, "bad": bad})
	r.start()
	err := <-r.ended
	if !errors.Is(err, operator.ErrInit) || !strings.Contains(err.Error(), `operation "bad"`) {
		t.Errorf("Run = %v, want ErrInit of bad", err)
	}
	if closed != 1 {
		t.Errorf("closed %d instances, want 1", closed)
	}
	if h := r.graph.Health(); h.State != engine.Unavailable {
		t.Errorf("health = %+v, want Unavailable", h)
	}
	r.stop()
}

// TestUndeliverable checks what becomes of a message that a sink refuses for good.
func TestUndeliverable(t *testing.T) {
	for _, withDead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead letters %v", withDead), func(t *testing.T) {
			r := newRig(t, "in>out", nil)
			r.sinks[0].deny = func(m *message.Message) error {
				if string(m.Payload) == "big" {
					return errors.New("too large")
				}
				return nil
			}
			if withDead {
				r.config.DeadLetter = r.dead
			}
			r.start()
			r.publish("a", "big", "b")
			r.wait()
			r.finish()
			if got := r.sinks[0].payloads(); got != "a b" {
				t.Errorf("came out: %s, want a b", got)
			}
			s := r.graph.Stats()
			if s.Sent != 2 || s.Undeliverable != 1 {
				t.Errorf("sent %d undeliverable %d, want 2 and 1", s.Sent, s.Undeliverable)
			}
			if withDead {
				dead := r.dead.messages()
				if len(dead) != 1 || string(dead[0].Payload) != "big" {
					t.Fatalf("dead letters: %v", dead)
				}
				if reason, _ := dead[0].Property("graphd-reason"); reason != "undeliverable" {
					t.Errorf("reason %q", reason)
				}
			}
		})
	}
}

// TestLateRefusal refuses a message long after it was sent, while the worker sleeps.
func TestLateRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &slowSink{}
		r := newRig(t, "in>out", nil)
		r.config.Sinks = []endpoint.Sink{sink}
		r.config.DeadLetter = r.dead
		r.start()
		r.publish("a")
		synctest.Wait()
		sink.done[0](errors.New("too large"))
		synctest.Wait()
		if n := r.sources[0].Unsettled(); r.dead.payloads() != "a" || n != 0 {
			t.Errorf("dead letters %q with %d unsettled, want a with 0", r.dead.payloads(), n)
		}
		r.finish()
	})
}

// TestStopWhileReopening stops a graph that holds a message for an operation of which
// no instance can be had: the message is not lost.
func TestStopWhileReopening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		opens := 0
		op := poison(&calls)
		op.Init = func(context.Context) error {
			if opens++; opens > 1 {
				return operator.ErrInit
			}
			return nil
		}
		r := newRig(t, "in>op:map>out", map[string]*native.Operator{"op": op})
		r.start()
		r.publish("once")
		synctest.Wait()
		r.stop()
		if err := <-r.ended; !errors.Is(err, engine.ErrGrace) {
			t.Errorf("Run = %v, want ErrGrace", err)
		}
		if n := r.sources[0].Unsettled(); n != 1 {
			t.Errorf("%d messages are unsettled, want 1", n)
		}
	})
}

// slowSink confirms nothing until it is told to.
type slowSink struct {
	mu   sync.Mutex
	done []func(error)
	got  []string // payloads
}

func (s *slowSink) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (s *slowSink) Connected() bool               { return true }
func (s *slowSink) Send(_ context.Context, m *message.Message, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, string(m.Payload))
	s.done = append(s.done, done)
	return nil
}

func (s *slowSink) confirm(i int) {
	s.mu.Lock()
	done := s.done[i]
	s.mu.Unlock()
	done(nil)
}

// TestSettleAfterConfirm checks that a source is told to settle once all that came
// of the message is confirmed, and in order.
func TestSettleAfterConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &slowSink{}, &slowSink{}
		r := newRig(t, "in>out1 in>out2", nil)
		r.config.Sinks = []endpoint.Sink{one, two}
		r.start()
		r.publish("a", "b")
		synctest.Wait()
		for _, step := range []struct {
			confirm func()
			want    int // unsettled
		}{
			{func() {}, 2},
			{func() { one.confirm(0) }, 2},
			{func() { one.confirm(1) }, 2},
			{func() { two.confirm(1) }, 2}, // b is done, but a is not
			{func() { two.confirm(0) }, 0},
		} {
			step.confirm()
			synctest.Wait()
			if got := r.sources[0].Unsettled(); got != step.want {
				t.Errorf("%d messages are unsettled, want %d", got, step.want)
			}
		}
		r.finish()
	})
}

// TestDrain stops a graph with messages under way.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &slowSink{}
		r := newRig(t, "in>out", nil)
		r.config.Sinks = []endpoint.Sink{sink}
		r.start()
		r.publish("a", "b")
		synctest.Wait()
		r.stop()
		synctest.Wait()
		select {
		case err := <-r.ended:
			t.Fatalf("Run returned %v before the sink confirmed", err)
		default:
		}
		sink.confirm(0)
		sink.confirm(1)
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are unsettled after the drain", n)
		}
	})
}

// TestGrace stops a graph whose sink never confirms.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		r.config.Sinks = []endpoint.Sink{&slowSink{}}
		r.config.Grace = 3 * time.Second
		r.start()
		r.publish("a", "b")
		synctest.Wait()
		begin := time.Now()
		r.stop()
		err := <-r.ended
		if !errors.Is(err, engine.ErrGrace) || !strings.Contains(err.Error(), "2 messages") {
			t.Errorf("Run = %v, want ErrGrace with 2 messages", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v, want the grace of 3s", took)
		}
		if n := r.sources[0].Unsettled(); n != 2 {
			t.Errorf("%d messages are unsettled, want 2: they were not confirmed", n)
		}
	})
}

// blockedSink takes nothing.
type blockedSink struct{ *memory.Sink }

func (s blockedSink) Send(ctx context.Context, _ *message.Message, _ func(error)) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestBackPressure fills a graph up to its source.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		r.config.Sinks = []endpoint.Sink{blockedSink{memory.NewSink(nil)}}
		r.config.Inbox = 4
		r.config.Grace = time.Second
		r.start()
		r.publish(slices.Repeat([]string{"x"}, 100)...)
		synctest.Wait()
		if n := r.graph.Stats().Received; n > 10 {
			t.Errorf("%d messages were taken while the sink is blocked and the inbox holds 4", n)
		}
		r.stop()
		if err := <-r.ended; !errors.Is(err, engine.ErrGrace) {
			t.Errorf("Run = %v, want ErrGrace", err)
		}
		if n := r.sources[0].Unsettled(); n != 100 {
			t.Errorf("%d of 100 messages are unsettled; none was delivered", n)
		}
	})
}

// brokenSource and brokenSink fail for good.
type brokenSource struct{ *memory.Source }

func (s brokenSource) Run(context.Context, func(endpoint.Delivery), <-chan struct{}) error {
	return errors.New("bad credentials")
}

type brokenSink struct{ *memory.Sink }

func (s brokenSink) Run(context.Context) error { return errors.New("no such topic") }

func TestEndpointFails(t *testing.T) {
	t.Run("source", func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		r.config.Sources[0] = brokenSource{r.sources[0]}
		r.start()
		if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "bad credentials") {
			t.Errorf("Run = %v", err)
		}
		r.stop()
	})
	t.Run("sink", func(t *testing.T) {
		r := newRig(t, "in>out", nil)
		r.config.Sinks[0] = brokenSink{r.sinks[0].Sink}
		r.start()
		if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "no such topic") {
			t.Errorf("Run = %v", err)
		}
		r.stop()
	})
}

// offline is a sink that is never connected.
type offline struct{ *memory.Sink }

func (offline) Connected() bool { return false }

// misled is offline, and knows why.
type misled struct{ offline }

func (misled) Trouble() error { return errors.New("nobody there") }

// dropped is connected when it is looked at for the first time.
type dropped struct {
	*memory.Sink
	looked atomic.Bool
}

func (d *dropped) Connected() bool { return !d.looked.Swap(true) }

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *rig)
		want   engine.Health
	}{
		{"well", func(*rig) {}, engine.Health{State: engine.Available}},
		{"sink", func(r *rig) { r.config.Sinks[0] = offline{r.sinks[0].Sink} },
			engine.Health{State: engine.Unknown, Message: `sink "out" is connecting`}},
		{"sink that was connected", func(r *rig) { r.config.Sinks[0] = &dropped{Sink: r.sinks[0].Sink} },
			engine.Health{State: engine.Degraded, Reason: "DataflowGraphSinkChannelClosed", Message: `sink "out" is not connected`}},
		{"sink that knows why", func(r *rig) { r.config.Sinks[0] = misled{offline{r.sinks[0].Sink}} },
			engine.Health{State: engine.Degraded, Reason: "DataflowGraphSinkChannelClosed", Message: `sink "out" is not connected: nobody there`}},
		{"one that connects, and one that can't", func(r *rig) {
			r.config.Sinks[0], r.config.DeadLetter = offline{r.sinks[0].Sink}, misled{offline{r.dead.Sink}}
		},
			engine.Health{State: engine.Degraded, Reason: "DataflowGraphSinkChannelClosed", Message: "the sink for dead letters is not connected: nobody there"}},
		{"dead letters", func(r *rig) { r.config.DeadLetter = &dropped{Sink: r.dead.Sink} },
			engine.Health{State: engine.Degraded, Reason: "DataflowGraphSinkChannelClosed", Message: "the sink for dead letters is not connected"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "in>out", nil)
				tt.change(r)
				r.start()
				synctest.Wait()
				r.graph.Ends()
				if got := r.graph.Health(); got != tt.want {
					t.Errorf("health = %+v, want %+v", got, tt.want)
				}
				r.finish()
				if got := r.graph.Health(); got.State != engine.Unknown {
					t.Errorf("health after the end = %+v, want Unknown", got)
				}
			})
		})
	}
	t.Run("source", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, "in1>join>out in2>join", nil)
			r.start()
			synctest.Wait()
			r.graph.Ends()
			r.sources[1].Close() // its Run ends
			synctest.Wait()
			want := engine.Health{State: engine.Degraded, Reason: "DataflowGraphSourceChannelClosed", Message: `source "in2" is not connected`}
			if got := r.graph.Health(); got != want {
				t.Errorf("health = %+v, want %+v", got, want)
			}
			r.finish()
		})
	})
}

// TestSeveralSources ends when all sources have, and keeps each source's order.
func TestSeveralSources(t *testing.T) {
	r := newRig(t, "in1>join>out in2>join", nil)
	var want [2][]string
	for i := range 200 {
		for k := range 2 {
			text := fmt.Sprintf("%d-%d", k, i)
			want[k] = append(want[k], text)
			r.sources[k].Publish(&message.Message{Payload: []byte(text)})
		}
	}
	r.sources[0].Close()
	r.sources[1].Close()
	r.start()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	r.stop()
	var got [2][]string
	for _, m := range r.sinks[0].messages() {
		k := m.Payload[0] - '0'
		got[k] = append(got[k], string(m.Payload))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order by source (-want +got):\n%s", diff)
	}
	if n := r.sources[0].Unsettled() + r.sources[1].Unsettled(); n != 0 {
		t.Errorf("%d messages are unsettled", n)
	}
}

// TestHammer runs many messages through fan-out, faults and refusals with sinks
// that confirm from elsewhere: everything is accounted for.
func TestHammer(t *testing.T) {
	const n = 5000
	count := 0
	op := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
		count++
		switch {
		case count%97 == 0:
			return nil, refuse("every 97th")
		case count%701 == 0:
			return nil, operator.ErrDeadline
		}
		return m, nil
	}}
	r := newRig(t, "in>op:map>out1 op>keep:filter>out2", map[string]*native.Operator{
		"op":   op,
		"keep": {Filter: func(_ context.Context, m *message.Message) (bool, error) { return len(m.Payload)%2 == 0, nil }},
	})
	r.config.Clock = hurried{}
	r.config.DeadLetter = r.dead
	confirms := make(chan func(error), 64)
	r.config.Sinks[0] = &elsewhere{Sink: r.sinks[0].Sink, confirms: confirms}
	var confirmer sync.WaitGroup
	confirmer.Go(func() {
		for done := range confirms {
			done(nil)
		}
	})
	r.start()
	for i := range n {
		r.publish(strings.Repeat("x", i%5))
	}
	r.wait()
	r.finish()
	close(confirms)
	confirmer.Wait()
	s := r.graph.Stats()
	if s.Received != n || s.Unsettled != 0 || s.DeadLetters != s.Dropped || s.Dropped == 0 ||
		uint64(len(r.sinks[0].messages()))+s.Dropped != n || s.Sent != 2*(n-s.Dropped)-s.Filtered {
		t.Errorf("not everything is accounted for: %+v", s)
	}
}

// hurried is the machine's clock for the impatient.
type hurried struct{ schedule.SystemClock }

func (hurried) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// elsewhere confirms from another goroutine.
type elsewhere struct {
	*memory.Sink
	confirms chan<- func(error)
}

func (e *elsewhere) Send(ctx context.Context, m *message.Message, done func(error)) error {
	return e.Sink.Send(ctx, m, func(err error) { e.confirms <- func(error) { done(err) } })
}

// BenchmarkNoOpMap measures what the engine costs by itself: a message of 256 bytes
// from source to sink through a map that does nothing.
func BenchmarkNoOpMap(b *testing.B) {
	op := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) { return m, nil }}
	for _, bb := range []struct {
		name       string
		properties []message.Property
	}{
		{"plain", nil},
		{"stamped", []message.Property{{Key: "__ts", Value: "000001700000000000:00000:df"}, {Key: "k", Value: "v"}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			source := newFlood(b.N, bb.properties)
			g, err := engine.New(engine.Config{
				Plan: planOf(b, "in>op:map>out"), Openers: []operator.Opener{nil, op, nil},
				Sources: []endpoint.Source{source}, Sinks: []endpoint.Sink{drain{}},
				HLC: hlc.NewClock(hlc.Config{Node: "here", Now: time.Now}),
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := g.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if s := g.Stats(); s.Sent != uint64(b.N) || source.settled != b.N {
				b.Fatalf("%d settled, stats = %+v", source.settled, s)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// flood emits messages made beforehand, so that all that is measured is the engine.
type flood struct {
	messages []message.Message
	settled  int
}

func newFlood(n int, properties []message.Property) *flood {
	f := &flood{messages: make([]message.Message, n)}
	payload := bytes.Repeat([]byte("x"), 256)
	for i := range f.messages {
		f.messages[i] = message.Message{Topic: "sensor/temperature/raw", Payload: payload, Properties: slices.Clone(properties)}
	}
	return f
}

func (f *flood) Connected() bool { return true }
func (f *flood) Run(_ context.Context, emit func(endpoint.Delivery), _ <-chan struct{}) error {
	settle := func() { f.settled++ }
	for i := range f.messages {
		emit(endpoint.Delivery{Message: &f.messages[i], Settle: settle})
	}
	return nil
}

type drain struct{}

func (drain) Connected() bool               { return true }
func (drain) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (drain) Send(_ context.Context, _ *message.Message, done func(error)) error {
	done(nil)
	return nil
}
