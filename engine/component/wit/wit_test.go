// SPDX-License-Identifier: Apache-2.0

package wit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
	processor "github.com/wasm-graph/graphd/wit"
)

// parse parses one file.
func parse(t *testing.T, text string) *wit.Packages {
	t.Helper()
	p, err := wit.ParseText("test.wit", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func iface(t *testing.T, p *wit.Packages, name string) *types.Instance {
	t.Helper()
	i, err := p.Interface(name)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func world(t *testing.T, p *wit.Packages, name string) *types.Component {
	t.Helper()
	w, err := p.World(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// names returns the names of externs.
func names(externs []types.Extern) []string {
	var out []string
	for _, e := range externs {
		out = append(out, e.Name)
	}
	return out
}

// find returns an extern that must be there.
func find(t *testing.T, externs []types.Extern, name string) *types.Extern {
	t.Helper()
	e := types.Find(externs, name)
	if e == nil {
		t.Fatalf("no %s among %v", name, names(externs))
	}
	return e
}

// prim makes a primitive type.
func prim(k types.Kind) *types.Type { return &types.Type{Kind: k} }

func typeExtern(name string, t *types.Type) types.Extern {
	return types.Extern{Name: name, Sort: types.SortType, Type: t}
}

func TestTypes(t *testing.T) {
	u8, str := prim(types.U8), prim(types.String)
	r := &types.Resource{Name: "r"}
	for _, tt := range []struct {
		name string
		body string
		want []types.Extern
	}{
		{"primitives", `type a = bool; type b = s8; type c = u8; type d = s16; type e = u16; type f = s32; type g = u32; type h = s64;
			type i = u64; type j = f32; type k = f64; type l = char; type m = string;`, []types.Extern{
			typeExtern("a", prim(types.Bool)), typeExtern("b", prim(types.S8)), typeExtern("c", u8), typeExtern("d", prim(types.S16)),
			typeExtern("e", prim(types.U16)), typeExtern("f", prim(types.S32)), typeExtern("g", prim(types.U32)), typeExtern("h", prim(types.S64)),
			typeExtern("i", prim(types.U64)), typeExtern("j", prim(types.F32)), typeExtern("k", prim(types.F64)), typeExtern("l", prim(types.Char)),
			typeExtern("m", str),
		}},
		{"record", "record r { a: u8, b-c: string }", []types.Extern{typeExtern("r", &types.Type{Kind: types.Record,
			Fields: []types.Field{{Name: "a", Type: u8}, {Name: "b-c", Type: str}}})}},
		{"variant", "variant v { a(u8), b, %string(string), }", []types.Extern{typeExtern("v", &types.Type{Kind: types.Variant,
			Fields: []types.Field{{Name: "a", Type: u8}, {Name: "b"}, {Name: "string", Type: str}}})}},
		{"enum", "enum e { a, b }", []types.Extern{typeExtern("e", &types.Type{Kind: types.Enum, Fields: []types.Field{{Name: "a"}, {Name: "b"}}})}},
		{"flags", "flags f { a, b, }", []types.Extern{typeExtern("f", &types.Type{Kind: types.Flags, Fields: []types.Field{{Name: "a"}, {Name: "b"}}})}},
		{"containers", "type t = list<option<tuple<u8, string,>>>;", []types.Extern{typeExtern("t", &types.Type{Kind: types.List,
			Elem: &types.Type{Kind: types.Option, Elem: &types.Type{Kind: types.Tuple, Fields: []types.Field{{Type: u8}, {Type: str}}}}})}},
		{"results", "type a = result; type b = result<u8>; type c = result<_, u8>; type d = result<u8, string>;", []types.Extern{
			typeExtern("a", &types.Type{Kind: types.Result}), typeExtern("b", &types.Type{Kind: types.Result, Elem: u8}),
			typeExtern("c", &types.Type{Kind: types.Result, Err: u8}), typeExtern("d", &types.Type{Kind: types.Result, Elem: u8, Err: str}),
		}},
		{"handles", "resource r; type a = own<r>; type b = borrow<r>; type c = list<r>; type d = r;", []types.Extern{
			{Name: "r", Sort: types.SortType, Resource: r},
			typeExtern("a", &types.Type{Kind: types.Own, Resource: r}), typeExtern("b", &types.Type{Kind: types.Borrow, Resource: r}),
			typeExtern("c", &types.Type{Kind: types.List, Elem: &types.Type{Kind: types.Own, Resource: r}}),
			{Name: "d", Sort: types.SortType, Resource: r},
		}},
		{"dependencies first", "type a = list<b>; type b = list<c>; type c = u8;", []types.Extern{
			typeExtern("c", u8), typeExtern("b", &types.Type{Kind: types.List, Elem: u8}),
			typeExtern("a", &types.Type{Kind: types.List, Elem: &types.Type{Kind: types.List, Elem: u8}}),
		}},
		{"functions", "a: func(); %use: func(x: u8, y: string,) -> u8; type %type = u8;", []types.Extern{
			typeExtern("type", u8),
			{Name: "a", Sort: types.SortFunc, Func: &types.Func{}},
			{Name: "use", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "x", Type: u8}, {Name: "y", Type: str}}, Result: u8}},
		}},
		{"resource", "resource r { constructor(x: u8); m: func() -> u8; s: static func(o: borrow<r>) -> r; }", []types.Extern{
			{Name: "r", Sort: types.SortType, Resource: r},
			{Name: "[constructor]r", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "x", Type: u8}}, Result: &types.Type{Kind: types.Own, Resource: r}}},
			{Name: "[method]r.m", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "self", Type: &types.Type{Kind: types.Borrow, Resource: r}}}, Result: u8}},
			{Name: "[static]r.s", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "o", Type: &types.Type{Kind: types.Borrow, Resource: r}}}, Result: &types.Type{Kind: types.Own, Resource: r}}},
		}},
		{"fallible constructor", "resource r { constructor() -> result<r, string>; }", []types.Extern{
			{Name: "r", Sort: types.SortType, Resource: r},
			{Name: "[constructor]r", Sort: types.SortFunc, Func: &types.Func{Result: &types.Type{Kind: types.Result, Elem: &types.Type{Kind: types.Own, Resource: r}, Err: str}}},
		}},
		{"comments", "/// doc\ntype a = /* in /* side */ */ u8; // end\n", []types.Extern{typeExtern("a", u8)}},
		{"stable gates", "@since(version = 1.2.3) @deprecated(version = 2.0.0-rc.1) type a = u8; @since(version = 1.0.0, feature = x) b: func();", []types.Extern{
			typeExtern("a", u8), {Name: "b", Sort: types.SortFunc, Func: &types.Func{}},
		}},
		{"unstable gates", `@unstable(feature = x) type a = u8; @unstable(feature = x) f: func(); @unstable(feature = x) resource s { m: func(); }
			resource r { @unstable(feature = x) m: func(); }`, []types.Extern{{Name: "r", Sort: types.SortType, Resource: r}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := iface(t, parse(t, "package a:b; interface i { "+tt.body+" }"), "i")
			if diff := cmp.Diff(tt.want, got.Exports); diff != "" {
				t.Errorf("externs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	p := parse(t, `package a:b;
		interface one { record rec { x: num } type num = u8; type same = rec; resource res; }
		interface two { use one.{rec, num, res as thing}; type other = rec; f: func(a: rec, b: u8, c: num, d: thing); }`)
	one, two := iface(t, p, "one").Exports, iface(t, p, "two").Exports
	rec, num, res := find(t, one, "rec").Type, find(t, one, "num").Type, find(t, one, "res").Resource
	for _, tt := range []struct {
		what string
		got  any
		want any
	}{
		{"alias", find(t, one, "same").Type, rec},
		{"field", rec.Fields[0].Type, num},
		{"used type", find(t, two, "rec").Type, rec},
		{"alias of a used type", find(t, two, "other").Type, rec},
		{"used resource", find(t, two, "thing").Resource, res},
		{"parameter", find(t, two, "f").Func.Params[0].Type, rec},
		{"parameter of a named primitive", find(t, two, "f").Func.Params[2].Type, num},
		{"owned resource", find(t, two, "f").Func.Params[3].Type.Resource, res},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is another pointer", tt.what)
		}
	}
	if find(t, two, "f").Func.Params[1].Type == num {
		t.Error("a plain u8 is the named one")
	}
}

func TestWorld(t *testing.T) {
	const text = `package a:b@1.2.3;
		interface base { type t = u8; resource r; }
		interface mid { use base.{t}; f: func() -> t; }
		interface top { use mid.{t}; use base.{r}; g: func(r: borrow<r>) -> t; }
		interface direct { use base.{t}; f: func() -> t; }
		interface plain { h: func(); }
		world imports { import top; import plain; }
		world exports { export top; }
		world both { import base; export direct; export base; }
		world functions { import f: func(x: u8); export g: func() -> string; }
		world inline { import i: interface { use base.{t}; f: func() -> t; } export e: interface { g: func(); } }
		world types { use base.{t as u, r}; record rec { x: u, y: r } import f: func(r: rec); export g: func(r: rec); resource mine { m: func(); } }
		world more { include imports; include functions with { f as f2 } export plain; }
		@unstable(feature = x) world gone { }
		world gated { @unstable(feature = x) import plain; @since(version = 1.0.0) export plain; }`
	for _, tt := range []struct {
		world            string
		imports, exports []string
	}{
		{"imports", []string{"a:b/base@1.2.3", "a:b/mid@1.2.3", "a:b/top@1.2.3", "a:b/plain@1.2.3"}, nil},
		{"exports", []string{"a:b/base@1.2.3", "a:b/mid@1.2.3"}, []string{"a:b/top@1.2.3"}},
		{"both", []string{"a:b/base@1.2.3"}, []string{"a:b/base@1.2.3", "a:b/direct@1.2.3"}},
		{"functions", []string{"f"}, []string{"g"}},
		{"inline", []string{"a:b/base@1.2.3", "i"}, []string{"e"}},
		{"types", []string{"a:b/base@1.2.3", "u", "r", "rec", "mine", "[method]mine.m", "f"}, []string{"g"}},
		{"more", []string{"a:b/base@1.2.3", "a:b/mid@1.2.3", "a:b/top@1.2.3", "a:b/plain@1.2.3", "f2"}, []string{"g", "a:b/plain@1.2.3"}},
		{"gated", nil, []string{"a:b/plain@1.2.3"}},
	} {
		t.Run(tt.world, func(t *testing.T) {
			w := world(t, parse(t, text), tt.world)
			if diff := cmp.Diff(tt.imports, names(w.Imports)); diff != "" {
				t.Errorf("imports (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.exports, names(w.Exports)); diff != "" {
				t.Errorf("exports (-want +got):\n%s", diff)
			}
		})
	}
	p := parse(t, text)
	if _, err := p.World("gone"); err == nil {
		t.Error("an unstable world is there")
	}
	w := world(t, p, "types")
	if find(t, w.Imports, "u").Type != find(t, iface(t, p, "base").Exports, "t").Type {
		t.Error("a type used by a world is another pointer")
	}
	if find(t, w.Exports, "g").Func.Params[0].Type != find(t, w.Imports, "rec").Type {
		t.Error("an exported function does not use the world's type")
	}
}

// TestExportedTwin checks that an interface that a world imports and exports has
// types of its own on the export side, and who uses which.
func TestExportedTwin(t *testing.T) {
	p := parse(t, `package a:b;
		interface base { resource r; record t { x: u8 } }
		interface user { use base.{r, t}; f: func(r: borrow<r>) -> t; }
		world both { import base; export user; export base; }
		world half { export user; }`)
	both := world(t, p, "both")
	if diff := cmp.Diff([]string{"a:b/base", "a:b/user"}, names(both.Exports)); diff != "" {
		t.Errorf("exports, each after what it uses (-want +got):\n%s", diff)
	}
	in := find(t, both.Imports, "a:b/base").Instance
	out := find(t, both.Exports, "a:b/base").Instance
	user := find(t, both.Exports, "a:b/user").Instance
	if find(t, in.Exports, "r").Resource == find(t, out.Exports, "r").Resource || find(t, in.Exports, "t").Type == find(t, out.Exports, "t").Type {
		t.Error("the exported interface has the imported one's types")
	}
	if find(t, user.Exports, "r").Resource != find(t, out.Exports, "r").Resource {
		t.Error("the exported user does not use the exported resource")
	}
	if in != iface(t, p, "base") {
		t.Error("the imported interface is another pointer than Interface returns")
	}
	half := world(t, p, "half")
	if half.Exports[0].Instance != iface(t, p, "user") {
		t.Error("an interface that is only exported is another pointer than Interface returns")
	}
}

func TestFolders(t *testing.T) {
	files := fstest.MapFS{
		"b.wit":                {Data: []byte("use dep:one/types@1.0.0-rc.1 as one; interface b { use one.{t}; use a.{u}; use dep:two/x.{v}; }")},
		"a.wit":                {Data: []byte("package my:pkg; interface a { type u = u8; }")},
		"deps/one/types.wit":   {Data: []byte("package dep:one@1.0.0-rc.1; interface types { type t = u8; }")},
		"deps/two.wit":         {Data: []byte("package dep:two; interface x { use dep:three/y@2.0.0.{v}; } package dep:three@2.0.0 { interface y { type v = u8; } }")},
		"deps/four.wit":        {Data: []byte("package dep:four; interface z {}")},
		"deps/one/readme.md":   {Data: []byte("not WIT")},
		"deps/five/nested.wit": {Data: []byte("package dep:five { interface q {} } package dep:six { world w {} }")},
	}
	p, err := wit.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Package(); got != "my:pkg" {
		t.Errorf("main package is %s, want my:pkg", got)
	}
	got := p.Interfaces()
	slices.Sort(got[2:])
	if diff := cmp.Diff([]string{"my:pkg/a", "my:pkg/b", "dep:five/q", "dep:four/z", "dep:one/types@1.0.0-rc.1", "dep:three/y@2.0.0", "dep:two/x"}, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"dep:six/w"}, p.Worlds()); diff != "" {
		t.Errorf("worlds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"t", "u", "v"}, names(iface(t, p, "b").Exports)); diff != "" {
		t.Errorf("my:pkg/b (-want +got):\n%s", diff)
	}
	iface(t, p, "dep:three/y@2.0.0")
	if _, err := p.Interface("dep:three/y"); err == nil || !strings.Contains(err.Error(), `did you mean "dep:three/y@2.0.0"?`) {
		t.Errorf("an interface without its version: %v, want a hint", err)
	}
	if _, err := p.World("nothing"); err == nil {
		t.Error("a world that is not there was found")
	}
}

func TestErrors(t *testing.T) {
	inIface := func(body string) string { return "package a:b;\ninterface i {\n" + body + "\n}" }
	inWorld := func(body string) string {
		return "package a:b;\nworld w {\n" + body + "\n}\ninterface i { type t = u8; }\nworld v { import x: func(); }"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no package", "interface i {}", "test.wit:1:1: no file says which package this is (start a file of the folder with package namespace:name@version;)"},
		{"empty", "", "no package is declared"},
		{"character", "package a:b;\n  ~", "test.wit:2:3: unexpected character '~'"},
		{"not UTF-8", "package a:b;\xff", `test.wit:1:13: unexpected character '�'`},
		{"open comment", "package a:b; /* /* */", "test.wit:1:14: comment does not end (close it with */)"},
		{"name", "package a:b-;", `test.wit:1:11: "b-" is no name`},
		{"mixed case", "package a:bC;", `test.wit:1:11: "bC" is no name`},
		{"version", "package a:b@1.0;", "test.wit:1:13: invalid version (three numbers"},
		{"pre-release", "package a:b@1.0.0-;", "test.wit:1:13: invalid version"},
		{"keyword", inIface("type list = u8;"), `test.wit:3:6: expected a type name, found the keyword "list" (a keyword is a name when written %list)`},
		{"end of file", "package a:b; interface i {", "test.wit:1:27: expected a type or a function, found the end of the file"},
		{"mark", inIface("f: func("), `test.wit:4:1: expected a parameter, found "}"`},
		{"unknown type", inIface("record point { x: u32 }\nf: func(p: ponit);"), `test.wit:4:12: unknown type ponit (did you mean "point"?)`},
		{"unknown primitive", inIface("f: func(p: int32);"), "test.wit:3:12: unknown type int32"},
		{"not a resource", inIface("type t = u8; f: func(p: borrow<t>);"), "test.wit:3:32: t is not a resource"},
		{"recursive", inIface("record r { x: option<r> }"), "test.wit:3:8: type r contains itself (types can't be recursive)"},
		{"recursive through others", inIface("type a = list<b>;\ntype b = c;\ntype c = option<a>;"), "test.wit:3:6: type a contains itself"},
		{"type twice", inIface("type t = u8;\nrecord t { x: u8 }"), "test.wit:4:8: t is declared twice"},
		{"type and function", inIface("type t = u8;\nt: func();"), "test.wit:4:1: t is declared twice"},
		{"upper and lower case", inIface("f: func(); F: func();"), "test.wit:3:12: F is declared twice"},
		{"field twice", inIface("record r { x: u8, X: u8 }"), "test.wit:3:19: X is declared twice"},
		{"method twice", inIface("resource r { m: func(); m: static func(); }"), "test.wit:3:25: [static]r.m is declared twice"},
		{"method of the resource's name", inIface("resource r { r: func(); }"), "test.wit:3:14: [method]r.r is declared twice"},
		{"self", inIface("resource r { m: func(self: u8); }"), "test.wit:3:14: a method has the parameter self"},
		{"constructor", inIface("resource r { constructor() -> u8; }"), "test.wit:3:31: a constructor returns what it constructs"},
		{"borrow returned", inIface("resource r; f: func() -> option<borrow<r>>;"), "test.wit:3:26: a function can't return a borrow"},
		{"empty record", inIface("record r {}"), "test.wit:3:8: r has nothing in it"},
		{"empty tuple", inIface("type t = tuple<>;"), "test.wit:3:10: tuple has no types"},
		{"flags", inIface("flags f { a" + strings.Repeat(",a", 32) + "}"), "test.wit:3:7: flags f has 33 flags, the most is 32 (split them up)"},
		{"deep", inIface("type t = " + strings.Repeat("list<", 101) + "u8" + strings.Repeat(">", 101) + ";"), "type nests more than 100 deep"},
		{"stream", inIface("type t = stream<u8>;"), "test.wit:3:10: asynchronous type stream is not supported"},
		{"async", inIface("f: async func();"), "test.wit:3:4: async functions are not supported"},
		{"map", inIface("type t = map<u8, u8>;"), "test.wit:3:10: type map<...> is not supported"},
		{"list of fixed length", inIface("type t = list<u8, 4>;"), "test.wit:3:17: lists of fixed length are not supported"},
		{"named results", inIface("f: func() -> (a: u8);"), "test.wit:3:14: named results are not supported (return a tuple or a record)"},
		{"annotation", inIface("@stable type t = u8;"), `test.wit:3:9: expected "(", found "type"`},
		{"unknown annotation", inIface("@sinse(version = 1.0.0) type t = u8;"), "test.wit:3:2: unknown annotation @sinse (since, unstable or deprecated)"},

		{"use of an unknown interface", inIface("use j.{t};"), "test.wit:3:5: package a:b has no j"},
		{"use of an unknown package", inIface("use c:d/i.{t};"), `test.wit:3:9: package c:d is not among the given files`},
		{"use of another version", "package a:b@1.0.0; interface i {} interface j { use a:b/i@1.0.1.{t}; }", `package a:b@1.0.1 is not among the given files (did you mean "a:b@1.0.0"?)`},
		{"use of an unknown type", inWorld("use i.{s};"), `test.wit:3:8: interface i has no type s`},
		{"use of a function", "package a:b; interface i { f: func(); } interface j { use i.{f}; }", "test.wit:1:62: interface i has no type f"},
		{"use of a world", inWorld("use v.{t};"), "test.wit:3:5: v is a world, not an interface"},
		{"use of itself", inIface("use i.{t};"), "test.wit:2:11: interface uses itself"},
		{"use in a circle", "package a:b; interface i { use j.{t}; } interface j { use i.{t}; }", "interface uses itself"},
		{"empty use in a circle", "package a:b; interface i { use j.{}; } interface j { use i.{}; }", "interface uses itself"},
		{"used twice", inWorld("use i.{t}; use i.{t};"), "test.wit:3:19: t is declared twice"},
		{"file uses what is not there", "package a:b; use c:d/e;", "test.wit:1:22: package c:d is not among"},
		{"file uses under a taken name", "package a:b; use j as i; interface i {} interface j {}", `test.wit:1:23: i is declared in this file already (give it another name with "as")`},
		{"interface twice", "package a:b; interface i {}\nworld i {}", "test.wit:2:7: i is declared twice, first at test.wit:1:24"},
		{"package twice", "package a:b; package c:d {} package c:d {}", "test.wit:1:29: package c:d is declared twice"},

		{"unknown import", inWorld("import j;"), "test.wit:3:8: package a:b has no j"},
		{"import twice", inWorld("import i; import i;"), "test.wit:3:11: interface i is named twice"},
		{"function twice", inWorld("import f: func(); import f: func();"), "test.wit:3:19: f is declared twice"},
		{"import of a world", inWorld("import v;"), "test.wit:3:8: v is a world, not an interface"},
		{"include of an interface", inWorld("include i;"), "test.wit:3:9: i is an interface, not a world"},
		{"include of itself", inWorld("include w;"), "test.wit:2:7: world w includes itself"},
		{"include clash", inWorld("include v; import x: func();"), "test.wit:3:12: x is declared twice"},
		{"include rename", inWorld("include v with { y as z }"), "test.wit:3:18: world v has no y"},
		{"types of both sides", "package a:b; interface i { type t = u8; } interface j { use i.{t}; } interface k { use j.{t}; } world w { export i; export k; }",
			"test.wit:1:91: a:b/k has types of a:b/i, which is exported, by way of a:b/j, which is not (export a:b/j, too)"},
		{"world item", inWorld("f: func();"), `test.wit:3:1: expected import, export, include, use or a type, found "f"`},
		{"unknown type of a world", inWorld("import f: func(x: tt);"), "test.wit:3:19: unknown type tt"},
		{"top level", "package a:b; type t = u8;", `test.wit:1:14: expected interface, world or use, found "type"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := wit.ParseText("test.wit", tt.text)
			if err == nil {
				t.Fatalf("parsed: %v %v", p.Interfaces(), p.Worlds())
			}
			if !strings.HasPrefix(err.Error(), "wit: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			var e *wit.Error
			if strings.HasPrefix(tt.want, "test.wit") && (!errors.As(err, &e) || e.File != "test.wit" || e.Line < 1 || e.Col < 1) {
				t.Errorf("error %v has no place", err)
			}
		})
	}
}

func TestFolderErrors(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, tt := range []struct {
		name  string
		files fstest.MapFS
		want  string
	}{
		{"no files", fstest.MapFS{"a.txt": file("")}, "none is named *.wit"},
		{"two packages in a folder", fstest.MapFS{"a.wit": file("package a:b;"), "b.wit": file("package a:c;")},
			"b.wit:1:1: package a:c, but another file of this folder says a:b"},
		{"one package in two folders", fstest.MapFS{"a.wit": file("package a:b;"), "x/b.wit": file("package a:b;")},
			"x/b.wit:1:1: package a:b is declared twice"},
		{"too much text", fstest.MapFS{"a.wit": file("package a:b;" + strings.Repeat(" ", 2<<20))}, "more than 2097152 bytes"},
		{"another file's uses", fstest.MapFS{"a.wit": file("package a:b; use i as j; interface i {}"), "b.wit": file("interface k { use j.{}; }")},
			"b.wit:1:19: package a:b has no j"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := wit.Parse(tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestSharedTypesAreCheap parses types that would be huge if written out.
func TestSharedTypesAreCheap(t *testing.T) {
	var b strings.Builder
	b.WriteString("package a:b; interface i { type t0 = u8;\n")
	last := "t0"
	for i := range 64 {
		next := "t" + strings.Repeat("x", i+1)
		b.WriteString("type " + next + " = tuple<" + last + ", " + last + ">;\n")
		last = next
	}
	b.WriteString("f: func() -> " + last + "; }")
	iface(t, parse(t, b.String()), "i")
}

// TestSharedWorldsAreCheap parses worlds that include others again and again.
func TestSharedWorldsAreCheap(t *testing.T) {
	var b strings.Builder
	b.WriteString("package a:b; interface i {} world w0 { import i; import f: func(); }\n")
	for n := range 64 {
		fmt.Fprintf(&b, "world w%d { include w%d; include w%d; }\n", n+1, n, n)
	}
	if diff := cmp.Diff([]string{"a:b/i", "f"}, names(world(t, parse(t, b.String()), "w64").Imports)); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

func TestProcessor(t *testing.T) {
	p, err := wit.Parse(processor.Processor())
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "wasm-graph:processor/"
	full := func(names ...string) []string {
		for i := range names {
			names[i] = prefix + names[i] + "@1.1.0"
		}
		return names
	}
	if got := p.Package(); got != "wasm-graph:processor@1.1.0" {
		t.Errorf("package is %s", got)
	}
	interfaces := p.Interfaces()
	slices.Sort(interfaces)
	if diff := cmp.Diff(full("accumulate", "branch", "command-invoker", "delay", "filter", "hybrid-logical-clock", "logger", "map", "metrics",
		"rpc-types", "schema-registry", "schema-types", "state-store-types", "state-store", "types"), interfaces); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	for _, kind := range []string{"map", "filter", "branch", "delay", "accumulate"} {
		w := world(t, p, kind+"-impl")
		imports := names(w.Imports)
		slices.Sort(imports)
		if diff := cmp.Diff(full("hybrid-logical-clock", "logger", "metrics", "state-store-types", "state-store", "types"), imports); diff != "" {
			t.Errorf("imports of %s-impl (-want +got):\n%s", kind, diff)
		}
		if diff := cmp.Diff(full(kind), names(w.Exports)); diff != "" {
			t.Errorf("exports of %s-impl (-want +got):\n%s", kind, diff)
		}
	}
	imports := names(world(t, p, "host").Imports)
	slices.Sort(imports)
	want := append([]string{"data-model", "module-configuration"}, full("command-invoker", "hybrid-logical-clock", "logger", "metrics",
		"rpc-types", "schema-registry", "schema-types", "state-store-types", "state-store", "types")...)
	if diff := cmp.Diff(want, imports); diff != "" {
		t.Errorf("imports of host (-want +got):\n%s", diff)
	}

	// Spot checks of what guests depend on: orders, aliases, names.
	exports := iface(t, p, "types").Exports
	dataModel := find(t, exports, "data-model").Type
	if diff := cmp.Diff([]string{"buffer-or-bytes", "message", "snapshot"}, fieldNames(dataModel.Fields)); diff != "" {
		t.Errorf("data-model (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"timestamp", "topic", "content-type", "payload", "properties", "schema"}, fieldNames(dataModel.Fields[1].Type.Fields)); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	find(t, exports, "[method]buffer.read")
	branch := find(t, iface(t, p, "branch").Exports, "process").Func
	if diff := cmp.Diff([]string{"timestamp", "message"}, fieldNames(branch.Params)); diff != "" {
		t.Errorf("branch.process (-want +got):\n%s", diff)
	}
	if branch.Params[1].Type != dataModel {
		t.Error("branch.process does not take the data-model of types")
	}
	set := find(t, iface(t, p, "state-store").Exports, "set").Func
	if diff := cmp.Diff([]string{"key", "value", "timeout", "fencing-token", "options"}, fieldNames(set.Params)); diff != "" {
		t.Errorf("state-store.set (-want +got):\n%s", diff)
	}
	find(t, iface(t, p, "command-invoker").Exports, "[constructor]command-invoker-options-builder")
	if seconds := find(t, iface(t, p, "hybrid-logical-clock").Exports, "seconds").Type; seconds.Kind != types.U64 {
		t.Errorf("seconds is a %v", seconds.Kind)
	}
}

func fieldNames(fields []types.Field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return out
}

// equalTypes compares types by structure, with resources by name.
var equalTypes = cmp.Options{cmpopts.EquateEmpty()}
