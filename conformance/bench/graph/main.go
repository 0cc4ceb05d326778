// SPDX-License-Identifier: Apache-2.0

// Command graph measures graph simple from memory to memory with a real component
// in it, next to the bare calls of the same component: the difference is what the
// engine costs. Rounds are interleaved and medians compared.
//
//	go run ./conformance/bench/graph [-rounds 5] [-n 200000] [-o json]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
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
	EngineNanos    float64 `json:"engineNs"` // the difference
	EngineAllocs   float64 `json:"engineAllocs"`
	MessagesSecond float64 `json:"messagesPerSecond"`
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("graph", flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "interleaved rounds")
	n := flags.Int("n", 200_000, "messages in a round")
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
	}{{"C, upper case", c, *n}, {"Go, temperature", temperature.Bytes, *n / 10}} {
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
	fmt.Fprintln(w, "guest\tcall ns\tallocs\tgraph ns\tallocs\tengine ns\tallocs\tmessages/s\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.0f\t%.1f\t%.0f\t%.1f\t%.0f\t\n", r.Guest, r.CallNanos, r.CallAllocs,
			r.GraphNanos, r.GraphAllocs, r.EngineNanos, r.EngineAllocs, r.MessagesSecond)
	}
	return w.Flush()
}

// measure runs rounds of bare calls and of the graph in turn.
func measure(ctx context.Context, name string, wasm []byte, rounds, n int) (result, error) {
	m, err := bench.Load(ctx, "", name, wasm)
	if err != nil {
		return result{}, err
	}
	config := operator.Config{Graph: "bench", Operation: "call", Kind: operator.Map}
	alone, err := m.Opener(config, processor.Environment{}).Open(ctx)
	if err != nil {
		return result{}, err
	}
	defer alone.Close()
	var call, graph, callAllocs, graphAllocs []float64
	for range rounds {
		ns, allocs, err := perMessage(n, func() error { return calls(ctx, alone, n) })
		if err != nil {
			return result{}, err
		}
		call, callAllocs = append(call, ns), append(callAllocs, allocs)
		g, err := newGraph(m, n)
		if err != nil {
			return result{}, err
		}
		if ns, allocs, err = perMessage(n, func() error { return g.run(ctx, n) }); err != nil {
			return result{}, err
		}
		graph, graphAllocs = append(graph, ns), append(graphAllocs, allocs)
	}
	r := result{
		Guest:     name,
		CallNanos: bench.Median(call), CallAllocs: bench.Median(callAllocs),
		GraphNanos: bench.Median(graph), GraphAllocs: bench.Median(graphAllocs),
	}
	r.EngineNanos, r.EngineAllocs = r.GraphNanos-r.CallNanos, r.GraphAllocs-r.CallAllocs
	r.MessagesSecond = 1e9 / r.GraphNanos
	return r, nil
}

// perMessage returns the time and the allocations of do, by message.
func perMessage(n int, do func() error) (nanos, allocs float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	err = do()
	nanos = float64(time.Since(start)) / float64(n)
	runtime.ReadMemStats(&after)
	return nanos, float64(after.Mallocs-before.Mallocs) / float64(n), err
}

// reading is the message that is sent, over and over.
var reading = message.Message{
	Topic: "sensor/temperature/raw", ContentType: "application/json",
	Payload: []byte(`{"temperature":{"value":100.0,"unit":"F"}}`),
}

func calls(ctx context.Context, i operator.Instance, n int) error {
	for range n {
		m := reading
		if _, err := i.Map(ctx, &m); err != nil {
			return err
		}
	}
	return nil
}

// simple is graph simple between a source and a sink in memory.
type simple struct {
	*engine.Graph
	sent *counter
}

func newGraph(m *processor.Module, n int) (*simple, error) {
	text, err := graphs.Files.ReadFile("simple.yaml")
	if err != nil {
		return nil, err
	}
	definition, problems := graph.Parse("simple.yaml", text)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	p, err := plan.New(definition, nil, plan.Options{})
	if err != nil {
		return nil, err
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
		Sources: []endpoint.Source{flood(n)}, Sinks: []endpoint.Sink{sink},
		HLC: hlc.NewClock(hlc.Config{Node: "bench", Now: time.Now}),
	})
	return &simple{g, sink}, err
}

func (s *simple) run(ctx context.Context, n int) error {
	if err := s.Run(ctx); err != nil {
		return err
	}
	if s.sent.n != n {
		return fmt.Errorf("%d messages came out, want %d", s.sent.n, n)
	}
	return nil
}

// flood is a source of so many readings.
type flood int

func (f flood) Connected() bool { return true }

func (f flood) Run(_ context.Context, emit func(endpoint.Delivery), _ <-chan struct{}) error {
	settle := func() {}
	for range int(f) {
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
