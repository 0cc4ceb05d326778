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
}

// input is a message: what and when, in milliseconds from the beginning.
type input struct {
	At, Stamp, Source int
	Text              string
}

// crash is a time and how long it lasts, in milliseconds.
type crash struct{ At, For int }

// machine is what survives a crash: the peers of the graph, and its disk.
type machine struct {
	topology string
	parallel int
	began    time.Time
	disk     windowmemory.Store
	cut      *cutStore // instead of disk, whose commits take their time
	full     atomic.Bool
	sources  []*memory.Source

	mu        sync.Mutex
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

// implement returns an operator of that kind, which does the same at each run. An
// accumulate makes a JSON array of what it gets; of two sources, sorted.
func implement(name string, kind operator.Kind, sorted bool) *native.Operator {
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

// boot starts the graph on m.
func (m *machine) boot(t *testing.T, fault func(string, ...any)) (p *power, halt func() error) {
	p = &power{machine: m}
	p.on.Store(true)
	c := engine.Config{
		Plan: planOf(t, m.topology), HLC: hlc.NewClock(hlc.Config{Node: "here", Now: time.Now}),
		Windows: p.windows(), Grace: time.Minute, DeadLetter: newPoweredSink("dead", p),
		Options: plan.Options{DeadLetter: "a/b"},
	}
	widen(c.Plan, m.parallel)
	for _, n := range c.Plan.Nodes {
		var o operator.Opener
		if n.Module != "" {
			o = slow(m.parallel, n.Operation, implement(n.Operation, n.Kind, len(m.sources) > 1))
		}
		c.Openers = append(c.Openers, o)
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
	return p, func() error {
		cancel()
		err := <-ended
		if s := g.Stats(); s.Late != 0 {
			fault("%d messages were counted late", s.Late)
		}
		return err
	}
}

// outcome is what a scenario came to.
type outcome struct {
	Delivered map[string][]string // by sink: first deliveries in order
	Left      []string            // windows left in the store
	Unsettled int
	Faults    []string
}

// play runs a scenario to its end.
func (s scenario) play(t *testing.T) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{topology: s.Topology, parallel: s.Parallel, began: time.Now(), delivered: map[string][]string{}}
		for range s.Sources {
			m.sources = append(m.sources, memory.NewSource(0))
		}
		type event struct {
			at int
			do func()
		}
		var events []event
		fault := func(format string, args ...any) { o.Faults = append(o.Faults, fmt.Sprintf(format, args...)) }
		p, halt := m.boot(t, fault)
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
				_ = halt()
				time.Sleep(time.Duration(c.For) * time.Millisecond)
				p, halt = m.boot(t, fault)
			}})
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
		if err := halt(); err != nil {
			fault("Run: %v", err)
		}
		o.Delivered = map[string][]string{}
		for sink, texts := range m.delivered {
			for _, text := range texts {
				if !slices.Contains(o.Delivered[sink], text) {
					o.Delivered[sink] = append(o.Delivered[sink], text)
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

func drawScenario(t *rapid.T) scenario {
	s := scenario{Sources: rapid.IntRange(1, 2).Draw(t, "sources")}
	s.Topology = drawTopology(t, s.Sources)
	at := 0
	for range rapid.IntRange(1, 150).Draw(t, "messages") {
		at += rapid.IntRange(0, 400).Draw(t, "pause")
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
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScenario(rt)
		calm := s
		calm.Crashes, calm.Full, calm.Parallel = nil, nil, 1
		want, got := calm.play(t), s.play(t)
		for _, o := range []outcome{want, got} {
			if o.Unsettled != 0 || len(o.Left) != 0 || len(o.Faults) != 0 {
				rt.Fatalf("%d messages are unsettled, the store has %s, faults: %s\n%+v", o.Unsettled, o.Left, o.Faults, s)
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
			rt.Errorf("%s\nwithout crashes and with (-want +got):\n%s", s.Topology, diff)
		}
	})
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
