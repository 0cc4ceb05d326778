// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/engines"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// TestEnginesAgree gives random values, as parameters of random types, to a guest that
// gives them to a function of the host, and gives back what that one returns: all of
// them, as a tuple. Each value so is lowered, lifted, lowered and lifted, on every
// engine of this build, and comes out as it went in.
func TestEnginesAgree(t *testing.T) {
	runtimes := map[string]*component.Runtime{}
	for _, name := range engines.Names() {
		e, err := engines.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(t.Context())
		if runtimes[name], err = component.New(component.Config{Engine: e}); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := &drawing{T: t}
		fn := &types.Func{Result: &types.Type{Kind: types.Tuple}}
		for i := range rapid.IntRange(1, 20).Draw(t, "params") { // more than 16 don't go flat
			typ := d.typ(rapid.IntRange(0, 3).Draw(t, "depth"))
			fn.Params = append(fn.Params, types.Field{Name: fmt.Sprint("p", i), Type: typ})
			fn.Result.Fields = append(fn.Result.Fields, types.Field{Type: typ})
		}
		wasm := echo(t, d.named, fn)
		for range 3 {
			args := make([]value.Value, len(fn.Params))
			for i, p := range fn.Params {
				args[i] = d.value(p.Type)
			}
			want := show(value.Tuple(args...))
			for name, rt := range runtimes {
				seen, got := runEcho(t, rt, wasm, fn, args)
				if diff := cmp.Diff(want, seen); diff != "" {
					t.Errorf("%s: parameters (-given +seen by the host):\n%s", name, diff)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: result (-given +got):\n%s", name, diff)
				}
			}
		}
	})
}

// echoAPI is the name of the interface that the guest imports, and echoBack of the one
// that it exports.
const (
	echoAPI  = "test:agree/api"
	echoBack = "test:agree/back"
)

// echo makes the component.
func echo(t *rapid.T, named []types.Extern, fn *types.Func) []byte {
	exports := func(name string) *types.Instance {
		return &types.Instance{Exports: append(slices.Clone(named), types.Extern{Name: name, Sort: types.SortFunc, Func: fn})}
	}
	world := &types.Component{
		Imports: []types.Extern{{Name: echoAPI, Sort: types.SortInstance, Instance: exports("echo")}},
		Exports: []types.Extern{{Name: echoBack, Sort: types.SortInstance, Instance: exports("run")}},
	}
	sig, err := abi.Compile(fn, nil)
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := encode.Component(echoModule(sig.LowerType(), sig.LiftType()), world, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// echoModule writes a core module that hands on what it gets: parameters and results
// lie in memory, or don't, just as the host's do. It has an allocator that never frees.
func echoModule(imported, exported core.FuncType) []byte {
	const resultArea, heap = 1 << 16, 2 << 16
	name := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	section := func(id byte, content ...[]byte) []byte {
		c := slices.Concat(content...)
		return append(leb([]byte{id}, len(c)), c...)
	}
	signature := func(t core.FuncType) []byte {
		b := append([]byte{0x60, byte(len(t.Params))}, bytesOf(t.Params)...)
		return append(append(b, byte(len(t.Results))), bytesOf(t.Results)...)
	}
	i32 := core.I32
	realloc := core.FuncType{Params: []core.ValueType{i32, i32, i32, i32}, Results: []core.ValueType{i32}}

	run := []byte{0}
	for i := range exported.Params {
		run = append(run, 0x20, byte(i)) // local.get
	}
	constant := func(n int) []byte { return append([]byte{0x41}, signedLEB(n)...) }
	if byPointer := len(imported.Params) > len(exported.Params); byPointer {
		run = slices.Concat(run, constant(resultArea), []byte{0x10, 0}, constant(resultArea)) // call
	} else {
		run = append(run, 0x10, 0)
	}
	run = append(run, 0x0b)
	// top = (top + align-1) & -align; pointer = top; top += size; grow the memory to it
	allocate := slices.Concat([]byte{1, 1, 0x7f, // a local: the pointer
		0x23, 0, 0x20, 2, 0x6a, 0x41, 1, 0x6b, 0x41, 0, 0x20, 2, 0x6b, 0x71, 0x22, 4,
		0x20, 3, 0x6a, 0x24, 0,
		0x23, 0, 0x41, 16, 0x76, 0x41, 1, 0x6a, 0x3f, 0, 0x6b, 0x22, 3, 0x41, 0, 0x4a,
		0x04, 0x40, 0x20, 3, 0x40, 0, 0x1a, 0x0b,
		0x20, 4, 0x0b})

	body := func(code []byte) []byte { return append(leb(nil, len(code)), code...) }
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{3}, signature(imported), signature(exported), signature(realloc)),
		section(2, []byte{1}, name(echoAPI), name("echo"), []byte{0, 0}),
		section(3, []byte{2, 1, 2}),
		section(5, []byte{1, 0, 2}),
		section(6, []byte{1, 0x7f, 1}, constant(heap), []byte{0x0b}),
		section(7, []byte{3},
			name(echoBack+"#run"), []byte{0, 1},
			name("cabi_realloc"), []byte{0, 2},
			name("memory"), []byte{2, 0}),
		section(10, []byte{2}, body(run), body(allocate)))
}

func leb(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func signedLEB(n int) []byte { return append(leb(nil, n|1<<27)[:3], byte(n>>21)&0x3f) }

func bytesOf(list []core.ValueType) []byte {
	b := make([]byte, len(list))
	for i, t := range list {
		b[i] = byte(t)
	}
	return b
}

// runEcho calls the guest once, and returns what the host saw and what came back.
func runEcho(t *rapid.T, rt *component.Runtime, wasm []byte, fn *types.Func, args []value.Value) (seen, got string) {
	ctx := t.Context()
	c, err := rt.Compile(ctx, "echo", wasm)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	api := types.Find(c.Type().Imports, echoAPI).Instance
	i, err := c.Instantiate(ctx, component.InstanceConfig{Imports: []*component.Interface{{
		Name: echoAPI, Type: api,
		Funcs: map[string]component.HostFunc{
			"echo": func(_ *component.Call, args []value.Value) (value.Value, error) {
				seen = show(value.Tuple(args...))
				return value.Tuple(args...), nil
			},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close(ctx)
	v, err := i.Func(echoBack, "run").Call(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return seen, show(v)
}

// drawing draws types and values.
type drawing struct {
	*rapid.T
	named []types.Extern // the types that need a name, those that they are made of before them
}

// typ draws a type.
func (d *drawing) typ(depth int) *types.Type {
	kinds := []types.Kind{types.Bool, types.S8, types.U8, types.S16, types.U16, types.S32, types.U32, types.S64, types.U64,
		types.F32, types.F64, types.Char, types.String, types.Flags, types.Enum}
	if depth > 0 {
		kinds = append(kinds, types.Record, types.Tuple, types.Variant, types.Option, types.Result, types.List, types.List)
	}
	typ := &types.Type{Kind: rapid.SampledFrom(kinds).Draw(d.T, "kind")}
	sub := func() *types.Type { return d.typ(depth - 1) }
	maybe := func() *types.Type {
		if rapid.Bool().Draw(d.T, "payload") {
			return sub()
		}
		return nil
	}
	fields := func(low, high int, typ func() *types.Type) (list []types.Field) {
		for i := range rapid.IntRange(low, high).Draw(d.T, "fields") {
			list = append(list, types.Field{Name: fmt.Sprint("f", i), Type: typ()})
		}
		return list
	}
	none := func() *types.Type { return nil }
	switch typ.Kind {
	case types.Flags:
		typ.Fields = fields(1, 32, none)
	case types.Enum:
		typ.Fields = fields(1, 300, none)
	case types.Record:
		typ.Fields = fields(1, 5, sub)
	case types.Tuple:
		typ.Fields = fields(1, 5, sub)
		for i := range typ.Fields {
			typ.Fields[i].Name = ""
		}
	case types.Variant:
		typ.Fields = fields(1, 4, maybe)
	case types.Option, types.List:
		typ.Elem = sub()
	case types.Result:
		typ.Elem, typ.Err = maybe(), maybe()
	}
	switch typ.Kind {
	case types.Flags, types.Enum, types.Record, types.Variant:
		d.named = append(d.named, types.Extern{Name: fmt.Sprint("t", len(d.named)), Sort: types.SortType, Type: typ})
	}
	return typ
}

// value draws a value of a type.
func (d *drawing) value(typ *types.Type) value.Value {
	integer := func(bits int, signed bool) value.Value {
		n := rapid.Uint64().Draw(d.T, "v")
		if signed {
			return value.Int(typ.Kind, uint64(int64(n<<(64-bits))>>(64-bits)))
		}
		return value.Int(typ.Kind, n<<(64-bits)>>(64-bits))
	}
	pick := func(cases ...*types.Type) value.Value {
		c := rapid.IntRange(0, len(cases)-1).Draw(d.T, "case")
		if cases[c] == nil {
			return value.Case(typ.Kind, uint32(c), nil)
		}
		p := d.value(cases[c])
		return value.Case(typ.Kind, uint32(c), &p)
	}
	var elems []value.Value
	switch typ.Kind {
	case types.Record, types.Tuple:
		for _, f := range typ.Fields {
			elems = append(elems, d.value(f.Type))
		}
	case types.List:
		for range rapid.IntRange(0, 4).Draw(d.T, "length") {
			elems = append(elems, d.value(typ.Elem))
		}
	}
	switch typ.Kind {
	case types.Bool:
		return value.Bool(rapid.Bool().Draw(d.T, "v"))
	case types.S8:
		return integer(8, true)
	case types.U8:
		return integer(8, false)
	case types.S16:
		return integer(16, true)
	case types.U16:
		return integer(16, false)
	case types.S32:
		return integer(32, true)
	case types.U32:
		return integer(32, false)
	case types.S64, types.U64:
		return integer(64, false)
	case types.F32:
		return value.F32(rapid.Float32().Draw(d.T, "v"))
	case types.F64:
		return value.F64(rapid.Float64().Draw(d.T, "v"))
	case types.Char:
		return value.Char(rapid.Rune().Draw(d.T, "v"))
	case types.String:
		return value.String(rapid.String().Draw(d.T, "v"))
	case types.Flags:
		return value.Flags(rapid.Uint32().Draw(d.T, "v") & uint32(1<<len(typ.Fields)-1))
	case types.Enum:
		return value.Enum(uint32(rapid.IntRange(0, len(typ.Fields)-1).Draw(d.T, "v")))
	case types.Record:
		return value.Record(elems...)
	case types.Tuple:
		return value.Tuple(elems...)
	case types.Variant:
		cases := make([]*types.Type, len(typ.Fields))
		for i, f := range typ.Fields {
			cases[i] = f.Type
		}
		return pick(cases...)
	case types.Option:
		return pick(nil, typ.Elem)
	case types.Result:
		return pick(typ.Elem, typ.Err)
	}
	return value.List(elems)
}

// show writes a value, as text in which different values differ.
func show(v value.Value) string {
	var b strings.Builder
	var walk func(v value.Value)
	walk = func(v value.Value) {
		switch v.Kind() {
		case types.String:
			fmt.Fprintf(&b, "%q", v.Str())
		case types.F32:
			fmt.Fprintf(&b, "%v:%#x", v.F32(), math.Float32bits(v.F32()))
		case types.F64:
			fmt.Fprintf(&b, "%v:%#x", v.F64(), math.Float64bits(v.F64()))
		case types.List, types.Record, types.Tuple:
			fmt.Fprintf(&b, "%v(", v.Kind())
			for _, e := range v.Elems() {
				walk(e)
				b.WriteByte(' ')
			}
			b.WriteByte(')')
		case types.Variant, types.Option, types.Result:
			fmt.Fprintf(&b, "%v %d(", v.Kind(), v.Case())
			if p := v.Payload(); !p.IsZero() {
				walk(p)
			}
			b.WriteByte(')')
		default:
			fmt.Fprintf(&b, "%v %d", v.Kind(), v.Bits())
		}
	}
	walk(v)
	return b.String()
}
