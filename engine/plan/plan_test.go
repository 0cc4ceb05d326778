// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
)

var update = flag.Bool("update", false, "rewrite the expected plans in testdata")

// TestNew plans each definition in testdata/plans.txtar. The archive alternates
// definitions and expected plans, "<case>.yaml" and "<case>.plan". A line of a
// definition that begins with "#set " or "#option " gives a setting or an option.
func TestNew(t *testing.T) {
	const file = "testdata/plans.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		doc, want := archive.Files[i], &archive.Files[i+1]
		name, _, _ := strings.Cut(doc.Name, ".")
		if want.Name != name+".plan" {
			t.Fatalf("%s: %s is followed by %s", file, doc.Name, want.Name)
		}
		t.Run(name, func(t *testing.T) {
			got := describe(t, string(doc.Data))
			if *update {
				want.Data = []byte(got)
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func describe(t *testing.T, doc string) string {
	t.Helper()
	d, problems := graph.Parse("g.yaml", []byte(doc))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	var settings []plan.Setting
	var options plan.Options
	for line := range strings.Lines(doc) {
		if rest, ok := strings.CutPrefix(line, "#set "); ok {
			key, value, _ := strings.Cut(strings.TrimSpace(rest), "=")
			settings = append(settings, plan.Setting{Key: key, Value: value})
		}
		if rest, ok := strings.CutPrefix(line, "#option "); ok {
			key, value, _ := strings.Cut(strings.TrimSpace(rest), "=")
			if err := options.Set(key, value); err != nil {
				return "error: " + err.Error() + "\n"
			}
		}
	}
	p, err := plan.New(d, settings, options)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "graph %q sources %v sinks %v timed %v unused %v\n", p.Graph, p.Sources, p.Sinks, p.Timed, p.Unused)
	for i, n := range p.Nodes {
		fmt.Fprintf(&b, "%d %s %s %s weight %d -> %v", i, n.Kind, n.Operation, n.Module, n.Weight, n.Outputs[0])
		if n.Outputs[1] != nil {
			fmt.Fprintf(&b, " / %v", n.Outputs[1])
		}
		b.WriteByte('\n')
		if n.Module == "" {
			continue
		}
		fmt.Fprintf(&b, "  limits %v %d\n", n.Limits.Deadline, n.Limits.Memory)
		if n.Parallelism > 1 {
			fmt.Fprintf(&b, "  instances %d\n", n.Parallelism)
		}
		for _, p := range n.Config.Properties {
			fmt.Fprintf(&b, "  %s=%s\n", p.Key, p.Value)
		}
		for _, s := range n.Config.Schemas {
			fmt.Fprintf(&b, "  schema %s %s %s\n", s.Name, s.ContentType, s.Content)
		}
		if n.Config.Graph != p.Graph || n.Config.Operation != n.Operation || n.Config.Kind != n.Kind {
			t.Errorf("node %d is told that it is %+v", i, n.Config)
		}
	}
	return b.String()
}

// TestWeight plans chains of fan-outs that meet again.
func TestWeight(t *testing.T) {
	chain := func(n int) *graph.Definition {
		d := &graph.Definition{File: "g.yaml", Operations: []graph.Operation{{Name: "source", Kind: graph.Source}, {Name: "sink", Kind: graph.Sink}}}
		add := func(from, name string) string {
			d.Operations = append(d.Operations, graph.Operation{Name: name, Kind: graph.Concatenate})
			d.Connections = append(d.Connections, graph.Connection{From: from, To: name})
			return name
		}
		at := "source"
		for i := range n {
			left, right := add(at, fmt.Sprint("l", i)), add(at, fmt.Sprint("r", i))
			at = add(left, fmt.Sprint("j", i))
			d.Connections = append(d.Connections, graph.Connection{From: right, To: at})
		}
		d.Connections = append(d.Connections, graph.Connection{From: at, To: "sink"})
		return d
	}
	p, err := plan.New(chain(13), nil, plan.Options{})
	if err != nil || p.Nodes[p.Sinks[0]].Weight != 1<<13 {
		t.Errorf("13 fan-outs: weight %d, %v; want %d", p.Nodes[p.Sinks[0]].Weight, err, 1<<13)
	}
	if _, err := plan.New(chain(300), nil, plan.Options{}); err == nil || !strings.Contains(err.Error(), `becomes more than 10000 at operation "j13"`) {
		t.Errorf("300 fan-outs: %v", err)
	}
}

func TestOptions(t *testing.T) {
	second := time.Second
	for _, tt := range []struct {
		name, value string
		want        plan.Options
		wantErr     string
	}{
		{name: "lateness", value: "1s", want: plan.Options{Lateness: &second}},
		{name: "lateness", value: "-1s", wantErr: "want a duration"},
		{name: "late-policy", value: "drop", want: plan.Options{LatePolicy: plan.DropLate}},
		{name: "late-policy", value: "keep", wantErr: "want admit or drop"},
		{name: "max-delay", value: "90m", want: plan.Options{MaxDelay: 90 * time.Minute}},
		{name: "max-delay", value: "0s", wantErr: "want a duration"},
		{name: "max-stall", value: "off", want: plan.Options{}},
		{name: "max-stall", value: "10s", want: plan.Options{MaxStall: 10 * time.Second}},
		{name: "drift-policy", value: "drop", want: plan.Options{DriftPolicy: plan.DropDrift}},
		{name: "dead-letter", value: "default/dead/letters", want: plan.Options{DeadLetter: "default/dead/letters"}},
		{name: "dead-letter", value: "letters", wantErr: "<endpoint>/<topic>"},
		{name: "deadline", value: "250ms", want: plan.Options{Deadline: 250 * time.Millisecond}},
		{name: "deadline", value: "soon", wantErr: "want a duration"},
		{name: "memory", value: "64Mi", want: plan.Options{Memory: 64 << 20}},
		{name: "memory", value: "65536", want: plan.Options{Memory: 65536}},
		{name: "memory", value: "2k", want: plan.Options{Memory: 2000}},
		{name: "memory", value: "much", wantErr: "want a number of bytes"},
		{name: "memory", value: "99999999999Gi", wantErr: "want a number of bytes"},
		{name: "durability", value: "none", want: plan.Options{Durability: plan.NoDurability}},
		{name: "durability", value: "disk", want: plan.Options{Durability: plan.DiskDurability}},
		{name: "durability", value: "tape", wantErr: "want disk or none"},
		{name: "on-swap", value: "fire", want: plan.Options{OnSwap: plan.Fire}},
		{name: "on-swap", value: "drop", wantErr: "want carry or fire"},
		{name: "follow-interval", value: "10s", want: plan.Options{Follow: 10 * time.Second}},
		{name: "follow-interval", value: "1ms", wantErr: "want a duration"},
		{name: "latenes", value: "1s", wantErr: `did you mean "lateness"?`},
		{name: "operation.a.b.memory", value: "1Gi", want: plan.Options{Operations: map[string]plan.OperationOptions{"a.b": {Memory: 1 << 30}}}},
		{name: "operation.a.deadline", value: "2s", want: plan.Options{Operations: map[string]plan.OperationOptions{"a": {Deadline: 2 * second}}}},
		{name: "operation.a.parallelism", value: "64", want: plan.Options{Operations: map[string]plan.OperationOptions{"a": {Parallelism: 64}}}},
		{name: "operation.a.parallelism", value: "0", wantErr: "want a number from 1 to 64"},
		{name: "operation.a.parallelism", value: "many", wantErr: "want a number from 1 to 64"},
		{name: "operation.a.allow", value: "dir:/srv/in, dir-write:/srv/out=/out,env:HOME,env:MODE=a=b", want: plan.Options{Operations: map[string]plan.OperationOptions{"a": {Allow: operator.Grant{
			Directories: []operator.Directory{{Path: "/srv/in", Name: "/srv/in"}, {Path: "/srv/out", Name: "/out", Write: true}},
			Variables:   []operator.Variable{{Name: "HOME", Inherit: true}, {Name: "MODE", Value: "a=b"}},
		}}}}},
		{name: "operation.a.allow", value: "everything", wantErr: "want dir:PATH"},
		{name: "operation.a.allow", value: "", wantErr: "want dir:PATH"},
		{name: "operation.a.allow", value: "dir:data", wantErr: `directory "data": want an absolute path`},
		{name: "operation.a.allow", value: "dir:/data=", wantErr: `directory "/data": want a name`},
		{name: "operation.a.allow", value: "dir:/a=/x,dir-write:/b=/x", wantErr: `two directories are called "/x"`},
		{name: "operation.a.allow", value: "env:", wantErr: "variable without a name"},
		{name: "operation.a.allow", value: "env:A,env:A=1", wantErr: `two variables are called "A"`},
		{name: "operation.a.memry", value: "2", wantErr: `did you mean "memory"?`},
		{name: "operation.memory", value: "2", wantErr: "want operation.<name>.<option>"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			var got plan.Options
			err := got.Set(tt.name, tt.value)
			switch {
			case tt.wantErr == "" && err != nil, tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Fatalf("error %v, want %q", err, tt.wantErr)
			case err == nil:
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("options (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDeclared(t *testing.T) {
	d := &graph.Definition{Configurations: []graph.Configuration{
		{Name: "a", Parameters: []graph.Parameter{{Key: "x"}, {Key: "y"}}},
		{Name: "b", Parameters: []graph.Parameter{{Key: "y"}, {Key: "z"}}},
	}}
	if diff := cmp.Diff([]string{"x", "y", "z"}, plan.Declared(d)); diff != "" {
		t.Errorf("Declared (-want +got):\n%s", diff)
	}
}
