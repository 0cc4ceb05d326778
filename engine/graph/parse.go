// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/wasm-graph/graphd/engine/document"
)

// MaxSize is the size in bytes of the largest document that Parse reads.
const MaxSize = 256 << 10

// Parse reads and checks the definition in data, YAML or JSON; file is the name
// that problems are reported under. The definition may be used if the problems'
// Err is nil. With errors it holds what could be read, or is nil if that is
// nothing.
func Parse(file string, data []byte) (*Definition, document.Problems) {
	r := document.NewReader(file)
	top := document.Position{Line: 1, Column: 1}
	if len(data) > MaxSize {
		r.Errorf(top, "", "the document has %d bytes, more than %d", len(data), MaxSize)
		return nil, r.Problems()
	}
	documents := r.Documents(data)
	if r.Problems().Err() != nil {
		return nil, r.Problems()
	}
	if len(documents) == 0 {
		r.Errorf(top, "", "the document is empty")
		return nil, r.Problems()
	}
	if kind := documents[0].Peek("kind"); kind.Present() && documents[0].Peek("apiVersion").Present() {
		kind.Errorf("check it with graphctl validate -f, and run it with graphctl apply -f", "this is a resource, not a graph definition")
		return nil, r.Problems()
	}
	for _, more := range documents[1:] {
		more.Errorf("keep one graph per file", "a second YAML document begins here")
	}
	d := definition(documents[0])
	if d != nil {
		d.File = file
		check(r, d)
	}
	return d, r.Problems()
}

// definition reads the definition, or returns nil where n is no object.
func definition(n document.Node) *Definition {
	o := n.Object("metadata", "moduleRequirements", "moduleConfigurations", "operations", "connections", "schemas")
	if !o.Present() {
		return nil
	}
	d := &Definition{
		Metadata: metadata(o.Required("metadata", "add metadata: with $schema, name and version")),
		Requirements: requirements(o.Required("moduleRequirements",
			`add moduleRequirements: with apiVersion: "1.1.0" and runtimeVersion: "1.1.0"`)),
	}
	for _, n := range o.Required("operations", "add operations: with at least a source and a sink").List() {
		d.Operations = append(d.Operations, operation(n))
	}
	for _, n := range o.Required("connections", "add connections: that lead from the source to the sink").List() {
		d.Connections = append(d.Connections, connection(n))
	}
	for _, n := range o.Optional("moduleConfigurations").List() {
		d.Configurations = append(d.Configurations, configuration(n))
	}
	for _, n := range o.Optional("schemas").List() {
		d.Schemas = append(d.Schemas, schema(n))
	}
	return d
}

func metadata(n document.Node) Metadata {
	o := n.Object("$schema", "name", "version", "description", "vendor")
	return Metadata{
		Schema:      o.Required("$schema", "add $schema: "+SchemaURL).Text(),
		Name:        o.Required("name", "").Text(),
		Version:     o.Required("version", `add version: "1.0.0"`).Text(),
		Description: o.Optional("description").Text(),
		Vendor:      o.Optional("vendor").Text(),
	}
}

func requirements(n document.Node) Requirements {
	features := []string{FeatureNN}
	// hostlibVersion is what runtimeVersion was called in the preview.
	o := n.Object("apiVersion", "runtimeVersion", "features", "hostlibVersion")
	q := Requirements{APIVersion: version(o.Required("apiVersion", `add apiVersion: "1.1.0"`))}
	if old := o.Optional("hostlibVersion"); old.Present() && !o.Optional("runtimeVersion").Present() {
		q.RuntimeVersion = version(old)
		old.Warnf("write runtimeVersion", "moduleRequirements.hostlibVersion is an old spelling")
	} else {
		q.RuntimeVersion = version(o.Required("runtimeVersion", `add runtimeVersion: "1.1.0"`))
	}
	for _, n := range o.Optional("features").List() {
		f := n.Object("name", "value")
		name := f.Required("name", "")
		q.Features = append(q.Features, Feature{Name: name.Text(), Value: f.Optional("value").Text()})
		if name.Text() != "" && !slices.Contains(features, name.Text()) {
			name.Errorf(document.Suggest(name.Text(), features), "this runtime has no feature %q", name.Text())
		}
	}
	return q
}

// version reads a version that modules ask for: one that isn't later than Version.
func version(n document.Node) string {
	text := n.Text()
	if text == "" {
		return ""
	}
	if wanted, have := "v"+text, "v"+Version; !semver.IsValid(wanted) {
		n.Errorf(fmt.Sprintf("write %q", Version), "%s can't be %q: it is no version", n.Path(), text)
	} else if semver.Compare(wanted, have) > 0 {
		n.Errorf(fmt.Sprintf("write %q, or run it with a later graphd", Version), "%s is %q, and this runtime implements %s", n.Path(), text, Version)
	}
	return text
}

func operation(n document.Node) Operation {
	o := n.Object("operationType", "name", "module")
	name, module := o.Required("name", ""), o.Optional("module")
	kind := o.Required("operationType", "add operationType: with one of "+strings.Join(kindNames(), ", "))
	return Operation{
		Name:      name.Text(),
		Kind:      Kind(word(kind, kindNames())),
		Module:    module.Text(),
		Pos:       placeOr(name, n),
		ModulePos: module.Position(),
	}
}

func connection(n document.Node) Connection {
	o := n.Object("from", "to")
	from := o.Required("from", "add from: with the name: of an operation")
	to := o.Required("to", "add to: with the name: of an operation")
	f, t := from.Object("name", "arm", "schemaName"), to.Object("name")
	fromName, toName := f.Required("name", ""), t.Required("name", "")
	return Connection{
		From:    fromName.Text(),
		To:      toName.Text(),
		Arm:     arm(f.Optional("arm")),
		Schema:  f.Optional("schemaName").Text(),
		FromPos: placeOr(fromName, from, n),
		ToPos:   placeOr(toName, to, n),
	}
}

// arm reads the arm of a connection. One that is not quoted or not capitalised is
// reported and taken for what was meant, so that it isn't reported as missing too.
func arm(n document.Node) Arm {
	switch {
	case !n.Present():
		return NoArm
	case n.IsBool():
		if n.Bool() {
			n.Errorf(`write "True", with the quotes`, "%s must be a string, not a boolean", n.Path())
			return True
		}
		n.Errorf(`write "False", with the quotes`, "%s must be a string, not a boolean", n.Path())
		return False
	}
	switch text := word(n, []string{"False", "True"}); {
	case strings.EqualFold(text, "false"):
		return False
	case strings.EqualFold(text, "true"):
		return True
	}
	return NoArm
}

func configuration(n document.Node) Configuration {
	o := n.Open()
	name := o.Required("name", "write the name of an operation")
	c := Configuration{Name: name.Text(), Pos: placeOr(name, n)}
	for _, p := range o.Required("parameters", "add parameters: or remove the configuration").Map() {
		c.Parameters = append(c.Parameters, parameter(p))
	}
	return c
}

func parameter(p document.Property) Parameter {
	o := p.Value.Open()
	q := Parameter{
		Key:         p.Name,
		Name:        o.Required("name", "add name: with the parameter's name").Text(),
		Description: o.Optional("description").Text(),
		Required:    o.Optional("required").Bool(),
		Pos:         p.Place,
	}
	if n := o.Optional("default"); n.Present() {
		value := n.Text()
		q.Default = &value
	}
	return q
}

func schema(n document.Node) Schema {
	o := n.Open()
	name := o.Required("name", "")
	return Schema{
		Name:    name.Text(),
		Format:  o.Required("format", "").Text(),
		Content: o.Required("schema", "").Text(),
		Pos:     placeOr(name, n),
	}
}

// word reads a text that must be one of names, in their very spelling; it is
// returned as it is meant, "" where that is unclear.
func word(n document.Node, names []string) string {
	text := n.Text()
	if text == "" {
		return ""
	}
	for _, name := range names {
		if strings.EqualFold(text, name) {
			if text != name {
				n.Errorf(document.Suggest(text, names), "%s can't be %q", n.Path(), text)
			}
			return name
		}
	}
	n.Errorf(document.Suggest(text, names), "%s can't be %q", n.Path(), text)
	return ""
}

// placeOr is the place of the first of nodes that is present.
func placeOr(nodes ...document.Node) document.Position {
	for _, n := range nodes {
		if n.Present() {
			return n.Position()
		}
	}
	return document.Position{}
}

func kindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}
