// SPDX-License-Identifier: Apache-2.0

// Package onnx reads and writes models in ONNX, the Open Neural Network Exchange
// format: protocol buffers of the schema onnx/onnx.proto in github.com/onnx/onnx. It
// knows what is in a model and not what it means: package purego does.
//
// What it reads is foreign. Decode never allocates more than a small multiple of what
// it is given, and what it accepts is consistent in itself: a tensor has as much data
// as its dimensions say. Only what inference needs is kept; training, quantisation and
// documentation are skipped, and what can't be skipped (subgraphs, local functions,
// tensors in other files, sparse tensors) is an error.
package onnx

import (
	"errors"
	"math/bits"
)

// ErrFormat says that bytes are no ONNX model. ErrUnsupported says that they are one
// with something in it that this package does not have.
var (
	ErrFormat      = errors.New("not an ONNX model")
	ErrUnsupported = errors.New("not supported")
)

// Model is a graph, and the versions of the operators in it.
type Model struct {
	IR       int64 // version of the format
	Producer string
	Opsets   []Opset
	Graph    Graph
}

// Opset is a version of a set of operators. The domain of the operators that ONNX
// defines is empty, or "ai.onnx".
type Opset struct {
	Domain  string
	Version int64
}

// Graph is a list of nodes, each after those that it takes values of. Values have
// names: of inputs, of initializers, which are constants, and of nodes' outputs.
type Graph struct {
	Name         string
	Nodes        []Node
	Initializers []Tensor
	Inputs       []Value // may include initializers, which are then defaults
	Outputs      []Value
}

// Value is the type of an input or output.
type Value struct {
	Name string
	Type DataType
	Dims []Dim
}

// Dim is one dimension: a size, or a name for one that is open, or neither.
type Dim struct {
	Size  int64 // 0: open
	Param string
}

// Node is one use of an operator. An empty name among the inputs or outputs stands
// for one that is left out.
type Node struct {
	Name       string
	Domain     string
	Op         string
	Inputs     []string
	Outputs    []string
	Attributes []Attribute
}

// Attribute is a constant that a node is configured with. Kind says which field holds
// it.
type Attribute struct {
	Name    string
	Kind    AttributeKind
	Float   float32
	Int     int64
	Text    string
	Tensor  *Tensor
	Floats  []float32
	Ints    []int64
	Strings []string
}

// AttributeKind is AttributeProto.AttributeType.
type AttributeKind uint8

// The kinds of attributes that are read.
const (
	FloatAttribute   AttributeKind = 1
	IntAttribute     AttributeKind = 2
	TextAttribute    AttributeKind = 3
	TensorAttribute  AttributeKind = 4
	FloatsAttribute  AttributeKind = 6
	IntsAttribute    AttributeKind = 7
	StringsAttribute AttributeKind = 8
)

// DataType is TensorProto.DataType.
type DataType int32

// The types of elements.
const (
	Float    DataType = 1
	Uint8    DataType = 2
	Int8     DataType = 3
	Uint16   DataType = 4
	Int16    DataType = 5
	Int32    DataType = 6
	Int64    DataType = 7
	String   DataType = 8
	Bool     DataType = 9
	Float16  DataType = 10
	Double   DataType = 11
	Uint32   DataType = 12
	Uint64   DataType = 13
	BFloat16 DataType = 16
)

var names = map[DataType]string{
	Float: "float", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16", Int32: "int32", Int64: "int64",
	String: "string", Bool: "bool", Float16: "float16", Double: "double", Uint32: "uint32", Uint64: "uint64", BFloat16: "bfloat16",
}

func (t DataType) String() string {
	if n, ok := names[t]; ok {
		return n
	}
	return "an unknown type"
}

// Size returns the bytes of one element, 0 where it has no fixed size.
func (t DataType) Size() int {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float, Int32, Uint32:
		return 4
	case Int64, Double, Uint64:
		return 8
	}
	return 0
}

// MaxRank is how many dimensions a tensor may have.
const MaxRank = 8

// Tensor is a constant. Data is row-major and little-endian.
type Tensor struct {
	Name string
	Type DataType
	Dims []int64
	Data []byte
}

// Elements returns the product of dims, false where one is negative or the product
// is no int64.
func Elements(dims []int64) (int64, bool) {
	n := uint64(1)
	for _, d := range dims {
		high, low := bits.Mul64(n, uint64(d))
		if n = low; d < 0 || high != 0 || n > 1<<62 {
			return 0, false
		}
	}
	return int64(n), true
}
