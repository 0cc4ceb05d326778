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
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// Plan is the executable form of a definition. It is not changed once made.
type Plan struct {
	Graph   string // the graph's name
	Nodes   []Node // in topological order; equals stand in the definition's order
	Sources []int  // indexes of the sources, in the definition's order
	Sinks   []int  // indexes of the sinks, in the definition's order
	// Timed says that the graph has a delay or an accumulate, so that logical time
	// matters to it.
	Timed bool
	// Unused lists the keys of settings that no operation declares.
	Unused []string
}

// Node is one operation.
type Node struct {
	Operation string
	Kind      operator.Kind
	Module    string // reference of the module; empty where the engine does the work
	// Outputs are the indexes of the nodes that take what comes out: of a branch, arm
	// False at 0 and arm True at 1; of all others, everything at 0. An empty list
	// drops what comes out.
	Outputs [2][]int
	Config  operator.Config // what the operator is told when it starts
	Limits  Limits
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
// place in the definition.
func New(d *graph.Definition, settings []Setting, options Options) (*Plan, error) {
	p := &Plan{Graph: d.Metadata.Name}
	order, err := topological(d)
	if err != nil {
		return nil, err
	}
	r := resolver{definition: d, settings: settings, used: make([]bool, len(settings))}
	limits, err := options.limits(d)
	if err != nil {
		return nil, err
	}
	index := make(map[string]int, len(order))
	for i, op := range order {
		index[op.Name] = i
		kind := operator.Kind(op.Kind)
		p.Timed = p.Timed || kind == operator.Delay || kind == operator.Accumulate
		node := Node{Operation: op.Name, Kind: kind, Module: op.Module, Limits: limits[op.Name]}
		if op.Kind.HasModule() {
			node.Config = operator.Config{
				Graph: p.Graph, Operation: op.Name, Kind: kind,
				Properties: r.properties(op), Schemas: r.schemas(op),
			}
		}
		p.Nodes = append(p.Nodes, node)
	}
	for _, c := range d.Connections {
		arm := 0
		if c.Arm == graph.True {
			arm = 1
		}
		from := &p.Nodes[index[c.From]]
		from.Outputs[arm] = append(from.Outputs[arm], index[c.To])
	}
	r.weigh(p)
	for _, op := range d.Operations {
		switch op.Kind {
		case graph.Source:
			p.Sources = append(p.Sources, index[op.Name])
		case graph.Sink:
			p.Sinks = append(p.Sinks, index[op.Name])
		}
	}
	for i, s := range settings {
		if !r.used[i] {
			p.Unused = append(p.Unused, s.Key)
		}
	}
	return p, r.problems.Err()
}

// topological returns the operations so that each follows all that feed it, and
// otherwise in the definition's order.
func topological(d *graph.Definition) ([]graph.Operation, error) {
	inputs := map[string]int{}
	for _, c := range d.Connections {
		inputs[c.To]++
	}
	outputs := map[string][]string{}
	for _, c := range d.Connections {
		outputs[c.From] = append(outputs[c.From], c.To)
	}
	placed := make([]bool, len(d.Operations))
	order := make([]graph.Operation, 0, len(d.Operations))
	for len(order) < len(d.Operations) {
		before := len(order)
		for i, op := range d.Operations {
			if placed[i] || inputs[op.Name] > 0 {
				continue
			}
			placed[i] = true
			order = append(order, op)
			for _, to := range outputs[op.Name] {
				inputs[to]--
			}
			break
		}
		if len(order) == before {
			return nil, fmt.Errorf("plan: order graph %q: the connections form a cycle", d.Metadata.Name)
		}
	}
	return order, nil
}

// resolver finds what each operation is told when it starts.
type resolver struct {
	definition *graph.Definition
	settings   []Setting
	used       []bool // by setting
	problems   document.Problems
}

// weigh sets the weights of p's nodes, and reports the first that is too large.
func (r *resolver) weigh(p *Plan) {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Kind == operator.Source {
			n.Weight = 1
		}
		if n.Weight > MaxWeight {
			op, _ := r.definition.Operation(n.Operation)
			r.problems = append(r.problems, &document.Problem{
				Severity: document.Error, File: r.definition.File, Position: op.Pos,
				Message: fmt.Sprintf("one message from a source becomes more than %d at operation %q", MaxWeight, n.Operation),
				Hint:    "connect fewer outputs to several operations that meet again",
			})
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
		return fmt.Errorf("plan: unknown %s %q; did you mean %q?", what, got, near)
	}
	return fmt.Errorf("plan: unknown %s %q; known are %s", what, got, strings.Join(known, ", "))
}
