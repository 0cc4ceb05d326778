// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"math"
	"slices"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// body is what the rewriter knows of one defined function.
type body struct {
	start, end int     // the function's bytes, from its local declarations
	code       int     // where its instructions start
	locals     uint32  // how many, parameters included
	groups     []group // of locals, without parameters; only if closed
	closed     bool    // it has a closed loop
	segments   []segment
	calls      []call
	frame      uint32 // estimate of its native stack frame, in bytes
	outside    bool   // it calls by reference, or an import: it may call anything
	blocks     uint32 // as Limits.Blocks has them
	checks     uint32 // calls, behind each of which there is one more block if anything throws

	// Found by plan:
	free     bool   // it doesn't charge fuel on entry: its callers pay its first segment
	unframed bool   // it doesn't count its stack on entry: its callers do
	stack    uint32 // bytes of stack it accounts for, itself and unframed callees
}

// segment is a stretch of code that is paid for at its start. It reaches from
// there to the end of the block that it starts in, without what belongs to
// segments within. Structured control flow can only come to that code through its
// start, so nothing is executed unpaid; what a branch skips is paid in vain.
type segment struct {
	at     uint32 // offset of the instruction before which it is paid; 0 if its parent pays
	weight uint32 // in units of fuel
	parent int32  // the segment that pays if this one is too light to stand alone
	kind   segmentKind
}

type segmentKind byte

const (
	branchSegment segmentKind = iota // of a function, or behind a branch
	openLoop                         // of a loop in which something is called
	closedLoop                       // of a loop in which nothing is: nothing else takes fuel
	innermostLoop                    // of a closed loop without parameters and without loops
	shortLoop                        // of an innermost loop that is paid several turns at a time
)

// call is a direct call of a defined function.
type call struct {
	segment int32
	callee  uint32 // index in bodies
}

// Weights. A unit of fuel is an instruction; instructions that compile to nothing
// count zero. What a call by reference or of an import costs isn't known, except
// that the callee either pays for itself or weighs at most freeWeight.
const (
	freeWeight   = 32   // a function at most this heavy is paid for by its callers
	splitWeight  = 48   // a branch of code at least this heavy is paid on its own
	bulkShift    = 2    // a bulk operation costs a unit for each 1 << bulkShift bytes, or element of a table
	freelyMerged = 96   // branches too light to be paid on their own are paid fully up to this sum
	shortSize    = 128  // bytes of code of a short loop, which weighs less than splitWeight
	bulkInline   = 1024 // a bulk operation of a constant length up to this stays as it is
	bulkWeight   = 16   // of a bulk operation, beside its length
)

// A function's native stack frame is estimated as this, for return address, frame
// pointer and saved registers, and for what an engine keeps of it in the backtrace of a
// trap (Wasmtime, more than 100 bytes), and a slot for each parameter, local and operand,
// and for every second value that is set to a local or returned by a call: wazero
// gives a slot of its own to each value that lives across a call. Measured on Go
// and Rust modules, a frame takes between 0.4 and 2.3 times what the slots and 64 bytes
// come to. A module made to defeat it ends at the engine's own limit.
const frameOverhead = 128

// group is a number of locals of one type.
type group struct {
	end uint32 // the first local after it, counted without parameters
	t   core.ValueType
}

// control is an open block.
type control struct {
	op      opcode // opBlock, opLoop, opIf, opTryTable; opElse in the second arm
	base    int    // operand height below its parameters
	params  int
	results int
	segment int32 // the segment that pays for what comes next in this block
	escape  int   // the outermost control that a branch within has targeted
	skip    int   // the same, since segment started
	header  int32 // of opLoop: its own segment
	calls   bool  // something within is called
	loops   bool  // there is a loop within
}

// none is an escape of no branch.
const none = math.MaxInt

// scanner scans function bodies; it is one for all to reuse its slices.
type scanner struct {
	*decoder
	controls []control
	segments []segment
	calls    []call
	groups   []group
	light    []merged // by segment
	loops    uint32   // of all functions

	blocks          uint32
	passed          uint32 // values that calls, blocks and branches pass on
	loopDepth       uint32 // open loops
	loopValues      uint32
	height, highest int // of operands
	values          int // set to locals, or returned by calls
	body            body
}

// scan checks a body's structure and indices, divides it into segments and
// estimates its stack frame.
func (s *scanner) scan(r reader, t core.FuncType) (body, error) {
	s.body = body{start: r.pos, end: r.end}
	locals, wide, err := s.scanLocals(&r)
	if err != nil {
		return body{}, err
	}
	for _, p := range t.Params {
		wide = wide || p == core.V128
	}
	s.body.code = r.pos
	s.segments = append(s.segments[:0], segment{at: uint32(r.pos)})
	s.calls = s.calls[:0]
	s.height, s.highest, s.values = 0, 0, 0
	s.blocks, s.passed, s.loopDepth, s.loopValues = 0, 0, 0, 0
	s.controls = append(s.controls[:0], control{op: opBlock, results: len(t.Results), escape: none, skip: none})
	var last instr
	for len(s.controls) > 0 {
		in, err := r.instr()
		if err != nil {
			return body{}, err
		}
		wide = wide || in.op>>8 == 0xfd
		if err := s.step(in, last); err != nil {
			return body{}, err
		}
		last = in
	}
	if !r.empty() {
		return body{}, r.errorf("code after the end of the function")
	}
	slot := uint64(8)
	if wide {
		slot = 16
	}
	slots := uint64(len(t.Params)) + uint64(locals) + uint64(s.highest) + uint64(s.values)/2
	frame := frameOverhead + slot*slots
	s.body.frame = uint32(min(frame, math.MaxInt32))
	s.body.locals = uint32(len(t.Params)) + locals
	s.body.blocks = s.blocks
	if err := s.limits.checkMerges(s.blocks, s.body.locals); err != nil {
		return body{}, err
	}
	if s.body.closed {
		s.body.groups = slices.Clone(s.groups)
	}
	s.mergeSegments()
	return s.body, nil
}

// scanLocals reads the local declarations.
func (s *scanner) scanLocals(r *reader) (total uint32, wide bool, err error) {
	n, err := r.count("groups of locals", s.limits.Locals)
	if err != nil {
		return 0, false, err
	}
	s.groups = s.groups[:0]
	for range n {
		at := r.pos
		more, err := r.u32()
		if err != nil {
			return 0, false, err
		}
		if more > s.limits.Locals-total {
			return 0, false, errorAt(at, "more than %d locals", s.limits.Locals)
		}
		total += more
		t, err := r.valueType()
		if err != nil {
			return 0, false, err
		}
		wide = wide || t == core.V128
		s.groups = append(s.groups, group{total, t})
	}
	return total, wide, nil
}

// step takes one instruction into account.
func (s *scanner) step(in, last instr) error {
	top := &s.controls[len(s.controls)-1]
	s.pop(int(in.pops))
	s.push(int(in.push))
	s.pay(in, last)
	switch in.op {
	case opBlock, opLoop, opIf:
		return s.open(in)
	case opTryTable:
		if err := s.catches(in); err != nil {
			return err
		}
		return s.open(in)
	case opThrow:
		if err := checkIndex(in.at, "tag", in.a, len(s.tags)); err != nil {
			return err
		}
		top.calls = true
		s.escape(0)
		s.height = top.base
	case opElse:
		if top.op != opIf {
			return errorAt(in.at, "else without if")
		}
		top.op = opElse
		s.height = top.base + top.params
		top.segment = s.split(in.end, s.controls[len(s.controls)-2].segment)
		top.skip = none
	case opEnd:
		s.close(in)
	case opBr, opBrIf, opBrTable:
		if err := s.branch(in); err != nil {
			return err
		}
		if in.op == opBrIf {
			top.segment = s.split(in.end, top.segment)
			top.skip = none
		} else {
			s.height = top.base
		}
	case opReturn:
		s.escape(0)
		s.height = top.base
	case opUnreachable:
		s.height = top.base
	case opCall, opReturnCall:
		if err := checkIndex(in.at, "function", in.a, len(s.funcTypes)); err != nil {
			return err
		}
		if defined := int(in.a) - s.imported[Func]; defined >= 0 {
			s.calls = append(s.calls, call{top.segment, uint32(defined)})
		} else {
			s.body.outside = true
		}
		return s.called(in, s.types[s.funcTypes[in.a]])
	case opCallIndirect, opReturnCallIndirect:
		if err := checkIndex(in.at, "type", in.a, len(s.types)); err != nil {
			return err
		}
		if err := checkIndex(in.at, "table", in.b, len(s.tables)); err != nil {
			return err
		}
		s.body.outside = true
		return s.called(in, s.types[in.a])
	case opLocalSet, opLocalTee:
		s.values++
		if s.loopValues += s.loopDepth; s.loopValues > s.limits.LoopValues {
			return errorAt(in.at, "more than %d assignments in loops", s.limits.LoopValues)
		}
	case opRefFunc:
		return s.expose(in.at, in.a)
	case opGlobalGet, opGlobalSet:
		return checkIndex(in.at, "global", in.a, len(s.globals))
	case opTableGet, opTableSet, opTableGrow, opTableSize, opTableFill:
		return checkIndex(in.at, "table", in.a, len(s.tables))
	case opTableCopy:
		if err := checkIndex(in.at, "table", in.a, len(s.tables)); err != nil {
			return err
		}
		return checkIndex(in.at, "table", in.b, len(s.tables))
	case opTableInit:
		if err := checkIndex(in.at, "table", in.b, len(s.tables)); err != nil {
			return err
		}
		return checkIndex(in.at, "element segment", in.a, len(s.elems))
	case opElemDrop:
		return checkIndex(in.at, "element segment", in.a, len(s.elems))
	case opMemoryInit:
		if err := checkIndex(in.at, "data segment", in.a, len(s.datas)); err != nil {
			return err
		}
	case opDataDrop:
		return checkIndex(in.at, "data segment", in.a, len(s.datas))
	}
	return s.touch(in)
}

// touch notes the accessors that an instruction needs if its memory isn't the first.
func (s *scanner) touch(in instr) error {
	memories := [...]uint32{in.memory, 0}
	if in.op == opMemoryCopy {
		memories = [...]uint32{in.a, in.b}
	}
	for _, m := range memories {
		if m == 0 {
			continue
		}
		if err := checkIndex(in.at, "memory", m, len(s.memories)); err != nil {
			return err
		}
		s.controls[len(s.controls)-1].calls = true
	}
	s.accessors(in)
	return nil
}

// catches checks the catch clauses of a try_table, and notes where they lead.
func (s *scanner) catches(in instr) error {
	r := reader{data: s.data, pos: in.clauses, end: in.end}
	n, err := r.u32()
	if err != nil {
		return err
	}
	for range n {
		at := r.pos
		c, err := r.clause()
		if err != nil {
			return err
		}
		if !c.all {
			if err := checkIndex(at, "tag", c.tag, len(s.tags)); err != nil {
				return err
			}
		}
		if uint64(c.label) >= uint64(len(s.controls)) {
			return errorAt(at, "label %d does not exist", c.label)
		}
		s.escape(len(s.controls) - 1 - int(c.label))
	}
	return nil
}

func (s *scanner) push(n int) {
	s.height += n
	s.highest = max(s.highest, s.height)
}

// pop removes operands; not those of outer blocks, which unreachable code, and
// code that an engine will refuse, would reach for.
func (s *scanner) pop(n int) {
	s.height = max(s.height-n, s.controls[len(s.controls)-1].base)
}

// pay adds an instruction's weight to the current segment.
func (s *scanner) pay(in, last instr) {
	weight := uint32(1)
	switch in.op {
	case opNop, opDrop, opBlock, opLoop, opElse, opEnd:
		return
	case opCallIndirect, opReturnCallIndirect:
		weight += freeWeight
	case opCall, opReturnCall:
		if uint64(in.a) < uint64(s.imported[Func]) {
			weight += freeWeight
		}
	case opMemoryGrow:
		weight += bulkWeight
	}
	switch {
	case in.onOther(): // an accessor is called, which pays for what is long
		weight += freeWeight
	case in.op.bulk():
		weight += bulkWeight
		if n, ok := inlineLength(in, last); ok {
			weight += n
		} else { // a helper is called
			s.controls[len(s.controls)-1].calls = true
		}
	}
	s.segments[s.controls[len(s.controls)-1].segment].weight += weight
}

// inlineLength says whether a bulk operation has a length, known and small, that
// can be paid beforehand; it returns its price. last is the instruction before.
func inlineLength(in, last instr) (uint32, bool) {
	if last.op != opI32Const || last.end != in.at || last.n < 0 || last.n > bulkInline {
		return 0, false
	}
	switch in.op {
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return uint32(last.n) >> bulkShift, true
	case opTableInit, opTableCopy, opTableFill, opTableGrow:
		return uint32(last.n), true
	}
	return 0, false
}

func (s *scanner) open(in instr) error {
	c := control{op: in.op, escape: none, skip: none, segment: s.controls[len(s.controls)-1].segment}
	if len(s.controls) > int(s.limits.Nesting) {
		return errorAt(in.at, "blocks are nested deeper than %d", s.limits.Nesting)
	}
	switch {
	case in.block >= 0:
		if err := checkIndex(in.at, "type", uint32(in.block), len(s.types)); err != nil {
			return err
		}
		t := s.types[in.block]
		c.params, c.results = len(t.Params), len(t.Results)
	case in.block != emptyBlock:
		c.results = 1
	}
	switch in.op {
	case opIf:
		s.pop(1)
	case opTryTable:
		c.calls = true // it is no part of a closed loop
		s.blocks += uint32(in.end - in.clauses)
		s.throws = true
	}
	if in.op == opLoop || in.op == opIf {
		c.segment = s.split(in.end, c.segment)
		c.header = c.segment
	}
	s.blocks++
	if in.op == opLoop {
		s.segments[c.segment].kind = openLoop
		s.blocks += innerBlocks
		s.loopDepth++
		if s.loops++; s.loops > s.limits.Loops {
			return errorAt(in.at, "more than %d loops", s.limits.Loops)
		}
	}
	if s.blocks > s.limits.Blocks {
		return errorAt(in.at, "more than %d blocks", s.limits.Blocks)
	}
	if err := s.pass(in, 1, c.params+c.results); err != nil {
		return err
	}
	c.base = max(s.height-c.params, s.controls[len(s.controls)-1].base)
	s.controls = append(s.controls, c)
	return nil
}

func (s *scanner) close(in instr) {
	n := len(s.controls) - 1
	c := s.controls[n]
	s.controls = s.controls[:n]
	if n == 0 {
		return
	}
	s.height = c.base
	s.push(c.results)
	outer := &s.controls[n-1]
	outer.calls = outer.calls || c.calls
	outer.loops = outer.loops || c.loops || c.op == opLoop
	if c.op == opLoop {
		s.loopDepth--
	}
	if c.op == opLoop && !c.calls {
		s.segments[c.header].kind = closedLoop
		if !c.loops && c.params == 0 {
			s.segments[c.header].kind = innermostLoop
			if s.short(c.header, in.at) {
				s.segments[c.header].kind = shortLoop
			}
		}
		s.body.closed = true
	}
	outer.escape = min(outer.escape, c.escape)
	outer.skip = min(outer.skip, c.escape)
	if outer.skip <= n-1 { // a branch may have skipped the rest of the outer block
		outer.segment = s.split(in.end, outer.segment)
		outer.skip = none
	}
}

// short tells whether the innermost loop with that header, which ends at offset end,
// is short. Nothing in a short loop is heavy enough to be paid on its own.
func (s *scanner) short(header int32, end int) bool {
	weight := uint64(0)
	for _, seg := range s.segments[header:] {
		weight += uint64(seg.weight)
	}
	return weight < splitWeight && end-int(s.segments[header].at) <= shortSize
}

// branch notes where a branch leads.
func (s *scanner) branch(in instr) error {
	label := in.a
	if in.op == opBrTable {
		label = in.farthest
	}
	if uint64(label) >= uint64(len(s.controls)) {
		return errorAt(in.at, "label %d does not exist", label)
	}
	if s.blocks++; s.blocks > s.limits.Blocks {
		return errorAt(in.at, "more than %d blocks and branches", s.limits.Blocks)
	}
	// All targets of a br_table take as many values as the last.
	target, targets := &s.controls[len(s.controls)-1-int(in.last)], 1
	if in.op == opBrTable {
		targets = in.targets
	}
	values := target.results
	if target.op == opLoop {
		values = target.params
	}
	if err := s.pass(in, targets, values); err != nil {
		return err
	}
	s.escape(len(s.controls) - 1 - int(label))
	return nil
}

// pass counts values that are passed on, so many times.
func (s *scanner) pass(in instr, times, values int) error {
	n := uint64(times)*uint64(values) + uint64(s.passed)
	if n > uint64(s.limits.Values) {
		return errorAt(in.at, "more than %d values passed by calls, blocks and branches", s.limits.Values)
	}
	s.passed = uint32(n)
	return nil
}

func (s *scanner) escape(target int) {
	top := &s.controls[len(s.controls)-1]
	top.escape = min(top.escape, target)
	top.skip = min(top.skip, target)
}

func (s *scanner) called(in instr, t core.FuncType) error {
	if err := s.pass(in, 1, len(t.Params)+len(t.Results)); err != nil {
		return err
	}
	s.body.checks++
	s.values += len(t.Results)
	s.controls[len(s.controls)-1].calls = true
	s.pop(len(t.Params))
	if in.op == opReturnCall || in.op == opReturnCallIndirect {
		s.escape(0)
		s.height = s.controls[len(s.controls)-1].base
		return nil
	}
	s.push(len(t.Results))
	return nil
}

// split starts a segment at an offset.
func (s *scanner) split(at int, parent int32) int32 {
	s.segments = append(s.segments, segment{at: uint32(at), parent: parent})
	return int32(len(s.segments) - 1)
}

// mergeSegments lets parents pay for segments that are too light, and keeps the
// rest. A parent precedes its children.
func (s *scanner) mergeSegments() {
	s.light = append(s.light[:0], make([]merged, len(s.segments))...)
	for _, c := range s.calls { // an estimate; plan adds the real weights
		s.light[c.segment].calls += freeWeight / 4
	}
	for i := len(s.segments) - 1; i >= 0; i-- {
		seg, light := &s.segments[i], &s.light[i]
		weight := seg.weight + light.price()
		if i > 0 && seg.kind == branchSegment && weight+light.calls < splitWeight {
			parent := &s.light[seg.parent]
			parent.weight += seg.weight + light.weight
			parent.calls += light.calls
			seg.at = 0
		}
		seg.weight = weight
	}
	kept := make([]int32, len(s.segments))
	for i, seg := range s.segments {
		if seg.at == 0 {
			kept[i] = kept[seg.parent]
			continue
		}
		kept[i] = int32(len(s.body.segments))
		s.body.segments = append(s.body.segments, seg)
	}
	for _, c := range s.calls {
		s.body.calls = append(s.body.calls, call{kept[c.segment], c.callee})
	}
}

// merged is the sum of the light segments that another one pays for.
type merged struct {
	weight uint32
	calls  uint32 // estimated
}

// price is what is paid for light segments. Each may be skipped, and where they are
// many, most are: standard Go makes every function a loop around a br_table that leads
// to one of them. So of what is above freelyMerged only a part is paid, at least a
// sixteenth of all. Whoever writes code in which all of it is executed gets so much
// more work for a unit, and not more: a segment with that many isn't light itself.
func (m merged) price() uint32 { return min(m.weight, max(freelyMerged, m.weight/16)) }
