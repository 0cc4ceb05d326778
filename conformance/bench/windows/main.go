// SPDX-License-Identifier: Apache-2.0

// Command windows measures how much memory open windows take: a delay puts messages
// off to the end of their window, an accumulate counts them, the window store is on
// disk. The clock jumps to the end of the windows once all messages are acknowledged.
// The baseline is the same without a store, where they are in memory.
//
//	go run ./conformance/bench/windows [-n 1000000] [-o json]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/window/disk"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "windows:", err)
		os.Exit(1)
	}
}

// result is what a case has come to.
type result struct {
	Case        string  `json:"case"`
	Messages    int     `json:"messages"`
	InSecond    float64 `json:"inPerSecond"`  // messages taken and acknowledged
	OutSecond   float64 `json:"outPerSecond"` // messages let out and counted
	HeapMB      float64 `json:"heapMB"`       // the most that the Go heap had in use, in all phases
	AnonymousMB float64 `json:"anonymousMB"`  // the most resident memory that isn't a file's
	FileMB      float64 `json:"fileMB"`       // size of the store
	ResumeMS    float64 `json:"resumeMs"`     // to open the store again with all windows in it
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("windows", flag.ContinueOnError)
	n := flags.Int("n", 1_000_000, "messages of each case")
	format := flags.String("o", "text", "output: text or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var results []result
	for _, c := range []struct {
		name    string
		windows int
		kept    bool
	}{{"a window of 24 hours, on disk", 1, true}, {"10,000 windows, on disk", 10_000, true}, {"a window of 24 hours, in memory", 1, false}} {
		r, err := measure(ctx, *n, c.windows, c.kept)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Case = c.name
		results = append(results, r)
	}
	if *format == "json" {
		return json.NewEncoder(out).Encode(results)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tmessages\tin/s\tout/s\theap MB\tanonymous MB\tfile MB\tresume ms\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f\t\n", r.Case, r.Messages, r.InSecond, r.OutSecond, r.HeapMB, r.AnonymousMB, r.FileMB, r.ResumeMS)
	}
	return w.Flush()
}

// measure lets n messages into so many windows, starts the graph again if they are
// kept, and lets them out.
func measure(ctx context.Context, n, windows int, kept bool) (r result, err error) {
	debug.FreeOSMemory()
	dir, err := os.MkdirTemp("", "graphd-windows")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "w.db")
	r.Messages = n
	m := watch()
	defer func() { r.HeapMB, r.AnonymousMB = m.stop() }()
	clock := &clock{}
	sink := &counter{want: n, done: make(chan struct{})}
	source := &feed{n: n, settled: make(chan struct{})}

	began := time.Now()
	stop, err := start(ctx, path, kept, windows, clock, source, sink)
	if err != nil {
		return r, err
	}
	if kept {
		<-source.settled
		r.InSecond = float64(n) / time.Since(began).Seconds()
		if err := stop(); err != nil {
			return r, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return r, err
		}
		r.FileMB = float64(info.Size()) / 1e6
		source.n = 0
		began = time.Now()
		if stop, err = start(ctx, path, kept, windows, clock, source, sink); err != nil {
			return r, err
		}
		<-source.started
		r.ResumeMS = float64(time.Since(began)) / 1e6
	} else {
		<-source.emitted
		r.InSecond = float64(n) / time.Since(began).Seconds()
	}
	began = time.Now()
	clock.ahead.Store(int64(25 * time.Hour))
	<-sink.done
	r.OutSecond = float64(n) / time.Since(began).Seconds()
	return r, stop()
}

// start runs the graph, and returns what stops it.
func start(ctx context.Context, path string, kept bool, windows int, clock *clock, source *feed, sink *counter) (stop func() error, err error) {
	source.started, source.emitted = make(chan struct{}), make(chan struct{})
	d := &graph.Definition{
		Metadata: graph.Metadata{Name: "windows"},
		Operations: []graph.Operation{
			{Kind: graph.Source, Name: "in"}, {Kind: graph.Delay, Name: "window", Module: "window:1"},
			{Kind: graph.Accumulate, Name: "count", Module: "count:1"}, {Kind: graph.Sink, Name: "out"},
		},
		Connections: []graph.Connection{{From: "in", To: "window"}, {From: "window", To: "count"}, {From: "count", To: "out"}},
	}
	p, err := plan.New(d, nil, plan.Options{})
	if err != nil {
		return nil, err
	}
	day := (24 * time.Hour).Milliseconds()
	end := time.Now().UnixMilli() + day - 60_000
	i := 0
	c := engine.Config{
		Plan: p, Sources: []endpoint.Source{source}, Sinks: []endpoint.Sink{sink}, Clock: clock,
		HLC: hlc.NewClock(hlc.Config{Node: "bench", Now: clock.Now}),
		Openers: []operator.Opener{nil, &native.Operator{Delay: func(context.Context, *message.Message, hlc.Timestamp) (hlc.Timestamp, error) {
			i++
			return hlc.Timestamp{Millis: end - int64(i%windows)}, nil
		}}, &native.Operator{Accumulate: count}, nil},
	}
	var store *disk.Store
	if kept {
		if store, err = disk.Open(path); err != nil {
			return nil, err
		}
		c.Windows = store
	}
	g, err := engine.New(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	return func() error {
		cancel()
		err := <-ended
		if store != nil {
			err = errors.Join(err, store.Close())
		}
		return err
	}, nil
}

// count is an accumulate that counts.
func count(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
	n := 0
	fmt.Sscan(string(staged.Payload), &n)
	out := staged.Clone()
	out.Payload = fmt.Append(nil, n+len(batch))
	return out, nil
}

// clock is the machine's clock, or ahead of it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// feed is a source of n readings, which then stays connected.
type feed struct {
	n       int
	acked   atomic.Int64
	started chan struct{}
	emitted chan struct{}
	settled chan struct{} // closed when all are
}

func (f *feed) Connected() bool { return true }

func (f *feed) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	close(f.started)
	n := int64(f.n)
	for range n {
		m := &message.Message{
			Topic: "sensor/temperature/raw", ContentType: "application/json",
			Payload: []byte(`{"temperature":{"value":100.0,"unit":"F"},"sensor":"line 3, station 14, oven, upper left","sequence":12345}`),
		}
		emit(endpoint.Delivery{Message: m, Settle: func() {
			if f.acked.Add(1) == n {
				close(f.settled)
			}
		}})
	}
	close(f.emitted)
	<-ctx.Done()
	<-flush
	return nil
}

// counter is a sink that adds up what it gets.
type counter struct {
	mu   sync.Mutex
	got  int
	want int
	done chan struct{}
}

func (c *counter) Connected() bool { return true }

func (c *counter) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (c *counter) Send(_ context.Context, m *message.Message, done func(error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
		return err
	}
	if c.got += n; c.got == c.want {
		close(c.done)
	}
	done(nil)
	return nil
}

// meter samples the memory of the process.
type meter struct {
	quit            chan struct{}
	sampling        sync.WaitGroup
	heap, anonymous float64 // megabytes, the most seen
}

func watch() *meter {
	m := &meter{quit: make(chan struct{})}
	m.sampling.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			m.sample()
			select {
			case <-tick.C:
			case <-m.quit:
				return
			}
		}
	})
	return m
}

func (m *meter) sample() {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m.heap = max(m.heap, float64(s.HeapInuse)/1e6)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return // not on Linux
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			var kilobytes float64
			fmt.Sscan(rest, &kilobytes)
			m.anonymous = max(m.anonymous, kilobytes/1e3)
		}
	}
}

func (m *meter) stop() (heap, anonymous float64) {
	close(m.quit)
	m.sampling.Wait()
	return m.heap, m.anonymous
}
