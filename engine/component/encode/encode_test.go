// SPDX-License-Identifier: Apache-2.0

package encode_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/link"
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
func linked(t *testing.T, data []byte) *types.Component {
	t.Helper()
	c, err := binary.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := link.Link(c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Type
}

func print(t *testing.T, w *types.Component) string {
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
