// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// writer writes one instrumented module.
//
// What it adds to an index space comes behind what the module has there already, as
// far as it can: imports come before definitions. So functions and globals that the
// module defines move up. The spaces are, with what may be missing in brackets:
//
//	functions: imports, tick, overflow, [accessors], [fresh, uncaught],
//	           definitions, refuel, helpers
//	globals:   imports, [imported tags, pending, payload],
//	           definitions, fuel, stack, [defined tags]
type writer struct {
	*Module
	opts Options

	tick     uint32 // function index; overflow follows
	fresh    uint32 // function index; uncaught follows
	refuel   uint32 // function index; the helpers follow
	injected uint32 // by how much defined functions move up
	tags     uint32 // global index of the first imported tag
	pending  uint32 // global index; the payload follows
	shared   uint32 // by how much defined globals move up
	fuel     uint32 // global index
	stack    uint32 // global index

	accessorOf map[access]uint32   // function index
	droppers   map[uint32][]access // by data segment

	out         []byte
	types       []core.FuncType
	helpers     map[helperKey]uint32 // function index
	helperTypes []uint32             // of refuel and the helpers
	helperCode  [][]byte
	helperNames []string
	guards      []uint32 // function index, by function export
	start       uint32   // function index of a start function of ours, or 0
	added       []addedExport
}

// addedExport is an export that the module didn't have, of a function by its new index.
type addedExport struct {
	name     string
	function uint32
}

func newWriter(m *Module, opts Options) *writer {
	w := &writer{
		Module:     m,
		opts:       opts,
		tick:       uint32(m.imported[Func]),
		types:      m.types[:len(m.types):len(m.types)],
		helpers:    map[helperKey]uint32{},
		accessorOf: map[access]uint32{},
		droppers:   map[uint32][]access{},
	}
	next := w.tick + 2
	for _, a := range m.accesses {
		w.accessorOf[a] = next
		next++
		if a.op == opDataDrop {
			w.droppers[a.segment] = append(w.droppers[a.segment], a)
		}
	}
	if w.throwing() {
		w.fresh = next
		next += 2
		w.tags = uint32(m.imported[Global])
		w.pending = w.tags + uint32(m.imported[Tag])
		w.shared = w.pending + 1 + MaxTagParams - w.tags
	}
	w.injected = next - w.tick
	w.refuel = uint32(len(m.funcTypes)) + w.injected
	w.fuel = uint32(len(m.globals)) + w.shared
	w.stack = w.fuel + 1
	return w
}

// function returns the new index of a function.
func (w *writer) function(index uint32) uint32 {
	if index >= w.tick {
		return index + w.injected
	}
	return index
}

// global returns the new index of a global.
func (w *writer) global(index uint32) uint32 {
	if index >= uint32(w.imported[Global]) {
		return index + w.shared
	}
	return index
}

// write writes the sections. The code comes first, since it finds out which
// types and helpers are needed; then all sections in their order.
func (w *writer) write() error {
	imports, err := w.imports()
	if err != nil {
		return err
	}
	w.addHelper("refuel", core.FuncType{}, func(a *assembler) {
		a.index(opGlobalGet, w.fuel)
		a.index(opCall, w.tick)
		a.index(opGlobalSet, w.fuel)
	})
	w.addStart()
	w.addGuards()
	w.batches()
	code, err := w.code()
	if err != nil {
		return err
	}
	w.out = make([]byte, 0, len(w.data)+len(code)-(w.sections[secCode].end-w.sections[secCode].start)+256)
	w.out = append(w.out, w.data[:8]...)
	w.section(secType, w.typeList())
	w.section(secImport, imports)
	w.section(secFunction, w.functionList())
	w.section(secTable, w.tableList())
	w.section(secMemory, w.memoryList())
	globals, err := w.globalList()
	if err != nil {
		return err
	}
	w.section(secGlobal, globals)
	w.section(secExport, w.exportList())
	if w.start != 0 {
		w.section(secStart, appendU32(nil, w.start))
	} else if w.HasStart {
		w.section(secStart, appendU32(nil, w.function(w.Module.start)))
	}
	if w.sections[secElement].present {
		elements, err := w.elementList()
		if err != nil {
			return err
		}
		w.section(secElement, elements)
	}
	w.copySection(secDataCount)
	w.section(secCode, code)
	if w.sections[secData].present {
		w.section(secData, w.dataList())
	}
	w.section(secCustom, w.names())
	return nil
}

func (w *writer) section(id int, content []byte) {
	w.out = append(w.out, byte(id))
	w.out = appendU32(w.out, uint32(len(content)))
	w.out = append(w.out, content...)
}

func (w *writer) copySection(id int) {
	if s := w.sections[id]; s.present {
		w.section(id, w.data[s.start:s.end])
	}
}

// typeIndex returns the index of a function type, which it adds if need be.
func (w *writer) typeIndex(t core.FuncType) uint32 {
	for i := len(w.Module.types); i < len(w.types); i++ {
		if slices.Equal(w.types[i].Params, t.Params) && slices.Equal(w.types[i].Results, t.Results) {
			return uint32(i)
		}
	}
	w.types = append(w.types, t)
	return uint32(len(w.types) - 1)
}

func (w *writer) typeList() []byte {
	b := appendU32(nil, uint32(len(w.types)))
	for _, t := range w.types {
		b = appendFuncType(b, t)
	}
	return b
}

func (w *writer) imports() ([]byte, error) {
	var b []byte
	var tags []Name
	count, function, memories := uint32(0), 0, 0
	begin := func(name Name, kind Kind) {
		b = append(appendName(appendName(b, name.Module), name.Field), byte(kind))
		count++
	}
	for _, im := range w.Imports {
		if im.Kind == Memory {
			if memories++; memories > 1 {
				continue // its part imports it
			}
		}
		name := Name{im.Module, im.Name}
		if w.opts.Rename != nil {
			var err error
			if name, err = w.opts.Rename(im); err != nil {
				return nil, fmt.Errorf("import %q %q: %w", im.Module, im.Name, err)
			}
		}
		if im.Kind == Tag {
			tags = append(tags, name)
			continue
		}
		begin(name, im.Kind)
		switch im.Kind {
		case Func:
			b = appendU32(b, w.funcTypes[function])
			function++
		case Table:
			b = append(b, byte(im.Value))
			b = appendRange(b, im.Range)
		case Memory:
			b = appendRange(b, im.Range)
		case Global:
			b = appendGlobal(b, im.Extern)
		}
	}
	addFunc := func(name Name, t core.FuncType) {
		begin(name, Func)
		b = appendU32(b, w.typeIndex(t))
	}
	addGlobal := func(name Name, t core.ValueType) {
		begin(name, Global)
		b = appendGlobal(b, Extern{Value: t, Mutable: true})
	}
	addFunc(w.opts.Tick, core.FuncType{Params: []core.ValueType{core.I64}, Results: []core.ValueType{core.I64}})
	addFunc(w.opts.Overflow, core.FuncType{})
	for i, a := range w.accesses {
		addFunc(Name{w.opts.Memory(a.memory), strconv.Itoa(i)}, accessType(a.op))
	}
	if w.throwing() {
		addFunc(Name{w.opts.Exceptions, freshName}, core.FuncType{Results: []core.ValueType{core.I32}})
		addFunc(w.opts.Uncaught, core.FuncType{})
		for _, name := range tags {
			addGlobal(name, core.I32)
		}
		addGlobal(Name{w.opts.Exceptions, pendingName}, core.I32)
		for i := range MaxTagParams {
			addGlobal(Name{w.opts.Exceptions, strconv.Itoa(i)}, core.I64)
		}
	}
	return append(appendU32(nil, count), b...), nil
}

func (w *writer) functionList() []byte {
	defined := w.funcTypes[w.imported[Func]:]
	b := appendU32(nil, uint32(len(defined)+len(w.helperTypes)))
	for _, t := range defined {
		b = appendU32(b, t)
	}
	for _, t := range w.helperTypes {
		b = appendU32(b, t)
	}
	return b
}

func (w *writer) tableList() []byte {
	defined := w.tables[w.imported[Table]:]
	b := appendU32(nil, uint32(len(defined)))
	for _, t := range defined {
		t.Range.Max = min(t.Range.Max, max(t.Range.Min, w.opts.TableElements))
		b = append(b, byte(t.Value))
		b = appendRange(b, t.Range)
	}
	return b
}

// memoryList returns the first memory, if the module defines it.
func (w *writer) memoryList() []byte {
	if len(w.memories) == 0 || w.imported[Memory] > 0 {
		return []byte{0}
	}
	return appendRange([]byte{1}, w.memories[0].Range)
}

// dataList returns the data segments. Those of other memories than the first are
// empty.
func (w *writer) dataList() []byte {
	b := appendU32(nil, uint32(len(w.datas)))
	for _, seg := range w.datas {
		content := w.data[seg.content.start:seg.content.end]
		switch {
		case !seg.active:
			b = append(b, 1)
		case seg.memory != 0:
			b, content = append(b, 1), nil
		default:
			b = append(b, 0)
			b = w.constantAt(b, seg.offset)
			b = append(b, byte(opEnd))
		}
		b = append(appendU32(b, uint32(len(content))), content...)
	}
	return b
}

func (w *writer) globalList() ([]byte, error) {
	defined := w.globals[w.imported[Global]:]
	var tags []Extern
	if w.throwing() {
		tags = w.Module.tags[w.imported[Tag]:]
	}
	b := appendU32(nil, uint32(len(defined)+2+len(tags)))
	if w.sections[secGlobal].present {
		r := w.reader(secGlobal)
		if _, err := r.u32(); err != nil {
			return nil, err
		}
		for range defined {
			g, err := r.global()
			if err != nil {
				return nil, err
			}
			b = appendGlobal(b, g)
			if b, err = w.constant(b, &r); err != nil {
				return nil, err
			}
		}
	}
	b = append(b, byte(core.I64), 1, byte(opI64Const), 0, byte(opEnd))
	b = append(b, byte(core.I32), 1, byte(opI32Const))
	b = append(appendS64(b, int64(int32(w.opts.Stack))), byte(opEnd))
	for range tags {
		b = append(b, byte(core.I32), 1, byte(opI32Const), 0, byte(opEnd))
	}
	return b, nil
}

// constant copies a constant expression.
func (w *writer) constant(b []byte, r *reader) ([]byte, error) {
	for {
		in, err := r.instr()
		if err != nil {
			return nil, err
		}
		switch in.op {
		case opRefFunc:
			b = appendU32(append(b, byte(opRefFunc)), w.function(in.a))
		case opGlobalGet:
			b = appendU32(append(b, byte(opGlobalGet)), w.global(in.a))
		default:
			b = append(b, r.data[in.at:in.end]...)
		}
		if in.op == opEnd {
			return b, nil
		}
	}
}

// constantAt copies the constant expression that is somewhere, without its end.
func (w *writer) constantAt(b []byte, at stretch) []byte {
	r := reader{data: w.data, pos: at.start, end: at.end + 1}
	b, _ = w.constant(b, &r) // it was read before
	return b[:len(b)-1]
}

func (w *writer) exportList() []byte {
	var b []byte
	count, function := uint32(0), 0
	add := func(name string, kind Kind, index uint32) {
		b = appendU32(append(appendName(b, name), byte(kind)), index)
		count++
	}
	for _, ex := range w.Exports {
		switch ex.Kind {
		case Func:
			add(ex.Name, Func, w.function(ex.Index))
			if w.throwing() {
				add(GuardedName(ex.Name), Func, w.guards[function])
			}
			function++
		case Memory:
			if ex.Index == 0 { // its part exports another one
				add(ex.Name, Memory, 0)
			}
		case Global:
			add(ex.Name, Global, w.global(ex.Index))
		case Tag:
			add(ex.Name, Global, w.tag(ex.Index))
		default:
			add(ex.Name, ex.Kind, ex.Index)
		}
	}
	for _, ex := range w.added {
		add(ex.name, Func, ex.function)
	}
	return append(appendU32(nil, count), b...)
}

func (w *writer) elementList() ([]byte, error) {
	r := w.reader(secElement)
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	b := appendU32(nil, n)
	for range n {
		flags, err := r.u32()
		if err != nil {
			return nil, err
		}
		head := elementHead(flags)
		b = appendU32(b, flags)
		if head.namesTable() {
			table, err := r.u32()
			if err != nil {
				return nil, err
			}
			b = appendU32(b, table)
		}
		if head.active() {
			if b, err = w.constant(b, &r); err != nil {
				return nil, err
			}
		}
		if head.hasKind() {
			kind, err := r.byte()
			if err != nil {
				return nil, err
			}
			b = append(b, kind)
		}
		count, err := r.u32()
		if err != nil {
			return nil, err
		}
		b = appendU32(b, count)
		for range count {
			if head.expressions() {
				if b, err = w.constant(b, &r); err != nil {
					return nil, err
				}
				continue
			}
			function, err := r.u32()
			if err != nil {
				return nil, err
			}
			b = appendU32(b, w.function(function))
		}
	}
	return b, nil
}

// names returns the name section: the module's name, those of its functions that
// have one, and those of the functions added.
func (w *writer) names() []byte {
	b := appendName(nil, "name")
	if w.Name != "" {
		name := appendName(nil, w.Name)
		b = appendU32(append(b, nameModule), uint32(len(name)))
		b = append(b, name...)
	}
	list, count := make([]byte, 0, 16*len(w.FuncNames)), uint32(0)
	add := func(index uint32, name string) {
		list = appendName(appendU32(list, index), name)
		count++
	}
	for i := range w.imported[Func] {
		if name, ok := w.FuncNames[uint32(i)]; ok {
			add(uint32(i), name)
		}
	}
	add(w.tick, "graphd.tick")
	add(w.tick+1, "graphd.overflow")
	for i := w.imported[Func]; i < len(w.funcTypes); i++ {
		if name, ok := w.FuncNames[uint32(i)]; ok {
			add(w.function(uint32(i)), name)
		}
	}
	for i, name := range w.helperNames {
		add(w.refuel+uint32(i), "graphd."+name)
	}
	list = append(appendU32(nil, count), list...)
	b = appendU32(append(b, nameFunctions), uint32(len(list)))
	return append(b, list...)
}

func appendRange(b []byte, l Range) []byte {
	if !l.HasMax {
		return appendU32(append(b, 0), l.Min)
	}
	return appendU32(appendU32(append(b, 1), l.Min), l.Max)
}

func appendGlobal(b []byte, g Extern) []byte {
	mutable := byte(0)
	if g.Mutable {
		mutable = 1
	}
	return append(b, byte(g.Value), mutable)
}
