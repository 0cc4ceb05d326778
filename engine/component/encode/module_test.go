// SPDX-License-Identifier: Apache-2.0

package encode_test

import (
	"encoding/binary"

	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

const (
	i32 = core.I32
	i64 = core.I64
)

func sig(params []core.ValueType, results ...core.ValueType) core.FuncType {
	return core.FuncType{Params: params, Results: results}
}

func in(params ...core.ValueType) []core.ValueType { return params }

// coreModule is a core module to be assembled.
type coreModule struct {
	imports []coreImport
	funcs   []coreFunc
	memory  bool
	table   bool
	custom  []string // names of empty custom sections
}

type coreImport struct {
	module, name string
	typ          core.FuncType
}

type coreFunc struct {
	export string
	typ    core.FuncType
	body   []byte // without locals and end; nil is unreachable
}

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func text(s string) []byte { return join(uleb(len(s)), []byte(s)) }

func items(list [][]byte) []byte { return join(uleb(len(list)), join(list...)) }

func section(id byte, body []byte) []byte { return join([]byte{id}, uleb(len(body)), body) }

func valueTypes(list []core.ValueType) []byte {
	b := uleb(len(list))
	for _, v := range list {
		b = append(b, byte(v))
	}
	return b
}

// assemble returns the module's bytes.
func (m coreModule) assemble() []byte {
	var typs, imports, funcs, exports, code [][]byte
	typ := func(t core.FuncType) []byte {
		typs = append(typs, join([]byte{0x60}, valueTypes(t.Params), valueTypes(t.Results)))
		return uleb(len(typs) - 1)
	}
	for _, i := range m.imports {
		imports = append(imports, join(text(i.module), text(i.name), []byte{0}, typ(i.typ)))
	}
	for k, f := range m.funcs {
		funcs = append(funcs, typ(f.typ))
		exports = append(exports, join(text(f.export), []byte{0}, uleb(len(m.imports)+k)))
		body := f.body
		if body == nil {
			body = []byte{0x00}
		}
		body = join([]byte{0}, body, []byte{0x0b})
		code = append(code, join(uleb(len(body)), body))
	}
	out := join([]byte("\x00asm\x01\x00\x00\x00"), section(1, items(typs)), section(2, items(imports)), section(3, items(funcs)))
	if m.table {
		out = join(out, section(4, []byte{1, 0x70, 0, 1}))
		exports = append(exports, join(text("table"), []byte{1, 0}))
	}
	if m.memory {
		out = join(out, section(5, []byte{1, 0, 1}))
		exports = append(exports, join(text("memory"), []byte{2, 0}))
	}
	out = join(out, section(7, items(exports)), section(10, items(code)))
	for _, name := range m.custom {
		out = join(out, section(0, text(name)))
	}
	return out
}

var (
	reallocType = sig(in(i32, i32, i32, i32), i32)
	dropType    = sig(in(i32))
	newType     = sig(in(i32), i32)
)

// dummy returns a module that imports everything the world offers and exports
// everything it wants, with functions that trap.
func dummy(t rapid.TB, w *types.Component) coreModule {
	t.Helper()
	m := coreModule{memory: true, funcs: []coreFunc{
		{"cabi_realloc", reallocType, nil},
		{"_initialize", core.FuncType{}, []byte{}},
	}}
	signature := func(f *types.Func) *abi.Signature {
		s, err := abi.Compile(f, func(*types.Resource) (int, error) { return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	importOf := func(module string, x types.Extern) {
		switch {
		case x.Func != nil:
			m.imports = append(m.imports, coreImport{module, x.Name, signature(x.Func).LowerType()})
		case x.Resource != nil:
			m.imports = append(m.imports, coreImport{module, "[resource-drop]" + x.Name, dropType})
		}
	}
	exportOf := func(name string, f *types.Func) {
		typ := signature(f).LiftType()
		m.funcs = append(m.funcs,
			coreFunc{name, typ, nil},
			coreFunc{"cabi_post_" + name, sig(typ.Results), nil})
	}
	used := map[*types.Resource]bool{}
	for _, x := range w.Imports {
		if x.Instance == nil {
			importOf("$root", x)
			continue
		}
		for _, y := range x.Instance.Exports {
			used[y.Resource] = true
			importOf(x.Name, y)
		}
	}
	for _, x := range w.Exports {
		if x.Func != nil {
			exportOf(x.Name, x.Func)
		}
		if x.Instance == nil {
			continue
		}
		for _, y := range x.Instance.Exports {
			switch {
			case y.Func != nil:
				exportOf(x.Name+"#"+y.Name, y.Func)
			case y.Resource != nil && !used[y.Resource]:
				used[y.Resource] = true
				m.imports = append(m.imports,
					coreImport{"[export]" + x.Name, "[resource-new]" + y.Name, newType},
					coreImport{"[export]" + x.Name, "[resource-rep]" + y.Name, newType},
					coreImport{"[export]" + x.Name, "[resource-drop]" + y.Name, dropType})
				m.funcs = append(m.funcs, coreFunc{x.Name + "#[dtor]" + y.Name, dropType, nil})
			}
		}
	}
	return m
}

func world(t rapid.TB, text string) *types.Component {
	t.Helper()
	p, err := wit.ParseText(t.Name(), text)
	if err != nil {
		t.Fatal(err)
	}
	names := p.Worlds()
	w, err := p.World(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	return w
}
