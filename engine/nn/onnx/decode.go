// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// How many of each thing a model may have. A message of two bytes becomes a struct of
// a hundred, so that a limit on bytes alone would not do.
const (
	maxNodes      = 1 << 16
	maxValues     = 1 << 16 // initializers, inputs and outputs of a graph, each
	maxNames      = 1 << 12 // inputs and outputs of a node, each
	maxAttributes = 1 << 8  // of a node
	maxOpsets     = 1 << 8
)

// Decode reads a model. It keeps parts of data in the tensors: data must not be
// changed as long as the model is used. Errors wrap ErrFormat or ErrUnsupported and
// say where.
func Decode(data []byte) (*Model, error) {
	m := &Model{}
	err := fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			m.IR, err = f.integer()
		case 2:
			m.Producer, err = f.text()
		case 7:
			var b []byte
			if b, err = f.message(); err == nil {
				err = m.Graph.decode(b)
			}
		case 8:
			err = add(f, &m.Opsets, maxOpsets, "opset imports", (*Opset).decode)
		case 25:
			err = fmt.Errorf("%w: the model defines functions of its own", ErrUnsupported)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(m.Opsets) == 0 || len(m.Graph.Outputs) == 0 {
		return nil, fmt.Errorf("%w: no opset, or no output", ErrFormat)
	}
	return m, nil
}

func (o *Opset) decode(data []byte) error {
	return fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			o.Domain, err = f.text()
		case 2:
			o.Version, err = f.integer()
		}
		return err
	})
}

func (g *Graph) decode(data []byte) error {
	return fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			err = add(f, &g.Nodes, maxNodes, "nodes", (*Node).decode)
		case 2:
			g.Name, err = f.text()
		case 5:
			err = add(f, &g.Initializers, maxValues, "initializers", (*Tensor).decode)
		case 11:
			err = add(f, &g.Inputs, maxValues, "inputs", (*Value).decode)
		case 12:
			err = add(f, &g.Outputs, maxValues, "outputs", (*Value).decode)
		case 15:
			err = fmt.Errorf("%w: the model has sparse initializers", ErrUnsupported)
		}
		return err
	})
}

func (n *Node) decode(data []byte) error {
	err := fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			err = addText(f, &n.Inputs, maxNames, "inputs")
		case 2:
			err = addText(f, &n.Outputs, maxNames, "outputs")
		case 3:
			n.Name, err = f.text()
		case 4:
			n.Op, err = f.text()
		case 5:
			err = add(f, &n.Attributes, maxAttributes, "attributes", (*Attribute).decode)
		case 7:
			n.Domain, err = f.text()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("node %q of operator %q: %w", n.Name, n.Op, err)
	}
	return nil
}

func (a *Attribute) decode(data []byte) error {
	err := fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			a.Name, err = f.text()
		case 2:
			a.Float, err = f.float()
		case 3:
			a.Int, err = f.integer()
		case 4:
			a.Text, err = f.text()
		case 5:
			var b []byte
			if b, err = f.message(); err == nil {
				a.Tensor = &Tensor{}
				err = a.Tensor.decode(b)
			}
		case 7:
			a.Floats, err = f.floats(a.Floats)
		case 8:
			a.Ints, err = f.integers(a.Ints)
		case 9:
			err = addText(f, &a.Strings, maxNames, "strings")
		case 20:
			var kind int64
			if kind, err = f.integer(); err == nil && (kind < 0 || kind > math.MaxUint8) {
				err = fmt.Errorf("%w: kind %d", ErrFormat, kind)
			}
			a.Kind = AttributeKind(kind)
		}
		return err
	})
	if err == nil {
		switch a.Kind {
		case FloatAttribute, IntAttribute, TextAttribute, FloatsAttribute, IntsAttribute, StringsAttribute:
		case TensorAttribute:
			if a.Tensor == nil {
				err = fmt.Errorf("%w: it has no tensor", ErrFormat)
			}
		default:
			err = fmt.Errorf("%w: it is neither number, text nor tensor, nor a list of them", ErrUnsupported)
		}
	}
	if err != nil {
		return fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	return nil
}

// decode reads a tensor, whose data may come as bytes or in a list for its type.
func (t *Tensor) decode(data []byte) error {
	err := fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			t.Dims, err = f.integers(t.Dims)
			if len(t.Dims) > MaxRank {
				err = fmt.Errorf("%w: more than %d dimensions", ErrUnsupported, MaxRank)
			}
		case 2:
			var n int64
			n, err = f.integer()
			t.Type = DataType(n)
		case 4:
			t.Data, err = f.numbers(t.Data, 4)
		case 5:
			t.Data, err = f.smallInts(t.Data, t.Type)
		case 7, 11:
			t.Data, err = f.longInts(t.Data, t.Type)
		case 10:
			t.Data, err = f.numbers(t.Data, 8)
		case 8:
			t.Name, err = f.text()
		case 9:
			t.Data, err = f.message()
			t.Data = slices.Clip(t.Data) // what may still be appended must not be written over the model
		case 13:
			err = fmt.Errorf("%w: its data is in another file", ErrUnsupported)
		}
		return err
	})
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return nil
}

func (t *Tensor) check() error {
	size := t.Type.Size()
	if size == 0 {
		return fmt.Errorf("%w: it is of %s", ErrUnsupported, t.Type)
	}
	n, ok := Elements(t.Dims)
	if !ok || n > int64(len(t.Data)) || n*int64(size) != int64(len(t.Data)) {
		return fmt.Errorf("%w: %d bytes of data are not %s %v", ErrFormat, len(t.Data), t.Type, t.Dims)
	}
	return nil
}

func (v *Value) decode(data []byte) error {
	tensor := false
	err := fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			v.Name, err = f.text()
		case 2:
			err = f.inside(func(f field) error {
				if f.number != 1 {
					return nil
				}
				tensor = true
				return f.inside(v.typeField)
			})
		}
		return err
	})
	if err == nil && !tensor {
		err = fmt.Errorf("%w: it is not a tensor", ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("value %q: %w", v.Name, err)
	}
	return nil
}

// typeField reads a field of TypeProto.Tensor.
func (v *Value) typeField(f field) (err error) {
	switch f.number {
	case 1:
		var n int64
		n, err = f.integer()
		v.Type = DataType(n)
	case 2:
		v.Dims = []Dim{}
		err = f.inside(func(f field) error {
			if f.number != 1 {
				return nil
			}
			return add(f, &v.Dims, MaxRank, "dimensions", (*Dim).decode)
		})
	}
	return err
}

func (d *Dim) decode(data []byte) error {
	return fields(data, func(f field) (err error) {
		switch f.number {
		case 1:
			d.Size, err = f.integer()
			if d.Size < 0 {
				d.Size = 0 // how some say that it is open
			}
		case 2:
			d.Param, err = f.text()
		}
		return err
	})
}

// field is one field of a message.
type field struct {
	number protowire.Number
	wire   protowire.Type
	value  []byte // with its length, where it has one
}

// fields calls each for every field of a message.
func fields(data []byte, each func(field) error) error {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrFormat, protowire.ParseError(n))
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, wire, data); n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrFormat, number, protowire.ParseError(n))
		}
		if err := each(field{number, wire, data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// wrong is the error about a field of another type than the schema's.
func (f field) wrong() error {
	return fmt.Errorf("%w: field %d has wire type %d", ErrFormat, f.number, f.wire)
}

func (f field) message() ([]byte, error) {
	if f.wire != protowire.BytesType {
		return nil, f.wrong()
	}
	b, _ := protowire.ConsumeBytes(f.value)
	return b, nil
}

func (f field) inside(each func(field) error) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	return fields(b, each)
}

func (f field) text() (string, error) {
	b, err := f.message()
	return string(b), err
}

func (f field) integer() (int64, error) {
	if f.wire != protowire.VarintType {
		return 0, f.wrong()
	}
	v, _ := protowire.ConsumeVarint(f.value)
	return int64(v), nil
}

func (f field) float() (float32, error) {
	if f.wire != protowire.Fixed32Type {
		return 0, f.wrong()
	}
	v, _ := protowire.ConsumeFixed32(f.value)
	return math.Float32frombits(v), nil
}

// varints calls each for the elements of a repeated field, packed or not.
func (f field) varints(each func(uint64)) error {
	b := f.value
	if f.wire == protowire.BytesType {
		b, _ = protowire.ConsumeBytes(b)
	} else if f.wire != protowire.VarintType {
		return f.wrong()
	}
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrFormat, f.number, protowire.ParseError(n))
		}
		each(v)
		b = b[n:]
	}
	return nil
}

func (f field) integers(to []int64) ([]int64, error) {
	err := f.varints(func(v uint64) { to = append(to, int64(v)) })
	return to, err
}

// smallInts appends what int32_data holds, as elements of a type.
func (f field) smallInts(to []byte, t DataType) ([]byte, error) {
	err := f.varints(func(v uint64) {
		switch t.Size() {
		case 1:
			to = append(to, byte(v))
		case 2:
			to = binary.LittleEndian.AppendUint16(to, uint16(v))
		default:
			to = binary.LittleEndian.AppendUint32(to, uint32(v))
		}
	})
	return to, err
}

// longInts appends what int64_data or uint64_data holds, as elements of a type.
func (f field) longInts(to []byte, t DataType) ([]byte, error) {
	err := f.varints(func(v uint64) {
		if t == Uint32 {
			to = binary.LittleEndian.AppendUint32(to, uint32(v))
		} else {
			to = binary.LittleEndian.AppendUint64(to, v)
		}
	})
	return to, err
}

// numbers appends the elements of a repeated field of that many bytes each, packed or
// not: they are as they are in a tensor.
func (f field) numbers(to []byte, size int) ([]byte, error) {
	switch {
	case f.wire == protowire.BytesType:
		b, _ := protowire.ConsumeBytes(f.value)
		if len(b)%size != 0 {
			return nil, fmt.Errorf("%w: field %d has %d bytes", ErrFormat, f.number, len(b))
		}
		return append(to, b...), nil
	case f.wire == protowire.Fixed32Type && size == 4, f.wire == protowire.Fixed64Type && size == 8:
		return append(to, f.value...), nil
	}
	return nil, f.wrong()
}

func (f field) floats(to []float32) ([]float32, error) {
	b, err := f.numbers(nil, 4)
	for ; len(b) > 0; b = b[4:] {
		to = append(to, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return to, err
}

// add decodes a message and appends it to a list of at most limit.
func add[T any](f field, to *[]T, limit int, what string, decode func(*T, []byte) error) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	if len(*to) == limit {
		return fmt.Errorf("%w: more than %d %s", ErrUnsupported, limit, what)
	}
	var v T
	if err := decode(&v, b); err != nil {
		return err
	}
	*to = append(*to, v)
	return nil
}

func addText(f field, to *[]string, limit int, what string) error {
	return add(f, to, limit, what, func(s *string, b []byte) error {
		*s = string(b)
		return nil
	})
}
