// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"github.com/wasm-graph/graphd/engine/component/core"
)

// chunk is the most that a bulk operation does between two payments, in bytes;
// eight of them are one element of a table.
const chunk = 1 << 20

// helperKey tells helpers apart: the instruction that one stands for.
type helperKey struct {
	op   opcode
	a, b uint32
}

// addHelper adds a function and returns its index. Its body is without locals.
func (w *writer) addHelper(name string, t core.FuncType, write func(*assembler)) uint32 {
	a := assembler{writer: w, b: []byte{0}}
	write(&a)
	a.op(opEnd)
	w.helperTypes = append(w.helperTypes, w.typeIndex(t))
	w.helperCode = append(w.helperCode, a.b)
	w.helperNames = append(w.helperNames, name)
	return w.refuel + uint32(len(w.helperCode)-1)
}

// bulk tells whether an instruction takes the longer, the larger its operand is.
func (op opcode) bulk() bool {
	switch op {
	case opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy, opTableFill, opTableGrow:
		return true
	}
	return false
}

// bulk returns the function that stands for a bulk operation, and for any access of
// another memory than the first. There is none for other instructions, nor where a
// small constant length was paid beforehand.
func (w *writer) bulk(in, last instr) (uint32, bool) {
	if in.onOther() {
		if in.op != opMemoryCopy || in.a == in.b {
			return w.accessorOf[in.access()], true
		}
		key := helperKey{in.op, in.a, in.b}
		if _, ok := w.helpers[key]; !ok {
			w.helpers[key] = w.copyHelper(in.a, in.b)
		}
		return w.helpers[key], true
	}
	if !in.op.bulk() {
		return 0, false
	}
	if _, ok := inlineLength(in, last); ok {
		return 0, false
	}
	key := helperKey{in.op, in.a, in.b}
	helper, ok := w.helpers[key]
	if !ok {
		if op := w.bulkOperation(in); in.op == opTableGrow {
			helper = w.growHelper(op)
		} else {
			helper = w.bulkHelper(op)
		}
		w.helpers[key] = helper
	}
	return helper, true
}

// bulkOperation is what a helper does. Its operands are where to write, what to
// write (a place to read, or a value), and the length.
type bulkOperation struct {
	name      string
	value     core.ValueType   // of the second operand
	emit      func(*assembler) // the instruction itself
	to, from  func(*assembler) // size of what is written and read, as i64; no from: it fills
	overlap   bool             // what is written may be what is read
	brief     bool             // a short one is done without the instruction
	chunk     int32            // most units at once
	unitShift int64            // units are paid at 1 << unitShift to one
}

func (w *writer) bulkOperation(in instr) bulkOperation {
	op := bulkOperation{
		value: core.I32,
		emit:  func(a *assembler) { a.b = append(a.b, w.data[in.at:in.end]...) },
		to:    memorySize,
		chunk: chunk, unitShift: bulkShift,
	}
	table := func(index uint32) func(*assembler) {
		return func(a *assembler) {
			a.index(opTableSize, index)
			a.op(opI64ExtendI32U)
		}
	}
	segment := func(length uint32) func(*assembler) {
		return func(a *assembler) { a.i64(int64(length)) }
	}
	switch in.op {
	case opMemoryFill:
		op.name, op.brief = "memory.fill", true
	case opMemoryCopy:
		op.name, op.from, op.overlap, op.brief = "memory.copy", memorySize, true, true
	case opMemoryInit:
		op.name, op.from = "memory.init", segment(w.datas[in.a].length())
	case opTableFill:
		op.name, op.value, op.to = "table.fill", w.tables[in.a].Value, table(in.a)
	case opTableCopy:
		op.name, op.to, op.from, op.overlap = "table.copy", table(in.a), table(in.b), true
	case opTableInit:
		op.name, op.to, op.from = "table.init", table(in.b), segment(w.elems[in.a].length)
	case opTableGrow:
		op.name, op.value, op.to = "table.grow", w.tables[in.a].Value, table(in.a)
	}
	if in.op >= opTableInit {
		op.chunk, op.unitShift = chunk/8, 0
	}
	return op
}

func memorySize(a *assembler) {
	a.op(opMemorySize)
	a.b = append(a.b, 0)
	a.op(opI64ExtendI32U)
	a.i64(16)
	a.op(opI64Shl)
}

// Locals of helpers.
const (
	to     = 0
	from   = 1 // or the value
	length = 2
)

// bulkHelper adds the function that does a bulk operation in chunks:
//
//	func(to, from, length) {
//		if brief && length <= short && to+length <= size(to) && from+length <= size(from) {
//			load and store
//			return
//		}
//		if length > chunk {
//			if to+length > size(to) || from+length > size(from) {
//				op(to, from, length) // traps
//				return
//			}
//			if overlapping && to > from { // the last first
//				do {
//					length -= chunk
//					pay(chunk)
//					op(to+length, from+length, chunk)
//				} while length > chunk
//			} else do {
//				pay(chunk)
//				op(to, from, chunk)
//				to, from, length = to+chunk, from+chunk, length-chunk
//			} while length > chunk
//		}
//		pay(length)
//		op(to, from, length)
//	}
func (w *writer) bulkHelper(op bulkOperation) uint32 {
	t := core.FuncType{Params: []core.ValueType{core.I32, op.value, core.I32}}
	return w.addHelper(op.name, t, func(a *assembler) {
		if op.brief {
			a.brief(op)
		}
		a.long(op)
		a.open(opIf)
		{
			a.beyond(op)
			a.open(opIf)
			a.index(opLocalGet, to)
			a.index(opLocalGet, from)
			a.index(opLocalGet, length)
			op.emit(a)
			a.op(opReturn, opEnd)

			if op.overlap {
				a.index(opLocalGet, to)
				a.index(opLocalGet, from)
				a.op(opI32GtU)
				a.open(opIf)
				a.open(opLoop)
				a.move(length, opI32Sub, op.chunk)
				a.pay(uint32(op.chunk >> op.unitShift))
				a.plus(to, length)
				a.plus(from, length)
				a.i32(op.chunk)
				op.emit(a)
				a.long(op)
				a.index(opBrIf, 0)
				a.op(opEnd, opElse)
			}
			a.open(opLoop)
			a.pay(uint32(op.chunk >> op.unitShift))
			a.index(opLocalGet, to)
			a.index(opLocalGet, from)
			a.i32(op.chunk)
			op.emit(a)
			a.move(to, opI32Add, op.chunk)
			if op.from != nil {
				a.move(from, opI32Add, op.chunk)
			}
			a.move(length, opI32Sub, op.chunk)
			a.long(op)
			a.index(opBrIf, 0)
			a.op(opEnd)
			if op.overlap {
				a.op(opEnd)
			}
		}
		a.op(opEnd)
		a.payLength(op)
		a.index(opLocalGet, to)
		a.index(opLocalGet, from)
		a.index(opLocalGet, length)
		op.emit(a)
	})
}

// growHelper adds the function for table.grow, whose operands are a value and a
// length. No table has more elements than Limits.TableElements, so that growing it
// needn't be split, and to grow by more fails at once and costs nothing.
func (w *writer) growHelper(op bulkOperation) uint32 {
	const value, length = 0, 1
	t := core.FuncType{Params: []core.ValueType{op.value, core.I32}, Results: []core.ValueType{core.I32}}
	return w.addHelper(op.name, t, func(a *assembler) {
		a.index(opLocalGet, length)
		a.i32(int32(w.limits.TableElements))
		a.op(opI32LeU)
		a.open(opIf)
		a.index(opGlobalGet, w.fuel)
		a.index(opLocalGet, length)
		a.op(opI64ExtendI32U)
		a.paid()
		a.op(opEnd)
		a.index(opLocalGet, value)
		a.index(opLocalGet, length)
		op.emit(a)
	})
}

// long leaves whether length is more than a chunk.
func (a *assembler) long(op bulkOperation) {
	a.index(opLocalGet, length)
	a.i32(op.chunk)
	a.op(opI32GtU)
}

// beyond leaves whether what is written or read passes its end.
func (a *assembler) beyond(op bulkOperation) {
	a.outOfBounds(to, op.to)
	if op.from != nil {
		a.outOfBounds(from, op.from)
		a.op(opI32Or)
	}
}

// outOfBounds leaves whether a range of length, from start, passes size.
func (a *assembler) outOfBounds(start uint32, size func(*assembler)) {
	a.index(opLocalGet, start)
	a.op(opI64ExtendI32U)
	a.index(opLocalGet, length)
	a.op(opI64ExtendI32U, opI64Add)
	size(a)
	a.op(opI64GtU)
}

// payLength pays for length units.
func (a *assembler) payLength(op bulkOperation) {
	a.index(opGlobalGet, a.fuel)
	a.index(opLocalGet, length)
	a.op(opI64ExtendI32U)
	if op.unitShift != 0 {
		a.i64(op.unitShift)
		a.op(opI64ShrU)
	}
	a.paid()
}

// move adds a constant to a local, or subtracts it.
func (a *assembler) move(local uint32, op opcode, by int32) {
	a.index(opLocalGet, local)
	a.i32(by)
	a.op(op)
	a.index(opLocalSet, local)
}

// plus leaves the sum of two locals.
func (a *assembler) plus(x, y uint32) {
	a.index(opLocalGet, x)
	a.index(opLocalGet, y)
	a.op(opI32Add)
}
