// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
)

// checkGraph checks a graph's own structure: what its connections name, in which
// directions they may lead, and what is built so far of what the kind allows.
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
	if len(g.Graphs) != 1 || len(g.Sources) > 1 || len(g.Destinations) > 1 {
		nodes.Errorf("declare several DataflowGraphs", "a DataflowGraph of other than one Source, one Graph and one Destination is not supported yet")
	}
	out := map[string]int{}
	in := map[string]int{}
	for _, c := range g.Connections {
		sound := true
		for _, name := range []string{c.From, c.To} {
			if name == "" || kind[name] != "" {
				continue
			}
			sound = false
			if base, _, ok := strings.Cut(name, "."); ok && kind[base] == "Graph" {
				reader.Errorf(c.Place, "connect "+base, "the output %q of a graph is not supported yet", name)
				continue
			}
			reader.Errorf(c.Place, document.Suggest(name, all), "there is no node %q", name)
		}
		if !sound || c.From == "" || c.To == "" {
			continue
		}
		switch {
		case kind[c.From] == "Destination":
			reader.Errorf(c.Place, "", "nothing leads away from the destination %q", c.From)
		case kind[c.To] == "Source":
			reader.Errorf(c.Place, "", "nothing leads to the source %q", c.To)
		case c.From == c.To:
			reader.Errorf(c.Place, "", "the node %q is connected to itself", c.From)
		}
		out[c.From]++
		in[c.To]++
		if out[c.From] > 1 || in[c.To] > 1 {
			reader.Errorf(c.Place, "", "a second connection of a node is not supported yet")
		}
	}
	for _, name := range all {
		if kind[name] != "Destination" && out[name] == 0 {
			reader.Errorf(g.place(name), "add it to nodeConnections", "nothing leads away from the node %q", name)
		}
		if kind[name] != "Source" && in[name] == 0 {
			reader.Errorf(g.place(name), "add it to nodeConnections", "nothing leads to the node %q", name)
		}
	}
	for _, s := range g.Sources {
		for _, t := range g.Destinations {
			for _, filter := range s.Topics {
				if s.Endpoint == t.Endpoint && t.Topic != "" && Matches(filter, t.Topic) {
					reader.Errorf(t.Place, "publish to another topic",
						"the graph would read what it writes: its source's filter %q matches the topic %q of its destination", filter, t.Topic)
				}
			}
		}
	}
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

// unshared returns the filter of a shared subscription, $share/GROUP/FILTER or, as
// it may also be written here, $shared/GROUP/FILTER.
func unshared(filter string) string {
	for _, prefix := range []string{"$share/", "$shared/"} {
		if rest, ok := strings.CutPrefix(filter, prefix); ok {
			_, filter, _ := strings.Cut(rest, "/")
			return filter
		}
	}
	return filter
}

// Matches reports whether an MQTT topic filter, shared or not, selects a topic.
func Matches(filter, topic string) bool {
	f, t := strings.Split(unshared(filter), "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") && (f[0] == "#" || f[0] == "+") {
		return false
	}
	for i, level := range f {
		if level == "#" {
			return true
		}
		if i >= len(t) || level != "+" && level != t[i] {
			return false
		}
	}
	return len(f) == len(t)
}
