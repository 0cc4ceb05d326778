// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the size in bytes of the largest document that Parse reads.
const MaxSize = 256 << 10

// Parse reads and checks the definition in data, YAML or JSON; file is the name
// that problems are reported under. The definition may be used if the problems'
// Err is nil. With errors it holds what could be read, or is nil if that is
// nothing.
func Parse(file string, data []byte) (*Definition, Problems) {
	r := &reader{file: file}
	if len(data) > MaxSize {
		r.errorf(Position{1, 1}, "", "the document has %d bytes, more than %d", len(data), MaxSize)
		return nil, r.problems
	}
	root := r.root(data)
	if root == nil {
		return nil, r.problems
	}
	d := r.definition(root)
	if d != nil && len(r.problems) < maxProblems {
		r.check(d)
	}
	if len(r.problems) > maxProblems {
		r.problems = r.problems[:maxProblems]
	}
	r.problems.sort()
	return d, r.problems
}

func (r *reader) definition(n *yaml.Node) *Definition {
	o := r.object(n, "", []string{"metadata", "moduleRequirements", "moduleConfigurations", "operations", "connections", "schemas"})
	if o == nil {
		return nil
	}
	d := &Definition{File: r.file}
	if n := o.required("metadata", `add metadata: with $schema, name and version`); n != nil {
		d.Metadata = r.metadata(n)
	}
	if n := o.required("moduleRequirements", `add moduleRequirements: with apiVersion: "1.1.0" and runtimeVersion: "1.1.0"`); n != nil {
		d.Requirements = r.requirements(n)
	}
	r.list(o.required("operations", "add operations: with at least a source and a sink"), "operations", func(n *yaml.Node, path string) {
		d.Operations = append(d.Operations, r.operation(n, path))
	})
	r.list(o.required("connections", "add connections: that lead from the source to the sink"), "connections", func(n *yaml.Node, path string) {
		d.Connections = append(d.Connections, r.connection(n, path))
	})
	r.list(o.values["moduleConfigurations"], "moduleConfigurations", func(n *yaml.Node, path string) {
		d.Configurations = append(d.Configurations, r.configuration(n, path))
	})
	r.list(o.values["schemas"], "schemas", func(n *yaml.Node, path string) {
		d.Schemas = append(d.Schemas, r.schema(n, path))
	})
	return d
}

func (r *reader) metadata(n *yaml.Node) (m Metadata) {
	o := r.object(n, "metadata", []string{"$schema", "name", "version", "description", "vendor"})
	if o == nil {
		return m
	}
	m.Schema, _ = o.text("$schema", "add $schema: "+SchemaURL)
	m.Name, _ = o.text("name", "")
	m.Version, _ = o.text("version", `add version: "1.0.0"`)
	m.Description, _, _ = o.optional("description")
	m.Vendor, _, _ = o.optional("vendor")
	return m
}

func (r *reader) requirements(n *yaml.Node) (q Requirements) {
	// hostlibVersion is what runtimeVersion was called in the preview.
	o := r.object(n, "moduleRequirements", []string{"apiVersion", "runtimeVersion", "features", "hostlibVersion"})
	if o == nil {
		return q
	}
	q.APIVersion, _ = o.text("apiVersion", `add apiVersion: "1.1.0"`)
	if old, present := o.values["hostlibVersion"]; present && o.values["runtimeVersion"] == nil {
		q.RuntimeVersion, _ = o.text("hostlibVersion", "")
		r.warnf(position(old), "write runtimeVersion", "moduleRequirements.hostlibVersion is an old spelling")
	} else {
		q.RuntimeVersion, _ = o.text("runtimeVersion", `add runtimeVersion: "1.1.0"`)
	}
	if n := o.values["features"]; n != nil && !isNull(n) {
		r.list(n, "moduleRequirements.features", func(n *yaml.Node, path string) {
			if o := r.object(n, path, []string{"name", "value"}); o != nil {
				var f Feature
				f.Name, _ = o.text("name", "")
				f.Value, _, _ = o.optional("value")
				q.Features = append(q.Features, f)
			}
		})
	}
	return q
}

func (r *reader) operation(n *yaml.Node, path string) (op Operation) {
	op.Pos = position(n)
	o := r.object(n, path, []string{"operationType", "name", "module"})
	if o == nil {
		return op
	}
	op.Name, op.Pos = o.text("name", "")
	if n := o.values["name"]; n != nil && op.Name == "" && target(n).ShortTag() == "!!str" {
		r.errorf(op.Pos, "", "%s.name is empty", path)
	}
	if kind, pos := o.text("operationType", "add operationType: with one of "+kindList()); kind != "" {
		op.Kind = Kind(kind)
		if !slices.Contains(Kinds(), op.Kind) {
			r.errorf(pos, suggest(kind, kindNames()), "unknown operationType %q", kind)
			op.Kind = ""
		}
	}
	op.Module, op.ModulePos, _ = o.optional("module")
	return op
}

func (r *reader) connection(n *yaml.Node, path string) (c Connection) {
	c.FromPos, c.ToPos = position(n), position(n)
	o := r.object(n, path, []string{"from", "to"})
	if o == nil {
		return c
	}
	if n := o.required("from", "add from: with the name: of an operation"); n != nil {
		c.FromPos = position(n)
		if from := r.object(n, path+".from", []string{"name", "arm", "schemaName"}); from != nil {
			c.From, c.FromPos = from.text("name", "")
			c.Arm = r.arm(from.values["arm"], path+".from.arm")
			c.Schema, _, _ = from.optional("schemaName")
		}
	}
	if n := o.required("to", "add to: with the name: of an operation"); n != nil {
		c.ToPos = position(n)
		if to := r.object(n, path+".to", []string{"name"}); to != nil {
			c.To, c.ToPos = to.text("name", "")
		}
	}
	return c
}

// arm reads the arm of a connection. An unquoted or misspelt arm is reported and
// taken for what was meant, so that it isn't reported as missing too.
func (r *reader) arm(n *yaml.Node, path string) Arm {
	if n == nil || isNull(n) {
		return NoArm
	}
	s := target(n)
	meant := NoArm
	switch {
	case s.Kind != yaml.ScalarNode:
	case strings.EqualFold(s.Value, "false"):
		meant = False
	case strings.EqualFold(s.Value, "true"):
		meant = True
	}
	switch {
	case s.Kind == yaml.ScalarNode && s.ShortTag() == "!!bool" && meant != NoArm:
		r.errorf(position(n), `write "`+meant.String()+`", with the quotes`, "%s must be a string, not the boolean %s", path, s.Value)
	case s.Kind != yaml.ScalarNode || s.ShortTag() != "!!str":
		r.errorf(position(n), `write "False" or "True", with the quotes`, "%s must be a string, not %s", path, found(n))
	case s.Value != "False" && s.Value != "True":
		r.errorf(position(n), suggest(s.Value, []string{"False", "True"}), "unknown arm %q", s.Value)
	}
	return meant
}

func (r *reader) configuration(n *yaml.Node, path string) (c Configuration) {
	c.Pos = position(n)
	o := r.object(n, path, nil)
	if o == nil {
		return c
	}
	c.Name, c.Pos = o.text("name", "write the name of an operation")
	if n := o.required("parameters", "add parameters: or remove the configuration"); n != nil {
		params := r.object(n, path+".parameters", nil)
		if params == nil {
			return c
		}
		for _, key := range params.names {
			name := target(key).Value
			p := r.parameter(params.values[name], path+".parameters."+name)
			p.Key, p.Pos = name, position(key)
			c.Parameters = append(c.Parameters, p)
		}
	}
	return c
}

func (r *reader) parameter(n *yaml.Node, path string) (p Parameter) {
	o := r.object(n, path, nil)
	if o == nil {
		return p
	}
	p.Name, _ = o.text("name", "add name: with the parameter's name")
	p.Description, _, _ = o.optional("description")
	if value, _, present := o.optional("default"); present {
		p.Default = &value
	}
	if n := o.values["required"]; n != nil {
		b := target(n)
		required, err := strconv.ParseBool(b.Value)
		if b.Kind != yaml.ScalarNode || b.ShortTag() != "!!bool" || err != nil {
			r.errorf(position(n), "write true or false", "%s.required must be a boolean, not %s", path, found(n))
		}
		p.Required = required
	}
	return p
}

func (r *reader) schema(n *yaml.Node, path string) (s Schema) {
	s.Pos = position(n)
	o := r.object(n, path, nil)
	if o == nil {
		return s
	}
	s.Name, s.Pos = o.text("name", "")
	s.Format, _ = o.text("format", "")
	s.Content, _ = o.text("schema", "")
	return s
}

func kindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}

func kindList() string { return strings.Join(kindNames(), ", ") }
