// SPDX-License-Identifier: Apache-2.0

package link_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/validate"
)

// What plans do is tested where they are carried out: by package component and by the
// suites in conformance/component/testdata. Here is what they look like.

// (module (func (export "f")))
const module = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x05\x01\x01f\x00\x00\x0a\x04\x01\x02\x00\x0b"

func name(s string) binary.ExternName { return binary.ExternName{Name: s} }

func plan(t *testing.T, defs ...binary.Def) *link.Plan {
	t.Helper()
	p, err := link.Link(&binary.Component{Defs: defs}, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	function = &binary.TypeDef{Type: &binary.FuncType{}}
	lift     = []binary.Def{
		&binary.CoreModule{Offset: 10, Bytes: []byte(module)},
		&binary.CoreInstance{Instantiate: true},
		&binary.Alias{Sort: binary.CoreFunc, Target: binary.AliasCoreExport, Name: "f"},
		function,
		&binary.Canon{Op: binary.Lift},
	}
)

// A component with a lifted function, which it starts and exports through a nested
// component: one core instance, one lift, one trampoline for the start.
func TestSteps(t *testing.T) {
	inner := append(lift[:len(lift):len(lift)],
		&binary.Start{}, &binary.Export{ExternName: name("f"), Sort: binary.Func})
	p := plan(t,
		&binary.Nested{Component: &binary.Component{Defs: inner}},
		&binary.Instance{Instantiate: true},
		&binary.Export{ExternName: name("i"), Sort: binary.InstanceSort},
		&binary.Instance{Exports: []binary.Export{{ExternName: name("deep"), Sort: binary.InstanceSort}}},
		&binary.Export{ExternName: name("j"), Sort: binary.InstanceSort, Index: 2},
	)
	var steps []string
	for _, s := range p.Steps {
		switch s := s.(type) {
		case *link.Instantiate:
			if s.Slot != 1 || s.Module == nil || s.Offset != 10 || s.Size != len(module) {
				t.Errorf("instantiation is of slot %d, module %v at %d of %d bytes", s.Slot, s.Module, s.Offset, s.Size)
			}
			steps = append(steps, "instantiate")
		case link.BindHeap:
			steps = append(steps, "heap")
		case link.BindLift:
			steps = append(steps, "lift")
		case link.Start:
			if s != (link.Start{Slot: 0, Name: "0"}) {
				t.Errorf("start is of %v", s)
			}
			steps = append(steps, "start")
		}
	}
	if diff := cmp.Diff([]string{"instantiate", "heap", "lift", "start"}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if p.Slots != 2 || p.Instances != 2 || len(p.Lifts) != 1 || p.Lifts[0].Core != (link.Ref{Slot: 1, Name: "f"}) {
		t.Errorf("plan has %d slots, %d instances, lifts %+v", p.Slots, p.Instances, p.Lifts)
	}
	var exports []link.Import
	for _, e := range p.Exports {
		exports = append(exports, link.Import{Interface: e.Interface, Name: e.Name})
	}
	if diff := cmp.Diff([]link.Import{{Interface: "i", Name: "f"}, {Interface: "j#deep", Name: "f"}}, exports); diff != "" {
		t.Errorf("exports (-want +got):\n%s", diff)
	}
}

// What a component imports, and an instance that looks smaller through the type that
// it is exported as.
func TestImports(t *testing.T) {
	resource := binary.ExternType{Sort: binary.Type, SubResource: true}
	p := plan(t,
		function,
		&binary.CoreTypeDef{Module: &binary.CoreModuleType{}},
		&binary.TypeDef{Type: &binary.InstanceType{Decls: []binary.Def{
			function, &binary.ExportDecl{ExternName: name("g"), Type: binary.ExternType{Sort: binary.Func}}}}},
		&binary.TypeDef{Type: &binary.InstanceType{Decls: []binary.Def{
			function,
			&binary.ExportDecl{ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func}},
			&binary.ExportDecl{ExternName: name("g"), Type: binary.ExternType{Sort: binary.Func}},
			&binary.ExportDecl{ExternName: name("r"), Type: resource},
			&binary.Alias{Sort: binary.Type, Target: binary.AliasOuter, Outer: 1, Index: 1},
			&binary.ExportDecl{ExternName: name("nested"), Type: binary.ExternType{Sort: binary.InstanceSort, Index: 2}},
		}}},
		&binary.Import{ExternName: name("a:b/c@1.0.0"), Type: binary.ExternType{Sort: binary.InstanceSort, Index: 2}},
		&binary.Import{ExternName: name("m"), Type: binary.ExternType{Sort: binary.CoreModuleSort}},
		&binary.CoreInstance{Instantiate: true},
		&binary.Export{ExternName: name("small"), Sort: binary.InstanceSort, Type: &binary.ExternType{Sort: binary.InstanceSort, Index: 1}},
	)
	if len(p.Resources) != 1 || *p.Resources[0].Import != (link.Import{Interface: "a:b/c@1.0.0", Name: "r"}) {
		t.Errorf("resources = %+v", p.Resources)
	}
	s, ok := p.Steps[0].(*link.Instantiate)
	if !ok || s.Module != nil || s.From == nil || s.From.String() != "m" || s.Type == nil {
		t.Errorf("first step = %+v, want the instantiation of import m", p.Steps[0])
	}
	small := p.Type.Exports[0].Instance
	if len(small.Exports) != 1 || small.Exports[0].Name != "g" || len(p.Exports) != 1 {
		t.Errorf("small exports %+v, the component %+v; want g of each", small.Exports, p.Exports)
	}
	nested := types.Find(p.Type.Imports[0].Instance.Exports, "nested")
	if nested == nil || nested.Instance == nil || len(nested.Instance.Exports) != 1 {
		t.Errorf("nested = %+v, want an instance with one export", nested)
	}
}

func TestUnused(t *testing.T) {
	p := plan(t, lift[0], &binary.Nested{Component: &binary.Component{Defs: []binary.Def{&binary.CoreModule{Offset: 77, Bytes: []byte(module)}}}}, lift[1])
	if len(p.Unused) != 1 || p.Unused[0].Offset != 77 || p.Unused[0].Module == nil {
		t.Errorf("unused = %+v, want the module at 77", p.Unused)
	}
}

// Asynchronous built-ins become trampolines of the right type.
func TestAsync(t *testing.T) {
	p := plan(t,
		&binary.Canon{Op: binary.TaskReturn, Result: &binary.ValType{Prim: types.U64}},
		&binary.Canon{Op: binary.ContextSet, Context: core.I32, Index: 1},
		&binary.Canon{Op: binary.WaitableJoin},
		&binary.TypeDef{Type: &binary.FuncType{Async: true, Result: &binary.ValType{Prim: types.U8}}},
		&binary.Import{ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func}},
		&binary.CoreModule{Bytes: []byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01\x07\x05\x01\x01m\x02\x00")},
		&binary.CoreInstance{Instantiate: true},
		&binary.Alias{Sort: binary.CoreMemory, Target: binary.AliasCoreExport, Name: "m"},
		&binary.Canon{Op: binary.Lower, Options: binary.CanonOptions{Async: true, HasMemory: true}},
	)
	var got []string
	for _, tr := range p.Trampolines {
		got = append(got, tr.Op.String()+" "+tr.Type.String())
	}
	want := []string{"task.return [i64] -> []", "context.set [i32] -> []", "waitable.join [i32 i32] -> []", "lower [i32] -> [i32]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trampolines (-want +got):\n%s", diff)
	}
	if !p.Trampolines[3].Async || p.Trampolines[1].Slot != 1 {
		t.Errorf("trampolines = %+v", p.Trampolines)
	}
}

func TestErrors(t *testing.T) {
	// Components that instantiate the one before twice.
	doubling := []binary.Def{&binary.Nested{Component: &binary.Component{Defs: lift}}}
	for i := range uint32(40) {
		doubling = append(doubling, &binary.Nested{Component: &binary.Component{Defs: []binary.Def{
			&binary.Alias{Sort: binary.ComponentSort, Target: binary.AliasOuter, Outer: 1, Index: i},
			&binary.Instance{Instantiate: true}, &binary.Instance{Instantiate: true},
		}}})
	}
	doubling = append(doubling, &binary.Instance{Instantiate: true, Component: 40})
	// An empty component, five thousand times.
	nested := []binary.Def{&binary.Nested{Component: &binary.Component{}}}
	for range 5_000 {
		nested = append(nested, &binary.Instance{Instantiate: true})
	}
	large := &binary.CoreModule{Bytes: append([]byte("\x00asm\x01\x00\x00\x00\x00\x80\x80\x80\x05\x00"), make([]byte, 10<<20-1)...)} // a custom section of 10 MiB
	stream := []binary.Def{
		&binary.TypeDef{Type: &binary.ValueType{Kind: types.Stream}},
		&binary.TypeDef{Type: &binary.FuncType{Params: []binary.NamedVal{{Name: "s", Type: &binary.ValType{}}}}},
		&binary.Import{ExternName: name("f"), Type: binary.ExternType{Sort: binary.Func, Index: 1}},
		&binary.Canon{Offset: 5, Op: binary.Lower},
	}
	for _, tt := range []struct {
		name string
		defs []binary.Def
		want string
	}{
		{"core module", []binary.Def{&binary.CoreModule{Offset: 3, Bytes: []byte("\x00asm\x01\x00\x00\x00\xff")}}, "link: offset 0x3: core module: rewrite:"},
		{"doubling", doubling, "unfolds to more than"},
		{"instances", nested, "unfolds to more than 4096 component instances"},
		{"repetition", append([]binary.Def{large}, slices.Repeat(instantiated, 9)...), "instantiates core modules again and again, with more than 67108864 bytes"},
		{"tables", append([]binary.Def{tables}, instantiated[0], instantiated[0]), "tables start with more than 1000000 elements together"},
		{"component import", []binary.Def{
			&binary.TypeDef{Type: &binary.ComponentType{}},
			&binary.Import{ExternName: name("c"), Type: binary.ExternType{Sort: binary.ComponentSort}}}, `import "c": the outermost component can't import components`},
		{"stream", stream, "link: offset 0x5: abi: parameters: type stream: values of asynchronous types are not supported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := link.Link(&binary.Component{Defs: tt.defs}, rewrite.Limits{})
			if e := (*link.Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Link = %v, want an error that says %q", err, tt.want)
			}
		})
	}
	_, err := link.Link(&binary.Component{Defs: []binary.Def{&binary.Start{}}}, rewrite.Limits{})
	if e := (*validate.Error)(nil); !errors.As(err, &e) {
		t.Errorf("Link of an invalid component = %v, want an error of package validate", err)
	}
}

// tables is a core module whose table starts with 600,000 elements, and may grow.
var (
	tables       = &binary.CoreModule{Bytes: []byte("\x00asm\x01\x00\x00\x00\x04\x06\x01\x70\x00\xc0\xcf\x24")}
	instantiated = []binary.Def{&binary.CoreInstance{Instantiate: true}}
)

// One table may grow as the limits say; several share what one may have.
func TestTableElements(t *testing.T) {
	small := &binary.CoreModule{Bytes: []byte("\x00asm\x01\x00\x00\x00\x04\x04\x01\x70\x00\x01")}
	if p := plan(t, small, instantiated[0]); p.TableElements != 0 {
		t.Errorf("one table may have %d elements, want 0 for what the limits say", p.TableElements)
	}
	if p := plan(t, append([]binary.Def{small}, slices.Repeat(instantiated, 4)...)...); p.TableElements != 250_000 {
		t.Errorf("each of four tables may have %d elements, want 250,000", p.TableElements)
	}
}

// Relink makes the plan that Link makes, but for what it leaves out.
func TestRelink(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../testdata/*.wasm", "../../../conformance/component/testdata/*/*.wasm"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	compared, several, throwing := 0, 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decode := func() *binary.Component {
			c, err := binary.Decode(data)
			if err != nil {
				return nil // some are made to be wrong
			}
			return c
		}
		c := decode()
		if c == nil {
			continue
		}
		want, err := link.Link(c, rewrite.Limits{})
		if err != nil {
			continue
		}
		if !want.Relinkable() {
			several++
			continue
		}
		got, err := link.Relink(decode(), want.Exceptions != 0)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want.Unused, want.TableElements = nil, 0 // and the modules: what Relink leaves out
		for _, s := range want.Steps {
			if s, ok := s.(*link.Instantiate); ok {
				s.Module = nil
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: plans differ:\n%+v\n%+v", file, got, want)
		}
		compared++
		if want.Exceptions != 0 {
			throwing++
		}
	}
	if compared < 30 || throwing == 0 || several == 0 {
		t.Errorf("%d plans compared, %d of them with exceptions; %d have several memories", compared, throwing, several)
	}
}

// FuzzLink links whatever can be decoded, which ends, with an error or without; and
// what Link accepts, Relink makes again.
func FuzzLink(f *testing.F) {
	for _, pattern := range []string{"../testdata/*.wasm", "../../../conformance/component/testdata/*/*.wasm"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := binary.Decode(data)
		if err != nil {
			return
		}
		plan, err := link.Link(c, rewrite.Limits{})
		if err != nil || !plan.Relinkable() {
			return
		}
		if c, err = binary.Decode(data); err != nil {
			t.Fatal(err)
		}
		again, err := link.Relink(c, plan.Exceptions != 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := [...]int{again.Slots, again.Instances, len(again.Steps), len(again.Lifts)}, [...]int{plan.Slots, plan.Instances, len(plan.Steps), len(plan.Lifts)}; got != want {
			t.Errorf("plans differ: %v slots, instances, steps and lifts, want %v", got, want)
		}
	})
}
