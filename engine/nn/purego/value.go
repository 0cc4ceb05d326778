// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// value is a tensor while it is planned or computed. Floats are in f; integers and
// truth values of any width are in i. While only its shape is known, both are nil.
type value struct {
	typ      onnx.DataType
	dims     []int
	f        []float32
	i        []int64
	constant bool // has its data, for good
}

func (v *value) isFloat() bool { return v.typ == onnx.Float }

// size returns the number of elements.
func (v *value) size() int { return product(v.dims) }

// allocate gives v room for its elements.
func (v *value) allocate() {
	if v.isFloat() {
		v.f = make([]float32, v.size())
	} else {
		v.i = make([]int64, v.size())
	}
}

// bytes is the memory that n elements take.
func (v *value) bytes(n int) uint64 {
	if v.isFloat() {
		return 4 * uint64(n)
	}
	return 8 * uint64(n)
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// maxElements is how many elements a tensor may have at all, so that sizes and
// offsets in bytes are far from overflowing.
const maxElements = 1 << 31

// checkDims returns an error if no tensor can have those dimensions.
func checkDims(dims []int) error {
	if len(dims) > nn.MaxRank {
		return fmt.Errorf("%w: %d dimensions; %d are the most", errUnsupported, len(dims), nn.MaxRank)
	}
	n := int64(1)
	for _, d := range dims {
		if d < 0 {
			return fmt.Errorf("negative dimension in %v", dims)
		}
		if d > maxElements {
			return fmt.Errorf("%w: tensor of %v", errTooLarge, dims)
		}
		if n *= int64(d); n > maxElements {
			return fmt.Errorf("%w: tensor of %v", errTooLarge, dims)
		}
	}
	return nil
}

// supported reports whether elements of type t can be held.
func supported(t onnx.DataType) bool {
	switch t {
	case onnx.Float, onnx.Int64, onnx.Int32, onnx.Uint8, onnx.Int8, onnx.Bool:
		return true
	}
	return false
}

// constantOf returns t as a value.
func constantOf(t *onnx.Tensor) (*value, error) {
	if !supported(t.Type) {
		return nil, fmt.Errorf("%w: a tensor of %s", errUnsupported, t.Type)
	}
	v := &value{typ: t.Type, dims: make([]int, len(t.Dims)), constant: true}
	for i, d := range t.Dims {
		v.dims[i] = int(d)
	}
	if err := checkDims(v.dims); err != nil {
		return nil, err
	}
	v.allocate()
	v.set(t.Data)
	return v, nil
}

// set takes the elements out of data, which has as many of v's type as v has.
func (v *value) set(data []byte) {
	switch le := binary.LittleEndian; v.typ {
	case onnx.Float:
		for i := range v.f {
			v.f[i] = math.Float32frombits(le.Uint32(data[4*i:]))
		}
	case onnx.Int64:
		for i := range v.i {
			v.i[i] = int64(le.Uint64(data[8*i:]))
		}
	case onnx.Int32:
		for i := range v.i {
			v.i[i] = int64(int32(le.Uint32(data[4*i:])))
		}
	case onnx.Int8:
		for i := range v.i {
			v.i[i] = int64(int8(data[i]))
		}
	default: // uint8, bool
		for i := range v.i {
			v.i[i] = int64(data[i])
		}
	}
}

// tensor returns a copy of v for outside.
func (v *value) tensor(t nn.Type) *nn.Tensor {
	out := &nn.Tensor{Type: t, Dims: make([]uint32, len(v.dims)), Data: make([]byte, v.size()*t.Size())}
	for i, d := range v.dims {
		out.Dims[i] = uint32(d)
	}
	switch le := binary.LittleEndian; t {
	case nn.FP32:
		for i, x := range v.f {
			le.PutUint32(out.Data[4*i:], math.Float32bits(x))
		}
	case nn.I64:
		for i, x := range v.i {
			le.PutUint64(out.Data[8*i:], uint64(x))
		}
	case nn.I32:
		for i, x := range v.i {
			le.PutUint32(out.Data[4*i:], uint32(x))
		}
	default: // nn.U8
		for i, x := range v.i {
			out.Data[i] = byte(x)
		}
	}
	return out
}

// portType returns how inputs and outputs of type t look from outside.
func portType(t onnx.DataType) (nn.Type, error) {
	switch t {
	case onnx.Float:
		return nn.FP32, nil
	case onnx.Int64:
		return nn.I64, nil
	case onnx.Int32:
		return nn.I32, nil
	case onnx.Uint8:
		return nn.U8, nil
	}
	return 0, fmt.Errorf("%w: an input or output of %s", errUnsupported, t)
}

// strides returns how far apart elements are along each dimension.
func strides(dims []int) []int {
	s := make([]int, len(dims))
	n := 1
	for i, d := range slices.Backward(dims) {
		s[i] = n
		n *= d
	}
	return s
}

// axis returns the dimension that a means in a tensor of that rank: negative ones
// count from the end.
func axis(a int64, rank int) (int, error) {
	if a < -int64(rank) || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d of %d dimensions", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a), nil
}

// axes is axis for several, which may not repeat.
func axes(list []int64, rank int) ([]int, error) {
	var out []int
	for _, a := range list {
		n, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, n) {
			return nil, fmt.Errorf("axis %d is there twice", a)
		}
		out = append(out, n)
	}
	return out, nil
}
