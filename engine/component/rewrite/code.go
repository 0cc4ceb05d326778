// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// code returns the content of the code section.
func (w *writer) code() ([]byte, error) {
	old := w.sections[secCode]
	size := old.end - old.start
	limit := maxGrowth*size + 1<<20
	b := make([]byte, 0, size+size/2)
	for i := range w.bodies {
		f := functionWriter{
			assembler: assembler{writer: w},
			body:      &w.bodies[i],
			t:         w.Module.types[w.funcTypes[w.imported[Func]+i]],
			unroll:    len(b) <= unrollGrowth*(w.bodies[i].start-old.start)+1<<16,
		}
		var err error
		if w.throwing() {
			err = w.limits.checkThrowing(f.body)
		}
		if err == nil {
			err = f.write()
		}
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", w.imported[Func]+i, err)
		}
		b = appendU32(b, uint32(len(f.b)))
		b = append(b, f.b...)
		if len(b) > limit {
			return nil, fmt.Errorf("code of %d bytes grows by more than %d times", size, maxGrowth)
		}
	}
	content := make([]byte, 0, len(b)+1024)
	content = appendU32(content, uint32(len(w.bodies)+len(w.helperCode)))
	content = append(content, b...)
	for _, code := range w.helperCode {
		content = appendU32(content, uint32(len(code)))
		content = append(content, code...)
	}
	return content, nil
}

// maxGrowth is by how much code may grow. What compilers write grows by half; a
// module of nothing but empty loops would grow twentyfold.
const maxGrowth = 4

// unrollGrowth is by how much code may have grown before short loops are no longer
// unrolled. They seldom add a tenth.
const unrollGrowth = 2

// functionWriter writes the body of one function.
//
// A function that counts its stack gets a block around its code, with the
// function's results. Branches to the function's label then lead to the end of
// that block, since their number of blocks outward is the same, and so does the
// code's own end; only return and tail calls need to be treated on their own.
type functionWriter struct {
	assembler
	body     *body
	t        core.FuncType
	reader   reader
	unroll   bool      // short loops are unrolled
	segments []segment // those still to come
	depth    uint32    // open blocks
	last     instr

	// An engine keeps the fuel in memory, so that a short loop would wait, in every
	// turn, for what it stored in the turn before. In a closed loop the fuel is also
	// in a local, and the global is only stored to.
	local   uint32 // the local
	inLocal bool   // the code is in a closed loop
	outside uint32 // of inLocal: open blocks around the outermost closed loop

	inner *innerLoop // the code is in an innermost closed loop, or nil
	tries []try      // the try_tables that the code is in
}

// innerLoop is an innermost closed loop. That the loop may call refuel would cost
// it registers: what lives across a call is kept on the native stack, all the
// time. So the call is put behind the loop, which branches there and is entered
// anew, with copies of the locals that it changes:
//
//	block results
//	  loop
//	    block
//	      loop results
//	        fuel -= weight
//	        br_if 1 (fuel < 0)
//	        ...
//	      end
//	      br 2
//	    end
//	    (the copies)
//	    refuel()
//	    fuel += weight
//	    br 0
//	  end
//	  unreachable
//	end
//
// Of a short loop several turns are written one after the other, and paid together:
// all but the last are in a block, to whose end leads what began the next turn.
//
//	block
//	  ...
//	  br 4
//	end
//	...
type innerLoop struct {
	depth  uint32              // open blocks around it
	weight uint32              // of its segment, in all turns
	set    map[uint32]struct{} // the locals that it changes
	code   int                 // where the code of a turn starts
	turns  int                 // that are still to be written after this one
}

// unrolled is how many turns of a short loop are written.
const unrolled = 4

// innerBlocks is how many blocks there are around an innermost closed loop.
const innerBlocks = 3

func (f *functionWriter) write() error {
	f.local = f.body.locals
	f.segments = f.body.segments
	if f.body.free {
		f.segments = f.segments[1:]
	}
	if err := f.writeLocals(); err != nil {
		return err
	}
	if !f.body.unframed {
		f.enter(f.body.stack)
		f.op(opBlock)
		f.resultType()
	}
	f.reader = reader{data: f.data, pos: f.body.code, end: f.body.end}
	for !f.reader.empty() {
		if len(f.segments) > 0 && f.segments[0].at == uint32(f.reader.pos) {
			f.paySegment(f.segments[0])
			f.segments = f.segments[1:]
		}
		in, err := f.reader.instr()
		if err != nil {
			return err
		}
		if err := f.instr(in); err != nil {
			return err
		}
		f.last = in
	}
	if !f.body.unframed {
		f.leave(f.body.stack)
		f.op(opEnd)
	}
	return nil
}

// writeLocals appends the local declarations, and one more if there is a closed
// loop.
func (f *functionWriter) writeLocals() error {
	if !f.body.closed {
		f.b = append(f.b, f.data[f.body.start:f.body.code]...)
		return nil
	}
	r := reader{data: f.data, pos: f.body.start, end: f.body.code}
	groups, err := r.u32()
	if err != nil {
		return err
	}
	f.b = appendU32(f.b, groups+1)
	f.b = append(f.b, f.data[r.pos:f.body.code]...)
	f.b = append(f.b, 1, byte(core.I64))
	return nil
}

// resultType appends the type of a block without parameters and with the results
// of the function.
func (f *functionWriter) resultType() {
	switch results := f.t.Results; len(results) {
	case 0:
		f.b = append(f.b, emptyBlock&0x7f)
	case 1:
		f.b = append(f.b, byte(results[0]))
	default:
		f.b = appendS64(f.b, int64(f.typeIndex(core.FuncType{Results: results})))
	}
}

// paySegment takes the fuel for a segment.
func (f *functionWriter) paySegment(s segment) {
	if !f.inLocal {
		f.pay(s.weight)
		return
	}
	innermost := s.kind == innermostLoop || s.kind == shortLoop
	weight := s.weight
	if innermost {
		weight = f.inner.weight
	}
	f.index(opLocalGet, f.local)
	f.i64(int64(weight))
	f.op(opI64Sub)
	f.index(opLocalTee, f.local)
	f.index(opGlobalSet, f.fuel)
	f.index(opLocalGet, f.local)
	f.i64(0)
	if innermost {
		f.op(opI64LtS)
		f.index(opBrIf, 1)
		if f.inner.turns > 0 {
			f.open(opBlock)
		}
		return
	}
	// With the call in the second arm, wazero keeps registers for the first.
	f.op(opI64GeS)
	f.open(opIf)
	f.op(opElse)
	f.index(opCall, f.refuel)
	f.loadFuel()
	f.op(opEnd)
}

func (f *functionWriter) loadFuel() {
	f.index(opGlobalGet, f.fuel)
	f.index(opLocalSet, f.local)
}

// instr appends one instruction, changed as need be.
func (f *functionWriter) instr(in instr) error {
	switch in.op {
	case opLoop:
		f.openLoop(in)
		f.depth++
	case opBlock, opIf:
		f.depth++
	case opTryTable:
		f.openTry(in)
		return nil
	case opThrow:
		f.throw(in.a)
		return nil
	case opEnd:
		if f.nextTurn() {
			return nil
		}
		f.closeTry()
		f.depth--
		f.closeLoop()
	case opBr, opBrIf:
		f.index(in.op, f.label(in.a))
		return nil
	case opBrTable:
		return f.branchTable(in)
	case opReturn:
		if !f.body.unframed {
			f.index(opBr, f.label(f.depth))
			return nil
		}
	case opLocalSet, opLocalTee:
		if f.inner != nil {
			f.inner.set[in.a] = struct{}{}
		}
	case opGlobalGet, opGlobalSet:
		f.index(in.op, f.global(in.a))
		return nil
	case opCall:
		f.index(in.op, f.function(in.a))
		f.propagate()
		return nil
	case opCallIndirect:
		f.copy(in)
		f.propagate()
		return nil
	case opRefFunc:
		f.index(in.op, f.function(in.a))
		return nil
	case opDataDrop:
		for _, a := range f.droppers[in.a] {
			f.accessor(a)
		}
	case opReturnCall:
		f.leaveForTailCall()
		f.index(in.op, f.function(in.a))
		return nil
	case opReturnCallIndirect:
		f.leaveForTailCall()
	default:
		if helper, ok := f.bulk(in, f.last); ok {
			f.index(opCall, helper)
			return nil
		}
	}
	f.copy(in)
	return nil
}

func (f *functionWriter) copy(in instr) {
	if in.explicit { // an engine without several memories doesn't know it
		f.op(in.op)
		f.b = appendMemarg(f.b, in.op, in.memarg)
		return
	}
	f.b = append(f.b, f.data[in.at:in.end]...)
}

func (f *functionWriter) leaveForTailCall() {
	if !f.body.unframed {
		f.leave(f.body.stack)
	}
}

// openLoop prepares a closed loop.
func (f *functionWriter) openLoop(in instr) {
	// A loop's segment starts right behind its opcode.
	s := f.segments[0]
	if s.kind == branchSegment || s.kind == openLoop {
		return
	}
	if !f.inLocal {
		f.loadFuel()
		f.inLocal, f.outside = true, f.depth
	}
	if s.kind != closedLoop {
		f.inner = &innerLoop{depth: f.depth, weight: s.weight, set: map[uint32]struct{}{}, code: in.end}
		if s.kind == shortLoop && f.unroll {
			f.inner.weight, f.inner.turns = unrolled*s.weight, unrolled-1
		}
		f.op(opBlock)
		f.b = append(f.b, f.data[in.at+1:in.end]...) // the loop's type
		f.open(opLoop)
		f.open(opBlock)
	}
}

// nextTurn, at the end of a block, tells whether it ends a turn of a short loop that
// is not the last, and makes the next one follow.
func (f *functionWriter) nextTurn() bool {
	if f.inner == nil || f.inner.turns == 0 || f.depth != f.inner.depth+1 {
		return false
	}
	f.index(opBr, innerBlocks+1)
	f.op(opEnd)
	if f.inner.turns--; f.inner.turns > 0 {
		f.open(opBlock)
	}
	f.reader.pos = f.inner.code
	return true
}

// closeLoop appends what comes behind an innermost loop, if its end is reached,
// except for the end of the outermost block.
func (f *functionWriter) closeLoop() {
	if f.inner != nil && f.depth == f.inner.depth {
		loop := f.inner
		f.inner = nil
		f.op(opEnd)
		f.index(opBr, 2)
		f.op(opEnd)
		f.renew(loop.set)
		f.index(opCall, f.refuel)
		f.index(opGlobalGet, f.fuel)
		f.i64(int64(loop.weight))
		f.op(opI64Add)
		f.index(opLocalSet, f.local)
		f.index(opBr, 0)
		f.op(opEnd, opUnreachable)
	}
	f.inLocal = f.inLocal && f.depth != f.outside
}

// renew gives locals the values that they have, in a way that an optimizer takes
// for new ones.
func (f *functionWriter) renew(locals map[uint32]struct{}) {
	for _, local := range slices.Sorted(maps.Keys(locals)) {
		t := f.localType(local)
		if t != core.I32 && t != core.I64 && t != core.F32 && t != core.F64 {
			continue
		}
		f.index(opLocalGet, local)
		switch t {
		case core.I32:
			f.i32(0)
			f.op(opI32Or)
		case core.I64:
			f.i64(0)
			f.op(opI64Or)
		case core.F32:
			f.op(opI32ReinterpretF32)
			f.i32(0)
			f.op(opI32Or, opF32ReinterpretI32)
		case core.F64:
			f.op(opI64ReinterpretF64)
			f.i64(0)
			f.op(opI64Or, opF64ReinterpretI64)
		}
		f.index(opLocalSet, local)
	}
}

// localType returns the type of a local, or 0 if there is no such local.
func (f *functionWriter) localType(local uint32) core.ValueType {
	if int(local) < len(f.t.Params) {
		return f.t.Params[local]
	}
	local -= uint32(len(f.t.Params))
	groups := f.body.groups
	i := sort.Search(len(groups), func(i int) bool { return local < groups[i].end })
	if i == len(groups) {
		return 0
	}
	return groups[i].t
}

// label returns the new number of a label. Within an innermost loop, those of the
// blocks around it go up, and so do, within a try_table, its own and those around it.
func (f *functionWriter) label(label uint32) uint32 {
	up := uint32(0)
	if f.inner != nil && label >= f.depth-f.inner.depth {
		up += innerBlocks
		if f.inner.turns > 0 {
			up++
		}
	}
	for _, t := range f.tries {
		if label >= f.depth-t.depth {
			up++
		}
	}
	return label + up
}

func (f *functionWriter) branchTable(in instr) error {
	if f.inner == nil && len(f.tries) == 0 {
		f.copy(in)
		return nil
	}
	r := reader{data: f.data, pos: in.at + 1, end: in.end}
	n, err := r.u32()
	if err != nil {
		return err
	}
	f.index(opBrTable, n)
	for range uint64(n) + 1 {
		label, err := r.u32()
		if err != nil {
			return err
		}
		f.b = appendU32(f.b, f.label(label))
	}
	return nil
}
