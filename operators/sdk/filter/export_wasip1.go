// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk/internal/abi"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

//go:wasmexport wasm-graph:processor/filter@1.1.0#init
func initialize(properties, numProperties, schemas, numSchemas uint32) bool {
	defer abi.Component.Release()
	return operator.Init(abi.Host{}, abi.Component.Config(properties, numProperties, schemas, numSchemas))
}

//go:wasmexport wasm-graph:processor/filter@1.1.0#process
func process(arguments unsafe.Pointer) unsafe.Pointer {
	call := abi.NewCall(&abi.Component, abi.Host{})
	defer call.Close()
	return call.ResultBool(guest.Process(operator, func(f Func) (bool, error) { return f(call.Data(arguments)) }))
}

//go:wasmexport cabi_post_wasm-graph:processor/filter@1.1.0#process
func release(unsafe.Pointer) { abi.Component.Release() }
