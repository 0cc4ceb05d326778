// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
)

// check reports what the published schema can't say: names that don't exist, the
// shape of the graph, arms and modules where they don't belong.
func check(r *document.Reader, d *Definition) {
	s := shape{operations: map[string]*Operation{}, out: map[string][]*Connection{}}
	for i := range d.Operations {
		if op := &d.Operations[i]; s.operations[op.Name] == nil {
			s.operations[op.Name] = op
		}
	}
	for i := range d.Connections {
		c := &d.Connections[i]
		s.out[c.From] = append(s.out[c.From], c)
	}
	checkOperations(r, d)
	checkConfigurations(r, d, s)
	checkSchemas(r, d)
	if checkConnections(r, d, s) {
		checkCycles(r, d, s)
		checkReach(r, d, s)
		checkOutputs(r, d, s)
	}
}

// shape is a definition's operations by name and their outgoing connections.
type shape struct {
	operations map[string]*Operation
	out        map[string][]*Connection
}

func checkOperations(r *document.Reader, d *Definition) {
	first := map[string]document.Position{}
	count := map[Kind]int{}
	unknown := false
	for _, op := range d.Operations {
		count[op.Kind]++
		unknown = unknown || op.Kind == ""
		if at, taken := first[op.Name]; taken && op.Name != "" {
			r.Errorf(op.Pos, "rename one", "operation %q is already defined at line %d", op.Name, at.Line)
		} else {
			first[op.Name] = op.Pos
		}
		switch {
		case op.Kind == "":
		case op.Kind.HasModule() && op.Module == "":
			r.Errorf(op.Pos, `add module: "<repository>:<tag>"`, "operation %q of type %s has no module", op.Name, op.Kind)
		case !op.Kind.HasModule() && op.Module != "":
			r.Errorf(op.ModulePos, "remove it", "operation %q of type %s takes no module", op.Name, op.Kind)
		case strings.ContainsAny(op.Module, " \t\r\n"):
			r.Errorf(op.ModulePos, `write "<repository>:<tag>"`, "module %q of operation %q contains white space", op.Module, op.Name)
		}
	}
	at := document.Position{Line: 1, Column: 1}
	if len(d.Operations) > 0 {
		at = d.Operations[0].Pos
	}
	for _, k := range []Kind{Source, Sink} {
		if count[k] == 0 && !unknown {
			r.Errorf(at, fmt.Sprintf("add an operation with operationType: %s", k), "the graph has no %s", k)
		}
	}
}

func checkConfigurations(r *document.Reader, d *Definition, s shape) {
	seen := map[string]document.Position{}
	for _, c := range d.Configurations {
		if c.Name == "" {
			continue
		}
		op, ok := s.operations[c.Name]
		if at, twice := seen[c.Name]; twice {
			r.Errorf(c.Pos, "put the parameters together", "operation %q is already configured at line %d", c.Name, at.Line)
		} else if !ok {
			r.Errorf(c.Pos, document.Suggest(c.Name, moduleOperations(d)), "configuration for an unknown operation %q", c.Name)
		} else if op.Kind != "" && !op.Kind.HasModule() {
			r.Warnf(c.Pos, "remove it", "operation %q of type %s has no use for a configuration", c.Name, op.Kind)
		}
		seen[c.Name] = c.Pos
	}
}

func moduleOperations(d *Definition) []string {
	var names []string
	for _, op := range d.Operations {
		if op.Kind.HasModule() && op.Name != "" {
			names = append(names, op.Name)
		}
	}
	return names
}

func checkSchemas(r *document.Reader, d *Definition) {
	seen := map[string]document.Position{}
	for _, s := range d.Schemas {
		if at, twice := seen[s.Name]; twice && s.Name != "" {
			r.Errorf(s.Pos, "rename one", "schema %q is already defined at line %d", s.Name, at.Line)
		} else {
			seen[s.Name] = s.Pos
		}
	}
	for _, c := range d.Connections {
		if c.Schema == "" {
			continue
		}
		if _, ok := seen[c.Schema]; !ok {
			var names []string
			for _, s := range d.Schemas {
				names = append(names, s.Name)
			}
			r.Errorf(c.FromPos, document.Suggest(c.Schema, names), "the connection from %q names an unknown schema %q", c.From, c.Schema)
		}
	}
}

// checkConnections checks each connection for itself. It reports whether they all
// join known operations, so that the shape of the graph can be judged.
func checkConnections(r *document.Reader, d *Definition, s shape) (sound bool) {
	sound = true
	var names []string
	for _, op := range d.Operations {
		sound = sound && op.Name != "" && op.Kind != ""
		if op.Name != "" && !slices.Contains(names, op.Name) {
			names = append(names, op.Name)
		}
	}
	type edge struct {
		from, to string
		arm      Arm
	}
	seen := map[edge]document.Position{}
	for _, c := range d.Connections {
		from, fromKnown := s.operations[c.From]
		to, toKnown := s.operations[c.To]
		switch {
		case c.From == "":
		case !fromKnown:
			r.Errorf(c.FromPos, document.Suggest(c.From, names), "connection from an unknown operation %q", c.From)
		case from.Kind == Sink:
			r.Errorf(c.FromPos, "a sink is where messages leave the graph", "connection from the sink %q", c.From)
		case from.Kind == Branch && c.Arm == NoArm:
			r.Errorf(c.FromPos, `add arm: "True" or arm: "False", with the quotes`, "the connection from the branch %q has no arm", c.From)
		case from.Kind != Branch && from.Kind != "" && c.Arm != NoArm:
			r.Errorf(c.FromPos, "remove the arm", "the connection from %q has an arm, but %[1]q is a %s and only a branch has arms", c.From, from.Kind)
		}
		switch {
		case c.To == "":
		case !toKnown:
			r.Errorf(c.ToPos, document.Suggest(c.To, names), "connection to an unknown operation %q", c.To)
		case to.Kind == Source:
			r.Errorf(c.ToPos, "a source is where messages enter the graph", "connection to the source %q", c.To)
		}
		if !fromKnown || !toKnown {
			sound = false
			continue
		}
		e := edge{c.From, c.To, c.Arm}
		if at, twice := seen[e]; twice {
			r.Errorf(c.FromPos, "remove one", "the connection from %q to %q is already made at line %d", c.From, c.To, at.Line)
		}
		seen[e] = c.FromPos
	}
	return sound
}

// checkCycles reports each connection that closes a cycle.
func checkCycles(r *document.Reader, d *Definition, s shape) {
	const (
		unseen = iota
		onPath
		done
	)
	state := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = onPath
		path = append(path, name)
		for _, c := range s.out[name] {
			switch state[c.To] {
			case onPath:
				cycle := append(slices.Clone(path[slices.Index(path, c.To):]), c.To)
				r.Errorf(c.FromPos, "remove one of the connections", "the connections form a cycle: %s", strings.Join(cycle, " -> "))
			case unseen:
				visit(c.To)
			}
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	for _, op := range d.Operations {
		if state[op.Name] == unseen {
			visit(op.Name)
		}
	}
}

// checkReach reports operations that no message can reach.
func checkReach(r *document.Reader, d *Definition, s shape) {
	reached := map[string]bool{}
	var queue []string
	for _, op := range d.Operations {
		if op.Kind == Source {
			reached[op.Name] = true
			queue = append(queue, op.Name)
		}
	}
	if len(queue) == 0 {
		return // said already
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		for _, c := range s.out[name] {
			if !reached[c.To] {
				reached[c.To] = true
				queue = append(queue, c.To)
			}
		}
	}
	for _, op := range d.Operations {
		if !reached[op.Name] {
			r.Errorf(op.Pos, "connect something to it, or remove it", "operation %q is unreachable: no path leads from a source to it", op.Name)
		}
	}
}

// checkOutputs reports outputs that lead nowhere. What comes out there counts as
// filtered, which may be meant; a source that leads nowhere can't be.
func checkOutputs(r *document.Reader, d *Definition, s shape) {
	for _, op := range d.Operations {
		out := s.out[op.Name]
		switch op.Kind {
		case Sink:
		case Source:
			if len(out) == 0 {
				r.Errorf(op.Pos, "connect it to an operation", "nothing is connected to the output of the source %q", op.Name)
			}
		case Branch:
			for _, arm := range []Arm{False, True} {
				// A connection without an arm is reported already, and may be meant for this one.
				taken := func(c *Connection) bool { return c.Arm == arm || c.Arm == NoArm }
				if !slices.ContainsFunc(out, taken) {
					r.Warnf(op.Pos, "what goes there is dropped and counts as filtered", "arm %q of the branch %q is not connected", arm, op.Name)
				}
			}
		default:
			if len(out) == 0 {
				r.Warnf(op.Pos, "what it returns is dropped and counts as filtered", "nothing is connected to the output of %q", op.Name)
			}
		}
	}
}

// CheckModules reports operations whose module can't do what the operation asks of
// it. kinds returns the kinds that the module of that reference implements, and is
// asked once for each reference.
func (d *Definition) CheckModules(kinds func(module string) ([]Kind, error)) document.Problems {
	type answer struct {
		kinds []Kind
		err   error
	}
	r := document.NewReader(d.File)
	answers := map[string]answer{}
	for _, op := range d.Operations {
		if !op.Kind.HasModule() || op.Module == "" {
			continue
		}
		a, asked := answers[op.Module]
		if !asked {
			a.kinds, a.err = kinds(op.Module)
			answers[op.Module] = a
		}
		if a.err != nil {
			if !asked {
				r.Errorf(op.ModulePos, "", "module %q: %v", op.Module, a.err)
			}
			continue
		}
		if !slices.Contains(a.kinds, op.Kind) {
			r.Errorf(op.ModulePos, "use another module or another operationType",
				"operation %q is a %s, but its module %q implements %s", op.Name, op.Kind, op.Module, listKinds(a.kinds))
		}
	}
	return r.Problems()
}

func listKinds(kinds []Kind) string {
	if len(kinds) == 0 {
		return "no operation at all"
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return "only " + strings.Join(names, ", ")
}
