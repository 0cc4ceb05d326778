// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command mqtt measures the MQTT path as users have it: graphd, the program, with a
// component in a graph between two topics of a real broker, beside the baseline (see
// echo), which has no operator, acknowledges at once, and runs as a process of its
// own, too. The generator (mqttload), the broker and the program share the machine.
//
// All programs are started at once and measured in turns, a round of each, so that
// what else the machine does falls on all of them; ratios are medians over the rounds,
// each with its own baseline. Every round checks that all messages come out, once and
// in order. Processor time and memory are the program's own, from /proc.
//
// Last it starts a graphd with a thousand dataflows, and measures how long that takes and
// what it costs when nothing happens.
//
//	go run ./conformance/bench/mqtt [-rounds 5] [-n 40000] [-seconds 2] [-qos 0,1] [-flows 1000] [-o json]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/conformance/bench/mqttload"
	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/graphs"
	"github.com/wasm-graph/graphd/operators/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mqtt:", err)
		os.Exit(1)
	}
}

// payload is what is sent, 95 bytes, with 33 more in a user property.
const payload = `{"temperature":{"value":100.0,"unit":"F","sensor":"boiler-room-north-wall-left-of-the-door-t"}}`

// window is how many messages are on their way in a flood.
const window = 1000

// paces are the rates at which latency is measured, in messages a second.
var paces = []int{1000, 5000}

// settings are what the flags say.
type settings struct {
	rounds, count, seconds int
	only                   string
	graphd, operators      string
	rust                   string
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("mqtt", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "interleaved rounds")
	flags.IntVar(&s.count, "n", 40_000, "messages of a flood")
	flags.IntVar(&s.seconds, "seconds", 2, "duration of a round at a rate; 0: leave them out")
	flags.StringVar(&s.only, "only", "", "which guests: a part of their names; empty: all")
	flags.StringVar(&s.graphd, "graphd", "", "graphd to measure; empty: build it")
	flags.StringVar(&s.operators, "operators", "operators", "folder of the Go operators")
	flags.StringVar(&s.rust, "rust", "build/guests/rust/shout.component.wasm", "guest in Rust, measured if it is there (make -C conformance/guests rust)")
	levels := flags.String("qos", "0,1", "qualities of service; empty: only the dataflows")
	flows := flags.Int("flows", 1000, "dataflows in one process; 0: leave them out")
	format := flags.String("o", "text", "output: text or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-mqtt-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.graphd, err = goBuild(ctx, dir, s.graphd, "./cmd/graphd"); err != nil {
		return err
	}
	echo, err := goBuild(ctx, dir, "", "./conformance/bench/mqtt/echo")
	if err != nil {
		return err
	}
	folders, err := s.artifacts(ctx, dir)
	if err != nil {
		return err
	}
	var report report
	for level := range strings.SplitSeq(*levels, ",") {
		if level == "" {
			continue
		}
		if level != "0" && level != "1" {
			return fmt.Errorf("no quality of service %q; write 0 or 1", level)
		}
		r, err := s.measure(ctx, filepath.Join(dir, "qos"+level), echo, folders, level[0]-'0')
		if err != nil {
			return fmt.Errorf("QoS %s: %w", level, err)
		}
		report.Path = append(report.Path, r...)
	}
	if *flows > 0 {
		m, err := s.measureFlows(ctx, filepath.Join(dir, "flows"), *flows)
		if err != nil {
			return fmt.Errorf("%d dataflows: %w", *flows, err)
		}
		report.Flows = &m
	}
	if *format == "json" {
		return json.NewEncoder(out).Encode(report)
	}
	return report.write(out)
}

// report is everything that was measured.
type report struct {
	Path  []result `json:"path"`
	Flows *many    `json:"flows,omitempty"`
}

// goBuild builds a command into dir as make build does, unless it is there as path.
func goBuild(ctx context.Context, dir, path, command string) (string, error) {
	if path != "" {
		return path, nil
	}
	path = filepath.Join(dir, filepath.Base(command))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, command)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", command, err, output)
	}
	return path, nil
}

// folder is where the artifacts of a graph are.
type folder struct {
	guest, path string
	slow        bool // the guest takes tens of microseconds
}

// artifacts makes a folder for each guest, with the component under the name that
// graph simple knows it by.
func (s *settings) artifacts(ctx context.Context, dir string) ([]folder, error) {
	definition, err := graphs.Files.ReadFile("simple.yaml")
	if err != nil {
		return nil, err
	}
	c, err := bench.Component(guests.Map())
	if err != nil {
		return nil, err
	}
	temperature, err := build.Operator(ctx, s.operators+"/temperature")
	if err != nil {
		return nil, err
	}
	rust, err := os.ReadFile(s.rust)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var folders []folder
	for i, g := range []struct {
		name string
		wasm []byte
		slow bool
	}{{"C, upper case", c, false}, {"Go, temperature", temperature.Bytes, true}, {"Rust, upper case", rust, false}} {
		if g.wasm == nil || !strings.Contains(g.name, s.only) {
			continue
		}
		f := folder{g.name, filepath.Join(dir, fmt.Sprint("artifacts", i)), g.slow}
		if err := errors.Join(os.Mkdir(f.path, 0o755),
			os.WriteFile(filepath.Join(f.path, "graph-simple.yaml"), definition, 0o644),
			os.WriteFile(filepath.Join(f.path, "temperature.wasm"), g.wasm, 0o644)); err != nil {
			return nil, err
		}
		folders = append(folders, f)
	}
	return folders, nil
}

// resources is a graph from one topic to another, with the defaults of everything but
// the quality of service.
const resources = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: RegistryEndpoint
metadata: {name: artifacts}
spec: {host: "file://ARTIFACTS", authentication: {method: Anonymous}}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker}
spec:
  endpointType: Mqtt
  mqttSettings: {host: "BROKER", qos: QOS, clientIdPrefix: NAME, authentication: {method: Anonymous}, tls: {mode: Disabled}}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {name: bench}
spec:
  profileRef: default
  nodes:
    - {name: in, nodeType: Source, sourceSettings: {endpointRef: broker, dataSources: [IN]}}
    - {name: simple, nodeType: Graph, graphSettings: {registryEndpointRef: artifacts, artifact: "graph-simple:1.0.0"}}
    - {name: out, nodeType: Destination, destinationSettings: {endpointRef: broker, dataDestination: OUT}}
  nodeConnections:
    - {from: {name: in}, to: {name: simple}}
    - {from: {name: simple}, to: {name: out}}
`

// contender is a program that moves messages from in to out.
type contender struct {
	*program
	name    string
	in, out string

	slow       bool      // a flood of it has a quarter of the messages
	idle, peak float64   // MB
	rates      []float64 // messages a second, by round
	cpus       []float64 // microseconds a message
	p50, p99   [][]float64
}

// measure starts all contenders and measures them in turns.
func (s *settings) measure(ctx context.Context, dir, echo string, folders []folder, qos byte) (_ []result, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	broker, addr, err := startBroker(ctx, dir)
	if broker != nil {
		defer func() { err = errors.Join(err, broker.stop()) }()
	}
	if err != nil {
		return nil, err
	}
	var all []*contender
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.stop())
		}
	}()
	add := func(name string, start func(c *contender) (*program, error)) error {
		topic := fmt.Sprint("bench/", len(all))
		c := &contender{name: name, in: topic + "/in", out: topic + "/out", p50: make([][]float64, len(paces)), p99: make([][]float64, len(paces))}
		c.program, err = start(c)
		if c.program != nil {
			all = append(all, c)
		}
		return err
	}
	err = add("baseline", func(c *contender) (*program, error) {
		return startEcho(ctx, dir, echo, addr, qos, c.in, c.out)
	})
	for i, f := range folders {
		if err != nil {
			return nil, err
		}
		name := fmt.Sprint("graphd", i)
		err = add("graphd with "+f.guest, func(c *contender) (*program, error) {
			text := strings.NewReplacer("ARTIFACTS", f.path, "BROKER", addr, "QOS", fmt.Sprint(qos), "NAME", name, "IN", c.in, "OUT", c.out).Replace(resources)
			c.slow = f.slow
			return startGraphd(ctx, dir, name, s.graphd, text)
		})
	}
	if err != nil {
		return nil, err
	}
	time.Sleep(3 * time.Second) // what is done at the start is done
	for _, c := range all {
		if c.idle, _, err = c.memory(); err != nil {
			return nil, err
		}
	}
	for range s.rounds {
		for _, c := range all {
			if err := c.flood(ctx, addr, qos, s.count); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	for i, rate := range paces {
		for round := 0; round < s.rounds && s.seconds > 0; round++ {
			for _, c := range all {
				if err := c.pace(ctx, addr, qos, i, rate, s.seconds); err != nil {
					return nil, fmt.Errorf("%s at %d/s: %w", c.name, rate, err)
				}
			}
		}
	}
	for _, c := range all {
		if _, c.peak, err = c.memory(); err != nil {
			return nil, err
		}
	}
	var results []result
	for _, c := range all {
		results = append(results, c.result(qos, all[0]))
	}
	return results, nil
}

// load sends messages through the contender.
func (c *contender) load(ctx context.Context, addr string, qos byte, count, window, rate int) (mqttload.Result, error) {
	result, err := mqttload.Run(ctx, mqttload.Config{
		Addr: addr, In: c.in, Out: c.out, QoS: qos, Count: count, Window: window, Rate: rate,
		Payload: []byte(payload), Patience: 10 * time.Second,
	})
	if err == nil && (result.Received != count || result.Disordered > 0 || result.Duplicates > 0) {
		err = fmt.Errorf("%d of %d messages came out, %d of them twice and %d out of order", result.Received, count, result.Duplicates, result.Disordered)
	}
	return result, err
}

// flood sends as fast as the window allows.
func (c *contender) flood(ctx context.Context, addr string, qos byte, count int) error {
	if c.slow {
		count /= 4
	}
	before, err := c.cpu()
	if err != nil {
		return err
	}
	result, err := c.load(ctx, addr, qos, count, window, 0)
	if err != nil {
		return err
	}
	after, err := c.cpu()
	c.rates = append(c.rates, result.PerSecond())
	c.cpus = append(c.cpus, float64((after-before).Microseconds())/float64(count))
	return err
}

// pace sends at a rate.
func (c *contender) pace(ctx context.Context, addr string, qos byte, i, rate, seconds int) error {
	result, err := c.load(ctx, addr, qos, rate*seconds, 60_000, rate)
	c.p50[i] = append(c.p50[i], result.P50.Seconds()*1000)
	c.p99[i] = append(c.p99[i], result.P99.Seconds()*1000)
	return err
}

// result is what was measured of one contender: medians, and how they compare with
// the baseline's.
type result struct {
	Name       string    `json:"name"`
	QoS        byte      `json:"qos"`
	Rate       float64   `json:"messagesPerSecond"`
	RateRatio  float64   `json:"timesBaseline"`
	CPU        float64   `json:"cpuMicroseconds"` // a message
	CPUOver    float64   `json:"cpuOverBaseline"` // microseconds
	Latencies  []latency `json:"latencies,omitempty"`
	IdleMemory float64   `json:"idleMB"`
	PeakMemory float64   `json:"peakMB"`
}

// latency is how long messages took, in milliseconds.
type latency struct {
	Rate     int     `json:"messagesPerSecond"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	P99Ratio float64 `json:"p99TimesBaseline"`
}

func (c *contender) result(qos byte, baseline *contender) result {
	r := result{
		Name: c.name, QoS: qos, Rate: bench.Median(c.rates), CPU: bench.Median(c.cpus),
		IdleMemory: c.idle, PeakMemory: c.peak,
	}
	r.RateRatio = compare(c.rates, baseline.rates, func(a, b float64) float64 { return a / b })
	r.CPUOver = compare(c.cpus, baseline.cpus, func(a, b float64) float64 { return a - b })
	for i, rate := range paces {
		if len(c.p99[i]) > 0 {
			r.Latencies = append(r.Latencies, latency{
				Rate: rate, P50: bench.Median(c.p50[i]), P99: bench.Median(c.p99[i]),
				P99Ratio: compare(c.p99[i], baseline.p99[i], func(a, b float64) float64 { return a / b }),
			})
		}
	}
	return r
}

// compare is the median over the rounds of how a round's value compares with the
// baseline's of the same round.
func compare(values, baseline []float64, by func(a, b float64) float64) float64 {
	compared := make([]float64, len(values))
	for i := range values {
		compared[i] = by(values[i], baseline[i])
	}
	return bench.Median(compared)
}

func (r *report) write(out io.Writer) error {
	if len(r.Path) > 0 {
		if err := r.writePath(out); err != nil {
			return err
		}
	}
	if r.Flows == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "%d dataflows: connected in %.1f s; idle %.0f MB and %.1f %% of a processor; peak %.0f MB\n",
		r.Flows.Flows, r.Flows.Start, r.Flows.IdleMemory, r.Flows.IdleCPU, r.Flows.PeakMemory)
	return err
}

func (r *report) writePath(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "QoS\t\tmsg/s\tratio\tCPU us\tover\t")
	for _, rate := range paces {
		fmt.Fprintf(w, "p50 ms, %d/s\tp99\tratio\t", rate)
	}
	fmt.Fprintln(w, "MB idle\tpeak\t")
	for _, r := range r.Path {
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%.2f\t%.1f\t%+.1f\t", r.QoS, r.Name, r.Rate, r.RateRatio, r.CPU, r.CPUOver)
		for i := range paces {
			if i < len(r.Latencies) {
				l := r.Latencies[i]
				fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t", l.P50, l.P99, l.P99Ratio)
			} else {
				fmt.Fprint(w, "\t\t\t")
			}
		}
		fmt.Fprintf(w, "%.0f\t%.0f\t\n", r.IdleMemory, r.PeakMemory)
	}
	return w.Flush()
}
