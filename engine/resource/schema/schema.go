// SPDX-License-Identifier: Apache-2.0

// Package schema is the table of all fields that resources have: what each is for,
// its type, default and bounds, and whether it is built yet. It is the one place
// where that is written down: package resource reads documents along it, "graphctl
// explain" prints it, and JSON gives it to editors as a JSON Schema.
//
// A Kind is one sort of objects; Root is the field that stands for a whole object of
// it. A Field that is an object or a list has more fields below. Some fields have a
// meaning only with one value of a sibling, as kafkaSettings with endpointType: Kafka:
// the object's Selector names that sibling, and the field's With the value.
//
// The table doesn't say what depends on several fields, on other objects, or on the
// inner form of a text, such as which topic filters there are: that is in package
// resource, and in the words of Doc.
//
// The fields are those of Azure IoT Operations' resources, as its published API
// definitions (Microsoft.IoTOperations) and documentation have them; a Field's Aliases
// are other spellings that are in use. What is returned here is shared: it must not be
// changed.
package schema

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/wasm-graph/graphd/internal/nearest"
)

// Group is the API group of all kinds that are not of Kubernetes itself.
const Group = "connectivity.iotoperations.azure.com"

// Kind is a kind of objects.
type Kind struct {
	Name   string `json:"kind"`
	Plural string `json:"plural"`          // as in "graphctl get dataflows"
	Short  string `json:"short,omitempty"` // a shorter name for people who type, of our own; empty: none
	// Core says that the kind is of Kubernetes itself.
	Core bool   `json:"core,omitempty"`
	Root *Field `json:"root"` // an Object
}

// Versions returns the values that apiVersion may have, the preferred one first.
func (k *Kind) Versions() []string {
	if k.Core {
		return []string{"v1"}
	}
	return []string{Group + "/v1", Group + "/v1beta1"}
}

// Type is the type of a field's value.
type Type string

// The types.
const (
	String  Type = "string"
	Integer Type = "integer"
	Boolean Type = "boolean"
	Object  Type = "object"
	List    Type = "list"
	Map     Type = "map" // of strings
	Any     Type = "any" // not looked at
)

// Field is a field of an object, or the item of a list.
type Field struct {
	Name    string   `json:"name,omitempty"`    // empty for an item
	Aliases []string `json:"aliases,omitempty"` // other spellings, taken as well
	Type    Type     `json:"type"`
	Doc     string   `json:"description"`
	// Required says that the field must be there: where With is set, with that value of
	// the selector.
	Required bool   `json:"required,omitempty"`
	Hint     string `json:"hint,omitempty"`    // what to write where it is missing or wrong
	Default  string `json:"default,omitempty"` // as one would write it; empty means none
	// Enum are the only values of a String, in any case; empty means any text.
	Enum []Value `json:"enum,omitempty"`
	// Min and Max bound an Integer, the number of a List's items, and the characters of a
	// String, of which too few are worth a warning only. For a List or a String, 0 is no
	// bound.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
	// Pattern is a regular expression that a String matches; Form says the same in words.
	Pattern string `json:"pattern,omitempty"`
	Form    string `json:"form,omitempty"`
	// Refers is the kind of the object, in the same namespace, that a String names.
	Refers string `json:"refersTo,omitempty"`
	NotYet bool   `json:"notYet,omitempty"` // known, and refused because it isn't built

	Fields   []*Field `json:"fields,omitempty"`   // of an Object
	Selector string   `json:"selector,omitempty"` // an Object: the field that says which others have a meaning
	With     string   `json:"with,omitempty"`     // the only value of the Selector that the field has a meaning with
	Item     *Field   `json:"item,omitempty"`     // of a List

	expression *regexp.Regexp // Pattern
}

// Value is one of the values of an enumeration.
type Value struct {
	Name   string `json:"value"`
	Doc    string `json:"description,omitempty"`
	NotYet bool   `json:"notYet,omitempty"`
	// Instead says what to do where it isn't built; empty: write one of the others.
	Instead string `json:"-"`
	Means   string `json:"means,omitempty"` // the value that it is another name of
}

// Field returns the field of an Object that has that name or alias, nil where there is
// none.
func (f *Field) Field(name string) *Field {
	for _, c := range f.Fields {
		if c.Name == name || slices.Contains(c.Aliases, name) {
			return c
		}
	}
	return nil
}

// Names returns the names of the fields of an Object, aliases included.
func (f *Field) Names() []string {
	var names []string
	for _, c := range f.Fields {
		names = append(append(names, c.Name), c.Aliases...)
	}
	return names
}

// Matches reports whether a text has the form that Pattern demands.
func (f *Field) Matches(text string) bool {
	return f.expression == nil || f.expression.MatchString(text)
}

// Inner is the field whose fields are those below f: f itself or, of a list, its item.
func (f *Field) Inner() *Field {
	if f.Item != nil {
		return f.Item
	}
	return f
}

// Values returns the values of an enumeration that are built.
func (f *Field) Values() []string {
	var names []string
	for _, v := range f.Enum {
		if !v.NotYet && v.Means == "" {
			names = append(names, v.Name)
		}
	}
	return names
}

// TypeName is the type as people write it, as in []object.
func (f *Field) TypeName() string {
	switch f.Type {
	case List:
		return "[]" + f.Item.TypeName()
	case Map:
		return "map[string]string"
	}
	return string(f.Type)
}

// Kinds returns all kinds.
func Kinds() []*Kind { return kinds() }

var kinds = sync.OnceValue(func() []*Kind {
	return []*Kind{dataflowGraph(), dataflow(), dataflowEndpoint(), registryEndpoint(), dataflowProfile(), configMap(), secret()}
})

// KindNames returns the names of all kinds.
func KindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// Find returns the kind that somebody calls name: its singular, plural or short name, in
// any case, with the group behind a dot or without. Nil means that there is none.
func Find(name string) *Kind {
	name = strings.ToLower(strings.TrimSuffix(name, "."+Group))
	for _, k := range Kinds() {
		if name == strings.ToLower(k.Name) || name == k.Plural || k.Short != "" && (name == k.Short || name == k.Short+"s") {
			return k
		}
	}
	return nil
}

// Nearest returns the name of the kind that somebody meant who wrote name; false where
// none is near.
func Nearest(name string) (string, bool) { return nearest.Word(name, KindNames()) }
