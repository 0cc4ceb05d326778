// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// module is what encoding needs to know of a core module: its imports and its
// exports. Code is not looked at.
type module struct {
	imports []coreImport
	exports map[string]coreExport
	names   []string // of the exports, in file order
	bytes   []byte   // as embedded: import names made unique, type metadata left out
}

// coreImport is an import; typ is set where sort is sortFunc.
type coreImport struct {
	module, name string
	sort         byte
	typ          core.FuncType
	alias        string // the name that stands in module.bytes
}

// coreExport is an export; typ is set where sort is sortFunc.
type coreExport struct {
	sort byte
	typ  core.FuncType
}

// The sorts of core imports and exports, by their binary encoding.
const (
	sortFunc   = 0x00
	sortTable  = 0x01
	sortMemory = 0x02
	sortGlobal = 0x03
)

// The sections of a core module that are read or written.
const (
	coreCustom = 0
	coreTypes  = 1
	coreImps   = 2
	coreFuncs  = 3
	coreTables = 4
	coreGlobs  = 6
	coreExps   = 7
	coreStart  = 8
	coreElems  = 9
	coreCode   = 10
)

const corePreamble = "\x00asm\x01\x00\x00\x00"

// function returns the exported function's type.
func (m *module) function(name string) (core.FuncType, bool) {
	e, ok := m.exports[name]
	return e.typ, ok && e.sort == sortFunc
}

// readModule reads the imports and exports of a core module.
func readModule(data []byte) (*module, error) {
	switch {
	case len(data) < 8 || string(data[:4]) != corePreamble[:4]:
		return nil, errors.New("not a WebAssembly module")
	case string(data[4:8]) == "\x0d\x00\x01\x00":
		return nil, errors.New("already a component, not a core module")
	case string(data[:8]) != corePreamble:
		return nil, fmt.Errorf("WebAssembly version %x, want 01000000", data[4:8])
	}
	m := &module{exports: map[string]coreExport{}}
	var funcTypes []core.FuncType
	var funcs []uint32 // type index of every function, imported first
	var imports vector
	unique := map[[2]string]bool{}
	out := bytes.NewBuffer(make([]byte, 0, len(data)))
	out.Write(data[:8])

	r, last := &reader{data: data, at: 8}, byte(0)
	for r.at < len(data) && r.err == nil {
		start := r.at
		id := r.byte()
		body := r.section()
		if r.err != nil {
			break
		}
		keep := data[start:r.at]
		switch id {
		case coreTypes, coreImps, coreFuncs, coreExps:
			if id <= last {
				return nil, fmt.Errorf("offset %#x: section %d after section %d", start, id, last)
			}
			last = id
		}
		switch id {
		case coreCustom:
			if strings.HasPrefix(body.name(), "component-type") {
				keep = nil // what bindings generators left for other encoders
			}
		case coreTypes:
			for range body.count() {
				if form := body.byte(); form != 0x60 && body.err == nil {
					body.fail("type of form %#x, want a function type (0x60)", form)
				}
				funcTypes = append(funcTypes, core.FuncType{Params: body.valueTypes(), Results: body.valueTypes()})
			}
		case coreImps:
			for range body.count() {
				start := body.at
				i := coreImport{module: body.name(), name: body.name(), sort: body.byte()}
				descriptor := body.at
				index := body.importType(i.sort)
				if body.err != nil {
					break
				}
				if i.sort == sortFunc {
					if index >= uint32(len(funcTypes)) {
						body.fail("import %q %q has type %d of %d", i.module, i.name, index, len(funcTypes))
						break
					}
					i.typ = funcTypes[index]
					funcs = append(funcs, index)
				}
				i.alias = i.name
				for n := 2; unique[[2]string{i.module, i.alias}]; n++ {
					i.alias = fmt.Sprintf("%s #%d", i.name, n)
				}
				unique[[2]string{i.module, i.alias}] = true
				m.imports = append(m.imports, i)
				if i.alias == i.name {
					imports.add(data[start:body.at])
				} else {
					d := append(appendName(appendName(nil, i.module), i.alias), i.sort)
					imports.add(append(d, data[descriptor:body.at]...))
				}
			}
			var s sections
			s.whole(coreImps, imports.append(nil))
			keep = s.bytes()
		case coreFuncs:
			for range body.count() {
				funcs = append(funcs, body.uint())
			}
		case coreExps:
			for range body.count() {
				name := body.name()
				e := coreExport{sort: body.byte()}
				index := body.uint()
				if body.err != nil {
					break
				}
				if e.sort == sortFunc {
					if index >= uint32(len(funcs)) || funcs[index] >= uint32(len(funcTypes)) {
						body.fail("export %q is function %d, which has no type", name, index)
						break
					}
					e.typ = funcTypes[funcs[index]]
				}
				if _, twice := m.exports[name]; twice {
					body.fail("export %q twice", name)
					break
				}
				m.exports[name] = e
				m.names = append(m.names, name)
			}
		default:
			body.at = len(body.data)
		}
		if body.err == nil && id != coreCustom && body.at != len(body.data) {
			body.fail("section %d has %d bytes too many", id, len(body.data)-body.at)
		}
		if body.err != nil {
			return nil, body.err
		}
		out.Write(keep)
	}
	if r.err != nil {
		return nil, r.err
	}
	m.bytes = out.Bytes()
	return m, nil
}

func sortName(sort byte) string {
	switch sort {
	case sortFunc:
		return "function"
	case sortTable:
		return "table"
	case sortMemory:
		return "memory"
	case sortGlobal:
		return "global"
	}
	return "tag"
}

// reader reads a module's bytes. The first failure sticks; afterwards every read
// returns zero.
type reader struct {
	data []byte // up to the end of what is read
	at   int    // offset in the module
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("offset %#x: "+format, append([]any{r.at}, args...)...)
	}
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.at >= len(r.data) {
		r.fail("unexpected end")
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

func (r *reader) uint() uint32 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 || n > 5 || v > math.MaxUint32 {
		r.fail("malformed number")
		return 0
	}
	r.at += n
	return uint32(v)
}

// count reads the length of a vector. Its elements are at least a byte each.
func (r *reader) count() uint32 {
	n := r.uint()
	if uint64(n) > uint64(len(r.data)-r.at) {
		r.fail("vector of %d elements, more than there are bytes", n)
		return 0
	}
	return n
}

func (r *reader) take() []byte {
	n := r.count()
	if r.err != nil {
		return nil
	}
	r.at += int(n)
	return r.data[r.at-int(n) : r.at]
}

func (r *reader) name() string {
	b := r.take()
	if !utf8.Valid(b) {
		r.fail("name %q is not UTF-8", b)
		return ""
	}
	return string(b)
}

// section returns a reader over a section's body and steps over it.
func (r *reader) section() *reader {
	body := r.take()
	return &reader{data: r.data[:r.at], at: r.at - len(body)}
}

// importType reads the type of an import; for a function, it returns its index.
func (r *reader) importType(sort byte) uint32 {
	switch sort {
	case sortFunc:
		return r.uint()
	case sortTable:
		r.byte() // element type
		r.limits()
	case sortMemory:
		r.limits()
	case sortGlobal:
		r.byte() // value type
		r.byte() // mutability
	default:
		r.fail("import of sort %#x", sort)
	}
	return 0
}

func (r *reader) limits() {
	flags := r.byte()
	r.uint()
	if flags&1 != 0 {
		r.uint()
	}
}

func (r *reader) valueTypes() []core.ValueType {
	n := r.count()
	list := make([]core.ValueType, 0, n)
	for range n {
		t := core.ValueType(r.byte())
		switch t {
		case core.I32, core.I64, core.F32, core.F64, core.V128, core.FuncRef, core.ExternRef:
			list = append(list, t)
		default:
			r.fail("value type %#x", byte(t))
			return nil
		}
	}
	return list
}
