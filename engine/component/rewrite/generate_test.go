// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
)

// generator makes valid modules of random functions. Every function takes and
// returns an i32 and ends: loops and functions count down a variable, and return
// when it is used up.
type generator struct {
	*rand.Rand
	b      []byte
	labels [][]core.ValueType // what a branch to each open block takes, outermost first
	left   int                // instructions still to make, roughly
}

const (
	genFuncs  = 6 // defined functions; "run" comes after them
	genI32    = 4 // locals 0 to 3; 0 is the parameter
	genI64    = 2 // locals 4 and 5
	genF32    = 1 // local 6
	genTypes  = 4 // 0: i32 -> i32; 1: nothing -> i32 i64; 2: nothing -> nothing; 3: i32 i32 -> i32
	genMemory = 1 << 16
)

// generate returns a module with an export "run" (param i32) (result i32), which
// gives the functions so many steps, and a memory "memory".
func generate(seed uint64) []byte {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	types := section(1, genTypes,
		0x60, 1, 0x7f, 1, 0x7f,
		0x60, 0, 2, 0x7f, 0x7e,
		0x60, 0, 0,
		0x60, 2, 0x7f, 0x7f, 1, 0x7f)
	elements := []byte{1, 0, 0x41, 0, 0x0b, genFuncs}
	for f := range byte(genFuncs) {
		elements = append(elements, f)
	}
	bodies := [][]byte{}
	for range genFuncs {
		bodies = append(bodies, g.function())
	}
	bodies = append(bodies, slices.Concat([]byte{0}, // run
		[]byte{0x41}, sleb(400), []byte{0x24, 0, 0x20, 0, 0x10, 0, 0x20, 0, 0x10, 1, 0x6a, 0x0b}))
	code := leb(len(bodies))
	for _, b := range bodies {
		code = append(append(code, leb(len(b))...), b...)
	}
	return module(types,
		section(3, slices.Concat(leb(genFuncs+1), make([]byte, genFuncs+1))...),
		section(4, 1, 0x70, 0, genFuncs+1),
		oneMemory,
		section(6, 2, 0x7f, 1, 0x41, 0, 0x0b, 0x7e, 1, 0x42, 5, 0x0b), // steps, and an i64
		section(7, slices.Concat([]byte{2, 3}, []byte("run"), []byte{0, genFuncs, 6}, []byte("memory"), []byte{2, 0})...),
		section(9, elements...),
		section(12, 1),
		section(10, code...),
		section(11, slices.Concat([]byte{1, 1, 20}, []byte("twenty bytes of data"))...))
}

func sleb(v int64) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func (g *generator) emit(b ...byte) { g.b = append(g.b, b...); g.left-- }

func (g *generator) function() []byte {
	g.b = []byte{3, genI32 - 1, 0x7f, genI64, 0x7e, genF32, 0x7d}
	g.labels = [][]core.ValueType{{core.I32}}
	g.left = g.IntN(300)
	g.step()
	g.statements()
	g.expression(core.I32)
	g.emit(0x0b)
	return g.b
}

// step takes a step, and returns if there is none left.
func (g *generator) step() {
	g.emit(0x23, 0, 0x45, 0x04, 0x40, 0x20, 0, 0x0f, 0x0b) // if steps == 0 { return local 0 }
	g.emit(0x23, 0, 0x41, 1, 0x6b, 0x24, 0)
}

func (g *generator) statements() {
	for n := g.IntN(6); n > 0 && g.left > 0; n-- {
		g.statement()
	}
}

func (g *generator) statement() {
	switch g.IntN(16) {
	case 0, 1, 2:
		g.set()
	case 3:
		g.expression(core.I64)
		g.emit(0x24, 1)
	case 4:
		g.address()
		g.expression(core.I32)
		g.emit(0x36, 2, 0)
	case 5, 6:
		g.block(0x02, nil)
	case 7, 8:
		g.block(0x03, nil)
	case 9:
		g.block(0x02, []core.ValueType{core.I32, core.I64})
		g.emit(0x21, 4, 0x21, byte(g.IntN(genI32)))
	case 10:
		g.block(0x03, []core.ValueType{core.I32, core.I64})
		g.emit(0x21, 5, 0x21, byte(g.IntN(genI32)))
	case 11:
		g.expression(core.I32)
		g.block(0x04, nil)
	case 12:
		g.branchIf()
	case 13:
		g.bulk()
	case 14:
		g.loopWithParameters()
	case 15:
		g.leave()
	}
}

func (g *generator) set() {
	switch local := byte(g.IntN(genI32 + genI64 + genF32)); {
	case local < genI32:
		g.expression(core.I32)
		g.emit(0x21, local)
	case local < genI32+genI64:
		g.expression(core.I64)
		g.emit(0x21, local)
	default:
		g.expression(core.F32)
		g.emit(0x21, local)
	}
}

// block makes a block, loop or if without parameters.
func (g *generator) block(op byte, results []core.ValueType) {
	t := byte(0x40)
	switch len(results) {
	case 1:
		t = byte(results[0])
	case 2:
		t = 1 // the type's index
	}
	g.emit(op, t)
	label := results
	if op == 0x03 {
		label = nil
		g.labels = append(g.labels, label)
		g.step()
	} else {
		g.labels = append(g.labels, label)
	}
	g.statements()
	g.expressions(results)
	if op == 0x04 && (len(results) > 0 || g.IntN(2) == 0) {
		g.emit(0x05)
		g.statements()
		g.expressions(results)
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b)
}

func (g *generator) loopWithParameters() {
	g.expression(core.I32)
	g.expression(core.I32)
	g.emit(0x03, 3)
	g.labels = append(g.labels, []core.ValueType{core.I32, core.I32})
	g.emit(0x21, 1)
	g.emit(0x21, 2)
	g.step()
	g.statements()
	g.expression(core.I32)
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b, 0x21, byte(g.IntN(genI32)))
}

// label chooses a label, and returns its number and what a branch to it takes.
func (g *generator) label() (byte, []core.ValueType) {
	n := g.IntN(len(g.labels))
	return byte(len(g.labels) - 1 - n), g.labels[n]
}

func (g *generator) branchIf() {
	label, takes := g.label()
	g.expressions(takes)
	g.expression(core.I32)
	g.emit(0x0d, label)
	for range takes {
		g.emit(0x1a)
	}
}

// leave makes a block that is left in some way, and dead code behind.
func (g *generator) leave() {
	g.emit(0x02, 0x40)
	g.labels = append(g.labels, nil)
	switch g.IntN(5) {
	case 0:
		label, takes := g.label()
		g.expressions(takes)
		g.emit(0x0c, label)
	case 1: // a table of labels that take the same
		_, takes := g.label()
		var labels []byte
		for n, t := range g.labels {
			if slices.Equal(t, takes) {
				labels = append(labels, byte(len(g.labels)-1-n))
			}
		}
		g.expressions(takes)
		g.expression(core.I32)
		g.emit(0x0e)
		g.emit(leb(len(labels))...)
		g.emit(append(labels, labels[g.IntN(len(labels))])...)
	case 2:
		g.expression(core.I32)
		g.emit(0x0f)
	case 3:
		g.expression(core.I32)
		g.emit(0x12, byte(g.IntN(genFuncs)))
	case 4:
		g.expression(core.I32)
		g.expression(core.I32)
		g.emit(0x13, 0, 0)
	}
	if g.IntN(3) == 0 {
		g.statements()
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b)
}

func (g *generator) address() {
	g.expression(core.I32)
	g.emit(0x41)
	g.emit(sleb(genMemory - 8)...)
	g.emit(0x70) // unsigned remainder
}

func (g *generator) bulk() {
	g.address()
	g.address()
	if g.IntN(2) == 0 {
		g.emit(0x41)
		g.emit(sleb(int64(g.IntN(30)))...)
	} else {
		g.expression(core.I32)
		g.emit(0x41, 0x1f, 0x71)
	}
	switch g.IntN(3) {
	case 0:
		g.emit(0xfc, 11, 0)
	case 1:
		g.emit(0xfc, 10, 0, 0)
	case 2:
		g.emit(0xfc, 8, 0, 0)
	}
}

func (g *generator) expressions(types []core.ValueType) {
	for _, t := range types {
		g.expression(t)
	}
}

func (g *generator) expression(t core.ValueType) {
	if g.left <= 0 || g.IntN(3) == 0 {
		g.leaf(t)
		return
	}
	switch t {
	case core.I64:
		switch g.IntN(3) {
		case 0:
			g.expression(core.I32)
			g.emit(0xad)
		case 1:
			g.expressions([]core.ValueType{core.I64, core.I64})
			g.emit([]byte{0x7c, 0x7d, 0x7e, 0x85, 0x88}[g.IntN(5)])
		case 2:
			g.emit(0x23, 1)
			g.expression(core.I64)
			g.emit(0x24, 1)
		}
	case core.F32:
		g.expression(core.I32)
		g.emit(0xb2)
		g.leaf(core.F32)
		g.emit([]byte{0x92, 0x93, 0x94}[g.IntN(3)])
	default:
		switch g.IntN(9) {
		case 0, 1, 2:
			g.expressions([]core.ValueType{core.I32, core.I32})
			g.emit([]byte{0x6a, 0x6b, 0x6c, 0x6d, 0x73, 0x75, 0x4a}[g.IntN(7)])
		case 3:
			g.expression(core.I32)
			g.emit(0x10, byte(g.IntN(genFuncs)))
		case 4:
			g.expression(core.I32)
			g.expression(core.I32)
			g.emit(0x41, 7, 0x71, 0x11, 0, 0)
		case 5:
			g.address()
			g.emit(0x28, 2, 0)
		case 6:
			g.block([]byte{0x02, 0x03}[g.IntN(2)], []core.ValueType{core.I32})
		case 7:
			g.expression(core.I32)
			g.block(0x04, []core.ValueType{core.I32})
		case 8:
			g.expressions([]core.ValueType{core.I64, core.F32})
			g.emit(0xbc, 0x22, byte(g.IntN(genI32)), 0xad, 0x85, 0xa7)
		}
	}
}

func (g *generator) leaf(t core.ValueType) {
	switch t {
	case core.I64:
		g.emit(0x20, genI32+byte(g.IntN(genI64)))
	case core.F32:
		g.emit(0x20, genI32+genI64)
	default:
		if g.IntN(2) == 0 {
			g.emit(0x20, byte(g.IntN(genI32)))
			return
		}
		g.emit(0x41)
		g.emit(sleb(int64(g.IntN(1000) - 100))...)
	}
}

// Random modules do the same before and after they are rewritten, however often
// they tick.
func TestRewriteKeepsGenerated(t *testing.T) {
	modules := uint64(200)
	if testing.Short() {
		modules = 50
	}
	e := coretest.Open(t)
	trapped := 0
	for seed := range modules {
		wasm := generate(seed)
		original := compile(t, e, wasm, &host{})
		h := &host{tick: func(int64) int64 { return int64(seed) * 10 }}
		rewritten := compile(t, e, instrument(t, wasm), h)
		for _, arg := range []uint64{0, 1, 77, 0xfffffff0} {
			f, g := original.instantiate(), rewritten.instantiate()
			want, got := call(t, f.Func("run"), []uint64{arg}), call(t, g.Func("run"), []uint64{arg})
			want.Backtrace, got.Backtrace = nil, nil
			if want.Trap != "" {
				trapped++
			}
			if diff := cmp.Diff(low(want), low(got)); diff != "" {
				t.Fatalf("seed %d, run(%d) (-original +rewritten):\n%s", seed, arg, diff)
			}
			if !bytes.Equal(f.Memory("memory").Bytes(), g.Memory("memory").Bytes()) {
				t.Fatalf("seed %d, run(%d): memories differ", seed, arg)
			}
			for _, i := range []*instance{f, g} {
				if err := i.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := original.module.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := rewritten.module.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d calls trapped", trapped, 4*modules)
	if uint64(trapped) > 3*modules {
		t.Errorf("%d of %d calls trapped: the generator makes too little that works", trapped, 4*modules)
	}
}

// low returns an outcome whose results are i32, without their upper halves.
func low(o outcome) outcome {
	for i := range o.Results {
		o.Results[i] &= 0xffffffff
	}
	return o
}
