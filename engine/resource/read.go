// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource/schema"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// value is what a document has for a field of the table, checked along it. Where the
// document has nothing, or something wrong, which is reported, it is the field's default.
type value struct {
	document.Node // absent where the document has nothing
	field         *schema.Field
	ok            bool // the document has it, and nothing is wrong with it itself

	text   string              // of a String; the canonical spelling of an enumeration
	number int                 // of an Integer
	flag   bool                // of a Boolean
	items  []value             // of a List
	pairs  []document.Property // of a Map
	fields map[string]value    // of an Object: what the document has, by the field's name
}

// at returns a field of an object. It panics where the table has none of that name.
func (v value) at(name string) value {
	f := v.field.Field(name)
	if f == nil {
		panic("resource: the table of fields has no " + name + " in " + v.field.Name)
	}
	if found, ok := v.fields[f.Name]; ok {
		return found
	}
	return fallback(f)
}

// is reports whether an enumeration has that value.
func (v value) is(name string) bool { return v.text == name }

// fallback is the value of a field that the document doesn't have.
func fallback(f *schema.Field) value {
	v := value{field: f, text: f.Default, flag: f.Default == "true"}
	if f.Type == schema.Integer && f.Default != "" {
		v.number, _ = strconv.Atoi(f.Default) // the table's own test reads all defaults
	}
	return v
}

// read checks what a document has for a field, and all below it. Null is nothing.
func read(n document.Node, f *schema.Field) value {
	v := fallback(f)
	if !n.Present() || n.IsNull() {
		return v
	}
	v.Node = n
	if f.NotYet {
		n.Errorf("take it out", "%s is not supported yet", n.Path())
		return v
	}
	switch f.Type {
	case schema.String:
		v.readText()
	case schema.Integer:
		if i, ok := n.Int(f.Min, f.Max); ok {
			v.number, v.ok = i, true
		}
	case schema.Boolean:
		v.flag, v.ok = n.Bool(), n.IsBool()
	case schema.Object:
		v.readObject()
	case schema.List:
		v.ok = true
		items := n.List()
		for _, item := range items {
			if item.IsNull() {
				item.Errorf("take it out, or give it a value", "%s is empty", item.Path())
				continue
			}
			v.items = append(v.items, read(item, f.Item))
		}
		if len(items) == 0 && f.Min > 0 && n.IsList() {
			n.Errorf(f.Hint, "%s has none", n.Path())
		}
	case schema.Map:
		v.ok = n.IsObject()
		for _, p := range n.Map() {
			if !p.Value.IsText() {
				p.Value.Text() // reports it
				v.ok = false
				continue
			}
			v.pairs = append(v.pairs, p)
		}
	case schema.Any:
		v.ok = true
	}
	return v
}

func (v *value) readText() {
	n, f := v.Node, v.field
	switch {
	case f.Enum != nil && !n.IsText():
		v.readEnum()
		return
	case !n.IsText():
		n.Text() // reports it
		return
	case n.Text() == "" && f.Required:
		n.Errorf(f.Hint, "%s is empty", n.Path())
		return
	case f.Enum != nil:
		v.readEnum()
		return
	}
	text := n.Text()
	characters := utf8.RuneCountInString(text)
	switch {
	case f.Max > 0 && characters > f.Max:
		n.Errorf(fmt.Sprintf("write at most %d", f.Max), "%s has %d characters", n.Path(), characters)
	case !f.Matches(text):
		n.Errorf("use "+f.Form, "%s can't be %s", n.Path(), quoted(text))
	default:
		v.text, v.ok = text, true
		if characters < f.Min {
			n.Warnf("graphd takes it", "%s has less than %d characters: Azure IoT Operations refuses that", n.Path(), f.Min)
		}
	}
}

func (v *value) readEnum() {
	f := v.field
	names := make([]string, len(f.Enum))
	for i, e := range f.Enum {
		names[i] = e.Name
	}
	name := v.Enum(names...)
	if name == "" {
		return
	}
	e := f.Enum[slices.Index(names, name)]
	if e.NotYet {
		hint := e.Instead
		if hint == "" {
			hint = "write " + strings.Join(f.Values(), " or ")
		}
		v.Errorf(hint, "%s can't be %s: that is not supported yet", v.Path(), e.Name)
		return
	}
	v.text, v.ok = e.Name, true
	if e.Means != "" {
		v.text = e.Means
	}
}

func (v *value) readObject() {
	f, o := v.field, v.Node
	if !o.IsObject() {
		o.Map() // reports it
		return
	}
	v.ok, v.fields = true, map[string]value{}
	known := f.Names()
	properties := map[string]document.Node{}
	misspelt := map[string]bool{} // fields that are there, in another spelling
	for _, p := range o.Map() {
		if !slices.Contains(known, p.Name) {
			p.Errorf(document.Suggest(p.Name, known), "unknown property %s", p.Value.Path())
			if near, ok := nearest.Word(p.Name, known); ok {
				misspelt[near] = true
			}
		} else if !p.Value.IsNull() {
			properties[p.Name] = p.Value
		}
	}
	given := func(c *schema.Field) document.Node {
		n := properties[c.Name]
		for _, name := range c.Aliases {
			alias := properties[name]
			if n.Present() {
				alias.Errorf("remove it", "%s says again what %s says", alias.Path(), c.Name)
				continue
			}
			n = alias
		}
		return n
	}
	selected := "" // the value of the selector; empty where there is none
	if f.Selector != "" {
		c := f.Field(f.Selector)
		s := read(given(c), c)
		if s.Present() {
			v.fields[c.Name] = s
		}
		if s.ok {
			selected = s.text
		}
	}
	for _, c := range f.Fields {
		n := given(c)
		switch {
		case c.With != "" && selected == "":
			continue // nobody knows what it should be
		case c.With != "" && c.With != selected:
			n.Errorf("take it out", "%s has no meaning where %s is %s", n.Path(), f.Selector, selected)
			continue
		case c.Required && !n.Present() && misspelt[c.Name]:
			continue // that is said
		case c.Required && !n.Present():
			path := c.Name
			if o.Path() != (document.Node{}).Path() {
				path = o.Path() + "." + path
			}
			o.Errorf(c.Hint, "property %s is missing", path)
			continue
		case c.Name == f.Selector || !n.Present():
			continue
		}
		v.fields[c.Name] = read(n, c)
	}
}

// quoted quotes a text for a message, and leaves out what is too long of it.
func quoted(text string) string {
	const most = 80
	if utf8.RuneCountInString(text) <= most {
		return strconv.Quote(text)
	}
	return strconv.Quote(string([]rune(text)[:most])) + "..."
}
