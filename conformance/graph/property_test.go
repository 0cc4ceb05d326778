// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/disk"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
)

// story is a graph, what it is given, and what happens to the machine meanwhile. Times
// are in milliseconds from the beginning.
type story struct {
	Spec   spec
	Inputs []storyInput
	Ends   []storyEnd // of the process
	Disk   bool       // windows are kept in a file
	Pools  int        // instances of each operation that can have several
}

type storyInput struct {
	At, Stamp int
	Source    string
	Text      string
}

// storyEnd is an end of the process, after which another begins.
type storyEnd struct {
	At, For int
	Crash   bool // as by kill -9; otherwise it is stopped, and finishes what it has taken
}

func drawStory(t *rapid.T) story {
	s := story{Spec: drawSpec(t), Pools: rapid.SampledFrom([]int{1, 1, 3}).Draw(t, "pools")}
	var sources, names []string
	for _, n := range s.Spec.Nodes {
		if n.Kind == graph.Source {
			sources = append(sources, n.Name)
		} else if n.Kind.HasModule() {
			names = append(names, n.Name)
		}
	}
	at := 0
	for i := range rapid.IntRange(1, 100).Draw(t, "messages") {
		at += rapid.IntRange(0, 500).Draw(t, "pause")
		text := fmt.Sprintf("%d%s", i, rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "letter"))
		if rapid.IntRange(0, 9).Draw(t, "refuse") == 9 {
			text += " !refuse:" + rapid.SampledFrom(names).Draw(t, "refused by") + " end"
		}
		s.Inputs = append(s.Inputs, storyInput{
			At: at, Stamp: at - rapid.IntRange(0, 4_000).Draw(t, "age"), Source: rapid.SampledFrom(sources).Draw(t, "source"), Text: text,
		})
	}
	for range rapid.IntRange(0, 4).Draw(t, "ends") {
		s.Ends = append(s.Ends, storyEnd{
			At:    rapid.IntRange(0, at+20_000).Draw(t, "end at"),
			For:   rapid.IntRange(1, 30_000).Draw(t, "end for"),
			Crash: rapid.Bool().Draw(t, "crash"),
		})
	}
	s.Disk = rapid.IntRange(0, 7).Draw(t, "disk") == 7
	return s
}

// model is what should come of the story that began at a time.
func (s story) model(began int64) []fate {
	sources := map[string][]token{}
	for i, in := range s.Inputs {
		at := began + int64(in.Stamp)
		sources[in.Source] = append(sources[in.Source], token{at: at, time: at, text: in.Text, origin: in.Text, source: in.Source, number: i})
	}
	return s.Spec.play(sources)
}

// plan plans the story's graph.
func (s story) plan(t *testing.T) (*plan.Plan, plan.Options) {
	t.Helper()
	options := plan.Options{DeadLetter: "e/t", Operations: map[string]plan.OperationOptions{}}
	for _, n := range s.Spec.Nodes {
		switch n.Kind {
		case graph.Map, graph.Filter, graph.Branch:
			options.Operations[n.Name] = plan.OperationOptions{Parallelism: s.Pools}
		}
	}
	p, err := plan.New(s.Spec.definition(), nil, options)
	if err != nil {
		t.Fatal(err)
	}
	return p, options
}

// received makes a fate of what a sink got.
func received(sink string, m *message.Message) fate {
	if sink == "dead" {
		operation, _ := m.Property(schedule.OperationProperty)
		return fate{sink, token{text: operation + " " + string(m.Payload)}}
	}
	return fate{sink, token{time: m.Time.Millis, text: string(m.Payload)}}
}

func (in storyInput) message(began int64) *message.Message {
	return &message.Message{
		Payload:    []byte(in.Text),
		Properties: []message.Property{{Key: endpoint.StampProperty, Value: fmt.Sprintf("%d:0:n", began+int64(in.Stamp))}},
	}
}

// sortedFates writes fates in an order of their own; each once, if unique.
func sortedFates(fates []fate, unique bool) []string {
	var texts []string
	for _, f := range fates {
		texts = append(texts, f.String())
	}
	slices.Sort(texts)
	if unique {
		texts = slices.Compact(texts)
	}
	return texts
}

// TestModel: in virtual time, exactly what the model says comes out.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		p, options := s.plan(t)
		o := &outlet{}
		config := engine.Config{
			Plan: p, Options: options, Openers: openers(p, false), DeadLetter: o.sink("dead"), Virtual: schedule.NewVirtualTime(time.UnixMilli(zero)),
		}
		for _, i := range p.Sinks {
			config.Sinks = append(config.Sinks, o.sink(p.Nodes[i].Operation))
		}
		config.Feed = func(_ context.Context, take func(int, endpoint.Delivery) error) error {
			for _, in := range s.Inputs {
				if err := take(source(t, p, input{source: in.Source}), endpoint.Delivery{Message: in.message(zero)}); err != nil {
					return err
				}
			}
			return nil
		}
		g, err := engine.New(config)
		if err != nil {
			rt.Fatal(err)
		}
		if err := g.Run(t.Context()); err != nil {
			rt.Fatal(err)
		}
		var got []fate
		for _, a := range o.got {
			got = append(got, received(a.sink, a.Message))
		}
		if diff := gocmp.Diff(sortedFates(s.model(zero), false), sortedFates(got, false)); diff != "" {
			rt.Fatalf("model and graph (-want +got):\n%s\n%+v", diff, s)
		}
	})
}

// TestCrashes: with crashes and restarts all that the model says comes out, and nothing
// else, windows included; and messages that are delayed alike keep their order.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		var faults []string
		var want, got []fate
		file := filepath.Join(t.TempDir(), "windows.db")
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(s, file)
			want = s.model(m.began.UnixMilli())
			m.live(t)
			faults, got = m.faults, m.got
		})
		if len(faults) > 0 {
			rt.Fatalf("%s\n%+v", strings.Join(faults, "\n"), s)
		}
		if diff := gocmp.Diff(sortedFates(want, true), sortedFates(got, true)); diff != "" {
			rt.Fatalf("model and graph (-want +got):\n%s\n%+v", diff, s)
		}
		if text := disorder(want, got); text != "" {
			rt.Fatalf("%s\n%+v", text, s)
		}
	})
}

// disorder looks at first deliveries: of messages of one source that took the same way
// and were delayed alike, none may come before an earlier one.
func disorder(want, got []fate) string {
	routes := map[string]map[string]token{} // by what comes out: by route
	for _, f := range want {
		if f.source == "" || f.sink == "dead" {
			continue
		}
		if routes[f.String()] == nil {
			routes[f.String()] = map[string]token{}
		}
		routes[f.String()][f.route] = f.token
	}
	last := map[string]int{}
	seen := map[string]bool{}
	for _, f := range got {
		text := f.String()
		if seen[text] || len(routes[text]) != 1 { // or nobody knows which way it took
			continue
		}
		seen[text] = true
		for route, t := range routes[text] {
			key := f.sink + route + " " + t.source
			if t.at != t.time || strings.Contains(route, " d") {
				key += " " + strconv.FormatInt(t.at, 10)
			}
			if before, ok := last[key]; ok && t.number < before {
				return fmt.Sprintf("message %d came after %d, at %s", t.number, before, key)
			}
			last[key] = t.number
		}
	}
	return ""
}

// machine is what outlives a process: its peers, and its disk.
type machine struct {
	story  story
	began  time.Time
	memory windowmemory.Store
	file   string

	sources map[string]*memory.Source
	process *process

	mu     sync.Mutex
	got    []fate // in the order in which they came
	faults []string
}

func newMachine(s story, file string) *machine {
	m := &machine{story: s, began: time.Now(), file: file, sources: map[string]*memory.Source{}}
	for _, n := range s.Spec.Nodes {
		if n.Kind == graph.Source {
			m.sources[n.Name] = memory.NewSource(0)
		}
	}
	return m
}

func (m *machine) fault(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

// process is a run of the graph. Once it is off, nothing that it does has an effect.
type process struct {
	*machine
	window.Store
	off   atomic.Bool
	graph *engine.Graph
	stop  context.CancelFunc
	ended chan error
}

var errOff = errors.New("the process is gone")

// Commit implements window.Store: it takes some time, before and after which the process
// may be gone.
func (p *process) Commit(ctx context.Context, changes []window.Change) error {
	delay := time.Duration(1+len(changes)%7) * time.Millisecond
	time.Sleep(delay)
	if p.off.Load() {
		return errOff
	}
	if err := p.Store.Commit(ctx, changes); err != nil {
		return err
	}
	time.Sleep(delay)
	if p.off.Load() {
		return errOff
	}
	return nil
}

// lostSource is a source to which a process that is gone can settle nothing.
type lostSource struct {
	*memory.Source
	process *process
}

// Run implements endpoint.Source.
func (s lostSource) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	return s.Source.Run(ctx, func(d endpoint.Delivery) {
		settle := d.Settle
		d.Settle = func() {
			if !s.process.off.Load() {
				settle()
			}
		}
		emit(d)
	}, flush)
}

// slowSink takes a while for each message, and has some of them on the way.
type slowSink struct {
	name    string
	process *process
	queue   chan func()
}

// Connected implements endpoint.Sink.
func (s *slowSink) Connected() bool { return true }

// Run implements endpoint.Sink.
func (s *slowSink) Run(ctx context.Context) error {
	for {
		select {
		case deliver := <-s.queue:
			deliver()
		case <-ctx.Done():
			return nil
		}
	}
}

// Send implements endpoint.Sink.
func (s *slowSink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	f := received(s.name, m)
	deliver := func() {
		time.Sleep(time.Duration(len(f.text)%9) * time.Millisecond)
		if s.process.off.Load() {
			return
		}
		s.process.mu.Lock()
		s.process.got = append(s.process.got, f)
		s.process.mu.Unlock()
		time.Sleep(time.Millisecond)
		if !s.process.off.Load() {
			done(nil)
		}
	}
	select {
	case s.queue <- deliver:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// boot starts a process.
func (m *machine) boot(t *testing.T) {
	t.Helper()
	p := &process{machine: m, Store: &m.memory, ended: make(chan error, 1)}
	if m.story.Disk {
		store, err := disk.Open(m.file)
		if err != nil {
			t.Fatal(err)
		}
		p.Store = store
	}
	pl, options := m.story.plan(t)
	config := engine.Config{
		Plan: pl, Options: options, Openers: openers(pl, false), Windows: p, Grace: time.Minute,
		HLC: hlc.NewClock(hlc.Config{Node: "n", Now: time.Now}),
	}
	sink := func(name string) endpoint.Sink { return &slowSink{name: name, process: p, queue: make(chan func(), 8)} }
	config.DeadLetter = sink("dead")
	for _, i := range pl.Sources {
		config.Sources = append(config.Sources, lostSource{m.sources[pl.Nodes[i].Operation], p})
	}
	for _, i := range pl.Sinks {
		config.Sinks = append(config.Sinks, sink(pl.Nodes[i].Operation))
	}
	var err error
	if p.graph, err = engine.New(config); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() { p.ended <- p.graph.Run(ctx) }()
	m.process = p
}

// end ends the process.
func (m *machine) end(crash bool) {
	p := m.process
	p.off.Store(crash)
	p.stop()
	// It may be stopped before it has begun.
	if err := <-p.ended; err != nil && !crash && !errors.Is(err, context.Canceled) {
		m.fault("Run: %v", err)
	}
	if late := p.graph.Stats().Late; late > 0 {
		m.fault("%d messages were late", late)
	}
	if m.story.Disk {
		if err := p.Store.Close(); err != nil {
			m.fault("close windows: %v", err)
		}
	}
}

// live lets everything happen.
func (m *machine) live(t *testing.T) {
	t.Helper()
	type event struct {
		at int
		do func()
	}
	var events []event
	for _, in := range m.story.Inputs {
		events = append(events, event{in.At, func() {
			if err := m.sources[in.Source].Publish(in.message(m.began.UnixMilli())); err != nil {
				m.fault("publish: %v", err)
			}
		}})
	}
	for _, e := range m.story.Ends {
		events = append(events, event{e.At, func() {
			m.end(e.Crash)
			time.Sleep(time.Duration(e.For) * time.Millisecond)
			m.boot(t)
		}})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	m.boot(t)
	for _, e := range events {
		time.Sleep(time.Until(m.began.Add(time.Duration(e.at) * time.Millisecond)))
		e.do()
	}
	time.Sleep(5 * time.Minute) // everything is due by then
	m.end(false)
	for _, name := range slices.Sorted(maps.Keys(m.sources)) {
		if n := m.sources[name].Unsettled(); n > 0 {
			m.fault("%d messages of source %s are unsettled", n, name)
		}
	}
}
