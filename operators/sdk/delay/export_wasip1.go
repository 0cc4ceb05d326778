// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/abi"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

//go:wasmexport wasm-graph:processor/delay@1.1.0#init
func initialize(properties, numProperties, schemas, numSchemas uint32) bool {
	defer abi.Component.Release()
	return operator.Init(abi.Host{}, abi.Component.Config(properties, numProperties, schemas, numSchemas))
}

//go:wasmexport wasm-graph:processor/delay@1.1.0#process
func process(arguments unsafe.Pointer) unsafe.Pointer {
	call := abi.NewCall(&abi.Component, abi.Host{})
	defer call.Close()
	return call.ResultTime(guest.Process(operator, func(f Func) (sdk.Timestamp, error) { return f(call.Delay(arguments)) }))
}

//go:wasmexport cabi_post_wasm-graph:processor/delay@1.1.0#process
func release(unsafe.Pointer) { abi.Component.Release() }
