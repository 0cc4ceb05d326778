// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"strconv"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// The main module imports functions that need its own memory and realloc, so
// neither can be made first. The shim breaks the circle: it gives the main module
// functions that call through a table, which the fixup fills once everything is
// there.

// slot is a function of the shim and the entry of its table.
type slot struct {
	label string // for backtraces
	typ   core.FuncType
	// quiet marks functions of the main module that may not call imports: the
	// adapter is told while they run.
	quiet bool
}

// Names of the shim's exports: slots are exported by number.
const (
	shimTable = "table"
	shimQuiet = "quiet"
)

func slotName(n int) string { return strconv.Itoa(n) }

// shimModule makes the shim. It has a "quiet" global where withQuiet is set.
func shimModule(slots []slot, withQuiet bool) []byte {
	types := typeList{}
	var s sections
	s.out = []byte(corePreamble)
	indexes := make([]uint32, len(slots))
	for i, sl := range slots {
		indexes[i] = types.index(sl.typ)
	}
	types.write(&s)
	for _, t := range indexes {
		s.add(coreFuncs, appendUint(nil, t))
	}
	s.add(coreTables, appendTable(nil, len(slots)))
	if withQuiet {
		s.add(coreGlobs, append([]byte{byte(core.I32), 1}, 0x41, 0, 0x0b)) // mutable i32 = 0
	}
	for i := range slots {
		s.add(coreExps, appendUint(append(appendName(nil, slotName(i)), sortFunc), uint32(i)))
	}
	s.add(coreExps, append(appendName(nil, shimTable), sortTable, 0))
	if withQuiet {
		s.add(coreExps, append(appendName(nil, shimQuiet), sortGlobal, 0))
	}
	for i, sl := range slots {
		body := []byte{0} // no locals
		quiet := func(on byte) {
			if sl.quiet {
				body = append(body, 0x41, on, 0x24, 0) // i32.const on, global.set 0
			}
		}
		quiet(1)
		for p := range sl.typ.Params {
			body = appendUint(append(body, 0x20), uint32(p)) // local.get p
		}
		body = appendInt(append(body, 0x41), int64(i))               // i32.const i
		body = append(appendUint(append(body, 0x11), indexes[i]), 0) // call_indirect
		quiet(0)
		body = append(body, 0x0b)
		s.add(coreCode, append(appendUint(nil, uint32(len(body))), body...))
	}
	labels := make([]string, len(slots))
	for i, sl := range slots {
		labels[i] = sl.label
	}
	writeNames(&s, "shim", labels)
	return s.bytes()
}

// filling says what fills a table entry: an export of a named instance.
type filling struct {
	module, name string
	typ          core.FuncType
}

// fixupModule makes the fixup: it fills the first entries of the shim's table,
// which has size entries, and then runs initialize, if that is set.
func fixupModule(fillings []filling, size int, initialize *filling) []byte {
	types := typeList{}
	var imports vector
	importFunc := func(f filling) {
		d := appendName(appendName(nil, f.module), f.name)
		imports.add(appendUint(append(d, sortFunc), types.index(f.typ)))
	}
	for _, f := range fillings {
		importFunc(f)
	}
	if initialize != nil {
		importFunc(*initialize)
	}
	if size > 0 {
		d := appendName(appendName(nil, shimInstance), shimTable)
		imports.add(appendTable(append(d, sortTable), size))
	}
	var s sections
	s.out = []byte(corePreamble)
	types.write(&s)
	s.whole(coreImps, imports.append(nil))
	if initialize != nil {
		s.whole(coreStart, appendUint(nil, uint32(len(fillings))))
	}
	if len(fillings) > 0 {
		d := []byte{0, 0x41, 0, 0x0b} // active, table 0, at i32.const 0
		d = appendUint(d, uint32(len(fillings)))
		for i := range fillings {
			d = appendUint(d, uint32(i))
		}
		s.add(coreElems, d)
	}
	writeNames(&s, "fixup", nil)
	return s.bytes()
}

// appendTable appends the type of a table of exactly n functions.
func appendTable(b []byte, n int) []byte {
	b = append(b, byte(core.FuncRef), 1)
	return appendUint(appendUint(b, uint32(n)), uint32(n))
}

// typeList collects a core module's function types, each once.
type typeList struct {
	section vector
	indexes map[string]uint32
}

func (l *typeList) index(t core.FuncType) uint32 {
	d := appendFuncType(nil, t)
	i, ok := l.indexes[string(d)]
	if !ok {
		if l.indexes == nil {
			l.indexes = map[string]uint32{}
		}
		i = l.section.count
		l.indexes[string(d)] = i
		l.section.add(d)
	}
	return i
}

func (l *typeList) write(s *sections) {
	if l.section.count > 0 {
		s.whole(coreTypes, l.section.append(nil))
	}
}

// writeNames adds a name section: the module's name, and functions' if there are any.
func writeNames(s *sections, module string, functions []string) {
	sub := func(b []byte, id byte, body []byte) []byte {
		return append(appendUint(append(b, id), uint32(len(body))), body...)
	}
	b := sub(appendName(nil, "name"), 0, appendName(nil, module))
	if len(functions) > 0 {
		names := appendUint(nil, uint32(len(functions)))
		for i, f := range functions {
			names = appendName(appendUint(names, uint32(i)), f)
		}
		b = sub(b, 1, names)
	}
	s.whole(coreCustom, b)
}
