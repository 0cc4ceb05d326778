// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// injected is the number of function imports that the rewriter adds: tick and
// overflow, in this order, after the module's own. Every function that the module
// defines moves up by as many. Everything else is added at the end of its index
// space: the globals fuel and stack, then the function refuel, then the helpers
// of bulk operations.
const injected = 2

// writer writes one instrumented module.
type writer struct {
	*Module
	opts Options

	tick   uint32 // function index; overflow follows
	refuel uint32 // function index; the helpers follow
	fuel   uint32 // global index
	stack  uint32 // global index

	out         []byte
	types       []core.FuncType
	helpers     map[helperKey]uint32 // function index
	helperTypes []uint32             // of refuel and the helpers
	helperCode  [][]byte
	helperNames []string
}

// function returns the new index of a function.
func (w *writer) function(index uint32) uint32 {
	if index >= w.tick {
		return index + injected
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
	w.copySection(secMemory)
	globals, err := w.globalList()
	if err != nil {
		return err
	}
	w.section(secGlobal, globals)
	w.section(secExport, w.exportList())
	if w.HasStart {
		w.section(secStart, appendU32(nil, w.function(w.start)))
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
	w.copySection(secData)
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
	b := appendU32(nil, uint32(len(w.Imports)+injected))
	function := 0
	for _, im := range w.Imports {
		name := Name{im.Module, im.Name}
		if w.opts.Rename != nil {
			var err error
			if name, err = w.opts.Rename(im); err != nil {
				return nil, fmt.Errorf("import %q %q: %w", im.Module, im.Name, err)
			}
		}
		b = appendName(appendName(b, name.Module), name.Field)
		b = append(b, byte(im.Kind))
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
	for _, f := range []struct {
		name Name
		t    core.FuncType
	}{
		{w.opts.Tick, core.FuncType{Params: []core.ValueType{core.I64}, Results: []core.ValueType{core.I64}}},
		{w.opts.Overflow, core.FuncType{}},
	} {
		b = appendName(appendName(b, f.name.Module), f.name.Field)
		b = append(b, byte(Func))
		b = appendU32(b, w.typeIndex(f.t))
	}
	return b, nil
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
		b = append(b, byte(t.Value))
		b = appendRange(b, t.Range)
	}
	return b
}

func (w *writer) globalList() ([]byte, error) {
	defined := w.globals[w.imported[Global]:]
	b := appendU32(nil, uint32(len(defined)+2))
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
	return append(appendS64(b, int64(int32(w.opts.Stack))), byte(opEnd)), nil
}

// constant copies a constant expression.
func (w *writer) constant(b []byte, r *reader) ([]byte, error) {
	for {
		in, err := r.instr()
		if err != nil {
			return nil, err
		}
		if in.op == opRefFunc {
			b = appendU32(append(b, byte(opRefFunc)), w.function(in.a))
		} else {
			b = append(b, r.data[in.at:in.end]...)
		}
		if in.op == opEnd {
			return b, nil
		}
	}
}

func (w *writer) exportList() []byte {
	b := appendU32(nil, uint32(len(w.Exports)))
	for _, ex := range w.Exports {
		index := ex.Index
		if ex.Kind == Func {
			index = w.function(index)
		}
		b = appendU32(append(appendName(b, ex.Name), byte(ex.Kind)), index)
	}
	return b
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
	list := make([]byte, 0, 16*len(w.FuncNames))
	list = appendU32(list, uint32(len(w.FuncNames)+injected+len(w.helperNames)))
	add := func(index uint32, name string) { list = appendName(appendU32(list, index), name) }
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
