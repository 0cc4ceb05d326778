// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

package wasmtime

// #include "shim.h"
import "C"

import (
	"slices"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// numeric reports whether t has only values that fit into a slot.
func numeric(t core.FuncType) bool {
	other := func(v core.ValueType) bool { return v < core.F64 || v > core.I32 }
	return !slices.ContainsFunc(t.Params, other) && !slices.ContainsFunc(t.Results, other)
}

// newFuncType makes a C type of numbers. It belongs to the caller.
func newFuncType(t core.FuncType) *C.wasm_functype_t {
	var params, results C.wasm_valtype_vec_t
	newValueTypes(&params, t.Params)
	newValueTypes(&results, t.Results)
	return C.wasm_functype_new(&params, &results)
}

func newValueTypes(vec *C.wasm_valtype_vec_t, list []core.ValueType) {
	C.wasm_valtype_vec_new_uninitialized(vec, C.size_t(len(list)))
	for i, t := range list {
		// The first four kinds are ours, the other way round.
		unsafe.Slice(vec.data, len(list))[i] = C.wasm_valtype_new(C.uint8_t(core.I32 - t))
	}
}

// coreTypes returns the types of a C list.
func coreTypes(vec *C.wasm_valtype_vec_t) []core.ValueType {
	list := make([]core.ValueType, 0, vec.size)
	for _, t := range unsafe.Slice(vec.data, vec.size) {
		switch kind := C.wasm_valtype_kind(t); kind {
		case C.WASM_FUNCREF:
			list = append(list, core.FuncRef)
		case C.WASM_EXTERNREF:
			list = append(list, core.ExternRef)
		default:
			list = append(list, core.I32-core.ValueType(kind))
		}
	}
	return list
}

// text copies a C string.
func text(s *C.wasm_byte_vec_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(s.data)), s.size))
}
