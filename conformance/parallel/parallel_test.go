// SPDX-License-Identifier: Apache-2.0

package parallel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/encode"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/wit"
)

// load makes a map operator of a core module.
func load(t *testing.T, core []byte) *processor.Module {
	t.Helper()
	packages, err := witparser.Parse(wit.Processor())
	if err != nil {
		t.Fatal(err)
	}
	world, err := packages.World("map-impl")
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := encode.Component(core, world, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := wazero.New(t.Context(), wazero.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	rt, err := component.New(component.Config{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	m, err := processor.Load(t.Context(), rt, "guest", wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// line is a graph of two operations in a row, "first" and "second", of the same
// component, between a source and a sink in memory.
type line struct {
	*engine.Graph
	source *memory.Source

	mu  sync.Mutex
	out []string
}

func newLine(t *testing.T, m *processor.Module, parallelism int, env processor.Environment) *line {
	t.Helper()
	d := &graph.Definition{
		Metadata: graph.Metadata{Name: "line"},
		Operations: []graph.Operation{
			{Kind: graph.Source, Name: "in"}, {Kind: graph.Map, Name: "first", Module: "guest:1"},
			{Kind: graph.Map, Name: "second", Module: "guest:1"}, {Kind: graph.Sink, Name: "out"},
		},
		Connections: []graph.Connection{{From: "in", To: "first"}, {From: "first", To: "second"}, {From: "second", To: "out"}, {From: "in", To: "out"}},
	}
	options := plan.Options{Operations: map[string]plan.OperationOptions{"first": {Parallelism: parallelism}, "second": {Parallelism: parallelism}}}
	p, err := plan.New(d, nil, options)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{source: memory.NewSource(0)}
	note := func(m *message.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		text := m.Topic + " " + string(m.Payload)
		for _, p := range m.Properties {
			if p.Key != endpoint.StampProperty && p.Key != "graphd-error" { // which names a place in the guest
				text += " " + p.Value
			}
		}
		l.out = append(l.out, text)
	}
	sink := memory.NewSink(func(m *message.Message) error { note(m); return nil })
	c := engine.Config{
		Plan: p, Options: options, Openers: make([]operator.Opener, len(p.Nodes)),
		Sources: []endpoint.Source{l.source}, Sinks: []endpoint.Sink{sink}, DeadLetter: sink,
		HLC: hlc.NewClock(hlc.Config{Node: "here", Now: time.Now}), Clock: hurried{}, Grace: 10 * time.Millisecond,
	}
	for i, n := range p.Nodes {
		if n.Module != "" {
			c.Openers[i] = m.Opener(n.Config, env)
		}
	}
	if l.Graph, err = engine.New(c); err != nil {
		t.Fatal(err)
	}
	return l
}

// hurried is the machine's clock, but doesn't wait.
type hurried struct{}

func (hurried) Now() time.Time                                   { return time.Now() }
func (hurried) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (l *line) publish(t *testing.T, topic, payload string) {
	t.Helper()
	if err := l.source.Publish(&message.Message{Topic: topic, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

// TestEqual gives messages to a component, some of which make it trap, refuse or run
// for too long, on one instance and on four: what comes out, dead letters included,
// is the same in the same order. Fuel bounds a call, and not time: instances that share a
// processor would run out of that for each other's sake.
func TestEqual(t *testing.T) {
	m := load(t, guests.Hostile())
	run := func(parallelism int) []string {
		l := newLine(t, m, parallelism, processor.Environment{Fuel: 20_000_000, Memory: 1 << 20})
		for i := range 300 {
			topic := "fine"
			if i%10 == 7 {
				topic = []string{"trap", "error", "recursion", "loop", "memory", "result-case"}[i/10%6]
			}
			l.publish(t, topic, fmt.Sprint(i))
		}
		l.source.Close()
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := l.source.Unsettled(); n != 0 {
			t.Errorf("%d instances: %d messages are unsettled", parallelism, n)
		}
		s := l.Stats()
		return append(l.out, fmt.Sprintf("dropped %d, faults %d", s.Dropped, s.Faults))
	}
	want := run(1)
	for _, line := range []string{"fine 1", "trap 7 fault first", "error 17 refused first", "loop 37 fault first", "dropped 30, faults 30"} {
		if !slices.Contains(want, line) {
			t.Errorf("with one instance there is no line %q in %q", line, want)
		}
	}
	if diff := cmp.Diff(want, run(4)); diff != "" {
		t.Errorf("one instance and four (-want +got):\n%s", diff)
	}
}

// TestSideBySide runs graphs beside one whose operator is stuck in an endless loop:
// they get all their messages through before it comes back, which it does when its
// graph is given up.
func TestSideBySide(t *testing.T) {
	m := load(t, guests.Hostile())
	stuck := newLine(t, m, 1, processor.Environment{Deadline: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- stuck.Run(ctx) }()
	stuck.publish(t, "loop", "x")

	const graphs, messages = 8, 500
	var others sync.WaitGroup
	lines := make([]*line, graphs)
	for i := range lines {
		lines[i] = newLine(t, m, 1+i%2, processor.Environment{})
		for n := range messages {
			lines[i].publish(t, "fine", fmt.Sprint(n))
		}
		lines[i].source.Close()
		others.Go(func() {
			if err := lines[i].Run(t.Context()); err != nil {
				t.Errorf("graph %d: %v", i, err)
			}
		})
	}
	others.Wait()
	for i, l := range lines {
		if len(l.out) != 2*messages || l.out[0] != "fine 0" || l.out[2*messages-1] != fmt.Sprint("fine ", messages-1) {
			t.Errorf("graph %d let %d messages out", i, len(l.out))
		}
	}
	if n := stuck.source.Unsettled(); n != 1 {
		t.Errorf("the graph that is stuck has %d messages unsettled, want 1", n)
	}
	stop()
	if err := <-ended; !errors.Is(err, engine.ErrGrace) {
		t.Errorf("the graph that is stuck ended with %v, want ErrGrace", err)
	}
}
