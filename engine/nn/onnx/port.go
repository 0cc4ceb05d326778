// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn"
)

// Part returns the bytes of a model that a backend is asked to load, after checking
// that it is one in ONNX, for the CPU, of at most limit bytes.
func Part(parts [][]byte, encoding nn.Encoding, target nn.Target, limit int) ([]byte, error) {
	switch {
	case encoding != nn.ONNX && encoding != nn.Autodetect:
		return nil, nn.Errorf(nn.InvalidEncoding, "models in %s are not supported; onnx is", encoding)
	case target != nn.CPU:
		return nil, nn.Errorf(nn.UnsupportedOperation, "models run on the cpu, not on a %s", target)
	case len(parts) != 1:
		return nil, nn.Errorf(nn.InvalidArgument, "an ONNX model is one part, not %d", len(parts))
	case len(parts[0]) > limit:
		return nil, nn.Errorf(nn.TooLarge, "the model has %d bytes; %d are the most", len(parts[0]), limit)
	}
	return parts[0], nil
}

// Code returns the code for an error of this package.
func Code(err error) nn.Code {
	if errors.Is(err, ErrUnsupported) {
		return nn.UnsupportedOperation
	}
	return nn.InvalidEncoding
}

// Ports returns the inputs and outputs of g as nn has them. An input with an
// initializer is a constant.
func Ports(g *Graph) (in, out []nn.Port, err error) {
	for i := range g.Inputs {
		v := &g.Inputs[i]
		if slices.ContainsFunc(g.Initializers, func(t Tensor) bool { return t.Name == v.Name }) {
			continue
		}
		p, err := v.port()
		if err != nil {
			return nil, nil, fmt.Errorf("input %q: %w", v.Name, err)
		}
		in = append(in, p)
	}
	for i := range g.Outputs {
		p, err := g.Outputs[i].port()
		if err != nil {
			return nil, nil, fmt.Errorf("output %q: %w", g.Outputs[i].Name, err)
		}
		out = append(out, p)
	}
	return in, out, nil
}

// port returns v as nn has it.
func (v *Value) port() (nn.Port, error) {
	t, ok := types[v.Type]
	if !ok {
		return nn.Port{}, fmt.Errorf("%w: an input or output of %s", ErrUnsupported, v.Type)
	}
	if v.Dims == nil {
		return nn.Port{}, fmt.Errorf("%w: the number of dimensions is open", ErrUnsupported)
	}
	p := nn.Port{Name: v.Name, Type: t, Dims: make([]int64, len(v.Dims))}
	for i, d := range v.Dims {
		if p.Dims[i] = d.Size; d.Size == 0 {
			p.Dims[i] = -1
		}
	}
	return p, nil
}

// types are the types of elements that wasi:nn has, too.
var types = map[DataType]nn.Type{
	Float16: nn.FP16, Float: nn.FP32, Double: nn.FP64, BFloat16: nn.BF16, Uint8: nn.U8, Int32: nn.I32, Int64: nn.I64,
}
