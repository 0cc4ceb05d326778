// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// outcome is what a call did: its results, or its trap.
type outcome struct {
	Results   []uint64
	Trap      string
	Backtrace []string
}

func call(tb testing.TB, f core.Func, args []uint64) outcome {
	tb.Helper()
	t := f.Type()
	stack := make([]uint64, max(len(t.Params), len(t.Results)))
	copy(stack, args)
	err := f.Call(tb.Context(), stack)
	if err == nil {
		return outcome{Results: stack[:len(t.Results)]}
	}
	var trap *core.Trap
	if !errors.As(err, &trap) {
		tb.Fatalf("call: %v, want a trap", err)
	}
	return outcome{Trap: trap.Reason, Backtrace: trap.Backtrace}
}

// combinations returns all lists of arguments of which each is one of values.
func combinations(values []uint64, n int) [][]uint64 {
	lists := [][]uint64{nil}
	for range n {
		var longer [][]uint64
		for _, list := range lists {
			for _, v := range values {
				longer = append(longer, append(list[:len(list):len(list)], v))
			}
		}
		lists = longer
	}
	return lists
}

// pair is a module and what it was rewritten to, with an instance of each.
type pair struct {
	t                   *testing.T
	original, rewritten guest
	f, g                *instance
}

// renew makes new instances, with something in their memories.
func (p *pair) renew() {
	p.t.Helper()
	for _, side := range []struct {
		guest    guest
		instance **instance
	}{{p.original, &p.f}, {p.rewritten, &p.g}} {
		if *side.instance != nil {
			if err := (*side.instance).Close(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		}
		*side.instance = side.guest.instantiate()
		for i := range (*side.instance).Memory("memory").Bytes()[:1<<14] {
			(*side.instance).Memory("memory").Bytes()[i] = byte(i * 7 >> 3)
		}
	}
}

// compare calls an export on both sides and compares what they did. A trap costs
// them their instances.
func (p *pair) compare(name string, args []uint64) {
	p.t.Helper()
	want, got := call(p.t, p.f.Func(name), args), call(p.t, p.g.Func(name), args)
	want.Backtrace, got.Backtrace = named(want.Backtrace), named(got.Backtrace)
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("%s%v (-original +rewritten):\n%s", name, args, diff)
	}
	if len(p.f.Func(name).Type().Results) == 0 && !bytes.Equal(p.f.Memory("memory").Bytes(), p.g.Memory("memory").Bytes()) {
		p.t.Fatalf("%s%v: memories differ", name, args)
	}
	if want.Trap != "" {
		p.renew()
	}
}

// TestRewriteKeepsSemantics calls every export of a module and of what it was
// rewritten to, with the same arguments in the same order, and compares results,
// traps, backtraces and memory.
func TestRewriteKeepsSemantics(t *testing.T) {
	const mega = 1 << 20
	numbers := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 9, 31, 100, 1023, 65536, 0x7fffffff, 0xfffffff6, 0xffffffff}
	lengths := []uint64{0, 3, mega - 1, mega + 1, 2*mega + 7, 0xfffffff0}
	elements := []uint64{0, 1, 3, 8, 19, 0xffffffff}
	floats := []uint64{0, math.Float64bits(1.5), math.Float64bits(-2.5e9), math.Float64bits(1e300), math.Float64bits(math.NaN())}
	special := map[string][]uint64{
		"fill": lengths, "copy": lengths, "init": {0, 1, 16, 33, 2 * mega, 0xfffffff0},
		"init and drop": {0, 1, 2 * mega}, "table init and drop": {0, 1, 2 * mega},
		"table fill": elements, "table copy": elements, "table init": elements, "table grow": elements,
		"truncate": floats, "short fill": lengths, "short copy": lengths,
	}
	for _, stack := range []uint32{0, 1 << 16} {
		t.Run(fmt.Sprintf("stack %d", stack), func(t *testing.T) {
			e := coretest.Open(t)
			m, err := rewrite.Decode(semantics, rewrite.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			opts := options
			opts.Stack = stack
			wasm, err := m.Rewrite(opts)
			if err != nil {
				t.Fatal(err)
			}
			p := pair{t: t, original: compile(t, e, semantics, &host{}), rewritten: compile(t, e, wasm, &host{})}
			for _, ex := range m.Exports {
				if ex.Kind != rewrite.Func {
					continue
				}
				values := special[ex.Name]
				if values == nil {
					values = numbers
				}
				p.renew()
				for _, args := range combinations(values, len(ex.Func.Params)) {
					p.compare(ex.Name, args)
				}
			}
		})
	}
}

// named returns the functions of a backtrace that have a name of their own.
func named(backtrace []string) []string {
	var names []string
	for _, name := range backtrace {
		if !strings.Contains(name, "$") && !strings.Contains(name, "graphd.") {
			names = append(names, name)
		}
	}
	return names
}

func TestRewriteKeepsKernels(t *testing.T) {
	e := coretest.Open(t)
	original := instantiate(t, e, kernels, &host{})
	h := &host{tick: func(int64) int64 { return 1000 }} // ticks everywhere
	rewritten := instantiate(t, e, instrument(t, kernels), h)
	for _, name := range []string{"fib", "sha256", "bytesum", "json", "matmul"} {
		for _, n := range []uint64{1, 3, 14} {
			want := call(t, original.Func(name), []uint64{n})
			got := call(t, rewritten.Func(name), []uint64{n})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s(%d) (-original +rewritten):\n%s", name, n, diff)
			}
		}
	}
	if h.ticks < 1000 {
		t.Errorf("ticked %d times, want thousands", h.ticks)
	}
}

// TestBriefBulk copies and fills few bytes, which overlap or not and reach the end of
// the memory or pass it.
func TestBriefBulk(t *testing.T) {
	e := coretest.Open(t)
	p := pair{t: t, original: compile(t, e, semantics, &host{}), rewritten: compile(t, e, instrument(t, semantics), &host{})}
	p.renew()
	end := uint64(len(p.f.Memory("memory").Bytes()))
	for length := range uint64(35) {
		for _, from := range []uint64{1000, 1001, 997, 1000 + length, 1013, 5000} {
			p.compare("copy", []uint64{1000, from, length})
		}
		for _, value := range []uint64{0, 0xa5, 0xffffff7f} {
			p.compare("fill", []uint64{1003, value, length})
		}
		p.compare("copy", []uint64{end - length, 1000, length})
		p.compare("copy", []uint64{1000, end - length, length})
		p.compare("fill", []uint64{end - length, 7, length})
		if length%8 < 2 {
			p.compare("copy", []uint64{end - length + 1, 1000, length})
			p.compare("copy", []uint64{1000, end - length + 1, length})
			p.compare("copy", []uint64{0xffffffff - length, 1000, length})
			p.compare("fill", []uint64{end - length + 1, 7, length})
		}
	}
}
