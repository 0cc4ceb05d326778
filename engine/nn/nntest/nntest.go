// SPDX-License-Identifier: Apache-2.0

package nntest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// Run tests a backend.
func Run(t *testing.T, b nn.Backend) {
	t.Run("operators", func(t *testing.T) { testOperators(t, b) })
	t.Run("convolutions", func(t *testing.T) { testConvolutions(t, b) })
	t.Run("ports", func(t *testing.T) { testPorts(t, b) })
	t.Run("refused models", func(t *testing.T) { testRefusedModels(t, b) })
	t.Run("refused inputs", func(t *testing.T) { testRefusedInputs(t, b) })
	t.Run("open sizes", func(t *testing.T) { testOpenSizes(t, b) })
	t.Run("cancellation", func(t *testing.T) { testCancellation(t, b) })
	t.Run("concurrency", func(t *testing.T) { testConcurrency(t, b) })
}

// load loads a model that must load, and closes it in the end.
func load(t *testing.T, b nn.Backend, model []byte) nn.Model {
	t.Helper()
	m, err := b.Load(t.Context(), [][]byte{model}, nn.ONNX, nn.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// Near compares floats: what is computed in different orders differs in the last
// digits. The tolerance is absolute for small numbers and relative for large ones.
func Near(got, want []float32, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d numbers, want %d", len(got), len(want))
	}
	for i, w := range want {
		if diff := math.Abs(float64(got[i]) - float64(w)); !(diff <= tolerance*max(1, math.Abs(float64(w)))) && got[i] != w {
			return fmt.Errorf("number %d is %v, want %v", i, got[i], w)
		}
	}
	return nil
}

// image is the input of most cases: one image of two channels of 3 by 4 pixels.
var image = []float32{
	-3, 1, 4, -1,
	5, -9, 2, 6,
	-5, 3, 5, 8,

	0, 1, -2, 3,
	-4, 5, -6, 7,
	-8, 9, -10, 11,
}

// operatorCase is a node over "x", the image [1 2 3 4].
type operatorCase struct {
	name  string
	opset int64
	build func(b *Builder) string // returns what becomes the output
	dims  []uint32
	want  []float32
}

func one(op string, attributes ...onnx.Attribute) func(*Builder) string {
	return func(b *Builder) string { return b.Node(op, "y", []string{"x"}, attributes...) }
}

// each returns f of every number of the image.
func each(f func(float64) float64) []float32 {
	out := make([]float32, len(image))
	for i, x := range image {
		out[i] = float32(f(float64(x)))
	}
	return out
}

func limited(low, high float64) []float32 {
	return each(func(x float64) float64 { return min(max(x, low), high) })
}

// softmaxed is the softmax of the image in groups of that many numbers.
func softmaxed(n int) []float32 {
	var out []float32
	for row := range slices.Chunk(image, n) {
		var all float64
		for _, x := range row {
			all += math.Exp(float64(x))
		}
		for _, x := range row {
			out = append(out, float32(math.Exp(float64(x))/all))
		}
	}
	return out
}

var whole = []uint32{1, 2, 3, 4}

func operatorCases() []operatorCase {
	return []operatorCase{
		{name: "Relu", build: one("Relu"), dims: whole, want: limited(0, 1e9)},
		{name: "LeakyRelu", build: one("LeakyRelu", Float("alpha", 0.1)), dims: whole, want: each(func(x float64) float64 { return max(x, 0.1*x) })},
		{name: "Clip by attributes", opset: 10, build: one("Clip", Float("min", 0), Float("max", 6)), dims: whole, want: limited(0, 6)},
		{name: "Clip by inputs", build: func(b *Builder) string {
			return b.Node("Clip", "y", []string{"x", "", b.scalar("six", 6)})
		}, dims: whole, want: limited(-1e9, 6)},
		{name: "Sigmoid", build: one("Sigmoid"), dims: whole, want: each(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })},
		{name: "HardSigmoid", build: one("HardSigmoid"), dims: whole, want: each(func(x float64) float64 { return min(max(0.2*x+0.5, 0), 1) })},
		{name: "HardSwish", build: one("HardSwish"), dims: whole, want: each(func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) })},
		{name: "Tanh", build: one("Tanh"), dims: whole, want: each(math.Tanh)},
		{name: "Exp", build: one("Exp"), dims: whole, want: each(math.Exp)},
		{name: "Neg", build: one("Neg"), dims: whole, want: each(func(x float64) float64 { return -x })},
		{name: "Abs", build: one("Abs"), dims: whole, want: each(math.Abs)},
		{name: "Sqrt and Log", build: func(b *Builder) string {
			return b.Node("Log", "y", []string{b.Node("Sqrt", "s", []string{b.Node("Abs", "a", []string{b.Node("Add", "b", []string{"x", b.scalar("half", 0.5)})})})})
		}, dims: whole, want: each(func(x float64) float64 { return math.Log(math.Sqrt(math.Abs(x + 0.5))) })},

		{name: "Add to itself", build: func(b *Builder) string { return b.Node("Add", "y", []string{"x", "x"}) }, dims: whole, want: each(func(x float64) float64 { return 2 * x })},
		{name: "Sub, each channel", build: func(b *Builder) string {
			return b.Node("Sub", "y", []string{"x", b.Floats("c", []float32{1, 100}, 2, 1, 1)})
		}, dims: whole, want: channelwise(1, -1, 1, -100)},
		{name: "Mul, broadcast from the left", build: func(b *Builder) string {
			return b.Node("Mul", "y", []string{b.Floats("c", []float32{2, 3}, 2, 1, 1), "x"})
		}, dims: whole, want: channelwise(2, 0, 3, 0)},
		{name: "Div by columns", build: func(b *Builder) string {
			return b.Node("Div", "y", []string{"x", b.Floats("c", []float32{1, 2, 4, 8}, 4)})
		}, dims: whole, want: columnwise(1, 0.5, 0.25, 0.125)},
		{name: "Pow", build: func(b *Builder) string { return b.Node("Pow", "y", []string{"x", b.scalar("two", 2)}) }, dims: whole, want: each(func(x float64) float64 { return x * x })},
		{name: "Min and Max", build: func(b *Builder) string {
			return b.Node("Max", "y", []string{b.Node("Min", "m", []string{"x", b.scalar("three", 3)}), b.scalar("minus", -3)})
		}, dims: whole, want: limited(-3, 3)},

		{name: "BatchNormalization", build: func(b *Builder) string {
			return b.Node("BatchNormalization", "y", []string{"x", b.Floats("scale", []float32{2, 3}, 2), b.Floats("shift", []float32{1, -1}, 2),
				b.Floats("mean", []float32{4, 5}, 2), b.Floats("var", []float32{4, 9}, 2)}, Float("epsilon", 0))
		}, dims: whole, want: channelwise(1, -3, 1, -6)},

		{name: "GlobalAveragePool", build: one("GlobalAveragePool"), dims: []uint32{1, 2, 1, 1}, want: []float32{16. / 12, 6. / 12}},
		{name: "GlobalMaxPool", build: one("GlobalMaxPool"), dims: []uint32{1, 2, 1, 1}, want: []float32{8, 11}},
		{name: "AveragePool", build: one("AveragePool", Ints("kernel_shape", 2, 2)), dims: []uint32{1, 2, 2, 3},
			want: []float32{-1.5, -0.5, 2.75, -1.5, 0.25, 5.25, 0.5, -0.5, 0.5, 0.5, -0.5, 0.5}},
		{name: "AveragePool, padded", build: one("AveragePool", Ints("kernel_shape", 2, 2), Ints("pads", 1, 1, 0, 0), Ints("strides", 2, 2)),
			dims: []uint32{1, 2, 2, 2}, want: []float32{-3, 2.5, 0, 0.25, 0, -0.5, -6, -0.5}},
		{name: "AveragePool, counting the padding", build: one("AveragePool", Ints("kernel_shape", 2, 2), Ints("pads", 1, 1, 0, 0), Ints("strides", 2, 2), Int("count_include_pad", 1)),
			dims: []uint32{1, 2, 2, 2}, want: []float32{-0.75, 1.25, 0, 0.25, 0, -0.25, -3, -0.5}},
		{name: "MaxPool", build: one("MaxPool", Ints("kernel_shape", 3, 3), Ints("pads", 1, 1, 1, 1), Ints("strides", 2, 2)),
			dims: []uint32{1, 2, 2, 2}, want: []float32{5, 6, 5, 8, 5, 7, 9, 11}},
		{name: "MaxPool, rounded up", build: one("MaxPool", Ints("kernel_shape", 2, 2), Ints("strides", 2, 2), Int("ceil_mode", 1)),
			dims: []uint32{1, 2, 2, 2}, want: []float32{5, 6, 3, 8, 5, 7, 9, 11}},
		{name: "MaxPool, padded by itself", build: one("MaxPool", Ints("kernel_shape", 2, 2), Ints("strides", 2, 2), Text("auto_pad", "SAME_UPPER")),
			dims: []uint32{1, 2, 2, 2}, want: []float32{5, 6, 3, 8, 5, 7, 9, 11}},

		{name: "ReduceMean by attribute", build: one("ReduceMean", Ints("axes", 2, 3)), dims: []uint32{1, 2, 1, 1}, want: []float32{16. / 12, 6. / 12}},
		{name: "ReduceMean by input", opset: 18, build: func(b *Builder) string {
			return b.Node("ReduceMean", "y", []string{"x", b.Ints("axes", -1)}, Int("keepdims", 0))
		}, dims: []uint32{1, 2, 3}, want: []float32{0.25, 1, 2.75, 0.5, 0.5, 0.5}},
		{name: "ReduceSum of all", build: one("ReduceSum", Int("keepdims", 0)), dims: []uint32{}, want: []float32{22}},
		{name: "ReduceMax along the first", build: one("ReduceMax", Ints("axes", 1), Int("keepdims", 0)), dims: []uint32{1, 3, 4},
			want: []float32{0, 1, 4, 3, 5, 5, 2, 7, -5, 9, 5, 11}},
		{name: "Softmax", build: one("Softmax"), dims: whole, want: softmaxed(4)},
		{name: "Softmax of old", opset: 9, build: one("Softmax", Int("axis", 2)), dims: whole, want: softmaxed(12)},

		{name: "Flatten", build: one("Flatten", Int("axis", 2)), dims: []uint32{2, 12}, want: image},
		{name: "Reshape", build: func(b *Builder) string { return b.Node("Reshape", "y", []string{"x", b.Ints("shape", 0, -1, 6)}) }, dims: []uint32{1, 4, 6}, want: image},
		{name: "Squeeze", build: func(b *Builder) string { return b.Node("Squeeze", "y", []string{"x", b.Ints("axes", 0)}) }, dims: []uint32{2, 3, 4}, want: image},
		{name: "Unsqueeze of old", opset: 9, build: one("Unsqueeze", Ints("axes", 0, 5)), dims: []uint32{1, 1, 2, 3, 4, 1}, want: image},
		{name: "Identity and Dropout", build: func(b *Builder) string {
			return b.Node("Dropout", "y", []string{b.Node("Identity", "i", []string{"x"})})
		}, dims: whole, want: image},
		{name: "Transpose", build: one("Transpose", Ints("perm", 0, 2, 3, 1)), dims: []uint32{1, 3, 4, 2},
			want: []float32{-3, 0, 1, 1, 4, -2, -1, 3, 5, -4, -9, 5, 2, -6, 6, 7, -5, -8, 3, 9, 5, -10, 8, 11}},
		{name: "Transpose, all the way", build: func(b *Builder) string {
			return b.Node("Transpose", "y", []string{b.Node("Slice", "s", []string{"x", b.Ints("from", 0), b.Ints("to", 1), b.Ints("along", 1)})})
		}, dims: []uint32{4, 3, 1, 1}, want: []float32{-3, 5, -5, 1, -9, 3, 4, 2, 5, -1, 6, 8}},
		{name: "Slice, backwards", build: func(b *Builder) string {
			return b.Node("Slice", "y", []string{"x", b.Ints("from", -1, 1), b.Ints("to", -99, 3), b.Ints("along", 3, 2), b.Ints("by", -2, 1)})
		}, dims: []uint32{1, 2, 2, 2}, want: []float32{6, -9, 8, 3, 7, 5, 11, 9}},
		{name: "Gather", build: func(b *Builder) string {
			return b.Node("Gather", "y", []string{"x", b.Ints("which", 3, -4)}, Int("axis", 3))
		}, dims: []uint32{1, 2, 3, 2}, want: []float32{-1, -3, 6, 5, 8, -5, 3, 0, 7, -4, 11, -8}},
		{name: "Concat", build: func(b *Builder) string {
			return b.Node("Concat", "y", []string{"x", b.Floats("c", []float32{100, 200, 300, 400, 500, 600}, 1, 2, 3, 1)}, Int("axis", -1))
		}, dims: []uint32{1, 2, 3, 5}, want: []float32{-3, 1, 4, -1, 100, 5, -9, 2, 6, 200, -5, 3, 5, 8, 300, 0, 1, -2, 3, 400, -4, 5, -6, 7, 500, -8, 9, -10, 11, 600}},
		{name: "Split", build: func(b *Builder) string {
			b.Add(onnx.Node{Op: "Split", Name: "s", Inputs: []string{"x", b.Ints("sizes", 1, 3)}, Outputs: []string{"left", "right"}, Attributes: []onnx.Attribute{Int("axis", 3)}})
			return b.Node("Concat", "y", []string{"right", "left"}, Int("axis", 3))
		}, dims: whole, want: []float32{1, 4, -1, -3, -9, 2, 6, 5, 3, 5, 8, -5, 1, -2, 3, 0, 5, -6, 7, -4, 9, -10, 11, -8}},
		{name: "Pad", build: func(b *Builder) string {
			s := b.Node("Slice", "s", []string{"x", b.Ints("from", 0, 0, 0, 0), b.Ints("to", 1, 1, 2, 2)})
			return b.Node("Pad", "y", []string{s, b.Ints("pads", 0, 0, 1, 0, 0, 0, 0, 1), b.scalar("fill", 9)})
		}, dims: []uint32{1, 1, 3, 3}, want: []float32{9, 9, 9, -3, 1, 9, 5, -9, 9}},
		{name: "Shape, computed with", build: func(b *Builder) string {
			rows := b.Node("Gather", "n", []string{b.Node("Shape", "s", []string{"x"}), b.Ints("at", 2)})
			twice := b.Node("Mul", "t", []string{rows, b.Ints("two", 2)})
			shape := b.Node("Concat", "c", []string{twice, b.Ints("rest", -1)}, Int("axis", 0))
			return b.Node("Reshape", "y", []string{"x", shape})
		}, dims: []uint32{6, 4}, want: image},
		{name: "Cast and ConstantOfShape", build: func(b *Builder) string {
			zero := b.Node("ConstantOfShape", "z", []string{b.Ints("shape", 3, 4)})
			whole := b.Node("Cast", "i", []string{b.Node("Div", "d", []string{"x", b.scalar("three", 3)})}, Int("to", int64(onnx.Int64)))
			return b.Node("Add", "y", []string{b.Node("Cast", "f", []string{whole}, Int("to", int64(onnx.Float))), zero})
		}, dims: whole, want: each(func(x float64) float64 { return math.Trunc(x / 3) })},
		{name: "Constant", build: func(b *Builder) string {
			c := b.Node("Constant", "c", nil, onnx.Attribute{Name: "value", Kind: onnx.TensorAttribute, Tensor: &onnx.Tensor{Type: onnx.Float, Data: floatBytes([]float32{7})}})
			return b.Node("Mul", "y", []string{"x", c})
		}, dims: whole, want: each(func(x float64) float64 { return 7 * x })},

		{name: "Gemm", build: func(b *Builder) string {
			flat := b.Node("Flatten", "f", []string{"x"}, Int("axis", 2))
			return b.Node("Gemm", "y", []string{flat, b.Floats("w", Random(1, 36), 3, 12), b.Floats("c", []float32{1, 2, 3}, 3)}, Int("transB", 1), Float("alpha", 2), Float("beta", 0.5))
		}, dims: []uint32{2, 3}, want: product(image, 2, 12, transposed(Random(1, 36), 3, 12), 3, func(v float64, c int) float64 { return 2*v + 0.5*float64(c+1) })},
		{name: "Gemm, turned", build: func(b *Builder) string {
			flat := b.Node("Flatten", "f", []string{"x"}, Int("axis", 2))
			return b.Node("Gemm", "y", []string{flat, b.Floats("w", Random(2, 40), 2, 20)}, Int("transA", 1))
		}, dims: []uint32{12, 20}, want: product(transposed(image, 2, 12), 12, 2, Random(2, 40), 20, same)},
		{name: "MatMul", build: func(b *Builder) string {
			return b.Node("MatMul", "y", []string{"x", b.Floats("w", Random(3, 20), 4, 5)})
		}, dims: []uint32{1, 2, 3, 5}, want: product(image, 6, 4, Random(3, 20), 5, same)},
		{name: "MatMul with a vector", build: func(b *Builder) string {
			return b.Node("MatMul", "y", []string{"x", b.Floats("w", Random(3, 4), 4)})
		}, dims: []uint32{1, 2, 3}, want: product(image, 6, 4, Random(3, 4), 1, same)},
		{name: "normalised and limited convolution", build: func(b *Builder) string {
			c := b.Node("Conv", "c", []string{"x", b.Floats("w", []float32{1, 0, 0, 1, 1, 1}, 3, 2, 1, 1)})
			n := b.Node("BatchNormalization", "n", []string{c, b.Floats("scale", []float32{1, 2, -1}, 3), b.Floats("shift", []float32{0, 1, 2}, 3),
				b.Floats("mean", []float32{0, 0, 1}, 3), b.Floats("var", []float32{1, 1, 1}, 3)}, Float("epsilon", 0))
			r := b.Node("Clip", "r", []string{n, b.scalar("zero", 0), b.scalar("six", 6)})
			return b.Node("Slice", "y", []string{r, b.Ints("from", 0), b.Ints("to", 1), b.Ints("along", 2)})
		}, dims: []uint32{1, 3, 1, 4}, want: []float32{0, 1, 4, 0, 1, 3, 0, 6, 6, 1, 1, 1}},
	}
}

func same(v float64, _ int) float64 { return v }

func (b *Builder) scalar(name string, x float32) string {
	b.graph.Initializers = append(b.graph.Initializers, onnx.Tensor{Name: name, Type: onnx.Float, Data: floatBytes([]float32{x})})
	return name
}

// channelwise is the image with each channel multiplied and shifted.
func channelwise(f0, s0, f1, s1 float32) []float32 {
	out := slices.Clone(image)
	for i := range out {
		if i < 12 {
			out[i] = out[i]*f0 + s0
		} else {
			out[i] = out[i]*f1 + s1
		}
	}
	return out
}

// columnwise is the image with each column multiplied.
func columnwise(f ...float32) []float32 {
	out := slices.Clone(image)
	for i := range out {
		out[i] *= f[i%4]
	}
	return out
}

func transposed(m []float32, rows, cols int) []float32 {
	out := make([]float32, len(m))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = m[r*cols+c]
		}
	}
	return out
}

// product multiplies matrices, in the plainest way.
func product(a []float32, rows, depth int, b []float32, cols int, end func(v float64, col int) float64) []float32 {
	var out []float32
	for r := range rows {
		for c := range cols {
			var s float64
			for k := range depth {
				s += float64(a[r*depth+k]) * float64(b[k*cols+c])
			}
			out = append(out, float32(end(s, c)))
		}
	}
	return out
}

func testOperators(t *testing.T, backend nn.Backend) {
	for _, tt := range operatorCases() {
		t.Run(tt.name, func(t *testing.T) {
			b := &Builder{Opset: tt.opset}
			b.Input("x", onnx.Float, 1, 2, 3, 4)
			out := tt.build(b)
			dims := make([]int64, len(tt.dims))
			for i, d := range tt.dims {
				dims[i] = int64(d)
			}
			b.Output(out, onnx.Float, dims...)
			m := load(t, backend, b.Bytes())
			got, err := m.Compute(t.Context(), []nn.Named{{Name: "x", Tensor: Floats(image, whole...)}})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Name != out || !slices.Equal(got[0].Tensor.Dims, tt.dims) {
				t.Fatalf("got %d outputs, %s %v; want %s %v", len(got), got[0].Name, got[0].Tensor.Dims, out, tt.dims)
			}
			if err := Near(Values(got[0].Tensor), tt.want, 1e-5); err != nil {
				t.Errorf("%v\ngot  %v\nwant %v", err, Values(got[0].Tensor), tt.want)
			}
		})
	}
}

// convolution is the parameters of one.
type convolution struct {
	batch, in, height, width, out, group int
	kernel, stride, dilation             [2]int
	pads                                 [4]int // top, left, bottom, right
	bias                                 bool
}

func (c convolution) size() (h, w int) {
	span := func(n, i int) int {
		return (n+c.pads[i]+c.pads[i+2]-c.dilation[i]*(c.kernel[i]-1)-1)/c.stride[i] + 1
	}
	return span(c.height, 0), span(c.width, 1)
}

// reference computes a convolution in the plainest way.
func (c convolution) reference(x, w, bias []float32) []float32 {
	var out []float32
	height, width := c.size()
	per := c.in / c.group
	for n := range c.batch {
		for o := range c.out {
			for y := range height {
				for xx := range width {
					s := 0.0
					if bias != nil {
						s = float64(bias[o])
					}
					for i := range per {
						for ky := range c.kernel[0] {
							for kx := range c.kernel[1] {
								iy, ix := y*c.stride[0]+ky*c.dilation[0]-c.pads[0], xx*c.stride[1]+kx*c.dilation[1]-c.pads[1]
								if iy < 0 || iy >= c.height || ix < 0 || ix >= c.width {
									continue
								}
								channel := o/(c.out/c.group)*per + i
								s += float64(w[((o*per+i)*c.kernel[0]+ky)*c.kernel[1]+kx]) * float64(x[((n*c.in+channel)*c.height+iy)*c.width+ix])
							}
						}
					}
					out = append(out, float32(s))
				}
			}
		}
	}
	return out
}

func testConvolutions(t *testing.T, backend nn.Backend) {
	square := func(n int) [2]int { return [2]int{n, n} }
	for _, c := range []convolution{
		{1, 3, 9, 11, 8, 1, square(3), square(2), square(1), [4]int{1, 1, 1, 1}, true},
		{1, 8, 7, 7, 12, 1, square(1), square(1), square(1), [4]int{}, false},
		{2, 8, 5, 5, 5, 1, square(1), square(2), square(1), [4]int{}, true},
		{1, 6, 1, 1, 9, 1, square(1), square(1), square(1), [4]int{}, true},
		{1, 6, 9, 9, 6, 6, square(3), square(1), square(1), [4]int{1, 1, 1, 1}, true},
		{2, 6, 9, 8, 6, 6, square(3), square(2), square(1), [4]int{0, 1, 1, 0}, false},
		{1, 6, 12, 12, 6, 6, square(5), square(1), square(2), [4]int{2, 2, 2, 2}, false},
		{1, 4, 6, 6, 12, 4, square(3), square(1), square(1), [4]int{1, 1, 1, 1}, true},
		{1, 8, 6, 6, 4, 2, square(3), square(1), square(1), [4]int{}, true},
		{1, 3, 10, 20, 7, 1, [2]int{1, 5}, [2]int{1, 3}, [2]int{1, 2}, [4]int{0, 4, 0, 1}, true},
		{1, 2, 8, 8, 2, 1, square(2), square(3), square(3), [4]int{3, 0, 0, 3}, false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			x := Random(1, c.batch*c.in*c.height*c.width)
			w := Random(2, c.out*c.in/c.group*c.kernel[0]*c.kernel[1])
			var bias []float32
			b := &Builder{}
			inputs := []string{b.Input("x", onnx.Float, int64(c.batch), int64(c.in), int64(c.height), int64(c.width)),
				b.Floats("w", w, int64(c.out), int64(c.in/c.group), int64(c.kernel[0]), int64(c.kernel[1]))}
			if c.bias {
				bias = Random(3, c.out)
				inputs = append(inputs, b.Floats("b", bias, int64(c.out)))
			}
			b.Node("Conv", "y", inputs, Int("group", int64(c.group)), Ints("strides", int64(c.stride[0]), int64(c.stride[1])),
				Ints("dilations", int64(c.dilation[0]), int64(c.dilation[1])),
				Ints("pads", int64(c.pads[0]), int64(c.pads[1]), int64(c.pads[2]), int64(c.pads[3])))
			height, width := c.size()
			b.Output("y", onnx.Float, int64(c.batch), int64(c.out), int64(height), int64(width))
			out, err := load(t, backend, b.Bytes()).Compute(t.Context(), []nn.Named{{Name: "x", Tensor: Floats(x, uint32(c.batch), uint32(c.in), uint32(c.height), uint32(c.width))}})
			if err != nil {
				t.Fatal(err)
			}
			if err := Near(Values(out[0].Tensor), c.reference(x, w, bias), 1e-4); err != nil {
				t.Error(err)
			}
		})
	}
}

// sumModel adds two inputs of [rows 2]; rows of 0 is open.
func sumModel(rows int64) []byte {
	b := &Builder{}
	b.Node("Add", "sum", []string{b.Input("a", onnx.Float, rows, 2), b.Input("b", onnx.Float, rows, 2)})
	b.Output("sum", onnx.Float, rows, 2)
	return b.Bytes()
}

func testPorts(t *testing.T, backend nn.Backend) {
	m := load(t, backend, sumModel(0))
	if got, want := fmt.Sprint(m.Inputs(), m.Outputs()), "[a: fp32 [? 2] b: fp32 [? 2]] [sum: fp32 [? 2]]"; got != want {
		t.Errorf("ports are %s, want %s", got, want)
	}
}

// unknownOperator is a model with an operator that does not exist.
func unknownOperator() []byte {
	b := &Builder{}
	b.Node("Telepathy", "guess", []string{b.Input("x", onnx.Float, 1)})
	b.Output("guess", onnx.Float, 1)
	return b.Bytes()
}

func testRefusedModels(t *testing.T, backend nn.Backend) {
	for _, tt := range []struct {
		name     string
		parts    [][]byte
		encoding nn.Encoding
		target   nn.Target
		want     nn.Code
		text     string
	}{
		{"no model", [][]byte{[]byte("not a model")}, nn.ONNX, nn.CPU, nn.InvalidEncoding, ""},
		{"nothing", [][]byte{nil}, nn.ONNX, nn.CPU, nn.InvalidEncoding, ""},
		{"no parts", nil, nn.ONNX, nn.CPU, nn.InvalidArgument, "one part"},
		{"another encoding", [][]byte{sumModel(1)}, nn.TensorFlow, nn.CPU, nn.InvalidEncoding, "tensorflow"},
		{"another target", [][]byte{sumModel(1)}, nn.ONNX, nn.GPU, nn.UnsupportedOperation, "gpu"},
		{"unknown operator", [][]byte{unknownOperator()}, nn.ONNX, nn.CPU, nn.UnsupportedOperation, "Telepathy"},
		{"cut off", [][]byte{sumModel(1)[:40]}, nn.ONNX, nn.CPU, nn.InvalidEncoding, ""},
	} {
		m, err := backend.Load(t.Context(), tt.parts, tt.encoding, tt.target)
		if err == nil {
			t.Errorf("%s: loaded", tt.name)
			_ = m.Close()
			continue
		}
		if e := nn.AsError(err); e.Code != tt.want || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v: %v, want %v and %q", tt.name, e.Code, err, tt.want, tt.text)
		}
	}
}

func testRefusedInputs(t *testing.T, backend nn.Backend) {
	m := load(t, backend, sumModel(1))
	good := Floats([]float32{1, 2}, 1, 2)
	for _, tt := range []struct {
		name   string
		inputs []nn.Named
		text   string
	}{
		{"none", nil, `input "a" is missing`},
		{"one too few", []nn.Named{{Name: "a", Tensor: good}}, `input "b" is missing`},
		{"unknown name", []nn.Named{{Name: "a", Tensor: good}, {Name: "b", Tensor: good}, {Name: "c", Tensor: good}}, `no input "c"`},
		{"twice", []nn.Named{{Name: "a", Tensor: good}, {Name: "a", Tensor: good}}, "given twice"},
		{"another shape", []nn.Named{{Name: "a", Tensor: good}, {Name: "b", Tensor: Floats([]float32{1, 2}, 2, 1)}}, "fp32 [2 1]"},
		{"another type", []nn.Named{{Name: "a", Tensor: good}, {Name: "b", Tensor: &nn.Tensor{Type: nn.U8, Dims: []uint32{1, 2}, Data: []byte{1, 2}}}}, "u8 [1 2]"},
		{"too little data", []nn.Named{{Name: "a", Tensor: good}, {Name: "b", Tensor: &nn.Tensor{Type: nn.FP32, Dims: []uint32{1, 2}, Data: []byte{1}}}}, "1 bytes of data"},
		{"no tensor", []nn.Named{{Name: "a", Tensor: good}, {Name: "b"}}, "no tensor"},
	} {
		_, err := m.Compute(t.Context(), tt.inputs)
		if err == nil || nn.AsError(err).Code != nn.InvalidArgument || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want an invalid argument and %q", tt.name, err, tt.text)
		}
	}
}

func testOpenSizes(t *testing.T, backend nn.Backend) {
	m := load(t, backend, sumModel(0))
	for _, rows := range []uint32{1, 3, 1, 7} {
		x := Random(uint64(rows), int(rows)*2)
		out, err := m.Compute(t.Context(), []nn.Named{{Name: "a", Tensor: Floats(x, rows, 2)}, {Name: "b", Tensor: Floats(x, rows, 2)}})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(x))
		for i := range x {
			want[i] = 2 * x[i]
		}
		if err := Near(Values(out[0].Tensor), want, 0); err != nil || out[0].Tensor.Dims[0] != rows {
			t.Errorf("%d rows: %v, %v", rows, out[0].Tensor.Dims, err)
		}
	}
}

func testCancellation(t *testing.T, backend nn.Backend) {
	m := load(t, backend, sumModel(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	one := Floats([]float32{1, 2}, 1, 2)
	if _, err := m.Compute(ctx, []nn.Named{{Name: "a", Tensor: one}, {Name: "b", Tensor: one}}); err == nil || nn.AsError(err).Code != nn.Timeout {
		t.Errorf("Compute after the end: %v", err)
	}
	if _, err := backend.Load(ctx, [][]byte{sumModel(1)}, nn.ONNX, nn.CPU); err == nil || nn.AsError(err).Code != nn.Timeout {
		t.Errorf("Load after the end: %v", err)
	}
}

// testConcurrency computes with one model at the same time.
func testConcurrency(t *testing.T, backend nn.Backend) {
	m := load(t, backend, sumModel(0))
	var all sync.WaitGroup
	for i := range uint32(4) {
		all.Go(func() {
			for rows := i + 1; rows < i+8; rows++ {
				x := Random(uint64(rows), int(rows)*2)
				out, err := m.Compute(t.Context(), []nn.Named{{Name: "a", Tensor: Floats(x, rows, 2)}, {Name: "b", Tensor: Floats(make([]float32, rows*2), rows, 2)}})
				if err != nil {
					t.Error(err)
				} else if err := Near(Values(out[0].Tensor), x, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Models returns the models of the tests, as seeds for fuzzing.
func Models() [][]byte {
	models := [][]byte{sumModel(0), sumModel(1), unknownOperator()}
	for _, tt := range operatorCases() {
		b := &Builder{Opset: tt.opset}
		b.Input("x", onnx.Float, 1, 2, 3, 4)
		dims := make([]int64, len(tt.dims))
		for i, d := range tt.dims {
			dims[i] = int64(d)
		}
		b.Output(tt.build(b), onnx.Float, dims...)
		models = append(models, b.Bytes())
	}
	return models
}
