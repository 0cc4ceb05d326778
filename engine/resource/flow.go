// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// flow reads a Dataflow. It becomes a DataflowGraph of a source and a destination: the
// engine knows one model.
func (d *decoder) flow(meta Meta, root value) {
	g := d.head(meta, root)
	g.Flow = true
	operations := root.at("spec").at("operations")
	count, unclear := map[string]int{}, len(operations.items) == 0
	var to value
	for _, o := range operations.items {
		kind := o.at("operationType").text
		if !o.at("operationType").ok {
			kind := o.Peek("operationType")
			unclear = unclear || !kind.IsText() || !strings.EqualFold(kind.Text(), "BuiltInTransformation")
			continue // that is said
		}
		if count[kind]++; count[kind] > 1 {
			o.Errorf("remove it, or declare another Dataflow", "a Dataflow has one %s", kind)
			continue
		}
		switch kind {
		case "Source":
			s := o.at("sourceSettings")
			ref := s.at("schemaRef")
			warnSchema(ref)
			g.Sources = append(g.Sources, d.source(g, flowSource, o, s))
		case "Destination":
			s := o.at("destinationSettings")
			to = s.at("dataDestination")
			g.Destinations = append(g.Destinations, d.destination(g, flowDestination, o, s, "${inputTopic", "${outputTopic"))
		}
	}
	for _, kind := range []string{"Source", "Destination"} {
		if operations.IsList() && count[kind] == 0 && !unclear {
			operations.Errorf("add an operation with operationType: "+kind, "the Dataflow has no %s", strings.ToLower(kind))
		}
	}
	d.countFlow(g, root)
	if len(g.Sources) != 1 || len(g.Destinations) != 1 {
		return
	}
	g.Connections = []Connection{{From: Port{Node: flowSource}, To: Port{Node: flowDestination}}}
	if d.set.Graphs[meta.Key] != nil {
		root.at("metadata").at("name").Errorf("give one of the two another name", "there is a DataflowGraph %s as well, and both run side by side", meta.Key)
		return
	}
	d.set.Graphs[meta.Key] = g
	if to.ok {
		checkLevels(to.Node, to.text, g.Sources[0].Topics)
	}
	d.checkGraph(g, operations.Node)
	d.later(func() {
		source, destination := d.set.Endpoints[Key{g.Namespace, g.Sources[0].Endpoint}], d.set.Endpoints[Key{g.Namespace, g.Destinations[0].Endpoint}]
		if source != nil && destination != nil && !source.local() && !destination.local() {
			operations.Warnf("graphd runs any pair", "neither end is the cluster's broker (%s and %s): Azure IoT Operations refuses that", source.address(), destination.address())
		}
	})
}

// The nodes that a Dataflow becomes.
const (
	flowSource      = "source"
	flowDestination = "destination"
)

// profileLimit is how many Dataflows the pods of a profile are known to start with in
// Azure IoT Operations.
const profileLimit = 70

// countFlow counts the Dataflows of a profile.
func (d *decoder) countFlow(g *DataflowGraph, root value) {
	profile := Key{g.Namespace, g.Profile}
	if d.flows[profile]++; d.flows[profile] == profileLimit+1 {
		root.at("metadata").at("name").Warnf("spread them over several profiles to take them there",
			"the profile %s has more than %d Dataflows: graphd runs them, and Azure IoT Operations may not", g.Profile, profileLimit)
	}
}

// local reports whether an endpoint is the broker of the cluster, or what stands for it
// on a laptop.
func (e *DataflowEndpoint) local() bool {
	if e.Kafka != nil {
		return false
	}
	host, _, _ := strings.Cut(e.MQTT.Host, ":")
	ip, err := netip.ParseAddr(host)
	return e.Name == DefaultName || host == "localhost" || err == nil && ip.IsLoopback() || strings.Contains(host, "aio-broker")
}

// address is where an endpoint is, for messages.
func (e *DataflowEndpoint) address() string {
	if e.Kafka != nil {
		return fmt.Sprintf("%s at Kafka %s", e.Name, e.Kafka.Host)
	}
	return fmt.Sprintf("%s at %s", e.Name, e.MQTT.Host)
}

// number reads digits; what is too large is larger than anything.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1<<31 - 1
	}
	return n
}
