// SPDX-License-Identifier: Apache-2.0

// Command call measures what one call of an operator costs, next to the floor: the
// same guest on bare wazero with a Canonical ABI written by hand and no safety at
// all; and what one call of a host function by a guest costs, next to a function of
// wazero's own.
//
// Many short rounds of all routes are interleaved. Each route is compared with the
// floor of its own round, and the median of those ratios counts, so that a machine
// whose speed drifts does not decide.
//
//	go run ./conformance/bench/call [-core map.core.wasm] [-rounds 300] [-o json]
//	go run -tags wasmtime ./conformance/bench/call -engine wazero,wasmtime
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/engines"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "call:", err)
		os.Exit(1)
	}
}

// sizes are the payload sizes, in bytes.
var sizes = []int{256, 4096}

// result is the cost of one route at one payload size.
type result struct {
	Route   string  `json:"route"`
	Payload int     `json:"payloadBytes"` // 0: a call of a host function
	Nanos   float64 `json:"nsPerCall"`
	CPU     float64 `json:"cpuNsPerCall"` // processor time, that of the garbage collector included
	Allocs  int64   `json:"allocsPerCall"`
	// Medians over the rounds, each of which has a floor of its own.
	Ratio    float64 `json:"timesFloor"`
	RatioCPU float64 `json:"cpuTimesFloor"`
	Over     float64 `json:"nsOverFloor"`
}

// route is one way to make the call.
type route struct {
	name string
	// per is how many calls one use of call makes; 0 means one.
	per  int
	call func(ctx context.Context, m *message.Message) error
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	core := flags.String("core", "", "core module of a map operator that imports nothing but the processor world (default: the C guest of the conformance suite)")
	engineNames := flags.String("engine", "wazero", fmt.Sprintf("core engines to measure, comma-separated, of %q", engines.Names()))
	rounds := flags.Int("rounds", 300, "interleaved rounds")
	each := flags.Duration("each", 3*time.Millisecond, "time of one measurement in a round")
	format := flags.String("o", "text", "output: text or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wasm := guests.Map()
	if *core != "" {
		var err error
		if wasm, err = os.ReadFile(*core); err != nil {
			return err
		}
	}
	names := strings.Split(*engineNames, ",")
	routes, err := open(ctx, names, wasm)
	if err != nil {
		return err
	}
	imports, err := openImports(ctx, names)
	if err != nil {
		return err
	}
	var results []result
	for _, size := range sizes {
		results = append(results, measure(ctx, routes, sample(size), *rounds, *each)...)
	}
	results = append(results, measure(ctx, imports, &message.Message{}, *rounds, *each)...)
	if *format == "json" {
		return json.NewEncoder(out).Encode(results)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "payload B\troute\tallocs\tns/call\tx floor\tns over\tCPU ns/call\tx floor\t")
	for _, r := range results {
		fmt.Fprintf(w, "%d\t%s\t%d\t%.0f\t%.2f\t%.0f\t%.0f\t%.2f\t\n", r.Payload, r.Route, r.Allocs, r.Nanos, r.Ratio, r.Over, r.CPU, r.RatioCPU)
	}
	return w.Flush()
}

// open prepares every route over the same guest; the floor comes first.
func open(ctx context.Context, engineNames []string, core []byte) ([]route, error) {
	f, err := newFloor(ctx, core)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	instrumented, err := instrument(core)
	if err != nil {
		return nil, err
	}
	g, err := newFloor(ctx, instrumented)
	if err != nil {
		return nil, fmt.Errorf("floor: instrumented guest: %w", err)
	}
	wasm, err := bench.Component(core)
	if err != nil {
		return nil, err
	}
	routes := []route{
		{name: "floor", call: func(ctx context.Context, m *message.Message) error { _, err := f.call(ctx, m); return err }},
		{name: "floor, instrumented guest", call: func(ctx context.Context, m *message.Message) error { _, err := g.call(ctx, m); return err }},
		{name: "empty core call", call: func(ctx context.Context, _ *message.Message) error { return f.callEmpty(ctx) }},
	}
	for _, name := range engineNames {
		more, err := openOn(ctx, name, wasm)
		if err != nil {
			return nil, err
		}
		routes = append(routes, more...)
	}
	return routes, nil
}

// openOn prepares the routes through a component on a core engine.
func openOn(ctx context.Context, engineName string, wasm []byte) ([]route, error) {
	module, err := bench.Load(ctx, engineName, "map", wasm)
	if err != nil {
		return nil, err
	}
	typed, err := module.Opener(operator.Config{Operation: "bench", Kind: operator.Map},
		processor.Environment{BufferBorder: 1 << 30}).Open(ctx)
	if err != nil {
		return nil, err
	}
	instance, err := module.Component().Instantiate(ctx, component.InstanceConfig{})
	if err != nil {
		return nil, err
	}
	var arena value.Arena
	process := instance.Func("wasm-graph:processor/map@1.1.0", "process")
	return []route{
		{name: "typed, " + engineName, call: func(ctx context.Context, m *message.Message) error { _, err := typed.Map(ctx, m); return err }},
		{name: "generic, " + engineName, call: func(ctx context.Context, m *message.Message) error {
			arena.Reset()
			_, err := process.CallIn(ctx, &arena, dynamic(&arena, m))
			return err
		}},
		{name: "generic, results kept, " + engineName, call: func(ctx context.Context, m *message.Message) error {
			arena.Reset()
			_, err := process.Call(ctx, dynamic(&arena, m))
			return err
		}},
	}, nil
}

// dynamic is m as a data-model value in a.
func dynamic(a *value.Arena, m *message.Message) value.Value {
	text := func(s string) value.Value { return a.Variant(1, value.String(s)) }
	props := a.Values(len(m.Properties))
	for i, p := range m.Properties {
		props[i] = a.Tuple(text(p.Key), text(p.Value))
	}
	return a.Variant(1, a.Record(
		a.Record(a.Record(value.U64(uint64(m.Time.Millis/1000)), value.U32(uint32(m.Time.Millis%1000)*1e6)),
			value.U64(m.Time.Counter), text(m.Time.Node)),
		a.Variant(1, value.Bytes([]byte(m.Topic))), a.Some(text(m.ContentType)), a.Variant(1, value.Bytes(m.Payload)),
		a.Record(value.List(props)), value.None()))
}

// sample is a message as machines send them.
func sample(size int) *message.Message {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte('a' + i%26)
	}
	return &message.Message{
		Time:        hlc.Timestamp{Millis: 1_700_000_000_005, Counter: 7, Node: "node-01"},
		Topic:       "factory/line1/sensor/temperature",
		ContentType: "application/json",
		Payload:     payload,
		Properties: []message.Property{
			{Key: "traceparent", Value: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"},
			{Key: "source", Value: "line1"},
		},
	}
}

// measure runs rounds of all routes in turn, the first of which is the floor.
func measure(ctx context.Context, routes []route, m *message.Message, rounds int, each time.Duration) []result {
	nanos, cpu := make([][]float64, len(routes)), make([][]float64, len(routes))
	results := make([]result, len(routes))
	for i, r := range routes {
		results[i] = result{Route: r.name, Payload: len(m.Payload), Allocs: int64(testing.AllocsPerRun(100, func() { r.must(ctx, m) }))}
	}
	for range rounds {
		for i, r := range routes {
			wall, used := r.once(ctx, m, each)
			nanos[i], cpu[i] = append(nanos[i], wall), append(cpu[i], used)
		}
	}
	// over applies f to what a route took in each round and what the floor took.
	over := func(took [][]float64, i int, f func(route, floor float64) float64) float64 {
		each := make([]float64, rounds)
		for n := range rounds {
			each[n] = f(took[i][n], took[0][n])
		}
		return bench.Median(each)
	}
	ratio := func(route, floor float64) float64 { return route / max(floor, 1) }
	for i := range routes {
		r := &results[i]
		r.Nanos, r.CPU = bench.Median(nanos[i]), bench.Median(cpu[i])
		r.Ratio, r.RatioCPU = over(nanos, i, ratio), over(cpu, i, ratio)
		r.Over = over(nanos, i, func(route, floor float64) float64 { return route - floor })
	}
	return results
}

func (r route) must(ctx context.Context, m *message.Message) {
	if err := r.call(ctx, m); err != nil {
		panic(fmt.Sprintf("%s: %v", r.name, err))
	}
}

// once calls r for about a time and returns the mean cost of a call, in nanoseconds of
// time and of processor time.
func (r route) once(ctx context.Context, m *message.Message, each time.Duration) (wall, cpu float64) {
	per := max(r.per, 1)
	n := 0
	start, used := time.Now(), bench.CPU()
	for time.Since(start) < each {
		for range max(100/per, 1) {
			r.must(ctx, m)
			n += per
		}
	}
	return float64(time.Since(start)) / float64(n), float64(bench.CPU()-used) / float64(n)
}
