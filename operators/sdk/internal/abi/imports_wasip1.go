// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"math"
	"runtime"
	"strings"
	"time"
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

// borrow returns where the host finds b during an import. The caller keeps it alive.
func borrow(b []byte) list {
	if len(b) == 0 {
		return list{address: 1}
	}
	return list{Component.address(unsafe.Pointer(unsafe.SliceData(b))), uint32(len(b))}
}

// borrowText is borrow for text, which the host refuses where it is not UTF-8.
func borrowText(s string) ([]byte, list) {
	b := []byte(strings.ToValidUTF8(s, "\uFFFD"))
	return b, borrow(b)
}

// Log implements sdk.Imports.
func (Host) Log(level sdk.Level, context, message string) {
	c, cl := borrowText(context)
	m, ml := borrowText(message)
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
	n, nl := borrowText(name)
	lowered := make([]label, len(labels))
	texts := make([][]byte, 2*len(labels))
	for i, l := range labels {
		texts[2*i], lowered[i].key = borrowText(l.Key)
		texts[2*i+1], lowered[i].value = borrowText(l.Value)
	}
	var some, address uint32
	if len(labels) > 0 {
		some, address = 1, Component.address(unsafe.Pointer(unsafe.SliceData(lowered)))
	}
	var r metricsResult
	f(nl.address, nl.length, tag, value, some, address, uint32(len(labels)), unsafe.Pointer(&r))
	runtime.KeepAlive(n)
	runtime.KeepAlive(lowered)
	runtime.KeepAlive(texts)
	return Component.metricsError(&r)
}

// StoreGet implements sdk.Imports.
func (Host) StoreGet(key []byte, o sdk.GetOptions) (sdk.Entry, error) {
	k, timeout := borrow(key), lowerDuration(o.Timeout)
	var r getResult
	storeGet(k.address, k.length, uint32(timeout.some), timeout.seconds, timeout.nanos, unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	return Component.entry(&r)
}

// StoreSet implements sdk.Imports.
func (Host) StoreSet(key, value []byte, o sdk.SetOptions) (sdk.SetResult, error) {
	node, fencing := borrowClock(o.Fencing)
	arguments := setArguments{
		key:       borrow(key),
		value:     borrow(value),
		timeout:   lowerDuration(o.Timeout),
		fencing:   fencing,
		condition: lowerCondition(o.Condition),
		expires:   lowerDuration(o.Expires),
	}
	var r setResult
	storeSet(unsafe.Pointer(&arguments), unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	runtime.KeepAlive(node)
	return Component.setResult(&r)
}

// StoreDelete implements sdk.Imports.
func (Host) StoreDelete(key []byte, o sdk.DeleteOptions) (sdk.DeleteResult, error) {
	node, f := borrowClock(o.Fencing)
	k, timeout := borrow(key), lowerDuration(o.Timeout)
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
	node, f := borrowClock(o.Fencing)
	k, v, timeout := borrow(key), borrow(value), lowerDuration(o.Timeout)
	var r deleteResult
	storeVdel(k.address, k.length, v.address, v.length,
		uint32(f.some), f.secs, f.nanos, f.counter, f.node.address, f.node.length,
		uint32(timeout.some), timeout.seconds, timeout.nanos, unsafe.Pointer(&r))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	runtime.KeepAlive(node)
	return Component.deleteResult(&r)
}

func lowerDuration(d time.Duration) optionalDuration {
	if d <= 0 {
		return optionalDuration{}
	}
	return optionalDuration{some: 1, duration: duration{
		seconds: uint64(d / time.Second),
		nanos:   uint32(d % time.Second),
	}}
}

func borrowClock(t *sdk.Timestamp) (node []byte, v optionalClock) {
	if t == nil {
		return nil, optionalClock{}
	}
	node, l := borrowText(t.Node.String())
	return node, optionalClock{some: 1, clock: clock{secs: t.Secs, nanos: t.Nanos, counter: t.Counter, node: l}}
}
