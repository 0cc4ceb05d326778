// SPDX-License-Identifier: Apache-2.0

package wit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
	processor "github.com/wasm-graph/graphd/wit"
)

// roundTrip prints c, reads the text, and checks that it says the same.
func roundTrip(t testing.TB, c *types.Component) string {
	t.Helper()
	text, err := wit.Print(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := wit.ParseText("printed.wit", text)
	if err != nil {
		t.Fatalf("what was printed can't be read: %v\n%s", err, text)
	}
	again, err := p.World("root")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again, equalTypes); diff != "" {
		t.Fatalf("printed and read (-want +got):\n%s\n%s", diff, text)
	}
	// The second text tells whether pointers are shared in the same way.
	if second, err := wit.Print(again); err != nil || second != text {
		t.Fatalf("printed again: %v\n%s\nwas:\n%s", err, second, text)
	}
	return text
}

func TestPrint(t *testing.T) {
	p := parse(t, `package a:b@1.0.0;
		interface base { type num = u8; resource r { constructor(n: num); m: func() -> result<_, string>; s: static func(o: borrow<r>); } }
		interface %use { use base.{num as %type, r}; variant v { %list(list<%type>), none } type same = %type;
			f: func(%record: v, x: r) -> option<tuple<u8, char>>; flags fl { a } enum en { a } type res = result<u8>; }
		world w { use base.{r}; record rec { x: u8, r: r } import %use; import i: interface { use base.{num}; resource r; g: func(x: num, r: r); }
			import f: func(x: rec); export %use; export %export: func() -> rec; }`)
	const want = `package root:component;

world root {
  use a:b/base@1.0.0.{r};
  record rec {
    x: u8,
    r: r,
  }
  import a:b/base@1.0.0;
  import a:b/%use@1.0.0;
  import i: interface {
    use a:b/base@1.0.0.{num};
    resource r;
    g: func(x: num, r: r);
  }
  import f: func(x: rec);
  export a:b/%use@1.0.0;
  export %export: func() -> rec;
}

package a:b@1.0.0 {
  interface base {
    type num = u8;
    resource r {
      constructor(n: num);
      m: func() -> result<_, string>;
      s: static func(o: borrow<r>);
    }
  }

  interface %use {
    use base.{num as %type, r};
    variant v {
      %list(list<%type>),
      none,
    }
    type same = %type;
    flags fl {
      a,
    }
    enum en {
      a,
    }
    type res = result<u8>;
    f: func(%record: v, x: r) -> option<tuple<u8, char>>;
  }
}
`
	if diff := cmp.Diff(want, roundTrip(t, world(t, p, "w"))); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestPrintProcessor(t *testing.T) {
	p, err := wit.Parse(processor.Processor())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.Worlds() {
		t.Run(name, func(t *testing.T) {
			roundTrip(t, world(t, p, name))
		})
	}
}

// TestPrintParts prints an interface of which the imports and the exports have
// different parts, as toolchains leave out what a component does not use.
func TestPrintParts(t *testing.T) {
	fn := func(typ *types.Type) *types.Func { return &types.Func{Params: []types.Field{{Name: "x", Type: typ}}} }
	part := func(rest func(rec *types.Type) []types.Extern) []types.Extern {
		rec := &types.Type{Kind: types.Enum, Fields: []types.Field{{Name: "a"}}}
		return []types.Extern{{Name: "a:b/c", Sort: types.SortInstance, Instance: &types.Instance{
			Exports: append([]types.Extern{typeExtern("both", rec)}, rest(rec)...),
		}}}
	}
	text, err := wit.Print(&types.Component{
		Imports: part(func(both *types.Type) []types.Extern {
			return []types.Extern{{Name: "f", Sort: types.SortFunc, Func: fn(both)}}
		}),
		Exports: part(func(both *types.Type) []types.Extern {
			return []types.Extern{
				typeExtern("more", &types.Type{Kind: types.List, Elem: both}),
				{Name: "f", Sort: types.SortFunc, Func: fn(both)},
				{Name: "g", Sort: types.SortFunc, Func: fn(both)},
			}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"both", "more", "f", "g"}, names(iface(t, parse(t, text), "a:b/c").Exports)); diff != "" {
		t.Errorf("interface (-want +got):\n%s\n%s", diff, text)
	}
}

func TestPrintWhatWITCannotSay(t *testing.T) {
	c := &types.Component{Imports: []types.Extern{
		{Name: "m", Sort: types.SortCoreModule},
		{Name: "unlocked-dep=<a:b>", Sort: types.SortComponent, Component: &types.Component{}},
		{Name: "a:b/c", Sort: types.SortInstance, Instance: &types.Instance{Exports: []types.Extern{{Name: "n", Sort: types.SortCoreModule}}}},
	}}
	text, err := wit.Print(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`// import "m": core module`, `// import "unlocked-dep=<a:b>": component`, "import a:b/c;", `// "n": core module`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	parse(t, text)
}

func TestPrintErrors(t *testing.T) {
	fn := func(typ *types.Type) *types.Component {
		return &types.Component{Imports: []types.Extern{{Name: "f", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "x", Type: typ}}}}}}
	}
	for _, tt := range []struct {
		name string
		c    *types.Component
		want string
	}{
		{"record", fn(&types.Type{Kind: types.Record, Fields: []types.Field{{Name: "a", Type: prim(types.U8)}}}), "wit: print: a record has no name where it is used"},
		{"resource", fn(&types.Type{Kind: types.Own, Resource: &types.Resource{Name: "r"}}), "wit: print: resource r has no name where it is used"},
		{"method", &types.Component{Imports: []types.Extern{{Name: "r", Sort: types.SortType, Resource: &types.Resource{Name: "r"}},
			{Name: "[method]r.m", Sort: types.SortFunc, Func: &types.Func{}}}}, "wit: print: [method]r.m lacks its self parameter"},
	} {
		if text, err := wit.Print(tt.c); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %q, %v; want %s", tt.name, text, err, tt.want)
		}
	}
}

// textOf draws a package as text: interfaces that use those before them, and a
// world of some of them.
func textOf(t *rapid.T) string {
	var b strings.Builder
	fmt.Fprintln(&b, "package a:b@0.1.0;")
	var declared [][]string // the names of types, by interface
	for i := range rapid.IntRange(1, 4).Draw(t, "interfaces") {
		fmt.Fprintf(&b, "interface i%d {\n", i)
		var local []string
		for from := range declared {
			if len(declared[from]) > 0 && rapid.Bool().Draw(t, "use") {
				name := rapid.SampledFrom(declared[from]).Draw(t, "used")
				as := fmt.Sprintf("u%d", from)
				fmt.Fprintf(&b, "use i%d.{%s as %s};\n", from, name, as)
				local = append(local, as)
			}
		}
		for n := range rapid.IntRange(0, 5).Draw(t, "types") {
			name := drawDecl(t, &b, n, local)
			local = append(local, name)
		}
		for n := range rapid.IntRange(0, 2).Draw(t, "functions") {
			fmt.Fprintf(&b, "f%d: func(a: %s) -> %s;\n", n, drawType(t, local, 3), drawType(t, local, 3))
		}
		fmt.Fprintln(&b, "}")
		declared = append(declared, local)
	}
	fmt.Fprintln(&b, "world w {")
	for i := range declared {
		if rapid.Bool().Draw(t, "import") {
			fmt.Fprintf(&b, "import i%d;\n", i)
		}
	}
	// From some interface on all or none: an exported one must not use an exported
	// one by way of one that is not.
	for i := rapid.IntRange(0, len(declared)).Draw(t, "first export"); i < len(declared); i++ {
		fmt.Fprintf(&b, "export i%d;\n", i)
	}
	fmt.Fprintln(&b, "}")
	return b.String()
}

// drawDecl draws the n-th type declaration of an interface and returns its name.
func drawDecl(t *rapid.T, b *strings.Builder, n int, local []string) string {
	name := fmt.Sprintf("t%d", n)
	switch rapid.SampledFrom([]string{"type", "handle", "record", "variant", "enum", "flags", "resource"}).Draw(t, "kind") {
	case "type":
		fmt.Fprintf(b, "type %s = %s;\n", name, drawType(t, local, 3))
	case "handle":
		resources := slices.DeleteFunc(slices.Clone(local), func(s string) bool { return s[0] != 'r' })
		if len(resources) == 0 {
			fmt.Fprintf(b, "resource %s;\n", name)
			break
		}
		fmt.Fprintf(b, "type %s = own<%s>;\n", name, rapid.SampledFrom(resources).Draw(t, "resource"))
	case "record":
		fmt.Fprintf(b, "record %s { a: %s, b: %s }\n", name, drawType(t, local, 3), drawType(t, local, 3))
	case "variant":
		fmt.Fprintf(b, "variant %s { a(%s), b }\n", name, drawType(t, local, 3))
	case "enum":
		fmt.Fprintf(b, "enum %s { a, %%list }\n", name)
	case "flags":
		fmt.Fprintf(b, "flags %s { a }\n", name)
	default:
		name = fmt.Sprintf("r%d", n)
		fmt.Fprintf(b, "resource %s { constructor(x: %s); m: func(o: borrow<%s>) -> %s; s: static func(); }\n",
			name, drawType(t, local, 2), name, drawType(t, local, 2))
	}
	return name
}

func drawType(t *rapid.T, local []string, depth int) string {
	inner := func() string { return drawType(t, local, depth-1) }
	n := 7
	if depth == 0 {
		n = 2
	}
	switch rapid.IntRange(0, n).Draw(t, "type") {
	case 0:
		return rapid.SampledFrom([]string{"u8", "bool", "string", "f64"}).Draw(t, "primitive")
	case 1, 2:
		if len(local) > 0 {
			return rapid.SampledFrom(local).Draw(t, "name")
		}
		return "u32"
	case 3:
		return "list<" + inner() + ">"
	case 4:
		return "option<" + inner() + ">"
	case 5:
		return "tuple<" + inner() + ", " + inner() + ">"
	case 6:
		return "result<_, " + inner() + ">"
	default:
		return "result<" + inner() + ", " + inner() + ">"
	}
}

func TestPrintedIsRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := textOf(rt)
		p, err := wit.ParseText("drawn.wit", text)
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		w, err := p.World("w")
		if err != nil {
			rt.Fatal(err)
		}
		roundTrip(t, w)
	})
}

func FuzzParse(f *testing.F) {
	f.Add("package a:b@1.0.0; interface i { use j.{t as u}; record r { x: list<u>, } m: func(a: r) -> result<_, u8>; } interface j { type t = u8; resource s { constructor(); m: func(); } }")
	f.Add("package a:b; world w { import i; export f: func(); include v with { x as y } use i.{t}; } world v { import x: interface {} } @since(version = 1.0.0) interface i { type t = u8; }")
	f.Add("package a:b { } package c:d@1.2.3-rc.1+build { world w { } }")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := wit.ParseText("fuzz.wit", text)
		if err != nil {
			return
		}
		for _, name := range p.Worlds() {
			w, err := p.World(name)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, w)
		}
	})
}

// TestPrintAhead prints a resource whose methods use a type that comes after it, as
// encoders order what WIT allows in any order.
func TestPrintAhead(t *testing.T) {
	r := &types.Resource{Name: "stream"}
	failure := &types.Type{Kind: types.Variant, Fields: []types.Field{{Name: "closed"}}}
	self := types.Field{Name: "self", Type: &types.Type{Kind: types.Borrow, Resource: r}}
	c := &types.Component{Imports: []types.Extern{{Name: "a:b/c", Sort: types.SortInstance, Instance: &types.Instance{Exports: []types.Extern{
		{Name: "stream", Sort: types.SortType, Resource: r},
		{Name: "failure", Sort: types.SortType, Type: failure},
		{Name: "[method]stream.flush", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{self}, Result: failure}},
	}}}}}
	text, err := wit.Print(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := "flush: func() -> failure;"; !strings.Contains(text, want) {
		t.Errorf("%q is not in\n%s", want, text)
	}
	parse(t, text)
}
