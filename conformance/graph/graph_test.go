// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/disk"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
	"github.com/wasm-graph/graphd/operators/build"
)

var update = flag.Bool("update", false, "write down what comes out")

// guest is the probe as a component.
type guest struct{ module *processor.Module }

// probe is built and compiled once, for all tests.
var probe guest

func (g guest) open(n plan.Node) operator.Opener {
	return g.module.Opener(n.Config, processor.Environment{Deadline: 10 * time.Second, Memory: n.Limits.Memory})
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// Those in real time do little but wait.
	if err := flag.Set("test.parallel", "64"); err != nil {
		panic(err)
	}
	ctx := context.Background()
	core, err := wazero.New(ctx, wazero.Config{})
	if err != nil {
		panic(err)
	}
	runtime, err := component.New(component.Config{Engine: core})
	if err != nil {
		panic(err)
	}
	built, err := build.Operator(ctx, "../guests/go/probe")
	if err != nil {
		panic(err)
	}
	if probe.module, err = processor.Load(ctx, runtime, built.Name, built.Bytes); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := probe.module.Close(ctx); err != nil {
		panic(err)
	}
	if err := core.Close(ctx); err != nil {
		panic(err)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// way is a way to run a scenario.
type way struct {
	name      string
	wasm      bool
	instances int
	real      bool // in real time, on a clock that is set
	broker    bool // through a broker; in real time only
	windows   func(t *testing.T) window.Store
}

func ways() []way {
	inMemory := func(*testing.T) window.Store { return &windowmemory.Store{} }
	onDisk := func(t *testing.T) window.Store {
		store, err := disk.Open(filepath.Join(t.TempDir(), "windows.db"))
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	return []way{
		{name: "native, virtual time", instances: 1}, // the reference
		{name: "native, virtual time, pools", instances: 4},
		{name: "wasm, virtual time", wasm: true, instances: 1},
		{name: "wasm, virtual time, pools", wasm: true, instances: 4},
		{name: "native, memory", instances: 1, real: true},
		{name: "native, memory, pools, stored windows", instances: 4, real: true, windows: inMemory},
		{name: "wasm, memory, windows on disk", wasm: true, instances: 1, real: true, windows: onDisk},
		{name: "native, broker, windows on disk", instances: 1, real: true, broker: true, windows: onDisk},
		{name: "wasm, broker, pools", wasm: true, instances: 4, real: true, broker: true},
	}
}

// TestScenarios runs every scenario in every way.
func TestScenarios(t *testing.T) {
	for _, file := range scenarios(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := readScenario(t, file)
			if *update {
				want, counts := s.run(t, ways()[0])
				s.update(t, file, want, counts)
				return
			}
			for _, w := range ways() {
				t.Run(w.name, func(t *testing.T) {
					t.Parallel()
					s := *s
					if s.alone() {
						w.instances = 1
					}
					want, counts := s.run(t, w)
					if w.real {
						s.want, want = unmix(s.want), unmix(want)
					}
					if diff := cmp.Diff(s.want, want); diff != "" {
						t.Errorf("came out (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(s.counts, counts); diff != "" {
						t.Errorf("counts (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}

// unmix sorts what came to a sink called mixed. In real time a window's result may wait
// for its commit, and messages that nothing holds do not wait for it.
func unmix(text string) string {
	var mixed, others []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "mixed ") {
			mixed = append(mixed, line)
		} else {
			others = append(others, line)
		}
	}
	slices.Sort(mixed)
	return strings.Join(append(others, mixed...), "")
}

// outlet collects what comes out.
type outlet struct {
	mu  sync.Mutex
	got []arrival
}

func (o *outlet) add(sink string, m *message.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stamp, ok := m.Property(endpoint.StampProperty); ok {
		m.Time, _ = hlc.Parse(stamp)
	}
	o.got = append(o.got, arrival{sink, m})
}

func (o *outlet) len() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return uint64(len(o.got))
}

// sink is one in memory.
func (o *outlet) sink(name string) endpoint.Sink {
	return memory.NewSink(func(m *message.Message) error { o.add(name, m); return nil })
}

// run runs the scenario in a way.
func (s *scenario) run(t *testing.T, w way) (want, counts string) {
	t.Helper()
	p, options := s.plan(t, w.instances)
	config := engine.Config{Plan: p, Options: options, Openers: openers(p, w.wasm)}
	o := &outlet{}
	if !w.real {
		for _, i := range p.Sinks {
			config.Sinks = append(config.Sinks, o.sink(p.Nodes[i].Operation))
		}
		config.DeadLetter = o.sink("dead")
		stats := s.runVirtual(t, config)
		return outcome(p, o.got, stats)
	}
	if w.windows != nil && p.Timed {
		config.Windows = w.windows(t)
		defer func() {
			if err := config.Windows.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	l := &live{scenario: s, test: t, config: config, outlet: o, clock: &setClock{}}
	l.clock.set(zero - time.Hour.Milliseconds())
	if w.broker {
		l.throughBroker()
	} else {
		l.throughMemory()
	}
	stats := l.run()
	return outcome(p, o.got, stats)
}

// source is the place of an input's source.
func source(t *testing.T, p *plan.Plan, in input) int {
	for place, i := range p.Sources {
		if p.Nodes[i].Operation == in.source {
			return place
		}
	}
	t.Fatalf("there is no source %q", in.source)
	return 0
}

func (s *scenario) runVirtual(t *testing.T, config engine.Config) schedule.Stats {
	t.Helper()
	config.Virtual = schedule.NewVirtualTime(time.UnixMilli(zero))
	config.Feed = func(_ context.Context, take func(int, endpoint.Delivery) error) error {
		for _, in := range s.input {
			if err := take(source(t, config.Plan, in), endpoint.Delivery{Message: in.message()}); err != nil {
				return err
			}
		}
		return nil
	}
	g, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g.Stats()
}

// setClock is a clock that stands where it is set.
type setClock struct {
	mu  sync.Mutex
	now int64
}

func (c *setClock) set(millis int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = max(c.now, millis)
}

// Now implements schedule.Clock.
func (c *setClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.UnixMilli(c.now)
}

// Sleep implements schedule.Clock.
func (c *setClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// live is a scenario that runs in real time.
type live struct {
	scenario *scenario
	test     *testing.T
	config   engine.Config
	outlet   *outlet
	clock    *setClock

	publish   func(source int, m *message.Message)
	unsettled func() int
	end       func() // after the graph

	mu       sync.Mutex
	arrived  int
	frontier progress.Time
}

func (l *live) throughMemory() {
	var sources []*memory.Source
	for range l.config.Plan.Sources {
		m := memory.NewSource(0)
		sources = append(sources, m)
		l.config.Sources = append(l.config.Sources, m)
	}
	for _, i := range l.config.Plan.Sinks {
		l.config.Sinks = append(l.config.Sinks, l.outlet.sink(l.config.Plan.Nodes[i].Operation))
	}
	l.config.DeadLetter = l.outlet.sink("dead")
	l.publish = func(source int, m *message.Message) {
		if err := sources[source].Publish(m); err != nil {
			l.test.Error(err)
		}
	}
	l.unsettled = func() (n int) {
		for _, s := range sources {
			n += s.Unsettled()
		}
		return n
	}
	l.end = func() {}
}

// throughBroker connects the graph to a broker, and itself to the other side. What a
// sink gets is published on a topic below out/ and the sink's name.
func (l *live) throughBroker() {
	address := startBroker(l.test)
	config := func(client string) mqtt.Config { return mqtt.Config{Address: address, ClientID: client} }
	for _, i := range l.config.Plan.Sources {
		name := l.config.Plan.Nodes[i].Operation
		s, err := mqtt.NewSource(config("source-"+name), "in/"+name)
		if err != nil {
			l.test.Fatal(err)
		}
		l.config.Sources = append(l.config.Sources, s)
	}
	newSink := func(name string) endpoint.Sink {
		s, err := mqtt.NewSink(config("sink-"+name), "")
		if err != nil {
			l.test.Fatal(err)
		}
		return prefixed{s, "out/" + name + "/"}
	}
	for _, i := range l.config.Plan.Sinks {
		l.config.Sinks = append(l.config.Sinks, newSink(l.config.Plan.Nodes[i].Operation))
	}
	l.config.DeadLetter = newSink("dead")

	collector, err := mqtt.NewSource(config("collector"), "out/#")
	if err != nil {
		l.test.Fatal(err)
	}
	publisher, err := mqtt.NewSink(config("publisher"), "")
	if err != nil {
		l.test.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	flush := make(chan struct{})
	running.Go(func() {
		if err := collector.Run(ctx, func(d endpoint.Delivery) {
			_, rest, _ := strings.Cut(d.Message.Topic, "/")
			name, topic, _ := strings.Cut(rest, "/")
			d.Message.Topic = topic
			l.outlet.add(name, d.Message)
			d.Settle()
		}, flush); err != nil {
			l.test.Error(err)
		}
	})
	running.Go(func() {
		if err := publisher.Run(ctx); err != nil {
			l.test.Error(err)
		}
	})
	l.wait("the broker", func() bool { return collector.Connected() && publisher.Connected() })
	l.publish = func(_ int, m *message.Message) {
		if err := publisher.Send(ctx, m, func(err error) {
			if err != nil {
				l.test.Error(err)
			}
		}); err != nil {
			l.test.Error(err)
		}
	}
	l.unsettled = func() int { return 0 } // the broker knows
	l.end = func() {
		stop()
		close(flush)
		running.Wait()
	}
}

// prefixed is a sink that adds something to topics.
type prefixed struct {
	endpoint.Sink
	prefix string
}

// Send implements endpoint.Sink.
func (p prefixed) Send(ctx context.Context, m *message.Message, done func(error)) error {
	c := m.Clone()
	c.Topic = p.prefix + m.Topic
	return p.Sink.Send(ctx, c, done)
}

// watch notes how far the graph is.
func (l *live) watch(e schedule.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case schedule.Arrived:
		l.arrived++
	case schedule.Advanced:
		l.frontier = e.Frontier
	}
}

// wait waits until a condition is true.
func (l *live) wait(what string, is func() bool) {
	l.test.Helper()
	late := time.After(30 * time.Second)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-late:
			l.test.Fatalf("waited too long for %s", what)
		}
	}
}

// run publishes one message after the other, and moves the clock as virtual time would:
// what a message makes due comes out before the next.
func (l *live) run() schedule.Stats {
	l.test.Helper()
	l.config.Clock = l.clock
	l.config.HLC = hlc.NewClock(hlc.Config{Node: engine.VirtualNode, Now: l.clock.Now})
	l.config.Watch = l.watch
	l.frontier = progress.Beginning
	g, err := engine.New(l.config)
	if err != nil {
		l.test.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	l.wait("the graph", func() bool { return g.Health().State == engine.Available })
	lateness := plan.DefaultLateness
	if o := l.config.Options.Lateness; o != nil {
		lateness = *o
	}
	if l.config.Plan.Timed {
		// Sources have been quiet for a while.
		l.wait("the first frontier", func() bool {
			l.clock.set(l.clock.Now().UnixMilli() + 100)
			return l.reached(progress.Beginning + 1)
		})
	}
	now, latest := zero, progress.Beginning
	l.clock.set(now)
	for n, in := range l.scenario.input {
		millis, stamped := in.millis()
		if !stamped {
			now++
			millis = now
			l.clock.set(now)
		}
		l.publish(source(l.test, l.config.Plan, in), in.message())
		l.wait("a message", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.arrived > n
		})
		if progress.Time(millis) > latest {
			latest, now = progress.Time(millis), max(now, millis)
			l.clock.set(now)
			if l.config.Plan.Timed {
				l.wait("the frontier", func() bool { return l.reached(progress.Time(now - lateness.Milliseconds())) })
			}
		}
	}
	if l.config.Plan.Timed { // the end of the input, so to speak
		l.clock.set(now + 96*time.Hour.Milliseconds())
	}
	l.wait("the end", func() bool {
		stats := g.Stats()
		held := int64(0)
		for _, o := range stats.Operations {
			held += o.Held
		}
		return held == 0 && stats.Unsettled == 0 && l.unsettled() == 0
	})
	stop()
	if err := <-ended; err != nil {
		l.test.Errorf("Run: %v", err)
	}
	// With a window store a result is neither held nor unsettled while it waits for its
	// commit, and a broker confirms what it has yet to hand on: only now it is known what
	// is to come.
	stats := g.Stats()
	l.wait("what was sent", func() bool { return l.outlet.len() >= stats.Sent+stats.DeadLetters })
	l.end()
	return stats
}

// reached reports whether the frontier is there.
func (l *live) reached(frontier progress.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frontier >= frontier
}
