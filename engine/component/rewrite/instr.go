// SPDX-License-Identifier: Apache-2.0

package rewrite

// opcode is an instruction's opcode; that of a prefixed instruction has the
// prefix in its high byte (0xFC0B is memory.fill). No sub-opcode of the accepted
// features is above 0xFF.
type opcode uint16

// The opcodes that the rewriter knows by name; the others it only copies.
const (
	opUnreachable        opcode = 0x00
	opNop                opcode = 0x01
	opBlock              opcode = 0x02
	opLoop               opcode = 0x03
	opIf                 opcode = 0x04
	opElse               opcode = 0x05
	opThrow              opcode = 0x08
	opThrowRef           opcode = 0x0a
	opEnd                opcode = 0x0b
	opBr                 opcode = 0x0c
	opBrIf               opcode = 0x0d
	opBrTable            opcode = 0x0e
	opReturn             opcode = 0x0f
	opCall               opcode = 0x10
	opCallIndirect       opcode = 0x11
	opReturnCall         opcode = 0x12
	opReturnCallIndirect opcode = 0x13
	opDrop               opcode = 0x1a
	opSelect             opcode = 0x1b
	opSelectTyped        opcode = 0x1c
	opTryTable           opcode = 0x1f
	opLocalGet           opcode = 0x20
	opLocalSet           opcode = 0x21
	opLocalTee           opcode = 0x22
	opGlobalGet          opcode = 0x23
	opGlobalSet          opcode = 0x24
	opTableGet           opcode = 0x25
	opTableSet           opcode = 0x26
	opI32Load            opcode = 0x28
	opI64Load            opcode = 0x29
	opI32Load8U          opcode = 0x2d
	opI32Load16U         opcode = 0x2f
	opI32Store           opcode = 0x36
	opI64Store           opcode = 0x37
	opI32Store8          opcode = 0x3a
	opI32Store16         opcode = 0x3b
	opMemorySize         opcode = 0x3f
	opMemoryGrow         opcode = 0x40
	opI32Const           opcode = 0x41
	opI64Const           opcode = 0x42
	opF32Const           opcode = 0x43
	opF64Const           opcode = 0x44
	opI32Eqz             opcode = 0x45
	opI32Eq              opcode = 0x46
	opI32LtS             opcode = 0x48
	opI32GtU             opcode = 0x4b
	opI32LeU             opcode = 0x4d
	opI32GeU             opcode = 0x4f
	opI32And             opcode = 0x71
	opI64Eqz             opcode = 0x50
	opI64LtS             opcode = 0x53
	opI64GeS             opcode = 0x59
	opI64GtU             opcode = 0x56
	opI32Add             opcode = 0x6a
	opI32Sub             opcode = 0x6b
	opI32Mul             opcode = 0x6c
	opI32Or              opcode = 0x72
	opI64Add             opcode = 0x7c
	opI64Sub             opcode = 0x7d
	opI64Mul             opcode = 0x7e
	opI64Or              opcode = 0x84
	opI64Shl             opcode = 0x86
	opI64ShrU            opcode = 0x88
	opI32WrapI64         opcode = 0xa7
	opI64ExtendI32U      opcode = 0xad
	opI32ReinterpretF32  opcode = 0xbc
	opI64ReinterpretF64  opcode = 0xbd
	opF32ReinterpretI32  opcode = 0xbe
	opF64ReinterpretI64  opcode = 0xbf
	opRefNull            opcode = 0xd0
	opRefIsNull          opcode = 0xd1
	opRefFunc            opcode = 0xd2
	opMemoryInit         opcode = 0xfc08
	opDataDrop           opcode = 0xfc09
	opMemoryCopy         opcode = 0xfc0a
	opMemoryFill         opcode = 0xfc0b
	opTableInit          opcode = 0xfc0c
	opElemDrop           opcode = 0xfc0d
	opTableCopy          opcode = 0xfc0e
	opTableGrow          opcode = 0xfc0f
	opTableSize          opcode = 0xfc10
	opTableFill          opcode = 0xfc11
	opV128Const          opcode = 0xfd0c
)

// immediate says what follows an opcode in the binary format.
type immediate byte

const (
	immInvalid   immediate = iota // no such instruction in the accepted features
	immNone                       //
	immBlock                      // block type
	immTry                        // block type and a vector of catch clauses
	immIndex                      // one index
	immTwoIndex                   // two indices
	immLabels                     // br_table's vector of labels and its default
	immTypes                      // select's vector of value types
	immRefType                    // reference type
	immMemory                     // alignment, memory and offset
	immMemLane                    // alignment, memory, offset and lane
	immLane                       // lane
	immOnMemory                   // memory
	immInit                       // data segment and memory
	immTwoMemory                  // two memories
	immI32                        //
	immI64                        //
	imm4                          // four bytes
	imm8                          // eight bytes
	imm16                         // sixteen bytes
)

// shape is what the rewriter must know of an instruction it only copies: its
// immediate, and how many operands it takes and leaves.
type shape struct {
	imm        immediate
	pops, push uint8
}

// span gives one shape to the opcodes from first to last.
type span struct {
	first, last int
	shape
}

func shapes(spans []span) (table [256]shape) {
	for _, s := range spans {
		for i := s.first; i <= s.last; i++ {
			table[i] = s.shape
		}
	}
	return table
}

// The operand counts of control instructions and calls depend on types; they are
// zero here and scan works them out.
var plainShapes = shapes([]span{
	{0x00, 0x01, shape{immNone, 0, 0}},     // unreachable, nop
	{0x02, 0x04, shape{immBlock, 0, 0}},    // block, loop, if
	{0x05, 0x05, shape{immNone, 0, 0}},     // else
	{0x08, 0x08, shape{immIndex, 0, 0}},    // throw
	{0x0b, 0x0b, shape{immNone, 0, 0}},     // end
	{0x0c, 0x0c, shape{immIndex, 0, 0}},    // br
	{0x0d, 0x0d, shape{immIndex, 1, 0}},    // br_if
	{0x0e, 0x0e, shape{immLabels, 1, 0}},   // br_table
	{0x0f, 0x0f, shape{immNone, 0, 0}},     // return
	{0x10, 0x10, shape{immIndex, 0, 0}},    // call
	{0x11, 0x11, shape{immTwoIndex, 1, 0}}, // call_indirect
	{0x12, 0x12, shape{immIndex, 0, 0}},    // return_call
	{0x13, 0x13, shape{immTwoIndex, 1, 0}}, // return_call_indirect
	{0x1a, 0x1a, shape{immNone, 1, 0}},     // drop
	{0x1b, 0x1b, shape{immNone, 3, 1}},     // select
	{0x1c, 0x1c, shape{immTypes, 3, 1}},    // select t
	{0x1f, 0x1f, shape{immTry, 0, 0}},      // try_table
	{0x20, 0x20, shape{immIndex, 0, 1}},    // local.get
	{0x21, 0x21, shape{immIndex, 1, 0}},    // local.set
	{0x22, 0x22, shape{immIndex, 1, 1}},    // local.tee
	{0x23, 0x23, shape{immIndex, 0, 1}},    // global.get
	{0x24, 0x24, shape{immIndex, 1, 0}},    // global.set
	{0x25, 0x25, shape{immIndex, 1, 1}},    // table.get
	{0x26, 0x26, shape{immIndex, 2, 0}},    // table.set
	{0x28, 0x35, shape{immMemory, 1, 1}},   // loads
	{0x36, 0x3e, shape{immMemory, 2, 0}},   // stores
	{0x3f, 0x3f, shape{immOnMemory, 0, 1}}, // memory.size
	{0x40, 0x40, shape{immOnMemory, 1, 1}}, // memory.grow
	{0x41, 0x41, shape{immI32, 0, 1}},      // i32.const
	{0x42, 0x42, shape{immI64, 0, 1}},      // i64.const
	{0x43, 0x43, shape{imm4, 0, 1}},        // f32.const
	{0x44, 0x44, shape{imm8, 0, 1}},        // f64.const
	{0x45, 0x45, shape{immNone, 1, 1}},     // i32.eqz
	{0x46, 0x4f, shape{immNone, 2, 1}},     // i32 comparisons
	{0x50, 0x50, shape{immNone, 1, 1}},     // i64.eqz
	{0x51, 0x66, shape{immNone, 2, 1}},     // i64, f32 and f64 comparisons
	{0x67, 0x69, shape{immNone, 1, 1}},     // i32.clz, ctz, popcnt
	{0x6a, 0x78, shape{immNone, 2, 1}},     // i32 arithmetic
	{0x79, 0x7b, shape{immNone, 1, 1}},     // i64.clz, ctz, popcnt
	{0x7c, 0x8a, shape{immNone, 2, 1}},     // i64 arithmetic
	{0x8b, 0x91, shape{immNone, 1, 1}},     // f32.abs ... sqrt
	{0x92, 0x98, shape{immNone, 2, 1}},     // f32.add ... copysign
	{0x99, 0x9f, shape{immNone, 1, 1}},     // f64.abs ... sqrt
	{0xa0, 0xa6, shape{immNone, 2, 1}},     // f64.add ... copysign
	{0xa7, 0xc4, shape{immNone, 1, 1}},     // conversions, sign extensions
	{0xd0, 0xd0, shape{immRefType, 0, 1}},  // ref.null
	{0xd1, 0xd1, shape{immNone, 1, 1}},     // ref.is_null
	{0xd2, 0xd2, shape{immIndex, 0, 1}},    // ref.func
})

var bulkShapes = shapes([]span{
	{0, 7, shape{immNone, 1, 1}},        // saturating truncations
	{8, 8, shape{immInit, 3, 0}},        // memory.init
	{9, 9, shape{immIndex, 0, 0}},       // data.drop
	{10, 10, shape{immTwoMemory, 3, 0}}, // memory.copy
	{11, 11, shape{immOnMemory, 3, 0}},  // memory.fill
	{12, 12, shape{immTwoIndex, 3, 0}},  // table.init
	{13, 13, shape{immIndex, 0, 0}},     // elem.drop
	{14, 14, shape{immTwoIndex, 3, 0}},  // table.copy
	{15, 15, shape{immIndex, 2, 1}},     // table.grow
	{16, 16, shape{immIndex, 0, 1}},     // table.size
	{17, 17, shape{immIndex, 3, 0}},     // table.fill
})

var vectorShapes = shapes([]span{
	{0x00, 0x0a, shape{immMemory, 1, 1}},  // loads
	{0x0b, 0x0b, shape{immMemory, 2, 0}},  // v128.store
	{0x0c, 0x0c, shape{imm16, 0, 1}},      // v128.const
	{0x0d, 0x0d, shape{imm16, 2, 1}},      // i8x16.shuffle
	{0x0e, 0x0e, shape{immNone, 2, 1}},    // i8x16.swizzle
	{0x0f, 0x14, shape{immNone, 1, 1}},    // splats
	{0x15, 0x16, shape{immLane, 1, 1}},    // i8x16.extract_lane
	{0x17, 0x17, shape{immLane, 2, 1}},    // i8x16.replace_lane
	{0x18, 0x19, shape{immLane, 1, 1}},    // i16x8.extract_lane
	{0x1a, 0x1a, shape{immLane, 2, 1}},    // i16x8.replace_lane
	{0x1b, 0x1b, shape{immLane, 1, 1}},    // i32x4.extract_lane
	{0x1c, 0x1c, shape{immLane, 2, 1}},    // i32x4.replace_lane
	{0x1d, 0x1d, shape{immLane, 1, 1}},    // i64x2.extract_lane
	{0x1e, 0x1e, shape{immLane, 2, 1}},    // i64x2.replace_lane
	{0x1f, 0x1f, shape{immLane, 1, 1}},    // f32x4.extract_lane
	{0x20, 0x20, shape{immLane, 2, 1}},    // f32x4.replace_lane
	{0x21, 0x21, shape{immLane, 1, 1}},    // f64x2.extract_lane
	{0x22, 0x22, shape{immLane, 2, 1}},    // f64x2.replace_lane
	{0x23, 0x4c, shape{immNone, 2, 1}},    // comparisons
	{0x4d, 0x4d, shape{immNone, 1, 1}},    // v128.not
	{0x4e, 0x51, shape{immNone, 2, 1}},    // v128.and, andnot, or, xor
	{0x52, 0x52, shape{immNone, 3, 1}},    // v128.bitselect
	{0x53, 0x53, shape{immNone, 1, 1}},    // v128.any_true
	{0x54, 0x57, shape{immMemLane, 2, 1}}, // lane loads
	{0x58, 0x5b, shape{immMemLane, 2, 0}}, // lane stores
	{0x5c, 0x5d, shape{immMemory, 1, 1}},  // zero-extending loads
	{0x5e, 0x63, shape{immNone, 1, 1}},    // demote, promote, i8x16.abs, neg, popcnt, all_true
	{0x64, 0x64, shape{immNone, 1, 1}},    // i8x16.bitmask
	{0x65, 0x66, shape{immNone, 2, 1}},    // i8x16.narrow
	{0x67, 0x6a, shape{immNone, 1, 1}},    // f32x4.ceil, floor, trunc, nearest
	{0x6b, 0x73, shape{immNone, 2, 1}},    // i8x16 shifts and sums
	{0x74, 0x75, shape{immNone, 1, 1}},    // f64x2.ceil, floor
	{0x76, 0x79, shape{immNone, 2, 1}},    // i8x16.min, max
	{0x7a, 0x7a, shape{immNone, 1, 1}},    // f64x2.trunc
	{0x7b, 0x7b, shape{immNone, 2, 1}},    // i8x16.avgr_u
	{0x7c, 0x81, shape{immNone, 1, 1}},    // extadd_pairwise, i16x8.abs, neg
	{0x82, 0x82, shape{immNone, 2, 1}},    // i16x8.q15mulr_sat_s
	{0x83, 0x84, shape{immNone, 1, 1}},    // i16x8.all_true, bitmask
	{0x85, 0x86, shape{immNone, 2, 1}},    // i16x8.narrow
	{0x87, 0x8a, shape{immNone, 1, 1}},    // i16x8.extend
	{0x8b, 0x93, shape{immNone, 2, 1}},    // i16x8 shifts and sums
	{0x94, 0x94, shape{immNone, 1, 1}},    // f64x2.nearest
	{0x95, 0x99, shape{immNone, 2, 1}},    // i16x8.mul, min, max
	{0x9b, 0x9f, shape{immNone, 2, 1}},    // i16x8.avgr_u, extmul
	{0xa0, 0xa1, shape{immNone, 1, 1}},    // i32x4.abs, neg
	{0xa3, 0xa4, shape{immNone, 1, 1}},    // i32x4.all_true, bitmask
	{0xa7, 0xaa, shape{immNone, 1, 1}},    // i32x4.extend
	{0xab, 0xae, shape{immNone, 2, 1}},    // i32x4 shifts, add
	{0xb1, 0xb1, shape{immNone, 2, 1}},    // i32x4.sub
	{0xb5, 0xba, shape{immNone, 2, 1}},    // i32x4.mul, min, max, dot
	{0xbc, 0xbf, shape{immNone, 2, 1}},    // i32x4.extmul
	{0xc0, 0xc1, shape{immNone, 1, 1}},    // i64x2.abs, neg
	{0xc3, 0xc4, shape{immNone, 1, 1}},    // i64x2.all_true, bitmask
	{0xc7, 0xca, shape{immNone, 1, 1}},    // i64x2.extend
	{0xcb, 0xce, shape{immNone, 2, 1}},    // i64x2 shifts, add
	{0xd1, 0xd1, shape{immNone, 2, 1}},    // i64x2.sub
	{0xd5, 0xdf, shape{immNone, 2, 1}},    // i64x2.mul, comparisons, extmul
	{0xe0, 0xe1, shape{immNone, 1, 1}},    // f32x4.abs, neg
	{0xe3, 0xe3, shape{immNone, 1, 1}},    // f32x4.sqrt
	{0xe4, 0xeb, shape{immNone, 2, 1}},    // f32x4.add ... pmax
	{0xec, 0xed, shape{immNone, 1, 1}},    // f64x2.abs, neg
	{0xef, 0xef, shape{immNone, 1, 1}},    // f64x2.sqrt
	{0xf0, 0xf7, shape{immNone, 2, 1}},    // f64x2.add ... pmax
	{0xf8, 0xff, shape{immNone, 1, 1}},    // conversions
})

// instr is one decoded instruction. Its bytes are data[at:end].
type instr struct {
	op      opcode
	at, end int
	shape
	a, b     uint32 // the indices of immIndex, immTwoIndex, immInit, immTwoMemory
	n        int32  // i32.const
	block    int64  // block type: negative for none and value types, else a type index
	farthest uint32 // br_table: the outermost label
	last     uint32 // br, br_if, br_table: the label, the last of several
	targets  int    // br_table: how many labels
	clauses  int    // try_table: offset of its catch clauses
	memory   uint32 // immMemory, immMemLane, immOnMemory, immInit: the memory
	memarg          // immMemory, immMemLane
}

// memarg is what a memory access has beside its memory.
type memarg struct {
	explicit bool // the memory was written
	align    uint32
	offset   uint32
	lane     byte // immMemLane
}

// clause is a catch clause of try_table.
type clause struct {
	all   bool   // whatever the tag
	tag   uint32 // if not all
	label uint32 // seen from around the try_table
}

// clause reads a catch clause.
func (r *reader) clause() (c clause, err error) {
	at := r.pos
	kind, err := r.byte()
	if err != nil {
		return c, err
	}
	switch kind {
	case 0:
		if c.tag, err = r.u32(); err != nil {
			return c, err
		}
	case 2:
		c.all = true
	case 1, 3:
		return c, errorAt(at, "exception references (exnref) are not supported")
	default:
		return c, errorAt(at, "unknown kind of catch clause %d", kind)
	}
	c.label, err = r.u32()
	return c, err
}

// instr reads one instruction.
func (r *reader) instr() (instr, error) {
	in := instr{at: r.pos}
	b, err := r.byte()
	if err != nil {
		return in, err
	}
	in.op = opcode(b)
	switch b {
	case 0xfc, 0xfd:
		table := &bulkShapes
		if b == 0xfd {
			table = &vectorShapes
		}
		sub, err := r.u32()
		if err != nil {
			return in, err
		}
		if sub > 0xff || table[sub].imm == immInvalid {
			return in, errorAt(in.at, "unknown instruction 0x%x %d", b, sub)
		}
		in.op = opcode(b)<<8 | opcode(sub)
		in.shape = table[sub]
	default:
		in.shape = plainShapes[b]
		switch {
		case in.op == opThrowRef:
			return in, errorAt(in.at, "exception references (exnref) are not supported")
		case in.imm == immInvalid:
			return in, errorAt(in.at, "unknown instruction %#02x", b)
		}
	}
	if err := r.immediate(&in); err != nil {
		return in, err
	}
	in.end = r.pos
	return in, nil
}

func (r *reader) immediate(in *instr) (err error) {
	switch in.imm {
	case immBlock, immTry:
		at := r.pos
		if in.block, err = r.signed(33); err != nil {
			return err
		}
		if in.block < 0 && in.block != emptyBlock && !isValueType(byte(in.block&0x7f)) || in.block < emptyBlock {
			return errorAt(at, "unknown block type")
		}
		if in.imm == immTry {
			in.clauses = r.pos
			n, err := r.count("catch clauses", ^uint32(0))
			if err != nil {
				return err
			}
			for range n {
				if _, err := r.clause(); err != nil {
					return err
				}
			}
		}
	case immIndex:
		in.a, err = r.u32()
		in.last = in.a
	case immTwoIndex:
		if in.a, err = r.u32(); err == nil {
			in.b, err = r.u32()
		}
	case immInit:
		if in.a, err = r.u32(); err == nil {
			in.memory, err = r.memoryIndex()
		}
	case immLabels:
		n, err := r.count("branch targets", ^uint32(0))
		if err != nil {
			return err
		}
		in.targets = int(n) + 1
		for range uint64(n) + 1 {
			label, err := r.u32()
			if err != nil {
				return err
			}
			in.farthest, in.last = max(in.farthest, label), label
		}
	case immTypes:
		n, err := r.count("types of select", ^uint32(0))
		if err != nil {
			return err
		}
		for range n {
			if _, err := r.valueType(); err != nil {
				return err
			}
		}
	case immRefType:
		_, err = r.refType()
	case immMemory, immMemLane:
		if in.align, err = r.u32(); err != nil {
			return err
		}
		if in.explicit = in.align&explicitMemory != 0; in.explicit {
			in.align &^= explicitMemory
			if in.memory, err = r.memoryIndex(); err != nil {
				return err
			}
		}
		if in.offset, err = r.u32(); err == nil && in.imm == immMemLane {
			in.lane, err = r.byte()
		}
	case immLane:
		_, err = r.byte()
	case immOnMemory:
		in.memory, err = r.memoryIndex()
	case immTwoMemory:
		if in.a, err = r.memoryIndex(); err == nil {
			in.b, err = r.memoryIndex()
		}
	case immI32:
		var v int64
		v, err = r.signed(32)
		in.n = int32(v)
	case immI64:
		_, err = r.signed(64)
	case imm4:
		_, err = r.skip(4)
	case imm8:
		_, err = r.skip(8)
	case imm16:
		_, err = r.skip(16)
	}
	return err
}

// emptyBlock is the block type 0x40 as the signed number that it encodes.
const emptyBlock = -64

// explicitMemory is the bit of a memory access's alignment which says that the
// index of a memory follows.
const explicitMemory = 1 << 6

// memoryIndex reads the index of a memory, which is one byte: there are few.
func (r *reader) memoryIndex() (uint32, error) {
	b, err := r.byte()
	if err == nil && b >= 0x80 {
		err = errorAt(r.pos-1, "index of a memory in more than one byte")
	}
	return uint32(b), err
}
