// SPDX-License-Identifier: Apache-2.0

package sdk

import (
	"encoding/binary"
	"errors"
	"math"
)

// Models are neural networks that the runtime runs, through wasi:nn
// (0.2.0-rc-2024-10-28). An operator brings its models along: go:embed puts them into
// the component. It loads them when it is opened, so that a model that the runtime
// can't run keeps the graph from starting, and not the first message from passing.
type Models struct{ imports Imports }

// Load loads a model in ONNX, to run on the CPU. The error is a *ModelError.
func (m *Models) Load(onnx []byte) (*Model, error) {
	handle, err := m.imports.ModelLoad(onnx)
	if err != nil {
		return nil, err
	}
	return &Model{m.imports, handle}, nil
}

// Model is a loaded model.
type Model struct {
	imports Imports
	handle  uint32
}

// Compute returns the model's outputs for inputs. The error is a *ModelError.
func (m *Model) Compute(inputs ...NamedTensor) ([]NamedTensor, error) {
	return m.imports.ModelCompute(m.handle, inputs)
}

// Close gives the model back. The runtime does it, too, when the operator ends.
func (m *Model) Close() { m.imports.ModelDrop(m.handle) }

// NamedTensor is an input or an output, under the name that the model has for it.
type NamedTensor struct {
	Name string
	Tensor
}

// Tensor is an array of numbers.
type Tensor struct {
	Type       TensorType
	Dimensions []uint32
	Data       []byte // in row-major order, little-endian
}

// TensorType is the type of a tensor's elements.
type TensorType uint8

// The types of elements.
const (
	FP16 TensorType = iota
	FP32
	FP64
	BF16
	U8
	I32
	I64
)

// Floats returns a tensor of FP32.
func Floats(values []float32, dimensions ...uint32) Tensor {
	t := Tensor{Type: FP32, Dimensions: dimensions, Data: make([]byte, 4*len(values))}
	for i, v := range values {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(v))
	}
	return t
}

// Floats returns the elements of a tensor of FP32.
func (t Tensor) Floats() ([]float32, error) {
	if t.Type != FP32 {
		return nil, errors.New("the tensor is not of 32-bit floats")
	}
	values := make([]float32, len(t.Data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return values, nil
}

// ModelErrorCode sorts errors of models.
type ModelErrorCode uint8

// The codes of errors, as wasi:nn has them.
const (
	ModelInvalidArgument ModelErrorCode = iota
	ModelInvalidEncoding
	ModelTimeout
	ModelRuntimeError
	ModelUnsupported
	ModelTooLarge
	ModelNotFound
	ModelSecurity
	ModelUnknown
)

// ModelError is why the runtime could not load or compute.
type ModelError struct {
	Code ModelErrorCode
	Text string // the runtime's words
}

func (e *ModelError) Error() string { return e.Text }
