// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
)

var update = flag.Bool("update", false, "rewrite the expected problems in testdata")

// TestFaults parses each document in testdata/faults.txtar. The archive alternates
// documents and the problems expected of them, "<case>.yaml" and "<case>.want".
func TestFaults(t *testing.T) {
	const file = "testdata/faults.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		doc, want := archive.Files[i], &archive.Files[i+1]
		name, _, _ := strings.Cut(doc.Name, ".")
		if want.Name != name+".want" {
			t.Fatalf("%s: %s is followed by %s", file, doc.Name, want.Name)
		}
		t.Run(name, func(t *testing.T) {
			_, problems := graph.Parse("g.yaml", doc.Data)
			var got strings.Builder
			for _, p := range problems {
				got.WriteString(p.Error() + "\n")
			}
			if *update {
				want.Data = []byte(got.String())
				return
			}
			if diff := cmp.Diff(string(want.Data), got.String()); diff != "" {
				t.Errorf("problems of\n%s(-want +got):\n%s", doc.Data, diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const complete = `metadata:
  $schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json"
  name: "A graph"
  version: "1.0.0"
  description: "of everything"
  vendor: null
moduleRequirements:
  apiVersion: "1.1.0"
  runtimeVersion: "1.1.0"
  features:
    - name: wasi-nn
      value:
moduleConfigurations:
  - name: split
    parameters:
      topic:
        name: the_topic
        description: where it goes
        default: a/b
      limit:
        name: limit
        required: true
        unit: kelvin
schemas:
  - name: reading
    format: JsonSchema/draft-07
    schema: '{"type":"object"}'
operations:
  - operationType: source
    name: source
  - operationType: branch
    name: split
    module: splitter:1.0.0
  - operationType: map
    name: change
    module: acme/changer:2.0.0
  - operationType: concatenate
    name: join
    module:
  - operationType: sink
    name: sink
connections:
  - from: {name: source, schemaName: reading}
    to: {name: split}
  - from: {name: split, arm: "True"}
    to: {name: change}
  - from: {name: split, arm: "False"}
    to: {name: join}
  - from: {name: change}
    to: {name: join}
  - from: {name: join}
    to: {name: sink}
`

func TestParse(t *testing.T) {
	got, problems := graph.Parse("g.yaml", []byte(complete))
	if len(problems) != 0 {
		t.Fatalf("problems: %v", problems)
	}
	topic := "a/b"
	want := &graph.Definition{
		File:         "g.yaml",
		Metadata:     graph.Metadata{Schema: graph.SchemaURL, Name: "A graph", Version: "1.0.0", Description: "of everything"},
		Requirements: graph.Requirements{APIVersion: "1.1.0", RuntimeVersion: "1.1.0", Features: []graph.Feature{{Name: "wasi-nn"}}},
		Configurations: []graph.Configuration{{
			Name: "split",
			Parameters: []graph.Parameter{
				{Key: "topic", Name: "the_topic", Description: "where it goes", Default: &topic, Pos: document.Position{Line: 16, Column: 7}},
				{Key: "limit", Name: "limit", Required: true, Pos: document.Position{Line: 20, Column: 7}},
			},
			Pos: document.Position{Line: 14, Column: 11},
		}},
		Operations: []graph.Operation{
			{Name: "source", Kind: graph.Source, Pos: document.Position{Line: 30, Column: 11}},
			{Name: "split", Kind: graph.Branch, Module: "splitter:1.0.0", Pos: document.Position{Line: 32, Column: 11}, ModulePos: document.Position{Line: 33, Column: 13}},
			{Name: "change", Kind: graph.Map, Module: "acme/changer:2.0.0", Pos: document.Position{Line: 35, Column: 11}, ModulePos: document.Position{Line: 36, Column: 13}},
			{Name: "join", Kind: graph.Concatenate, Pos: document.Position{Line: 38, Column: 11}},
			{Name: "sink", Kind: graph.Sink, Pos: document.Position{Line: 41, Column: 11}},
		},
		Connections: []graph.Connection{
			{From: "source", To: "split", Schema: "reading", FromPos: document.Position{Line: 43, Column: 18}, ToPos: document.Position{Line: 44, Column: 16}},
			{From: "split", To: "change", Arm: graph.True, FromPos: document.Position{Line: 45, Column: 18}, ToPos: document.Position{Line: 46, Column: 16}},
			{From: "split", To: "join", Arm: graph.False, FromPos: document.Position{Line: 47, Column: 18}, ToPos: document.Position{Line: 48, Column: 16}},
			{From: "change", To: "join", FromPos: document.Position{Line: 49, Column: 18}, ToPos: document.Position{Line: 50, Column: 16}},
			{From: "join", To: "sink", FromPos: document.Position{Line: 51, Column: 18}, ToPos: document.Position{Line: 52, Column: 16}},
		},
		Schemas: []graph.Schema{{Name: "reading", Format: "JsonSchema/draft-07", Content: `{"type":"object"}`, Pos: document.Position{Line: 25, Column: 11}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("definition (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"splitter:1.0.0", "acme/changer:2.0.0"}, got.Modules()); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
}

func TestParseJSON(t *testing.T) {
	const doc = `{"metadata": {"$schema": "s", "name": "n", "version": "v"},
		"moduleRequirements": {"apiVersion": "1.1.0", "runtimeVersion": "1.1.0"},
		"operations": [{"operationType": "source", "name": "in"}, {"operationType": "sink", "name": "out"}],
		"connections": [{"from": {"name": "in", "arm": null}, "to": {"name": "out"}}]}`
	d, problems := graph.Parse("g.json", []byte(doc))
	if len(problems) != 0 || len(d.Operations) != 2 || len(d.Connections) != 1 {
		t.Errorf("Parse = %+v, problems %v", d, problems)
	}
}

func TestCheckModules(t *testing.T) {
	d, problems := graph.Parse("g.yaml", []byte(complete))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		modules map[string][]graph.Kind // absent: not found
		want    []string
	}{
		{"as needed", map[string][]graph.Kind{"splitter:1.0.0": {graph.Branch}, "acme/changer:2.0.0": {graph.Filter, graph.Map}}, nil},
		{"other kinds", map[string][]graph.Kind{"splitter:1.0.0": {}, "acme/changer:2.0.0": {graph.Filter, graph.Delay}}, []string{
			`g.yaml:33:13: operation "split" is a branch, but its module "splitter:1.0.0" implements no operation at all; use another module or another operationType`,
			`g.yaml:36:13: operation "change" is a map, but its module "acme/changer:2.0.0" implements only filter, delay; use another module or another operationType`,
		}},
		{"not found", map[string][]graph.Kind{"splitter:1.0.0": {graph.Branch}}, []string{
			`g.yaml:36:13: module "acme/changer:2.0.0": no such module`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			problems := d.CheckModules(func(ref string) ([]graph.Kind, error) {
				kinds, ok := tt.modules[ref]
				if !ok {
					return nil, errors.New("no such module")
				}
				return kinds, nil
			})
			var got []string
			for _, p := range problems {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLimits feeds documents that are meant to exhaust the reader.
func TestLimits(t *testing.T) {
	bomb := "metadata: &m {" + strings.Repeat("a: b, ", 1) + "}\n" +
		"moduleConfigurations:\n- &c {name: x, parameters: {" + manyKeys(2000) + "}}\n" + strings.Repeat("- *c\n", 2000)
	for _, tt := range []struct{ name, doc, want string }{
		{"too long", strings.Repeat("#", graph.MaxSize+1), "bytes, more than"},
		{"aliases", bomb, "problems"},
		{"an anchor in itself", "metadata: &a [*a]\n", "metadata"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := graph.Parse("g.yaml", []byte(tt.doc))
			if problems.Err() == nil || len(problems) > 100 {
				t.Errorf("%d problems, want 1 to 100: %v", len(problems), problems.Err())
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + ": {name: n}, ")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(complete))
	archive, err := txtar.ParseFile("testdata/faults.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		if filepath.Ext(file.Name) == ".yaml" {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, problems := graph.Parse("f", data)
		if problems.Err() != nil {
			return
		}
		if d == nil {
			t.Fatal("neither a definition nor an error")
		}
		for _, c := range d.Connections {
			if _, ok := d.Operation(c.From); !ok {
				t.Errorf("accepted a connection from %q, which does not exist", c.From)
			}
			if _, ok := d.Operation(c.To); !ok {
				t.Errorf("accepted a connection to %q, which does not exist", c.To)
			}
		}
	})
}
