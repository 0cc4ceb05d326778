// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// assembler appends instructions.
type assembler struct {
	*writer
	b []byte
}

func (a *assembler) op(ops ...opcode) {
	for _, op := range ops {
		if op > 0xff {
			a.b = append(a.b, byte(op>>8))
			a.b = appendU32(a.b, uint32(op&0xff))
			continue
		}
		a.b = append(a.b, byte(op))
	}
}

// index appends an instruction with an index as its immediate.
func (a *assembler) index(op opcode, index uint32) {
	a.op(op)
	a.b = appendU32(a.b, index)
}

// open appends an instruction that opens a block without parameters and results.
func (a *assembler) open(op opcode) {
	a.b = append(a.b, byte(op), emptyBlock&0x7f)
}

func (a *assembler) i32(v int32) { a.b = appendS64(append(a.b, byte(opI32Const)), int64(v)) }
func (a *assembler) i64(v int64) { a.b = appendS64(append(a.b, byte(opI64Const)), v) }

// pay takes the fuel for a segment, and calls refuel when there was too little.
func (a *assembler) pay(weight uint32) {
	a.index(opGlobalGet, a.fuel)
	a.i64(int64(weight))
	a.paid()
}

// paid is the end of pay: it takes what is on the operand stack, above the fuel.
func (a *assembler) paid() {
	a.op(opI64Sub)
	a.index(opGlobalSet, a.fuel)
	a.index(opGlobalGet, a.fuel)
	a.i64(0)
	a.op(opI64LtS)
	a.open(opIf)
	a.index(opCall, a.refuel)
	a.op(opEnd)
}

// enter counts a function's stack.
func (a *assembler) enter(bytes uint32) {
	a.index(opGlobalGet, a.stack)
	a.i32(int32(bytes))
	a.op(opI32Sub)
	a.index(opGlobalSet, a.stack)
	a.index(opGlobalGet, a.stack)
	a.i32(0)
	a.op(opI32LtS)
	a.open(opIf)
	a.index(opCall, a.tick+1)
	a.op(opEnd)
}

// leave undoes enter.
func (a *assembler) leave(bytes uint32) {
	a.index(opGlobalGet, a.stack)
	a.i32(int32(bytes))
	a.op(opI32Add)
	a.index(opGlobalSet, a.stack)
}

// code returns the content of the code section.
func (w *writer) code() ([]byte, error) {
	old := w.sections[secCode]
	b := make([]byte, 0, (old.end-old.start)*5/4)
	a := assembler{writer: w}
	for i := range w.bodies {
		a.b = a.b[:0]
		t := w.Module.types[w.funcTypes[w.imported[Func]+i]]
		if err := a.function(&w.bodies[i], t); err != nil {
			return nil, fmt.Errorf("function %d: %w", w.imported[Func]+i, err)
		}
		b = appendU32(b, uint32(len(a.b)))
		b = append(b, a.b...)
	}
	content := appendU32(nil, uint32(len(w.bodies)+len(w.helperCode)))
	content = append(content, b...)
	for _, code := range w.helperCode {
		content = appendU32(content, uint32(len(code)))
		content = append(content, code...)
	}
	return content, nil
}

// function appends the body of a function.
//
// A function that counts its stack gets a block around its code, with the
// function's results: branches to the function's label now lead to the end of that
// block, since their number of blocks outward is the same, and so does the code's
// own end. Only return and tail calls need to be treated on their own.
func (a *assembler) function(body *body, t core.FuncType) error {
	a.b = append(a.b, a.data[body.start:body.code]...)
	if !body.unframed {
		a.enter(body.stack)
		a.b = append(a.b, byte(opBlock))
		switch len(t.Results) {
		case 0:
			a.b = append(a.b, emptyBlock&0x7f)
		case 1:
			a.b = append(a.b, byte(t.Results[0]))
		default:
			a.b = appendS64(a.b, int64(a.typeIndex(core.FuncType{Results: t.Results})))
		}
	}
	segments := body.segments
	if body.free {
		segments = segments[1:]
	}
	var (
		r     = reader{data: a.data, pos: body.code, end: body.end}
		last  instr
		depth uint32 // open blocks
	)
	for !r.empty() {
		if len(segments) > 0 && segments[0].at == r.pos {
			a.pay(segments[0].weight)
			segments = segments[1:]
		}
		in, err := r.instr()
		if err != nil {
			return err
		}
		switch in.op {
		case opBlock, opLoop, opIf:
			depth++
		case opEnd:
			depth--
		case opReturnCall, opReturnCallIndirect:
			if !body.unframed {
				a.leave(body.stack)
			}
		}
		switch {
		case in.op == opReturn && !body.unframed:
			a.index(opBr, depth)
		case in.op == opCall, in.op == opReturnCall, in.op == opRefFunc:
			a.index(in.op, a.writer.function(in.a))
		default:
			if helper, ok := a.bulk(in, last); ok {
				a.index(opCall, helper)
			} else {
				a.b = append(a.b, r.data[in.at:in.end]...)
			}
		}
		last = in
	}
	if !body.unframed {
		a.leave(body.stack)
		a.op(opEnd)
	}
	return nil
}
