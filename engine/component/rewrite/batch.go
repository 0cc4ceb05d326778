// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"slices"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// BatchSize is how many calls one call of a batch function makes at most.
const BatchSize = 16

// BatchName is the name under which the batch function of an exported allocator is
// exported.
func BatchName(allocator string) string { return "graphd.batch " + allocator }

// BatchType is the type of batch functions. A parameter is one request: the alignment
// in its high half and the size in its low one; 0 is none. Each result is what the
// allocator returned for the request of its place, 0 where there was none.
func BatchType() core.FuncType {
	return core.FuncType{
		Params:  slices.Repeat([]core.ValueType{core.I64}, BatchSize),
		Results: slices.Repeat([]core.ValueType{core.I32}, BatchSize),
	}
}

// allocatorType is the type of the Canonical ABI's realloc: old pointer and size, which
// are 0 here, alignment, new size.
var allocatorType = core.FuncType{
	Params:  slices.Repeat([]core.ValueType{core.I32}, 4),
	Results: []core.ValueType{core.I32},
}

// batches adds the batch functions.
func (w *writer) batches() {
	function := -1
	for _, ex := range w.Exports {
		if ex.Kind != Func {
			continue
		}
		function++
		if !ex.Func.Equal(allocatorType) {
			continue
		}
		w.addBatch(ex.Name, w.function(ex.Index))
		if w.throwing() {
			w.addBatch(GuardedName(ex.Name), w.guards[function])
		}
	}
}

// addBatch adds the batch function of an allocator if it is asked for and its name is
// free.
func (w *writer) addBatch(allocator string, index uint32) {
	name := BatchName(allocator)
	taken := func(ex Export) bool { return ex.Name == name }
	if slices.Contains(w.opts.Batch, allocator) && !slices.ContainsFunc(w.Exports, taken) {
		w.added = append(w.added, addedExport{name, w.batch(index)})
	}
}

// batch adds the function that calls allocator for each of its parameters in turn.
// What a call costs that the allocator itself doesn't pay is left unpaid: it is as
// little as when the host calls.
func (w *writer) batch(allocator uint32) uint32 {
	return w.addHelper("batch", BatchType(), func(a *assembler) {
		for request := range uint32(BatchSize) {
			a.b = append(a.b, byte(opBlock), byte(core.I32))
			a.i32(0) // the result, or the old pointer
			a.index(opLocalGet, request)
			a.op(opI64Eqz)
			a.index(opBrIf, 0)
			a.i32(0)
			a.index(opLocalGet, request)
			a.i64(32)
			a.op(opI64ShrU, opI32WrapI64)
			a.index(opLocalGet, request)
			a.op(opI32WrapI64)
			a.index(opCall, allocator)
			a.op(opEnd)
		}
	})
}
