// SPDX-License-Identifier: Apache-2.0

// Package nntest has what every backend of package nn has to do, as tests, and models
// to do it with.
package nntest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// Floats returns a tensor of floats.
func Floats(data []float32, dims ...uint32) *nn.Tensor {
	return &nn.Tensor{Type: nn.FP32, Dims: dims, Data: floatBytes(data)}
}

// Values returns the elements of a tensor of floats.
func Values(t *nn.Tensor) []float32 {
	out := make([]float32, len(t.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return out
}

func floatBytes(data []float32) []byte {
	var b []byte
	for _, x := range data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// Builder builds models. The zero Builder is an empty model of opset 17.
type Builder struct {
	Opset int64 // 0: 17
	graph onnx.Graph
}

// Input adds an input; a dimension of 0 is open.
func (b *Builder) Input(name string, t onnx.DataType, dims ...int64) string {
	b.graph.Inputs = append(b.graph.Inputs, value(name, t, dims))
	return name
}

// Output adds an output.
func (b *Builder) Output(name string, t onnx.DataType, dims ...int64) {
	b.graph.Outputs = append(b.graph.Outputs, value(name, t, dims))
}

func value(name string, t onnx.DataType, dims []int64) onnx.Value {
	v := onnx.Value{Name: name, Type: t, Dims: []onnx.Dim{}}
	for _, d := range dims {
		v.Dims = append(v.Dims, onnx.Dim{Size: d})
	}
	return v
}

// Floats adds a constant of floats.
func (b *Builder) Floats(name string, data []float32, dims ...int64) string {
	b.graph.Initializers = append(b.graph.Initializers, onnx.Tensor{Name: name, Type: onnx.Float, Dims: dims, Data: floatBytes(data)})
	return name
}

// Ints adds a constant list of integers.
func (b *Builder) Ints(name string, data ...int64) string {
	t := onnx.Tensor{Name: name, Type: onnx.Int64, Dims: []int64{int64(len(data))}, Data: []byte{}}
	for _, x := range data {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(x))
	}
	b.graph.Initializers = append(b.graph.Initializers, t)
	return name
}

// Node adds a node with one output, whose name is that of the node, and returns it.
func (b *Builder) Node(op, name string, inputs []string, attributes ...onnx.Attribute) string {
	b.graph.Nodes = append(b.graph.Nodes, onnx.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attributes: attributes})
	return name
}

// Add adds a node as it is.
func (b *Builder) Add(n onnx.Node) { b.graph.Nodes = append(b.graph.Nodes, n) }

// Model returns the model.
func (b *Builder) Model() *onnx.Model {
	opset := b.Opset
	if opset == 0 {
		opset = 17
	}
	return &onnx.Model{IR: 8, Producer: "graphd", Opsets: []onnx.Opset{{Version: opset}}, Graph: b.graph}
}

// Bytes returns the model in ONNX.
func (b *Builder) Bytes() []byte { return onnx.Encode(b.Model()) }

// Int is an attribute.
func Int(name string, v int64) onnx.Attribute {
	return onnx.Attribute{Name: name, Kind: onnx.IntAttribute, Int: v}
}

// Ints is an attribute.
func Ints(name string, v ...int64) onnx.Attribute {
	return onnx.Attribute{Name: name, Kind: onnx.IntsAttribute, Ints: v}
}

// Float is an attribute.
func Float(name string, v float32) onnx.Attribute {
	return onnx.Attribute{Name: name, Kind: onnx.FloatAttribute, Float: v}
}

// Text is an attribute.
func Text(name, v string) onnx.Attribute {
	return onnx.Attribute{Name: name, Kind: onnx.TextAttribute, Text: v}
}

// Random returns n numbers between -1 and 1, the same for equal seeds.
func Random(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]float32, n)
	for i := range out {
		out[i] = 2*r.Float32() - 1
	}
	return out
}
