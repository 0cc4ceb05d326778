// SPDX-License-Identifier: Apache-2.0

// Package document reads YAML and JSON that people wrote: it walks documents
// along what their reader expects, keeps the place of everything, and collects all
// that is wrong as Problems, each with its place and, where possible, with what to
// write instead.
//
// A Node is a value in a document, an Object a value with named properties. Asking
// a Node for what it isn't reports a problem and gives a zero value; an absent Node
// gives zero values and reports nothing. So code that reads a document is a plain
// list of what is in it, and looks at Err once, at the end.
//
// Strictness against the usual accidents of YAML: a property that nobody expects is
// an error, as is one given twice; what must be text isn't taken from a number or a
// boolean; merge keys are refused; aliases may not unfold a document without bound.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wasm-graph/graphd/internal/nearest"
)

// A Reader refuses documents that unfold beyond maxNodes properties and list
// items, and stops looking for faults once it has maxProblems.
const (
	maxNodes    = 100_000
	maxProblems = 100
)

// Reader reads one file. It is used by one goroutine.
type Reader struct {
	file     string
	problems Problems
	read     int // properties and list items read so far, aliases followed
}

// NewReader returns a Reader whose problems name file.
func NewReader(file string) *Reader { return &Reader{file: file} }

// Problems returns what was found so far, at most maxProblems, in the order of
// their places.
func (r *Reader) Problems() Problems {
	ps := slices.Clone(r.problems[:min(len(r.problems), maxProblems)])
	ps.Sort()
	return ps
}

// Errorf reports an error at a place. The hint may be empty.
func (r *Reader) Errorf(pos Position, hint, format string, args ...any) {
	r.report(Error, pos, hint, fmt.Sprintf(format, args...))
}

// Warnf reports a warning at a place. The hint may be empty.
func (r *Reader) Warnf(pos Position, hint, format string, args ...any) {
	r.report(Warning, pos, hint, fmt.Sprintf(format, args...))
}

func (r *Reader) report(s Severity, pos Position, hint, message string) {
	r.problems = append(r.problems, &Problem{Severity: s, File: r.file, Position: pos, Message: message, Hint: hint})
}

// enough counts one more node and reports whether reading should stop there.
func (r *Reader) enough(pos Position) bool {
	r.read++
	if r.read == maxNodes {
		r.Errorf(pos, "", "the document has more than %d properties and list items", maxNodes)
	}
	return r.read >= maxNodes || len(r.problems) >= maxProblems
}

// Documents returns the documents in data, empty ones left out. Text that is no YAML is
// reported, and ends the list.
func (r *Reader) Documents(data []byte) []Node {
	if !r.readable(data) {
		return nil
	}
	var nodes []Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nodes
		}
		if err != nil {
			r.syntax(err, data)
			return nodes
		}
		if len(doc.Content) == 0 {
			continue
		}
		if node := (Node{reader: r, yaml: doc.Content[0]}); !node.IsNull() {
			nodes = append(nodes, node)
		}
	}
}

// Node is a value in a document, or, where it is zero, an absent one.
type Node struct {
	reader *Reader
	yaml   *yaml.Node
	path   string // as in "spec.nodes[2].name", for messages; empty at the top
	hidden bool   // messages don't quote it
}

// Hidden returns the value as one that messages don't quote, nor anything below it: they go
// to logs and terminals, where a password must not be.
func (n Node) Hidden() Node {
	n.hidden = true
	return n
}

// Present reports whether there is a value; null is one.
func (n Node) Present() bool { return n.yaml != nil }

// IsNull reports whether the value is null.
func (n Node) IsNull() bool {
	return n.Present() && n.target().Kind == yaml.ScalarNode && n.target().ShortTag() == "!!null"
}

// IsBool reports whether the value is a boolean.
func (n Node) IsBool() bool {
	return n.Present() && n.target().Kind == yaml.ScalarNode && n.target().ShortTag() == "!!bool"
}

// IsText reports whether the value is a string.
func (n Node) IsText() bool {
	return n.Present() && n.target().Kind == yaml.ScalarNode && n.target().ShortTag() == "!!str"
}

// IsList reports whether the value is a list.
func (n Node) IsList() bool { return n.Present() && n.target().Kind == yaml.SequenceNode }

// IsObject reports whether the value is an object.
func (n Node) IsObject() bool { return n.Present() && n.target().Kind == yaml.MappingNode }

// Position is where the value begins; zero where it is absent.
func (n Node) Position() Position {
	if !n.Present() {
		return Position{}
	}
	return Position{n.yaml.Line, n.yaml.Column}
}

// Path names the value as in "spec.nodes[2].name".
func (n Node) Path() string {
	if n.path == "" {
		return "the document"
	}
	return n.path
}

// Errorf reports an error at the value. It does nothing where that is absent.
func (n Node) Errorf(hint, format string, args ...any) {
	if n.Present() {
		n.reader.Errorf(n.Position(), hint, format, args...)
	}
}

// Warnf reports a warning at the value. It does nothing where that is absent.
func (n Node) Warnf(hint, format string, args ...any) {
	if n.Present() {
		n.reader.Warnf(n.Position(), hint, format, args...)
	}
}

// target follows an alias to what it stands for.
func (n Node) target() *yaml.Node {
	if n.yaml.Kind == yaml.AliasNode {
		return n.yaml.Alias
	}
	return n.yaml
}

// found names what a node holds, for messages.
func (n Node) found() string {
	t := n.target()
	switch t.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := t.ShortTag(); {
	case tag == "!!null":
		return "nothing"
	case n.hidden && tag == "!!bool":
		return "a boolean"
	case n.hidden && (tag == "!!int" || tag == "!!float"):
		return "a number"
	case n.hidden && tag == "!!timestamp":
		return "a date"
	case n.hidden, n.path == "" && tag == "!!str": // a document that is one text may be anything, a key file too
		return "a text"
	}
	switch t.ShortTag() {
	case "!!bool":
		return "the boolean " + t.Value
	case "!!int", "!!float":
		return "the number " + t.Value
	case "!!timestamp":
		return "the date " + t.Value
	}
	return strconv.Quote(t.Value)
}

// Text returns the value, which must be a string.
func (n Node) Text() string {
	if !n.Present() {
		return ""
	}
	t := n.target()
	if n.IsText() {
		return t.Value
	}
	hint := ""
	if t.Kind == yaml.ScalarNode && t.Value != "" && t.Tag != "!!binary" {
		hint = "write " + strconv.Quote(t.Value) + ", with the quotes"
		if n.hidden {
			hint = "write it with quotes"
		}
	}
	n.Errorf(hint, "%s must be a string, not %s", n.Path(), n.found())
	return ""
}

// Int returns the value, which must be a whole number from low to high; false where it
// is none, which is reported, or absent.
func (n Node) Int(low, high int) (int, bool) {
	if !n.Present() {
		return 0, false
	}
	var i int
	t := n.target()
	if t.Kind != yaml.ScalarNode || t.ShortTag() != "!!int" || t.Decode(&i) != nil {
		hint := ""
		if _, err := strconv.Atoi(t.Value); err == nil && n.IsText() {
			hint = "write " + t.Value + ", without the quotes"
		}
		n.Errorf(hint, "%s must be a whole number, not %s", n.Path(), n.found())
		return 0, false
	}
	if i < low || i > high {
		n.Errorf("", "%s must be from %d to %d, not %d", n.Path(), low, high, i)
		return 0, false
	}
	return i, true
}

// Bool returns the value, which must be true or false.
func (n Node) Bool() bool {
	if !n.Present() {
		return false
	}
	var b bool
	t := n.target()
	if t.Kind != yaml.ScalarNode || t.ShortTag() != "!!bool" || t.Decode(&b) != nil {
		n.Errorf("write true or false", "%s must be a boolean, not %s", n.Path(), n.found())
	}
	return b
}

// Enum returns the one of names that the value is, in any case; "" where it is
// none, which is reported.
func (n Node) Enum(names ...string) string {
	if !n.Present() {
		return ""
	}
	if !n.IsText() {
		n.Errorf(Suggest("", names), "%s must be a string, not %s", n.Path(), n.found())
		return ""
	}
	s := n.Text()
	for _, name := range names {
		if strings.EqualFold(name, s) {
			return name
		}
	}
	n.Errorf(Suggest(s, names), "%s can't be %q", n.Path(), s)
	return ""
}

// List returns the items of the value, which must be a list.
func (n Node) List() []Node {
	if !n.Present() {
		return nil
	}
	t := n.target()
	if t.Kind != yaml.SequenceNode {
		n.Errorf("", "%s must be a list, not %s", n.Path(), n.found())
		return nil
	}
	var items []Node
	for i, item := range t.Content {
		node := Node{reader: n.reader, yaml: item, path: n.path + "[" + strconv.Itoa(i) + "]", hidden: n.hidden}
		if n.reader.enough(node.Position()) {
			break
		}
		items = append(items, node)
	}
	return items
}

// Map returns the properties of the value, which must be an object, in their
// order. Names may be any.
func (n Node) Map() []Property {
	if !n.Present() {
		return nil
	}
	t := n.target()
	if t.Kind != yaml.MappingNode {
		n.Errorf("", "%s must be an object, not %s", n.Path(), n.found())
		return nil
	}
	prefix := n.path
	if prefix != "" {
		prefix += "."
	}
	var properties []Property
	seen := map[string]bool{}
	for i := 0; i+1 < len(t.Content); i += 2 {
		name := Node{reader: n.reader, yaml: t.Content[i], hidden: n.hidden}
		key := name.target()
		switch {
		case n.reader.enough(name.Position()):
			return properties
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			name.Errorf("write the properties out", "property names of %s must be plain text", n.Path())
		case seen[key.Value]:
			name.Errorf("remove one", "property %s%s is given twice", prefix, key.Value)
		default:
			seen[key.Value] = true
			properties = append(properties, Property{
				Name:  key.Value,
				Place: name.Position(),
				Value: Node{reader: n.reader, yaml: t.Content[i+1], path: prefix + key.Value, hidden: n.hidden},
			})
		}
	}
	return properties
}

// Peek returns a property of the value where that is an object and has it, and
// reports nothing: it is for what decides how an object is read.
func (n Node) Peek(name string) Node {
	if !n.IsObject() {
		return Node{}
	}
	content := n.target().Content
	for i := 0; i+1 < len(content); i += 2 {
		if key := (Node{reader: n.reader, yaml: content[i]}).target(); key.Kind == yaml.ScalarNode && key.Value == name {
			return Node{reader: n.reader, yaml: content[i+1], path: strings.TrimPrefix(n.path+"."+name, "."), hidden: n.hidden}
		}
	}
	return Node{}
}

// Property is a named value of an object.
type Property struct {
	Name  string
	Place Position // of the name
	Value Node
}

// Errorf reports an error at the name.
func (p Property) Errorf(hint, format string, args ...any) {
	p.Value.reader.Errorf(p.Place, hint, format, args...)
}

// Object returns the value, which must be an object, with the properties that it
// may have. Other properties are reported. An absent value, or one that is no
// object, gives an absent Object whose properties are all absent.
func (n Node) Object(known ...string) Object {
	o := n.object()
	for _, p := range n.Map() {
		if !slices.Contains(known, p.Name) {
			p.Errorf(Suggest(p.Name, known), "unknown property %s", p.Value.path)
			continue
		}
		o.properties[p.Name] = p.Value
	}
	return o
}

// Open returns the value, which must be an object, with all its properties: what
// nobody expects is tolerated.
func (n Node) Open() Object {
	o := n.object()
	for _, p := range n.Map() {
		o.properties[p.Name] = p.Value
	}
	return o
}

// object returns n as an Object without properties yet. What is no object is
// reported by Map, and treated as absent from there on.
func (n Node) object() Object {
	o := Object{properties: map[string]Node{}}
	if n.IsObject() {
		o.Node = n
	}
	return o
}

// Object is a value with named properties.
type Object struct {
	Node
	properties map[string]Node
}

// Optional returns a property, absent where it is left out or null.
func (o Object) Optional(name string) Node {
	n := o.properties[name]
	if n.IsNull() {
		return Node{}
	}
	return n
}

// Required returns a property, and reports where it is left out, null or empty
// text.
func (o Object) Required(name, hint string) Node {
	n := o.Optional(name)
	switch {
	case !n.Present():
		prefix := o.path
		if prefix != "" {
			prefix += "."
		}
		o.Errorf(hint, "property %s%s is missing", prefix, name)
	case n.IsText() && n.target().Value == "":
		n.Errorf(hint, "%s is empty", n.Path())
		return Node{}
	}
	return n
}

// Suggest returns a hint towards the name meant by got: the nearest of known, or
// all of them where none is near and they are few.
func Suggest(got string, known []string) string {
	const few = 12
	if near, ok := nearest.Word(got, known); ok {
		return "did you mean " + near + "?"
	}
	switch {
	case len(known) == 0 || len(known) > few:
		return ""
	case len(known) == 1:
		return "write " + known[0]
	}
	return "write one of " + strings.Join(known, ", ")
}
