// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"fmt"
	"math"
)

// window is how a kernel moves over the two dimensions of an image: convolutions and
// pools have one.
type window struct {
	size, stride, dilation [2]int // height, width; size is 0 where it is the weights'
	before, after          [2]int // padding
	auto                   string // auto_pad
	ceil                   bool   // the last, incomplete step counts
}

// window reads the attributes of one.
func (r *reader) window() window {
	w := window{stride: [2]int{1, 1}, dilation: [2]int{1, 1}, auto: r.text("auto_pad", "NOTSET")}
	pair := func(name string, to *[2]int, least int64) {
		list := r.ints(name)
		if list == nil {
			return
		}
		if len(list) != 2 {
			r.fail("%w: attribute %q is for %d dimensions; images have 2", errUnsupported, name, len(list))
			return
		}
		for i, n := range list {
			if n < least || n > 1<<15 {
				r.fail("attribute %q is %v", name, list)
			}
			to[i] = int(n)
		}
	}
	pair("kernel_shape", &w.size, 1)
	pair("strides", &w.stride, 1)
	pair("dilations", &w.dilation, 1)
	if pads := r.ints("pads"); pads != nil {
		if len(pads) != 4 {
			r.fail("%w: attribute \"pads\" is for %d dimensions; images have 2", errUnsupported, len(pads)/2)
			return w
		}
		for i, n := range pads {
			if n < 0 || n > 1<<15 {
				r.fail("attribute \"pads\" is %v", pads)
				return w
			}
			if i < 2 {
				w.before[i] = int(n)
			} else {
				w.after[i-2] = int(n)
			}
		}
	}
	switch w.auto {
	case "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		r.fail("attribute \"auto_pad\" is %q", w.auto)
	}
	return w
}

// over returns w with its padding worked out for an image, and the size of the result.
func (w window) over(height, width int) (window, [2]int, error) {
	var out [2]int
	for i, n := range [2]int{height, width} {
		reach := w.dilation[i]*(w.size[i]-1) + 1
		switch w.auto {
		case "VALID":
			w.before[i], w.after[i] = 0, 0
		case "SAME_UPPER", "SAME_LOWER":
			steps := (n + w.stride[i] - 1) / w.stride[i]
			pad := max(0, (steps-1)*w.stride[i]+reach-n)
			w.before[i], w.after[i] = pad/2, pad-pad/2
			if w.auto == "SAME_LOWER" {
				w.before[i], w.after[i] = w.after[i], w.before[i]
			}
		}
		span := n + w.before[i] + w.after[i] - reach
		if span < 0 || n == 0 {
			return w, out, fmt.Errorf("a window of %d does not fit into %d", reach, n)
		}
		out[i] = span/w.stride[i] + 1
		if w.ceil && span%w.stride[i] != 0 && out[i]*w.stride[i] < n+w.before[i] {
			out[i]++ // begins inside of the image or of the padding before it
		}
	}
	return w, out, nil
}

// conv is a convolution of images, with what it has absorbed.
type conv struct {
	window
	group   int
	weights *value
	scaled  []float32 // the weights, multiplied by absorbed scales
	bias    []float32 // of each channel of the result
	low     float32   // limits of the result
	high    float32
	limited bool
	panels  []float32 // scaled, as multiply wants it; not for one channel a group
}

// norm is a batch normalisation: a factor and a summand for each channel. Both are nil
// where they are not constant.
type norm struct{ scale, shift []float32 }

// clamp is an activation that limits values.
type clamp struct{ low, high float32 }

func buildConv(r *reader) (kernel, error) {
	c := &conv{window: r.window(), group: int(r.int("group", 1)), low: float32(math.Inf(-1)), high: float32(math.Inf(1))}
	if c.weights = r.in[1]; c.weights == nil || len(r.in) > 2 && r.in[2] == nil {
		return kernel{}, fmt.Errorf("%w: its weights are not constant", errUnsupported)
	}
	if err := floats(r.in); err != nil {
		return kernel{}, err
	}
	d := c.weights.dims
	switch {
	case len(d) != 4:
		return kernel{}, fmt.Errorf("%w: weights of %d dimensions; those for images have 4", errUnsupported, len(d))
	case c.size == [2]int{}:
		c.size = [2]int{d[2], d[3]}
	case c.size != [2]int{d[2], d[3]}:
		return kernel{}, fmt.Errorf("kernel_shape %v, but weights of %v", c.size, d)
	}
	if c.weights.size() == 0 || c.group < 1 || d[0]%c.group != 0 {
		return kernel{}, fmt.Errorf("weights of %v in %d groups", d, c.group)
	}
	c.scaled, c.bias = c.weights.f, make([]float32, d[0])
	if len(r.in) > 2 {
		if len(r.in[2].f) != d[0] {
			return kernel{}, fmt.Errorf("%d biases for %d channels", len(r.in[2].f), d[0])
		}
		copy(c.bias, r.in[2].f)
	}
	return kernel{infer: c.infer, run: c.run, cost: c.cost, conv: c}, nil
}

// absorb makes c do what k does with the result of c, and reports whether it can.
func (c *conv) absorb(k *kernel) bool {
	switch {
	case k.clamp != nil && !c.limited:
		c.low, c.high, c.limited = k.clamp.low, k.clamp.high, true
		return true
	case k.norm != nil && !c.limited && len(k.norm.scale) == len(c.bias):
		scaled := make([]float32, len(c.scaled))
		per := len(scaled) / len(c.bias)
		for o, s := range k.norm.scale {
			for i, x := range c.scaled[o*per : (o+1)*per] {
				scaled[o*per+i] = x * s
			}
			c.bias[o] = float32(c.bias[o]*s) + k.norm.shift[o]
		}
		c.scaled = scaled
		return true
	}
	return false
}

// depthwise reports whether each channel of the result comes of one channel only.
func (c *conv) depthwise() bool { return c.weights.dims[1] == 1 && c.group == c.weights.dims[0] }

// pack brings the weights into the order in which they are read. A convolution is
// packed once, after it has absorbed what it can.
func (c *conv) pack() {
	if c.depthwise() {
		return
	}
	rows, depth := c.weights.dims[0]/c.group, len(c.scaled)/c.weights.dims[0]
	for g := range c.group {
		c.panels = appendPanels(c.panels, c.scaled[g*rows*depth:(g+1)*rows*depth], rows, depth)
	}
}

func (c *conv) infer(in []*value) ([]value, error) {
	if err := floats(in); err != nil {
		return nil, err
	}
	x, d := in[0].dims, c.weights.dims
	if len(x) != 4 {
		return nil, fmt.Errorf("%w: an input of %d dimensions; images have 4", errUnsupported, len(x))
	}
	if x[1] != d[1]*c.group {
		return nil, fmt.Errorf("input of %v has %d channels, and the weights are for %d", x, x[1], d[1]*c.group)
	}
	_, out, err := c.over(x[2], x[3])
	if err != nil {
		return nil, err
	}
	return []value{{typ: in[0].typ, dims: []int{x[0], d[0], out[0], out[1]}}}, nil
}

func (c *conv) cost(_, out []*value) uint64 {
	return uint64(out[0].size()) * uint64(len(c.scaled)/c.weights.dims[0])
}

func (c *conv) run(w *work, in, out []*value) {
	x, y := in[0], out[0]
	win, _, err := c.over(x.dims[2], x.dims[3])
	if err != nil {
		return // infer has accepted it
	}
	if c.depthwise() {
		c.runDepthwise(w, win, x, y)
		return
	}
	rows, depth := c.weights.dims[0]/c.group, len(c.scaled)/c.weights.dims[0]
	plane, result := x.dims[2]*x.dims[3], y.dims[2]*y.dims[3]
	panels := len(c.panels) / c.group
	for n := range x.dims[0] {
		for g := range c.group {
			image := x.f[(n*x.dims[1]+g*c.weights.dims[1])*plane:][:c.weights.dims[1]*plane]
			first := g * rows
			m := multiplication{
				rows: rows, depth: depth, columns: result,
				panels: c.panels[g*panels : (g+1)*panels],
				column: func(to []float32, from, n int) { win.gather(to, image, x.dims, y.dims, from, n) },
				out:    y.f[(n*y.dims[1]+first)*result:][:rows*result],
				bias:   c.bias[first : first+rows], low: c.low, high: c.high,
			}
			if win.pointwise() {
				m.column = func(to []float32, from, n int) { rowsOf(to, image, plane, from, n) }
			}
			m.run(w)
		}
	}
}

// pointwise reports whether the window is a single pixel that goes everywhere.
func (w window) pointwise() bool {
	return w.size == [2]int{1, 1} && w.stride == [2]int{1, 1} && w.before == [2]int{} && w.after == [2]int{}
}

// rowsOf copies n columns, the first being from, of a matrix with rows of that length.
func rowsOf(to, matrix []float32, length, from, n int) {
	if n == panelColumns {
		for at := from; at < len(matrix); at += length {
			copy(to[:panelColumns], matrix[at:at+panelColumns])
			to = to[panelColumns:]
		}
		return
	}
	for at := from; at < len(matrix); at += length {
		copy(to[:n], matrix[at:at+n])
		clear(to[n:panelColumns])
		to = to[panelColumns:]
	}
}

// gather makes columns of a matrix: each has the pixels, in all channels of image, that
// one pixel of the result depends on.
func (w window) gather(to, image []float32, in, out []int, from, n int) {
	var top, left [panelColumns]int
	for i := range n {
		top[i] = (from+i)/out[3]*w.stride[0] - w.before[0]
		left[i] = (from+i)%out[3]*w.stride[1] - w.before[1]
	}
	height, width := in[2], in[3]
	for ; len(image) > 0; image = image[height*width:] {
		for ky := range w.size[0] {
			for kx := range w.size[1] {
				for i := range n {
					y, x := top[i]+ky*w.dilation[0], left[i]+kx*w.dilation[1]
					if uint(y) < uint(height) && uint(x) < uint(width) {
						to[i] = image[y*width+x]
					} else {
						to[i] = 0
					}
				}
				clear(to[n:panelColumns])
				to = to[panelColumns:]
			}
		}
	}
}

// runDepthwise runs a convolution in which each channel is on its own.
func (c *conv) runDepthwise(w *work, win window, x, y *value) {
	channels := y.dims[1]
	plane, result := x.dims[2]*x.dims[3], y.dims[2]*y.dims[3]
	area := win.size[0] * win.size[1]
	w.each(x.dims[0]*channels, func(i int) {
		ch := i % channels
		to := y.f[i*result : (i+1)*result]
		for k := range to {
			to[k] = c.bias[ch]
		}
		win.accumulate(to, x.f[i*plane:(i+1)*plane], c.scaled[ch*area:(ch+1)*area], x.dims, y.dims)
		c.limit(to)
	})
}

// accumulate adds to a plane the convolution of another one.
func (w window) accumulate(to, from, weights []float32, in, out []int) {
	for ky := range w.size[0] {
		for kx := range w.size[1] {
			weight := weights[ky*w.size[1]+kx]
			// The columns whose pixel is inside of the image.
			shift := kx*w.dilation[1] - w.before[1]
			first, end := inside(shift, w.stride[1], in[3], out[3])
			if first >= end {
				continue
			}
			for oy := range out[2] {
				y := oy*w.stride[0] + ky*w.dilation[0] - w.before[0]
				if y < 0 || y >= in[2] {
					continue
				}
				row := to[oy*out[3]+first : oy*out[3]+end]
				pixels := from[y*in[3]+first*w.stride[1]+shift : (y+1)*in[3]]
				if w.stride[1] == 1 {
					pixels = pixels[:len(row)]
					for i := range row {
						row[i] += float32(weight * pixels[i])
					}
					continue
				}
				for i := range row {
					row[i] += float32(weight * pixels[i*w.stride[1]])
				}
			}
		}
	}
}

// inside returns for which i, of 0 to steps-1, i*stride+shift is one of 0 to n-1.
func inside(shift, stride, n, steps int) (first, end int) {
	if shift < 0 {
		first = (-shift + stride - 1) / stride
	}
	if n > shift {
		end = min(steps, (n-shift+stride-1)/stride)
	}
	return first, end
}

func (c *conv) limit(to []float32) {
	if c.limited {
		limit(to, c.low, c.high)
	}
}

// limit brings values between low and high; what is no number stays so.
func limit(to []float32, low, high float32) {
	for i, x := range to {
		to[i] = min(max(x, low), high)
	}
}
