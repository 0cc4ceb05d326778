// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// operator is how an operator of ONNX becomes a kernel.
type operator struct {
	min, max int // number of inputs
	build    func(*reader) (kernel, error)
}

// many is the number of inputs of operators that take any number.
const many = 1 << 12

// reader reads a node's attributes, and what of its inputs is constant when the model
// is loaded. Its first error is what build returns in the end.
type reader struct {
	node    *onnx.Node
	opset   int
	in      []*value // nil for what is computed, or left out
	outputs int      // set by operators with several
	spend   func(v *value, elements int) error
	read    []string
	err     error
}

// attribute returns the attribute of that name, or nil, and notes that it was read.
func (r *reader) attribute(name string, kind onnx.AttributeKind) *onnx.Attribute {
	r.read = append(r.read, name)
	for i := range r.node.Attributes {
		if a := &r.node.Attributes[i]; a.Name == name {
			if a.Kind != kind {
				r.fail("attribute %q is of another kind than the operator's", name)
				return nil
			}
			return a
		}
	}
	return nil
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) int(name string, absent int64) int64 {
	if a := r.attribute(name, onnx.IntAttribute); a != nil {
		return a.Int
	}
	return absent
}

func (r *reader) float(name string, absent float32) float32 {
	if a := r.attribute(name, onnx.FloatAttribute); a != nil {
		return a.Float
	}
	return absent
}

func (r *reader) text(name, absent string) string {
	if a := r.attribute(name, onnx.TextAttribute); a != nil {
		return a.Text
	}
	return absent
}

// ints returns nil where the attribute is absent.
func (r *reader) ints(name string) []int64 {
	if a := r.attribute(name, onnx.IntsAttribute); a != nil {
		return a.Ints
	}
	return nil
}

// only fails unless an integer attribute has its default, the one value that is
// understood.
func (r *reader) only(name string, want int64) {
	if got := r.int(name, want); got != want {
		r.fail("%w: attribute %q is %d", errUnsupported, name, got)
	}
}

// ignore notes attributes that make no difference to inference.
func (r *reader) ignore(names ...string) { r.read = append(r.read, names...) }

// unread returns the error of reading, or one about attributes that nobody asked for:
// what they mean is not known.
func (r *reader) unread() error {
	if r.err != nil {
		return r.err
	}
	for _, a := range r.node.Attributes {
		if !slices.Contains(r.read, a.Name) {
			return fmt.Errorf("%w: attribute %q", errUnsupported, a.Name)
		}
	}
	return nil
}

// integers returns input i, which must be constant and a list of integers, where it
// is there; nil where it is left out.
func integers(in []*value, i int) ([]int64, error) {
	if i >= len(in) || in[i] == nil {
		return nil, nil
	}
	v := in[i]
	switch {
	case !v.constant:
		return nil, fmt.Errorf("%w: input %d depends on data, and the result's shape on it", errUnsupported, i)
	case v.isFloat() || len(v.dims) > 1:
		return nil, fmt.Errorf("input %d is not a list of integers", i)
	}
	return v.i, nil
}

// listed returns what an attribute holds in older opsets and an input in newer ones.
func (r *reader) listed(name string, since, input int) func(in []*value) ([]int64, error) {
	if r.opset < since {
		list := r.ints(name)
		return func([]*value) ([]int64, error) { return list, nil }
	}
	return func(in []*value) ([]int64, error) { return integers(in, input) }
}

// constant returns the tensor of an attribute as a value.
func (r *reader) constant(t *onnx.Tensor) (*value, error) {
	n, _ := onnx.Elements(t.Dims) // is as many as there is data for
	if err := r.spend(&value{typ: t.Type}, int(n)); err != nil {
		return nil, err
	}
	return constantOf(t)
}

// floats returns an error unless all inputs are floats.
func floats(in []*value) error {
	for i, v := range in {
		if v != nil && !v.isFloat() {
			return fmt.Errorf("%w: input %d of %s", errUnsupported, i, v.typ)
		}
	}
	return nil
}
