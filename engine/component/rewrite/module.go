// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"bytes"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// Kind is the kind of an import or export, by its binary encoding.
type Kind byte

// The kinds.
const (
	Func Kind = iota
	Table
	Memory
	Global
	Tag
)

// String returns the kind's word in the text format.
func (k Kind) String() string {
	switch k {
	case Func:
		return "func"
	case Table:
		return "table"
	case Memory:
		return "memory"
	case Global:
		return "global"
	case Tag:
		return "tag"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Extern is the type of an import or export. Only the fields of its kind are set.
type Extern struct {
	Kind    Kind
	Func    core.FuncType  // Func, Tag; its slices are shared: don't change them
	Range   Range          // Table: in elements; Memory: in pages of 64 KiB
	Value   core.ValueType // Table: element type; Global: value type
	Mutable bool           // Global
}

// Range is the size that a table or memory starts with, and may grow to.
type Range struct {
	Min    uint32
	Max    uint32 // if HasMax
	HasMax bool
}

// Import is one import of a module. A module may import a name more than once,
// with the same type or with different ones.
type Import struct {
	Module, Name string
	Extern
}

// Export is one export of a module.
type Export struct {
	Name string
	Extern
	Index uint32 // in the index space of its kind, in the module as decoded
}

// Module is a decoded core module. It is immutable and safe for concurrent use.
type Module struct {
	Imports   []Import
	Exports   []Export
	Memories  []Range           // those it defines
	HasStart  bool              // it has a start function
	Name      string            // from the name section, often empty
	FuncNames map[uint32]string // from the name section, by function index; nil if there are none

	data      []byte // the module; its content is referred to by offset
	sections  [numSections]section
	types     []core.FuncType
	funcTypes []uint32 // every function's type index, imports first
	tables    []Extern // imports first
	memories  []Extern // imports first
	globals   []Extern // imports first
	tags      []Extern // imports first
	imported  [5]int   // how many imports there are of each kind
	elems     []elements
	datas     []data
	accesses  []access // of memories other than the first
	throws    bool     // it throws or catches exceptions
	start     uint32   // if HasStart
	bodies    []body   // the defined functions
	exposed   []bool   // by function: exported, referred to or started

	limits Limits
}

// Tables returns how many tables the module defines, and with how many elements they
// start together.
func (m *Module) Tables() (tables int, elements uint64) {
	defined := m.tables[m.imported[Table]:]
	for _, t := range defined {
		elements += uint64(t.Range.Min)
	}
	return len(defined), elements
}

// elements is an element segment.
type elements struct {
	length uint32
	table  uint32
	active bool
	offset stretch // if active: the constant expression
	fits   bool    // if active: it fits into the table, however small that is
}

// data is a data segment.
type data struct {
	memory  uint32
	active  bool
	offset  stretch // if active: the constant expression
	content stretch
}

func (d data) length() uint32 { return uint32(d.content.end - d.content.start) }

// stretch is where something is in the module.
type stretch struct{ start, end int }

// section is where a section's content is; its zero value is an absent one.
type section struct {
	present    bool
	start, end int
}

// The sections, by their identifier.
const (
	secCustom = iota // of the custom sections, the first named "name"
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	secTag
	numSections
)

var sectionNames = [numSections]string{
	"custom", "type", "import", "function", "table", "memory", "global",
	"export", "start", "element", "code", "data", "data count", "tag",
}

// sectionOrder is the order in which sections come.
var sectionOrder = [...]int{
	secType, secImport, secFunction, secTable, secMemory, secTag, secGlobal,
	secExport, secStart, secElement, secDataCount, secCode, secData,
}

// Decode reads the structure of a core module and plans its instrumentation. It
// refuses what is beyond limits and what the accepted features (WebAssembly 2.0,
// tail calls, extended constant expressions, several memories, exceptions without
// references to them) lack; the error says at which offset.
// It checks indices but not types: those are for the engine that compiles the
// module. It never panics, and takes time and memory in proportion to len(wasm).
// The bytes are retained and must not change.
func Decode(wasm []byte, limits Limits) (*Module, error) {
	m, err := decode(wasm, limits.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("rewrite: decode core module: %w", err)
	}
	return m, nil
}

func decode(wasm []byte, limits Limits) (*Module, error) {
	if uint64(len(wasm)) > uint64(limits.Size) {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(wasm), limits.Size)
	}
	if !bytes.HasPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, fmt.Errorf("not a core module of version 1")
	}
	d := decoder{Module: &Module{data: wasm, limits: limits}}
	if err := d.findSections(); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		id   int
		read func(*reader) error
	}{
		{secType, d.readTypes},
		{secImport, d.readImports},
		{secFunction, d.readFunctions},
		{secTable, d.readTables},
		{secMemory, d.readMemories},
		{secTag, d.readTags},
		{secGlobal, d.readGlobals},
		{secExport, d.readExports},
		{secStart, d.readStart},
		{secElement, d.readElements},
		{secDataCount, d.readDataCount},
		{secData, d.readData}, // comes after the code, which refers to it
		{secCode, d.readCode},
	} {
		s := d.sections[step.id]
		if !s.present {
			continue
		}
		r := d.reader(step.id)
		err := step.read(&r)
		if err == nil && !r.empty() {
			err = r.errorf("%d bytes too many", r.end-r.pos)
		}
		if err != nil {
			return nil, fmt.Errorf("%s section: %w", sectionNames[step.id], err)
		}
	}
	if n := len(d.memories); uint64(n) > uint64(d.limits.Memories) {
		return nil, fmt.Errorf("%d memories, the limit is %d", n, d.limits.Memories)
	}
	if declared := len(d.funcTypes) - d.imported[Func]; declared != len(d.bodies) {
		return nil, fmt.Errorf("%d functions are declared and %d have a body", declared, len(d.bodies))
	}
	d.findAccesses()
	d.readNames()
	d.plan()
	return d.Module, nil
}

// reader returns a reader of a section's content.
func (m *Module) reader(id int) reader {
	return reader{data: m.data, pos: m.sections[id].start, end: m.sections[id].end}
}

// decoder fills a Module.
type decoder struct {
	*Module
	known map[access]bool // of accesses
}

// findSections notes where the sections are and checks that they come in order.
func (d *decoder) findSections() error {
	r := reader{data: d.data, pos: 8, end: len(d.data)}
	next := 0 // in sectionOrder
	for !r.empty() {
		at := r.pos
		id, err := r.byte()
		if err != nil {
			return err
		}
		if id >= numSections {
			return errorAt(at, "unknown section %d", id)
		}
		size, err := r.u32()
		if err != nil {
			return fmt.Errorf("%s section: %w", sectionNames[id], err)
		}
		content, err := r.sub(size)
		if err != nil {
			return fmt.Errorf("%s section: %w", sectionNames[id], err)
		}
		if id == secCustom {
			name, err := content.name()
			if err != nil {
				return fmt.Errorf("custom section: %w", err)
			}
			if name != "name" || d.sections[secCustom].present {
				continue
			}
		} else {
			for next < len(sectionOrder) && sectionOrder[next] != int(id) {
				next++
			}
			if next == len(sectionOrder) {
				return errorAt(at, "%s section is repeated or out of order", sectionNames[id])
			}
			next++
		}
		d.sections[id] = section{present: true, start: content.pos, end: content.end}
	}
	return nil
}

func (d *decoder) readTypes(r *reader) error {
	n, err := r.count("types", d.limits.Types)
	if err != nil {
		return err
	}
	d.types = make([]core.FuncType, n)
	for i := range d.types {
		form, err := r.byte()
		if err != nil {
			return err
		}
		if form != funcForm {
			return errorAt(r.pos-1, "type %d is not a function type (%#x)", i, form)
		}
		if d.types[i].Params, err = r.valueTypes("parameters", d.limits.Params); err != nil {
			return err
		}
		if d.types[i].Results, err = r.valueTypes("results", d.limits.Params); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) readImports(r *reader) error {
	n, err := r.count("imports", d.limits.Imports)
	if err != nil {
		return err
	}
	for range n {
		var im Import
		if im.Module, err = r.name(); err != nil {
			return err
		}
		if im.Name, err = r.name(); err != nil {
			return err
		}
		if im.Extern, err = d.readImport(r); err != nil {
			return err
		}
		d.Imports = append(d.Imports, im)
		d.imported[im.Kind]++
	}
	return nil
}

// readImport reads the type of an import and adds it to its index space.
func (d *decoder) readImport(r *reader) (e Extern, err error) {
	kind, err := r.byte()
	if err != nil {
		return e, err
	}
	switch Kind(kind) {
	case Func:
		index, err := d.readTypeIndex(r)
		if err != nil {
			return e, err
		}
		d.funcTypes = append(d.funcTypes, index)
		return Extern{Kind: Func, Func: d.types[index]}, nil
	case Table:
		e, err = r.table()
		d.tables = append(d.tables, e)
	case Memory:
		e, err = r.memory()
		d.memories = append(d.memories, e)
	case Global:
		e, err = r.global()
		d.globals = append(d.globals, e)
	case Tag:
		e, err = d.readTag(r)
		d.tags = append(d.tags, e)
	default:
		err = errorAt(r.pos-1, "unknown kind of import %d", kind)
	}
	return e, err
}

// readTag reads the type of a tag.
func (d *decoder) readTag(r *reader) (e Extern, err error) {
	at := r.pos
	attribute, err := r.byte()
	if err != nil {
		return e, err
	}
	if attribute != 0 {
		return e, errorAt(at, "unknown attribute of a tag %d", attribute)
	}
	index, err := d.readTypeIndex(r)
	if err != nil {
		return e, err
	}
	e = Extern{Kind: Tag, Func: d.types[index]}
	switch {
	case len(e.Func.Results) > 0:
		return e, errorAt(at, "tag of a type with results, %v", e.Func)
	case len(e.Func.Params) > MaxTagParams:
		return e, errorAt(at, "tag with %d parameters, the limit is %d", len(e.Func.Params), MaxTagParams)
	}
	for _, t := range e.Func.Params {
		switch t {
		case core.I32, core.I64, core.F32, core.F64:
		default:
			return e, errorAt(at, "tag with a parameter of type %v: only numbers are supported", t)
		}
	}
	d.throws = true
	return e, nil
}

func (d *decoder) readTags(r *reader) error {
	n, err := r.count("tags", d.limits.Globals)
	if err != nil {
		return err
	}
	for range n {
		t, err := d.readTag(r)
		if err != nil {
			return err
		}
		d.tags = append(d.tags, t)
	}
	return nil
}

// readTypeIndex reads the index of a type that exists.
func (d *decoder) readTypeIndex(r *reader) (uint32, error) {
	at := r.pos
	index, err := r.u32()
	if err != nil {
		return 0, err
	}
	return index, checkIndex(at, "type", index, len(d.types))
}

// checkIndex refuses an index beyond an index space. The rewriter adds to the
// spaces of types, functions and globals: an index that is one too large in the
// original must not come to mean something of the rewriter's.
func checkIndex(at int, what string, index uint32, n int) error {
	if uint64(index) >= uint64(n) {
		return errorAt(at, "%s %d does not exist", what, index)
	}
	return nil
}

func (d *decoder) readFunctions(r *reader) error {
	n, err := r.count("functions", d.limits.Functions)
	if err != nil {
		return err
	}
	for range n {
		index, err := d.readTypeIndex(r)
		if err != nil {
			return err
		}
		d.funcTypes = append(d.funcTypes, index)
	}
	return nil
}

func (d *decoder) readTables(r *reader) error {
	n, err := r.count("tables", d.limits.Tables)
	if err != nil {
		return err
	}
	for i := range n {
		at := r.pos
		t, err := r.table()
		if err != nil {
			return err
		}
		if t.Range.Min > d.limits.TableElements {
			return errorAt(at, "table %d starts with %d elements, the limit is %d", i, t.Range.Min, d.limits.TableElements)
		}
		if !t.Range.HasMax || t.Range.Max > d.limits.TableElements {
			t.Range.HasMax, t.Range.Max = true, d.limits.TableElements
		}
		d.tables = append(d.tables, t)
	}
	return nil
}

func (d *decoder) readMemories(r *reader) error {
	n, err := r.count("memories", d.limits.Memories)
	if err != nil {
		return err
	}
	for range n {
		mem, err := r.memory()
		if err != nil {
			return err
		}
		d.memories = append(d.memories, mem)
		d.Memories = append(d.Memories, mem.Range)
	}
	return nil
}

func (d *decoder) readGlobals(r *reader) error {
	n, err := r.count("globals", d.limits.Globals)
	if err != nil {
		return err
	}
	d.exposed = make([]bool, len(d.funcTypes))
	for range n {
		g, err := r.global()
		if err != nil {
			return err
		}
		if _, err := d.readConstant(r); err != nil {
			return err
		}
		d.globals = append(d.globals, g)
	}
	return nil
}

// constant is a constant expression.
type constant struct {
	stretch
	known bool  // it is a number of 32 bits, namely n
	n     int32 // if known
}

// readConstant reads a constant expression and notes the functions it refers to.
func (d *decoder) readConstant(r *reader) (c constant, err error) {
	c.start = r.pos
	for count := 0; ; count++ {
		in, err := r.instr()
		if err != nil {
			return c, err
		}
		c.known = count == 0 && in.op == opI32Const || c.known && in.op == opEnd
		switch in.op {
		case opEnd:
			c.end = in.at
			return c, nil
		case opRefFunc:
			if err := d.expose(in.at, in.a); err != nil {
				return c, err
			}
		case opGlobalGet:
			if err := checkIndex(in.at, "global", in.a, len(d.globals)); err != nil {
				return c, err
			}
		case opI32Const:
			c.n = in.n
		case opI64Const, opF32Const, opF64Const, opV128Const, opRefNull,
			opI32Add, opI32Sub, opI32Mul, opI64Add, opI64Sub, opI64Mul:
		default:
			return c, errorAt(in.at, "instruction %#x in a constant expression", in.op)
		}
	}
}

// expose notes that a function may be called by others than those who name it.
func (d *decoder) expose(at int, function uint32) error {
	if err := checkIndex(at, "function", function, len(d.funcTypes)); err != nil {
		return err
	}
	if d.exposed == nil {
		d.exposed = make([]bool, len(d.funcTypes))
	}
	d.exposed[function] = true
	return nil
}

func (d *decoder) readExports(r *reader) error {
	n, err := r.count("exports", d.limits.Exports)
	if err != nil {
		return err
	}
	for range n {
		var ex Export
		if ex.Name, err = r.name(); err != nil {
			return err
		}
		kind, err := r.byte()
		if err != nil {
			return err
		}
		at := r.pos
		if ex.Index, err = r.u32(); err != nil {
			return err
		}
		var space []Extern
		switch Kind(kind) {
		case Func:
			if err := d.expose(at, ex.Index); err != nil {
				return err
			}
			ex.Func = d.types[d.funcTypes[ex.Index]]
			d.Exports = append(d.Exports, ex)
			continue
		case Table:
			space = d.tables
		case Memory:
			space = d.memories
		case Global:
			space = d.globals
		case Tag:
			space = d.tags
		default:
			return errorAt(at-1, "unknown kind of export %d", kind)
		}
		if err := checkIndex(at, Kind(kind).String(), ex.Index, len(space)); err != nil {
			return err
		}
		ex.Extern = space[ex.Index]
		d.Exports = append(d.Exports, ex)
	}
	return nil
}

func (d *decoder) readStart(r *reader) (err error) {
	at := r.pos
	if d.start, err = r.u32(); err != nil {
		return err
	}
	d.HasStart = true
	return d.expose(at, d.start)
}

func (d *decoder) readElements(r *reader) error {
	n, err := r.count("element segments", d.limits.Segments)
	if err != nil {
		return err
	}
	d.elems = make([]elements, n)
	for i := range d.elems {
		e := &d.elems[i]
		head, offset, err := d.readElementHead(r, e)
		if err != nil {
			return err
		}
		if e.length, err = r.count("elements", d.limits.TableElements); err != nil {
			return err
		}
		if e.active && offset.known && uint64(e.table) < uint64(len(d.tables)) {
			e.fits = uint64(uint32(offset.n))+uint64(e.length) <= uint64(d.tables[e.table].Range.Min)
		}
		for range e.length {
			if head.expressions() {
				_, err = d.readConstant(r)
			} else {
				at := r.pos
				var function uint32
				if function, err = r.u32(); err == nil {
					err = d.expose(at, function)
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// elementHead is what comes before the elements of a segment.
type elementHead uint32

func (h elementHead) active() bool      { return h&1 == 0 }
func (h elementHead) namesTable() bool  { return h&3 == 2 }
func (h elementHead) hasKind() bool     { return h&3 != 0 }
func (h elementHead) expressions() bool { return h&4 != 0 }

// readElementHead reads an element segment up to the number of its elements.
func (d *decoder) readElementHead(r *reader, e *elements) (head elementHead, offset constant, err error) {
	at := r.pos
	flags, err := r.u32()
	if err != nil {
		return 0, offset, err
	}
	if flags > 7 {
		return 0, offset, errorAt(at, "unknown kind of element segment %d", flags)
	}
	head = elementHead(flags)
	e.active = head.active()
	if head.namesTable() {
		if e.table, err = r.u32(); err != nil {
			return 0, offset, err
		}
	}
	if head.active() {
		if err := checkIndex(at, "table", e.table, len(d.tables)); err != nil {
			return 0, offset, err
		}
		if offset, err = d.readConstant(r); err != nil {
			return 0, offset, err
		}
		e.offset = offset.stretch
	}
	if head.hasKind() {
		at := r.pos
		if head.expressions() {
			_, err = r.refType()
		} else {
			var kind byte
			if kind, err = r.byte(); err == nil && kind != 0 {
				err = errorAt(at, "unknown kind of element %d", kind)
			}
		}
	}
	return head, offset, err
}

func (d *decoder) readDataCount(r *reader) error {
	_, err := r.u32()
	return err
}

func (d *decoder) readData(r *reader) error {
	n, err := r.count("data segments", d.limits.Segments)
	if err != nil {
		return err
	}
	d.datas = make([]data, n)
	for i := range d.datas {
		seg := &d.datas[i]
		at := r.pos
		flags, err := r.u32()
		if err != nil {
			return err
		}
		if flags > 2 {
			return errorAt(at, "unknown kind of data segment %d", flags)
		}
		if flags == 2 {
			if seg.memory, err = r.memoryIndex(); err != nil {
				return err
			}
		}
		if seg.active = flags != 1; seg.active {
			if err := checkIndex(at, "memory", seg.memory, len(d.memories)); err != nil {
				return err
			}
			offset, err := d.readConstant(r)
			if err != nil {
				return err
			}
			seg.offset = offset.stretch
		}
		length, err := r.u32()
		if err != nil {
			return err
		}
		seg.content.start = r.pos
		if _, err := r.skip(length); err != nil {
			return err
		}
		seg.content.end = r.pos
	}
	return nil
}

func (d *decoder) readCode(r *reader) error {
	n, err := r.count("function bodies", d.limits.Functions)
	if err != nil {
		return err
	}
	if declared := len(d.funcTypes) - d.imported[Func]; uint64(n) != uint64(declared) {
		return fmt.Errorf("%d functions are declared and %d have a body", declared, n)
	}
	if d.exposed == nil {
		d.exposed = make([]bool, len(d.funcTypes))
	}
	d.bodies = make([]body, n)
	s := scanner{decoder: d}
	for i := range d.bodies {
		at := r.pos
		size, err := r.u32()
		if err != nil {
			return err
		}
		if size > d.limits.FunctionSize {
			return errorAt(at, "function %d has %d bytes, the limit is %d", d.imported[Func]+i, size, d.limits.FunctionSize)
		}
		code, err := r.sub(size)
		if err != nil {
			return err
		}
		if d.bodies[i], err = s.scan(code, d.types[d.funcTypes[d.imported[Func]+i]]); err != nil {
			return fmt.Errorf("function %d: %w", d.imported[Func]+i, err)
		}
	}
	return nil
}

// readNames reads the module's and the functions' names. A name section that is
// malformed is no fault of a module: what can be read of it is kept.
func (d *decoder) readNames() {
	if !d.sections[secCustom].present {
		return
	}
	r := d.reader(secCustom)
	for !r.empty() {
		id, err := r.byte()
		if err != nil {
			return
		}
		size, err := r.u32()
		if err != nil {
			return
		}
		content, err := r.sub(size)
		if err != nil {
			return
		}
		switch id {
		case nameModule:
			if d.Name, err = content.name(); err != nil {
				return
			}
		case nameFunctions:
			d.readFuncNames(&content)
		}
	}
}

func (d *decoder) readFuncNames(r *reader) {
	n, err := r.count("names", uint32(len(d.funcTypes)))
	if err != nil {
		return
	}
	d.FuncNames = make(map[uint32]string, n)
	for range n {
		index, err := r.u32()
		if err != nil {
			return
		}
		name, err := r.name()
		if err != nil {
			return
		}
		if uint64(index) < uint64(len(d.funcTypes)) {
			d.FuncNames[index] = name
		}
	}
}

// The subsections of the name section that are kept.
const (
	nameModule    = 0
	nameFunctions = 1
)
