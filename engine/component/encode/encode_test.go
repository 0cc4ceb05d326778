// SPDX-License-Identifier: Apache-2.0

package encode_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

// worlds are worlds that a component can be made for, of which everything is used.
var worlds = map[string]string{
	"functions": `package a:b;
		world w {
			import print: func(text: string);
			import now: func() -> u64;
			export run: func(x: u32) -> u64;
			export describe: func() -> string;
		}`,
	"values": `package a:b@1.2.3;
		interface values {
			flags permissions { read, write, exec }
			enum color { red, green, blue }
			record point { x: f32, y: f64 }
			variant shape { dot, circle(tuple<point, u8>), named(string) }
			type shapes = list<shape>;
			type octet = u8;
			primitives: func(a: bool, b: s8, c: u8, d: s16, e: u16, f: s32, g: u32, h: s64, i: u64, j: f32, k: f64, l: char) -> string;
			spilled: func(a: string, b: string, c: string, d: string, e: string, f: string, g: string, h: string, i: string);
			compound: func(p: permissions, c: color, s: shapes, o: option<octet>, r: result<point, color>) -> result<list<shape>, option<string>>;
			empty: func(a: result, b: result<_, u8>) -> tuple<u8, u16>;
		}
		world w { import values; export values; }`,
	"uses": `package a:b@1.0.0;
		interface clock { record instant { secs: u64, nanos: u32 } }
		interface messages {
			use clock.{instant as time};
			record message { at: time, body: list<u8> }
			variant problem { late(time), other(string) }
		}
		interface sink { use messages.{message, problem}; put: func(m: message) -> result<_, problem>; }
		interface work {
			use messages.{message, problem};
			use clock.{instant};
			process: func(at: instant, m: message) -> result<message, problem>;
		}
		interface more { use messages.{message}; all: func(m: list<message>) -> u32; }
		world w { import sink; export work; export more; }`,
	"imported resources": `package a:b;
		interface files {
			resource file {
				constructor(name: string);
				read: func(n: u32) -> list<u8>;
				join: static func(a: file, b: borrow<file>) -> file;
			}
			open: func(name: string) -> result<file, string>;
		}
		interface use-files { use files.{file}; size: func(f: borrow<file>) -> u64; take: func(f: file); }
		world w { import files; import use-files; export use-files; }`,
	"exported resources": `package a:b;
		interface store {
			resource bucket {
				constructor(name: string);
				get: func(key: string) -> option<list<u8>>;
				merge: static func(a: bucket, b: borrow<bucket>) -> bucket;
			}
			resource token;
			record pair { a: bucket, b: token }
			pairs: func() -> list<pair>;
		}
		interface client { use store.{bucket, pair}; use-it: func(b: borrow<bucket>) -> pair; }
		world w { export store; export client; }`,
	"both sides": `package a:b;
		interface shop { resource item { price: func() -> u32; } record order { item: item, n: u32 } buy: func(o: order) -> item; }
		world w { import shop; export shop; }`,
	"types of the world": `package a:b;
		interface base { record point { x: u32, y: u32 } resource pen; }
		world w {
			use base.{point, pen};
			record line { a: point, b: point }
			resource canvas { draw: func(l: line, with: borrow<pen>); }
			import bounds: func(l: line) -> point;
			export render: func(lines: list<line>, on: borrow<canvas>) -> result<point, string>;
		}`,
	"inline interfaces": `package a:b;
		world w {
			import host: interface { record r { a: string } f: func(r: r) -> r; }
			export guest: interface { enum e { x, y } g: func(e: e) -> option<e>; }
		}`,
	"same names": `package a:b;
		interface one { variant error { a } enum error2 { z } f: func() -> result<_, error>; k: func(e: error2); }
		interface two { enum error { b, c } g: func() -> result<_, error>; }
		interface both {
			use one.{error as one-error, error2};
			use two.{error};
			h: func(e: one-error) -> result<_, error>;
			k: func(e: error2);
		}
		world w { import one; import two; export both; }`,
}

// linked returns the type of a component, as the linker sees it.
func linked(t rapid.TB, data []byte) *types.Component {
	t.Helper()
	c, err := binary.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := link.Link(c, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Type
}

func print(t rapid.TB, w *types.Component) string {
	t.Helper()
	text, err := wit.Print(w)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestComponentFitsWorld(t *testing.T) {
	for name, text := range worlds {
		t.Run(name, func(t *testing.T) {
			w := world(t, text)
			out, err := encode.Component(dummy(t, w).assemble(), w, encode.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(print(t, w), print(t, linked(t, out))); diff != "" {
				t.Errorf("type of the component (-world +component):\n%s", diff)
			}
			again, err := encode.Component(dummy(t, world(t, text)).assemble(), world(t, text), encode.Options{})
			if err != nil || !bytes.Equal(out, again) {
				t.Errorf("second encoding differs, or failed: %v", err)
			}
		})
	}
}

// builtWorld returns a world that WIT has no words for: it exports types itself, and
// has types that text knows under a feature only.
func builtWorld() *types.Component {
	u8, text := &types.Type{Kind: types.U8}, &types.Type{Kind: types.String}
	address := &types.Type{Kind: types.FixedList, Elem: u8, Len: 4}
	labels := &types.Type{Kind: types.Map, Fields: []types.Field{{Type: text}, {Type: address}}}
	host := &types.Type{Kind: types.Record, Fields: []types.Field{{Name: "address", Type: address}, {Name: "labels", Type: labels}}}
	hosts := &types.Type{Kind: types.List, Elem: host}
	find := &types.Func{Params: []types.Field{{Name: "in", Type: hosts}, {Name: "at", Type: address}}, Result: &types.Type{Kind: types.Option, Elem: host}}
	return &types.Component{
		Imports: []types.Extern{{Name: "log", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "labels", Type: labels}}}}},
		Exports: []types.Extern{
			{Name: "find", Sort: types.SortFunc, Func: find},
			{Name: "hosts", Sort: types.SortType, Type: hosts},
			{Name: "host", Sort: types.SortType, Type: host},
			{Name: "a:b/use", Sort: types.SortInstance, Instance: &types.Instance{Exports: []types.Extern{
				{Name: "host", Sort: types.SortType, Type: host},
				{Name: "find", Sort: types.SortFunc, Func: find},
			}}},
		},
	}
}

func TestComponentOfBuiltWorld(t *testing.T) {
	w := builtWorld()
	out, err := encode.Component(dummy(t, w).assemble(), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := linked(t, out)
	m := &types.Matcher{}
	for _, side := range []struct{ want, got []types.Extern }{{w.Imports, got.Imports}, {w.Exports, got.Exports}} {
		if len(side.want) != len(side.got) {
			t.Fatalf("component has %d imports or exports, want %d", len(side.got), len(side.want))
		}
		for _, x := range side.want {
			switch y := types.Find(side.got, x.Name); {
			case y == nil:
				t.Errorf("component has no %q", x.Name)
			case x.Func != nil:
				if err := m.Func(x.Func, y.Func); err != nil {
					t.Errorf("%s: %v", x.Name, err)
				}
			case x.Type != nil:
				if err := m.Value(x.Type, y.Type); err != nil {
					t.Errorf("%s: %v", x.Name, err)
				}
			default:
				if err := m.Func(x.Instance.Exports[1].Func, types.Find(y.Instance.Exports, "find").Func); err != nil {
					t.Errorf("%s: %v", x.Name, err)
				}
			}
		}
	}
}

const processor = `package a:processor@1.1.0;
	interface types { resource buffer { read: func() -> list<u8>; } record message { body: list<u8> } }
	interface logger { enum level { info, warn } log: func(l: level, text: string); }
	interface state { get: func(key: string) -> option<list<u8>>; set: func(key: string); clear: func(); }
	interface %map { use types.{message}; process: func(m: message) -> result<message, string>; init: func(n: u32) -> bool; }
	interface filter { use types.{message}; process: func(m: message) -> result<bool, string>; }
	world map-impl { import logger; import state; export %map; }
	world filter-impl { import logger; export filter; }
	world both { include map-impl; include filter-impl; }`

var (
	mapProcess    = coreFunc{"a:processor/map@1.1.0#process", sig(in(i32, i32), i32), nil}
	mapInit       = coreFunc{"a:processor/map@1.1.0#init", sig(in(i32), i32), nil}
	filterProcess = coreFunc{"a:processor/filter@1.1.0#process", sig(in(i32, i32), i32), nil}
	realloc       = coreFunc{"cabi_realloc", reallocType, nil}
)

// A component has the imports that its module uses, of them the functions that it
// uses, and the types that its exports need; with Subset, the exports that the
// module has.
func TestComponentHasWhatIsUsed(t *testing.T) {
	p, err := wit.ParseText("processor.wit", processor)
	if err != nil {
		t.Fatal(err)
	}
	var impls []*types.Component
	for _, name := range []string{"map-impl", "filter-impl"} {
		w, err := p.World(name)
		if err != nil {
			t.Fatal(err)
		}
		impls = append(impls, w)
	}
	for _, tt := range []struct {
		name    string
		imports []coreImport
		funcs   []coreFunc
		want    string
	}{
		{"filter alone", nil, []coreFunc{realloc, filterProcess}, `
			world w { export filter; }`},
		{"both, logging", []coreImport{
			{"a:processor/logger@1.1.0", "log", sig(in(i32, i32, i32))},
		}, []coreFunc{realloc, filterProcess, mapProcess, mapInit}, `
			world w { import logger; import types; export %map; export filter; }`},
		{"a function of an interface", []coreImport{
			{"a:processor/state@1.1.0", "clear", sig(nil)},
		}, []coreFunc{realloc, filterProcess}, `
			world w { import state; export filter; }`},
		{"a drop", []coreImport{
			{"a:processor/types@1.1.0", "[resource-drop]buffer", dropType},
		}, []coreFunc{realloc, filterProcess}, `
			world w { export filter; }`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := coreModule{imports: tt.imports, funcs: tt.funcs, memory: true}
			out, err := encode.Component(m.assemble(), encode.Union(impls...), encode.Options{Subset: true})
			if err != nil {
				t.Fatal(err)
			}
			used := `package a:processor@1.1.0;
				interface types { resource buffer; record message { body: list<u8> } }
				interface logger { enum level { info, warn } log: func(l: level, text: string); }
				interface state { clear: func(); }
				interface %map { use types.{message}; process: func(m: message) -> result<message, string>; init: func(n: u32) -> bool; }
				interface filter { use types.{message}; process: func(m: message) -> result<bool, string>; }`
			want := world(t, used+tt.want)
			if diff := cmp.Diff(print(t, want), print(t, linked(t, out))); diff != "" {
				t.Errorf("type of the component (-want +got):\n%s", diff)
			}
		})
	}
}

// A module that imports preview1 becomes a component that imports WASI 0.2, and
// of that only what the functions it imports lead to.
func TestComponentWithPreview1(t *testing.T) {
	preview1 := func(names ...string) (list []coreImport) {
		types := map[string]core.FuncType{
			"fd_write":       sig(in(i32, i32, i32, i32), i32),
			"clock_time_get": sig(in(i32, i64, i32), i32),
			"proc_exit":      sig(in(i32)),
			"path_open":      sig(in(i32, i32, i32, i32, i32, i64, i64, i32, i32), i32),
			"poll_oneoff":    sig(in(i32, i32, i32, i32), i32),
			"random_get":     sig(in(i32, i32), i32),
		}
		for _, n := range names {
			list = append(list, coreImport{"wasi_snapshot_preview1", n, types[n]})
		}
		return list
	}
	const plain = "package a:b; world w { export run: func(); }"
	const streams = `package wasi:io@0.2.0 { interface error { resource error; } interface streams {
		use error.{error};
		resource output-stream;
		flush-all: func(); } }
		package a:b { world w { import wasi:io/streams@0.2.0; export run: func(); } }`
	for _, tt := range []struct {
		name    string
		imports []coreImport
		want    []string
	}{
		{"nothing", preview1("path_open"), nil},
		{"exit", preview1("proc_exit", "proc_exit"), []string{"wasi:cli/exit@0.2.0"}},
		{"clocks", preview1("clock_time_get"), []string{"wasi:io/poll@0.2.0", "wasi:clocks/monotonic-clock@0.2.0", "wasi:clocks/wall-clock@0.2.0"}},
		{"output", preview1("fd_write"), []string{"wasi:io/error@0.2.0", "wasi:io/streams@0.2.0", "wasi:cli/stdout@0.2.0", "wasi:cli/stderr@0.2.0"}},
		{"random", preview1("random_get"), []string{"wasi:random/random@0.2.0"}},
		{"poll", preview1("poll_oneoff"), []string{"wasi:io/poll@0.2.0", "wasi:clocks/monotonic-clock@0.2.0", "wasi:clocks/wall-clock@0.2.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := coreModule{imports: tt.imports, memory: true, funcs: []coreFunc{{"run", sig(nil), nil}}}
			out, err := encode.Component(m.assemble(), world(t, plain), encode.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range linked(t, out).Imports {
				got = append(got, x.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("imports (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("world has some of it", func(t *testing.T) {
		var got []string
		for _, x := range linked(t, merged(t)).Imports {
			got = append(got, x.Name)
		}
		want := []string{"wasi:io/error@0.2.0", "wasi:io/streams@0.2.0", "wasi:cli/stdout@0.2.0", "wasi:cli/stderr@0.2.0"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("imports (-want +got):\n%s", diff)
		}
	})
	t.Run("world lacks a function", func(t *testing.T) {
		m := coreModule{imports: preview1("fd_write"), memory: true, funcs: []coreFunc{{"run", sig(nil), nil}}}
		_, err := encode.Component(m.assemble(), world(t, streams), encode.Options{})
		want := `encode: preview1 adapter: module imports "[method]output-stream.blocking-write-and-flush" from "wasi:io/streams@0.2.0": the interface has no such function; it has flush-all`
		if err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	})
}

// merged returns a component that imports streams for itself and for the adapter.
func merged(t *testing.T) []byte {
	t.Helper()
	w := world(t, `package wasi:io@0.2.0 {
			interface error { resource error; }
			interface streams {
				use error.{error};
				variant stream-error { last-operation-failed(error), closed }
				resource output-stream {
					flush: func() -> result<_, stream-error>;
					blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
				}
			}
		}
		package a:b { world w { import wasi:io/streams@0.2.0; export run: func(); } }`)
	m := coreModule{memory: true, funcs: []coreFunc{{"run", sig(nil), nil}}, imports: []coreImport{
		{"wasi:io/streams@0.2.0", "[method]output-stream.flush", sig(in(i32, i32))},
		{"wasi:io/streams@0.2.0", "[resource-drop]output-stream", dropType},
		{"wasi_snapshot_preview1", "fd_write", sig(in(i32, i32, i32, i32), i32)},
	}}
	out, err := encode.Component(m.assemble(), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestComponentErrors(t *testing.T) {
	both := world(t, processor)
	log := coreImport{"a:processor/logger@1.1.0", "log", sig(in(i32, i32, i32))}
	good := []coreFunc{realloc, filterProcess}
	for _, tt := range []struct {
		name   string
		module coreModule
		want   string
	}{
		{"exports nothing", coreModule{memory: true, funcs: []coreFunc{realloc}},
			"module exports nothing that the world exports; it could export a:processor/map@1.1.0, a:processor/filter@1.1.0"},
		{"program", coreModule{memory: true, funcs: []coreFunc{{"_start", sig(nil), nil}}},
			"module exports nothing that the world exports: it is a program, with _start; build it as a library (Go: -buildmode=c-shared)"},
		{"half an interface", coreModule{memory: true, funcs: []coreFunc{realloc, mapProcess}},
			`module does not export function "a:processor/map@1.1.0#init", which the world's export "a:processor/map@1.1.0" needs`},
		{"unknown function", coreModule{memory: true, funcs: []coreFunc{realloc, filterProcess, {"a:processor/filter@1.1.0#proces", sig(nil), nil}}},
			`module exports "a:processor/filter@1.1.0#proces", but interface "a:processor/filter@1.1.0" has no function "proces"`},
		{"unknown interface", coreModule{memory: true, funcs: []coreFunc{{"x:y/z#process", sig(nil), nil}}},
			`module exports "x:y/z#process", but the world exports no "x:y/z"; it exports a:processor/map@1.1.0, a:processor/filter@1.1.0`},
		{"other version", coreModule{memory: true, funcs: []coreFunc{{"a:processor/map@1.0.0#process", sig(nil), nil}}},
			`module exports "a:processor/map@1.0.0#process", but the world exports "a:processor/map@1.1.0"`},
		{"type of an export", coreModule{memory: true, funcs: []coreFunc{realloc, {"a:processor/filter@1.1.0#process", sig(in(i64)), nil}}},
			`module exports "a:processor/filter@1.1.0#process" as (i64) -> (), want (i32, i32) -> (i32)`},
		{"type of a post-return", coreModule{memory: true, funcs: append(good, coreFunc{"cabi_post_a:processor/filter@1.1.0#process", sig(nil), nil})},
			`module exports "cabi_post_a:processor/filter@1.1.0#process" as () -> (), want (i32) -> ()`},
		{"post-return of nothing", coreModule{memory: true, funcs: append(good, coreFunc{"cabi_post_a:processor/filter@1.1.0#proces", sig(nil), nil})},
			`module exports "cabi_post_a:processor/filter@1.1.0#proces", but interface "a:processor/filter@1.1.0" has no function "proces"`},
		{"no allocator", coreModule{memory: true, funcs: []coreFunc{filterProcess}},
			`module does not export "cabi_realloc", which "a:processor/filter@1.1.0#process" needs to pass its values`},
		{"type of the allocator", coreModule{memory: true, funcs: []coreFunc{filterProcess, {"cabi_realloc", sig(nil), nil}}},
			`module exports "cabi_realloc" as () -> (), want (i32, i32, i32, i32) -> (i32)`},
		{"type of _initialize", coreModule{memory: true, funcs: append(good, coreFunc{"_initialize", sig(nil, i32), nil})},
			`module exports "_initialize" as () -> (i32), want () -> ()`},
		{"no memory", coreModule{funcs: good},
			`module does not export its memory as "memory", which "a:processor/filter@1.1.0#process" needs`},
		{"type of an import", coreModule{memory: true, imports: []coreImport{{log.module, log.name, sig(nil)}}, funcs: good},
			`module imports "log" from "a:processor/logger@1.1.0": its type is () -> (), want (i32, i32, i32) -> ()`},
		{"import of a missing function", coreModule{memory: true, imports: []coreImport{{log.module, "warn", sig(nil)}}, funcs: good},
			`module imports "warn" from "a:processor/logger@1.1.0": the interface has no such function; it has log`},
		{"import of another version", coreModule{memory: true, imports: []coreImport{{"a:processor/logger@1.0.0", "log", log.typ}}, funcs: good},
			`module imports "log" from "a:processor/logger@1.0.0": the world offers "a:processor/logger@1.1.0"`},
		{"import of a missing resource", coreModule{memory: true, imports: []coreImport{{"a:processor/types@1.1.0", "[resource-drop]file", dropType}}, funcs: good},
			`module imports "[resource-drop]file" from "a:processor/types@1.1.0": the interface has no such resource`},
		{"two faults", coreModule{memory: true, imports: []coreImport{{"env", "puts", sig(nil)}, {"gojs", "x", sig(nil)}}, funcs: good},
			"module imports \"puts\" from \"env\": the world offers no such import; it is a symbol that the linker did not find\n" +
				"module imports \"x\" from \"gojs\": the world offers no such import; it is one of JavaScript's: build with GOOS=wasip1"},
		{"unknown import", coreModule{memory: true, imports: []coreImport{{"x:y/z", "f", sig(nil)}}, funcs: good},
			`module imports "f" from "x:y/z": the world offers no such import; it offers a:processor/logger@1.1.0, a:processor/state@1.1.0, a:processor/types@1.1.0`},
		{"exported resource of nobody", coreModule{memory: true, imports: []coreImport{{"[export]a:processor/map@1.1.0", "[resource-new]buffer", newType}}, funcs: good},
			`module imports "[resource-new]buffer" from "[export]a:processor/map@1.1.0": the component exports no such resource`},
		{"no function of preview1", coreModule{memory: true, imports: []coreImport{{"wasi_snapshot_preview1", "fd_frob", sig(nil)}}, funcs: good},
			`module imports "fd_frob" from "wasi_snapshot_preview1": preview1 has no such function`},
		{"type of a function of preview1", coreModule{memory: true, imports: []coreImport{{"wasi_snapshot_preview1", "fd_close", sig(nil)}}, funcs: good},
			`module imports "fd_close" from "wasi_snapshot_preview1": its type is () -> (), want (i32) -> (i32)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := encode.Component(tt.module.assemble(), both, encode.Options{Subset: true})
			if err == nil || err.Error() != "encode: "+tt.want {
				t.Errorf("\n got error %v\nwant error encode: %s", err, tt.want)
			}
		})
	}
	t.Run("not all exports", func(t *testing.T) {
		m := coreModule{memory: true, funcs: good}
		_, err := encode.Component(m.assemble(), both, encode.Options{})
		want := "encode: module does not export function \"a:processor/map@1.1.0#process\", which the world's export \"a:processor/map@1.1.0\" needs\n" +
			"module does not export function \"a:processor/map@1.1.0#init\", which the world's export \"a:processor/map@1.1.0\" needs"
		if err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	})
}

func TestComponentRejectsModules(t *testing.T) {
	w := world(t, "package a:b; world w { export run: func(); }")
	good := coreModule{funcs: []coreFunc{{"run", sig(nil), nil}}}.assemble()
	component, err := encode.Component(good, w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	preamble := good[:8]
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "read module: not a WebAssembly module"},
		{"text", []byte("(module)    "), "read module: not a WebAssembly module"},
		{"component", component, "read module: already a component, not a core module"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), "read module: WebAssembly version 02000000, want 01000000"},
		{"truncated", good[:len(good)-3], "read module: offset 0x20: vector of 5 elements, more than there are bytes"},
		{"memory import", join(preamble, section(2, join([]byte{1}, text("env"), text("memory"), []byte{2, 0, 1}))),
			"module does not export function \"run\", which the world's export \"run\" needs\n" +
				`module imports "memory" from "env": it is a memory, and a component gives functions only`},
		{"import of no type", join(preamble, section(2, join([]byte{1}, text("a"), text("b"), []byte{0, 7}))), `read module: offset 0x11: import "a" "b" has type 7 of 0`},
		{"export of no function", join(preamble, section(7, join([]byte{1}, text("a"), []byte{0, 7}))), `read module: offset 0xf: export "a" is function 7, which has no type`},
		{"export twice", join(preamble, section(7, join([]byte{2}, text("a"), []byte{2, 0}, text("a"), []byte{2, 0}))), `read module: offset 0x13: export "a" twice`},
		{"order", join(preamble, section(3, []byte{0}), section(2, []byte{0})), "read module: offset 0xb: section 2 after section 3"},
		{"garbage collection", join(preamble, section(1, []byte{1, 0x5f, 0})), "read module: offset 0xc: type of form 0x5f, want a function type (0x60)"},
		{"rest of a section", join(preamble, section(3, []byte{0, 0})), "read module: offset 0xb: section 3 has 1 bytes too many"},
		{"name", join(preamble, section(7, []byte{1, 1, 0xff, 0, 0})), `read module: offset 0xd: name "\xff" is not UTF-8`},
		{"number", join(preamble, section(3, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x01})), "read module: offset 0xa: malformed number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := encode.Component(tt.data, w, encode.Options{})
			if err == nil || err.Error() != "encode: "+tt.want {
				t.Errorf("\n got error %v\nwant error encode: %s", err, tt.want)
			}
		})
	}
}

func TestComponentRejectsWorlds(t *testing.T) {
	cyclic := &types.Type{Kind: types.List}
	cyclic.Elem = cyclic
	function := func(t *types.Type) types.Extern {
		return types.Extern{Name: "f", Sort: types.SortFunc, Func: &types.Func{Result: t}}
	}
	for _, tt := range []struct {
		name  string
		world *types.Component
		want  string
	}{
		{"nil", nil, "no world"},
		{"component", &types.Component{Imports: []types.Extern{{Name: "c", Sort: types.SortComponent}}}, `world: "c": components and core modules in a world are not supported`},
		{"exported resource", &types.Component{Exports: []types.Extern{{Name: "r", Sort: types.SortType, Resource: &types.Resource{Name: "r"}}}}, `export "r": a resource of the world itself is not supported, only one of an interface`},
		{"async function", &types.Component{Exports: []types.Extern{{Name: "f", Sort: types.SortFunc, Func: &types.Func{Async: true}}}}, `world: "f": an async function is not supported`},
		{"stream", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: types.Stream})}}, `world: "f": stream: the asynchronous types are not supported`},
		{"fixed-length list of nothing", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: types.FixedList, Elem: &types.Type{Kind: types.U8}})}}, `world: "f": empty fixed-length list`},
		{"map", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: types.Map})}}, `world: "f": map with 0 types, want those of key and value`},
		{"function of nothing", &types.Component{Exports: []types.Extern{{Name: "f", Sort: types.SortFunc}}}, `world: "f": extern without the definition that its sort promises`},
		{"nested instance", &types.Component{Imports: []types.Extern{{Name: "i", Sort: types.SortInstance, Instance: &types.Instance{
			Exports: []types.Extern{{Name: "j", Sort: types.SortInstance, Instance: &types.Instance{}}}}}}}, `world: "i": "j": an interface holds functions and types only`},
		{"cycle", &types.Component{Exports: []types.Extern{function(cyclic)}}, `world: "f": list contains itself`},
		{"flags", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: types.Flags, Fields: make([]types.Field, 33)})}}, `world: "f": flags with 33 labels, want 1 to 32`},
		{"list of nothing", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: types.List})}}, `world: "f": list without element`},
		{"kind", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: 99})}}, `world: "f": type of unknown kind 99`},
		{"resource of nobody", &types.Component{Exports: []types.Extern{function(&types.Type{Kind: types.Own, Resource: &types.Resource{Name: "r"}})}},
			`world: resource "r" belongs to none of the world's interfaces`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := encode.Component(coreModule{}.assemble(), tt.world, encode.Options{})
			if err == nil || err.Error() != "encode: "+tt.want {
				t.Errorf("\n got error %v\nwant error encode: %s", err, tt.want)
			}
		})
	}
}

// The type metadata that bindings generators leave is not carried along, other
// custom sections are.
func TestComponentCustomSections(t *testing.T) {
	w := world(t, "package a:b; world w { export run: func(); }")
	m := coreModule{funcs: []coreFunc{{"run", sig(nil), nil}}, custom: []string{"component-type:w", "producers-x"}}
	out, err := encode.Component(m.assemble(), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("component-type")) || !bytes.Contains(out, []byte("producers-x")) {
		t.Errorf("custom sections: got %q", out)
	}
}

// Modules are foreign bytes: whatever they are, the result is a component that
// decodes and links, or an error.
func FuzzComponent(f *testing.F) {
	p, err := wit.ParseText("processor.wit", processor)
	if err != nil {
		f.Fatal(err)
	}
	w, err := p.World("both")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(coreModule{memory: true, funcs: []coreFunc{realloc, filterProcess}}.assemble())
	f.Add(coreModule{memory: true, funcs: []coreFunc{realloc, mapProcess, mapInit, {"_initialize", sig(nil), nil}}, imports: []coreImport{
		{"wasi_snapshot_preview1", "fd_write", sig(in(i32, i32, i32, i32), i32)},
		{"wasi_snapshot_preview1", "fd_write", sig(in(i32, i32, i32, i32), i32)},
		{"a:processor/logger@1.1.0", "log", sig(in(i32, i32, i32))},
		{"a:processor/types@1.1.0", "[resource-drop]buffer", dropType},
	}}.assemble())
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := encode.Component(data, w, encode.Options{Subset: true})
		if err != nil {
			return
		}
		c, err := binary.Decode(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := link.Link(c, rewrite.Limits{}); err != nil {
			t.Fatal(err)
		}
	})
}
