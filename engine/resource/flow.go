// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
)

// flow reads a Dataflow. It becomes a DataflowGraph of a source and a destination: the
// engine knows one model.
func (d *decoder) flow(meta Meta, annotations []document.Property, o document.Object) {
	spec := o.Required("spec", "").Object("profileRef", "mode", "requestDiskPersistence", "operations")
	g := d.head(meta, annotations, spec)
	g.Flow = true
	operations := spec.Required("operations", "write operations: with a Source and a Destination")
	settings := map[string]string{
		"Source": "sourceSettings", "Destination": "destinationSettings", "BuiltInTransformation": "builtInTransformationSettings",
	}
	count := map[string]int{}
	for _, n := range operations.List() {
		o := n.Object("operationType", "name", "sourceSettings", "destinationSettings", "builtInTransformationSettings")
		kind := o.Required("operationType", "write Source or Destination").Enum("Source", "BuiltInTransformation", "Destination")
		if name := o.Optional("name"); len(name.Text()) > maxOperationName {
			name.Errorf("", "%s has more than %d characters", name.Path(), maxOperationName)
		}
		for other, field := range settings {
			if kind != "" && other != kind {
				p := o.Optional(field)
				p.Errorf("", "%s has no meaning for a %s", p.Path(), kind)
			}
		}
		if count[kind]++; kind != "" && count[kind] > 1 {
			n.Errorf("remove it, or declare another Dataflow", "a Dataflow has one %s", kind)
			continue
		}
		switch kind {
		case "Source":
			s := o.Required(settings[kind], "").Object("endpointRef", "dataSources", "assetRef", "serializationFormat", "schemaRef")
			s.Optional("serializationFormat").Enum("Json")
			schema := s.Optional("schemaRef")
			schema.Warnf("", "schemas are not checked at run time; %s is ignored", schema.Path())
			g.Sources = append(g.Sources, d.source(g, flowSource, n, s))
		case "BuiltInTransformation":
			p := o.Optional("operationType")
			p.Errorf("take the operation out, or use a DataflowGraph", "transformations are not supported yet")
		case "Destination":
			s := o.Required(settings[kind], "").Object("endpointRef", "dataDestination", "headers")
			g.Destinations = append(g.Destinations, d.destination(g, flowDestination, n, s, "${inputTopic", "${outputTopic"))
		}
	}
	for _, kind := range []string{"Source", "Destination"} {
		if operations.Present() && count[kind] == 0 {
			operations.Errorf("add an operation with operationType: "+kind, "the Dataflow has no %s", strings.ToLower(kind))
		}
	}
	if len(g.Sources) != 1 || len(g.Destinations) != 1 {
		return
	}
	g.Connections = []Connection{{From: Port{Node: flowSource}, To: Port{Node: flowDestination}}}
	if d.set.Graphs[meta.Key] != nil {
		o.Required("spec", "").Errorf("give one of the two another name", "there is a DataflowGraph %s as well, and both run side by side", meta.Key)
		return
	}
	d.set.Graphs[meta.Key] = g
	d.checkGraph(g, operations)
}

// The nodes that a Dataflow becomes.
const (
	flowSource      = "source"
	flowDestination = "destination"
)

// maxOperationName bounds the name of an operation of a Dataflow.
const maxOperationName = 64
