// SPDX-License-Identifier: Apache-2.0

package abi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/abi/abitest"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// world is a guest with a frame on it and some resources.
type world struct {
	*abitest.Guest
	frame *abi.Frame
	table *abi.Table
	host  *types.Resource
}

func newWorld(e abi.Encoding) *world {
	w := &world{Guest: abitest.NewGuest(), table: &abi.Table{}, host: &types.Resource{Name: "file"}}
	w.frame = w.Frame(e, w.table, &abi.Resource{Name: "file"})
	return w
}

func (w *world) number(r *types.Resource) (int, error) {
	if r != w.host {
		return 0, errors.New("unknown resource")
	}
	return 0, nil
}

func (w *world) compile(t *testing.T, f *types.Func) *abi.Signature {
	t.Helper()
	s, err := abi.Compile(f, w.number)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func prim(k types.Kind) *types.Type { return &types.Type{Kind: k} }

func record(fields ...*types.Type) *types.Type {
	t := &types.Type{Kind: types.Record}
	for i, f := range fields {
		t.Fields = append(t.Fields, types.Field{Name: fmt.Sprint("f", i), Type: f})
	}
	return t
}

func variant(cases ...*types.Type) *types.Type {
	t := record(cases...)
	t.Kind = types.Variant
	return t
}

// The flat types and sizes below are worked out by hand from CanonicalABI.md.
func TestFlattening(t *testing.T) {
	i32, i64, f64 := core.I32, core.I64, core.F64
	str := prim(types.String)
	for _, tt := range []struct {
		name        string
		typ         types.Func
		lift, lower core.FuncType
	}{
		{"nothing", types.Func{}, core.FuncType{}, core.FuncType{}},
		{"scalars", types.Func{Params: record(prim(types.U8), prim(types.S64), prim(types.F64)).Fields, Result: prim(types.Bool)},
			core.FuncType{Params: []core.ValueType{i32, i64, f64}, Results: []core.ValueType{i32}},
			core.FuncType{Params: []core.ValueType{i32, i64, f64}, Results: []core.ValueType{i32}}},
		{"string result", types.Func{Result: str},
			core.FuncType{Results: []core.ValueType{i32}},
			core.FuncType{Params: []core.ValueType{i32}}},
		{"variant joins", types.Func{Params: record(variant(prim(types.F32), prim(types.U32))).Fields},
			core.FuncType{Params: []core.ValueType{i32, i32}}, core.FuncType{Params: []core.ValueType{i32, i32}}},
		{"variant widens", types.Func{Params: record(variant(prim(types.F64), str)).Fields},
			core.FuncType{Params: []core.ValueType{i32, i64, i32}}, core.FuncType{Params: []core.ValueType{i32, i64, i32}}},
		{"sixteen", types.Func{Params: record(str, str, str, str, str, str, str, str).Fields},
			core.FuncType{Params: repeat(i32, 16)}, core.FuncType{Params: repeat(i32, 16)}},
		{"seventeen spill", types.Func{Params: record(str, str, str, str, str, str, str, str, prim(types.U8)).Fields, Result: str},
			core.FuncType{Params: []core.ValueType{i32}, Results: []core.ValueType{i32}},
			core.FuncType{Params: []core.ValueType{i32, i32}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(abi.UTF8).compile(t, &tt.typ)
			if got := s.LiftType(); got.String() != tt.lift.String() {
				t.Errorf("lift type %v, want %v", got, tt.lift)
			}
			if got := s.LowerType(); got.String() != tt.lower.String() {
				t.Errorf("lower type %v, want %v", got, tt.lower)
			}
		})
	}
}

func repeat(v core.ValueType, n int) []core.ValueType {
	out := make([]core.ValueType, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// TestMemoryLayout stores a record and reads the bytes the way a C compiler would
// have laid them out.
func TestMemoryLayout(t *testing.T) {
	w := newWorld(abi.UTF8)
	inner := record(prim(types.U8), prim(types.U64))
	typ := &types.Type{Kind: types.List, Elem: record(prim(types.U16), inner, &types.Type{Kind: types.Option, Elem: prim(types.U32)})}
	s := w.compile(t, &types.Func{Params: record(typ).Fields})
	elem := func(a uint16, b uint8, c uint64, d value.Value) value.Value {
		return value.Record(value.U16(a), value.Record(value.U8(b), value.U64(c)), d)
	}
	stack := make([]uint64, s.StackSize())
	v := value.List([]value.Value{elem(1, 2, 3, value.Some(value.U32(4))), elem(5, 6, 7, value.None())})
	if err := s.LowerParams(w.frame, []value.Value{v}, stack); err != nil {
		t.Fatal(err)
	}
	at := stack[0]
	want := map[uint64]byte{0: 1, 8: 2, 16: 3, 24: 1, 28: 4, 32: 5, 40: 6, 48: 7, 56: 0}
	for off, b := range want {
		if got := w.Memory[at+off]; got != b {
			t.Errorf("byte %d is %d, want %d", off, got, b)
		}
	}
	if stack[1] != 2 || at%8 != 0 {
		t.Errorf("list at %#x of %d elements, want alignment 8 and 2", at, stack[1])
	}
}

// describe prints a value in full, for comparison.
func describe(v value.Value) string {
	var b strings.Builder
	var walk func(value.Value)
	walk = func(v value.Value) {
		fmt.Fprintf(&b, "%v", v.Kind())
		switch v.Kind() {
		case types.String:
			fmt.Fprintf(&b, "%q", v.Str())
		case types.List, types.Tuple, types.Record:
			b.WriteByte('[')
			for _, e := range v.Elems() {
				walk(e)
				b.WriteByte(' ')
			}
			b.WriteByte(']')
		case types.Variant, types.Option, types.Result, types.Enum:
			fmt.Fprintf(&b, "#%d(", v.Case())
			if p := v.Payload(); !p.IsZero() {
				walk(p)
			}
			b.WriteByte(')')
		case types.Own, types.Borrow:
			fmt.Fprintf(&b, "{%v}", v.Object())
		default:
			fmt.Fprintf(&b, ":%x", v.Bits())
		}
	}
	walk(v)
	return b.String()
}

// drawType draws a value type of bounded depth.
func drawType(t *rapid.T, depth int, host *types.Resource) *types.Type {
	kinds := []types.Kind{types.Bool, types.S8, types.U8, types.S16, types.U16, types.S32, types.U32, types.S64, types.U64,
		types.F32, types.F64, types.Char, types.String, types.Flags, types.Enum}
	if host != nil {
		kinds = append(kinds, types.Own)
	}
	if depth > 0 {
		kinds = append(kinds, types.Record, types.Tuple, types.Variant, types.Option, types.Result, types.List, types.List)
	}
	typ := &types.Type{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	sub := func() *types.Type { return drawType(t, depth-1, host) }
	maybe := func() *types.Type {
		if rapid.Bool().Draw(t, "payload") {
			return sub()
		}
		return nil
	}
	switch typ.Kind {
	case types.Flags:
		typ.Fields = make([]types.Field, rapid.IntRange(1, 32).Draw(t, "flags"))
	case types.Enum:
		typ.Fields = make([]types.Field, rapid.IntRange(1, 300).Draw(t, "cases"))
	case types.Record, types.Tuple:
		for range rapid.IntRange(1, 4).Draw(t, "fields") {
			typ.Fields = append(typ.Fields, types.Field{Type: sub()})
		}
	case types.Variant:
		for range rapid.IntRange(1, 4).Draw(t, "cases") {
			typ.Fields = append(typ.Fields, types.Field{Type: maybe()})
		}
	case types.Option, types.List:
		typ.Elem = sub()
	case types.Result:
		typ.Elem, typ.Err = maybe(), maybe()
	case types.Own:
		typ.Resource = host
	}
	return typ
}

func drawValue(t *rapid.T, typ *types.Type) value.Value {
	pick := func(k types.Kind, cases ...*types.Type) value.Value {
		c := rapid.IntRange(0, len(cases)-1).Draw(t, "case")
		if cases[c] == nil {
			return value.Case(k, uint32(c), nil)
		}
		p := drawValue(t, cases[c])
		return value.Case(k, uint32(c), &p)
	}
	seq := func(fields []types.Field) []value.Value {
		out := make([]value.Value, len(fields))
		for i, f := range fields {
			out[i] = drawValue(t, f.Type)
		}
		return out
	}
	switch typ.Kind {
	case types.Bool:
		return value.Bool(rapid.Bool().Draw(t, "v"))
	case types.S8:
		return value.S8(rapid.Int8().Draw(t, "v"))
	case types.U8:
		return value.U8(rapid.Uint8().Draw(t, "v"))
	case types.S16:
		return value.S16(rapid.Int16().Draw(t, "v"))
	case types.U16:
		return value.U16(rapid.Uint16().Draw(t, "v"))
	case types.S32:
		return value.S32(rapid.Int32().Draw(t, "v"))
	case types.U32:
		return value.U32(rapid.Uint32().Draw(t, "v"))
	case types.S64:
		return value.S64(rapid.Int64().Draw(t, "v"))
	case types.U64:
		return value.U64(rapid.Uint64().Draw(t, "v"))
	case types.F32:
		return value.F32(rapid.Float32().Draw(t, "v"))
	case types.F64:
		return value.F64(rapid.Float64().Draw(t, "v"))
	case types.Char:
		return value.Char(rapid.Rune().Draw(t, "v"))
	case types.String:
		return value.String(rapid.String().Draw(t, "v"))
	case types.Flags:
		return value.Flags(rapid.Uint32().Draw(t, "v") & (1<<len(typ.Fields) - 1))
	case types.Enum:
		return value.Enum(uint32(rapid.IntRange(0, len(typ.Fields)-1).Draw(t, "v")))
	case types.Record:
		return value.Record(seq(typ.Fields)...)
	case types.Tuple:
		return value.Tuple(seq(typ.Fields)...)
	case types.Variant:
		cases := make([]*types.Type, len(typ.Fields))
		for i, f := range typ.Fields {
			cases[i] = f.Type
		}
		return pick(types.Variant, cases...)
	case types.Option:
		return pick(types.Option, nil, typ.Elem)
	case types.Result:
		return pick(types.Result, typ.Elem, typ.Err)
	case types.Own:
		return value.Own(rapid.IntRange(0, 9).Draw(t, "object"))
	}
	n := rapid.IntRange(0, 3).Draw(t, "len")
	elems := make([]value.Value, n)
	for i := range elems {
		elems[i] = drawValue(t, typ.Elem)
	}
	return value.List(elems)
}

// TestRoundTrip lowers random values of random types and lifts them again, as
// parameters and as a result, in every encoding, aliasing or not.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.SampledFrom([]abi.Encoding{abi.UTF8, abi.UTF16, abi.Latin1UTF16}).Draw(t, "encoding"))
		w.frame.Begin(context.Background(), w.frame.Heap, abi.Lifetime(rapid.IntRange(0, 2).Draw(t, "life")))
		f := &types.Func{}
		var args []value.Value
		for range rapid.IntRange(0, 4).Draw(t, "params") {
			p := drawType(t, 3, w.host)
			f.Params = append(f.Params, types.Field{Type: p})
			args = append(args, drawValue(t, p))
		}
		f.Result = drawType(t, 3, w.host)
		result := drawValue(t, f.Result)
		s, err := abi.Compile(f, w.number)
		if err != nil {
			t.Fatal(err)
		}

		stack := make([]uint64, s.StackSize())
		if err := s.LowerParams(w.frame, args, stack); err != nil {
			t.Fatal(err)
		}
		got, err := s.LiftParams(w.frame, stack)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(describe(value.Tuple(args...)), describe(value.Tuple(got...))); diff != "" {
			t.Fatalf("parameters (-lowered +lifted):\n%s", diff)
		}

		// The caller of a lowered function passes a result area where one is needed; the
		// callee of a lifted one returns its address.
		const area = 1 << 15
		for i := range stack {
			stack[i] = area
		}
		w.Top = area + 1<<13
		if err := s.LowerResult(w.frame, result, stack); err != nil {
			t.Fatal(err)
		}
		if len(s.LowerType().Results) == 0 {
			stack[0] = area
		}
		back, err := s.LiftResult(w.frame, stack)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(describe(result), describe(back)); diff != "" {
			t.Fatalf("result (-lowered +lifted):\n%s", diff)
		}
		if err := w.frame.Done(); err != nil {
			t.Fatal(err)
		}
		if n := w.table.Len(); n != 0 {
			t.Fatalf("%d handles left, want 0", n)
		}
	})
}

// TestHostileLift gives the lifter what a broken or malicious guest returns.
func TestHostileLift(t *testing.T) {
	list := func(e *types.Type) *types.Type { return &types.Type{Kind: types.List, Elem: e} }
	for _, tt := range []struct {
		name  string
		typ   *types.Type
		enc   abi.Encoding
		set   func(w *world, stack []uint64)
		error string
	}{
		{"result out of bounds", prim(types.String), 0, func(w *world, s []uint64) { s[0] = 1<<16 - 4 }, "out of bounds"},
		{"result misaligned", prim(types.String), 0, func(w *world, s []uint64) { s[0] = 2 }, "not aligned"},
		{"string out of bounds", prim(types.String), 0, func(w *world, s []uint64) { s[0] = 16; put32(w, 16, 1<<16-1); put32(w, 20, 2) }, "out of bounds"},
		{"string wraps", prim(types.String), 0, func(w *world, s []uint64) { s[0] = 16; put32(w, 16, math.MaxUint32); put32(w, 20, 1<<20) }, "out of bounds"},
		{"string too long", prim(types.String), 0, func(w *world, s []uint64) { s[0] = 16; put32(w, 20, 1<<28) }, "longer than"},
		{"invalid UTF-8", prim(types.String), 0, func(w *world, s []uint64) { s[0] = 16; put32(w, 16, 32); put32(w, 20, 1); w.Memory[32] = 0xff }, "not valid UTF-8"},
		{"unpaired surrogate", prim(types.String), abi.UTF16, func(w *world, s []uint64) {
			s[0] = 16
			put32(w, 16, 32)
			put32(w, 20, 1)
			w.Memory[32], w.Memory[33] = 0x00, 0xd8
		}, "not valid UTF-16"},
		{"UTF-16 misaligned", prim(types.String), abi.UTF16, func(w *world, s []uint64) { s[0] = 16; put32(w, 16, 33) }, "not aligned"},
		{"list overflows", list(prim(types.U64)), 0, func(w *world, s []uint64) { s[0] = 16; put32(w, 16, 32); put32(w, 20, math.MaxUint32) }, "out of bounds"},
		{"list misaligned", list(prim(types.U64)), 0, func(w *world, s []uint64) { s[0] = 16; put32(w, 16, 36) }, "not aligned"},
		{"char beyond Unicode", prim(types.Char), 0, func(w *world, s []uint64) { s[0] = 0x110000 }, "invalid char"},
		{"char surrogate", prim(types.Char), 0, func(w *world, s []uint64) { s[0] = 0xd800 }, "invalid char"},
		{"enum case", &types.Type{Kind: types.Enum, Fields: make([]types.Field, 3)}, 0, func(w *world, s []uint64) { s[0] = 3 }, "discriminant 3"},
		{"option case in memory", &types.Type{Kind: types.Option, Elem: prim(types.U32)}, 0, func(w *world, s []uint64) { s[0] = 16; w.Memory[16] = 2 }, "discriminant 2"},
		{"unknown handle", nil, 0, func(w *world, s []uint64) { s[0] = 7 }, "unknown handle"},
		{"handle zero", nil, 0, func(w *world, s []uint64) { s[0] = 0 }, "unknown handle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(tt.enc)
			typ := tt.typ
			if typ == nil {
				typ = &types.Type{Kind: types.Own, Resource: w.host}
			}
			s := w.compile(t, &types.Func{Result: typ})
			stack := make([]uint64, s.StackSize())
			tt.set(w, stack)
			v, err := s.LiftResult(w.frame, stack)
			if err == nil || !strings.Contains(err.Error(), tt.error) {
				t.Errorf("LiftResult = %s, %v; want an error with %q", describe(v), err, tt.error)
			}
		})
	}
}

func put32(w *world, at int, v uint32) {
	for i := range 4 {
		w.Memory[at+i] = byte(v >> (8 * i))
	}
}

func TestHostileRealloc(t *testing.T) {
	for _, tt := range []struct {
		name, error string
		top         uint64
		refuse      error
	}{
		{"traps", "realloc: boom", 8, errors.New("boom")},
		{"out of bounds", "out of bounds", 1 << 40, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := 1; n <= 2; n++ { // two at once are a batch
				w := newWorld(abi.UTF8)
				s := w.compile(t, &types.Func{Params: record(slices.Repeat([]*types.Type{prim(types.String)}, n)...).Fields})
				w.Refuse = tt.refuse
				if tt.refuse == nil {
					w.frame.Heap.Realloc, w.frame.Heap.Batch = wild{}, wild{}
				}
				err := s.LowerParams(w.frame, slices.Repeat([]value.Value{value.String("x")}, n), make([]uint64, s.StackSize()))
				if err == nil || !strings.Contains(err.Error(), tt.error) {
					t.Errorf("LowerParams of %d = %v, want an error with %q", n, err, tt.error)
				}
			}
		})
	}
}

// wild is a realloc that answers with a pointer near the end of the address space.
type wild struct{}

func (wild) Type() core.FuncType { return core.FuncType{} }
func (wild) Call(_ context.Context, stack []uint64) error {
	stack[0] = math.MaxUint32
	return nil
}

func TestHandles(t *testing.T) {
	w := newWorld(abi.UTF8)
	file := w.frame.Resources[0]
	dropped := 0
	file.Destroy = func(context.Context, abi.Rep) error { dropped++; return nil }
	ctx := context.Background()

	h, err := w.frame.LowerOwn(0, "a")
	if err != nil || h == 0 {
		t.Fatalf("LowerOwn = %d, %v; want a handle that is not 0", h, err)
	}
	if o, err := w.frame.LiftBorrow(0, h); err != nil || o != "a" {
		t.Fatalf("LiftBorrow = %v, %v", o, err)
	}
	if err := w.table.Drop(ctx, file, h); err == nil {
		t.Error("a lent handle was dropped")
	}
	if _, err := w.frame.LiftOwn(0, h); err == nil {
		t.Error("a lent handle was moved")
	}
	if err := w.frame.Done(); err != nil {
		t.Fatal(err)
	}
	if err := w.table.Drop(ctx, file, h); err != nil || dropped != 1 {
		t.Errorf("Drop = %v, %d destroyed; want 1", err, dropped)
	}
	if err := w.table.Drop(ctx, file, h); err == nil {
		t.Error("a handle was dropped twice")
	}

	w.frame.Export = true
	b, err := w.frame.LowerBorrow(0, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.frame.LiftOwn(0, b); err == nil {
		t.Error("a borrowed handle was moved")
	}
	if err := w.frame.Done(); err == nil {
		t.Error("a call ended while the guest kept a borrowed handle")
	}
	if err := w.table.Drop(ctx, file, b); err != nil || dropped != 1 {
		t.Errorf("Drop of a borrow = %v, %d destroyed; want none more", err, dropped)
	}

	if _, err := w.table.Rep(&abi.Resource{Name: "other"}, b); err == nil {
		t.Error("a dropped handle still stands for something")
	}
	// Tables share a quota: two handles here leave none there, until one is dropped.
	w.table.Quota = &abi.Quota{Limit: 2}
	other := &abi.Table{Quota: w.table.Quota}
	last, err := w.frame.LowerOwn(0, "last")
	if err != nil {
		t.Error(err)
	}
	if _, err := other.New(file, 1); err != nil {
		t.Error(err)
	}
	if _, err := w.frame.LowerOwn(0, "c"); err == nil {
		t.Error("the table grew past its limit")
	}
	if _, err := other.New(file, 2); err == nil {
		t.Error("another table of the quota grew past its limit")
	}
	if err := w.table.Drop(ctx, file, last); err != nil {
		t.Error(err)
	}
	if _, err := other.New(file, 2); err != nil {
		t.Error(err)
	}
}

// TestWrongValues gives LowerParams values that don't fit their types.
func TestWrongValues(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  *types.Type
		v    value.Value
	}{
		{"kind", prim(types.U32), value.String("1")},
		{"signedness", prim(types.U32), value.S32(1)},
		{"no value", prim(types.Bool), value.Value{}},
		{"case", variant(nil), value.Variant(1, nil)},
		{"payload missing", variant(prim(types.U8)), value.Variant(0, nil)},
		{"fields", record(prim(types.U8)), value.Record()},
		{"flags", &types.Type{Kind: types.Flags, Fields: make([]types.Field, 2)}, value.Flags(4)},
		{"surrogate", prim(types.Char), value.Char(0xd800)},
		{"UTF-8", prim(types.String), value.String("\xff")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(abi.UTF8)
			s := w.compile(t, &types.Func{Params: record(tt.typ).Fields})
			if err := s.LowerParams(w.frame, []value.Value{tt.v}, make([]uint64, s.StackSize())); err == nil {
				t.Error("LowerParams took it")
			}
		})
	}
}

// FuzzLift lifts a value of a fixed, rich type out of arbitrary memory.
func FuzzLift(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0}, uint32(0))
	f.Fuzz(func(t *testing.T, memory []byte, at uint32) {
		w := newWorld(abi.Latin1UTF16)
		w.Memory = memory
		w.frame.Begin(context.Background(), w.frame.Heap, abi.Kept)
		typ := &types.Type{Kind: types.List, Elem: variant(prim(types.String), record(prim(types.Char), prim(types.U64)), nil,
			&types.Type{Kind: types.List, Elem: prim(types.U8)}, &types.Type{Kind: types.Own, Resource: w.host})}
		s := w.compile(t, &types.Func{Result: typ})
		stack := []uint64{uint64(at), 0}
		_, _ = s.LiftResult(w.frame, stack)
	})
}

// TestBatches lowers random values into a guest that makes its allocations one by one,
// and into one that makes many at once: they are the same ones, in the same order.
func TestBatches(t *testing.T) {
	batches := 0
	rapid.Check(t, func(t *rapid.T) {
		f := &types.Func{}
		var args []value.Value
		host := &types.Resource{Name: "file"}
		for range rapid.IntRange(1, 6).Draw(t, "params") {
			p := drawType(t, 3, host)
			f.Params = append(f.Params, types.Field{Type: p})
			args = append(args, drawValue(t, p))
		}
		s, err := abi.Compile(f, func(*types.Resource) (int, error) { return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		encoding := rapid.SampledFrom([]abi.Encoding{abi.UTF8, abi.UTF8, abi.UTF16}).Draw(t, "encoding")
		lower := func(single bool) *abitest.Guest {
			g := abitest.NewGuest()
			g.Single = single
			frame := g.Frame(encoding, &abi.Table{}, &abi.Resource{Name: "file"})
			for range 2 { // the second call finds nothing left of the first
				frame.Begin(context.Background(), g.Heap(encoding), abi.Kept)
				if err := s.LowerParams(frame, args, make([]uint64, s.StackSize())); err != nil {
					t.Fatal(err)
				}
			}
			return g
		}
		one, many := lower(true), lower(false)
		if diff := cmp.Diff(one.Requests, many.Requests); diff != "" {
			t.Fatalf("allocations (-one by one +batched):\n%s", diff)
		}
		if !bytes.Equal(one.Memory, many.Memory) {
			t.Fatal("memories differ")
		}
		batches += many.Batches
	})
	if batches == 0 {
		t.Error("nothing was batched")
	}
}

// A list of strings takes one call of the guest for every 16 of them.
func TestBatchesOfList(t *testing.T) {
	w := newWorld(abi.UTF8)
	s := w.compile(t, &types.Func{Params: []types.Field{{Type: &types.Type{Kind: types.List, Elem: prim(types.String)}}}})
	list := make([]value.Value, 63) // and the list itself
	for i := range list {
		list[i] = value.String(strings.Repeat("x", i))
	}
	if err := s.LowerParams(w.frame, []value.Value{value.List(list)}, make([]uint64, 2)); err != nil {
		t.Fatal(err)
	}
	if w.Batches != 4 || len(w.Requests) != 64 {
		t.Errorf("%d batches of %d allocations, want 4 of 64", w.Batches, len(w.Requests))
	}
	w.Refuse = errors.New("full")
	w.frame.Begin(context.Background(), w.frame.Heap, abi.Kept)
	if err := s.LowerParams(w.frame, []value.Value{value.List(list)}, make([]uint64, 2)); !errors.Is(err, w.Refuse) {
		t.Errorf("error is %v, want %v", err, w.Refuse)
	}
}

// What a codec announces and doesn't ask for is an error of its own.
func TestExpectedOtherwise(t *testing.T) {
	w := newWorld(abi.UTF8)
	w.frame.Expect(4, 16)
	if _, err := w.frame.Realloc(4, 8); err == nil || !strings.Contains(err.Error(), "not the one expected") {
		t.Errorf("error is %v", err)
	}
}

// Values lifted into an arena, and those of a host call, take no memory of their own.
func TestLiftsWithoutAllocation(t *testing.T) {
	for _, e := range []abi.Encoding{abi.UTF8, abi.UTF16, abi.Latin1UTF16} {
		testLiftsWithoutAllocation(t, e)
	}
}

func testLiftsWithoutAllocation(t *testing.T, e abi.Encoding) {
	w := newWorld(e)
	list := &types.Type{Kind: types.List, Elem: record(prim(types.String), prim(types.U32))}
	s := w.compile(t, &types.Func{Params: []types.Field{{Type: list}}})
	elem := value.Record(value.String("söme text"), value.U32(7))
	stack := make([]uint64, 2)
	if err := s.LowerParams(w.frame, []value.Value{value.List([]value.Value{elem, elem, elem})}, stack); err != nil {
		t.Fatal(err)
	}
	lift := func(life abi.Lifetime, a *value.Arena) {
		w.frame.Begin(context.Background(), w.frame.Heap, life)
		if a != nil {
			a.Reset()
			w.frame.LiftInto(a)
		}
		args, err := s.LiftParams(w.frame, stack)
		if err != nil || args[0].Elems()[2].Field(0).Str() != "söme text" {
			t.Fatalf("lifted %v, %v", args, err)
		}
		if err := w.frame.Done(); err != nil {
			t.Fatal(err)
		}
	}
	var arena value.Arena
	for _, tt := range []struct {
		name string
		lift func()
		most float64
	}{
		{"into an arena", func() { lift(abi.Kept, &arena) }, 0},
		{"aliased", func() { lift(abi.Aliased, nil) }, 0},
		{"brief", func() { lift(abi.Brief, nil) }, 0},
		{"kept", func() { lift(abi.Kept, nil) }, 2}, // values, text
	} {
		tt.lift()
		if n := testing.AllocsPerRun(100, tt.lift); n > tt.most {
			t.Errorf("encoding %d, %s: %v allocations, want %v", e, tt.name, n, tt.most)
		}
	}
}

// A string that the caller has already is recognised, and takes no memory; another is
// lifted as ever, and what is no string of the guest's is refused.
func TestLiftStringAs(t *testing.T) {
	for _, e := range []abi.Encoding{abi.UTF8, abi.UTF16, abi.Latin1UTF16} {
		const text = "söme text"
		w := newWorld(e)
		at, n, err := w.frame.LowerString(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, like := range []string{text, "söme tixt", "", "a longer text than that"} {
			if got, err := w.frame.LiftStringAs(at, n, like); err != nil || got != text {
				t.Errorf("encoding %d: LiftStringAs %q = %q, %v; want %q", e, like, got, err, text)
			}
		}
		if got, err := w.frame.LiftStringAs(math.MaxUint32, n, text); err == nil {
			t.Errorf("encoding %d: LiftStringAs out of bounds = %q, want an error", e, got)
		}
		lift := func() { w.frame.Begin(t.Context(), w.frame.Heap, abi.Kept); _, _ = w.frame.LiftStringAs(at, n, text) }
		if allocations := testing.AllocsPerRun(100, lift); e == abi.UTF8 && allocations != 0 {
			t.Errorf("LiftStringAs of what the caller has makes %v allocations, want 0", allocations)
		}
	}
}
