// SPDX-License-Identifier: Apache-2.0

package encode_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

// worldTexts generates worlds: interfaces that use each other's types, imported,
// exported or both, named or within the world; types and functions of the world; all
// value types, to any depth; resources with constructors, methods and static
// functions.
var worldTexts = rapid.Custom(func(t *rapid.T) string {
	g := &worldText{T: t}
	g.text("package a:b@1.0.0;\n")
	n := g.number(1, 4)
	for i := range n {
		g.text("interface i%d {\n", i)
		g.interfaces = append(g.interfaces, g.body())
		g.text("}\n")
	}
	g.text("world w {\n")
	g.scope = nil
	g.uses()
	for range g.number(0, 3) {
		g.typedef()
	}
	outer := g.scope
	for i := range n {
		if g.odds(2) {
			g.text("import i%d;\n", i)
		}
		if g.odds(2) {
			g.text("export i%d;\n", i)
		}
	}
	for range g.number(0, 4) {
		side := []string{"import", "export"}[g.number(0, 1)]
		if g.odds(3) {
			g.text("%s %s: interface {\n", side, g.name())
			g.body()
			g.text("}\n")
			g.scope = outer
			continue
		}
		g.text("%s %s: func%s;\n", side, g.name(), g.signature(true))
	}
	g.text("}\n")
	return g.b.String()
}).Filter(func(text string) bool {
	// An export may not reach an exported interface through one that is not, as WIT has it.
	p, err := wit.ParseText("world", text)
	if err == nil {
		_, err = p.World("w")
	}
	return err == nil || !strings.Contains(err.Error(), "by way of")
})

// worldText writes a random world.
type worldText struct {
	*rapid.T
	b          strings.Builder
	names      int
	scope      []namedType   // that can be referred to
	interfaces [][]namedType // what each declares or uses
}

type namedType struct {
	name     string
	resource bool
}

func (g *worldText) text(format string, args ...any) { fmt.Fprintf(&g.b, format, args...) }

func (g *worldText) number(from, to int) int { return rapid.IntRange(from, to).Draw(g.T, "n") }

// odds is true once in n times.
func (g *worldText) odds(n int) bool { return g.number(1, n) == 1 }

func (g *worldText) name() string {
	g.names++
	return fmt.Sprintf("n%d-x", g.names)
}

// body writes what is in an interface, and returns its types.
func (g *worldText) body() []namedType {
	g.scope = nil
	g.uses()
	for range g.number(0, 4) {
		g.typedef()
	}
	for range g.number(0, 3) {
		g.text("%s: func%s;\n", g.name(), g.signature(true))
	}
	return g.scope
}

// uses writes the types that are used of other interfaces.
func (g *worldText) uses() {
	for i, list := range g.interfaces {
		for _, t := range list {
			switch g.number(0, 5) {
			case 0:
				if !slices.ContainsFunc(g.scope, func(s namedType) bool { return s.name == t.name }) {
					g.text("use i%d.{%s};\n", i, t.name)
					g.scope = append(g.scope, t)
				}
			case 1:
				name := g.name()
				g.text("use i%d.{%s as %s};\n", i, t.name, name)
				g.scope = append(g.scope, namedType{name, t.resource})
			}
		}
	}
}

func (g *worldText) typedef() {
	name := g.name()
	list := func(n int, one func()) {
		g.text(" {")
		for range n {
			g.text(" %s", g.name())
			one()
			g.text(",")
		}
		g.text(" }\n")
	}
	switch g.number(0, 5) {
	case 0:
		g.text("record %s", name)
		list(g.number(1, 5), func() { g.text(": %s", g.valueType(2, false)) })
	case 1:
		g.text("variant %s", name)
		list(g.number(1, 5), func() {
			if g.odds(2) {
				g.text("(%s)", g.valueType(2, false))
			}
		})
	case 2:
		g.text("enum %s", name)
		list(g.number(1, 5), func() {})
	case 3:
		g.text("flags %s", name)
		list(g.number(1, 32), func() {})
	case 4:
		g.text("type %s = %s;\n", name, g.valueType(3, false))
	case 5:
		g.scope = append(g.scope, namedType{name, true})
		g.text("resource %s {\n", name)
		if g.odds(2) {
			g.text("constructor%s;\n", g.signature(false))
		}
		for range g.number(0, 2) {
			g.text("%s: %sfunc%s;\n", g.name(), []string{"", "static "}[g.number(0, 1)], g.signature(true))
		}
		g.text("}\n")
		return
	}
	g.scope = append(g.scope, namedType{name, false})
}

func (g *worldText) signature(result bool) string {
	var params []string
	for range g.number(0, 4) {
		params = append(params, g.name()+": "+g.valueType(3, true))
	}
	text := "(" + strings.Join(params, ", ") + ")"
	if result && g.odds(2) {
		text += " -> " + g.valueType(3, false)
	}
	return text
}

// valueType returns the text of a type, which may hold borrows.
func (g *worldText) valueType(depth int, borrow bool) string {
	if len(g.scope) > 0 && g.odds(3) {
		t := g.scope[g.number(0, len(g.scope)-1)]
		if t.resource && borrow && g.odds(2) {
			return "borrow<" + t.name + ">"
		}
		return t.name
	}
	part := func() string { return g.valueType(depth-1, borrow) }
	if depth > 0 {
		switch g.number(0, 9) {
		case 0, 1:
			return "list<" + part() + ">"
		case 2:
			return "option<" + part() + ">"
		case 3:
			return "result<" + part() + ", " + part() + ">"
		case 4:
			return []string{"result", "result<" + part() + ">", "result<_, " + part() + ">"}[g.number(0, 2)]
		case 5:
			return "tuple<" + part() + ", " + part() + ">"
		}
	}
	primitives := []string{"bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"}
	return primitives[g.number(0, len(primitives)-1)]
}

// sorted returns the text of a world in which the order of imports and exports makes
// no difference.
func sorted(t rapid.TB, w *types.Component) string {
	t.Helper()
	byName := func(a, b types.Extern) int { return cmp.Compare(a.Name, b.Name) }
	text, err := wit.Print(&types.Component{
		Imports: slices.SortedFunc(slices.Values(w.Imports), byName),
		Exports: slices.SortedFunc(slices.Values(w.Exports), byName),
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// needed returns w without the imports that got leaves out because all they have is
// types, which nothing refers to.
func needed(w, got *types.Component) *types.Component {
	idle := func(x types.Extern) bool {
		if types.Find(got.Imports, x.Name) != nil || x.Func != nil {
			return false
		}
		return x.Instance == nil || !slices.ContainsFunc(x.Instance.Exports, func(x types.Extern) bool { return x.Func != nil })
	}
	return &types.Component{Imports: slices.DeleteFunc(slices.Clone(w.Imports), idle), Exports: w.Exports}
}

// encodeRandom returns a component for a random world, and the world.
func encodeRandom(t rapid.TB, text string) ([]byte, *types.Component) {
	t.Helper()
	w := world(t, text)
	out, err := encode.Component(dummy(t, w).assemble(), w, encode.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out, w
}

// Whatever the world: a component that uses all of it is valid, has that world as its
// type, and comes out the same every time.
func TestRandomWorlds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := worldTexts.Draw(t, "world")
		out, w := encodeRandom(t, text)
		got := linked(t, out)
		if diff := gocmp.Diff(sorted(t, needed(w, got)), sorted(t, got)); diff != "" {
			t.Errorf("type of the component (-world +component):\n%s\n%s", diff, text)
		}
		if again, _ := encodeRandom(t, text); !bytes.Equal(out, again) {
			t.Errorf("second encoding differs\n%s", text)
		}
	})
}
