// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
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
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
	windows "github.com/wasm-graph/graphd/engine/window"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
)

// scenario is an input for a graph, and what happens to the machine it runs on.
type scenario struct {
	Topology string
	Sources  int
	Inputs   []input
	Crashes  []crash
	Full     []crash // when the disk is full
	Parallel int     // instances of each map, filter and branch
	Swaps    []swap
	Memory   bool // windows are not on disk
}

// input is a message: what and when, in milliseconds from the beginning.
type input struct {
	At, Stamp, Source int
	Text              string
}

// swap is when the graph is replaced by an equal one. One that is broken makes nothing
// of windows that others have begun.
type swap struct {
	At     int
	Broken bool
}

// crash is a time and how long it lasts, in milliseconds.
type crash struct{ At, For int }

// machine is what survives a crash: the peers of the graph, and its disk.
type machine struct {
	topology string
	parallel int
	volatile bool // windows are not on disk
	began    time.Time
	disk     windowmemory.Store
	cut      *cutStore // instead of disk, whose commits take their time
	full     atomic.Bool
	sources  []*memory.Source

	mu        sync.Mutex
	versions  int
	delivered map[string][]string // by sink: "milliseconds payload", in order
}

// power is what a crash ends: a process. Nothing that it does later has an effect.
type power struct {
	*machine
	on atomic.Bool
}

func (p *power) windows() windows.Store {
	if p.cut == nil {
		return p
	}
	p.cut.power = p
	return p.cut
}

func (p *power) Read(ctx context.Context, yield func(key, value []byte) error) error {
	return p.disk.Read(ctx, yield)
}

func (p *power) Range(ctx context.Context, from, to []byte, most int, yield func(key, value []byte) error) error {
	return p.disk.Range(ctx, from, to, most, yield)
}

// Commit takes some milliseconds. A crash meanwhile comes before the commit or after
// it, and in either case nobody is told.
func (p *power) Commit(ctx context.Context, changes []windows.Change) error {
	delay := time.Duration(1+len(changes)%13) * time.Millisecond
	time.Sleep(delay)
	if !p.on.Load() {
		return errors.New("power is off")
	}
	if p.full.Load() {
		return fmt.Errorf("no room: %w", windows.ErrFull)
	}
	if err := p.disk.Commit(ctx, changes); err != nil {
		return err
	}
	time.Sleep(delay)
	if !p.on.Load() {
		return errors.New("power is off")
	}
	return nil
}

func (p *power) Close() error { return nil }

// poweredSource is a source whose settlements a crash undoes.
type poweredSource struct {
	*memory.Source
	power *power
}

func (s *poweredSource) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	return s.Source.Run(ctx, func(d endpoint.Delivery) {
		settle := d.Settle
		d.Settle = func() {
			if s.power.on.Load() {
				settle()
			}
		}
		emit(d)
	}, flush)
}

// poweredSink takes some milliseconds for each message, up to eight at a time.
type poweredSink struct {
	name  string
	power *power
	queue chan func()
}

func newPoweredSink(name string, p *power) *poweredSink {
	return &poweredSink{name: name, power: p, queue: make(chan func(), 8)}
}

func (s *poweredSink) Connected() bool { return true }

func (s *poweredSink) Run(ctx context.Context) error {
	for {
		select {
		case deliver := <-s.queue:
			deliver()
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *poweredSink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	text := fmt.Sprintf("%d %s", m.Time.Millis-s.power.began.UnixMilli(), m.Payload)
	deliver := func() {
		time.Sleep(time.Duration(len(text)%10) * time.Millisecond)
		if !s.power.on.Load() {
			return
		}
		s.power.mu.Lock()
		s.power.delivered[s.name] = append(s.power.delivered[s.name], text)
		s.power.mu.Unlock()
		time.Sleep(time.Millisecond)
		if s.power.on.Load() {
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

func choose(m *message.Message, salt string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(salt))
	h.Write(m.Payload)
	return h.Sum32()
}

// byProperty says on what an accumulate has staged which version it was.
const byProperty = "by"

// implement returns an operator of that kind, which does the same at each run. An
// accumulate makes a JSON array of what it gets; of two sources, sorted. Of a broken
// version, it takes nothing that another has staged.
func implement(name string, kind operator.Kind, sorted bool, version string, broken bool) *native.Operator {
	switch kind {
	case operator.Map:
		return &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			out := m.Clone()
			out.Payload = []byte(name + "(" + string(m.Payload) + ")")
			return out, nil
		}}
	case operator.Filter:
		return &native.Operator{Filter: func(_ context.Context, m *message.Message) (bool, error) {
			return choose(m, name)%4 != 0, nil
		}}
	case operator.Branch:
		return &native.Operator{Branch: func(_ context.Context, _ hlc.Timestamp, m *message.Message) (bool, error) {
			return choose(m, name)%2 == 0, nil
		}}
	case operator.Delay:
		return window10()
	default:
		return &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
			for _, p := range staged.Properties {
				if broken && p.Key == byProperty && p.Value != version {
					return nil, refuse("made by version " + p.Value)
				}
			}
			parts := []string{name}
			if len(staged.Payload) > 0 {
				if err := json.Unmarshal(staged.Payload, &parts); err != nil {
					return nil, err
				}
			}
			for _, m := range batch {
				if strings.HasPrefix(string(m.Payload), "bad") {
					return nil, refuse("bad")
				}
				parts = append(parts, string(m.Payload))
			}
			if sorted {
				slices.Sort(parts[1:])
			}
			out := staged.Clone()
			out.Properties = []message.Property{{Key: byProperty, Value: version}}
			var err error
			out.Payload, err = json.Marshal(parts)
			return out, err
		}}
	}
}

// window10 is window, but for messages in the multiple itself, too.
func window10() *native.Operator {
	return &native.Operator{Delay: func(_ context.Context, _ *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
		return hlc.Timestamp{Millis: (at.Millis + 9_999) / 10_000 * 10_000, Node: "w"}, nil
	}}
}

// slow makes the map o take a time that depends on the message, where there are
// several instances of it.
func slow(parallel int, name string, o *native.Operator) *native.Operator {
	if call := o.Map; call != nil && parallel > 1 {
		o.Map = func(ctx context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(time.Duration(choose(m, name)%20) * time.Millisecond)
			return call(ctx, m)
		}
	}
	return o
}

// version returns what the graph does, made anew.
func (m *machine) version(t *testing.T, broken bool) engine.Version {
	m.versions++
	v := engine.Version{Plan: planOf(t, m.topology), Options: plan.Options{DeadLetter: "a/b"}}
	widen(v.Plan, m.parallel)
	for _, n := range v.Plan.Nodes {
		var o operator.Opener
		if n.Module != "" {
			o = slow(m.parallel, n.Operation, implement(n.Operation, n.Kind, len(m.sources) > 1, fmt.Sprint(m.versions), broken))
		}
		v.Openers = append(v.Openers, o)
	}
	return v
}

// process is the graph at work on a machine.
type process struct {
	*power
	graph    *engine.Graph
	halt     func() error
	swapping sync.WaitGroup
}

// swap replaces the graph, and doesn't wait until that is done.
func (p *process) swap(t *testing.T, broken bool, fault func(string, ...any)) {
	v := p.version(t, broken)
	if !p.volatile {
		v.Windows = p.windows()
	}
	p.swapping.Go(func() {
		err := p.graph.Swap(t.Context(), v)
		var carry *schedule.CarryError
		switch {
		case errors.As(err, &carry) && broken, errors.Is(err, engine.ErrNotRunning), err == nil:
		case errors.As(err, &carry) && strings.Contains(err.Error(), ": bad"):
			// Nothing but what nobody can take was there to be tried.
		default:
			fault("swap: %v", err)
		}
	})
}

// boot starts the graph on m.
func (m *machine) boot(t *testing.T, fault func(string, ...any)) *process {
	p := &power{machine: m}
	p.on.Store(true)
	v := m.version(t, false)
	c := engine.Config{
		Plan: v.Plan, Options: v.Options, Openers: v.Openers, HLC: hlc.NewClock(hlc.Config{Node: "here", Now: time.Now}),
		Grace: time.Minute, DeadLetter: newPoweredSink("dead", p),
	}
	if !m.volatile {
		c.Windows = p.windows()
	}
	for i := range c.Plan.Sources {
		c.Sources = append(c.Sources, &poweredSource{m.sources[i], p})
	}
	for _, index := range c.Plan.Sinks {
		c.Sinks = append(c.Sinks, newPoweredSink(c.Plan.Nodes[index].Operation, p))
	}
	g, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	process := &process{power: p, graph: g}
	process.halt = func() error {
		cancel()
		err := <-ended
		process.swapping.Wait()
		if s := g.Stats(); s.Late != 0 {
			fault("%d messages were counted late", s.Late)
		}
		return err
	}
	return process
}

// outcome is what a scenario came to.
type outcome struct {
	Delivered map[string][]string // by sink: first deliveries in order
	Left      []string            // windows left in the store
	Unsettled int
	Repeated  int // deliveries of what was delivered before
	Faults    []string
}

// play runs a scenario to its end.
func (s scenario) play(t *testing.T) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{topology: s.Topology, parallel: s.Parallel, volatile: s.Memory, began: time.Now(), delivered: map[string][]string{}}
		for range s.Sources {
			m.sources = append(m.sources, memory.NewSource(0))
		}
		type event struct {
			at int
			do func()
		}
		var events []event
		fault := func(format string, args ...any) { o.Faults = append(o.Faults, fmt.Sprintf(format, args...)) }
		p := m.boot(t, fault)
		for i, in := range s.Inputs {
			events = append(events, event{in.At, func() {
				err := m.sources[in.Source].Publish(&message.Message{
					Payload:    fmt.Appendf(nil, "%s-%d-%d", in.Text, in.Source, i),
					Properties: []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", m.began.UnixMilli()+int64(in.Stamp))}},
				})
				if err != nil {
					fault("publish: %v", err)
				}
			}})
		}
		for _, c := range s.Crashes {
			events = append(events, event{c.At, func() {
				p.on.Store(false)
				// It ends with an error, unless nothing was under way.
				_ = p.halt()
				time.Sleep(time.Duration(c.For) * time.Millisecond)
				p = m.boot(t, fault)
			}})
		}
		for _, c := range s.Swaps {
			events = append(events, event{c.At, func() { p.swap(t, c.Broken, fault) }})
		}
		for _, f := range s.Full {
			events = append(events, event{f.At, func() { m.full.Store(true) }}, event{f.At + f.For, func() { m.full.Store(false) }})
		}
		slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
		for _, e := range events {
			time.Sleep(time.Until(m.began.Add(time.Duration(e.at) * time.Millisecond)))
			e.do()
		}
		time.Sleep(5 * time.Minute)
		if err := p.halt(); err != nil {
			fault("Run: %v", err)
		}
		o.Delivered = map[string][]string{}
		for sink, texts := range m.delivered {
			for _, text := range texts {
				if !slices.Contains(o.Delivered[sink], text) {
					o.Delivered[sink] = append(o.Delivered[sink], text)
				} else {
					o.Repeated++
				}
			}
		}
		err := m.disk.Read(t.Context(), func(key, _ []byte) error {
			if key[0] > 2 { // neither the frontier nor a position
				o.Left = append(o.Left, fmt.Sprintf("%q", key))
			}
			return nil
		})
		if err != nil {
			fault("read: %v", err)
		}
		for _, source := range m.sources {
			o.Unsettled += source.Unsettled()
		}
	})
	return o
}

// drawTopology draws a graph: operations, each fed by some of those before it, and
// sinks behind all ends.
func drawTopology(t *rapid.T, sources int) string {
	var paths []string
	var ends []string // outputs that nobody takes yet
	for i := range sources {
		ends = append(ends, fmt.Sprintf("in%d", i+1))
	}
	outputs := slices.Clone(ends)
	kinds := map[string]operator.Kind{"m": operator.Map, "f": operator.Filter, "b": operator.Branch, "d": operator.Delay, "a": operator.Accumulate, "join": ""}
	names := []string{"m", "f", "b", "d", "d", "a", "a", "join"}
	for i := range rapid.IntRange(2, 6).Draw(t, "operations") {
		letter := rapid.SampledFrom(names).Draw(t, "kind")
		if i == 0 {
			letter = "d" // so that the graph is timed
		}
		name := fmt.Sprint(letter, i)
		inputs := 1
		if letter == "join" {
			inputs = 2
		}
		for n := range inputs {
			from := rapid.SampledFrom(outputs).Draw(t, "input")
			if i == 0 {
				from = outputs[0]
			}
			to := name
			if n == 0 && letter != "join" {
				to += ":" + string(kinds[letter])
			}
			path := from + ">" + to
			if slices.Contains(paths, path) {
				continue
			}
			paths = append(paths, path)
			ends = slices.DeleteFunc(ends, func(end string) bool { return end == from })
		}
		made := []string{name}
		switch letter {
		case "b":
			made = []string{name + ".T", name + ".F"}
		case "d": // so that what comes out shows that it was delayed
			paths = append(paths, name+">m"+name+":map")
			made = []string{"m" + name}
		}
		outputs, ends = append(outputs, made...), append(ends, made...)
	}
	for i, end := range ends {
		paths = append(paths, fmt.Sprintf("%s>out%d", end, i+1))
	}
	return strings.Join(paths, " ")
}

// drawScenario draws a scenario of crashes; pause is the longest between two messages,
// in milliseconds.
func drawScenario(t *rapid.T, pause int) scenario {
	s := scenario{Sources: rapid.IntRange(1, 2).Draw(t, "sources")}
	s.Topology = drawTopology(t, s.Sources)
	at := 0
	for range rapid.IntRange(1, 150).Draw(t, "messages") {
		at += rapid.IntRange(0, pause).Draw(t, "pause")
		s.Inputs = append(s.Inputs, input{
			At: at, Stamp: at - rapid.IntRange(0, 4_000).Draw(t, "age"), Source: rapid.IntRange(0, s.Sources-1).Draw(t, "source"),
			Text: rapid.SampledFrom([]string{"x", "y", "bad"}).Draw(t, "text"),
		})
	}
	draw := func(name string, most, longest int) (cs []crash) {
		for range rapid.IntRange(0, most).Draw(t, name) {
			when := rapid.OneOf(rapid.IntRange(0, at+20_000), rapid.Custom(func(t *rapid.T) int {
				// Around the close of a window: the lateness after its end.
				return rapid.IntRange(0, at/10_000+1).Draw(t, "window")*10_000 + 5_000 + rapid.IntRange(0, 200).Draw(t, "after")
			})).Draw(t, name+" at")
			cs = append(cs, crash{when, rapid.IntRange(1, longest).Draw(t, name+" for")})
		}
		return cs
	}
	s.Crashes = draw("crashes", 4, 30_000)
	s.Full = draw("full disks", 1, 10_000)
	s.Parallel = rapid.IntRange(1, 3).Draw(t, "parallel")
	return s
}

// TestCrashes runs random graphs with crashes and without: nothing may be lost,
// windows have the same content, and messages that nothing delays keep their order.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { drawScenario(rt, 400).compare(t, rt) })
}

// TestSwaps replaces random graphs again and again while they run, by equal ones, also
// where they crash: everything comes out as if nothing had happened, and without a
// crash exactly once. Of those that make nothing of the open windows that they find
// nothing is seen.
func TestSwaps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScenario(rt, 50) // so that windows are begun to be folded before they close
		if rapid.Bool().Draw(rt, "no crashes") {
			s.Crashes, s.Full, s.Memory = nil, nil, rapid.Bool().Draw(rt, "windows in memory")
		}
		if rapid.Bool().Draw(rt, "coarse") { // so that accumulates have windows without a delay before them
			for i := range s.Inputs {
				s.Inputs[i].Stamp = (s.Inputs[i].Stamp + 9_999) / 10_000 * 10_000
			}
		}
		last := s.Inputs[len(s.Inputs)-1].At + 15_000
		s.Swaps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) swap {
			return swap{rapid.IntRange(0, last).Draw(t, "at"), rapid.Bool().Draw(t, "broken")}
		}), 1, 10).Draw(rt, "swaps")
		s.compare(t, rt)
	})
}

// compare plays a scenario with everything that happens in it, and without.
func (s scenario) compare(t *testing.T, rt *rapid.T) {
	calm := s
	calm.Crashes, calm.Full, calm.Swaps, calm.Parallel = nil, nil, nil, 1
	want, got := calm.play(t), s.play(t)
	for _, o := range []outcome{want, got} {
		if o.Unsettled != 0 || len(o.Left) != 0 || len(o.Faults) != 0 {
			rt.Fatalf("%d messages are unsettled, the store has %s, faults: %s\n%+v", o.Unsettled, o.Left, o.Faults, s)
		}
		if len(s.Crashes) == 0 && o.Repeated > want.Repeated {
			rt.Errorf("%d messages came more than once, not %d", o.Repeated, want.Repeated)
		}
		for sink, texts := range o.Delivered {
			if at := disorder(texts); at != "" && sink != "dead" { // windows drop what they can't take when they close
				rt.Errorf("sink %s: %s came after a later one of its source", sink, at)
			}
		}
	}
	sorted := func(o outcome) map[string][]string {
		for _, texts := range o.Delivered {
			slices.Sort(texts)
		}
		return o.Delivered
	}
	if diff := gocmp.Diff(sorted(want), sorted(got)); diff != "" {
		rt.Errorf("%s\nwithout anything happening and with (-want +got):\n%s", s.Topology, diff)
	}
}

// disorder returns the first message that came after a later one of its source that
// came through the same operations and was delayed, if at all, to the same time;
// empty if there is none.
func disorder(texts []string) string {
	last := map[string]int{}
	for _, text := range texts {
		at, payload, _ := strings.Cut(text, " ")
		if strings.Contains(payload, "[") {
			continue // a window's result
		}
		way := payload[:strings.LastIndexAny(payload, "(")+1]
		var word string
		var source, number int
		rest := strings.ReplaceAll(strings.Trim(payload[len(way):], ")"), "-", " ")
		if _, err := fmt.Sscan(rest, &word, &source, &number); err != nil {
			return err.Error()
		}
		key := fmt.Sprint(way, source)
		if strings.Contains(way, "md") {
			var millis int
			fmt.Sscan(at, &millis)
			key += fmt.Sprint(" at ", (millis+9_999)/10_000)
		}
		if number < last[key] {
			return text
		}
		last[key] = number
	}
	return ""
}
