// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"fmt"
	"strconv"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// Not every engine knows modules with several memories. So a rewritten module keeps
// the first of its memories, and each of the others becomes a module of its own, a
// Part, with one function for every kind of access that there is: the accessors,
// which the rewritten module imports and calls instead.

// Part is a core module that stands for one memory of another module.
type Part struct {
	Memory uint32 // its index in the other module
	// Import is the import that the memory is, by its index among the other module's
	// imports; -1 where the other module defines it. The part then imports it, from
	// module "" as PartMemory.
	Import int
	// Wasm is the part, to be decoded and rewritten as any other. It exports its
	// memory as PartMemory.
	Wasm []byte
}

// PartMemory is the name of the memory in a Part.
const PartMemory = "memory"

// access is one kind of access of a memory other than the first: what an accessor
// does.
type access struct {
	op      opcode
	memory  uint32
	align   uint32
	offset  uint32
	lane    byte
	segment uint32 // opMemoryInit, opDataDrop
}

// onOther tells whether an instruction works on a memory other than the first.
func (in *instr) onOther() bool {
	return in.memory != 0 || in.op == opMemoryCopy && (in.a != 0 || in.b != 0)
}

// access returns what the accessor for an instruction does; not that for a copy
// between two memories.
func (in *instr) access() access {
	a := access{op: in.op, memory: in.memory, align: in.align, offset: in.offset, lane: in.lane}
	switch in.op {
	case opMemoryInit:
		a.segment = in.a
	case opMemoryCopy:
		a.memory = in.a
	}
	return a
}

// accessors notes the accessors that an instruction needs.
func (s *scanner) accessors(in instr) {
	switch {
	case !in.onOther():
	case in.op == opMemoryCopy && in.a != in.b:
		for _, a := range copyAccesses(in.a, in.b) {
			if a.memory != 0 {
				s.addAccess(a)
			}
		}
	default:
		s.addAccess(in.access())
	}
}

// copyAccesses are what it takes to copy from one memory to another: the sizes of
// both, a load and a store.
func copyAccesses(to, from uint32) [4]access {
	return [...]access{
		{op: opMemorySize, memory: to},
		{op: opMemorySize, memory: from},
		{op: opI32Load8U, memory: from},
		{op: opI32Store8, memory: to},
	}
}

func (d *decoder) addAccess(a access) {
	if d.known == nil {
		d.known = map[access]bool{}
	}
	if !d.known[a] {
		d.known[a] = true
		d.accesses = append(d.accesses, a)
	}
}

// findAccesses adds the accessors that data segments need: to fill memories at the
// start, and to drop what parts have copies of.
func (d *decoder) findAccesses() {
	for i, seg := range d.datas {
		if seg.active && seg.memory != 0 {
			d.addAccess(access{op: opMemoryInit, memory: seg.memory, segment: uint32(i)})
		}
	}
	for _, a := range d.accesses {
		if a.op == opMemoryInit {
			d.addAccess(access{op: opDataDrop, memory: a.memory, segment: a.segment})
		}
	}
}

// accessType returns the type of an accessor: that of the instruction, whose
// immediates it knows.
func accessType(op opcode) core.FuncType {
	load := func(t core.ValueType) core.FuncType {
		return core.FuncType{Params: []core.ValueType{core.I32}, Results: []core.ValueType{t}}
	}
	store := func(t core.ValueType) core.FuncType {
		return core.FuncType{Params: []core.ValueType{core.I32, t}}
	}
	switch {
	case op == 0x28, op >= 0x2c && op <= 0x2f, op == opMemoryGrow:
		return load(core.I32)
	case op == 0x29, op >= 0x30 && op <= 0x35:
		return load(core.I64)
	case op == 0x2a:
		return load(core.F32)
	case op == 0x2b:
		return load(core.F64)
	case op == 0x36, op == 0x3a, op == 0x3b:
		return store(core.I32)
	case op == 0x37, op >= 0x3c && op <= 0x3e:
		return store(core.I64)
	case op == 0x38:
		return store(core.F32)
	case op == 0x39:
		return store(core.F64)
	case op == opMemorySize:
		return core.FuncType{Results: []core.ValueType{core.I32}}
	case op == opMemoryInit, op == opMemoryCopy, op == opMemoryFill:
		return core.FuncType{Params: []core.ValueType{core.I32, core.I32, core.I32}}
	case op == opDataDrop:
		return core.FuncType{}
	case op >= 0xfd54 && op <= 0xfd57: // v128 lane loads
		return core.FuncType{Params: []core.ValueType{core.I32, core.V128}, Results: []core.ValueType{core.V128}}
	case op == 0xfd0b, op >= 0xfd58 && op <= 0xfd5b: // v128.store, lane stores
		return store(core.V128)
	}
	return load(core.V128)
}

// Parts returns the modules that stand for all memories of m but the first. There
// are none for most modules.
func (m *Module) Parts() []Part {
	var parts []Part
	imports := m.importsOf(Memory)
	for memory := 1; memory < len(m.memories); memory++ {
		p := Part{Memory: uint32(memory), Import: -1}
		if memory < len(imports) {
			p.Import = imports[memory]
		}
		p.Wasm = m.part(p)
		parts = append(parts, p)
	}
	return parts
}

// importsOf returns the indices of the imports of a kind.
func (m *Module) importsOf(kind Kind) []int {
	var list []int
	for i, im := range m.Imports {
		if im.Kind == kind {
			list = append(list, i)
		}
	}
	return list
}

// part writes a part.
func (m *Module) part(p Part) []byte {
	var types, funcs, code, list []byte
	exports := append(appendName(nil, PartMemory), byte(Memory), 0)
	count := uint32(0)
	segments := map[uint32]uint32{} // new index by the one in m
	var segmentList []byte
	segment := func(index uint32) uint32 {
		i, ok := segments[index]
		if !ok {
			i = uint32(len(segments))
			segments[index] = i
			content := m.data[m.datas[index].content.start:m.datas[index].content.end]
			segmentList = append(appendU32(append(segmentList, 1), uint32(len(content))), content...)
		}
		return i
	}
	for i, a := range m.accesses {
		if a.memory != p.Memory {
			continue
		}
		t := accessType(a.op)
		types = appendFuncType(types, t)
		funcs = appendU32(funcs, count)
		exports = append(appendName(exports, strconv.Itoa(i)), byte(Func))
		exports = appendU32(exports, count)
		b := assembler{b: []byte{0}}
		for local := range t.Params {
			b.index(opLocalGet, uint32(local))
		}
		b.op(a.op)
		switch a.op {
		case opMemorySize, opMemoryGrow, opMemoryFill:
			b.b = append(b.b, 0)
		case opMemoryCopy:
			b.b = append(b.b, 0, 0)
		case opMemoryInit:
			b.b = append(appendU32(b.b, segment(a.segment)), 0)
		case opDataDrop:
			b.b = appendU32(b.b, segment(a.segment))
		default:
			b.b = appendMemarg(b.b, a.op, memarg{align: a.align, offset: a.offset, lane: a.lane})
		}
		b.op(opEnd)
		code = append(appendU32(code, uint32(len(b.b))), b.b...)
		count++
	}
	w := writer{out: []byte("\x00asm\x01\x00\x00\x00")}
	counted := func(n uint32, content []byte) []byte { return append(appendU32(nil, n), content...) }
	w.section(secType, counted(count, types))
	memory := appendRange(nil, m.memories[p.Memory].Range)
	if p.Import >= 0 {
		list = append(appendName(appendName(list, ""), PartMemory), byte(Memory))
		w.section(secImport, counted(1, append(list, memory...)))
	}
	w.section(secFunction, counted(count, funcs))
	if p.Import < 0 {
		w.section(secMemory, counted(1, memory))
	}
	w.section(secExport, counted(count+1, exports))
	w.section(secDataCount, counted(uint32(len(segments)), nil))
	w.section(secCode, counted(count, code))
	w.section(secData, counted(uint32(len(segments)), segmentList))
	name := appendName(nil, fmt.Sprintf("memory %d", p.Memory))
	names := append(appendU32(append(appendName(nil, "name"), nameModule), uint32(len(name))), name...)
	w.section(secCustom, names)
	return w.out
}

// appendMemarg appends what a memory access, of the first memory, has as its
// immediate.
func appendMemarg(b []byte, op opcode, m memarg) []byte {
	b = appendU32(appendU32(b, m.align), m.offset)
	if op >= 0xfd54 && op <= 0xfd5b {
		b = append(b, m.lane)
	}
	return b
}

// accessor calls the accessor for an access, or does what it would where the memory
// is the first.
func (a *assembler) accessor(x access) {
	if x.memory != 0 {
		a.index(opCall, a.accessorOf[x])
		return
	}
	a.op(x.op)
	if x.op == opMemorySize {
		a.b = append(a.b, 0)
		return
	}
	a.b = appendMemarg(a.b, x.op, memarg{align: x.align, offset: x.offset, lane: x.lane})
}

// copyHelper adds the function that copies from one memory to another, byte by
// byte:
//
//	func(to, from, length) {
//		if to+length > size(to) || from+length > size(from) {
//			load(from, 1<<32-1) // traps
//		}
//		if length == 0 {
//			return
//		}
//		if to > from { // the two may be one memory, imported twice: the last first
//			do {
//				length -= 1
//				to[to+length] = from[from+length]
//			} while length > 0
//		} else do {
//			to[to] = from[from]
//			to, from, length = to+1, from+1, length-1
//		} while length > 0
//	}
func (w *writer) copyHelper(toMemory, fromMemory uint32) uint32 {
	x := copyAccesses(toMemory, fromMemory)
	size := func(x access) func(*assembler) {
		return func(a *assembler) {
			a.accessor(x)
			a.op(opI64ExtendI32U)
			a.i64(16)
			a.op(opI64Shl)
		}
	}
	load, store := x[2], x[3]
	t := core.FuncType{Params: []core.ValueType{core.I32, core.I32, core.I32}}
	return w.addHelper("memory.copy", t, func(a *assembler) {
		a.outOfBounds(to, size(x[0]))
		a.outOfBounds(from, size(x[1]))
		a.op(opI32Or)
		a.open(opIf)
		a.i32(-1)
		a.accessor(load)
		a.op(opDrop, opEnd)

		a.index(opLocalGet, length)
		a.op(opI32Eqz)
		a.open(opIf)
		a.op(opReturn, opEnd)

		a.index(opLocalGet, to)
		a.index(opLocalGet, from)
		a.op(opI32GtU)
		a.open(opIf)
		a.open(opLoop)
		a.pay(byteWeight)
		a.move(length, opI32Sub, 1)
		a.plus(to, length)
		a.plus(from, length)
		a.accessor(load)
		a.accessor(store)
		a.index(opLocalGet, length)
		a.index(opBrIf, 0)
		a.op(opEnd, opElse)
		a.open(opLoop)
		a.pay(byteWeight)
		a.index(opLocalGet, to)
		a.index(opLocalGet, from)
		a.accessor(load)
		a.accessor(store)
		a.move(to, opI32Add, 1)
		a.move(from, opI32Add, 1)
		a.move(length, opI32Sub, 1)
		a.index(opLocalGet, length)
		a.index(opBrIf, 0)
		a.op(opEnd, opEnd)
	})
}

// byteWeight is what it costs to copy a byte from one memory to another.
const byteWeight = 16
