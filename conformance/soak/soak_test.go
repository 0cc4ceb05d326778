// SPDX-License-Identifier: Apache-2.0

//go:build soak

package soak_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/schedule"
	windows "github.com/wasm-graph/graphd/engine/window/memory"
)

const (
	days = 10
	// longestStall is how long the frontier may stand still while all sources are
	// connected: as long as it takes to tell a wrong clock from a backlog, and a little.
	longestStall = 35 * time.Second
)

// line is a source whose connection comes and goes.
type line struct {
	*memory.Source
	t         *testing.T
	down      atomic.Bool
	kept      []*message.Message // while it is down
	published int
}

func (l *line) Connected() bool { return !l.down.Load() && l.Source.Connected() }

// send publishes a message stamped at a time; one that is sent while the line is down
// comes when it is up again.
func (l *line) send(at time.Time) {
	m := &message.Message{Payload: []byte("1"), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", at.UnixMilli())}}}
	l.published++
	if l.down.Load() {
		l.kept = append(l.kept, m)
		return
	}
	l.publish(m)
}

func (l *line) publish(messages ...*message.Message) {
	if err := l.Publish(messages...); err != nil {
		l.t.Error(err)
	}
}

// up brings the line up again, and what it has kept.
func (l *line) up() {
	l.down.Store(false)
	l.publish(l.kept...)
	l.kept = nil
}

// watcher looks at the frontier.
type watcher struct {
	mu       sync.Mutex
	frontier progress.Time
	moved    time.Time // when it last did
	advances int
	back     int // how often it went back
}

func (w *watcher) watch(e schedule.Event) {
	if e.Kind != schedule.Advanced {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Frontier <= w.frontier {
		w.back++
	}
	w.frontier, w.moved = e.Frontier, time.Now()
	w.advances++
}

// TestTenDays runs windows of ten seconds over three sources: one is busy, and its
// clock is set back now and then, by fractions of a second or by hours; one is idle for
// hours, and loses its connection; one sends bursts, of the present or of what it has
// kept while it was away.
func TestTenDays(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			real := time.Now()
			synctest.Test(t, func(t *testing.T) { tenDays(t, seed) })
			t.Logf("%d days took %v", days, time.Since(real).Round(time.Second))
		})
	}
}

func tenDays(t *testing.T, seed uint64) {
	began := time.Now()
	lines := []*line{{Source: memory.NewSource(0), t: t}, {Source: memory.NewSource(0), t: t}, {Source: memory.NewSource(0), t: t}}
	sink := &adder{}
	look := &watcher{frontier: progress.Beginning, moved: began}
	g, err := engine.New(config(t, lines, sink, look))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()

	end := began.Add(days * 24 * time.Hour)
	var working sync.WaitGroup
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	steps, hours := 0, 0
	working.Go(func() { steps, hours = busy(lines[0], random(0), end) })
	working.Go(func() { idle(lines[1], random(1), end) })
	working.Go(func() { bursts(lines[2], random(2), end) })
	var stall time.Duration
	working.Go(func() { stall = watchStalls(lines, look, end) })
	working.Wait()
	time.Sleep(2 * time.Minute)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}

	s := g.Stats()
	published := 0
	for i, l := range lines {
		published += l.published
		if n := l.Unsettled(); n != 0 {
			t.Errorf("source %d has %d messages unsettled", i, n)
		}
	}
	if sink.total != published || s.Dropped != 0 {
		t.Errorf("%d messages in windows, %d dropped; published were %d", sink.total, s.Dropped, published)
	}
	if look.back != 0 {
		t.Errorf("the frontier went back %d times", look.back)
	}
	if stall > longestStall {
		t.Errorf("the frontier stood still for %v while all sources were connected", stall)
	}
	t.Logf("%d messages in %d windows; %d steps of the clock below a second, %d by hours; %d late; %d advances, longest stall %v",
		published, sink.windows, steps, hours, s.Late, look.advances, stall)
}

// busy sends a message every two seconds, and in some hours five times as many, so
// that it is never quiet.
func busy(l *line, random *rand.Rand, end time.Time) (steps, hours int) {
	var back time.Duration
	for time.Now().Before(end) {
		pause := 2 * time.Second
		if time.Now().Hour()%4 == 0 {
			pause /= 5
		}
		time.Sleep(pause)
		switch n := random.IntN(10_000); {
		case n < 20: // and is set right at some later time
			back += time.Duration(random.IntN(1000)) * time.Millisecond
			steps++
		case n == 20:
			back += time.Duration(1+random.IntN(5)) * time.Hour
			hours++
		case n < 24:
			back = 0
		}
		l.send(time.Now().Add(-back))
	}
	return steps, hours
}

// idle sends some messages every few hours, and is often away for an hour in between.
func idle(l *line, random *rand.Rand, end time.Time) {
	for time.Now().Before(end) {
		time.Sleep(time.Duration(random.IntN(6*3600)) * time.Second)
		for range random.IntN(20) {
			l.send(time.Now())
			time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		}
		if random.IntN(2) == 0 {
			l.down.Store(true)
			for range random.IntN(60) {
				time.Sleep(time.Minute)
				l.send(time.Now())
			}
			l.up()
		}
	}
}

// bursts sends 200 messages at once every ten minutes; every tenth time it was away
// and sends what it has kept.
func bursts(l *line, random *rand.Rand, end time.Time) {
	for time.Now().Before(end) {
		away := random.IntN(10) == 0
		l.down.Store(away)
		for range 200 {
			time.Sleep(3 * time.Second)
			if away {
				l.send(time.Now())
			}
		}
		if away {
			l.up()
			continue
		}
		for range 200 {
			l.send(time.Now())
		}
	}
}

// watchStalls returns the longest time for which the frontier stood still while all
// lines were up.
func watchStalls(lines []*line, look *watcher, end time.Time) (longest time.Duration) {
	free := time.Now()
	for time.Now().Before(end) {
		time.Sleep(time.Second)
		for _, l := range lines {
			if l.down.Load() {
				free = time.Now()
			}
		}
		look.mu.Lock()
		since := look.moved
		look.mu.Unlock()
		if free.After(since) {
			since = free
		}
		longest = max(longest, time.Since(since))
	}
	return longest
}

// config is a graph of windows of ten seconds, which are counted.
func config(t *testing.T, lines []*line, sink endpoint.Sink, look *watcher) engine.Config {
	d := &graph.Definition{
		Metadata: graph.Metadata{Name: "soak"},
		Operations: []graph.Operation{
			{Kind: graph.Source, Name: "busy"}, {Kind: graph.Source, Name: "idle"}, {Kind: graph.Source, Name: "bursts"},
			{Kind: graph.Delay, Name: "window", Module: "window:1"}, {Kind: graph.Accumulate, Name: "count", Module: "count:1"},
			{Kind: graph.Sink, Name: "out"},
		},
		Connections: []graph.Connection{
			{From: "busy", To: "window"}, {From: "idle", To: "window"}, {From: "bursts", To: "window"},
			{From: "window", To: "count"}, {From: "count", To: "out"},
		},
	}
	p, err := plan.New(d, nil, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := engine.Config{
		Plan: p, Openers: make([]operator.Opener, len(p.Nodes)), Sinks: []endpoint.Sink{sink}, Windows: &windows.Store{},
		HLC: hlc.NewClock(hlc.Config{Node: "soak", Now: time.Now}), Watch: look.watch,
	}
	for _, l := range lines {
		c.Sources = append(c.Sources, l)
	}
	for i, n := range p.Nodes {
		switch n.Kind {
		case operator.Delay:
			c.Openers[i] = &native.Operator{Delay: func(_ context.Context, _ *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
				return hlc.Timestamp{Millis: (at.Millis + 9_999) / 10_000 * 10_000}, nil
			}}
		case operator.Accumulate:
			c.Openers[i] = &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
				n := 0
				fmt.Sscan(string(staged.Payload), &n)
				out := staged.Clone()
				out.Payload = fmt.Append(nil, n+len(batch))
				return out, nil
			}}
		}
	}
	return c
}

// adder is a sink that adds up windows.
type adder struct{ windows, total int }

func (a *adder) Connected() bool { return true }

func (a *adder) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (a *adder) Send(_ context.Context, m *message.Message, done func(error)) error {
	n := 0
	if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
		return err
	}
	a.windows++
	a.total += n
	done(nil)
	return nil
}
