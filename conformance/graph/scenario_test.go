// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// zero is the time that times of scenarios are counted from, in Unix milliseconds.
const zero = int64(1_700_000_000_000)

// scenario is a file of testdata: what it is about, and
//
//	graph.yaml  the definition; all modules are the probe
//	options     KEY=VALUE, a line each; optional
//	input       SOURCE TIME PAYLOAD, a line each: TIME is in milliseconds, "-" for no
//	            stamp, or a text that is the stamp; PAYLOAD{a..b} stands for many
//	want        what comes out: SINK TIME TOPIC PAYLOAD, and the properties; a sink called
//	            mixed gets results of windows and messages that nothing holds
//	counts      what was counted
type scenario struct {
	archive    *txtar.Archive
	definition *graph.Definition
	settings   []string
	input      []input
	want       string
	counts     string
}

// input is a message.
type input struct {
	source, stamp, payload string
}

// millis is the time of the stamp; ok is false where that can't be read.
func (in input) millis() (millis int64, ok bool) {
	if n, err := strconv.ParseInt(in.stamp, 10, 64); err == nil {
		return zero + n, true
	}
	text, _, _ := strings.Cut(in.stamp, ":")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0 && strings.Count(in.stamp, ":") == 2
}

// message is what the source delivers.
func (in input) message() *message.Message {
	m := &message.Message{Topic: "in/" + in.source, Payload: []byte(in.payload), ContentType: "text/plain"}
	m.Properties = []message.Property{{Key: "k", Value: "v"}}
	switch _, err := strconv.ParseInt(in.stamp, 10, 64); {
	case in.stamp == "-":
	case err == nil:
		millis, _ := in.millis()
		m.Properties = append(m.Properties, message.Property{Key: endpoint.StampProperty, Value: fmt.Sprintf("%d:0:x", millis)})
	default:
		m.Properties = append(m.Properties, message.Property{Key: endpoint.StampProperty, Value: in.stamp})
	}
	return m
}

func readScenario(t *testing.T, file string) *scenario {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{archive: archive}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "graph.yaml":
			d, problems := graph.Parse(file, f.Data)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			s.definition = d
		case "options":
			s.settings = strings.Fields(text)
		case "input":
			for line := range strings.Lines(text) {
				parts := strings.SplitN(strings.TrimSpace(line), " ", 3)
				if len(parts) != 3 {
					t.Fatalf("%s: input %q, want SOURCE TIME PAYLOAD", file, line)
				}
				s.input = append(s.input, expand(t, input{parts[0], parts[1], parts[2]})...)
			}
		case "want":
			s.want = text
		case "counts":
			s.counts = text
		default:
			t.Fatalf("%s: unknown section %s", file, f.Name)
		}
	}
	return s
}

// expand writes out a payload such as x{1..3}.
func expand(t *testing.T, in input) []input {
	t.Helper()
	before, rest, ok := strings.Cut(in.payload, "{")
	if !ok {
		return []input{in}
	}
	var from, to int
	if _, err := fmt.Sscanf(rest, "%d..%d}", &from, &to); err != nil {
		t.Fatalf("payload %q: %v", in.payload, err)
	}
	var all []input
	for n := from; n <= to; n++ {
		all = append(all, input{in.source, in.stamp, before + strconv.Itoa(n)})
	}
	return all
}

// plan plans the scenario for that many instances of each operation.
func (s *scenario) plan(t *testing.T, instances int) (*plan.Plan, plan.Options) {
	t.Helper()
	var options plan.Options
	set := func(key, value string) {
		if err := options.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, setting := range s.settings {
		key, value, _ := strings.Cut(setting, "=")
		set(key, value)
	}
	for _, op := range s.definition.Operations {
		switch op.Kind {
		case graph.Map, graph.Filter, graph.Branch:
			set("operation."+op.Name+".parallelism", strconv.Itoa(instances))
		}
	}
	p, err := plan.New(s.definition, nil, options)
	if err != nil {
		t.Fatal(err)
	}
	return p, options
}

// alone reports whether the scenario is about a single instance of each operation.
func (s *scenario) alone() bool {
	return slices.ContainsFunc(s.input, func(in input) bool { return strings.Contains(in.payload, "!stale:") })
}

// arrival is a message as a sink got it.
type arrival struct {
	sink string
	*message.Message
}

// outcome is what came of a scenario: what came out, sink by sink, and what was counted.
func outcome(p *plan.Plan, got []arrival, stats schedule.Stats) (want, counts string) {
	var sinks []string
	for _, i := range p.Sinks {
		sinks = append(sinks, p.Nodes[i].Operation)
	}
	var b strings.Builder
	for _, sink := range append(sinks, "dead") {
		for _, a := range got {
			if a.sink == sink {
				fmt.Fprintln(&b, spell(a))
			}
		}
	}
	want = b.String()
	b.Reset()
	fmt.Fprintf(&b, "received %d sent %d filtered %d dropped %d dead %d late %d malformed %d faults %d unsettled %d\n", stats.Received, stats.Sent,
		stats.Filtered, stats.Dropped, stats.DeadLetters, stats.Late, stats.Malformed, stats.Faults, stats.Unsettled)
	for _, o := range stats.Operations {
		fmt.Fprintf(&b, "%s in %d filtered %d refused %d lost %d faults %d held %d\n", o.Operation, o.In, o.Filtered, o.Refused, o.Lost, o.Faults, o.Held)
	}
	return want, b.String()
}

// spell writes what came out on a line. What a fault is called depends on the operator.
func spell(a arrival) string {
	var properties []string
	for _, p := range a.Properties {
		reason, _ := a.Property(schedule.ReasonProperty)
		switch {
		case p.Key == endpoint.StampProperty || p.Key == "k" && p.Value == "v":
			continue
		case p.Key == schedule.ErrorProperty && reason == "fault":
			p.Value = "..."
		}
		properties = append(properties, p.Key+"="+p.Value)
	}
	text := fmt.Sprintf("%s %d:%d:%s %s %s", a.sink, a.Time.Millis-zero, a.Time.Counter, a.Time.Node, a.Topic, a.Payload)
	if kept, _ := a.Property("k"); kept != "v" || a.ContentType != "text/plain" {
		text += " (new)" // made by the engine: a window's result
	}
	if len(properties) > 0 {
		text += " [" + strings.Join(properties, ", ") + "]"
	}
	return text
}

// update writes down what came out.
func (s *scenario) update(t *testing.T, file, want, counts string) {
	t.Helper()
	s.archive.Files = slices.DeleteFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == "want" || f.Name == "counts" })
	s.archive.Files = append(s.archive.Files, txtar.File{Name: "want", Data: []byte(want)}, txtar.File{Name: "counts", Data: []byte(counts)})
	data := txtar.Format(s.archive)
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
		return
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// scenarios lists the files of testdata.
func scenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	return files
}

// openers implement the operations of p with native or WebAssembly probes.
func openers(p *plan.Plan, wasm bool) []operator.Opener {
	list := make([]operator.Opener, len(p.Nodes))
	for i, n := range p.Nodes {
		switch {
		case n.Module == "":
		case wasm:
			list[i] = probe.open(n)
		default:
			list[i] = &twin{config: n.Config}
		}
	}
	return list
}
