// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/plan"
)

// definition reads the definition of operations, "KIND NAME", and connections,
// "FROM > TO"; a map declares the parameters a and b.
func definition(t *testing.T, file string, lines ...string) *graph.Definition {
	t.Helper()
	doc := `metadata: {$schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json", name: x, version: "1.0.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
`
	operations, configurations, connections := "operations:\n", "moduleConfigurations: []\n", "connections:\n"
	for _, line := range lines {
		if from, to, ok := strings.Cut(line, " > "); ok {
			connections += fmt.Sprintf("- {from: {name: %s}, to: {name: %s}}\n", from, to)
			continue
		}
		kind, name, _ := strings.Cut(line, " ")
		module := ""
		if graph.Kind(kind).HasModule() {
			module = ", module: 'm:1'"
			configurations = strings.TrimSuffix(configurations, " []\n") + "\n"
			configurations += fmt.Sprintf("- {name: %s, parameters: {a: {name: a, default: d}, b: {name: b}}}\n", name)
		}
		operations += fmt.Sprintf("- {operationType: %s, name: %s%s}\n", kind, name, module)
	}
	if !strings.HasSuffix(configurations, "]\n") {
		doc += configurations
	}
	d, problems := graph.Parse(file, []byte(doc+operations+connections))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return d
}

// links makes links of "FROM > TO", the n-th at line n.
func links(texts ...string) []plan.Link {
	port := func(text string, line, column int) plan.Port {
		name, operation, _ := strings.Cut(text, ".")
		return plan.Port{Name: name, Operation: operation, Place: document.Position{Line: line, Column: column}}
	}
	var all []plan.Link
	for i, text := range texts {
		from, to, _ := strings.Cut(text, " > ")
		all = append(all, plan.Link{From: port(from, i+1, 1), To: port(to, i+1, 20)})
	}
	return all
}

func composition(t *testing.T) plan.Composition {
	simple := definition(t, "simple.yaml", "source source", "map convert", "sink sink", "source > convert", "convert > sink")
	split := definition(t, "split.yaml", "source left", "source right", "filter convert", "sink good", "sink all",
		"left > convert", "convert > good", "left > all", "right > all")
	return plan.Composition{
		Graph: "whole", File: "r.yaml",
		Sources: []string{"s1", "s2"},
		Parts: []plan.Part{
			{Name: "second", Definition: simple, Settings: []plan.Setting{{Key: "a", Value: "1"}, {Key: "c", Value: "9"}}, Place: document.Position{Line: 50, Column: 1}},
			{Name: "first", Definition: split, Settings: []plan.Setting{{Key: "b", Value: "2"}}, Place: document.Position{Line: 51, Column: 1}},
		},
		Sinks: []string{"d1", "d2"},
		Links: links("s1 > first.left", "s1 > first.right", "s2 > first.right", "first.good > second", "second > d1", "first.all > d1", "first.all > d2", "s2 > d2"),
	}
}

func TestCompose(t *testing.T) {
	c := composition(t)
	var options plan.Options
	for name, value := range map[string]string{"operation.second.convert.deadline": "2s", "operation.first.convert.memory": "1Mi"} {
		if err := options.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	p, err := plan.Compose(c, options)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	fmt.Fprintf(&got, "%s sources %v sinks %v unused %v\n", p.Graph, p.Sources, p.Sinks, p.Unused)
	for i, n := range p.Nodes {
		fmt.Fprintf(&got, "%d %s %s part %d weight %d -> %v", i, n.Kind, n.Operation, n.Part, n.Weight, n.Outputs[0])
		if n.Module != "" {
			fmt.Fprintf(&got, " %v %v %d as %s/%s", n.Config.Properties, n.Limits.Deadline, n.Limits.Memory, n.Config.Graph, n.Config.Operation)
		}
		got.WriteString("\n")
	}
	const want = `whole sources [0 1] sinks [10 11] unused [c]
0 source s1 part 0 weight 1 -> [2 3]
1 source s2 part 0 weight 1 -> [3 11]
2 concatenate first/left part 1 weight 1 -> [4 9]
3 concatenate first/right part 1 weight 2 -> [9]
4 filter first/convert part 1 weight 1 -> [5] [{a d} {b 2}] 1s 1048576 as whole/first/convert
5 concatenate first/good part 1 weight 1 -> [6]
6 concatenate second/source part 0 weight 1 -> [7]
7 map second/convert part 0 weight 1 -> [8] [{a 1}] 2s 268435456 as whole/second/convert
8 concatenate second/sink part 0 weight 1 -> [10]
9 concatenate first/all part 1 weight 3 -> [10 11]
10 sink d1 part 0 weight 4 -> []
11 sink d2 part 0 weight 4 -> []
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestComposeOneGraph: the operations of a definition that is alone may be named as
// it names them.
func TestComposeOneGraph(t *testing.T) {
	var options plan.Options
	if err := options.Set("operation.convert.deadline", "2s"); err != nil {
		t.Fatal(err)
	}
	c := composition(t)
	if _, err := plan.Compose(c, options); err == nil || !strings.Contains(err.Error(), "operation.convert: it may mean several operations") {
		t.Errorf("several: %v", err)
	}
	c.Parts, c.Sources, c.Sinks = c.Parts[:1], []string{"s1"}, []string{"d1"}
	c.Links = links("s1 > second", "second > d1")
	p, err := plan.Compose(c, options)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Nodes[2]; n.Operation != "second/convert" || n.Limits.Deadline.Seconds() != 2 {
		t.Errorf("node is %s with a deadline of %v", n.Operation, n.Limits.Deadline)
	}
}

func TestComposeFaults(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string // a link replaced, or removed
		want           []string
	}{
		{"unknown node", "second > d1", "secnd > d1", []string{`r.yaml:5:1: there is no node "secnd"`}},
		{"unknown source", "s1 > first.left", "s1 > first.lefft", []string{`r.yaml:1:20: the graph "first" has no source "lefft"; did you mean left?`}},
		{"unknown sink", "first.good > second", "first.god > second", []string{`r.yaml:4:1: the graph "first" has no sink "god"; did you mean good?`}},
		{"sink as a source", "s1 > first.left", "s1 > first.good", []string{`r.yaml:1:20: the operation "good" of the graph "first" is a sink, and here stands a source; write one of left, right`}},
		{"which source", "s1 > first.left", "s1 > first", []string{`r.yaml:1:20: the graph "first" has 2 operations of type source; write one of first.left, first.right`}},
		{"which sink", "first.good > second", "first > second", []string{`r.yaml:4:1: the graph "first" has 2 operations of type sink; write one of first.good, first.all`}},
		{"the same twice", "second > d1", "s1 > first.left", []string{`r.yaml:5:1: the connection from s1 to first/left is already made at line 1; remove one`}},
		{"implied and written", "second > d1", "first.good > second.source", []string{`r.yaml:5:1: the connection from first/good to second/source is already made at line 4`}},
		{"source not connected", "s1 > first.left", "", []string{`r.yaml:51:1: the source "left" of the graph "first" is not connected; add a connection with to: {name: first.left}`}},
		{"sink not connected", "second > d1", "", []string{`r.yaml:50:1: the sink "sink" of the graph "second" is not connected; add a connection with from: {name: second.sink}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := composition(t)
			var texts []string
			for _, l := range c.Links {
				text := portText(l.From) + " > " + portText(l.To)
				if text == tt.old {
					text = tt.new
				}
				if text != "" {
					texts = append(texts, text)
				}
			}
			c.Links = links(texts...)
			_, err := plan.Compose(c, plan.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want %s", err, want)
				}
			}
		})
	}
}

func portText(p plan.Port) string {
	if p.Operation == "" {
		return p.Name
	}
	return p.Name + "." + p.Operation
}

// TestComposeWithoutGraph: a source may lead to a sink by itself.
func TestComposeWithoutGraph(t *testing.T) {
	p, err := plan.Compose(plan.Composition{Graph: "bridge", Sources: []string{"s"}, Sinks: []string{"d"}, Links: links("s > d")}, plan.Options{})
	if err != nil || len(p.Nodes) != 2 || p.Nodes[0].Outputs[0][0] != 1 {
		t.Errorf("Compose = %+v, %v", p, err)
	}
}
