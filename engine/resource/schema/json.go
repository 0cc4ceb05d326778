// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Draft is the version of JSON Schema of what JSON returns: the one that editors know
// best.
const Draft = "http://json-schema.org/draft-07/schema#"

// JSON returns the JSON Schema of the objects of the given kinds, told apart by their
// kind, and of lists of them. It refuses what a schema can see is wrong, and what is not
// built yet; what depends on several fields or on other objects it can't see.
func JSON(kinds ...*Kind) ([]byte, error) {
	definitions := node{}
	var choices []any
	var names []string
	for _, k := range kinds {
		definitions[k.Name] = ofKind(k)
		choices = append(choices, node{
			"if":   node{"properties": node{"kind": node{"const": k.Name}}, "required": []string{"kind"}},
			"then": node{"$ref": "#/definitions/" + k.Name},
		})
		names = append(names, k.Name)
	}
	if len(kinds) == 1 {
		root := definitions[kinds[0].Name].(node)
		root["$schema"], root["title"] = Draft, kinds[0].Name
		return json.MarshalIndent(root, "", "  ")
	}
	definitions["List"] = node{
		"type": "object", "required": []string{"apiVersion", "items"},
		"properties": node{
			"apiVersion": node{"const": "v1"}, "kind": node{"const": "List"}, "metadata": true,
			"items": node{"type": "array", "items": node{"$ref": "#"}},
		},
		"additionalProperties": false,
	}
	choices = append(choices, node{
		"if":   node{"properties": node{"kind": node{"const": "List"}}, "required": []string{"kind"}},
		"then": node{"$ref": "#/definitions/List"},
	})
	return json.MarshalIndent(node{
		"$schema": Draft, "title": "Resources of graphd", "type": "object",
		"required":   []string{"apiVersion", "kind"},
		"properties": node{"kind": node{"enum": append(names, "List"), "description": "What the object is."}, "apiVersion": node{"type": "string"}},
		"allOf":      choices, "definitions": definitions,
	}, "", "  ")
}

// node is a part of a JSON Schema.
type node map[string]any

// ofKind is the schema of the objects of a kind.
func ofKind(k *Kind) node {
	root := ofField(k.Root)
	properties := root["properties"].(node)
	properties["kind"] = node{"const": k.Name, "description": k.Root.Doc}
	properties["apiVersion"] = node{"enum": k.Versions(), "description": k.Root.Field("apiVersion").Doc}
	return root
}

// ofField is the schema of a field's value.
func ofField(f *Field) node {
	n := node{}
	if doc := f.describe(); doc != "" {
		n["description"] = doc
	}
	if f.NotYet {
		n["not"], n["errorMessage"] = node{}, f.Name+" is not supported yet."
		return n
	}
	types := []string{string(f.Type)}
	switch f.Type {
	case String:
		f.addText(n)
	case Integer:
		n["minimum"], n["maximum"] = f.Min, f.Max
	case Object:
		f.addFields(n)
	case List:
		types[0] = "array"
		n["items"] = ofField(f.Item)
		if f.Min > 0 {
			n["minItems"] = f.Min
		}
		if f.Max > 0 {
			n["maxItems"] = f.Max
		}
	case Map:
		types[0] = "object"
		n["additionalProperties"] = node{"type": "string"}
		if f.Fields != nil {
			f.addAnnotations(n)
		}
	case Any:
		return n
	}
	if f.Required {
		n["type"] = types[0]
	} else {
		n["type"] = append(types, "null") // which is the same as nothing
	}
	switch {
	case f.Default == "":
	case f.Type == String:
		n["default"] = f.Default
	case f.Type == Integer || f.Type == Boolean:
		n["default"] = json.RawMessage(f.Default)
	}
	return n
}

// describe is what an editor shows of a field.
func (f *Field) describe() string {
	var b strings.Builder
	b.WriteString(f.Doc)
	for _, v := range f.Enum {
		if v.Doc != "" {
			b.WriteString("\n- " + v.Name + ": " + v.Doc)
			if v.NotYet {
				b.WriteString(" (not supported yet)")
			}
		}
	}
	return b.String()
}

func (f *Field) addText(n node) {
	if f.Required {
		n["minLength"] = 1
	}
	if f.Max > 0 {
		n["maxLength"] = f.Max
	}
	if f.Pattern != "" {
		n["pattern"] = f.Pattern
	}
	if f.Enum == nil {
		return
	}
	// The enumeration is what editors offer; the expression takes the other cases.
	names, all := f.Values(), []string{}
	for _, v := range f.Enum {
		if !v.NotYet {
			all = append(all, v.Name)
		}
	}
	allowed := []any{node{"enum": names}, node{"pattern": anyCase(all...)}}
	if !f.Required {
		allowed = append(allowed, node{"type": "null"})
	}
	n["anyOf"] = allowed
}

// addFields describes an object: which fields there are, which must be there, and which
// have a meaning with which value of the selector.
func (f *Field) addFields(n node) {
	properties, required := node{}, []string{}
	var rules []any
	type choice struct {
		required []any
		denied   node
	}
	choices := map[string]*choice{}
	var values []string
	if f.Selector != "" {
		for _, v := range f.Field(f.Selector).Enum {
			choices[v.Name] = &choice{denied: node{}}
			values = append(values, v.Name)
		}
	}
	for _, c := range f.Fields {
		names := append([]string{c.Name}, c.Aliases...)
		present := any(node{"required": []string{c.Name}})
		for _, name := range names {
			properties[name] = ofField(c)
		}
		if len(names) > 1 {
			var one []any
			for _, name := range names {
				one = append(one, node{"required": []string{name}})
			}
			present = node{"oneOf": one}
			rules = append(rules, node{"not": node{"required": names}})
		}
		switch {
		case c.With != "":
			for value, choice := range choices {
				if value != c.With {
					for _, name := range names {
						choice.denied[name] = node{"type": "null"}
					}
				} else if c.Required {
					choice.required = append(choice.required, present)
				}
			}
		case c.Required:
			required = append(required, c.Name)
		}
	}
	for _, value := range values {
		c := choices[value]
		then := node{}
		if len(c.denied) > 0 {
			then["properties"] = c.denied
		}
		if len(c.required) > 0 {
			then["allOf"] = c.required
		}
		if len(then) > 0 {
			rules = append(rules, node{
				"if":   node{"properties": node{f.Selector: node{"type": "string", "pattern": anyCase(value)}}, "required": []string{f.Selector}},
				"then": then,
			})
		}
	}
	n["properties"], n["additionalProperties"] = properties, false
	if len(required) > 0 {
		n["required"] = required
	}
	if len(rules) > 0 {
		n["allOf"] = rules
	}
}

// addAnnotations describes the annotations that are ours, and refuses unknown ones.
func (f *Field) addAnnotations(n node) {
	properties, patterns := node{}, node{}
	names := []any{node{"not": node{"pattern": "^" + regexp.QuoteMeta(AnnotationPrefix)}}}
	for _, a := range f.Fields {
		value := node{"type": "string", "description": a.describe()}
		if a.Form != "" {
			value["description"] = a.describe() + " It is " + a.Form + "."
		}
		if a.Default != "" {
			value["default"] = a.Default
		}
		if a.Enum != nil {
			value["enum"] = a.Values()
		}
		if before, after, ok := strings.Cut(a.Name, "<name>"); ok {
			pattern := "^" + regexp.QuoteMeta(before) + ".+" + regexp.QuoteMeta(after) + "$"
			patterns[pattern] = value
			names = append(names, node{"pattern": pattern})
			continue
		}
		properties[a.Name] = value
		names = append(names, node{"const": a.Name})
	}
	n["properties"], n["patternProperties"] = properties, patterns
	n["propertyNames"] = node{"anyOf": names}
}

// anyCase is a regular expression for words in any case: the dialect of JSON Schema has
// no flag for that.
func anyCase(words ...string) string {
	var b strings.Builder
	for i, word := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, c := range word {
			lower, upper := strings.ToLower(string(c)), strings.ToUpper(string(c))
			if lower == upper {
				b.WriteString(regexp.QuoteMeta(lower))
				continue
			}
			b.WriteString("[" + upper + lower + "]")
		}
	}
	return "^(" + b.String() + ")$"
}
