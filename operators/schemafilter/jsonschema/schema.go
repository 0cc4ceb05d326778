// SPDX-License-Identifier: Apache-2.0

// Package jsonschema checks JSON values against schemas of JSON Schema draft-07. It
// is small enough for a component: no reflection, no network, nothing but the
// standard library's regexp and netip beside the SDK.
//
// All keywords of draft-07 that say which values are valid are known, and format for
// date-time, date, time, email, hostname, ipv4, ipv6, uri, json-pointer and regex.
// Deliberate limits, each an error of Compile: a $ref may only lead to somewhere in
// the same schema, and an $id of a part of it doesn't change where; a pattern has to be one that Go's regexp takes, so no look-ahead
// and no back reference; and a schema must not lead back to itself without going
// into the value on the way, for it would judge without end. Numbers are float64, or
// int64 where both sides are integers.
package jsonschema

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// Schema is a compiled schema. It is never changed, so it may be used by many
// goroutines.
type Schema struct {
	checks  []check
	inPlace []*Schema // those that judge the same value, which checks call
}

// check judges a value, by one keyword.
type check func(v smalljson.Value) *Fault

// Fault says why a value is not valid.
type Fault struct {
	Pointer string // JSON pointer to the place in the value; empty for the whole
	Text    string
}

func (f *Fault) Error() string {
	if f.Pointer == "" {
		return f.Text
	}
	return f.Pointer + ": " + f.Text
}

// within returns f as the fault of a value that holds the faulty one under key.
func (f *Fault) within(key string) *Fault {
	if f != nil {
		f.Pointer = "/" + escape(key) + f.Pointer
	}
	return f
}

// SchemaError says what is wrong with a schema.
type SchemaError struct {
	Pointer string // JSON pointer to the place in the schema
	Text    string
}

func (e *SchemaError) Error() string {
	return "schema: #" + e.Pointer + ": " + e.Text
}

// Compile reads a schema. Errors are *SchemaError or, where text is no JSON,
// *smalljson.Error.
func Compile(text []byte) (*Schema, error) {
	root, err := smalljson.Parse(text)
	if err != nil {
		return nil, err
	}
	c := &compiler{root: root, schemas: map[string]*Schema{}, anchors: map[string]string{}}
	if draft, found := root.Get("$schema"); found && !isDraft07(draft) {
		c.fail("/$schema", "want http://json-schema.org/draft-07/schema#")
	}
	if id, found := root.Get("$id"); found {
		c.id, _, _ = strings.Cut(id.Text, "#")
	}
	c.findAnchors("", root)
	s := c.compile("", root)
	if c.err == nil {
		c.findCycle()
	}
	if c.err != nil {
		return nil, c.err
	}
	return s, nil
}

func isDraft07(v smalljson.Value) bool {
	uri := strings.TrimSuffix(v.Text, "#")
	return v.Kind == smalljson.String && (uri == "http://json-schema.org/draft-07/schema" || uri == "https://json-schema.org/draft-07/schema")
}

// Validate returns the first *Fault that it finds in v, or nil.
func (s *Schema) Validate(v smalljson.Value) error {
	if f := s.judge(v); f != nil {
		return f
	}
	return nil
}

func (s *Schema) judge(v smalljson.Value) *Fault {
	for _, c := range s.checks {
		if f := c(v); f != nil {
			return f
		}
	}
	return nil
}

// compiler compiles the schemas of one document. It remembers its first error.
type compiler struct {
	root    smalljson.Value
	id      string             // of the document, without fragment
	schemas map[string]*Schema // by pointer; those in the making, too
	anchors map[string]string  // plain names that $id gives, to pointers
	err     *SchemaError
}

func (c *compiler) fail(pointer, text string) {
	if c.err == nil {
		c.err = &SchemaError{pointer, text}
	}
}

// findAnchors finds the plain names in the document: "$id": "#name".
func (c *compiler) findAnchors(pointer string, v smalljson.Value) {
	if id, found := v.Get("$id"); found && strings.HasPrefix(id.Text, "#") {
		c.anchors[id.Text[1:]] = pointer
	}
	for _, m := range v.Members {
		if m.Key != "enum" && m.Key != "const" {
			c.findAnchors(pointer+"/"+escape(m.Key), m.Value)
		}
	}
	for i, item := range v.Items {
		c.findAnchors(pointer+"/"+strconv.Itoa(i), item)
	}
}

// compile compiles the schema at pointer, once.
func (c *compiler) compile(pointer string, v smalljson.Value) *Schema {
	if s := c.schemas[pointer]; s != nil {
		return s
	}
	s := &Schema{}
	c.schemas[pointer] = s
	switch v.Kind {
	case smalljson.Bool:
		if !v.True {
			s.checks = []check{func(smalljson.Value) *Fault { return &Fault{Text: "must not be there"} }}
		}
	case smalljson.Object:
		k := &keywords{c, s, pointer, v}
		if ref, found := v.Get("$ref"); found {
			k.reference(ref) // what stands beside it has no meaning
		} else {
			k.all()
		}
	default:
		c.fail(pointer, "a schema is an object or a boolean")
	}
	return s
}

// resolve compiles the schema that a $ref at pointer leads to.
func (c *compiler) resolve(pointer string, ref smalljson.Value) *Schema {
	uri, fragment, _ := strings.Cut(ref.Text, "#")
	if ref.Kind != smalljson.String || uri != "" && uri != c.id {
		c.fail(pointer, "want a reference into this schema, such as #/definitions/name")
		return &Schema{}
	}
	to := unpercent(fragment)
	if anchor, found := c.anchors[to]; found {
		to = anchor
	}
	v, found := lookup(c.root, to)
	if !found {
		c.fail(pointer, "there is no "+strconv.Quote(ref.Text)+" in this schema")
		return &Schema{}
	}
	return c.compile(to, v)
}

// lookup follows a JSON pointer.
func lookup(v smalljson.Value, pointer string) (target smalljson.Value, found bool) {
	if pointer == "" {
		return v, true
	}
	if pointer[0] != '/' {
		return smalljson.Value{}, false
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if v.Kind == smalljson.Array {
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v.Items) {
				return smalljson.Value{}, false
			}
			v = v.Items[i]
		} else if v, found = v.Get(unescape(token)); !found {
			return smalljson.Value{}, false
		}
	}
	return v, true
}

func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

func unescape(token string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(token) }

// unpercent undoes the percent encoding of a URI's fragment, where it is sound.
func unpercent(fragment string) string {
	if !strings.Contains(fragment, "%") {
		return fragment
	}
	var b strings.Builder
	for i := 0; i < len(fragment); i++ {
		if fragment[i] == '%' && i+2 < len(fragment) {
			if n, err := strconv.ParseUint(fragment[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(fragment[i])
	}
	return b.String()
}

// findCycle fails if a schema leads back to itself without going into the value.
func (c *compiler) findCycle() {
	const visiting, done = 1, 2
	state := map[*Schema]int{}
	var visit func(s *Schema) (cyclic bool)
	visit = func(s *Schema) bool {
		if state[s] != 0 {
			return state[s] == visiting
		}
		state[s] = visiting
		if slices.ContainsFunc(s.inPlace, visit) {
			return true
		}
		state[s] = done
		return false
	}
	for _, pointer := range slices.Sorted(maps.Keys(c.schemas)) {
		if visit(c.schemas[pointer]) {
			c.fail(pointer, "this schema leads back to itself without end")
			return
		}
	}
}
