// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"fmt"
	"math"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// reduction computes one number of n, which come one after another.
type reduction struct {
	begin float32
	add   func(so, x float32) float32
	end   func(so float32, n int) float32 // nil: as it is
}

var (
	sum     = reduction{0, func(so, x float32) float32 { return so + x }, nil}
	mean    = reduction{0, sum.add, func(so float32, n int) float32 { return so / float32(n) }}
	largest = reduction{float32(math.Inf(-1)), func(so, x float32) float32 { return max(so, x) }, nil}
)

func (r reduction) finish(so float32, n int) float32 {
	if r.end == nil {
		return so
	}
	return r.end(so, n)
}

func buildAveragePool(r *reader) (kernel, error) {
	padding := r.int("count_include_pad", 0) != 0
	return buildPool(r, func(w window, plane []float32, height, width, top, left int) float32 {
		var so float32
		seen, all := 0, 0
		for ky := range w.size[0] {
			for kx := range w.size[1] {
				y, x := top+ky*w.dilation[0], left+kx*w.dilation[1]
				if y < height+w.after[0] && x < width+w.after[1] {
					all++
				}
				if uint(y) < uint(height) && uint(x) < uint(width) {
					so += plane[y*width+x]
					seen++
				}
			}
		}
		if padding {
			seen = all
		}
		return so / float32(seen)
	})
}

func buildMaxPool(r *reader) (kernel, error) {
	r.only("storage_order", 0)
	return buildPool(r, func(w window, plane []float32, height, width, top, left int) float32 {
		so := largest.begin
		for ky := range w.size[0] {
			for kx := range w.size[1] {
				y, x := top+ky*w.dilation[0], left+kx*w.dilation[1]
				if uint(y) < uint(height) && uint(x) < uint(width) {
					so = max(so, plane[y*width+x])
				}
			}
		}
		return so
	})
}

// buildPool builds a pool: at computes one pixel of the result, whose window begins at
// top and left, which may be outside of the plane.
func buildPool(r *reader, at func(w window, plane []float32, height, width, top, left int) float32) (kernel, error) {
	win := r.window()
	win.ceil = r.int("ceil_mode", 0) != 0
	if win.size == [2]int{} {
		r.fail("attribute \"kernel_shape\" is missing")
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			x := in[0].dims
			if len(x) != 4 {
				return nil, fmt.Errorf("%w: an input of %d dimensions; images have 4", errUnsupported, len(x))
			}
			_, size, err := win.over(x[2], x[3])
			if err != nil {
				return nil, err
			}
			return []value{{typ: in[0].typ, dims: []int{x[0], x[1], size[0], size[1]}}}, floats(in)
		},
		cost: func(_, out []*value) uint64 { return uint64(out[0].size()) * uint64(win.size[0]*win.size[1]) },
		run: func(w *work, in, out []*value) {
			height, width := in[0].dims[2], in[0].dims[3]
			win, size, err := win.over(height, width)
			if err != nil {
				return // infer has accepted it
			}
			w.each(out[0].dims[0]*out[0].dims[1], func(i int) {
				plane := in[0].f[i*height*width : (i+1)*height*width]
				to := out[0].f[i*size[0]*size[1] : (i+1)*size[0]*size[1]]
				for y := range size[0] {
					if w.stopped() {
						return
					}
					for x := range size[1] {
						to[y*size[1]+x] = at(win, plane, height, width, y*win.stride[0]-win.before[0], x*win.stride[1]-win.before[1])
					}
				}
			})
		},
	}, nil
}

// buildGlobal builds reductions of whole planes.
func buildGlobal(red reduction) func(*reader) (kernel, error) {
	return func(*reader) (kernel, error) {
		return kernel{
			cost: elements,
			infer: func(in []*value) ([]value, error) {
				if len(in[0].dims) < 3 {
					return nil, fmt.Errorf("an input of %v", in[0].dims)
				}
				dims := slices.Clone(in[0].dims)
				for i := range dims[2:] {
					dims[2+i] = 1
				}
				return []value{{typ: in[0].typ, dims: dims}}, floats(in)
			},
			run: func(w *work, in, out []*value) {
				size := product(in[0].dims[2:])
				w.ranges(len(out[0].f), func(from, to int) {
					for i := from; i < to; i++ {
						so := red.begin
						for _, x := range in[0].f[i*size : (i+1)*size] {
							so = red.add(so, x)
						}
						out[0].f[i] = red.finish(so, size)
					}
				})
			},
		}, nil
	}
}

// elements is the cost of what looks at each element of the input once.
func elements(in, _ []*value) uint64 { return uint64(in[0].size()) }

// buildReduce builds reductions along axes. Since opset 13 (ReduceSum) or 18 these are
// an input.
func buildReduce(red reduction) func(*reader) (kernel, error) {
	return func(r *reader) (kernel, error) {
		since := 18
		if r.node.Op == "ReduceSum" {
			since = 13
		}
		list := r.listed("axes", since, 1)
		keep := r.int("keepdims", 1) != 0
		noop := r.opset >= since && r.int("noop_with_empty_axes", 0) != 0
		reduced := func(in []*value) ([]int, error) {
			l, err := list(in)
			if err != nil {
				return nil, err
			}
			if len(l) == 0 && !noop {
				all := make([]int, len(in[0].dims))
				for i := range all {
					all[i] = i
				}
				return all, nil
			}
			return axes(l, len(in[0].dims))
		}
		return kernel{
			cost: elements,
			infer: func(in []*value) ([]value, error) {
				along, err := reduced(in)
				if err != nil {
					return nil, err
				}
				var dims []int
				for i, d := range in[0].dims {
					if !slices.Contains(along, i) {
						dims = append(dims, d)
					} else if keep {
						dims = append(dims, 1)
					}
				}
				return []value{{typ: in[0].typ, dims: dims}}, floats(in[:1])
			},
			run: func(w *work, in, out []*value) {
				along, err := reduced(in)
				if err != nil {
					return // infer has accepted it
				}
				// Each element of the result is a walk over those axes from where it is.
				step := strides(in[0].dims)
				kept, inner := make([]int, 0, 8), make([]int, 0, 8)
				for i := range in[0].dims {
					if slices.Contains(along, i) {
						inner = append(inner, i)
					} else {
						kept = append(kept, i)
					}
				}
				n := 1
				for _, d := range inner {
					n *= in[0].dims[d]
				}
				offset := func(i int, over []int) (at int) {
					for _, d := range slices.Backward(over) {
						at += i % in[0].dims[d] * step[d]
						i /= in[0].dims[d]
					}
					return at
				}
				w.ranges(len(out[0].f), func(from, to int) {
					for i := from; i < to && !w.stopped(); i++ {
						base, so := offset(i, kept), red.begin
						for k := range n {
							so = red.add(so, in[0].f[base+offset(k, inner)])
						}
						out[0].f[i] = red.finish(so, n)
					}
				})
			},
		}, nil
	}
}

// around returns how a tensor looks along one axis: how many rows there are before it,
// how long it is, and how many elements there are behind it.
func around(dims []int, axis int) (outer, length, inner int) {
	return product(dims[:axis]), dims[axis], product(dims[axis+1:])
}

func buildArgMax(r *reader) (kernel, error) {
	along, keep := r.int("axis", 0), r.int("keepdims", 1) != 0
	r.only("select_last_index", 0)
	return kernel{
		cost: elements,
		infer: func(in []*value) ([]value, error) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return nil, err
			}
			dims := slices.Clone(in[0].dims)
			if dims[a] == 0 {
				return nil, fmt.Errorf("there is nothing along axis %d", along)
			}
			if dims[a] = 1; !keep {
				dims = slices.Delete(dims, a, a+1)
			}
			return []value{{typ: onnx.Int64, dims: dims}}, floats(in)
		},
		run: func(w *work, in, out []*value) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return // infer has accepted it
			}
			_, length, inner := around(in[0].dims, a)
			for i := range out[0].i {
				at := in[0].f[i/inner*length*inner+i%inner:]
				best := 0
				for k := range length {
					if at[k*inner] > at[best*inner] {
						best = k
					}
				}
				out[0].i[i] = int64(best)
			}
		},
	}, nil
}

// buildSoftmax builds a softmax: along one axis since opset 13, and before along all
// from one axis on.
func buildSoftmax(r *reader) (kernel, error) {
	absent := int64(-1)
	if r.opset < 13 {
		absent = 1
	}
	along := r.int("axis", absent)
	return kernel{
		cost: elements,
		infer: func(in []*value) ([]value, error) {
			if _, err := axis(along, len(in[0].dims)); err != nil {
				return nil, err
			}
			return same(in)
		},
		run: func(w *work, in, out []*value) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return // infer has accepted it
			}
			outer, length, inner := around(in[0].dims, a)
			if r.opset < 13 {
				length, inner = length*inner, 1
			}
			w.ranges(outer*inner, func(from, to int) {
				for i := from; i < to; i++ {
					at := i/inner*length*inner + i%inner
					softmax(in[0].f[at:], out[0].f[at:], length, inner)
				}
			})
		},
	}, nil
}

// softmax works on length elements that are step apart.
func softmax(from, to []float32, length, step int) {
	high := largest.begin
	for k := range length {
		high = max(high, from[k*step])
	}
	var all float64
	for k := range length {
		e := math.Exp(float64(from[k*step] - high))
		to[k*step] = float32(e)
		all += e
	}
	for k := range length {
		to[k*step] = float32(float64(to[k*step]) / all)
	}
}
