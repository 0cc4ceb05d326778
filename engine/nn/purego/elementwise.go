// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"fmt"
	"math"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// unary builds operators that compute each element from one of the input.
func unary(f func(float32) float32) func(*reader) (kernel, error) {
	return func(*reader) (kernel, error) { return elementwise(f), nil }
}

func elementwise(f func(float32) float32) kernel {
	return kernel{infer: same, run: func(w *work, in, out []*value) {
		w.ranges(len(out[0].f), func(from, to int) {
			x := in[0].f[from:to]
			for i, v := range x {
				out[0].f[from+i] = f(v)
			}
		})
	}}
}

// clamping is the kernel of activations that limit values.
func clamping(c clamp) kernel {
	return kernel{infer: same, clamp: &c, run: func(w *work, in, out []*value) {
		w.ranges(len(out[0].f), func(from, to int) {
			copy(out[0].f[from:to], in[0].f[from:to])
			limit(out[0].f[from:to], c.low, c.high)
		})
	}}
}

func buildRelu(*reader) (kernel, error) { return clamping(clamp{0, float32(math.Inf(1))}), nil }

func buildClip(r *reader) (kernel, error) {
	c := clamp{-math.MaxFloat32, math.MaxFloat32}
	if r.opset < 11 {
		c.low, c.high = r.float("min", c.low), r.float("max", c.high)
		return clamping(c), nil
	}
	for i, to := range []*float32{1: &c.low, 2: &c.high} {
		if i == 0 || i >= len(r.in) || r.node.Inputs[i] == "" {
			continue
		}
		v := r.in[i]
		switch {
		case v == nil:
			return kernel{}, fmt.Errorf("%w: limits that are not constant", errUnsupported)
		case len(v.f) != 1:
			return kernel{}, fmt.Errorf("a limit of %s %v", v.typ, v.dims)
		}
		*to = v.f[0]
	}
	return clamping(c), nil
}

func buildLeakyRelu(r *reader) (kernel, error) {
	alpha := r.float("alpha", 0.01)
	return elementwise(func(x float32) float32 {
		if x < 0 {
			return alpha * x
		}
		return x
	}), nil
}

func buildHardSigmoid(r *reader) (kernel, error) {
	alpha, beta := r.float("alpha", 0.2), r.float("beta", 0.5)
	return elementwise(func(x float32) float32 { return min(max(float32(alpha*x)+beta, 0), 1) }), nil
}

// buildNorm builds a batch normalisation: for each channel a factor and a summand.
func buildNorm(r *reader) (kernel, error) {
	r.ignore("momentum")
	r.only("training_mode", 0)
	if r.opset < 9 {
		r.only("spatial", 1)
	}
	epsilon := r.float("epsilon", 1e-5)
	n := &norm{}
	for i := 1; i < 5; i++ {
		v := r.in[i]
		switch {
		case v == nil:
			return kernel{}, fmt.Errorf("%w: parameters that are not constant", errUnsupported)
		case len(v.dims) != 1 || !v.isFloat() || len(v.f) != len(r.in[1].f):
			return kernel{}, fmt.Errorf("parameters of %s %v", v.typ, v.dims)
		}
	}
	scale, shift, average, variance := r.in[1].f, r.in[2].f, r.in[3].f, r.in[4].f
	for i := range scale {
		s := scale[i] / float32(math.Sqrt(float64(variance[i])+float64(epsilon)))
		n.scale = append(n.scale, s)
		n.shift = append(n.shift, shift[i]-float32(average[i]*s))
	}
	return kernel{
		norm: n,
		infer: func(in []*value) ([]value, error) {
			if len(in[0].dims) < 2 || in[0].dims[1] != len(n.scale) {
				return nil, fmt.Errorf("input of %v, and parameters for %d channels", in[0].dims, len(n.scale))
			}
			return same(in)
		},
		run: func(w *work, in, out []*value) {
			channels := out[0].dims[1]
			size := product(out[0].dims[2:])
			w.each(out[0].dims[0]*channels, func(i int) {
				s, shift := n.scale[i%channels], n.shift[i%channels]
				to := out[0].f[i*size : (i+1)*size]
				for k, x := range in[0].f[i*size : (i+1)*size] {
					to[k] = float32(x*s) + shift
				}
			})
		},
	}, nil
}

// quotient is division of integers; by zero it is zero.
func quotient(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// pairwise builds operators that compute each element from one of either input, which
// are broadcast. ints is nil for an operator of floats only.
func pairwise(float func(a, b float32) float32, ints func(a, b int64) int64) func(*reader) (kernel, error) {
	return func(*reader) (kernel, error) {
		return kernel{
			infer: func(in []*value) ([]value, error) {
				a, b := in[0], in[1]
				if a.typ != b.typ {
					return nil, fmt.Errorf("inputs of %s and %s", a.typ, b.typ)
				}
				if a.typ == onnx.Bool || !a.isFloat() && ints == nil {
					return nil, fmt.Errorf("%w: inputs of %s", errUnsupported, a.typ)
				}
				dims, err := broadcast(a.dims, b.dims)
				return []value{{typ: a.typ, dims: dims}}, err
			},
			run: func(w *work, in, out []*value) {
				a, b, y := in[0], in[1], out[0]
				if y.isFloat() {
					combine(w, y.dims, y.f, operand[float32]{a.dims, a.f}, operand[float32]{b.dims, b.f}, float)
				} else {
					combine(w, y.dims, y.i, operand[int64]{a.dims, a.i}, operand[int64]{b.dims, b.i}, ints)
					narrow(y)
				}
			},
		}, nil
	}
}

// narrow makes integers wrap around as those of their width do.
func narrow(v *value) {
	for i, x := range v.i {
		switch v.typ {
		case onnx.Int32:
			v.i[i] = int64(int32(x))
		case onnx.Int8:
			v.i[i] = int64(int8(x))
		case onnx.Uint8:
			v.i[i] = int64(uint8(x))
		}
	}
}

// broadcast returns the dimensions of what is computed of a and b, element by element.
func broadcast(a, b []int) ([]int, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i, d := range b {
		at := len(a) - len(b) + i
		switch {
		case d == out[at] || d == 1:
		case out[at] == 1:
			out[at] = d
		default:
			return nil, fmt.Errorf("inputs of %v and %v don't go together", a, b)
		}
	}
	return out, nil
}

// operand is a side of a binary operation.
type operand[T any] struct {
	dims []int
	data []T
}

// steps returns how far apart in o the elements are that belong to neighbours in
// dims: 0 along what is broadcast.
func (o operand[T]) steps(dims []int) []int {
	out := make([]int, len(dims))
	for i, s := range strides(o.dims) {
		if o.dims[i] != 1 {
			out[len(dims)-len(o.dims)+i] = s
		}
	}
	return out
}

// combine computes f for all elements, a row at a time.
func combine[T any](w *work, dims []int, to []T, a, b operand[T], f func(a, b T) T) {
	if len(to) == 0 {
		return
	}
	if len(dims) == 0 || slices.Equal(a.dims, dims) && slices.Equal(b.dims, dims) {
		w.ranges(len(to), func(from, end int) {
			x, y := a.data[from:end], b.data[from:end]
			for i := range x {
				to[from+i] = f(x[i], y[i])
			}
		})
		return
	}
	row := dims[len(dims)-1]
	stepsA, stepsB := a.steps(dims), b.steps(dims)
	last := len(dims) - 1
	rows := len(to) / row
	piece := max(1, grain/row)
	w.each((rows+piece-1)/piece, func(p int) {
		for r := p * piece; r < min((p+1)*piece, rows); r++ {
			ia, ib, rest := 0, 0, r
			for d := last - 1; d >= 0; d-- {
				ia += rest % dims[d] * stepsA[d]
				ib += rest % dims[d] * stepsB[d]
				rest /= dims[d]
			}
			for i := range row {
				to[r*row+i] = f(a.data[ia+i*stepsA[last]], b.data[ib+i*stepsB[last]])
			}
		}
	})
}
