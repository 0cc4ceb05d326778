// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// reader walks a YAML document along the schema and collects what is wrong.
type reader struct {
	file     string
	problems Problems
	read     int // properties and list items read so far, aliases followed
}

// A document is refused when aliases unfold it beyond maxNodes properties and list
// items, and not searched for further faults once it has maxProblems.
const (
	maxNodes    = 100_000
	maxProblems = 100
)

// enough counts one more node and reports whether reading should stop there.
func (r *reader) enough(n *yaml.Node) bool {
	r.read++
	if r.read == maxNodes {
		r.errorf(position(n), "", "the document has more than %d properties and list items", maxNodes)
	}
	return r.read >= maxNodes || len(r.problems) >= maxProblems
}

func (r *reader) report(s Severity, pos Position, message, hint string) {
	r.problems = append(r.problems, &Problem{Severity: s, File: r.file, Position: pos, Message: message, Hint: hint})
}

func (r *reader) errorf(pos Position, hint, format string, args ...any) {
	r.report(Error, pos, fmt.Sprintf(format, args...), hint)
}

func (r *reader) warnf(pos Position, hint, format string, args ...any) {
	r.report(Warning, pos, fmt.Sprintf(format, args...), hint)
}

// syntaxPlace finds the line in a message of the YAML scanner.
var syntaxPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// root returns the top node of the only document in data, or nil.
func (r *reader) root(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if err == nil {
		if err := dec.Decode(&more); err == nil {
			r.errorf(Position{more.Line, more.Column}, "keep one graph per file", "a second YAML document begins here")
			return nil
		} else if !errors.Is(err, io.EOF) {
			r.syntaxError(err)
			return nil
		}
		return doc.Content[0]
	}
	if errors.Is(err, io.EOF) {
		r.errorf(Position{1, 1}, "", "the document is empty")
	} else {
		r.syntaxError(err)
	}
	return nil
}

func (r *reader) syntaxError(err error) {
	pos, text := Position{1, 1}, err.Error()
	if m := syntaxPlace.FindStringSubmatch(text); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil && line > 0 {
			pos.Line = line
		}
		text = m[2]
	}
	r.errorf(pos, "", "not valid YAML: %s", text)
}

func position(n *yaml.Node) Position { return Position{n.Line, n.Column} }

// target follows an alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	n = target(n)
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// found names what a node holds, for messages.
func found(n *yaml.Node) string {
	switch n = target(n); n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the boolean " + n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!timestamp":
		return "the date " + n.Value
	}
	return strconv.Quote(n.Value)
}

// object is a mapping node with its properties taken apart.
type object struct {
	r      *reader
	path   string // as in "operations[2].", for messages; empty at the root
	pos    Position
	names  []*yaml.Node // keys in the document's order
	values map[string]*yaml.Node
}

// object reads n as an object whose properties are known, or any if known is nil.
// It returns nil if n is none.
func (r *reader) object(n *yaml.Node, path string, known []string) *object {
	m := target(n)
	if m.Kind != yaml.MappingNode {
		r.errorf(position(n), "", "%s must be an object, not %s", cmp.Or(path, "the document"), found(n))
		return nil
	}
	o := &object{r: r, pos: position(n), values: map[string]*yaml.Node{}}
	if path != "" {
		o.path = path + "."
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := target(m.Content[i]), m.Content[i+1]
		pos := position(m.Content[i])
		if r.enough(m.Content[i]) {
			break
		}
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			r.errorf(pos, "write the properties out", "property names of %s must be plain text", cmp.Or(path, "the document"))
		case o.values[key.Value] != nil:
			r.errorf(pos, "remove one", "property %s%s is given twice", o.path, key.Value)
		default:
			if known != nil && !slices.Contains(known, key.Value) {
				r.errorf(pos, suggest(key.Value, known), "unknown property %s%s", o.path, key.Value)
			}
			o.values[key.Value] = value
			o.names = append(o.names, m.Content[i])
		}
	}
	return o
}

// required returns the value of a property, which must be there.
func (o *object) required(name, hint string) *yaml.Node {
	n := o.values[name]
	if n == nil {
		o.r.errorf(o.pos, hint, "property %s%s is missing", o.path, name)
	}
	return n
}

// text reads a property that must be there and a string.
func (o *object) text(name, hint string) (string, Position) {
	n := o.required(name, hint)
	if n == nil {
		return "", o.pos
	}
	s, _ := o.r.text(n, o.path+name)
	return s, position(n)
}

// optional reads a property that may be absent, null or a string. present is false
// in the first two cases, and where it is something else, which is reported.
func (o *object) optional(name string) (value string, pos Position, present bool) {
	n := o.values[name]
	if n == nil {
		return "", o.pos, false
	}
	if isNull(n) {
		return "", position(n), false
	}
	value, present = o.r.text(n, o.path+name)
	return value, position(n), present
}

// text reads a node that must be a string.
func (r *reader) text(n *yaml.Node, path string) (string, bool) {
	s := target(n)
	if s.Kind == yaml.ScalarNode && s.ShortTag() == "!!str" {
		return s.Value, true
	}
	hint := ""
	if s.Kind == yaml.ScalarNode && s.Value != "" {
		hint = "write " + strconv.Quote(s.Value) + ", with the quotes"
	}
	r.errorf(position(n), hint, "%s must be a string, not %s", path, found(n))
	return "", false
}

// list reads n as a list and calls each with every item and its path.
func (r *reader) list(n *yaml.Node, path string, each func(n *yaml.Node, path string)) {
	if n == nil {
		return
	}
	s := target(n)
	if s.Kind != yaml.SequenceNode {
		r.errorf(position(n), "", "%s must be a list, not %s", path, found(n))
		return
	}
	for i, item := range s.Content {
		if r.enough(item) {
			return
		}
		each(item, path+"["+strconv.Itoa(i)+"]")
	}
}
