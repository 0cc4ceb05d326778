// SPDX-License-Identifier: Apache-2.0

package binary_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// A small assembler: strings of bytes, put together by the productions that
// carry a length or a count.

const (
	preamble   = "\x00asm\x0d\x00\x01\x00"
	coreModule = "\x00asm\x01\x00\x00\x00"
)

// leb is an unsigned LEB128.
func leb(n int) string {
	var out []byte
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return string(append(out, b))
		}
		out = append(out, b|0x80)
	}
}

// name is a length and the text.
func name(s string) string { return leb(len(s)) + s }

// vec is a count and the elements.
func vec(elems ...string) string { return leb(len(elems)) + strings.Join(elems, "") }

// section is a section of one byte string.
func section(id byte, body string) string { return string(id) + name(body) }

// component is a component of these sections.
func component(sections ...string) string { return preamble + strings.Join(sections, "") }

// idx refers to a type by its index.
func idx(i uint32) *binary.ValType { return &binary.ValType{Index: i} }

// prim is a primitive type.
func prim(k types.Kind) *binary.ValType { return &binary.ValType{Prim: k} }

// extern is a plain name.
func extern(s string) binary.ExternName { return binary.ExternName{Name: s} }

func typeDef(t binary.DefType) []binary.Def { return []binary.Def{&binary.TypeDef{Type: t}} }

var ignoreOffsets = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Offset" }, cmp.Ignore())

func TestDefinitions(t *testing.T) {
	u32 := prim(types.U32)
	coreFunc := &core.FuncType{Params: []core.ValueType{core.I32, core.I64}, Results: []core.ValueType{core.F32}}
	for _, tt := range []struct {
		name string
		file string
		want []binary.Def
	}{
		{"nothing", component(), nil},
		{"core module", component(section(1, coreModule)), []binary.Def{&binary.CoreModule{Bytes: []byte(coreModule)}}},
		{"core instance", component(section(2, vec("\x00\x05"+vec(name("a")+"\x12\x07"), "\x01"+vec(name("f")+"\x00\x01", name("g")+"\x04\x02")))), []binary.Def{
			&binary.CoreInstance{Instantiate: true, Module: 5, Args: []binary.CoreArg{{Name: "a", Instance: 7}}},
			&binary.CoreInstance{Exports: []binary.CoreExport{{Name: "f", Sort: binary.CoreFunc, Index: 1}, {Name: "g", Sort: binary.CoreTag, Index: 2}}},
		}},
		{"core types", component(section(3, vec("\x60"+vec("\x7f", "\x7e")+vec("\x7d"),
			"\x50"+vec("\x02\x10\x01\x01\x00", "\x01\x60\x00\x00", "\x00"+name("m")+name("n")+"\x00\x00", "\x03"+name("e")+"\x00\x01",
				"\x03"+name("t")+"\x01\x70\x00\x03", "\x03"+name("mem")+"\x02\x01\x01\x02", "\x03"+name("g")+"\x03\x7f\x01", "\x03"+name("x")+"\x04\x00\x01")))), []binary.Def{
			&binary.CoreTypeDef{Func: coreFunc},
			&binary.CoreTypeDef{Module: &binary.CoreModuleType{
				Imports: []binary.CoreModuleImport{{Module: "m", Name: "n", Type: binary.CoreExternType{Sort: binary.CoreFunc, Func: coreFunc}}},
				Exports: []binary.CoreModuleExport{
					{Name: "e", Type: binary.CoreExternType{Sort: binary.CoreFunc, Func: &core.FuncType{}}},
					{Name: "t", Type: binary.CoreExternType{Sort: binary.CoreTable, Value: core.FuncRef, Min: 3}},
					{Name: "mem", Type: binary.CoreExternType{Sort: binary.CoreMemory, Min: 1, Max: 2, HasMax: true}},
					{Name: "g", Type: binary.CoreExternType{Sort: binary.CoreGlobal, Value: core.I32, Mutable: true}},
					{Name: "x", Type: binary.CoreExternType{Sort: binary.CoreTag, Func: &core.FuncType{}}},
				},
			}},
		}},
		{"nested component", component(section(4, component(section(7, vec("\x7f"))))), []binary.Def{
			&binary.Nested{Component: &binary.Component{Defs: typeDef(&binary.ValueType{Kind: types.Bool})}},
		}},
		{"core type through an outer alias", component(section(3, vec("\x60\x00\x00")), section(4, component(
			section(6, vec("\x00\x10\x02\x01\x00")), section(3, vec("\x50"+vec("\x02\x10\x01\x01\x00", "\x03"+name("e")+"\x00\x00")))))), []binary.Def{
			&binary.CoreTypeDef{Func: &core.FuncType{}},
			&binary.Nested{Component: &binary.Component{Defs: []binary.Def{
				&binary.Alias{Sort: binary.CoreType, Target: binary.AliasOuter, Outer: 1},
				&binary.CoreTypeDef{Module: &binary.CoreModuleType{
					Exports: []binary.CoreModuleExport{{Name: "e", Type: binary.CoreExternType{Sort: binary.CoreFunc, Func: &core.FuncType{}}}},
				}},
			}}},
		}},
		{"instance", component(section(5, vec("\x00\x02"+vec(name("a")+"\x01\x03", name("b")+"\x00\x11\x04"), "\x01"+vec("\x00"+name("x")+"\x03\x09")))), []binary.Def{
			&binary.Instance{Instantiate: true, Component: 2, Args: []binary.Arg{{Name: "a", Sort: binary.Func, Index: 3}, {Name: "b", Sort: binary.CoreModuleSort, Index: 4}}},
			&binary.Instance{Exports: []binary.Export{{ExternName: extern("x"), Sort: binary.Type, Index: 9}}},
		}},
		{"alias", component(section(6, vec("\x05\x00\x02"+name("i"), "\x00\x02\x01\x03"+name("memory"), "\x03\x02\x01\x80\x01"))), []binary.Def{
			&binary.Alias{Sort: binary.InstanceSort, Target: binary.AliasExport, Instance: 2, Name: "i"},
			&binary.Alias{Sort: binary.CoreMemory, Target: binary.AliasCoreExport, Instance: 3, Name: "memory"},
			&binary.Alias{Sort: binary.Type, Target: binary.AliasOuter, Outer: 1, Index: 128},
		}},
		{"record", component(section(7, vec("\x72"+vec(name("a")+"\x79", name("b-C")+"\x80\x01")))), typeDef(
			&binary.ValueType{Kind: types.Record, Fields: []binary.NamedVal{{Name: "a", Type: u32}, {Name: "b-C", Type: idx(128)}}})},
		{"variant", component(section(7, vec("\x71"+vec(name("a")+"\x01\x73\x00", name("b2")+"\x00\x00")))), typeDef(
			&binary.ValueType{Kind: types.Variant, Fields: []binary.NamedVal{{Name: "a", Type: prim(types.String)}, {Name: "b2"}}})},
		{"list", component(section(7, vec("\x70\x7d"))), typeDef(&binary.ValueType{Kind: types.List, Elem: prim(types.U8)})},
		{"tuple", component(section(7, vec("\x6f"+vec("\x7f", "\x3f")))), typeDef(
			&binary.ValueType{Kind: types.Tuple, Fields: []binary.NamedVal{{Type: prim(types.Bool)}, {Type: idx(63)}}})},
		{"flags", component(section(7, vec("\x6e"+vec(name("a"), name("b"))))), typeDef(
			&binary.ValueType{Kind: types.Flags, Fields: []binary.NamedVal{{Name: "a"}, {Name: "b"}}})},
		{"enum", component(section(7, vec("\x6d"+vec(name("a"), name("b"))))), typeDef(
			&binary.ValueType{Kind: types.Enum, Fields: []binary.NamedVal{{Name: "a"}, {Name: "b"}}})},
		{"option", component(section(7, vec("\x6b\x74"))), typeDef(&binary.ValueType{Kind: types.Option, Elem: prim(types.Char)})},
		{"result", component(section(7, vec("\x6a\x00\x01\x01"))), typeDef(&binary.ValueType{Kind: types.Result, Err: idx(1)})},
		{"own and borrow", component(section(7, vec("\x69\x02", "\x68\x03"))), append(
			typeDef(&binary.ValueType{Kind: types.Own, Resource: 2}), typeDef(&binary.ValueType{Kind: types.Borrow, Resource: 3})...)},
		{"resource", component(section(7, vec("\x3f\x7f\x00", "\x3f\x7f\x01\x05"))), append(
			typeDef(&binary.ResourceType{}), typeDef(&binary.ResourceType{HasDtor: true, Dtor: 5})...)},
		{"function", component(section(7, vec("\x40"+vec(name("p")+"\x79")+"\x00\x01", "\x40\x00\x01\x00"))), append(
			typeDef(&binary.FuncType{Params: []binary.NamedVal{{Name: "p", Type: u32}}, Result: idx(1)}), typeDef(&binary.FuncType{})...)},
		{"component type", component(section(7, vec("\x41"+vec("\x03\x00"+name("i")+"\x05\x00", "\x04\x00"+name("r")+"\x03\x01", "\x00\x60\x00\x00", "\x01\x7f", "\x02\x03\x02\x01\x00")))), typeDef(
			&binary.ComponentType{Decls: []binary.Def{
				&binary.Import{ExternName: extern("i"), Type: binary.ExternType{Sort: binary.InstanceSort}},
				&binary.ExportDecl{ExternName: extern("r"), Type: binary.ExternType{Sort: binary.Type, SubResource: true}},
				&binary.CoreTypeDef{Func: &core.FuncType{}},
				&binary.TypeDef{Type: &binary.ValueType{Kind: types.Bool}},
				&binary.Alias{Sort: binary.Type, Target: binary.AliasOuter, Outer: 1},
			}})},
		{"instance type", component(section(7, vec("\x42"+vec("\x04\x00"+name("t")+"\x03\x00\x04")))), typeDef(
			&binary.InstanceType{Decls: []binary.Def{&binary.ExportDecl{ExternName: extern("t"), Type: binary.ExternType{Sort: binary.Type, Index: 4}}}})},
		{"canon", component(section(8, vec("\x00\x00\x01"+vec("\x02", "\x03\x00", "\x04\x05", "\x05\x06")+"\x07", "\x01\x00\x02\x00", "\x02\x03", "\x03\x04", "\x04\x05"))), []binary.Def{
			&binary.Canon{Op: binary.Lift, Func: 1, Type: 7, Options: binary.CanonOptions{
				Encoding: binary.Latin1UTF16, HasMemory: true, HasRealloc: true, Realloc: 5, HasPostReturn: true, PostReturn: 6}},
			&binary.Canon{Op: binary.Lower, Func: 2},
			&binary.Canon{Op: binary.ResourceNew, Type: 3},
			&binary.Canon{Op: binary.ResourceDrop, Type: 4},
			&binary.Canon{Op: binary.ResourceRep, Type: 5},
		}},
		{"gated types", component(section(7, vec("\x63\x73\x7d", "\x67\x7d\x04", "\x66\x01\x7d", "\x66\x00", "\x65\x01\x00", "\x64", "\x70\x64", "\x43\x00\x01\x00"))), slices.Concat(
			typeDef(&binary.ValueType{Kind: types.Map, Fields: []binary.NamedVal{{Type: prim(types.String)}, {Type: prim(types.U8)}}}),
			typeDef(&binary.ValueType{Kind: types.FixedList, Elem: prim(types.U8), Len: 4}),
			typeDef(&binary.ValueType{Kind: types.Stream, Elem: prim(types.U8)}),
			typeDef(&binary.ValueType{Kind: types.Stream}),
			typeDef(&binary.ValueType{Kind: types.Future, Elem: idx(0)}),
			typeDef(&binary.ValueType{Kind: types.ErrorContext}),
			typeDef(&binary.ValueType{Kind: types.List, Elem: prim(types.ErrorContext)}),
			typeDef(&binary.FuncType{Async: true}))},
		{"asynchronous built-ins", component(section(8, vec("\x00\x00\x01"+vec("\x06", "\x07\x05")+"\x07", "\x05", "\x06\x01", "\x09\x00\x79"+vec("\x03\x02"), "\x09\x01\x00"+vec(),
			"\x0a\x7f\x01", "\x0c\x00", "\x0f\x04"+vec("\x06"), "\x11\x04\x01", "\x1c"+vec("\x03\x00"), "\x20\x00\x03", "\x27\x01\x02", "\x2e\x04"))), []binary.Def{
			&binary.Canon{Op: binary.Lift, Func: 1, Type: 7, Options: binary.CanonOptions{Async: true, HasCallback: true, Callback: 5}},
			&binary.Canon{Op: binary.TaskCancel},
			&binary.Canon{Op: binary.SubtaskCancel, Async: true},
			&binary.Canon{Op: binary.TaskReturn, Result: u32, Options: binary.CanonOptions{HasMemory: true, Memory: 2}},
			&binary.Canon{Op: binary.TaskReturn},
			&binary.Canon{Op: binary.ContextGet, Context: core.I32, Index: 1},
			&binary.Canon{Op: binary.ThreadYield},
			&binary.Canon{Op: binary.StreamRead, Type: 4, Options: binary.CanonOptions{Async: true}},
			&binary.Canon{Op: binary.StreamCancelRead, Type: 4, Async: true},
			&binary.Canon{Op: binary.ErrorContextNew, Options: binary.CanonOptions{HasMemory: true}},
			&binary.Canon{Op: binary.WaitableSetWait, Index: 3},
			&binary.Canon{Op: binary.ThreadNewIndirect, Type: 1, Index: 2},
			&binary.Canon{Op: binary.StreamForward, Type: 4},
		}},
		{"core sub types", component(section(3, vec("\x00\x50\x00\x60\x00\x00", "\x4f\x00\x60\x00\x00"))), []binary.Def{
			&binary.CoreTypeDef{}, &binary.CoreTypeDef{Func: &core.FuncType{}}}},
		{"start", component(section(9, "\x03"+vec("\x01", "\x02")+"\x01")), []binary.Def{&binary.Start{Func: 3, Args: []uint32{1, 2}, Results: 1}}},
		{"imports", component(section(10, vec(
			"\x00"+name("a:b/c@1.2.3")+"\x05\x00", "\x01"+name("old")+"\x01\x01", "\x00"+name("m")+"\x00\x11\x02", "\x00"+name("c")+"\x04\x03", "\x00"+name("t")+"\x03\x00\x04",
			"\x02"+name("a:b/d@1.2")+vec("\x01"+name(".3"), "\x02"+name("id"))+"\x05\x05", "\x02"+name("plain")+vec("\x00"+name("a:b/e@0.2"), "\x01"+name(".3"))+"\x05\x06"))), []binary.Def{
			&binary.Import{ExternName: extern("a:b/c@1.2.3"), Type: binary.ExternType{Sort: binary.InstanceSort}},
			&binary.Import{ExternName: extern("old"), Type: binary.ExternType{Sort: binary.Func, Index: 1}},
			&binary.Import{ExternName: extern("m"), Type: binary.ExternType{Sort: binary.CoreModuleSort, Index: 2}},
			&binary.Import{ExternName: extern("c"), Type: binary.ExternType{Sort: binary.ComponentSort, Index: 3}},
			&binary.Import{ExternName: extern("t"), Type: binary.ExternType{Sort: binary.Type, Index: 4}},
			&binary.Import{ExternName: binary.ExternName{Name: "a:b/d@1.2.3", HasSuffix: true, Suffix: ".3"}, Type: binary.ExternType{Sort: binary.InstanceSort, Index: 5}},
			&binary.Import{ExternName: binary.ExternName{Name: "plain", Implements: "a:b/e@0.2.3", HasSuffix: true, Suffix: ".3"}, Type: binary.ExternType{Sort: binary.InstanceSort, Index: 6}},
		}},
		{"exports", component(section(11, vec("\x00"+name("f")+"\x01\x02\x00", "\x01"+name("a:b/c")+"\x05\x03\x01\x05\x04"))), []binary.Def{
			&binary.Export{ExternName: extern("f"), Sort: binary.Func, Index: 2},
			&binary.Export{ExternName: extern("a:b/c"), Sort: binary.InstanceSort, Index: 3, Type: &binary.ExternType{Sort: binary.InstanceSort, Index: 4}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := binary.Decode([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Defs, ignoreOffsets, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("definitions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrimitives(t *testing.T) {
	got, err := binary.Decode([]byte(component(section(7, vec(
		"\x7f", "\x7e", "\x7d", "\x7c", "\x7b", "\x7a", "\x79", "\x78", "\x77", "\x76", "\x75", "\x74", "\x73")))))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []types.Kind{types.Bool, types.S8, types.U8, types.S16, types.U16, types.S32, types.U32, types.S64, types.U64,
		types.F32, types.F64, types.Char, types.String} {
		if got := got.Defs[i].(*binary.TypeDef).Type.(*binary.ValueType).Kind; got != want {
			t.Errorf("type %d is %v, want %v", i, got, want)
		}
	}
}

func TestOffsets(t *testing.T) {
	got, err := binary.Decode([]byte(component(section(7, vec("\x7f", "\x42"+vec("\x01\x7e"))), section(4, component()), section(11, vec("\x00"+name("f")+"\x01\x00\x00")))))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&binary.Component{Defs: []binary.Def{
		&binary.TypeDef{Offset: 11, Type: &binary.ValueType{Kind: types.Bool}},
		&binary.TypeDef{Offset: 12, Type: &binary.InstanceType{Decls: []binary.Def{
			&binary.TypeDef{Offset: 15, Type: &binary.ValueType{Kind: types.S8}},
		}}},
		&binary.Nested{Offset: 18, Component: &binary.Component{Offset: 18}},
		&binary.Export{Offset: 29, ExternName: extern("f"), Sort: binary.Func},
	}}, got); diff != "" {
		t.Errorf("component (-want +got):\n%s", diff)
	}
}

func TestComponentName(t *testing.T) {
	for _, tt := range []struct{ name, custom, want string }{
		{"named", name("component-name") + "\x00" + name(name("hello")) + "\x01" + name("\x01\x00"), "hello"},
		{"another section", name("producers") + "\x00" + name(name("hello")), ""},
		{"sort names only", name("component-name") + "\x01" + name("\x01\x00"), ""},
		{"invalid", name("component-name") + "\x00\x7f", ""},
		{"not UTF-8", name("component-name") + "\x00" + name(name("\xff")), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := binary.Decode([]byte(component(section(0, tt.custom))))
			if err != nil || got.Name != tt.want {
				t.Errorf("name = %q, %v; want %q", got.Name, err, tt.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	typ := func(body string) string { return component(section(7, vec(body))) }
	imp := func(body string) string { return component(section(10, vec(body))) }
	coreTyp := func(body string) string { return component(section(3, vec(body))) }
	manyFlags := make([]string, 33)
	for i := range manyFlags {
		manyFlags[i] = name("f" + strings.Repeat("x", i))
	}
	for _, tt := range []struct {
		name   string
		file   string
		cause  error // nil: any
		offset int
		text   string
	}{
		{"empty", "", binary.ErrNotWasm, 0, "empty"},
		{"text", "(component)", binary.ErrNotWasm, 0, `"(compone"`},
		{"preamble cut in the magic", "\x00as", binary.ErrTruncated, 0, ""},
		{"preamble cut in the version", "\x00asm\x0d", binary.ErrTruncated, 0, ""},
		{"core module", coreModule, binary.ErrCoreModule, 0, "graphctl build"},
		{"version of 2022", "\x00asm\x0a\x00\x01\x00", binary.ErrUnsupported, 0, "0a 00 01 00"},
		{"section without size", preamble + "\x07", binary.ErrTruncated, 9, "type section"},
		{"section cut", preamble + "\x07\x05\x01", binary.ErrTruncated, 9, "type section"},
		{"unknown section", component(section(13, "")), nil, 8, "unknown section 13"},
		{"section ends within", component(section(7, "\x01")) + "\x00\x00", nil, 10, "section ends too early"},
		{"section left over", component(section(7, "\x00\x00")), nil, 11, "1 bytes left over"},
		{"count too large", component(section(7, "\x02\x7f")), nil, 10, "size 2, but 1 bytes are left"},
		{"integer too long", component(section(7, "\x80\x80\x80\x80\x10")), nil, 10, "longer than 32 bits"},
		{"integer too large", component(section(7, "\xff\xff\xff\xff\xff\x00")), nil, 10, "longer than 32 bits"},
		{"values", component(section(12, "")), binary.ErrUnsupported, 8, "component-level values"},
		{"core module section", component(section(1, "hello world")), nil, 10, "preamble"},
		{"nested core module", component(section(4, coreModule)), binary.ErrCoreModule, 10, ""},
		{"custom name not UTF-8", component(section(0, "\x01\xff")), nil, 10, "UTF-8"},

		{"core instance form", component(section(2, vec("\x02"))), nil, 11, "unknown code 0x02"},
		{"core argument sort", component(section(2, vec("\x00\x00"+vec(name("a")+"\x11\x00")))), nil, 16, "unknown code 0x11"},
		{"core inline export sort", component(section(2, vec("\x01"+vec(name("a")+"\x12\x00")))), nil, 15, "functions, tables"},
		{"instance form", component(section(5, vec("\x02"))), nil, 11, "unknown code 0x02"},
		{"value argument", component(section(5, vec("\x00\x00"+vec(name("a")+"\x02\x00")))), binary.ErrUnsupported, 16, "component-level values"},
		{"sort", component(section(6, vec("\x06"))), nil, 11, "unknown code 0x06"},
		{"core sort", component(section(6, vec("\x00\x05"))), nil, 12, "unknown code 0x05"},
		{"alias target", component(section(6, vec("\x03\x03"))), nil, 12, "unknown code 0x03"},
		{"alias of core memory from an instance", component(section(6, vec("\x00\x02\x00\x00"+name("m")))), nil, 13, "no core definitions"},
		{"alias of a function from a core instance", component(section(6, vec("\x01\x01\x00"+name("m")))), nil, 12, "core instances export"},
		{"outer alias of a function", component(section(6, vec("\x01\x02\x00\x00"))), nil, 12, "outer aliases"},
		{"outer alias of a core type too far out", component(section(6, vec("\x00\x10\x02\x01\x00"))), nil, 13, "goes 1 scopes out of 1"},
		{"outer alias of a core type past the end", component(section(6, vec("\x00\x10\x02\x00\x00"))), nil, 13, "0 of 0"},

		{"core type", coreTyp("\x40"), nil, 11, "unknown code 0x40"},
		{"core struct type", coreTyp("\x5f\x00"), binary.ErrUnsupported, 11, "garbage-collected"},
		{"core value type", coreTyp("\x60\x01\x00\x00"), nil, 13, "unknown code 0x00"},
		{"core reference type", coreTyp("\x60\x01\x6e\x00"), binary.ErrUnsupported, 13, "reference type"},
		{"module type in a module type", coreTyp("\x50" + vec("\x01\x50\x00")), binary.ErrUnsupported, 14, ""},
		{"module type declaration", coreTyp("\x50" + vec("\x04")), nil, 13, "unknown code 0x04"},
		{"module type use of no type", coreTyp("\x50" + vec("\x03"+name("f")+"\x00\x00")), nil, 17, "0 of 0"},
		{"module type alias of itself", coreTyp("\x50" + vec("\x02\x10\x01\x01\x00")), nil, 14, "0 of 0"},
		{"module type alias of a module type", component(section(3, vec("\x50\x00", "\x50"+vec("\x02\x10\x01\x01\x00")))), nil, 16, "not of a plain function type"},
		{"shared memory", coreTyp("\x50" + vec("\x03"+name("m")+"\x02\x03\x01\x01")), binary.ErrUnsupported, 17, "shared or 64-bit"},
		{"limits", coreTyp("\x50" + vec("\x03"+name("m")+"\x02\x10\x01")), nil, 17, "unknown code 0x10"},
		{"table of i32", coreTyp("\x50" + vec("\x03"+name("m")+"\x01\x7f\x00\x01")), nil, 17, "not a reference"},
		{"mutability", coreTyp("\x50" + vec("\x03"+name("m")+"\x03\x7f\x02")), nil, 18, "unknown code 0x02"},
		{"tag attribute", coreTyp("\x50" + vec("\x03"+name("m")+"\x04\x01\x00")), nil, 17, "unknown code 0x01"},
		{"core extern", coreTyp("\x50" + vec("\x03"+name("m")+"\x05")), nil, 16, "unknown code 0x05"},

		{"type code", typ("\x30"), nil, 11, "unknown code 0x30"},
		{"union of 2022", typ("\x6c\x01\x7f"), nil, 11, "unknown code 0x6c"},
		{"async destructor of 2024", typ("\x3e\x7f\x00"), nil, 11, "unknown code 0x3e"},
		{"value type code", typ("\x70\x72"), nil, 12, "unknown code 0x72"},
		{"negative type index", typ("\x70\xff\x7f"), nil, 12, "negative type index"},
		{"type index too large", typ("\x70\x80\x80\x80\x80\x10"), nil, 12, "negative type index"},
		{"type index too long", typ("\x70\x80\x80\x80\x80\x20"), nil, 12, "longer than 33 bits"},
		{"empty record", typ("\x72\x00"), nil, 11, "record type at offset 0xb: is empty"},
		{"empty flags", typ("\x6e\x00"), nil, 11, "is empty"},
		{"too many flags", typ("\x6e" + vec(manyFlags...)), nil, 12, "33 flags, the most is 32"},
		{"field twice", typ("\x72" + vec(name("a")+"\x7f", name("A")+"\x7f")), nil, 11, `has "A" twice`},
		{"label", typ("\x6d" + vec(name("a_b"))), nil, 13, `"a_b" is not in kebab-case`},
		{"label not UTF-8", typ("\x6d" + vec(name("\xc3"))), nil, 13, "UTF-8"},
		{"variant with refines", typ("\x71" + vec(name("a")+"\x00\x01")), nil, 16, "unknown code 0x01"},
		{"option flag", typ("\x6a\x02\x00"), nil, 12, "unknown code 0x02"},
		{"parameter twice", typ("\x40" + vec(name("a")+"\x7f", name("a")+"\x7f") + "\x01\x00"), nil, 11, `has "a" twice`},
		{"named results", typ("\x40\x00\x01" + vec(name("a")+"\x7f")), binary.ErrUnsupported, 14, "named results"},
		{"function result form", typ("\x40\x00\x02"), nil, 13, "unknown code 0x02"},
		{"resource of i64", typ("\x3f\x7e\x00"), binary.ErrUnsupported, 12, "i64"},
		{"resource of f32", typ("\x3f\x7d\x00"), nil, 12, "unknown code 0x7d"},
		{"resource in an instance type", typ("\x42" + vec("\x01\x3f\x7f\x00")), nil, 13, "defines a resource"},
		{"import in an instance type", typ("\x42" + vec("\x03\x00"+name("a")+"\x01\x00")), nil, 13, "unknown code 0x03"},

		{"canon", component(section(8, vec("\x30"))), nil, 11, "unknown code 0x30"},
		{"thread.spawn-ref", component(section(8, vec("\x40\x00"))), binary.ErrUnsupported, 11, "thread.spawn-ref"},
		{"lift of something else", component(section(8, vec("\x00\x01\x00\x00\x00"))), nil, 12, "unknown code 0x01"},
		{"gc option", component(section(8, vec("\x00\x00\x00"+vec("\x09")+"\x00"))), binary.ErrUnsupported, 15, "garbage-collected"},
		{"option", component(section(8, vec("\x00\x00\x00"+vec("\x0a")+"\x00"))), nil, 15, "unknown code 0x0a"},
		{"encoding twice", component(section(8, vec("\x00\x00\x00"+vec("\x00", "\x01")+"\x00"))), nil, 16, "string encoding given twice"},
		{"memory twice", component(section(8, vec("\x00\x00\x00"+vec("\x03\x00", "\x03\x00")+"\x00"))), nil, 17, "memory given twice"},

		{"name form", imp("\x03" + name("a") + "\x01\x00"), nil, 11, "unknown code 0x03"},
		{"option twice", imp("\x02" + name("i") + vec("\x00"+name("a:b/c"), "\x00"+name("a:b/c")) + "\x05\x00"), nil, 22, "given twice"},
		{"name option", imp("\x02" + name("a") + vec("\x03") + "\x05\x00"), nil, 15, "unknown code 0x03"},
		{"import of a core function", imp("\x00" + name("a") + "\x00\x00\x00"), nil, 15, "unknown code 0x00"},
		{"import of a value", imp("\x00" + name("a") + "\x02\x01\x7f"), binary.ErrUnsupported, 14, "values"},
		{"extern", imp("\x00" + name("a") + "\x06\x00"), nil, 14, "unknown code 0x06"},
		{"type bound", imp("\x00" + name("a") + "\x03\x02"), nil, 15, "unknown code 0x02"},
		{"export of a core function", component(section(11, vec("\x00"+name("f")+"\x00\x00\x00\x00"))), nil, 11, "no core definitions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := binary.Decode([]byte(tt.file))
			var e *binary.Error
			if !errors.As(err, &e) {
				t.Fatalf("Decode = %v, %v; want an error of type *Error", c, err)
			}
			if tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("error %q does not wrap %q", err, tt.cause)
			}
			if tt.cause == nil {
				for _, cause := range []error{binary.ErrNotWasm, binary.ErrCoreModule, binary.ErrTruncated, binary.ErrUnsupported, binary.ErrLimit} {
					if errors.Is(err, cause) {
						t.Errorf("error %q wraps %q", err, cause)
					}
				}
			}
			if e.Offset != tt.offset {
				t.Errorf("offset of %q is %d, want %d", err, e.Offset, tt.offset)
			}
			if e.Reading == "" || !strings.HasPrefix(err.Error(), "binary: decode ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q, want it to start with \"binary: decode \" and to contain %q", err, tt.text)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	nested := component()
	instanceType := "\x42\x00"
	for range 200 {
		nested = component(section(4, nested))
		instanceType = "\x42" + vec("\x01"+instanceType)
	}
	for _, tt := range []struct{ name, file string }{
		{"nested components", nested},
		{"nested types", component(section(7, vec(instanceType)))},
		{"definitions", component(section(7, leb(1_000_000)+strings.Repeat("\x7f", 1_000_000)))},
		{"sections", component(strings.Repeat(section(7, "\x00"), 600_000))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := binary.Decode([]byte(tt.file)); !errors.Is(err, binary.ErrLimit) {
				t.Errorf("error %v, want %v", err, binary.ErrLimit)
			}
		})
	}
}

// everything reads a component that wasm-tools assembled.
func everything(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/everything.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEverything(t *testing.T) {
	c, err := binary.Decode(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, def := range c.Defs {
		switch def := def.(type) {
		case *binary.CoreModule:
			count["core module"]++
		case *binary.CoreInstance:
			count["core instance"]++
		case *binary.CoreTypeDef:
			count["core type"]++
		case *binary.Nested:
			count["component"] += len(def.Component.Defs)
		case *binary.Instance:
			count["instance"]++
		case *binary.Alias:
			count["alias"]++
		case *binary.TypeDef:
			count["type"]++
		case *binary.Canon:
			count["canon"]++
		case *binary.Import:
			count["import"]++
		case *binary.Export:
			count["export"]++
		}
	}
	want := map[string]int{"core module": 2, "core instance": 2, "core type": 2, "component": 5, "instance": 1,
		"alias": 5, "type": 13, "canon": 5, "import": 2, "export": 2}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("definitions (-want +got):\n%s", diff)
	}
}

func TestEveryPrefixIsTruncated(t *testing.T) {
	data := everything(t)
	for n := range data {
		if _, err := binary.Decode(data[:n]); err == nil {
			// Only a cut between sections leaves a component.
			continue
		} else if n > 0 && !errors.Is(err, binary.ErrTruncated) {
			t.Errorf("first %d bytes: %v, want %v", n, err, binary.ErrTruncated)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(component()))
	f.Add(everything(f))
	f.Add([]byte(component(section(4, component(section(7, vec("\x42"+vec("\x04\x00"+name("t")+"\x03\x01"))))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		c, err := binary.Decode(data)
		if !bytes.Equal(before, data) {
			t.Fatal("Decode changed its input")
		}
		if err == nil {
			if again, err := binary.Decode(data); err != nil || !cmp.Equal(c, again) {
				t.Fatalf("second Decode differs: %v", err)
			}
			return
		}
		var e *binary.Error
		if c != nil || !errors.As(err, &e) || e.Reading == "" || e.Err == nil || e.Offset < 0 || e.Offset > len(data) {
			t.Fatalf("Decode = %v, %#v", c, err)
		}
	})
}
