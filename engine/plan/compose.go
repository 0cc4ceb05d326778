// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/operator"
)

// Composition is definitions, and the sources and sinks around them, that are to be
// run as one graph: a DataflowGraph resource, with its definitions at hand. Names of
// sources, parts and sinks are unique.
type Composition struct {
	Graph   string // the whole's name
	File    string // that the links' places are in
	Sources []string
	Parts   []Part
	Sinks   []string
	Links   []Link
}

// Part is a definition in a Composition.
type Part struct {
	Name       string
	Definition *graph.Definition // sound
	Settings   []Setting         // reach the operations of this definition only
	Place      document.Position // where the part is declared
}

// Link leads from a source, or from a sink of a part's definition, to a source of a
// part's definition, or to a sink.
type Link struct{ From, To Port }

// Port is an end of a Link.
type Port struct {
	Name string // of a source, part or sink
	// Operation is, of a part, the source or sink of its definition; empty means the
	// only one that it has.
	Operation string
	Place     document.Position
}

// Compose plans a composition. An operation is called "<part>/<operation>" in the
// plan, whether there are other parts or not, so that it keeps its name, and with it
// its open windows, when others are added. The sources and sinks of the definitions
// become concatenates: they are where definitions meet. All faults are collected,
// with their places.
func Compose(c Composition, options Options) (*Plan, error) {
	var b builder
	for _, name := range c.Sources {
		b.add(vertex{name: name, kind: operator.Source})
	}
	for i := range c.Parts {
		part := &c.Parts[i]
		for _, op := range part.Definition.Operations {
			kind := operator.Kind(op.Kind)
			if kind == operator.Source || kind == operator.Sink {
				kind = operator.Concatenate
			}
			b.add(vertex{name: part.Name + "/" + op.Name, kind: kind, operation: op, part: part, index: i})
		}
		for _, e := range part.Definition.Connections {
			b.connect(part.Name+"/"+e.From, part.Name+"/"+e.To, e.Arm)
		}
	}
	for _, name := range c.Sinks {
		b.add(vertex{name: name, kind: operator.Sink})
	}
	b.link(&c)
	if err := b.problems.Err(); err != nil {
		return nil, err
	}
	return b.plan(c.Graph, options)
}

// link connects what the links of c say, and reports what of the definitions is left
// unconnected.
func (b *builder) link(c *Composition) {
	linked := map[string]bool{}
	seen := map[edge]Port{}
	for _, l := range c.Links {
		from, ok := b.resolve(c, l.From, graph.Sink)
		if !ok {
			continue
		}
		to, ok := b.resolve(c, l.To, graph.Source)
		if !ok {
			continue
		}
		e := edge{from: from, to: to}
		if first, twice := seen[e]; twice {
			b.fault(c, l.From.Place, "remove one", "the connection from %s to %s is already made at line %d", from, to, first.Place.Line)
			continue
		}
		seen[e] = l.From
		linked[from], linked[to] = true, true
		b.connect(from, to, graph.NoArm)
	}
	if len(b.problems) > 0 {
		return // which may be why something is unconnected
	}
	for _, part := range c.Parts {
		for _, op := range part.Definition.Operations {
			if (op.Kind == graph.Source || op.Kind == graph.Sink) && !linked[part.Name+"/"+op.Name] {
				side := map[graph.Kind]string{graph.Source: "to", graph.Sink: "from"}[op.Kind]
				b.fault(c, part.Place, fmt.Sprintf("add a connection with %s: {name: %s.%s}", side, part.Name, op.Name),
					"the %s %q of the graph %q is not connected", op.Kind, op.Name, part.Name)
			}
		}
	}
}

// resolve returns the vertex that a port names; of a part one of that kind.
func (b *builder) resolve(c *Composition, p Port, kind graph.Kind) (name string, ok bool) {
	if slices.Contains(c.Sources, p.Name) || slices.Contains(c.Sinks, p.Name) {
		return p.Name, true
	}
	i := slices.IndexFunc(c.Parts, func(part Part) bool { return part.Name == p.Name })
	if i < 0 {
		b.fault(c, p.Place, "", "there is no node %q", p.Name)
		return "", false
	}
	var names []string
	for _, op := range c.Parts[i].Definition.Operations {
		if op.Kind == kind {
			names = append(names, op.Name)
		}
	}
	switch {
	case p.Operation == "" && len(names) == 1:
		return p.Name + "/" + names[0], true
	case p.Operation == "":
		b.fault(c, p.Place, fmt.Sprintf("write one of %s.%s", p.Name, strings.Join(names, ", "+p.Name+".")),
			"the graph %q has %d operations of type %s", p.Name, len(names), kind)
		return "", false
	case slices.Contains(names, p.Operation):
		return p.Name + "/" + p.Operation, true
	}
	if op, known := c.Parts[i].Definition.Operation(p.Operation); known {
		b.fault(c, p.Place, document.Suggest(p.Operation, names), "the operation %q of the graph %q is a %s, and here stands a %s", p.Operation, p.Name, op.Kind, kind)
	} else {
		b.fault(c, p.Place, document.Suggest(p.Operation, names), "the graph %q has no %s %q", p.Name, kind, p.Operation)
	}
	return "", false
}

// fault adds a problem in the file of c.
func (b *builder) fault(c *Composition, at document.Position, hint, format string, args ...any) {
	b.problems = append(b.problems, &document.Problem{
		Severity: document.Error, File: c.File, Position: at, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}
