// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// keywords compiles the keywords of one schema object.
type keywords struct {
	*compiler
	schema  *Schema
	pointer string
	object  smalljson.Value
}

// all compiles them, the cheap ones first.
func (k *keywords) all() {
	k.types()
	k.constants()
	k.numbers()
	k.strings()
	k.arrays()
	k.objects()
	k.logic()
}

func (k *keywords) add(c check) { k.schema.checks = append(k.schema.checks, c) }

// at is the pointer to a keyword, or to something within its value.
func (k *keywords) at(key string, more ...string) string {
	pointer := k.pointer + "/" + escape(key)
	for _, m := range more {
		pointer += "/" + escape(m)
	}
	return pointer
}

// get returns the value of a keyword, which has to be of one of kinds.
func (k *keywords) get(key, want string, kinds ...smalljson.Kind) (v smalljson.Value, found bool) {
	if v, found = k.object.Get(key); !found {
		return v, false
	}
	if !slices.Contains(kinds, v.Kind) {
		k.fail(k.at(key), "want "+want)
		return v, false
	}
	return v, true
}

// size returns the value of a keyword that is a size.
func (k *keywords) size(key string) (n int, found bool) {
	v, found := k.get(key, "a size", smalljson.Number)
	if !found {
		return 0, false
	}
	f := v.Float()
	if !isInteger(v) || f < 0 {
		k.fail(k.at(key), "want a size")
		return 0, false
	}
	return int(min(f, 1<<40)), true // nothing is larger
}

// schemaAt compiles the schema that is the value of a keyword.
func (k *keywords) schemaAt(key string) *Schema {
	v, found := k.object.Get(key)
	if !found {
		return nil
	}
	return k.compile(k.at(key), v)
}

// schemas compiles the list of schemas that is the value of a keyword.
func (k *keywords) schemas(key string) []*Schema {
	v, found := k.get(key, "a list of schemas", smalljson.Array)
	if found && len(v.Items) == 0 {
		k.fail(k.at(key), "want at least one schema")
	}
	var list []*Schema
	for i, item := range v.Items {
		list = append(list, k.compile(k.at(key, strconv.Itoa(i)), item))
	}
	return list
}

// named compiles the schemas by name that are the value of a keyword.
func (k *keywords) named(key string) map[string]*Schema {
	v, _ := k.get(key, "an object of schemas", smalljson.Object)
	schemas := make(map[string]*Schema, len(v.Members))
	for _, m := range v.Members {
		schemas[m.Key] = k.compile(k.at(key, m.Key), m.Value)
	}
	return schemas
}

// inPlace notes that schemas judge the same value as this one.
func (k *keywords) inPlace(schemas ...*Schema) {
	for _, s := range schemas {
		if s != nil {
			k.schema.inPlace = append(k.schema.inPlace, s)
		}
	}
}

// expression compiles a regular expression.
func (k *keywords) expression(pointer, text string) *regexp.Regexp {
	re, err := regexp.Compile(goSyntax(text))
	if err != nil {
		k.fail(pointer, "can't use the pattern: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	return re
}

// escaped finds what escapes one character in a regular expression.
var escaped = regexp.MustCompile(`\\(u[0-9a-fA-F]{4}|c[a-zA-Z]|.)`)

// goSyntax writes the escapes \u0041 and \cA of JavaScript in Go's way.
func goSyntax(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(s string) string {
		switch {
		case len(s) == 6:
			return `\x{` + s[2:] + `}`
		case len(s) == 3:
			return `\x{` + strconv.FormatUint(uint64(s[2]&0x1f), 16) + `}`
		}
		return s
	})
}

func (k *keywords) reference(ref smalljson.Value) {
	s := k.resolve(k.at("$ref"), ref)
	k.inPlace(s)
	k.add(s.judge)
}

func (k *keywords) types() {
	v, found := k.get("type", "a type or a list of types", smalljson.String, smalljson.Array)
	if !found {
		return
	}
	items := v.Items
	if v.Kind == smalljson.String {
		items = []smalljson.Value{v}
	}
	var names []string
	for _, item := range items {
		if item.Kind != smalljson.String || !slices.Contains([]string{"null", "boolean", "integer", "number", "string", "array", "object"}, item.Text) {
			k.fail(k.at("type"), "unknown type "+string(item.Append(nil)))
			return
		}
		names = append(names, item.Text)
	}
	text := "must be " + strings.Join(names, " or ")
	k.add(func(v smalljson.Value) *Fault {
		name := typeName(v)
		if slices.Contains(names, name) || name == "integer" && slices.Contains(names, "number") {
			return nil
		}
		return &Fault{Text: text + ", is " + name}
	})
}

func (k *keywords) constants() {
	if v, found := k.get("enum", "a list of values", smalljson.Array); found {
		var texts []string
		for _, item := range v.Items {
			texts = append(texts, canonical(item))
		}
		k.add(func(v smalljson.Value) *Fault {
			if slices.Contains(texts, canonical(v)) {
				return nil
			}
			return &Fault{Text: "must be one of the values in enum"}
		})
	}
	if v, found := k.object.Get("const"); found {
		text := canonical(v)
		k.add(func(v smalljson.Value) *Fault {
			if canonical(v) == text {
				return nil
			}
			return &Fault{Text: "must be the constant value"}
		})
	}
}

func (k *keywords) numbers() {
	k.bound("maximum", "at most", func(order int) bool { return order <= 0 })
	k.bound("minimum", "at least", func(order int) bool { return order >= 0 })
	k.bound("exclusiveMaximum", "less than", func(order int) bool { return order < 0 })
	k.bound("exclusiveMinimum", "more than", func(order int) bool { return order > 0 })
	if step, found := k.get("multipleOf", "a number", smalljson.Number); found {
		if step.Float() <= 0 {
			k.fail(k.at("multipleOf"), "want a number above 0")
		}
		k.add(func(v smalljson.Value) *Fault {
			if v.Kind != smalljson.Number || isMultiple(v, step) {
				return nil
			}
			return &Fault{Text: "must be a multiple of " + step.Text}
		})
	}
}

// bound compiles a bound on numbers; ok judges how a number compares to it.
func (k *keywords) bound(key, text string, ok func(order int) bool) {
	bound, found := k.get(key, "a number", smalljson.Number)
	if !found {
		return
	}
	k.add(func(v smalljson.Value) *Fault {
		if v.Kind != smalljson.Number || ok(compare(v, bound)) {
			return nil
		}
		return &Fault{Text: "must be " + text + " " + bound.Text}
	})
}

// limits compiles an upper and a lower limit of a size, which of gives for values of
// one kind.
func (k *keywords) limits(most, least, unit string, kind smalljson.Kind, of func(v smalljson.Value) int) {
	if n, found := k.size(most); found {
		k.add(func(v smalljson.Value) *Fault {
			if v.Kind != kind || of(v) <= n {
				return nil
			}
			return &Fault{Text: "must have at most " + strconv.Itoa(n) + " " + unit}
		})
	}
	if n, found := k.size(least); found {
		k.add(func(v smalljson.Value) *Fault {
			if v.Kind != kind || of(v) >= n {
				return nil
			}
			return &Fault{Text: "must have at least " + strconv.Itoa(n) + " " + unit}
		})
	}
}

func (k *keywords) strings() {
	k.limits("maxLength", "minLength", "characters", smalljson.String, func(v smalljson.Value) int { return utf8.RuneCountInString(v.Text) })
	if v, found := k.get("pattern", "a regular expression", smalljson.String); found {
		if re := k.expression(k.at("pattern"), v.Text); re != nil {
			k.add(func(in smalljson.Value) *Fault {
				if in.Kind != smalljson.String || re.MatchString(in.Text) {
					return nil
				}
				return &Fault{Text: "must match " + strconv.Quote(v.Text)}
			})
		}
	}
	if v, found := k.get("format", "a format", smalljson.String); found {
		if known := format(v.Text); known != nil {
			k.add(func(in smalljson.Value) *Fault {
				if in.Kind != smalljson.String || known(in.Text) {
					return nil
				}
				return &Fault{Text: "must be of the format " + v.Text}
			})
		}
	}
}

func (k *keywords) arrays() {
	k.limits("maxItems", "minItems", "items", smalljson.Array, func(v smalljson.Value) int { return len(v.Items) })
	if v, found := k.get("uniqueItems", "true or false", smalljson.Bool); found && v.True {
		k.add(unique)
	}
	var first []*Schema // of the items at the beginning
	rest := k.schemaAt("additionalItems")
	if v, found := k.object.Get("items"); found && v.Kind == smalljson.Array {
		for i, item := range v.Items {
			first = append(first, k.compile(k.at("items", strconv.Itoa(i)), item))
		}
	} else if found {
		rest = k.schemaAt("items")
	} else {
		rest = nil // it has no meaning without items
	}
	if first != nil || rest != nil {
		k.add(func(v smalljson.Value) *Fault {
			for i, item := range v.Items {
				s := rest
				if i < len(first) {
					s = first[i]
				}
				if s != nil {
					if f := s.judge(item); f != nil {
						return f.within(strconv.Itoa(i))
					}
				}
			}
			return nil
		})
	}
	if s := k.schemaAt("contains"); s != nil {
		k.add(func(v smalljson.Value) *Fault {
			if v.Kind != smalljson.Array || slices.ContainsFunc(v.Items, func(item smalljson.Value) bool { return s.judge(item) == nil }) {
				return nil
			}
			return &Fault{Text: "must have an item that is valid by contains"}
		})
	}
}

// unique checks that no two items are equal.
func unique(v smalljson.Value) *Fault {
	seen := make(map[string]bool, len(v.Items))
	for i, item := range v.Items {
		text := canonical(item)
		if seen[text] {
			return (&Fault{Text: "must not repeat an earlier item"}).within(strconv.Itoa(i))
		}
		seen[text] = true
	}
	return nil
}

// family is the schema of all members whose keys match a pattern.
type family struct {
	keys   *regexp.Regexp
	schema *Schema
}

func (k *keywords) objects() {
	k.limits("maxProperties", "minProperties", "members", smalljson.Object, func(v smalljson.Value) int { return len(v.Members) })
	if list, found := k.texts("required", k.object, k.pointer); found {
		k.add(func(v smalljson.Value) *Fault { return require(v, list, "") })
	}
	k.members()
	if s := k.schemaAt("propertyNames"); s != nil {
		k.add(func(v smalljson.Value) *Fault {
			for _, m := range v.Members {
				if f := s.judge(smalljson.NewText(m.Key)); f != nil {
					return (&Fault{Text: "the name of the member " + f.Text}).within(m.Key)
				}
			}
			return nil
		})
	}
	k.dependencies()
}

// members compiles what judges the members of an object by their names.
func (k *keywords) members() {
	named := k.named("properties")
	var families []family
	patterns, _ := k.get("patternProperties", "an object of schemas", smalljson.Object)
	for _, m := range patterns.Members {
		pointer := k.at("patternProperties", m.Key)
		if re := k.expression(pointer, m.Key); re != nil {
			families = append(families, family{re, k.compile(pointer, m.Value)})
		}
	}
	others := k.schemaAt("additionalProperties")
	if len(named) == 0 && len(families) == 0 && others == nil {
		return
	}
	k.add(func(v smalljson.Value) *Fault {
		for _, m := range v.Members {
			s, known := named[m.Key]
			if known {
				if f := s.judge(m.Value); f != nil {
					return f.within(m.Key)
				}
			}
			for _, family := range families {
				if family.keys.MatchString(m.Key) {
					known = true
					if f := family.schema.judge(m.Value); f != nil {
						return f.within(m.Key)
					}
				}
			}
			if !known && others != nil {
				if f := others.judge(m.Value); f != nil {
					return f.within(m.Key)
				}
			}
		}
		return nil
	})
}

func (k *keywords) dependencies() {
	v, _ := k.get("dependencies", "an object of schemas and lists of names", smalljson.Object)
	for _, m := range v.Members {
		if m.Value.Kind == smalljson.Array {
			if list, ok := k.texts(m.Key, v, k.at("dependencies")); ok {
				k.add(func(in smalljson.Value) *Fault {
					if _, found := in.Get(m.Key); !found {
						return nil
					}
					return require(in, list, ", since there is "+strconv.Quote(m.Key))
				})
			}
			continue
		}
		s := k.compile(k.at("dependencies", m.Key), m.Value)
		k.inPlace(s)
		k.add(func(in smalljson.Value) *Fault {
			if _, found := in.Get(m.Key); !found {
				return nil
			}
			return s.judge(in)
		})
	}
}

// texts returns the list of names that v, at pointer, has under key.
func (k *keywords) texts(key string, v smalljson.Value, pointer string) (list []string, found bool) {
	value, found := v.Get(key)
	if !found {
		return nil, false
	}
	for _, item := range value.Items {
		if item.Kind == smalljson.String {
			list = append(list, item.Text)
		}
	}
	if value.Kind != smalljson.Array || len(list) != len(value.Items) {
		k.fail(pointer+"/"+escape(key), "want a list of names")
		return nil, false
	}
	return list, true
}

// require checks that an object has the members in list.
func require(v smalljson.Value, list []string, why string) *Fault {
	if v.Kind != smalljson.Object {
		return nil
	}
	for _, key := range list {
		if _, found := v.Get(key); !found {
			return &Fault{Text: "must have the member " + strconv.Quote(key) + why}
		}
	}
	return nil
}

func (k *keywords) logic() {
	all, anyOf, one := k.schemas("allOf"), k.schemas("anyOf"), k.schemas("oneOf")
	not, condition, then, otherwise := k.schemaAt("not"), k.schemaAt("if"), k.schemaAt("then"), k.schemaAt("else")
	for _, list := range [][]*Schema{all, anyOf, one, {not}} {
		k.inPlace(list...)
	}
	for _, s := range all {
		k.add(s.judge)
	}
	if anyOf != nil {
		k.add(func(v smalljson.Value) *Fault {
			var first *Fault
			for _, s := range anyOf {
				f := s.judge(v)
				if f == nil {
					return nil
				}
				if first == nil {
					first = f
				}
			}
			return &Fault{first.Pointer, first.Text + " (and is not valid by any other of anyOf)"}
		})
	}
	if one != nil {
		k.add(func(v smalljson.Value) *Fault {
			valid := 0
			for _, s := range one {
				if s.judge(v) == nil {
					valid++
				}
			}
			if valid == 1 {
				return nil
			}
			return &Fault{Text: "must be valid by one of oneOf, is by " + strconv.Itoa(valid)}
		})
	}
	if not != nil {
		k.add(func(v smalljson.Value) *Fault {
			if not.judge(v) != nil {
				return nil
			}
			return &Fault{Text: "must not be valid by not"}
		})
	}
	if condition != nil && (then != nil || otherwise != nil) {
		k.inPlace(condition, then, otherwise)
		k.add(func(v smalljson.Value) *Fault {
			s := then
			if condition.judge(v) != nil {
				s = otherwise
			}
			if s == nil {
				return nil
			}
			return s.judge(v)
		})
	}
}
