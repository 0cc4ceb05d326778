// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"maps"
	"slices"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// Features returns the features beyond WebAssembly 1.0 that the module's code and
// declarations make use of, sorted, by the names of the proposals: bulk-memory,
// exception-handling, multi-memory, multi-value, mutable-globals, nontrapping-fptoint,
// reference-types, sign-extension, simd, tail-call.
func (m *Module) Features() []string {
	used := map[string]bool{}
	for _, t := range m.types {
		if len(t.Results) > 1 {
			used["multi-value"] = true
		}
		if slices.Contains(t.Params, core.V128) || slices.Contains(t.Results, core.V128) {
			used["simd"] = true
		}
	}
	for _, i := range m.Imports {
		used["mutable-globals"] = used["mutable-globals"] || i.Mutable
	}
	for _, e := range m.Exports {
		used["mutable-globals"] = used["mutable-globals"] || e.Mutable
	}
	if len(m.tables) > 1 || slices.ContainsFunc(m.tables, func(t Extern) bool { return t.Value != core.FuncRef }) {
		used["reference-types"] = true
	}
	used["multi-memory"] = len(m.memories) > 1
	used["exception-handling"] = m.throws
	for _, b := range m.bodies {
		r := reader{data: m.data, pos: b.code, end: b.end}
		for !r.empty() {
			in, err := r.instr()
			if err != nil {
				break // decoded before: it can't fail
			}
			used[codeFeature(in.op)] = true
		}
	}
	delete(used, "")
	maps.DeleteFunc(used, func(_ string, yes bool) bool { return !yes })
	return slices.Sorted(maps.Keys(used))
}

// codeFeature returns the feature that an instruction of a function belongs to,
// "" for WebAssembly 1.0.
func codeFeature(op opcode) string {
	switch {
	case op >= 0xc0 && op <= 0xc4:
		return "sign-extension"
	case op >= 0xfc00 && op <= 0xfc07:
		return "nontrapping-fptoint"
	case op >= opMemoryInit && op <= opTableCopy:
		return "bulk-memory"
	case op >= opTableGrow && op <= opTableFill, op == opTableGet, op == opTableSet, op == opSelectTyped,
		op >= opRefNull && op <= opRefFunc:
		return "reference-types"
	case op>>8 == 0xfd:
		return "simd"
	case op == opReturnCall, op == opReturnCallIndirect:
		return "tail-call"
	}
	return ""
}
