// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

var errDeadline = errors.New("deadline passed")

// endlessExports are the exports of endless.wasm that never end by themselves,
// with an argument for those that take one.
var endlessExports = []string{
	"loop", "loop if", "loop table", "nested loops", "loop with calls", "loop with parameters", "loop in memory",
	"tail", "tail indirect", "tails that alternate", "calls without end",
	"fill a gigabyte", "copy half a gigabyte", "fill again and again", "fill little by little", "fill a table again and again",
}

// A guest that never ends can be stopped by tick, and doesn't keep the garbage
// collector waiting meanwhile.
func TestEndlessGuestStops(t *testing.T) {
	e := coretest.Open(t)
	collected := make(chan struct{})
	h := &host{tick: func(int64) int64 {
		select {
		case <-collected:
			panic(errDeadline)
		default:
			return quantum
		}
	}}
	g := compile(t, e, instrument(t, endless), h)
	for _, name := range endlessExports {
		t.Run(name, func(t *testing.T) {
			collected = make(chan struct{})
			i := g.instantiate()
			h.ticks = 0
			go func() {
				runtime.GC() // waits until every goroutine has stopped
				runtime.GC()
				close(collected)
			}()
			err := i.Func(name).Call(t.Context(), make([]uint64, 8))
			<-collected
			if !errors.Is(err, errDeadline) && !finite[name] {
				t.Errorf("error is %v, want %v", err, errDeadline)
			}
			if h.ticks == 0 {
				t.Error("never ticked")
			}
			if err := i.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// finite are those that may have ended before the collector has.
var finite = map[string]bool{"fill a gigabyte": true, "copy half a gigabyte": true, "calls without end": true}

// A long bulk operation ticks on the way, and stops within some chunks.
func TestBulkStops(t *testing.T) {
	const gigabyte = 1 << 30
	for _, test := range []struct {
		name      string
		to, from  uint64
		changed   func(memory []byte) int // bytes
		mostBytes int
	}{
		{"fill a gigabyte", 0, 0, func(m []byte) int { return prefix(m, 7) }, 32 << 20},
		{"copy half a gigabyte", gigabyte / 2, 0, nil, 0}, // from the end
		{"copy half a gigabyte", 0, gigabyte / 2, nil, 0},
	} {
		ticks := 0
		h := &host{tick: func(int64) int64 {
			if ticks++; ticks == 3 {
				panic(errDeadline)
			}
			return quantum
		}}
		i := instantiate(t, coretest.Open(t), instrument(t, endless), h)
		err := i.Func(test.name).Call(t.Context(), []uint64{test.to, test.from})
		if !errors.Is(err, errDeadline) {
			t.Errorf("%s: error is %v, want %v", test.name, err, errDeadline)
		}
		if test.changed != nil {
			if got := test.changed(i.Memory("memory").Bytes()); got == 0 || got > test.mostBytes {
				t.Errorf("%s: wrote %d bytes, want some, and at most %d", test.name, got, test.mostBytes)
			}
		}
	}
}

func prefix(m []byte, b byte) int {
	for i := range m {
		if m[i] != b {
			return i
		}
	}
	return len(m)
}

func TestRecursionStops(t *testing.T) {
	e := coretest.Open(t)
	g := compile(t, e, instrument(t, endless), &host{})
	for _, name := range []string{
		"recurse", "recurse wide", "recurse with vectors", "recurse in turn", "recurse by table", "recurse by a frame between",
	} {
		t.Run(name, func(t *testing.T) {
			i := g.instantiate()
			f := i.Func(name)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := f.Call(t.Context(), make([]uint64, 8))
			runtime.ReadMemStats(&after)
			if !errors.Is(err, core.ErrExhausted) {
				t.Errorf("error is %v, want %v", err, core.ErrExhausted)
			}
			// wazero's own bound lies at 400 MB. It doubles a stack until it suffices.
			if took := after.TotalAlloc - before.TotalAlloc; took > 12<<20 {
				t.Errorf("recursion took %d bytes, want at most 12 MiB for a stack of about 1 MiB", took)
			}
		})
	}
}

// A backtrace of a rewritten module has the functions' own names.
func TestBacktrace(t *testing.T) {
	i := instantiate(t, coretest.Open(t), instrument(t, endless), &host{})
	trap := call(t, i.Func("recurse in turn"), make([]uint64, 8))
	got := named(trap.Backtrace)
	if len(got) < 6 {
		t.Fatalf("backtrace is %q, want functions of the guest", trap.Backtrace)
	}
	next := map[string]string{"a": "c", "b": "a", "c": "b"} // who calls whom
	for n := 2; n < len(got); n++ {
		if want := next[got[n-1]]; got[n] != want {
			t.Errorf("%s is called by %s, want %s", got[n-1], got[n], want)
		}
	}
}

// The stack that a guest may use follows Options.Stack.
func TestStackOption(t *testing.T) {
	m, err := rewrite.Decode(semantics, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	e := coretest.Open(t)
	for _, test := range []struct {
		stack uint32
		ends  bool
	}{{4 << 10, false}, {32 << 10, false}, {64 << 10, true}} {
		opts := options
		opts.Stack = test.stack
		wasm, err := m.Rewrite(opts)
		if err != nil {
			t.Fatal(err)
		}
		// Recurses 255 times.
		err = instantiate(t, e, wasm, &host{}).Func("even").Call(t.Context(), []uint64{255})
		if ended := err == nil; ended != test.ends {
			t.Errorf("with %d bytes of stack, even(255) is %v; should it end: %t", test.stack, err, test.ends)
		}
	}
}

// Fuel is the same on every run and every engine, and grows with the work.
func TestFuelIsDeterministic(t *testing.T) {
	wasm := instrument(t, kernels)
	used := func(e core.Engine, name string, n uint64) int64 {
		h := &host{tick: func(int64) int64 { return 100 }}
		i := instantiate(t, e, wasm, h)
		if err := i.Func(name).Call(t.Context(), []uint64{n}); err != nil {
			t.Fatal(err)
		}
		return h.used
	}
	compiler, interpreter := coretest.Open(t), newEngine(t, wazero.Config{Interpreter: true})
	for _, name := range []string{"fib", "sha256", "json", "matmul"} {
		once, again := used(compiler, name, 3), used(interpreter, name, 3)
		if once != again {
			t.Errorf("%s(3) used %d units compiled, %d interpreted", name, once, again)
		}
		if more := used(compiler, name, 6); more < once*3/2 {
			t.Errorf("%s used %d units for 3 rounds, %d for 6", name, once, more)
		}
	}
}

// Bulk operations are paid by their length: four bytes a unit.
func TestBulkFuel(t *testing.T) {
	h := &host{tick: func(int64) int64 { return 1 }}
	i := instantiate(t, coretest.Open(t), instrument(t, semantics), h)
	const length = 10_000
	for name, args := range map[string][]uint64{"fill": {0, 7, length}, "copy": {length, 0, length}} {
		h.used = 0
		if err := i.Func(name).Call(t.Context(), args); err != nil {
			t.Fatal(err)
		}
		if h.used < length/4 || h.used > length/4+100 {
			t.Errorf("%s of %d bytes used %d units", name, length, h.used)
		}
	}
}

// The turns of a short loop are paid several at a time: fuel grows in steps, and never
// by less than the work.
func TestShortLoopsArePaidInSteps(t *testing.T) {
	countdown := module(
		section(1, 1, 0x60, 1, 0x7f, 0), // (param i32)
		section(3, 1, 0),
		section(7, 1, 1, 'f', 0, 0),
		section(10, 1, 14, 0,
			0x03, 0x40, // loop
			0x20, 0, 0x41, 1, 0x6b, 0x22, 0, // local.tee 0 (i32.sub (local.get 0) (i32.const 1))
			0x0d, 0, // br_if 0
			0x0b, 0x0b))
	const perTurn = 5 // instructions
	h := &host{tick: func(remaining int64) int64 { return 1 }}
	f := instantiate(t, coretest.Open(t), instrument(t, countdown), h).Func("f")
	used := func(turns uint64) int64 {
		h.used = 0
		if err := f.Call(t.Context(), []uint64{turns}); err != nil {
			t.Fatal(err)
		}
		return h.used
	}
	used(1) // takes what is left of the first quantum
	steps := map[int64]bool{}
	for turns := range uint64(16) {
		n := used(turns + 1)
		steps[n] = true
		if n < int64(turns+1)*perTurn {
			t.Errorf("%d turns of %d instructions used %d units", turns+1, perTurn, n)
		}
	}
	if len(steps) != 4 {
		t.Errorf("1 to 16 turns used %d different amounts, want 4", len(steps))
	}
}

// A loop around a br_table that leads to one of many short pieces of code, as standard
// Go compiles every function to, isn't charged for all of them in every turn.
func TestDispatchIsNotOvercharged(t *testing.T) {
	const pieces, turns, instructions = 200, 1000, 8
	code := slices.Concat([]byte{0, 0x03, 0x40}, bytes.Repeat([]byte{0x02, 0x40}, pieces)) // loop, blocks
	code = append(append(code, 0x20, 0, 0x0e), leb(pieces-1)...)                           // br_table (local.get 0)
	for label := range pieces {
		code = append(code, leb(label)...)
	}
	for piece := range pieces {
		// end, br_if loop (local.tee 0 (i32.sub (local.get 0) (i32.const 1))), return
		code = append(code, 0x0b, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d)
		code = append(append(code, leb(pieces-1-piece)...), 0x0f)
	}
	wasm := module(section(1, 1, 0x60, 1, 0x7f, 0), section(3, 1, 0), section(7, 1, 1, 'f', 0, 0), body(append(code, 0x0b, 0x0b)...))
	h := &host{tick: func(int64) int64 { return 100 }}
	f := instantiate(t, coretest.Open(t), instrument(t, wasm), h).Func("f")
	if err := f.Call(t.Context(), []uint64{turns}); err != nil {
		t.Fatal(err)
	}
	if done := int64(turns * instructions); h.used < done || h.used > 20*done {
		t.Errorf("%d instructions used %d units, want at most 20 times as many", done, h.used)
	}
}
