// SPDX-License-Identifier: Apache-2.0

package rewrite

import "github.com/wasm-graph/graphd/engine/component/core"

// addStart adds a start function if the module needs one of ours. It gives the
// module's tags their numbers, checks its active element segments, fills its memories
// from the second on, and then runs the module's own start function.
//
// The segments of the first memory and of the tables have been written by then, where
// they fit. That they may be written in another order than they should be can't be
// seen: if one doesn't fit, nothing of the component will ever run.
func (w *writer) addStart() {
	var steps []func(*assembler)
	if w.throwing() {
		for i := w.imported[Tag]; i < len(w.Module.tags); i++ {
			steps = append(steps, func(a *assembler) {
				a.index(opCall, w.fresh)
				a.index(opGlobalSet, w.tag(uint32(i)))
			})
		}
	}
	checks := map[uint32]uint32{} // function index, by table
	for _, e := range w.elems {
		if !e.active || e.fits {
			continue
		}
		check, ok := checks[e.table]
		if !ok {
			check = w.addCheck(e.table)
			checks[e.table] = check
		}
		steps = append(steps, func(a *assembler) {
			a.b = w.constantAt(a.b, e.offset)
			a.i32(int32(e.length))
			a.index(opCall, check)
		})
	}
	for i, d := range w.datas {
		if !d.active || d.memory == 0 {
			continue
		}
		steps = append(steps, func(a *assembler) {
			a.b = w.constantAt(a.b, d.offset)
			a.i32(0)
			a.i32(int32(d.length()))
			a.accessor(access{op: opMemoryInit, memory: d.memory, segment: uint32(i)})
			a.accessor(access{op: opDataDrop, memory: d.memory, segment: uint32(i)})
		})
	}
	if w.HasStart && (w.throwing() || len(steps) > 0) {
		steps = append(steps, func(a *assembler) {
			a.index(opCall, w.function(w.Module.start))
			if w.throwing() {
				a.refuse()
			}
		})
	}
	if len(steps) == 0 {
		return
	}
	w.start = w.addHelper("start", core.FuncType{}, func(a *assembler) {
		for _, step := range steps {
			step(a)
		}
	})
}

// addCheck adds the function that traps if an active element segment does not fit
// into a table:
//
//	func(to, length) {
//		if to+length > size {
//			get(size) // traps
//		}
//	}
func (w *writer) addCheck(table uint32) uint32 {
	const to, length = 0, 1
	t := core.FuncType{Params: []core.ValueType{core.I32, core.I32}}
	return w.addHelper("elements", t, func(a *assembler) {
		a.index(opLocalGet, to)
		a.op(opI64ExtendI32U)
		a.index(opLocalGet, length)
		a.op(opI64ExtendI32U, opI64Add)
		a.index(opTableSize, table)
		a.op(opI64ExtendI32U, opI64GtU)
		a.open(opIf)
		a.index(opTableSize, table)
		a.index(opTableGet, table)
		a.op(opDrop, opEnd)
	})
}
