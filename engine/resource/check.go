// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/topic"
)

// checkGraph checks a graph's own structure: what its connections name, in which
// directions they lead, and that they form no cycle. Which sources and sinks a
// definition has is seen only when it is there: see plan.Compose.
func (d *decoder) checkGraph(g *DataflowGraph, nodes document.Node) {
	reader := d.reader
	kind, all := map[string]string{}, []string(nil)
	for _, s := range g.Sources {
		kind[s.Name], all = "Source", append(all, s.Name)
	}
	for _, n := range g.Graphs {
		kind[n.Name], all = "Graph", append(all, n.Name)
	}
	for _, t := range g.Destinations {
		kind[t.Name], all = "Destination", append(all, t.Name)
	}
	if len(g.Sources) == 0 {
		nodes.Errorf("add a node with nodeType: Source", "the graph has no source")
	}
	if len(g.Destinations) == 0 {
		nodes.Errorf("add a node with nodeType: Destination", "the graph has no destination")
	}
	type edge struct{ from, to string }
	seen := map[edge]Port{}
	var sound []Connection
	faulty := len(g.Connections) == 0 // which is said already
	out, in := map[string]bool{}, map[string]bool{}
	for _, c := range g.Connections {
		known := true
		for _, p := range []Port{c.From, c.To} {
			switch {
			case p.Node == "":
				known = false // said already
			case kind[p.Node] == "":
				known = false
				reader.Errorf(p.Place, document.Suggest(p.Node, all), "there is no node %q", p.Node)
			case p.Operation != "" && kind[p.Node] != "Graph":
				reader.Errorf(p.Place, "write "+p.Node, "the %s %q has no operations: only a Graph has", strings.ToLower(kind[p.Node]), p.Node)
			}
		}
		if !known {
			faulty = true
			continue
		}
		e := edge{c.From.String(), c.To.String()}
		first, twice := seen[e]
		switch {
		case kind[c.From.Node] == "Destination":
			reader.Errorf(c.From.Place, "", "nothing leads away from the destination %q", c.From.Node)
		case kind[c.To.Node] == "Source":
			reader.Errorf(c.To.Place, "", "nothing leads to the source %q", c.To.Node)
		case twice:
			reader.Errorf(c.From.Place, "remove one", "the connection from %s to %s is already made at line %d", e.from, e.to, first.Place.Line)
		default:
			sound = append(sound, c)
		}
		seen[e] = c.From
		out[c.From.Node], in[c.To.Node] = true, true
	}
	for _, name := range all {
		if faulty {
			break // the nodes may be meant
		}
		if kind[name] != "Destination" && !out[name] {
			reader.Errorf(g.place(name), "add it to nodeConnections", "nothing leads away from the node %q", name)
		}
		if kind[name] != "Source" && !in[name] {
			reader.Errorf(g.place(name), "add it to nodeConnections", "nothing leads to the node %q", name)
		}
	}
	w := walker{reader: reader, connections: sound, state: map[string]visit{}}
	for _, name := range all {
		w.findCycles(name)
	}
	for _, s := range g.Sources {
		reached := w.reach(s.Name)
		for _, t := range g.Destinations {
			for _, filter := range s.Topics {
				if direct := t.Topic == "" && slices.ContainsFunc(sound, func(c Connection) bool { return c.From.Node == s.Name && c.To.Node == t.Name }); direct && s.Endpoint == t.Endpoint {
					reader.Errorf(t.Place, "publish to another topic", "the destination would give its source back every message")
					break
				}
				if reached[t.Name] && s.Endpoint == t.Endpoint && loops(filter, t.Topic) {
					reader.Errorf(t.Place, "publish to another topic",
						"the graph would read what it writes: its source's filter %q matches the topic %q of its destination", filter, t.Topic)
				}
			}
		}
	}
}

// loops reports whether what is published to a destination's topic may be selected by a
// source's filter. Where the topic is that of the message it depends on what a graph
// makes of it, and nobody knows.
func loops(filter, text string) bool {
	if text == "" {
		return false
	}
	template, err := topic.Parse(text)
	if err != nil {
		return false // reported already
	}
	to := template.Filter()
	return topic.Matches(filter, to) || strings.ContainsAny(to, "+#") && topic.Overlap(topic.Unshared(filter), to)
}

// walker follows connections from node to node.
type walker struct {
	reader      *document.Reader
	connections []Connection
	state       map[string]visit
	path        []string
}

// visit is how far findCycles is with a node.
type visit uint8

const (
	unseen visit = iota
	onPath
	done
)

// findCycles reports each connection behind a node that closes a cycle.
func (w *walker) findCycles(node string) {
	if w.state[node] == done {
		return
	}
	w.state[node] = onPath
	w.path = append(w.path, node)
	for _, c := range w.connections {
		switch {
		case c.From.Node != node:
		case w.state[c.To.Node] == onPath:
			cycle := append(slices.Clone(w.path[slices.Index(w.path, c.To.Node):]), c.To.Node)
			w.reader.Errorf(c.From.Place, "remove one of the connections", "the connections form a cycle: %s", strings.Join(cycle, " -> "))
		default:
			w.findCycles(c.To.Node)
		}
	}
	w.path = w.path[:len(w.path)-1]
	w.state[node] = done
}

// reach returns the nodes that messages get to from a node.
func (w *walker) reach(node string) map[string]bool {
	reached := map[string]bool{node: true}
	for queue := []string{node}; len(queue) > 0; queue = queue[1:] {
		for _, c := range w.connections {
			if c.From.Node == queue[0] && !reached[c.To.Node] {
				reached[c.To.Node] = true
				queue = append(queue, c.To.Node)
			}
		}
	}
	return reached
}

// place is where a node is declared.
func (g *DataflowGraph) place(name string) document.Position {
	for _, n := range g.Sources {
		if n.Name == name {
			return n.Place
		}
	}
	for _, n := range g.Graphs {
		if n.Name == name {
			return n.Place
		}
	}
	for _, n := range g.Destinations {
		if n.Name == name {
			return n.Place
		}
	}
	return g.Place
}
