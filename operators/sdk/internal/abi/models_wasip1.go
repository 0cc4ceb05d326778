// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"runtime"
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
)

//go:wasmimport wasi:nn/graph@0.2.0-rc-2024-10-28 load
func graphLoad(parts, numParts, encoding, target uint32, result unsafe.Pointer)

//go:wasmimport wasi:nn/graph@0.2.0-rc-2024-10-28 [method]graph.init-execution-context
func graphNewContext(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:nn/graph@0.2.0-rc-2024-10-28 [resource-drop]graph
func graphDrop(self uint32)

//go:wasmimport wasi:nn/inference@0.2.0-rc-2024-10-28 [method]graph-execution-context.compute
func contextCompute(self, inputs, numInputs uint32, result unsafe.Pointer)

//go:wasmimport wasi:nn/inference@0.2.0-rc-2024-10-28 [resource-drop]graph-execution-context
func contextDrop(self uint32)

//go:wasmimport wasi:nn/tensor@0.2.0-rc-2024-10-28 [constructor]tensor
func tensorNew(dimensions, numDimensions, elements, data, dataLength uint32) uint32

//go:wasmimport wasi:nn/tensor@0.2.0-rc-2024-10-28 [method]tensor.dimensions
func tensorDimensions(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:nn/tensor@0.2.0-rc-2024-10-28 [method]tensor.ty
func tensorType(self uint32) uint32

//go:wasmimport wasi:nn/tensor@0.2.0-rc-2024-10-28 [method]tensor.data
func tensorData(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:nn/tensor@0.2.0-rc-2024-10-28 [resource-drop]tensor
func tensorDrop(self uint32)

//go:wasmimport wasi:nn/errors@0.2.0-rc-2024-10-28 [method]error.code
func errorCode(self uint32) uint32

//go:wasmimport wasi:nn/errors@0.2.0-rc-2024-10-28 [method]error.data
func errorData(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:nn/errors@0.2.0-rc-2024-10-28 [resource-drop]error
func errorDrop(self uint32)

const (
	encodingONNX = 1
	targetCPU    = 0
)

// modelError takes over an error of wasi:nn.
func modelError(handle uint32) error {
	var text list
	errorData(handle, unsafe.Pointer(&text))
	e := &sdk.ModelError{Code: sdk.ModelErrorCode(errorCode(handle)), Text: Component.text(text)}
	errorDrop(handle)
	return e
}

// ModelLoad implements sdk.Imports. The number is that of an execution context, which
// keeps what it needs of the graph.
func (Host) ModelLoad(onnx []byte) (uint32, error) {
	parts := []list{Component.borrow(onnx)}
	var r handleResult
	graphLoad(Component.lend(unsafe.Pointer(unsafe.SliceData(parts))), 1, encodingONNX, targetCPU, unsafe.Pointer(&r))
	runtime.KeepAlive(parts)
	runtime.KeepAlive(onnx)
	if r.tag != resultOK {
		return 0, modelError(r.handle)
	}
	graph := r.handle
	graphNewContext(graph, unsafe.Pointer(&r))
	graphDrop(graph)
	if r.tag != resultOK {
		return 0, modelError(r.handle)
	}
	return r.handle, nil
}

// ModelCompute implements sdk.Imports.
func (Host) ModelCompute(model uint32, inputs []sdk.NamedTensor) ([]sdk.NamedTensor, error) {
	lowered := make([]namedTensor, len(inputs))
	var names [][]byte
	for i, in := range inputs {
		name, l := Component.borrowText(in.Name)
		names = append(names, name)
		data := Component.borrow(in.Data)
		lowered[i] = namedTensor{l, tensorNew(
			Component.lend(unsafe.Pointer(unsafe.SliceData(in.Dimensions))), uint32(len(in.Dimensions)), uint32(in.Type), data.address, data.length)}
	}
	var r computeResult
	contextCompute(model, Component.lend(unsafe.Pointer(unsafe.SliceData(lowered))), uint32(len(lowered)), unsafe.Pointer(&r))
	runtime.KeepAlive(lowered)
	runtime.KeepAlive(names)
	runtime.KeepAlive(inputs)
	if r.tag != resultOK {
		return nil, modelError(r.address)
	}
	var outputs []sdk.NamedTensor
	for _, v := range elements[namedTensor](&Component, r.list) {
		var dimensions, data list
		tensorDimensions(v.tensor, unsafe.Pointer(&dimensions))
		tensorData(v.tensor, unsafe.Pointer(&data))
		outputs = append(outputs, sdk.NamedTensor{Name: Component.text(v.name), Tensor: sdk.Tensor{
			Type:       sdk.TensorType(tensorType(v.tensor)),
			Dimensions: elements[uint32](&Component, dimensions),
			Data:       Component.bytes(data),
		}})
		tensorDrop(v.tensor)
	}
	return outputs, nil
}

// ModelDrop implements sdk.Imports.
func (Host) ModelDrop(model uint32) { contextDrop(model) }
