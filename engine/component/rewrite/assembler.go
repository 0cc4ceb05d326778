// SPDX-License-Identifier: Apache-2.0

package rewrite

// assembler appends instructions to b.
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

// pay takes fuel, and calls refuel when there was too little.
func (a *assembler) pay(weight uint32) {
	a.index(opGlobalGet, a.fuel)
	a.i64(int64(weight))
	a.paid()
}

// paid is the end of pay: it takes the amount on top of the operand stack from
// the fuel below it.
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
