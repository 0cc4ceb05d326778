// SPDX-License-Identifier: Apache-2.0

// Command graph measures graph simple from memory to memory with a real component
// in it, next to the bare calls of the same component: the difference is what the
// engine costs. Many short rounds are interleaved, and the fastest of each compared,
// since what else the machine does makes rounds slower and never faster. And the same
// with an instance for each processor, next to one instance.
//
//	go run ./conformance/bench/graph [-rounds 201] [-n 4000] [-o json]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/graphs"
	"github.com/wasm-graph/graphd/operators/build"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "graph:", err)
		os.Exit(1)
	}
}

// result is what one guest's calls cost, alone and in the graph.
type result struct {
	Guest          string  `json:"guest"`
	CallNanos      float64 `json:"callNs"`
	CallAllocs     float64 `json:"callAllocs"`
	GraphNanos     float64 `json:"graphNs"` // a message
	GraphAllocs    float64 `json:"graphAllocs"`
	EngineNanos    float64 `json:"engineNs"` // the difference of the fastest rounds
	EngineAllocs   float64 `json:"engineAllocs"`
	MessagesSecond float64 `json:"messagesPerSecond"`
	Instances      int     `json:"instances"` // of the parallel run
	Speedup        float64 `json:"speedup"`   // of it
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("graph", flag.ContinueOnError)
	rounds := flags.Int("rounds", 201, "interleaved rounds")
	n := flags.Int("n", 4_000, "messages in a round")
	operators := flags.String("operators", "operators", "folder of the Go operators")
	format := flags.String("o", "text", "output: text or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := bench.Component(guests.Map())
	if err != nil {
		return err
	}
	temperature, err := build.Operator(ctx, *operators+"/temperature")
	if err != nil {
		return err
	}
	var results []result
	for _, g := range []struct {
		name string
		wasm []byte
		n    int
	}{{"C, upper case", c, *n}, {"Go, temperature", temperature.Bytes, *n / 4}} {
		r, err := measure(ctx, g.name, g.wasm, *rounds, g.n)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		results = append(results, r)
	}
	if *format == "json" {
		return json.NewEncoder(out).Encode(results)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "guest\tcall ns\tallocs\tgraph ns\tallocs\tengine ns\tallocs\tmessages/s\tinstances\ttimes as fast\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.0f\t%.1f\t%.0f\t%.1f\t%.0f\t%d\t%.2f\t\n", r.Guest, r.CallNanos, r.CallAllocs,
			r.GraphNanos, r.GraphAllocs, r.EngineNanos, r.EngineAllocs, r.MessagesSecond, r.Instances, r.Speedup)
	}
	return w.Flush()
}

// measure runs rounds of bare calls and of the graph in turn.
func measure(ctx context.Context, name string, wasm []byte, rounds, n int) (result, error) {
	module, err := bench.Load(ctx, "", name, wasm)
	if err != nil {
		return result{}, err
	}
	var call, graph, speedup, callAllocs, graphAllocs []float64
	for range rounds {
		var alone1, graph1, graphN meter
		if err := calls(ctx, module, n, &alone1); err != nil {
			return result{}, err
		}
		if err := through(ctx, module, n, 1, &graph1); err != nil {
			return result{}, err
		}
		if err := through(ctx, module, n, runtime.GOMAXPROCS(0), &graphN); err != nil {
			return result{}, err
		}
		call, callAllocs = append(call, alone1.nanos/float64(n)), append(callAllocs, alone1.allocs/float64(n))
		graph, graphAllocs = append(graph, graph1.nanos/float64(n)), append(graphAllocs, graph1.allocs/float64(n))
		speedup = append(speedup, graph1.nanos/graphN.nanos)
	}
	r := result{
		Guest:     name,
		CallNanos: slices.Min(call), CallAllocs: bench.Median(callAllocs),
		GraphNanos: slices.Min(graph), GraphAllocs: bench.Median(graphAllocs),
	}
	r.EngineNanos, r.EngineAllocs = r.GraphNanos-r.CallNanos, r.GraphAllocs-r.CallAllocs
	r.Instances, r.Speedup = runtime.GOMAXPROCS(0), bench.Median(speedup)
	r.MessagesSecond = 1e9 / r.GraphNanos
	return r, nil
}

// meter measures the time and the allocations between start and stop: of messages
// only, not of the instance that is made for them.
type meter struct {
	began         time.Time
	before        uint64
	nanos, allocs float64
}

func (m *meter) start() {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	m.before, m.began = stats.Mallocs, time.Now()
}

func (m *meter) stop() {
	m.nanos = float64(time.Since(m.began))
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.allocs = float64(stats.Mallocs - m.before)
}

// node is the id of stamps, as long as a real one.
const node = "0f4b5fae-9a4e-4c88-8a4e-0d5f5f1c2b3a"

// reading is the message that is sent, over and over.
var reading = message.Message{
	Topic: "sensor/temperature/raw", ContentType: "application/json",
	Payload: []byte(`{"temperature":{"value":100.0,"unit":"F"}}`),
}

// calls gives an instance what the graph gives it: messages that are stamped. It is a
// new one, as the graph's is.
func calls(ctx context.Context, m *processor.Module, n int, meter *meter) error {
	i, err := m.Opener(operator.Config{Graph: "bench", Operation: "call", Kind: operator.Map}, processor.Environment{}).Open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	meter.start()
	defer meter.stop()
	for k := range n {
		m := reading
		m.Time = hlc.Timestamp{Millis: 1_700_000_000_000, Counter: uint64(k), Node: node}
		if _, err := i.Map(ctx, &m); err != nil {
			return err
		}
	}
	return nil
}

// through runs n messages through graph simple with so many instances of its operator, between a source and a sink in memory.
func through(ctx context.Context, m *processor.Module, n, instances int, meter *meter) error {
	text, err := graphs.Files.ReadFile("simple.yaml")
	if err != nil {
		return err
	}
	definition, problems := graph.Parse("simple.yaml", text)
	if err := problems.Err(); err != nil {
		return err
	}
	p, err := plan.New(definition, nil, plan.Options{Operations: map[string]plan.OperationOptions{"module-temperature.map": {Parallelism: instances}}})
	if err != nil {
		return err
	}
	openers := make([]operator.Opener, len(p.Nodes))
	for i, node := range p.Nodes {
		if node.Module != "" {
			openers[i] = m.Opener(node.Config, processor.Environment{})
		}
	}
	sink := &counter{}
	g, err := engine.New(engine.Config{
		Plan: p, Openers: openers,
		Sources: []endpoint.Source{&flood{n, meter}}, Sinks: []endpoint.Sink{sink},
		HLC: hlc.NewClock(hlc.Config{Node: node, Now: time.Now}),
	})
	if err != nil {
		return err
	}
	if err := g.Run(ctx); err != nil {
		return err
	}
	if sink.n != n {
		return fmt.Errorf("%d messages came out, want %d", sink.n, n)
	}
	return nil
}

// flood is a source of n readings, which measures from its start until the last is
// settled.
type flood struct {
	n     int
	meter *meter
}

func (f *flood) Connected() bool { return true }

func (f *flood) Run(_ context.Context, emit func(endpoint.Delivery), _ <-chan struct{}) error {
	f.meter.start()
	left := f.n // settled in the order of the messages, one after another
	settle := func() {
		if left--; left == 0 {
			f.meter.stop()
		}
	}
	for range f.n {
		m := reading
		emit(endpoint.Delivery{Message: &m, Settle: settle})
	}
	return nil
}

// counter is a sink that confirms at once.
type counter struct{ n int }

func (c *counter) Connected() bool { return true }

func (c *counter) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (c *counter) Send(_ context.Context, _ *message.Message, done func(error)) error {
	c.n++
	done(nil)
	return nil
}
