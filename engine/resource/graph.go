// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/topic"
)

func (d *decoder) graph(meta Meta, root value) {
	spec := root.at("spec")
	g := d.head(meta, root)
	nodes := spec.at("nodes")
	seen, sound := map[string]bool{}, true
	for _, n := range nodes.items {
		sound = d.node(g, n, seen) && sound
	}
	connections := spec.at("nodeConnections")
	if connections.IsList() && len(connections.items) == 0 {
		connections.Errorf(connections.field.Hint, "%s has none", connections.Path())
		sound = false
	}
	for _, c := range connections.items {
		from, to := c.at("from"), c.at("to")
		warnSchema(from.at("schema").at("schemaRef"))
		g.Connections = append(g.Connections, Connection{From: port(from.at("name")), To: port(to.at("name"))})
	}
	if d.set.Graphs[meta.Key] != nil {
		root.at("metadata").at("name").Errorf("give one of the two another name", "there is a Dataflow %s as well, and both run side by side", meta.Key)
		return
	}
	d.set.Graphs[meta.Key] = g
	if sound && len(nodes.items) > 0 {
		d.checkGraph(g, nodes.Node)
	}
}

// head reads what a DataflowGraph and a Dataflow have in common.
func (d *decoder) head(meta Meta, root value) *DataflowGraph {
	spec := root.at("spec")
	return &DataflowGraph{
		Meta:               meta,
		Profile:            d.refer(meta.Namespace, spec.at("profileRef")),
		Disabled:           spec.at("mode").is("Disabled"),
		RequestPersistence: spec.at("requestDiskPersistence").is("Enabled"),
		Options:            options(root.at("metadata").at("annotations")),
	}
}

// warnSchema says that a reference to a schema has no effect.
func warnSchema(ref value) {
	if ref.ok {
		ref.Warnf("", "schemas are not checked at run time; %s is ignored", ref.Path())
	}
}

// port reads one end of a connection.
func port(v value) Port {
	node, operation, dotted := strings.Cut(v.text, ".")
	if dotted && (node == "" || operation == "") {
		v.Errorf("write NODE or NODE.OPERATION", "%s can't be %s", v.Path(), quoted(v.text))
		node = ""
	}
	return Port{Node: node, Operation: operation, Place: v.Position()}
}

// headers reads the header actions of a destination.
func headers(list value) []HeaderAction {
	var actions []HeaderAction
	for _, o := range list.items {
		key, value := o.at("key"), o.at("value")
		a := HeaderAction{Action: HeaderVerb(o.at("actionType").text), Key: key.text, Value: value.text}
		switch {
		case a.Action == RemoveHeader && value.Present():
			value.Errorf("take it out", "%s has no meaning where a header is removed", value.Path())
		case a.Action != RemoveHeader && !value.Present() && o.at("actionType").ok:
			o.Errorf("add value:", "%s has no value", o.Path())
		}
		actions = append(actions, a)
	}
	return actions
}

// node reads a node into g, and reports whether it can be told what it is.
func (d *decoder) node(g *DataflowGraph, n value, seen map[string]bool) bool {
	name := n.at("name")
	sound := name.ok && !seen[name.text]
	if seen[name.text] && name.ok {
		name.Errorf("names must differ", "there are two nodes %q", name.text)
	}
	seen[name.text] = true
	switch kind := n.at("nodeType").text; kind {
	case "Source":
		g.Sources = append(g.Sources, d.source(g, name.text, n, n.at("sourceSettings")))
	case "Graph":
		g.Graphs = append(g.Graphs, d.graphNode(g, name.text, n))
	case "Destination":
		g.Destinations = append(g.Destinations, d.destination(g, name.text, n, n.at("destinationSettings"), "${outputTopic", "${inputTopic"))
	default:
		return false
	}
	return sound
}

// graphNode reads a node that a definition processes.
func (d *decoder) graphNode(g *DataflowGraph, name string, n value) Graph {
	s := n.at("graphSettings")
	artifact := s.at("artifact")
	graph := Graph{Name: name, Registry: d.refer(g.Namespace, s.at("registryEndpointRef")), Artifact: artifact.text, Place: n.Position()}
	if artifact.ok {
		if strings.ContainsAny(artifact.text, " \t\n") || strings.Contains(artifact.text, "://") {
			artifact.Errorf("write NAME:TAG; where it is, its RegistryEndpoint says", "%s can't be %s", artifact.Path(), quoted(artifact.text))
		}
		d.later(func() {
			r := d.set.Registries[Key{g.Namespace, graph.Registry}]
			if r != nil && !r.local() && !strings.Contains(artifact.text, ":") {
				artifact.Errorf("write NAME:TAG or NAME@DIGEST", "%s names no version of %q", artifact.Path(), artifact.text)
			}
		})
	}
	given := map[string]bool{}
	for _, c := range s.at("configuration").items {
		key, value := c.at("key"), c.at("value")
		switch {
		case !key.ok:
		case given[key.text]:
			key.Errorf("remove one", "the configuration has two values for %q", key.text)
		default:
			graph.Configuration = append(graph.Configuration, Parameter{Key: key.text, Value: value.text})
		}
		given[key.text] = true
		if !value.Present() {
			c.Errorf("add value:", "%s has no value", c.Path())
		}
	}
	return graph
}

// source reads the settings of a node that messages come from.
func (d *decoder) source(g *DataflowGraph, name string, n, s value) Source {
	endpoint := s.at("endpointRef")
	source := Source{Name: name, Place: n.Position(), Endpoint: d.refer(g.Namespace, endpoint)}
	topics := s.at("dataSources")
	seen := map[string]bool{}
	for _, f := range topics.items {
		if f.ok && seen[f.text] {
			f.Warnf("remove one", "topic filter %s is given twice", quoted(f.text))
		}
		seen[f.text] = true
		source.Topics = append(source.Topics, f.text)
	}
	asset := s.at("assetRef")
	asset.Warnf("", "assets are not looked up; the topics of dataSources are used")
	d.later(func() {
		e := d.set.Endpoints[Key{g.Namespace, source.Endpoint}]
		if e != nil && e.Kafka != nil {
			checkKafkaSource(e, endpoint, topics)
			return
		}
		for _, f := range topics.items {
			if !f.ok {
				continue
			}
			if err := checkFilter(f.text); err != nil {
				f.Errorf("", "topic filter %s: %v", quoted(f.text), err)
			}
		}
		if count := d.set.Instances(g); e != nil && count > 1 && !e.shares() {
			endpoint.Warnf("give it a DataflowProfile with instanceCount: 1",
				"Event Grid has no shared subscriptions, by which the %d instances of the profile %s would divide what comes", count, g.Profile)
		}
		for _, f := range topics.items {
			if e != nil && !e.shares() && f.ok && topic.Unshared(f.text) != f.text {
				f.Warnf("write "+topic.Unshared(f.text), "Event Grid has no shared subscriptions")
			}
		}
		if e != nil && g.RequestPersistence && e.MQTT.SessionExpiry == 0 {
			endpoint.Warnf("", "requestDiskPersistence keeps nothing: sessions at %s end with their connections (sessionExpirySeconds: 0)", e.Name)
		}
	})
	return source
}

// foreign finds what looks like a reference in a template.
var foreign = regexp.MustCompile(`\$\{[^}]*\}?`)

// destination reads the settings of a node that messages go to. Its topic may refer to
// that of each message as known, and not as unknown.
func (d *decoder) destination(g *DataflowGraph, name string, n, s value, known, unknown string) Destination {
	to := s.at("dataDestination")
	destination := Destination{
		Name:     name,
		Endpoint: d.refer(g.Namespace, s.at("endpointRef")),
		Topic:    to.text,
		Headers:  headers(s.at("headers")),
		Place:    n.Position(),
	}
	template, err := topic.Parse(destination.Topic)
	switch {
	case !to.ok:
	case err != nil:
		to.Errorf("", "topic %s: %v", quoted(destination.Topic), err)
	case len(destination.Topic) > maxTopic:
		to.Errorf("shorten it", "topic %s: it has more than %d bytes", quoted(destination.Topic), maxTopic)
	case strings.Contains(destination.Topic, unknown):
		to.Errorf("write "+known+"}", "topic %s: there is no %s} here", quoted(destination.Topic), unknown)
	default:
		for _, reference := range foreign.FindAllString(destination.Topic, -1) {
			if t, err := topic.Parse(reference); err == nil && t.Filter() == reference {
				to.Warnf("the references are "+known+"} and "+known+".N}", "topic %s: %s is published as it is", quoted(destination.Topic), reference)
			}
		}
		if template.Filter() == "#" && destination.Topic == known+"}" {
			destination.Topic = ""
		}
	}
	d.later(func() {
		if e := d.set.Endpoints[Key{g.Namespace, destination.Endpoint}]; e != nil && e.Kafka != nil && to.ok {
			if err := checkKafkaTopic(to.text); err != nil {
				to.Errorf("", "topic %s: %v", quoted(to.text), err)
			}
		}
	})
	return destination
}

// maxTopic is the number of bytes that a topic may have.
const maxTopic = 65535

// checkFilter checks an MQTT topic filter.
func checkFilter(filter string) error {
	for _, prefix := range []string{"$share/", "$shared/"} {
		if rest, ok := strings.CutPrefix(filter, prefix); ok {
			if group, _, _ := strings.Cut(rest, "/"); group == "" || strings.ContainsAny(group, "+#") {
				return errors.New("the group of a shared subscription has a name without '+' and '#', as in $share/GROUP/FILTER")
			}
		}
	}
	if filter = topic.Unshared(filter); filter == "" {
		return errors.New("it is empty")
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) {
			return errors.New("'#' stands alone and last, after a '/'")
		}
		if strings.Contains(level, "+") && level != "+" {
			return errors.New("'+' stands alone between two '/'")
		}
	}
	if strings.ContainsRune(filter, 0) || len(filter) > maxTopic {
		return errors.New("it has a null character or more than 65535 bytes")
	}
	return nil
}

// checkKafkaSource checks a source whose endpoint is Kafka.
func checkKafkaSource(e *DataflowEndpoint, endpoint, topics value) {
	if e.Kafka.Group == "" {
		endpoint.Errorf("write kafkaSettings.consumerGroupId there", "the DataflowEndpoint %s has no consumer group, which a source needs", e.Name)
	}
	for _, n := range topics.items {
		if !n.ok {
			continue
		}
		if err := checkKafkaTopic(n.text); err != nil {
			n.Errorf("", "topic %s: %v", quoted(n.text), err)
		}
	}
}

// levels returns how many levels the topics have that a filter selects; false where
// that differs.
func levels(filter string) (int, bool) {
	all := strings.Split(strings.Trim(topic.Unshared(filter), "/"), "/")
	return len(all), !slices.Contains(all, "#")
}

// referenced finds the levels that a template asks for.
var referenced = regexp.MustCompile(`\$\{inputTopic\.(\d+)\}`)

// checkLevels reports where a destination asks for a level that no topic of the source
// has: every message would be dropped.
func checkLevels(to document.Node, template string, filters []string) {
	most := 0
	for _, f := range filters {
		n, known := levels(f)
		if !known || checkFilter(f) != nil {
			return
		}
		most = max(most, n)
	}
	for _, m := range referenced.FindAllStringSubmatch(template, -1) {
		if n := number(m[1]); n > most && most > 0 {
			to.Errorf("levels are counted from 1", "topic %s: no topic of the source has %d levels", quoted(template), n)
		}
	}
}
