// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"fmt"
	"math"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// reshaped is the kernel of operators that change the dimensions and nothing else.
func reshaped(dims func(in []*value) ([]int, error)) kernel {
	return kernel{
		infer: func(in []*value) ([]value, error) {
			d, err := dims(in)
			if err != nil {
				return nil, err
			}
			if err := checkDims(d); err != nil {
				return nil, err
			}
			if product(d) != in[0].size() {
				return nil, fmt.Errorf("%v has %d elements, and %v has not", in[0].dims, in[0].size(), d)
			}
			return []value{{typ: in[0].typ, dims: d}}, nil
		},
		run: func(_ *work, in, out []*value) {
			copy(out[0].f, in[0].f)
			copy(out[0].i, in[0].i)
		},
	}
}

func buildIdentity(r *reader) (kernel, error) {
	r.ignore("ratio", "seed", "is_test")
	return reshaped(func(in []*value) ([]int, error) { return in[0].dims, nil }), nil
}

func buildReshape(r *reader) (kernel, error) {
	zero := r.int("allowzero", 0) != 0
	return reshaped(func(in []*value) ([]int, error) {
		list, err := integers(in, 1)
		if err != nil {
			return nil, err
		}
		dims := make([]int, len(list))
		open, rest := none, 1
		for i, n := range list {
			switch {
			case n == -1 && open == none:
				open = i
				continue
			case n == 0 && !zero && i < len(in[0].dims):
				n = int64(in[0].dims[i])
			case n < 0 || n > maxElements:
				return nil, fmt.Errorf("shape %v", list)
			}
			dims[i] = int(n)
			if rest *= int(n); rest > maxElements {
				return nil, fmt.Errorf("%w: shape %v", errTooLarge, list)
			}
		}
		if open != none {
			if rest == 0 || in[0].size()%rest != 0 {
				return nil, fmt.Errorf("%v does not become %v", in[0].dims, list)
			}
			dims[open] = in[0].size() / rest
		}
		return dims, nil
	}), nil
}

func buildFlatten(r *reader) (kernel, error) {
	at := r.int("axis", 1)
	return reshaped(func(in []*value) ([]int, error) {
		a := int(at)
		if a < 0 {
			a += len(in[0].dims)
		}
		if a < 0 || a > len(in[0].dims) {
			return nil, fmt.Errorf("axis %d of %d dimensions", at, len(in[0].dims))
		}
		return []int{product(in[0].dims[:a]), product(in[0].dims[a:])}, nil
	}), nil
}

func buildSqueeze(r *reader) (kernel, error) {
	list := r.listed("axes", 13, 1)
	return reshaped(func(in []*value) ([]int, error) {
		l, err := list(in)
		if err != nil {
			return nil, err
		}
		gone, err := axes(l, len(in[0].dims))
		if err != nil {
			return nil, err
		}
		dims := []int{}
		for i, d := range in[0].dims {
			if len(l) == 0 && d == 1 || slices.Contains(gone, i) && d == 1 {
				continue
			}
			dims = append(dims, d)
		}
		return dims, nil // whoever names an axis that is longer is found by its size
	}), nil
}

func buildUnsqueeze(r *reader) (kernel, error) {
	list := r.listed("axes", 13, 1)
	return reshaped(func(in []*value) ([]int, error) {
		l, err := list(in)
		if err != nil {
			return nil, err
		}
		rank := len(in[0].dims) + len(l)
		fresh, err := axes(l, rank)
		if err != nil {
			return nil, err
		}
		dims, old := make([]int, rank), in[0].dims
		for i := range dims {
			if slices.Contains(fresh, i) {
				dims[i] = 1
			} else {
				dims[i], old = old[0], old[1:]
			}
		}
		return dims, nil
	}), nil
}

// picking is the kernel of operators whose results are elements of the first input,
// at places that are regular along each dimension.
func picking(f func(in []*value) (pick, error)) kernel {
	return kernel{
		infer: func(in []*value) ([]value, error) {
			p, err := f(in)
			if err != nil {
				return nil, err
			}
			return []value{{typ: in[0].typ, dims: p.dims}}, nil
		},
		run: func(w *work, in, out []*value) {
			p, err := f(in)
			if err != nil {
				return // infer has accepted it
			}
			if out[0].isFloat() {
				take(w, p, in[0].f, out[0].f)
			} else {
				take(w, p, in[0].i, out[0].i)
			}
		},
	}
}

// pick says which elements of a tensor a result is made of.
type pick struct {
	dims  []int // of the result
	begin int   // the offset of its first element
	step  []int // between neighbours along each dimension of the result
}

// take copies elements, a row at a time.
func take[T any](w *work, p pick, from, to []T) {
	if len(to) == 0 {
		return
	}
	if len(p.dims) == 0 {
		to[0] = from[p.begin]
		return
	}
	last := len(p.dims) - 1
	row, step := p.dims[last], p.step[last]
	for r := 0; r*row < len(to); r++ {
		if r%grain == 0 && w.stopped() {
			return
		}
		at, rest := p.begin, r
		for d := last - 1; d >= 0; d-- {
			at += rest % p.dims[d] * p.step[d]
			rest /= p.dims[d]
		}
		line := to[r*row : (r+1)*row]
		if step == 1 {
			copy(line, from[at:at+row])
			continue
		}
		for i := range line {
			line[i] = from[at+i*step]
		}
	}
}

func buildTranspose(r *reader) (kernel, error) {
	order := r.ints("perm")
	return picking(func(in []*value) (pick, error) {
		rank := len(in[0].dims)
		step := strides(in[0].dims)
		p := pick{}
		turned, err := axes(order, rank)
		if err != nil {
			return p, err
		}
		if order == nil {
			for i := range rank {
				turned = append(turned, rank-1-i)
			}
		}
		if len(turned) != rank {
			return p, fmt.Errorf("attribute \"perm\" is %v, for an input of %v", order, in[0].dims)
		}
		for _, a := range turned {
			p.dims, p.step = append(p.dims, in[0].dims[a]), append(p.step, step[a])
		}
		return p, nil
	}), nil
}

func buildSlice(r *reader) (kernel, error) {
	begin, end := r.listed("starts", 10, 1), r.listed("ends", 10, 2)
	along, step := r.listed("axes", 10, 3), func(in []*value) ([]int64, error) { return integers(in, 4) }
	return picking(func(in []*value) (pick, error) {
		var lists [4][]int64
		for i, list := range []func([]*value) ([]int64, error){begin, end, along, step} {
			var err error
			if lists[i], err = list(in); err != nil {
				return pick{}, err
			}
		}
		n := len(lists[0])
		for _, l := range lists[1:] {
			if l != nil && len(l) != n {
				return pick{}, fmt.Errorf("lists of different lengths")
			}
		}
		if lists[1] == nil && n > 0 {
			return pick{}, fmt.Errorf("no ends")
		}
		p := pick{dims: slices.Clone(in[0].dims), step: strides(in[0].dims)}
		seen := map[int]bool{}
		for i := range n {
			a, by := int64(i), int64(1)
			if lists[2] != nil {
				a = lists[2][i]
			}
			if lists[3] != nil {
				by = lists[3][i]
			}
			d, err := axis(a, len(p.dims))
			if err != nil {
				return p, err
			}
			if by == 0 || by == math.MinInt64 || seen[d] {
				return p, fmt.Errorf("step %d along axis %d", by, a)
			}
			seen[d] = true
			first, count := span(lists[0][i], lists[1][i], by, int64(in[0].dims[d]))
			p.begin += int(first) * p.step[d]
			p.dims[d] = int(count)
			if count < 2 {
				by = 1
			}
			p.step[d] *= int(by)
		}
		return p, nil
	}), nil
}

// span returns which of n elements a slice begins with, and how many it has.
func span(begin, end, step, n int64) (first, count int64) {
	from := func(i int64) int64 {
		if i < 0 {
			return i + n
		}
		return i
	}
	if step > 0 {
		first, end = min(max(from(begin), 0), n), min(max(from(end), 0), n)
		if end <= first {
			return 0, 0
		}
		return first, (end-first-1)/step + 1
	}
	first, end = min(max(from(begin), 0), n-1), min(max(from(end), -1), n-1)
	if first <= end {
		return 0, 0
	}
	return first, (first-end-1)/(-step) + 1
}

func buildSplit(r *reader) (kernel, error) {
	along := r.int("axis", 0)
	list := r.listed("split", 13, 1)
	r.outputs = len(r.node.Outputs)
	if r.opset >= 18 {
		r.int("num_outputs", 0)
	}
	// parts returns the offset of each part along the axis.
	parts := func(in []*value) (a int, sizes []int, err error) {
		if a, err = axis(along, len(in[0].dims)); err != nil {
			return 0, nil, err
		}
		l, err := list(in)
		if err != nil {
			return 0, nil, err
		}
		n, left := r.outputs, in[0].dims[a]
		if l == nil {
			each := (left + n - 1) / n
			for range n {
				l = append(l, int64(min(each, left)))
				left -= min(each, left)
			}
			left = in[0].dims[a]
		}
		if len(l) != n {
			return 0, nil, fmt.Errorf("%d outputs, and sizes for %d", n, len(l))
		}
		for _, s := range l {
			if s < 0 || s > int64(left) {
				return 0, nil, fmt.Errorf("sizes %v of %v", l, in[0].dims)
			}
			left -= int(s)
			sizes = append(sizes, int(s))
		}
		if left != 0 {
			return 0, nil, fmt.Errorf("sizes %v of %v", l, in[0].dims)
		}
		return a, sizes, nil
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			a, sizes, err := parts(in)
			var out []value
			for _, s := range sizes {
				dims := slices.Clone(in[0].dims)
				dims[a] = s
				out = append(out, value{typ: in[0].typ, dims: dims})
			}
			return out, err
		},
		run: func(w *work, in, out []*value) {
			a, sizes, err := parts(in)
			if err != nil {
				return // infer has accepted it
			}
			at := 0
			for i, v := range out {
				p := pick{dims: v.dims, begin: at * strides(in[0].dims)[a], step: strides(in[0].dims)}
				if v.isFloat() {
					take(w, p, in[0].f, v.f)
				} else {
					take(w, p, in[0].i, v.i)
				}
				at += sizes[i]
			}
		},
	}, nil
}

func buildConcat(r *reader) (kernel, error) {
	along := r.int("axis", 1)
	return kernel{
		infer: func(in []*value) ([]value, error) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return nil, err
			}
			dims := slices.Clone(in[0].dims)
			for _, v := range in[1:] {
				if v == nil || v.typ != in[0].typ || len(v.dims) != len(dims) {
					return nil, fmt.Errorf("inputs of different types or numbers of dimensions")
				}
				for i, d := range v.dims {
					if i == a {
						dims[i] += d
					} else if d != dims[i] {
						return nil, fmt.Errorf("inputs of %v and %v along axis %d", in[0].dims, v.dims, along)
					}
				}
			}
			return []value{{typ: in[0].typ, dims: dims}}, nil
		},
		run: func(w *work, in, out []*value) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return // infer has accepted it
			}
			if out[0].isFloat() {
				join(w, a, in, out[0], func(v *value) []float32 { return v.f })
			} else {
				join(w, a, in, out[0], func(v *value) []int64 { return v.i })
			}
		},
	}, nil
}

// join copies tensors behind each other along an axis.
func join[T any](w *work, axis int, in []*value, out *value, data func(*value) []T) {
	outer, length, inner := around(out.dims, axis)
	at := 0
	for _, v := range in {
		size := v.dims[axis] * inner
		for o := range outer {
			if w.stopped() {
				return
			}
			copy(data(out)[o*length*inner+at:], data(v)[o*size:(o+1)*size])
		}
		at += size
	}
}

func buildGather(r *reader) (kernel, error) {
	along := r.int("axis", 0)
	return kernel{
		infer: func(in []*value) ([]value, error) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return nil, err
			}
			list := in[1]
			if !list.constant || list.isFloat() {
				return nil, fmt.Errorf("%w: indices that depend on data", errUnsupported)
			}
			for _, i := range list.i {
				if i < -int64(in[0].dims[a]) || i >= int64(in[0].dims[a]) {
					return nil, fmt.Errorf("index %d of %d", i, in[0].dims[a])
				}
			}
			return []value{{typ: in[0].typ, dims: slices.Concat(in[0].dims[:a], list.dims, in[0].dims[a+1:])}}, nil
		},
		run: func(w *work, in, out []*value) {
			a, err := axis(along, len(in[0].dims))
			if err != nil {
				return // infer has accepted it
			}
			if out[0].isFloat() {
				gather(w, a, in[0].dims, in[1].i, in[0].f, out[0].f)
			} else {
				gather(w, a, in[0].dims, in[1].i, in[0].i, out[0].i)
			}
		},
	}, nil
}

func gather[T any](w *work, axis int, dims []int, list []int64, from, to []T) {
	outer, length, inner := around(dims, axis)
	for o := range outer {
		if w.stopped() {
			return
		}
		for _, i := range list {
			if i < 0 {
				i += int64(length)
			}
			at := (o*length + int(i)) * inner
			to = to[copy(to, from[at:at+inner]):]
		}
	}
}

func buildPad(r *reader) (kernel, error) {
	if mode := r.text("mode", "constant"); mode != "constant" {
		return kernel{}, fmt.Errorf("%w: attribute \"mode\" is %q", errUnsupported, mode)
	}
	list := r.listed("pads", 11, 1)
	fill := float32(0)
	if r.opset < 11 {
		fill = r.float("value", 0)
	} else if len(r.in) > 2 && r.node.Inputs[2] != "" {
		v := r.in[2]
		if v == nil || len(v.f) != 1 {
			return kernel{}, fmt.Errorf("%w: a value that is not one constant float", errUnsupported)
		}
		fill = v.f[0]
	}
	pads := func(in []*value) ([]int64, error) {
		l, err := list(in)
		if err != nil {
			return nil, err
		}
		if len(l) != 2*len(in[0].dims) {
			return nil, fmt.Errorf("pads %v for an input of %v", l, in[0].dims)
		}
		for _, n := range l {
			if n < 0 || n > maxElements {
				return nil, fmt.Errorf("%w: pads %v", errUnsupported, l)
			}
		}
		return l, nil
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			l, err := pads(in)
			if err != nil {
				return nil, err
			}
			dims := slices.Clone(in[0].dims)
			for i := range dims {
				dims[i] += int(l[i] + l[len(dims)+i])
			}
			return []value{{typ: in[0].typ, dims: dims}}, floats(in[:1])
		},
		run: func(w *work, in, out []*value) {
			l, err := pads(in)
			if err != nil {
				return // infer has accepted it
			}
			for i := range out[0].f {
				out[0].f[i] = fill
			}
			if len(in[0].f) == 0 {
				return
			}
			if len(in[0].dims) == 0 {
				out[0].f[0] = in[0].f[0]
				return
			}
			dims, step := in[0].dims, strides(out[0].dims)
			last := len(dims) - 1
			for r := 0; r*dims[last] < len(in[0].f); r++ {
				if r%grain == 0 && w.stopped() {
					return
				}
				at, rest := int(l[last]), r
				for d := last - 1; d >= 0; d-- {
					at += (rest%dims[d] + int(l[d])) * step[d]
					rest /= dims[d]
				}
				copy(out[0].f[at:], in[0].f[r*dims[last]:(r+1)*dims[last]])
			}
		},
	}, nil
}

func buildShape(r *reader) (kernel, error) {
	begin, end := r.int("start", 0), r.int("end", math.MaxInt64)
	part := func(dims []int) []int {
		first, count := span(begin, end, 1, int64(len(dims)))
		return dims[first : first+count]
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			return []value{{typ: onnx.Int64, dims: []int{len(part(in[0].dims))}}}, nil
		},
		run: func(_ *work, in, out []*value) {
			for i, d := range part(in[0].dims) {
				out[0].i[i] = int64(d)
			}
		},
	}, nil
}

func buildCast(r *reader) (kernel, error) {
	r.ignore("saturate")
	to := onnx.DataType(r.int("to", 0))
	if r.err == nil && !supported(to) {
		return kernel{}, fmt.Errorf("%w: to %s", errUnsupported, to)
	}
	return kernel{
		infer: func(in []*value) ([]value, error) { return []value{{typ: to, dims: in[0].dims}}, nil },
		run: func(_ *work, in, out []*value) {
			x, y := in[0], out[0]
			switch {
			case x.isFloat() && y.isFloat():
				copy(y.f, x.f)
			case y.isFloat():
				for i, v := range x.i {
					y.f[i] = float32(v)
				}
			case to == onnx.Bool:
				for i := range y.i {
					if x.isFloat() && x.f[i] != 0 || !x.isFloat() && x.i[i] != 0 {
						y.i[i] = 1
					} else {
						y.i[i] = 0
					}
				}
			case x.isFloat():
				for i, v := range x.f {
					y.i[i] = truncated(v)
				}
				narrow(y)
			default:
				copy(y.i, x.i)
				narrow(y)
			}
		},
	}, nil
}

// truncated is f as an integer, the same on all machines.
func truncated(f float32) int64 {
	switch {
	case f != f:
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

func buildConstant(r *reader) (kernel, error) {
	v, err := r.value()
	if err != nil {
		return kernel{}, err
	}
	return kernel{
		infer: func([]*value) ([]value, error) { return []value{{typ: v.typ, dims: v.dims}}, nil },
		run: func(_ *work, _, out []*value) {
			copy(out[0].f, v.f)
			copy(out[0].i, v.i)
		},
	}, nil
}

// value reads the one attribute of a Constant.
func (r *reader) value() (*value, error) {
	if len(r.node.Attributes) != 1 {
		return nil, fmt.Errorf("%d attributes, want one", len(r.node.Attributes))
	}
	a := &r.node.Attributes[0]
	r.ignore(a.Name)
	switch {
	case a.Name == "value" && a.Kind == onnx.TensorAttribute:
		return r.constant(a.Tensor)
	case a.Name == "value_float" && a.Kind == onnx.FloatAttribute:
		return &value{typ: onnx.Float, f: []float32{a.Float}}, nil
	case a.Name == "value_floats" && a.Kind == onnx.FloatsAttribute:
		return &value{typ: onnx.Float, dims: []int{len(a.Floats)}, f: a.Floats}, nil
	case a.Name == "value_int" && a.Kind == onnx.IntAttribute:
		return &value{typ: onnx.Int64, i: []int64{a.Int}}, nil
	case a.Name == "value_ints" && a.Kind == onnx.IntsAttribute:
		return &value{typ: onnx.Int64, dims: []int{len(a.Ints)}, i: a.Ints}, nil
	}
	return nil, fmt.Errorf("%w: attribute %q", errUnsupported, a.Name)
}

func buildConstantOfShape(r *reader) (kernel, error) {
	fill := &value{typ: onnx.Float, f: []float32{0}}
	if a := r.attribute("value", onnx.TensorAttribute); a != nil {
		var err error
		if fill, err = r.constant(a.Tensor); err != nil {
			return kernel{}, err
		}
		if fill.size() != 1 {
			return kernel{}, fmt.Errorf("a value of %v", fill.dims)
		}
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			list, err := integers(in, 0)
			if err != nil {
				return nil, err
			}
			dims := make([]int, len(list))
			for i, n := range list {
				if n < 0 || n > maxElements {
					return nil, fmt.Errorf("shape %v", list)
				}
				dims[i] = int(n)
			}
			return []value{{typ: fill.typ, dims: dims}}, nil
		},
		run: func(_ *work, _, out []*value) {
			for i := range out[0].f {
				out[0].f[i] = fill.f[0]
			}
			for i := range out[0].i {
				out[0].i[i] = fill.i[0]
			}
		},
	}, nil
}
