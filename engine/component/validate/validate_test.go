// SPDX-License-Identifier: Apache-2.0

package validate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/validate"
)

// The rules are tested by the suites in conformance/component/testdata. Here is what
// these don't reach: what errors say, what the reference does not accept yet, and
// types that are made to take for ever.

func name(s string) binary.ExternName { return binary.ExternName{Name: s} }

func typ(t binary.DefType) binary.Def { return &binary.TypeDef{Type: t} }

func value(k types.Kind, fields ...binary.NamedVal) binary.Def {
	return typ(&binary.ValueType{Kind: k, Fields: fields})
}

func index(i uint32) *binary.ValType { return &binary.ValType{Index: i} }

func check(defs ...binary.Def) error {
	return validate.Component(&binary.Component{Defs: defs}, nil)
}

func TestErrors(t *testing.T) {
	function := typ(&binary.FuncType{})
	u8 := &binary.ValType{Prim: types.U8}
	for _, tt := range []struct {
		name   string
		defs   []binary.Def
		offset int
		want   string
	}{
		{"index", []binary.Def{&binary.Import{Offset: 7, ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func, Index: 3}}}, 7,
			`validate: at offset 0x7: import "f": type index 3 out of bounds: 0 are defined`},
		{"kind of type", []binary.Def{value(types.U8), &binary.Import{Offset: 9, ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func}}}, 9,
			`import "f": type 0 is a u8, want the type of a function`},
		{"name", []binary.Def{function, &binary.Import{Offset: 1, ExternName: name("a_b"), Type: binary.ExternType{Sort: binary.Func}}}, 1,
			`import "a_b": invalid name: "a_b" is not in kebab-case`},
		{"conflict", []binary.Def{function,
			&binary.Import{ExternName: name("a-b"), Type: binary.ExternType{Sort: binary.Func}},
			&binary.Import{Offset: 4, ExternName: name("AB"), Type: binary.ExternType{Sort: binary.Func}}}, 4,
			`import "AB": conflicts with "a-b"`},
		{"nested", []binary.Def{&binary.Nested{Offset: 2, Component: &binary.Component{Defs: []binary.Def{
			&binary.Export{Offset: 5, ExternName: name("x"), Sort: binary.Func, Index: 1}}}}}, 5, `export "x": function index 1 out of bounds`},
		{"argument", []binary.Def{
			function, typ(&binary.FuncType{Params: []binary.NamedVal{{Name: "p", Type: u8}}}),
			&binary.Import{ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func}},
			&binary.Nested{Component: &binary.Component{Defs: []binary.Def{
				typ(&binary.FuncType{Params: []binary.NamedVal{{Name: "p", Type: u8}}}),
				&binary.Import{ExternName: name("g"), Type: binary.ExternType{Sort: binary.Func}}}}},
			&binary.Instance{Offset: 3, Instantiate: true, Args: []binary.Arg{{Name: "g", Sort: binary.Func}}},
		}, 3, `instance 0: argument "g": got 0 parameters, want 1`},
		{"built-in", []binary.Def{&binary.Canon{Offset: 6, Op: binary.ContextGet, Context: core.F32}}, 6, "canon context.get: type f32, want i32"},
		{"start twice", []binary.Def{function,
			&binary.Import{ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func}},
			&binary.Start{}, &binary.Start{Offset: 8}}, 8, "start: the component has a start function already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := check(tt.defs...)
			var e *validate.Error
			if !errors.As(err, &e) || e.Offset != tt.offset || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Component = %v, want an error at offset %d that says %q", err, tt.offset, tt.want)
			}
		})
	}
}

// The specification lets a component export a resource as an abstract one. The
// reference does not.
func TestAbstract(t *testing.T) {
	resource := typ(&binary.ResourceType{})
	abstract := &binary.ExternType{Sort: binary.Type, SubResource: true}
	export := &binary.Export{ExternName: name("r"), Sort: binary.Type, Type: abstract}
	if err := check(resource, export); err != nil {
		t.Error(err)
	}
	if err := check(resource, export, &binary.Canon{Op: binary.ResourceRep, Type: 1}); err == nil {
		t.Error("the representation of an abstract resource can be had")
	}
	if err := check(resource, export, &binary.Canon{Op: binary.ResourceRep, Type: 0}); err != nil {
		t.Error(err)
	}
	// An instance, with a type that leaves its resource abstract.
	iface := typ(&binary.InstanceType{Decls: []binary.Def{&binary.ExportDecl{ExternName: name("r"), Type: *abstract}}})
	inline := &binary.Instance{Exports: []binary.Export{{ExternName: name("r"), Sort: binary.Type, Index: 1}}}
	plain := &binary.Export{ExternName: name("r"), Sort: binary.Type}
	ascribed := &binary.Export{ExternName: name("i"), Sort: binary.InstanceSort, Type: &binary.ExternType{Sort: binary.InstanceSort, Index: 2}}
	if err := check(resource, plain, iface, inline, ascribed); err != nil {
		t.Error(err)
	}
}

// Types that grow exponentially with their text must not make anything take
// exponential time.
func TestHostile(t *testing.T) {
	pair := func(i uint32) []binary.NamedVal { return []binary.NamedVal{{Type: index(i)}, {Type: index(i)}} }

	values := []binary.Def{value(types.U8)}
	for i := range uint32(90) {
		values = append(values, value(types.Tuple, pair(i)...))
	}

	// Instances that export the one before twice.
	instances := []binary.Def{typ(&binary.InstanceType{})}
	for i := range uint32(90) {
		instances = append(instances, typ(&binary.InstanceType{Decls: []binary.Def{
			&binary.Alias{Sort: binary.Type, Target: binary.AliasOuter, Outer: 1, Index: i},
			&binary.ExportDecl{ExternName: name("a"), Type: binary.ExternType{Sort: binary.InstanceSort}},
			&binary.ExportDecl{ExternName: name("b"), Type: binary.ExternType{Sort: binary.InstanceSort}},
		}}))
	}

	// A chain that is too deep to follow by recursion.
	chain := []binary.Def{value(types.U8)}
	for i := range uint32(100_000) {
		chain = append(chain, typ(&binary.ValueType{Kind: types.List, Elem: index(i)}))
	}

	// Many imports of one large instance type, each of which makes its resource anew.
	large := []binary.Def{}
	var decls []binary.Def
	decls = append(decls, &binary.ExportDecl{ExternName: name("r"), Type: binary.ExternType{Sort: binary.Type, SubResource: true}},
		typ(&binary.ValueType{Kind: types.Own, Resource: 0}))
	for i := range 10_000 {
		decls = append(decls, typ(&binary.FuncType{Params: []binary.NamedVal{{Name: "x", Type: index(1)}}}),
			&binary.ExportDecl{ExternName: name("f" + label(i)), Type: binary.ExternType{Sort: binary.Func, Index: uint32(i + 2)}})
	}
	large = append(large, typ(&binary.InstanceType{Decls: decls}))
	for i := range 10_000 {
		large = append(large, &binary.Import{ExternName: name("i" + label(i)), Type: binary.ExternType{Sort: binary.InstanceSort}})
	}

	for _, tt := range []struct {
		name string
		defs []binary.Def
	}{{"tuples", values}, {"instances", instances}, {"chain", chain}, {"imports", large}} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			err := check(tt.defs...)
			if !errors.Is(err, validate.ErrLimit) {
				t.Errorf("Component = %v, want an error that is ErrLimit", err)
			}
			t.Logf("%v after %v", err, time.Since(start))
		})
	}
}

// label is a number in letters.
func label(n int) string {
	s := ""
	for ; n > 0; n /= 26 {
		s += string(rune('a' + n%26))
	}
	return s
}

func TestModule(t *testing.T) {
	// (module (import "a" "f" (func)) (memory (export "m") 1))
	const wasm = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x07\x01\x01a\x01f\x00\x00\x05\x03\x01\x00\x01\x07\x05\x01\x01m\x02\x00"
	m, err := rewrite.Decode([]byte(wasm), rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	f := binary.CoreExternType{Sort: binary.CoreFunc, Func: &core.FuncType{}}
	memory := func(min uint64) binary.CoreModuleExport {
		return binary.CoreModuleExport{Name: "m", Type: binary.CoreExternType{Sort: binary.CoreMemory, Min: min}}
	}
	imported := []binary.CoreModuleImport{{Module: "a", Name: "f", Type: f}}
	if err := validate.Module(m, &binary.CoreModuleType{Imports: imported, Exports: []binary.CoreModuleExport{memory(1)}}); err != nil {
		t.Error(err)
	}
	for _, want := range []*binary.CoreModuleType{
		{Exports: []binary.CoreModuleExport{memory(1)}},
		{Imports: imported, Exports: []binary.CoreModuleExport{memory(2)}},
		{Imports: imported, Exports: []binary.CoreModuleExport{{Name: "n", Type: f}}},
	} {
		if err := validate.Module(m, want); err == nil {
			t.Errorf("Module accepts a module as %+v", want)
		}
	}
}
