// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/graph"
)

// spec is a graph as the model knows it: operations, each after those that feed it.
type spec struct {
	Nodes []specNode
}

// specNode is an operation. Probes have their name as their mark.
type specNode struct {
	Name   string
	Kind   graph.Kind
	Letter string // what a filter keeps, and a branch calls true
	From   []specPort
}

// specPort is an output.
type specPort struct {
	Node int
	Arm  graph.Arm
}

// token is a message in the model.
type token struct {
	at     int64  // logical time
	time   int64  // message time
	text   string // payload
	origin string // payload of what it came of
	route  string // the operations it has been through
	source string // of a message; empty for a window's result
	number int
}

// fate is what a sink gets.
type fate struct {
	sink string // "dead" for dead letters
	token
}

// play is the model: what comes of messages, by what graphs are for. It knows neither
// order nor windows that are open, since all messages are there at once.
func (s spec) play(sources map[string][]token) []fate {
	out := map[specPort][]token{}
	var fates []fate
	for i, n := range s.Nodes {
		var in []token
		if n.Kind == graph.Source {
			in = sources[n.Name]
		}
		for _, from := range n.From {
			in = append(in, out[from]...)
		}
		give := func(arm graph.Arm, t token) {
			t.route += " " + n.Name
			out[specPort{i, arm}] = append(out[specPort{i, arm}], t)
		}
		windows := map[int64][]token{}
		for _, t := range in {
			if slices.Contains(strings.Fields(t.text), "!refuse:"+n.Name) {
				fates = append(fates, fate{"dead", token{text: n.Name + " " + t.origin}})
				continue
			}
			switch n.Kind {
			case graph.Map:
				t.text += ">" + n.Name
				give(graph.NoArm, t)
			case graph.Filter:
				if strings.Contains(t.text, n.Letter) {
					give(graph.NoArm, t)
				}
			case graph.Branch:
				if strings.Contains(t.text, n.Letter) {
					give(graph.True, t)
				} else {
					give(graph.False, t)
				}
			case graph.Delay:
				t.at = (t.at + 9_999) / 10_000 * 10_000
				give(graph.NoArm, t)
			case graph.Accumulate:
				windows[t.at] = append(windows[t.at], t)
			case graph.Sink:
				fates = append(fates, fate{n.Name, t})
			default:
				give(graph.NoArm, t)
			}
		}
		for at, members := range windows {
			var texts []string
			for _, t := range members {
				texts = append(texts, t.text)
			}
			text := n.Name + "[" + strings.Join(texts, " ") + "]"
			give(graph.NoArm, token{at: at, time: at, text: text, origin: text})
		}
	}
	return fates
}

// String writes a fate so that the order in windows makes no difference.
func (f fate) String() string {
	return fmt.Sprintf("%s %d %s", f.sink, f.time, canonical(f.text))
}

// canonical sorts what is in brackets.
func canonical(text string) string {
	items, rest := parseItems(text)
	return strings.Join(items, " ") + rest
}

// parseItems takes words apart up to a closing bracket, and returns them with the
// contents of their brackets sorted.
func parseItems(text string) (items []string, rest string) {
	var word strings.Builder
	for len(text) > 0 {
		switch c := text[0]; c {
		case ']':
			return append(items, word.String()), text
		case ' ':
			items = append(items, word.String())
			word.Reset()
			text = text[1:]
		case '[':
			inner, after := parseItems(text[1:])
			slices.Sort(inner)
			word.WriteString("[" + strings.Join(inner, " ") + "]")
			text = strings.TrimPrefix(after, "]")
		default:
			word.WriteByte(c)
			text = text[1:]
		}
	}
	return append(items, word.String()), ""
}

// definition is the graph for the engine.
func (s spec) definition() *graph.Definition {
	d := &graph.Definition{Metadata: graph.Metadata{Name: "random"}}
	for _, n := range s.Nodes {
		op := graph.Operation{Name: n.Name, Kind: n.Kind}
		if n.Kind.HasModule() {
			op.Module = "probe"
			c := graph.Configuration{Name: n.Name}
			for key, value := range map[string]string{"mark": n.Name, "keep": n.Letter, "true": n.Letter} {
				c.Parameters = append(c.Parameters, graph.Parameter{Key: key, Name: key, Default: &value})
			}
			d.Configurations = append(d.Configurations, c)
		}
		d.Operations = append(d.Operations, op)
		for _, from := range n.From {
			d.Connections = append(d.Connections, graph.Connection{From: s.Nodes[from.Node].Name, To: n.Name, Arm: from.Arm})
		}
	}
	return d
}

// drawSpec draws a graph: operations that are fed by those before them, and sinks where
// nothing else takes what comes out.
func drawSpec(t *rapid.T) spec {
	var s spec
	var outputs []specPort
	taken := map[specPort]bool{}
	add := func(n specNode) {
		n.Name = string(n.Kind)[:1] + strconv.Itoa(len(s.Nodes))
		for _, from := range n.From {
			taken[from] = true
		}
		arms := []graph.Arm{graph.NoArm}
		switch n.Kind {
		case graph.Branch:
			arms = []graph.Arm{graph.False, graph.True}
		case graph.Sink:
			arms = nil
		}
		for _, arm := range arms {
			outputs = append(outputs, specPort{len(s.Nodes), arm})
		}
		s.Nodes = append(s.Nodes, n)
	}
	for range rapid.IntRange(1, 2).Draw(t, "sources") {
		add(specNode{Kind: graph.Source})
	}
	kinds := []graph.Kind{graph.Map, graph.Filter, graph.Branch, graph.Delay, graph.Delay, graph.Accumulate, graph.Accumulate, graph.Concatenate}
	for i := range rapid.IntRange(1, 7).Draw(t, "operations") {
		n := specNode{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Letter: rapid.SampledFrom([]string{"1", "2", "x", "y"}).Draw(t, "letter")}
		if i == 0 {
			n.Kind = graph.Delay // so that there is something to keep
		}
		n.From = []specPort{rapid.SampledFrom(outputs).Draw(t, "input")}
		if n.Kind == graph.Concatenate {
			if other := rapid.SampledFrom(outputs).Draw(t, "second input"); other != n.From[0] {
				n.From = append(n.From, other)
			}
		}
		add(n)
	}
	for _, port := range slices.Clone(outputs) {
		if !taken[port] {
			add(specNode{Kind: graph.Sink, From: []specPort{port}})
		}
	}
	return s
}
