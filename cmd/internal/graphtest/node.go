// SPDX-License-Identifier: Apache-2.0

package graphtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
)

// kind is the kind of a node.
type kind uint8

const (
	scalar   kind = iota // a number, true, false or null: text is its JSON
	str                  // text is what it says
	array                // items
	object               // keys, and items of equal number
	embedded             // a string that is JSON itself: items[0]
	gap                  // an item of an array that is not compared
)

// node is a JSON value that keeps its order, its numbers as they are written, and
// its place.
type node struct {
	kind  kind
	text  string
	keys  []string
	items []*node
	at    document.Position // zero where it comes from no file
}

func newText(s string) *node { return &node{kind: str, text: s} }

func newNumber(n int) *node { return &node{text: strconv.Itoa(n)} }

// set adds a member to an object, or replaces it.
func (n *node) set(key string, value *node) {
	for i, k := range n.keys {
		if k == key {
			n.items[i] = value
			return
		}
	}
	n.keys, n.items = append(n.keys, key), append(n.items, value)
}

func (n *node) get(key string) *node {
	for i, k := range n.keys {
		if k == key {
			return n.items[i]
		}
	}
	return nil
}

// embed makes a string that is JSON an embedded node.
func (n *node) embed() {
	if n.kind != str {
		return
	}
	if inner, err := parse("", []byte(n.text)); err == nil {
		inner.forget()
		*n = node{kind: embedded, items: []*node{inner}, at: n.at}
	}
}

// forget takes the places off, which are within a string.
func (n *node) forget() {
	n.at = document.Position{}
	for _, item := range n.items {
		item.forget()
	}
}

// parse reads JSON. Errors are document.Problems of file.
func parse(file string, text []byte) (*node, error) {
	p := &parser{text: text, decoder: json.NewDecoder(bytes.NewReader(text))}
	p.decoder.UseNumber()
	n, err := p.value()
	if err != nil {
		return nil, p.problem(file, err)
	}
	end := p.next()
	if _, err := p.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &document.Problem{Severity: document.Error, File: file, Position: end, Message: "not valid JSON: more follows after the value"}
	}
	return n, nil
}

// problem says where err, with which reading has stopped, comes from.
func (p *parser) problem(file string, err error) *document.Problem {
	at, message := p.decoder.InputOffset(), err.Error()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at, message = int64(len(p.text)), "it ends too early"
	case errors.As(err, &syntax) && syntax.Offset > at:
		at = syntax.Offset - 1 // counted behind what is wrong
	}
	return &document.Problem{Severity: document.Error, File: file, Position: p.position(at), Message: "not valid JSON: " + message}
}

// maxDepth is how deep arrays and objects may be nested.
const maxDepth = 1000

type parser struct {
	text    []byte
	decoder *json.Decoder
	depth   int
}

// position returns the place of the first byte of a token at or after offset.
func (p *parser) position(offset int64) document.Position {
	before := p.text[:min(offset, int64(len(p.text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return document.Position{Line: line, Column: len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1}
}

// next returns the place where the next token begins.
func (p *parser) next() document.Position {
	offset := p.decoder.InputOffset()
	for offset < int64(len(p.text)) && strings.IndexByte(" \t\r\n,:", p.text[offset]) >= 0 {
		offset++
	}
	return p.position(offset)
}

func (p *parser) value() (*node, error) {
	n := &node{at: p.next()}
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case string:
		n.kind, n.text = str, token
	case json.Number:
		n.text = token.String()
	case bool:
		n.text = strconv.FormatBool(token)
	case nil:
		n.text = "null"
	case json.Delim:
		n.kind = array
		if token == '{' {
			n.kind = object
		}
		return n, p.children(n)
	}
	return n, nil
}

// children reads what is in an array or object, and its end.
func (p *parser) children(n *node) error {
	if p.depth++; p.depth > maxDepth {
		return errors.New("nested too deeply")
	}
	defer func() { p.depth-- }()
	for p.decoder.More() {
		if n.kind == object {
			key, err := p.decoder.Token()
			if err != nil {
				return err
			}
			n.keys = append(n.keys, key.(string)) // the decoder takes nothing else here
		}
		item, err := p.value()
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := p.decoder.Token()
	return err
}

// String returns n as JSON without white space.
func (n *node) String() string { return string(n.append(nil, "", "")) }

// append appends n to dst: on one line if indent is empty, else with one member or
// item a line, each after prefix and indents.
func (n *node) append(dst []byte, prefix, indent string) []byte {
	switch n.kind {
	case scalar, gap:
		return append(dst, n.text...)
	case str:
		return appendText(dst, n.text)
	case embedded:
		return appendText(dst, n.items[0].String())
	}
	brackets, within := "[]", prefix+indent
	if n.kind == object {
		brackets = "{}"
	}
	dst = append(dst, brackets[0])
	for i, item := range n.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if indent != "" {
			dst = append(append(dst, '\n'), within...)
		}
		if n.kind == object {
			dst = append(appendText(dst, n.keys[i]), ':')
			if indent != "" {
				dst = append(dst, ' ')
			}
		}
		dst = item.append(dst, within, indent)
	}
	if indent != "" && len(n.items) > 0 {
		dst = append(append(dst, '\n'), prefix...)
	}
	return append(dst, brackets[1])
}

func appendText(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // of a string into a buffer: it can't fail
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// find adds to found what path leads to from n. Keys may have dots in them.
func (n *node) find(path string, found map[*node]bool) {
	switch n.kind {
	case embedded:
		n.items[0].find(path, found)
	case object:
		for i, key := range n.keys {
			if path == key {
				found[n.items[i]] = true
			} else if rest, ok := strings.CutPrefix(path, key+"."); ok {
				n.items[i].find(rest, found)
			}
		}
	case array:
		first, rest, more := strings.Cut(path, ".")
		if i, err := strconv.Atoi(first); err == nil && i >= 0 && i < len(n.items) {
			if more {
				n.items[i].find(rest, found)
			} else {
				found[n.items[i]] = true
			}
		}
	}
}

// only returns n without everything that neither is in found nor leads there; nil if
// that is all of it. What is left of an array keeps its index.
func (n *node) only(found map[*node]bool) *node {
	if found[n] {
		return n
	}
	c := n.filtered(func(item *node) *node { return item.only(found) })
	for c.kind == array && len(c.items) > 0 && c.items[len(c.items)-1].kind == gap {
		c.items = c.items[:len(c.items)-1]
	}
	if len(c.items) == 0 {
		return nil
	}
	return c
}

// without returns n without what is in found. What is left of an array keeps its
// index.
func (n *node) without(found map[*node]bool) *node {
	if found[n] {
		return nil
	}
	c := n.filtered(func(item *node) *node { return item.without(found) })
	if c.kind == embedded && len(c.items) == 0 {
		return nil
	}
	return c
}

// filtered returns a copy of n with what keep makes of its items. Where that is nil
// the item is left out, or makes a gap in an array.
func (n *node) filtered(keep func(*node) *node) *node {
	c := *n
	c.keys, c.items = nil, nil
	for i, item := range n.items {
		if item = keep(item); item == nil {
			if n.kind != array {
				continue
			}
			item = &node{kind: gap, text: "null"}
		}
		if n.kind == object {
			c.keys = append(c.keys, n.keys[i])
		}
		c.items = append(c.items, item)
	}
	return &c
}
