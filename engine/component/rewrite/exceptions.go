// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"slices"
	"strconv"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// Exceptions are not left to engines: wazero, for one, gives a handler the locals as
// they were before what threw, copies the whole stack for every try_table, and lets
// the guest hold on to Go's memory by exception references. They become returns:
//
//   - A tag is a mutable global with a number, which the instance that defines it
//     gets from the shared state when it starts.
//   - throw writes its operands into the payload, the tag's number into pending, and
//     goes to the try_table around it, or else returns whatever the results may be.
//   - Whoever called looks at pending, and does the same if it isn't zero.
//   - What is called from outside is the guard of a function, which traps in this
//     case.

// MaxTagParams is how many parameters a tag may have. They are numbers.
const MaxTagParams = 16

// The exports of the shared state. The payload's are numbers.
const (
	pendingName = "pending" // the number of the tag of the exception under way, or 0
	freshName   = "fresh"   // () -> i32: a number for a tag
)

// ExceptionState returns the module whose instance is the state that the modules of
// a component share if one of them throws exceptions. It is to be decoded and
// rewritten as any other, but without Options.Exceptions.
func ExceptionState() []byte {
	const pending, last = 0, 1 + MaxTagParams
	w := writer{out: []byte("\x00asm\x01\x00\x00\x00")}
	w.section(secType, appendFuncType([]byte{1}, core.FuncType{Results: []core.ValueType{core.I32}}))
	w.section(secFunction, []byte{1, 0})
	number := func(b []byte) []byte {
		return append(b, byte(core.I32), 1, byte(opI32Const), 0, byte(opEnd))
	}
	globals := number([]byte{MaxTagParams + 2})
	exports := appendName([]byte{MaxTagParams + 2}, pendingName)
	exports = append(exports, byte(Global), pending)
	for i := range MaxTagParams {
		globals = append(globals, byte(core.I64), 1, byte(opI64Const), 0, byte(opEnd))
		exports = append(appendName(exports, strconv.Itoa(i)), byte(Global), byte(1+i))
	}
	w.section(secGlobal, number(globals))
	w.section(secExport, append(appendName(exports, freshName), byte(Func), 0))
	a := assembler{b: []byte{0}}
	a.index(opGlobalGet, last)
	a.i32(1)
	a.op(opI32Add)
	a.index(opGlobalSet, last)
	a.index(opGlobalGet, last)
	a.op(opEnd)
	w.section(secCode, append([]byte{1, byte(len(a.b))}, a.b...))
	return w.out
}

// Throws tells whether the module throws or catches exceptions, or has to do with
// tags.
func (m *Module) Throws() bool { return m.throws }

// GuardedName is the export of a module, rewritten with Options.Exceptions, that
// calls its exported function of a name and traps if it ends by an exception.
func GuardedName(name string) string { return "\x00guarded " + name }

func (w *writer) throwing() bool { return w.opts.Exceptions != "" }

// tag returns the global that a tag has become.
func (w *writer) tag(index uint32) uint32 {
	if imported := uint32(w.imported[Tag]); index >= imported {
		return w.stack + 1 + index - imported
	}
	return w.tags + index
}

// addGuards adds the guards of the exported functions.
func (w *writer) addGuards() {
	if !w.throwing() {
		return
	}
	for _, ex := range w.Exports {
		if ex.Kind != Func {
			continue
		}
		guard := w.addHelper("guard", ex.Func, func(a *assembler) {
			for local := range ex.Func.Params {
				a.index(opLocalGet, uint32(local))
			}
			a.index(opCall, w.function(ex.Index))
			a.refuse()
		})
		w.guards = append(w.guards, guard)
	}
}

// refuse traps if there is an exception.
func (a *assembler) refuse() {
	a.index(opGlobalGet, a.pending)
	a.open(opIf)
	a.index(opCall, a.fresh+1)
	a.op(opEnd)
}

// try is a try_table that code is in. It becomes two blocks: its own, and within
// that one, around its code, a block at whose end the exceptions are caught:
//
//	block params -> results
//	  block params ->
//	    ...
//	    br 1
//	  end
//	  (if the exception is one that is caught: the payload, br to the clause's label)
//	  (br to the try_table around this one, or return)
//	end
type try struct {
	depth   uint32 // open blocks, itself included
	clauses []clause
}

func (f *functionWriter) openTry(in instr) {
	r := reader{data: f.data, pos: in.clauses, end: in.end}
	n, _ := r.u32() // scan has read all of it
	t := try{clauses: make([]clause, n)}
	for i := range t.clauses {
		t.clauses[i], _ = r.clause()
	}
	f.op(opBlock)
	f.b = append(f.b, f.data[in.at+1:in.clauses]...)
	f.op(opBlock)
	if params := f.blockParams(in); len(params) > 0 {
		f.b = appendS64(f.b, int64(f.typeIndex(core.FuncType{Params: params})))
	} else {
		f.b = append(f.b, emptyBlock&0x7f)
	}
	f.depth++
	t.depth = f.depth
	f.tries = append(f.tries, t)
}

func (f *functionWriter) blockParams(in instr) []core.ValueType {
	if in.block < 0 {
		return nil
	}
	return f.Module.types[in.block].Params
}

// closeTry appends what comes behind the code of a try_table, if its end is reached.
func (f *functionWriter) closeTry() {
	if len(f.tries) == 0 || f.tries[len(f.tries)-1].depth != f.depth {
		return
	}
	clauses := f.tries[len(f.tries)-1].clauses
	f.tries = f.tries[:len(f.tries)-1]
	f.index(opBr, 1)
	f.op(opEnd)
	// From here on, this is in one block more than the labels know.
	f.depth--
	defer func() { f.depth++ }()
	for _, c := range clauses {
		if c.all {
			f.catch(nil)
			f.index(opBr, f.label(c.label)+1)
			return
		}
		f.index(opGlobalGet, f.pending)
		f.index(opGlobalGet, f.tag(c.tag))
		f.op(opI32Eq)
		f.open(opIf)
		f.catch(f.Module.tags[c.tag].Func.Params)
		f.index(opBr, f.label(c.label)+2)
		f.op(opEnd)
	}
	f.unwind(1)
}

// catch ends an exception, and leaves its payload.
func (f *functionWriter) catch(payload []core.ValueType) {
	f.i32(0)
	f.index(opGlobalSet, f.pending)
	for i, t := range payload {
		f.index(opGlobalGet, f.pending+1+uint32(i))
		switch t {
		case core.I32:
			f.op(opI32WrapI64)
		case core.F32:
			f.op(opI32WrapI64, opF32ReinterpretI32)
		case core.F64:
			f.op(opF64ReinterpretI64)
		}
	}
}

// throw throws an exception, whose payload is on the operand stack.
func (f *functionWriter) throw(tag uint32) {
	for i, t := range slices.Backward(f.Module.tags[tag].Func.Params) {
		switch t {
		case core.I32:
			f.op(opI64ExtendI32U)
		case core.F32:
			f.op(opI32ReinterpretF32, opI64ExtendI32U)
		case core.F64:
			f.op(opI64ReinterpretF64)
		}
		f.index(opGlobalSet, f.pending+1+uint32(i))
	}
	f.index(opGlobalGet, f.tag(tag))
	f.index(opGlobalSet, f.pending)
	f.unwind(0)
}

// propagate follows a call: if it ended by an exception, so does this code.
func (f *functionWriter) propagate() {
	if !f.throwing() {
		return
	}
	f.index(opGlobalGet, f.pending)
	f.open(opIf)
	f.unwind(1)
	f.op(opEnd)
}

// unwind leaves the code for the innermost try_table, or else the function. It is in
// some blocks more than the labels know.
func (f *functionWriter) unwind(more uint32) {
	if n := len(f.tries); n > 0 {
		f.index(opBr, f.depth-f.tries[n-1].depth+more)
		return
	}
	for _, t := range f.t.Results {
		f.zero(t)
	}
	if f.body.unframed {
		f.op(opReturn)
		return
	}
	f.index(opBr, f.label(f.depth)+more)
}

// zero leaves a value of a type that nobody will look at.
func (a *assembler) zero(t core.ValueType) {
	switch t {
	case core.I32:
		a.i32(0)
	case core.I64:
		a.i64(0)
	case core.F32:
		a.i32(0)
		a.op(opF32ReinterpretI32)
	case core.F64:
		a.i64(0)
		a.op(opF64ReinterpretI64)
	case core.V128:
		a.op(opV128Const)
		a.b = append(a.b, make([]byte, 16)...)
	default:
		a.b = append(a.b, byte(opRefNull), byte(t))
	}
}
