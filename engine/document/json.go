// SPDX-License-Identifier: Apache-2.0

package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"go.yaml.in/yaml/v3"
)

// JSON returns the value as JSON, properties in their order. What JSON has no form for
// is text, as it was written. The error says that the value unfolds beyond bound, or has a property name
// or a number that JSON can't have.
func (n Node) JSON() ([]byte, error) {
	if !n.Present() {
		return []byte("null"), nil
	}
	w := jsonWriter{left: maxNodes}
	if err := w.value(n.yaml); err != nil {
		return nil, fmt.Errorf("document: write %s as JSON: %w", n.Path(), err)
	}
	return w.out.Bytes(), nil
}

// jsonWriter writes values.
type jsonWriter struct {
	out  bytes.Buffer
	left int // values that may still be written: aliases could unfold without bound
}

func (w *jsonWriter) value(n *yaml.Node) error {
	if w.left--; w.left < 0 {
		return fmt.Errorf("more than %d values", maxNodes)
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.out.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				w.out.WriteByte(',')
			}
			name := n.Content[i]
			if name.Kind == yaml.AliasNode {
				name = name.Alias
			}
			if name.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: a property name is no text", name.Line)
			}
			if err := w.scalar(name.Value); err != nil {
				return err
			}
			w.out.WriteByte(':')
			if err := w.value(n.Content[i+1]); err != nil {
				return err
			}
		}
		w.out.WriteByte('}')
		return nil
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			if err := w.value(item); err != nil {
				return err
			}
		}
		w.out.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		return w.scalar(scalar(n))
	}
	return errors.New("there is no value")
}

// scalar returns what a scalar stands for.
func scalar(n *yaml.Node) any {
	var b bool
	var i int64
	var u uint64
	var f float64
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		if n.Decode(&i) == nil {
			return i
		}
		if n.Decode(&u) == nil {
			return u
		}
	case "!!float":
		if n.Decode(&f) == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
	}
	return n.Value
}

func (w *jsonWriter) scalar(v any) error {
	e := json.NewEncoder(&w.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	w.out.Truncate(w.out.Len() - 1) // the newline
	return nil
}

// YAML returns JSON as YAML in the form that people write, properties in their order.
func YAML(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return nil, errors.New("document: write YAML: the text is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := yamlOf(d)
	if err != nil {
		return nil, fmt.Errorf("document: write YAML: %w", err)
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(n), e.Close()); err != nil {
		return nil, fmt.Errorf("document: write YAML: %w", err)
	}
	return out.Bytes(), nil
}

// yamlOf returns the next value of d.
func yamlOf(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{}
	switch v := token.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if v == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for d.More() { // the names of an object are values here
			item, err := yamlOf(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := d.Token()
		return n, err
	case json.Number:
		n.Kind, n.Value = yaml.ScalarNode, v.String()
		if n.Tag = "!!int"; bytes.ContainsAny([]byte(n.Value), ".eE") {
			n.Tag = "!!float"
		}
		return n, nil
	case string:
		n.SetString(v)
		return n, nil
	}
	return n, n.Encode(token)
}
