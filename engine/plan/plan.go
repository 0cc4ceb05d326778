// SPDX-License-Identifier: Apache-2.0

// Package plan turns a graph definition into its executable form. It is pure:
// nothing is loaded, opened or started.
//
// A definition speaks in names; a Plan speaks in indexes. Its nodes stand in
// topological order, so that every node comes after all that feed it and one pass
// over the array is one pass over the graph; a node's outputs are the indexes of
// the nodes that take them. Configuration is resolved and limits are settled, so
// that whoever runs the plan looks nothing up.
package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// Plan is the executable form of a definition, or of a Composition of several. It is
// not changed once made.
type Plan struct {
	Graph   string // the graph's name
	Nodes   []Node // in topological order; equals stand in the order of what is planned
	Sources []int  // indexes of the sources, in the order of what is planned
	Sinks   []int  // indexes of the sinks, likewise
	// Timed says that the graph has a delay or an accumulate, so that logical time
	// matters to it.
	Timed bool
	// Unused lists the keys of settings that no operation declares.
	Unused []string
}

// Node is one operation.
type Node struct {
	Operation string // the operation's name, unique in the plan
	Kind      operator.Kind
	Module    string // reference of the module; empty where the engine does the work
	Part      int    // index in Composition.Parts of the definition that it is of
	// Outputs are the indexes of the nodes that take what comes out: of a branch, arm
	// False at 0 and arm True at 1; of all others, everything at 0. An empty list
	// drops what comes out.
	Outputs [2][]int
	Config  operator.Config // what the operator is told when it starts
	Limits  Limits
	Allow   operator.Grant // what it may use of the machine
	// Parallelism is how many instances work on its messages side by side: 1, or more
	// for a map, a filter or a branch. Their order is kept.
	Parallelism int
	// Weight is how many messages one source message becomes here at most: the number
	// of ways that lead here.
	Weight int
}

// MaxWeight is the largest weight of a node. Each fan-out that meets again doubles
// the weight, so that a few dozen of them would keep a worker busy for ever.
const MaxWeight = 10_000

// Limits are the limits of each instance of an operation.
type Limits struct {
	Deadline time.Duration // of a call
	Memory   uint64        // bytes
}

// Setting is a value that the user gives to a parameter. It reaches every operation
// that declares a parameter of that key or, where none has that key, of that name.
type Setting struct{ Key, Value string }

// New plans the definition d, which is sound, with the user's settings and options.
// All faults are collected: the error's lines are document.Problems where they have a
// place in the definition. An option that doesn't fit the definition is an
// *OptionError.
func New(d *graph.Definition, settings []Setting, options Options) (*Plan, error) {
	var b builder
	part := Part{Definition: d, Settings: settings}
	for _, op := range d.Operations {
		b.add(vertex{name: op.Name, operation: op, part: &part, kind: operator.Kind(op.Kind)})
	}
	for _, c := range d.Connections {
		b.connect(c.From, c.To, c.Arm)
	}
	return b.plan(d.Metadata.Name, options)
}

// vertex is an operation to be planned.
type vertex struct {
	name      string // in the plan
	kind      operator.Kind
	operation graph.Operation // as its definition has it; zero where it is of none
	part      *Part           // whose definition it is of; nil where it is of none
	index     int             // of the part
}

// builder gathers operations and connections, whose names are unique.
type builder struct {
	vertices []vertex
	edges    []edge
	problems document.Problems
}

type edge struct {
	from, to string
	arm      graph.Arm
}

func (b *builder) add(v vertex) { b.vertices = append(b.vertices, v) }

func (b *builder) connect(from, to string, arm graph.Arm) {
	b.edges = append(b.edges, edge{from, to, arm})
}

// plan plans what was gathered.
func (b *builder) plan(name string, options Options) (*Plan, error) {
	p := &Plan{Graph: name}
	order, err := b.topological(name)
	if err != nil {
		return nil, err
	}
	operations, err := options.operations(b.vertices)
	if err != nil {
		return nil, err
	}
	resolvers := map[*Part]*resolver{}
	index := make(map[string]int, len(order))
	for i, v := range order {
		index[v.name] = i
		p.Timed = p.Timed || v.kind == operator.Delay || v.kind == operator.Accumulate
		node := operations[v.name]
		node.Operation, node.Kind, node.Module, node.Part = v.name, v.kind, v.operation.Module, v.index
		if v.operation.Kind.HasModule() {
			r := resolvers[v.part]
			if r == nil {
				r = &resolver{definition: v.part.Definition, settings: v.part.Settings, used: make([]bool, len(v.part.Settings))}
				resolvers[v.part] = r
			}
			node.Config = operator.Config{
				Graph: p.Graph, Operation: v.name, Kind: v.kind,
				Properties: r.properties(v.operation), Schemas: r.schemas(v.operation),
			}
		}
		p.Nodes = append(p.Nodes, node)
	}
	for _, e := range b.edges {
		arm := 0
		if e.arm == graph.True {
			arm = 1
		}
		from := &p.Nodes[index[e.from]]
		from.Outputs[arm] = append(from.Outputs[arm], index[e.to])
	}
	b.weigh(p, order)
	var parts []*Part
	for _, v := range b.vertices {
		switch v.kind {
		case operator.Source:
			p.Sources = append(p.Sources, index[v.name])
		case operator.Sink:
			p.Sinks = append(p.Sinks, index[v.name])
		}
		if v.part != nil && !slices.Contains(parts, v.part) {
			parts = append(parts, v.part)
		}
	}
	for _, part := range parts {
		r := resolvers[part]
		for i, s := range part.Settings {
			if r == nil || !r.used[i] {
				p.Unused = append(p.Unused, s.Key)
			}
		}
		if r != nil {
			b.problems = append(b.problems, r.problems...)
		}
	}
	return p, b.problems.Err()
}

// topological returns the vertices so that each follows all that feed it, and
// otherwise in their own order.
func (b *builder) topological(name string) ([]vertex, error) {
	inputs := map[string]int{}
	outputs := map[string][]string{}
	for _, e := range b.edges {
		inputs[e.to]++
		outputs[e.from] = append(outputs[e.from], e.to)
	}
	placed := make([]bool, len(b.vertices))
	order := make([]vertex, 0, len(b.vertices))
	for len(order) < len(b.vertices) {
		before := len(order)
		for i, v := range b.vertices {
			if placed[i] || inputs[v.name] > 0 {
				continue
			}
			placed[i] = true
			order = append(order, v)
			for _, to := range outputs[v.name] {
				inputs[to]--
			}
			break
		}
		if len(order) == before {
			return nil, fmt.Errorf("plan: order graph %q: the connections form a cycle", name)
		}
	}
	return order, nil
}

// weigh sets the weights of p's nodes, made of order, and reports the first that is
// too large.
func (b *builder) weigh(p *Plan, order []vertex) {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Kind == operator.Source {
			n.Weight = 1
		}
		if n.Weight > MaxWeight {
			problem := &document.Problem{
				Severity: document.Error, Position: order[i].operation.Pos,
				Message: fmt.Sprintf("one message from a source becomes more than %d at operation %q", MaxWeight, n.Operation),
				Hint:    "connect fewer outputs to several operations that meet again",
			}
			if part := order[i].part; part != nil {
				problem.File = part.Definition.File
			}
			b.problems = append(b.problems, problem)
			return
		}
		ways := map[int]int{} // a branch takes one of its arms
		for _, arm := range n.Outputs {
			taken := map[int]int{}
			for _, to := range arm {
				taken[to] += n.Weight
				ways[to] = max(ways[to], taken[to])
			}
		}
		for to, weight := range ways {
			p.Nodes[to].Weight += weight
		}
	}
}

// resolver finds what each operation of a definition is told when it starts.
type resolver struct {
	definition *graph.Definition
	settings   []Setting
	used       []bool // by setting
	problems   document.Problems
}

// properties returns the configuration of op: for each parameter it declares, in
// the definition's order, the user's value or the default. A value goes out under
// the key that the user wrote, a default under the parameter's key.
func (r *resolver) properties(op graph.Operation) []operator.Property {
	var properties []operator.Property
	for _, c := range r.definition.Configurations {
		if c.Name != op.Name {
			continue
		}
		keys := map[string]bool{}
		for _, p := range c.Parameters {
			keys[p.Key] = true
		}
		for _, p := range c.Parameters {
			if key, value, given := r.value(p, keys); given {
				properties = append(properties, operator.Property{Key: key, Value: value})
			} else if p.Default != nil {
				properties = append(properties, operator.Property{Key: p.Key, Value: *p.Default})
			} else if p.Required {
				r.problems = append(r.problems, &document.Problem{
					Severity: document.Error, File: r.definition.File, Position: p.Pos,
					Message: fmt.Sprintf("operation %q requires the parameter %q, which has no value", op.Name, p.Key),
					Hint:    "give one in the graph's configuration, or with --set " + p.Key + "=...",
				})
			}
		}
	}
	return properties
}

// value returns the last setting for p: by its key or, failing that, by its name,
// if that isn't the key of another parameter of the same operation.
func (r *resolver) value(p graph.Parameter, keys map[string]bool) (key, value string, given bool) {
	for _, want := range []string{p.Key, p.Name} {
		if want != p.Key && keys[want] {
			continue
		}
		for i, s := range r.settings {
			if s.Key == want {
				key, value, given = s.Key, s.Value, true
				r.used[i] = true
			}
		}
		if given {
			break
		}
	}
	return key, value, given
}

// schemas returns the schemas for op: first those of the connections that lead to
// it, then all others of the definition.
func (r *resolver) schemas(op graph.Operation) []operator.Schema {
	var schemas []operator.Schema
	taken := map[string]bool{}
	add := func(name string) {
		for _, s := range r.definition.Schemas {
			if s.Name == name && !taken[name] {
				taken[name] = true
				schemas = append(schemas, operator.Schema{Name: s.Name, ContentType: s.Format, Content: s.Content})
			}
		}
	}
	for _, c := range r.definition.Connections {
		if c.To == op.Name {
			add(c.Schema)
		}
	}
	for _, s := range r.definition.Schemas {
		add(s.Name)
	}
	return schemas
}

// Declared returns the keys of all parameters that d declares, each once, in order.
func Declared(d *graph.Definition) []string {
	var keys []string
	seen := map[string]bool{}
	for _, c := range d.Configurations {
		for _, p := range c.Parameters {
			if !seen[p.Key] {
				seen[p.Key] = true
				keys = append(keys, p.Key)
			}
		}
	}
	return keys
}

// unknown says that there is no such name, and which may be meant.
func unknown(what, got string, known []string) error {
	if near, ok := nearest.Word(got, known); ok {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, got, near)
	}
	return fmt.Errorf("unknown %s %q; known are %s", what, got, strings.Join(known, ", "))
}
