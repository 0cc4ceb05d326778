// SPDX-License-Identifier: Apache-2.0

// Command call measures what one call of an operator costs, next to the floor: the
// same guest on bare wazero with a Canonical ABI written by hand and no safety at
// all. Rounds of all routes are interleaved, and medians are compared, so that a
// machine whose speed drifts does not decide.
//
//	go run ./conformance/bench/call [-core map.core.wasm] [-rounds 7] [-o json]
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
	Payload int     `json:"payloadBytes"`
	Nanos   float64 `json:"nsPerCall"`
	Allocs  int64   `json:"allocsPerCall"`
	Ratio   float64 `json:"timesFloor"`
}

// route is one way to make the call.
type route struct {
	name string
	call func(ctx context.Context, m *message.Message) error
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	core := flags.String("core", "", "core module of a map operator that imports nothing but the processor world (default: the C guest of the conformance suite)")
	engineNames := flags.String("engine", "wazero", fmt.Sprintf("core engines to measure, comma-separated, of %q", engines.Names()))
	rounds := flags.Int("rounds", 7, "interleaved rounds")
	each := flags.Duration("each", 200*time.Millisecond, "time of one measurement")
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
	routes, err := open(ctx, strings.Split(*engineNames, ","), wasm)
	if err != nil {
		return err
	}
	results := measure(ctx, routes, *rounds, *each)
	if *format == "json" {
		return json.NewEncoder(out).Encode(results)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "payload B\troute\tns/call\tallocs\tx floor\t")
	for _, r := range results {
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%d\t%.2f\t\n", r.Payload, r.Route, r.Nanos, r.Allocs, r.Ratio)
	}
	return w.Flush()
}

// open prepares every route over the same guest; the floor comes first.
func open(ctx context.Context, engineNames []string, core []byte) ([]route, error) {
	f, err := newFloor(ctx, core)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	wasm, err := bench.Component(core)
	if err != nil {
		return nil, err
	}
	routes := []route{
		{"floor", func(ctx context.Context, m *message.Message) error { _, err := f.call(ctx, m); return err }},
		{"empty core call", func(ctx context.Context, _ *message.Message) error { return f.callEmpty(ctx) }},
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
	process := instance.Func("wasm-graph:processor/map@1.1.0", "process")
	return []route{
		{"typed, " + engineName, func(ctx context.Context, m *message.Message) error { _, err := typed.Map(ctx, m); return err }},
		{"generic, " + engineName, func(ctx context.Context, m *message.Message) error {
			_, err := process.Call(ctx, dynamic(m))
			return err
		}},
	}, nil
}

// dynamic is m as a data-model value.
func dynamic(m *message.Message) value.Value {
	text := func(s string) value.Value {
		v := value.String(s)
		return value.Variant(1, &v)
	}
	data := func(b []byte) value.Value {
		v := value.Bytes(b)
		return value.Variant(1, &v)
	}
	props := make([]value.Value, len(m.Properties))
	for i, p := range m.Properties {
		props[i] = value.Tuple(text(p.Key), text(p.Value))
	}
	v := value.Record(
		value.Record(value.Record(value.U64(uint64(m.Time.Millis/1000)), value.U32(uint32(m.Time.Millis%1000)*1e6)),
			value.U64(m.Time.Counter), text(m.Time.Node)),
		data([]byte(m.Topic)), value.Some(text(m.ContentType)), data(m.Payload),
		value.Record(value.List(props)), value.None())
	return value.Variant(1, &v)
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

// measure runs rounds of all routes in turn and takes medians.
func measure(ctx context.Context, routes []route, rounds int, each time.Duration) []result {
	var results []result
	for _, size := range sizes {
		m := sample(size)
		nanos := make([][]float64, len(routes))
		allocs := make([]int64, len(routes))
		for range rounds {
			for i, r := range routes {
				n, a := once(ctx, r, m, each)
				nanos[i] = append(nanos[i], n)
				allocs[i] = a
			}
		}
		base := bench.Median(nanos[0])
		for i, r := range routes {
			n := bench.Median(nanos[i])
			results = append(results, result{r.name, size, n, allocs[i], n / base})
		}
	}
	return results
}

// once calls r for about a time and returns the mean cost of a call.
func once(ctx context.Context, r route, m *message.Message, each time.Duration) (nanos float64, allocs int64) {
	allocs = int64(testing.AllocsPerRun(100, func() {
		if err := r.call(ctx, m); err != nil {
			panic(err)
		}
	}))
	n := 0
	start := time.Now()
	for time.Since(start) < each {
		for range 100 {
			if err := r.call(ctx, m); err != nil {
				panic(err)
			}
		}
		n += 100
	}
	return float64(time.Since(start)) / float64(n), allocs
}
