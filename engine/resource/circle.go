// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/topic"
)

// circles looks for graphs that read what others write, and so on, until the first reads it
// again: its messages never end. It is a warning, since a graph may let nothing through that
// has been there before.
type circles struct {
	set     *Set
	exact   map[place][]Key  // readers of a topic
	filters map[Key][]reader // readers by a wildcard, by endpoint
	state   map[Key]visit
	path    []Key
	found   document.Problems
}

// place is a topic of an endpoint.
type place struct {
	endpoint Key
	topic    string
}

// reader is a graph that reads what a filter selects.
type reader struct {
	filter string
	graph  Key
}

// findCircles returns a warning for each connection of graphs that closes a circle.
func findCircles(set *Set) document.Problems {
	c := circles{set: set, exact: map[place][]Key{}, filters: map[Key][]reader{}, state: map[Key]visit{}}
	for _, key := range set.GraphKeys() {
		for _, s := range set.Graphs[key].Sources {
			at := Key{Namespace: key.Namespace, Name: s.Endpoint}
			for _, filter := range s.Topics {
				if filter = topic.Unshared(filter); strings.ContainsAny(filter, "+#") {
					c.filters[at] = append(c.filters[at], reader{filter, key})
				} else {
					c.exact[place{at, filter}] = append(c.exact[place{at, filter}], key)
				}
			}
		}
	}
	for _, key := range set.GraphKeys() {
		c.follow(key)
	}
	return c.found
}

// follow visits everything that gets what a graph writes.
func (c *circles) follow(key Key) {
	g := c.set.Graphs[key]
	if c.state[key] != unseen || g.Disabled {
		return
	}
	c.state[key] = onPath
	c.path = append(c.path, key)
	for _, t := range g.Destinations {
		for _, next := range c.readers(Key{Namespace: key.Namespace, Name: t.Endpoint}, t.Topic) {
			if c.state[next] == onPath && next != key { // alone is a fault, and reported
				c.report(t, next)
			}
			c.follow(next)
		}
	}
	c.path = c.path[:len(c.path)-1]
	c.state[key] = done
}

// readers returns the graphs that read what is published to a topic, in which only text
// counts that is the same for all messages.
func (c *circles) readers(at Key, text string) []Key {
	template, err := topic.Parse(text)
	if err != nil || text == "" {
		return nil
	}
	to := template.Filter()
	if strings.ContainsAny(to, "+#") {
		return nil
	}
	all := slices.Clone(c.exact[place{at, to}])
	for _, r := range c.filters[at] {
		if !slices.Contains(all, r.graph) && topic.Matches(r.filter, to) {
			all = append(all, r.graph)
		}
	}
	return all
}

// report notes that the last graph of the path leads to one before it.
func (c *circles) report(t Destination, to Key) {
	var names []string
	for _, key := range c.path[slices.Index(c.path, to):] {
		names = append(names, key.Name)
	}
	last := c.set.Graphs[c.path[len(c.path)-1]]
	c.found = append(c.found, &document.Problem{
		Severity: document.Warning, File: last.File, Position: t.Place,
		Message: fmt.Sprintf("messages go round in a circle: %s, and there again, by the topic %q", strings.Join(names, " -> "), t.Topic),
		Hint:    "publish to another topic, unless one of them drops what has been there",
	})
}
