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
	graph, err := r.model(modelError)
	if err != nil {
		return 0, err
	}
	graphNewContext(graph, unsafe.Pointer(&r))
	graphDrop(graph)
	return r.model(modelError)
}

// ModelCompute implements sdk.Imports.
func (Host) ModelCompute(model uint32, inputs []sdk.NamedTensor) ([]sdk.NamedTensor, error) {
	names, lowered := Component.borrowInputs(inputs, newTensor)
	var r computeResult
	contextCompute(model, Component.lend(unsafe.Pointer(unsafe.SliceData(lowered))), uint32(len(lowered)), unsafe.Pointer(&r))
	runtime.KeepAlive(lowered)
	runtime.KeepAlive(names)
	return Component.outputs(&r, takeTensor, modelError)
}

// newTensor gives a tensor to the host, which copies it.
func newTensor(t *sdk.Tensor) uint32 {
	data := Component.borrow(t.Data)
	handle := tensorNew(Component.lend(unsafe.Pointer(unsafe.SliceData(t.Dimensions))), uint32(len(t.Dimensions)), uint32(t.Type), data.address, data.length)
	runtime.KeepAlive(t)
	return handle
}

// takeTensor reads a tensor of the host's and gives it back.
func takeTensor(handle uint32) sdk.Tensor {
	var dimensions, data list
	tensorDimensions(handle, unsafe.Pointer(&dimensions))
	tensorData(handle, unsafe.Pointer(&data))
	t := sdk.Tensor{Type: sdk.TensorType(tensorType(handle)), Dimensions: elements[uint32](&Component, dimensions), Data: Component.bytes(data)}
	tensorDrop(handle)
	return t
}

// ModelDrop implements sdk.Imports.
func (Host) ModelDrop(model uint32) { contextDrop(model) }
