// SPDX-License-Identifier: Apache-2.0

package rewrite

// Engines take as long for a memory.copy or memory.fill of nothing as for one of a
// hundred bytes, since they call a function for it, and allocators and string
// functions often ask for little or nothing. So the helper of such an instruction does
// a short one by itself, with a few loads and stores that overlap where the length is
// no power of two. It takes no fuel: whoever calls it has paid.

// briefLength is the greatest length that is done so, in bytes.
const briefLength = 32

// word is a kind of load or store.
type word struct {
	size        int32
	load, store opcode
}

// words are those for what is at least as long, the longest first.
var words = []word{
	{8, opI64Load, opI64Store},
	{4, opI32Load, opI32Store},
	{2, opI32Load16U, opI32Store16},
	{1, opI32Load8U, opI32Store8},
}

// brief appends what is done for a short length:
//
//	if length <= briefLength && !beyond {
//		if length > 16 {
//			four words of 8 bytes
//		} else if length >= 8 {
//			two words of 8 bytes
//		} else if length >= 4 {
//			...
//		}
//		return
//	}
func (a *assembler) brief(op bulkOperation) {
	a.atLeast(briefLength + 1)
	a.open(opIf)
	a.op(opElse)
	a.beyond(op)
	a.open(opIf)
	a.op(opElse)
	{
		a.atLeast(17)
		a.open(opIf)
		a.put(op, words[0], 0, 8, -16, -8)
		a.op(opElse)
		for _, w := range words {
			a.atLeast(w.size)
			a.open(opIf)
			a.put(op, w, 0, -w.size)
			a.op(opElse)
		}
		for range words {
			a.op(opEnd)
		}
		a.op(opEnd, opReturn)
	}
	a.op(opEnd, opEnd)
}

// atLeast leaves whether length is n or more.
func (a *assembler) atLeast(n int32) {
	a.index(opLocalGet, length)
	a.i32(n)
	a.op(opI32GeU)
}

// put writes words at offsets, which count from the end if they are negative. All
// words are read before one is written.
func (a *assembler) put(op bulkOperation, w word, offsets ...int32) {
	for _, offset := range offsets {
		a.at(to, offset)
		if op.from != nil {
			a.at(from, offset)
			a.access(w.load)
			continue
		}
		a.index(opLocalGet, from) // the value
		a.i32(0xff)
		a.op(opI32And)
		if w.size == 8 {
			a.op(opI64ExtendI32U)
			a.i64(0x0101010101010101)
			a.op(opI64Mul)
		} else {
			a.i32(0x01010101)
			a.op(opI32Mul)
		}
	}
	for range offsets {
		a.access(w.store)
	}
}

// at leaves an address: that in a local, plus an offset.
func (a *assembler) at(local uint32, offset int32) {
	a.index(opLocalGet, local)
	if offset < 0 {
		a.index(opLocalGet, length)
		a.op(opI32Add)
	}
	if offset != 0 {
		a.i32(offset)
		a.op(opI32Add)
	}
}

// access appends a load or store that expects no alignment.
func (a *assembler) access(op opcode) {
	a.op(op)
	a.b = append(a.b, 0, 0)
}
