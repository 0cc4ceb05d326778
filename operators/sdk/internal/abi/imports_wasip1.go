// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"math"
	"runtime"
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// Component is the memory of this component. The ABI's functions are global, so it
// is, too.
var Component Memory

//go:wasmexport cabi_realloc
func reallocate(old, oldSize, _, newSize uint32) uint32 {
	return Component.Reallocate(old, oldSize, newSize)
}

// Host is the host of this component: sdk.Imports and Buffers over its imports. The
// linker leaves out what an operator does not use, and then its component does not
// import it.
type Host struct{}

//go:wasmimport wasm-graph:processor/types@1.1.0 [method]buffer.read
func bufferRead(self uint32, result unsafe.Pointer)

//go:wasmimport wasm-graph:processor/types@1.1.0 [resource-drop]buffer
func bufferDrop(self uint32)

//go:wasmimport wasm-graph:processor/logger@1.1.0 log
func logEntry(level, context, contextLength, message, messageLength uint32)

//go:wasmimport wasm-graph:processor/metrics@1.1.0 add-to-counter
func addToCounter(name, nameLength, valueTag uint32, value uint64, hasLabels, labels, numLabels uint32, result unsafe.Pointer)

//go:wasmimport wasm-graph:processor/metrics@1.1.0 record-to-histogram
func recordToHistogram(name, nameLength, valueTag uint32, value uint64, hasLabels, labels, numLabels uint32, result unsafe.Pointer)

//go:wasmimport wasm-graph:processor/state-store@1.1.0 get
func storeGet(key, keyLength,
	hasTimeout uint32, seconds uint64, nanos uint32, result unsafe.Pointer)

//go:wasmimport wasm-graph:processor/state-store@1.1.0 set
func storeSet(arguments, result unsafe.Pointer)

//go:wasmimport wasm-graph:processor/state-store@1.1.0 del
func storeDel(key, keyLength,
	hasFencing uint32, fencingSecs uint64, fencingNanos uint32, fencingCounter uint64, fencingNode, fencingNodeLength,
	hasTimeout uint32, seconds uint64, nanos uint32, result unsafe.Pointer)

//go:wasmimport wasm-graph:processor/state-store@1.1.0 vdel
func storeVdel(key, keyLength, value, valueLength,
	hasFencing uint32, fencingSecs uint64, fencingNanos uint32, fencingCounter uint64, fencingNode, fencingNodeLength,
	hasTimeout uint32, seconds uint64, nanos uint32, result unsafe.Pointer)

// Read implements Buffers.
func (Host) Read(handle uint32) []byte {
	var l list
	bufferRead(handle, unsafe.Pointer(&l))
	return Component.bytes(l)
}

// Drop implements Buffers.
func (Host) Drop(handle uint32) { bufferDrop(handle) }

// Log implements sdk.Imports.
func (Host) Log(level sdk.Level, context, message string) {
	c, cl := Component.borrowText(context)
	m, ml := Component.borrowText(message)
	logEntry(uint32(min(level, sdk.LevelCritical)), cl.address, cl.length, ml.address, ml.length)
	runtime.KeepAlive(c)
	runtime.KeepAlive(m)
}

// AddToCounter implements sdk.Imports.
func (Host) AddToCounter(name string, value uint64, labels []sdk.Label) error {
	const tagU64 = 0
	return measure(addToCounter, name, tagU64, value, labels)
}

const (
	histogramF64 = 0
	histogramU64 = 1
)

// RecordFloat implements sdk.Imports.
func (Host) RecordFloat(name string, value float64, labels []sdk.Label) error {
	return measure(recordToHistogram, name, histogramF64, math.Float64bits(value), labels)
}

// RecordUint implements sdk.Imports.
func (Host) RecordUint(name string, value uint64, labels []sdk.Label) error {
	return measure(recordToHistogram, name, histogramU64, value, labels)
}

func measure(f func(name, nameLength, valueTag uint32, value uint64, hasLabels, labels, numLabels uint32, result unsafe.Pointer), name string, tag uint32, value uint64, labels []sdk.Label) error {
	n, nl := Component.borrowText(name)
	var some uint32
	texts, lowered := Component.borrowLabels(labels)
	if len(lowered) > 0 {
		some = 1
	}
	var r metricsResult
	f(nl.address, nl.length, tag, value, some, Component.lend(unsafe.Pointer(unsafe.SliceData(lowered))), uint32(len(lowered)), unsafe.Pointer(&r))
	runtime.KeepAlive(n)
	runtime.KeepAlive(lowered)
	runtime.KeepAlive(texts)
	return Component.metricsError(&r)
}

// StoreGet implements sdk.Imports.
func (Host) StoreGet(key []byte, o sdk.GetOptions) (sdk.Entry, error) {
	k, timeout := Component.borrow(key), lowerDuration(o.Timeout)
	var r getResult
	storeGet(k.address, k.length, uint32(timeout.some), timeout.seconds, timeout.nanos, unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	return Component.entry(&r)
}

// StoreSet implements sdk.Imports.
func (Host) StoreSet(key, value []byte, o sdk.SetOptions) (sdk.SetResult, error) {
	node, arguments := Component.setArguments(key, value, o)
	var r setResult
	storeSet(unsafe.Pointer(&arguments), unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	runtime.KeepAlive(node)
	return Component.setResult(&r)
}

// StoreDelete implements sdk.Imports.
func (Host) StoreDelete(key []byte, o sdk.DeleteOptions) (sdk.DeleteResult, error) {
	node, f := Component.borrowClock(o.Fencing)
	k, timeout := Component.borrow(key), lowerDuration(o.Timeout)
	var r deleteResult
	storeDel(k.address, k.length,
		uint32(f.some), f.secs, f.nanos, f.counter, f.node.address, f.node.length,
		uint32(timeout.some), timeout.seconds, timeout.nanos, unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	runtime.KeepAlive(node)
	return Component.deleteResult(&r)
}

// StoreDeleteValue implements sdk.Imports.
func (Host) StoreDeleteValue(key, value []byte, o sdk.DeleteOptions) (sdk.DeleteResult, error) {
	node, f := Component.borrowClock(o.Fencing)
	k, v, timeout := Component.borrow(key), Component.borrow(value), lowerDuration(o.Timeout)
	var r deleteResult
	storeVdel(k.address, k.length, v.address, v.length,
		uint32(f.some), f.secs, f.nanos, f.counter, f.node.address, f.node.length,
		uint32(timeout.some), timeout.seconds, timeout.nanos, unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	runtime.KeepAlive(node)
	return Component.deleteResult(&r)
}
