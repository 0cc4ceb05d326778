// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// section returns a section of a module.
func section(id byte, content ...byte) []byte {
	return slices.Concat([]byte{id}, leb(len(content)), content)
}

// leb returns n as an unsigned LEB128 number.
func leb(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

const header = "\x00asm\x01\x00\x00\x00"

// module returns a module of sections.
func module(sections ...[]byte) []byte {
	return slices.Concat([]byte(header), slices.Concat(sections...))
}

var (
	noTypes   = section(1, 1, 0x60, 0, 0)             // one type, without parameters and results
	oneFunc   = section(3, 1, 0)                      // of that type
	oneMemory = section(5, 1, 0, 1)                   // of one page
	oneTable  = section(4, 1, 0x70, 0, 1)             // of one funcref
	oneGlobal = section(6, 1, 0x7e, 1, 0x42, 0, 0x0b) // a variable i64
	emptyBody = body(0, 0x0b)
)

// body returns a code section with one function.
func body(code ...byte) []byte {
	return section(10, slices.Concat([]byte{1}, leb(len(code)), code)...)
}

// function returns a module with one function, that has the other sections too.
func function(code ...byte) []byte {
	return module(noTypes, oneFunc, oneTable, oneMemory, oneGlobal, body(code...))
}

func TestDecodeRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"nothing", nil, "not a core module"},
		{"text", []byte("(module)"), "not a core module"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "not a core module"},
		{"another version", []byte("\x00asm\x02\x00\x00\x00"), "not a core module"},
		{"a section that is cut", []byte(header + "\x01\x05\x01"), "at offset 0xa: unexpected end"},
		{"an unknown section", module(section(14, 0)), "at offset 0x8: unknown section 14"},
		{"sections out of order", module(oneFunc, noTypes), "type section is repeated or out of order"},
		{"a section twice", module(noTypes, noTypes), "type section is repeated or out of order"},
		{"bytes left in a section", module(section(1, 0, 7)), "1 bytes too many"},
		{"a custom section without a name", module(section(0, 5, 'x')), "custom section"},
		{"too many types for the bytes", module(section(1, 0xff, 0xff, 0x03)), "65535 types do not fit"},
		{"no function type", module(section(1, 1, 0x5f, 0)), "not a function type"},
		{"an unknown value type", module(section(1, 1, 0x60, 1, 0x69, 0)), "unknown value type 0x69"},
		{"a name that isn't UTF-8", module(section(2, 1, 1, 0xff, 1, 'x', 0, 0)), "not valid UTF-8"},
		{"an import of an unknown kind", module(section(2, 1, 1, 'a', 1, 'x', 5, 0, 0)), "unknown kind of import 5"},
		{"an import of an unknown type", module(noTypes, section(2, 1, 1, 'a', 1, 'x', 0, 1)), "type 1 does not exist"},
		{"a shared memory", module(section(5, 1, 3, 1, 1)), "shared and 64-bit"},
		{"a table above its maximum", module(section(4, 1, 0x70, 1, 9, 8)), "table starts with 9, more than its maximum of 8"},
		{"a memory above its maximum", module(section(5, 1, 1, 2, 1)), "memory starts with 2, more than its maximum of 1"},
		{"too large a memory", module(section(5, 1, 0, 0x81, 0x80, 4)), "memory of more than 65536 pages"},
		{"a 64-bit memory", module(section(5, 1, 4, 1)), "shared and 64-bit"},
		{"too many memories", module(section(5, append([]byte{17}, make([]byte, 34)...)...)), "17 memories, the limit is 16"},
		{"too many memories with an import", module(section(2, 1, 1, 'a', 1, 'x', 2, 0, 1), section(5, append([]byte{16}, make([]byte, 32)...)...)), "17 memories, the limit is 16"},
		{"a tag of an unknown kind", module(noTypes, section(13, 1, 1, 0)), "unknown attribute of a tag 1"},
		{"a tag of an unknown type", module(noTypes, section(13, 1, 0, 1)), "type 1 does not exist"},
		{"a tag with results", module(section(1, 1, 0x60, 0, 1, 0x7f), section(13, 1, 0, 0)), "tag of a type with results"},
		{"a tag with a reference", module(section(1, 1, 0x60, 1, 0x70, 0), section(13, 1, 0, 0)), "only numbers are supported"},
		{"a tag with many parameters", module(section(1, append([]byte{1, 0x60, 17}, append(bytes.Repeat([]byte{0x7f}, 17), 0)...)...), section(13, 1, 0, 0)), "17 parameters, the limit is 16"},
		{"a data segment of no memory", module(section(11, 1, 2, 1, 0x41, 0, 0x0b, 0)), "memory 1 does not exist"},
		{"an active element segment of no table", module(section(9, 1, 0, 0x41, 0, 0x0b, 0)), "table 0 does not exist"},
		{"a function without a body", module(noTypes, oneFunc), "1 functions are declared and 0 have a body"},
		{"a body without a function", module(noTypes, emptyBody), "0 functions are declared and 1 have a body"},
		{"an unknown type", module(noTypes, section(3, 1, 1), emptyBody), "type 1 does not exist"},
		{"an export of nothing", module(section(7, 1, 1, 'x', 0, 0)), "function 0 does not exist"},
		{"an export of no memory", module(section(7, 1, 1, 'x', 2, 0)), "memory 0 does not exist"},
		{"a start function that isn't there", module(noTypes, oneFunc, section(8, 1), emptyBody), "function 1 does not exist"},
		{"an element that isn't there", module(noTypes, oneFunc, oneTable, section(9, 1, 0, 0x41, 0, 0x0b, 1, 1), emptyBody), "function 1 does not exist"},
		{"an unknown kind of element segment", module(section(9, 1, 8)), "unknown kind of element segment 8"},
		{"a call in a constant", module(section(6, 1, 0x7f, 0, 0x10, 0, 0x0b)), "in a constant expression"},
		{"a constant of a later global", module(section(6, 1, 0x7f, 0, 0x23, 0, 0x0b)), "global 0 does not exist"},

		{"four billion locals", function(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b), "more than 5000 locals"},
		{"two billion locals twice", function(2, 0xff, 0xff, 0xff, 0xff, 0x07, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x07, 0x7f, 0x0b), "more than 5000 locals"},
		{"no end", function(0, 0x01), "unexpected end"},
		{"code after the end", function(0, 0x0b, 0x01), "code after the end"},
		{"else without if", function(0, 0x02, 0x40, 0x05, 0x0b, 0x0b), "else without if"},
		{"else twice", function(0, 0x41, 0, 0x04, 0x40, 0x05, 0x05, 0x0b, 0x0b), "else without if"},
		{"an unknown instruction", function(0, 0x27, 0x0b), "unknown instruction 0x27"},
		{"an unknown prefixed instruction", function(0, 0xfc, 18, 0x0b), "unknown instruction 0xfc 18"},
		{"an unknown vector instruction", function(0, 0xfd, 0x9a, 0x01, 0x0b), "unknown instruction 0xfd 154"},
		{"a relaxed vector instruction", function(0, 0xfd, 0x80, 0x02, 0x0b), "unknown instruction 0xfd 256"},
		{"an atomic instruction", function(0, 0xfe, 3, 0, 0x0b), "unknown instruction 0xfe"},
		{"an unknown exception", function(0, 0x08, 0, 0x0b), "tag 0 does not exist"},
		{"an exception of before", function(0, 0x06, 0x40, 0x0b, 0x0b), "unknown instruction 0x06"},
		{"a reference to an exception", function(0, 0x0a, 0x0b), "exception references (exnref) are not supported"},
		{"an exception caught by reference", function(0, 0x1f, 0x40, 1, 3, 0, 0x0b, 0x0b), "exception references (exnref) are not supported"},
		{"an unknown kind of catch", function(0, 0x1f, 0x40, 1, 4, 0, 0x0b, 0x0b), "unknown kind of catch clause 4"},
		{"a catch of an unknown exception", function(0, 0x1f, 0x40, 1, 0, 0, 0, 0x0b, 0x0b), "tag 0 does not exist"},
		{"a catch that leads nowhere", function(0, 0x1f, 0x40, 1, 2, 1, 0x0b, 0x0b), "label 1 does not exist"},
		{"an unknown block type", function(0, 0x02, 0x50, 0x0b, 0x0b), "unknown block type"},
		{"a block of an unknown type", function(0, 0x02, 0x01, 0x0b, 0x0b), "type 1 does not exist"},
		{"an unknown label", function(0, 0x0c, 1, 0x0b), "label 1 does not exist"},
		{"an unknown label in a table", function(0, 0x41, 0, 0x0e, 1, 0, 1, 0x0b), "label 1 does not exist"},
		{"labels that are not there", function(0, 0x0e, 0xff, 0xff, 0x03), "branch targets do not fit"},
		{"another memory", function(0, 0x3f, 1, 0x1a, 0x0b), "memory 1 does not exist"},
		{"a load of another memory", function(0, 0x41, 0, 0x28, 0x42, 1, 0, 0x1a, 0x0b), "memory 1 does not exist"},
		{"a copy to another memory", function(0, 0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 1, 0, 0x0b), "memory 1 does not exist"},
		{"a memory with a long number", function(0, 0x3f, 0x80, 0, 0x1a, 0x0b), "more than one byte"},
		{"a number that is too long", function(0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x0b), "too long or too large"},
		{"a number that is too large", function(0, 0x41, 0xff, 0xff, 0xff, 0xff, 0x4f, 0x0b), "too long or too large"},

		// What would be the rewriter's own: the counters, tick, overflow and helpers.
		{"the fuel", function(0, 0x42, 0, 0x24, 1, 0x0b), "global 1 does not exist"},
		{"the stack counter", function(0, 0x23, 2, 0x1a, 0x0b), "global 2 does not exist"},
		{"a call of a helper", function(0, 0x10, 1, 0x0b), "function 1 does not exist"},
		{"a tail call of a helper", function(0, 0x12, 2, 0x0b), "function 2 does not exist"},
		{"a reference to a helper", function(0, 0xd2, 1, 0x1a, 0x0b), "function 1 does not exist"},
		{"a call of a type of a helper", function(0, 0x41, 0, 0x11, 1, 0, 0x0b), "type 1 does not exist"},
		{"a global by a helper", module(noTypes, oneFunc, section(6, 1, 0x70, 0, 0xd2, 1, 0x0b), emptyBody), "function 1 does not exist"},
		{"an export of the fuel", module(noTypes, oneFunc, oneGlobal, section(7, 1, 1, 'x', 3, 1), emptyBody), "global 1 does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := rewrite.Decode(test.wasm, rewrite.Limits{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestDecodeLimits(t *testing.T) {
	loops := function(0, 0x03, 0x40, 0x0b, 0x03, 0x40, 0x0b, 0x0b)
	blocks := function(0, 0x02, 0x40, 0x02, 0x40, 0x0b, 0x0b, 0x0b)
	two := func(id byte, one ...byte) []byte { return section(id, slices.Concat([]byte{2}, one, one)...) }
	for _, test := range []struct {
		name   string
		wasm   []byte
		limits rewrite.Limits
		want   string
	}{
		{"size", function(0, 0x0b), rewrite.Limits{Size: 20}, "the limit is 20"},
		{"types", module(two(1, 0x60, 0, 0)), rewrite.Limits{Types: 1}, "2 types, the limit is 1"},
		{"parameters", module(section(1, 1, 0x60, 2, 0x7f, 0x7f, 0)), rewrite.Limits{Params: 1}, "2 parameters, the limit is 1"},
		{"results", module(section(1, 1, 0x60, 0, 2, 0x7f, 0x7f)), rewrite.Limits{Params: 1}, "2 results, the limit is 1"},
		{"imports", module(two(2, 1, 'a', 1, 'b', 3, 0x7f, 0)), rewrite.Limits{Imports: 1}, "2 imports, the limit is 1"},
		{"functions", module(noTypes, two(3, 0), two(10, 2, 0, 0x0b)), rewrite.Limits{Functions: 1}, "2 functions, the limit is 1"},
		{"function size", function(0, 1, 1, 1, 0x0b), rewrite.Limits{FunctionSize: 4}, "has 5 bytes, the limit is 4"},
		{"locals", function(1, 3, 0x7f, 0x0b), rewrite.Limits{Locals: 2}, "more than 2 locals"},
		{"nesting", blocks, rewrite.Limits{Nesting: 1}, "nested deeper than 1"},
		{"blocks", blocks, rewrite.Limits{Blocks: 1}, "more than 1 blocks"},
		{"blocks of loops", loops, rewrite.Limits{Blocks: 7}, "more than 7 blocks"},
		{"branches", function(0, 0x41, 0, 0x0d, 0, 0x41, 0, 0x0d, 0, 0x0b), rewrite.Limits{Blocks: 1}, "more than 1 blocks and branches"},
		{"merges", function(1, 3, 0x7f, 0x02, 0x40, 0x0b, 0x02, 0x40, 0x0b, 0x0b), rewrite.Limits{Merges: 5}, "3 locals and 2 blocks and branches, the limit of the product is 5"},
		{"values of calls", module(section(1, 1, 0x60, 1, 0x7f, 1, 0x7f), oneFunc, body(0, 0x20, 0, 0x10, 0, 0x10, 0, 0x0b)), rewrite.Limits{Values: 3}, "more than 3 values"},
		{"values of blocks", function(0, 0x02, 0x7f, 0x41, 0, 0x0b, 0x1a, 0x02, 0x7f, 0x41, 0, 0x0b, 0x1a, 0x0b), rewrite.Limits{Values: 1}, "more than 1 values"},
		{"values of branches", function(0, 0x02, 0x7f, 0x41, 0, 0x41, 0, 0x0e, 2, 0, 0, 0, 0x0b, 0x1a, 0x0b), rewrite.Limits{Values: 3}, "more than 3 values"},
		{"loop values", function(1, 1, 0x7f, 0x03, 0x40, 0x41, 0, 0x21, 0, 0x41, 0, 0x21, 0, 0x0b, 0x0b), rewrite.Limits{LoopValues: 1}, "more than 1 assignments"},
		{"loops", loops, rewrite.Limits{Loops: 1}, "more than 1 loops"},
		{"tables", module(two(4, 0x70, 0, 1)), rewrite.Limits{Tables: 1}, "2 tables, the limit is 1"},
		{"table elements", module(section(4, 1, 0x70, 0, 9)), rewrite.Limits{TableElements: 8}, "starts with 9 elements, the limit is 8"},
		{"globals", module(two(6, 0x7f, 0, 0x41, 0, 0x0b)), rewrite.Limits{Globals: 1}, "2 globals, the limit is 1"},
		{"exports", module(oneMemory, two(7, 1, 'x', 2, 0)), rewrite.Limits{Exports: 1}, "2 exports, the limit is 1"},
		{"segments", module(oneMemory, two(11, 0, 0x41, 0, 0x0b, 0)), rewrite.Limits{Segments: 1}, "2 data segments, the limit is 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := rewrite.Decode(test.wasm, test.limits)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
			if _, err := rewrite.Decode(test.wasm, rewrite.Limits{}); err != nil {
				t.Errorf("refused with default limits: %v", err)
			}
		})
	}
}

// Every prefix of a module, and every module with one byte changed, is decoded or
// refused; what is decoded can be rewritten or is refused.
func TestDecodeNeverPanics(t *testing.T) {
	for _, wasm := range [][]byte{semantics, endless} {
		for n := range wasm {
			_, _ = rewrite.Decode(wasm[:n], rewrite.Limits{})
			for _, change := range []byte{1, 0x80, 0xff} {
				changed := bytes.Clone(wasm)
				changed[n] ^= change
				if m, err := rewrite.Decode(changed, rewrite.Limits{}); err == nil {
					_, _ = m.Rewrite(options)
				}
			}
		}
	}
}

func TestDecodeExterns(t *testing.T) {
	m, err := rewrite.Decode(semantics, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	unary := rewrite.Extern{Func: core.FuncType{Params: []core.ValueType{core.I32}, Results: []core.ValueType{core.I32}}}
	wantImports := []rewrite.Import{{Module: "host", Name: "double", Extern: unary}}
	if diff := cmp.Diff(wantImports, m.Imports); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	memory := rewrite.Range{Min: 40, Max: 64, HasMax: true}
	wantExports := []rewrite.Export{
		{Name: "memory", Extern: rewrite.Extern{Kind: rewrite.Memory, Range: memory}},
		{Name: "counter", Index: 2, Extern: rewrite.Extern{Func: core.FuncType{Results: []core.ValueType{core.I32}}}},
	}
	if diff := cmp.Diff(wantExports, m.Exports[:2]); diff != "" {
		t.Errorf("first exports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]rewrite.Range{memory}, m.Memories); diff != "" {
		t.Errorf("memories (-want +got):\n%s", diff)
	}
	if !m.HasStart || m.Name != "semantics" || m.FuncNames[0] != "double" || m.FuncNames[3] != "twice" {
		t.Errorf("start is %t, name %q, names of functions %v", m.HasStart, m.Name, m.FuncNames)
	}
	empty, err := rewrite.Decode([]byte(header), rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if empty.HasStart || empty.FuncNames != nil {
		t.Errorf("an empty module has a start function (%t) or names (%v)", empty.HasStart, empty.FuncNames)
	}
}

// A name section is only for people: a broken one is no reason to refuse a module.
func TestDecodeBrokenNames(t *testing.T) {
	good := section(0, []byte("\x04name\x00\x02\x01m\x01\x04\x01\x00\x01f")...)
	for n := range good {
		names := section(0, good[2:2+max(5, n-2)]...)
		if n < 7 {
			names = good
		}
		wasm := append(function(0, 0x0b), names...)
		m, err := rewrite.Decode(wasm, rewrite.Limits{})
		if err != nil {
			t.Fatalf("names %q: %v", names, err)
		}
		if _, err := m.Rewrite(options); err != nil {
			t.Fatalf("names %q: %v", names, err)
		}
	}
	m, err := rewrite.Decode(append(function(0, 0x0b), good...), rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "m" || m.FuncNames[0] != "f" {
		t.Errorf("names are %q, %q; want m, f", m.Name, m.FuncNames[0])
	}
}

// Imports are renamed one by one: names may be empty, and the same.
func TestRename(t *testing.T) {
	wasm := module(noTypes,
		section(2, 4,
			0, 0, 0, 0, // a function ""."", twice
			0, 0, 0, 0,
			1, 'm', 1, 'x', 3, 0x7f, 1, // a variable m.x
			1, 'm', 1, 'x', 2, 0, 1), // and a memory m.x
		oneFunc, section(7, 1, 1, 'f', 0, 2), body(0, 0x10, 0, 0x10, 1, 0x10, 1, 0x0b))
	m, err := rewrite.Decode(wasm, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	opts := options
	var got []string
	opts.Rename = func(im rewrite.Import) (rewrite.Name, error) {
		name := string(rune('a'+len(got))) + " " + im.Kind.String()
		got = append(got, im.Module+"."+im.Name)
		return rewrite.Name{Module: "7", Field: name}, nil
	}
	renamed, err := m.Rewrite(opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", ".", "m.x", "m.x"}, got); diff != "" {
		t.Errorf("asked for names of (-want +got):\n%s", diff)
	}
	n, err := rewrite.Decode(renamed, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, im := range n.Imports {
		got = append(got, im.Module+"."+im.Name)
	}
	want := []string{"7.a func", "7.b func", "7.c global", "7.d memory", "host.tick", "host.overflow"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	if _, err := coretest.Open(t).Compile(t.Context(), renamed); err != nil {
		t.Error(err)
	}

	broken := errors.New("nobody exports that")
	opts.Rename = func(im rewrite.Import) (rewrite.Name, error) { return rewrite.Name{}, broken }
	if _, err := m.Rewrite(opts); !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
	if _, err := m.Rewrite(rewrite.Options{}); err == nil {
		t.Error("rewrote without names for tick and overflow")
	}
}

// The output is the same every time, and rewriting it again is possible.
func TestRewriteIsDeterministic(t *testing.T) {
	for _, wasm := range [][]byte{semantics, endless, kernels} {
		once, again := instrument(t, wasm), instrument(t, wasm)
		if !bytes.Equal(once, again) {
			t.Error("two outputs differ")
		}
		if _, err := coretest.Open(t).Compile(t.Context(), instrument(t, once)); err != nil {
			t.Errorf("compile what was rewritten twice: %v", err)
		}
	}
}

// A module whose instrumentation would be many times its own size is refused.
func TestRewriteRefusesBlowUp(t *testing.T) {
	code := []byte{0}
	for range 1_000_000 {
		code = append(code, 0x03, 0x40, 0x0b) // loop, end
	}
	m, err := rewrite.Decode(function(append(code, 0x0b)...), rewrite.Limits{Blocks: 4_000_000, FunctionSize: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Rewrite(options); err == nil || !strings.Contains(err.Error(), "grows by more than") {
		t.Errorf("error is %v, want one about growth", err)
	}
}

// A table grows up to Limits.TableElements, whatever its module says.
func TestTableLimit(t *testing.T) {
	m, err := rewrite.Decode(semantics, rewrite.Limits{TableElements: 10})
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := m.Rewrite(options)
	if err != nil {
		t.Fatal(err)
	}
	i := instantiate(t, coretest.Open(t), wasm, &host{})
	for _, test := range []struct{ by, old, size uint64 }{{1, 8, 9}, {2, 0xffffffff, 9}, {1, 9, 10}, {1, 0xffffffff, 10}} {
		got := call(t, i.Func("table grow"), []uint64{test.by}).Results
		if uint32(got[0]) != uint32(test.old) || uint32(got[1]) != uint32(test.size) {
			t.Errorf("growing by %d gave %d, size %d; want %d, %d", test.by, uint32(got[0]), got[1], uint32(test.old), test.size)
		}
	}
	// Less, if the options say so; but not less than it starts with.
	less := options
	for _, less.TableElements = range []uint32{9, 1} {
		if wasm, err = m.Rewrite(less); err != nil {
			t.Fatal(err)
		}
		size := max(8, uint64(less.TableElements))
		i := instantiate(t, coretest.Open(t), wasm, &host{})
		for _, by := range []uint64{size - 8, 1} {
			got := call(t, i.Func("table grow"), []uint64{by}).Results
			if want := [2]uint32{8, uint32(size)}; by == 0 && uint32(got[0]) != want[0] || uint32(got[1]) != want[1] {
				t.Errorf("options allow %d: growing by %d gave %d, size %d", less.TableElements, by, uint32(got[0]), got[1])
			}
		}
	}
}
