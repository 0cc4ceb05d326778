// SPDX-License-Identifier: Apache-2.0

// Package coretest is the contract of package core as tests, for every engine to
// pass.
package coretest

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/core"
)

//go:embed testdata/*.wasm
var modules embed.FS

// pageSize is the unit in which memories grow.
const pageSize = 1 << 16

// Run tests an engine. open makes one, and sees to it that it is closed at the end
// of the test that it is given.
func Run(t *testing.T, open func(testing.TB) core.Engine) {
	for _, test := range []struct {
		name string
		run  func(*fixture)
	}{
		{"Link", testLink},
		{"LinkErrors", testLinkErrors},
		{"SharedTable", testSharedTable},
		{"Values", testValues},
		{"Types", testTypes},
		{"NothingElseIsCalled", testNothingElseIsCalled},
		{"Start", testStart},
		{"Context", testContext},
		{"HostErrors", testHostErrors},
		{"ReentrantCalls", testReentrantCalls},
		{"Traps", testTraps},
		{"Recursion", testRecursion},
		{"Data", testData},
		{"MemoryLimit", testMemoryLimit},
		{"MemoryGrowth", testMemoryGrowth},
		{"SharedMemory", testSharedMemory},
		{"CompileErrors", testCompileErrors},
		{"Close", testClose},
		{"SameModuleTwice", testSameModuleTwice},
		{"Concurrency", testConcurrency},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{T: t, ctx: t.Context(), engine: open(t)}
			f.store = f.newStore(core.Limits{})
			test.run(f)
		})
	}
}

// fixture is one test's engine, and a store with instances, by slot.
type fixture struct {
	*testing.T
	ctx    context.Context
	engine core.Engine
	store  core.Store
	slots  map[string]core.Instance
}

// newStore returns a store that is closed at the end of the test.
func (f *fixture) newStore(limits core.Limits) core.Store {
	s := f.engine.NewStore(limits)
	f.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			f.Error(err)
		}
	})
	return s
}

func wasm(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := modules.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// compile compiles a module of testdata.
func (f *fixture) compile(name string) core.Module {
	f.Helper()
	m, err := f.engine.Compile(f.ctx, wasm(f, name))
	if err != nil {
		f.Fatalf("compile %s: %v", name, err)
	}
	return m
}

func (f *fixture) resolve(slot string) core.Instance { return f.slots[slot] }

// instantiate compiles and instantiates a module of testdata in a slot.
func (f *fixture) instantiate(slot, name string) core.Instance {
	f.Helper()
	i, err := f.store.Instantiate(f.ctx, f.compile(name), f.resolve)
	if err != nil {
		f.Fatalf("instantiate %s: %v", name, err)
	}
	f.fill(slot, i)
	return i
}

func (f *fixture) fill(slot string, i core.Instance) {
	if f.slots == nil {
		f.slots = map[string]core.Instance{}
	}
	f.slots[slot] = i
}

// host instantiates host functions in slot 0: "call", which is given, and "swap",
// which turns its parameters around.
func (f *fixture) host(call func(ctx context.Context, n uint32) uint32) core.Instance {
	f.Helper()
	m, err := f.engine.CompileHost(f.ctx, []core.HostFunc{
		{
			Name: "call",
			Type: core.FuncType{Params: []core.ValueType{core.I32}, Results: []core.ValueType{core.I32}},
			Call: func(ctx context.Context, stack []uint64) {
				stack[0] = uint64(call(ctx, uint32(stack[0])))
			},
		},
		{
			Name: "swap",
			Type: core.FuncType{
				Params:  []core.ValueType{core.I32, core.I64, core.F64},
				Results: []core.ValueType{core.F64, core.I64, core.I32, core.I32},
			},
			Call: func(_ context.Context, stack []uint64) {
				if len(stack) != 4 {
					panic(fmt.Errorf("stack of %d, want 4", len(stack)))
				}
				stack[0], stack[2], stack[3] = stack[2], stack[0], uint64(uint32(stack[0])+1)
			},
		},
	})
	if err != nil {
		f.Fatalf("compile host: %v", err)
	}
	i, err := f.store.Instantiate(f.ctx, m, f.resolve)
	if err != nil {
		f.Fatalf("instantiate host: %v", err)
	}
	f.fill("0", i)
	return i
}

// try calls an export and returns its results.
func (f *fixture) try(i core.Instance, name string, args ...uint64) ([]uint64, error) {
	f.Helper()
	fn := i.Func(name)
	if fn == nil {
		f.Fatalf("%s is not exported", name)
	}
	t := fn.Type()
	stack := make([]uint64, max(len(t.Params), len(t.Results)))
	copy(stack, args)
	err := fn.Call(f.ctx, stack)
	for i, r := range t.Results {
		if r == core.I32 || r == core.F32 {
			stack[i] = uint64(uint32(stack[i]))
		}
	}
	return stack[:len(t.Results)], err
}

// want calls an export and compares its results.
func (f *fixture) want(i core.Instance, name string, args, want []uint64) {
	f.Helper()
	got, err := f.try(i, name, args...)
	if err != nil {
		f.Errorf("%s(%d): %v", name, args, err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		f.Errorf("%s(%d) (-want +got):\n%s", name, args, diff)
	}
}

// wantTrap calls an export that must trap, and returns the trap.
func (f *fixture) wantTrap(i core.Instance, name string, args ...uint64) *core.Trap {
	f.Helper()
	_, err := f.try(i, name, args...)
	var trap *core.Trap
	if !errors.As(err, &trap) {
		f.Fatalf("%s(%d): error is %v, want a trap", name, args, err)
	}
	return trap
}

func testLink(f *fixture) {
	f.instantiate("1", "provider")
	consumer := f.instantiate("2", "consumer")
	f.want(consumer, "add three", []uint64{1, 2, 3}, []uint64{6})
	f.want(consumer, "add", []uint64{1, 0xffffffff}, []uint64{0}) // imported, and exported again

	f.want(consumer, "global.set", []uint64{30}, nil)
	f.want(f.slots["1"], "global.get", nil, []uint64{35})
}

func testLinkErrors(f *fixture) {
	f.instantiate("1", "provider")
	for _, test := range []struct{ name, module, why string }{
		{"type", "mismatch", "imports another type of function"},
		{"slot", "host", "imports of a slot that is empty"},
	} {
		f.Run(test.name, func(t *testing.T) {
			if _, err := f.store.Instantiate(f.ctx, f.compile(test.module), f.resolve); err == nil {
				t.Errorf("instantiated a module that %s", test.why)
			}
		})
	}
	f.fill("1", f.instantiate("2", "traps"))
	if _, err := f.store.Instantiate(f.ctx, f.compile("consumer"), f.resolve); err == nil {
		f.Error("instantiated a module that imports what isn't exported")
	}
	f.instantiate("1", "provider")
	if _, err := f.newStore(core.Limits{}).Instantiate(f.ctx, f.compile("consumer"), f.resolve); err == nil {
		f.Error("instantiated a module that imports from another store")
	}
}

// The consumer puts functions into the provider's table.
func testSharedTable(f *fixture) {
	provider := f.instantiate("1", "provider")
	if _, err := f.try(provider, "call", 1, 5); err == nil {
		f.Error("called an element that was not set")
	}
	f.instantiate("2", "consumer")
	f.want(provider, "call", []uint64{1, 5}, []uint64{15})
	f.want(provider, "call", []uint64{2, 5}, []uint64{0xfffffffb})
	f.wantTrap(provider, "call", 3, 5) // another type
}

func testValues(f *fixture) {
	provider := f.instantiate("1", "provider")
	nan := uint64(0x7ff8dead00000001) // payloads are kept
	f.want(provider, "floats", []uint64{uint64(math.Float32bits(1.5)), nan}, []uint64{nan, uint64(math.Float32bits(1.5))})
	f.want(provider, "many", []uint64{7, 41}, []uint64{42, 7, math.MaxUint64})
	f.want(provider, "sink", []uint64{1, 2, 3}, nil)

	f.host(nil)
	guest := f.instantiate("2", "host")
	f.want(guest, "swap", []uint64{1, 2, nan}, []uint64{nan, 2, 1, 2})
}

func testTypes(f *fixture) {
	f.host(nil)
	guest := f.instantiate("2", "host")
	got := guest.Func("swap").Type()
	want := core.FuncType{
		Params:  []core.ValueType{core.I32, core.I64, core.F64},
		Results: []core.ValueType{core.F64, core.I64, core.I32, core.I32},
	}
	if !got.Equal(want) {
		f.Errorf("type of swap is %v, want %v", got, want)
	}
	if guest.Func("nothing") != nil || guest.Func("memory") != nil {
		f.Error("Func returns what is no function")
	}
	if guest.Memory("nothing") != nil || guest.Memory("swap") != nil {
		f.Error("Memory returns what is no memory")
	}
	if got := len(guest.Memory("memory").Bytes()); got != pageSize {
		f.Errorf("memory has %d bytes, want %d", got, pageSize)
	}
}

func testNothingElseIsCalled(f *fixture) {
	f.want(f.instantiate("1", "provider"), "global.get", nil, []uint64{10})
}

func testStart(f *fixture) {
	f.host(func(_ context.Context, n uint32) uint32 { return n * 7 })
	f.want(f.instantiate("1", "start"), "get", nil, []uint64{42})

	f.host(func(context.Context, uint32) uint32 { panic(errHost) })
	_, err := f.store.Instantiate(f.ctx, f.compile("start"), f.resolve)
	var trap *core.Trap
	if !errors.As(err, &trap) || !errors.Is(err, errHost) || trap.Reason != errHost.Error() {
		f.Errorf("instantiate: error is %v, want a trap by %v", err, errHost)
	}
}

var errHost = errors.New("the host gives up")

// ownContext is an embedder's context type.
type ownContext struct {
	context.Context
	calls int
}

func testContext(f *fixture) {
	f.host(func(ctx context.Context, n uint32) uint32 {
		own, ok := ctx.(*ownContext)
		if !ok {
			panic(fmt.Errorf("context is %T, want the caller's", ctx))
		}
		own.calls++
		return n
	})
	own := &ownContext{Context: f.ctx}
	f.ctx = own
	f.instantiate("1", "start")
	if own.calls != 1 {
		f.Errorf("start function's host call got the context %d times, want once", own.calls)
	}
	guest := f.instantiate("2", "host")
	for _, name := range []string{"call", "outer", "host"} {
		own.calls = 0
		if _, err := f.try(guest, name, 1); err != nil {
			f.Errorf("%s: %v", name, err)
		}
		if own.calls != 1 {
			f.Errorf("%s: host call got the context %d times, want once", name, own.calls)
		}
	}
}

func testHostErrors(f *fixture) {
	var cause any
	f.host(func(context.Context, uint32) uint32 { panic(cause) })
	guest := f.instantiate("1", "host")
	var nothing map[string]int
	for _, test := range []struct {
		name   string
		cause  any
		reason string
	}{
		{"error", errHost, "the host gives up"},
		{"wrapped error", fmt.Errorf("in a file: %w", errHost), "in a file: the host gives up"},
		{"text", "no error at all", "no error at all"},
	} {
		f.Run(test.name, func(t *testing.T) {
			cause = test.cause
			for _, name := range []string{"call", "outer", "host"} {
				trap := f.wantTrap(guest, name, 1)
				if trap.Reason != test.reason {
					t.Errorf("%s: reason is %q, want %q", name, trap.Reason, test.reason)
				}
				if err, ok := cause.(error); ok && !errors.Is(trap, errHost) {
					t.Errorf("%s: trap does not wrap %v", name, err)
				}
			}
		})
	}
	cause = errHost
	if got, want := f.wantTrap(guest, "outer", 1).Backtrace, []string{"call", "inner", "outer"}; !names(got, want) {
		f.Errorf("backtrace is %q, want functions %q", got, want)
	}
	f.host(func(context.Context, uint32) uint32 { nothing["x"] = 1; return 0 })
	if trap := f.wantTrap(f.instantiate("1", "host"), "call", 1); !strings.Contains(trap.Reason, "nil map") {
		f.Errorf("reason is %q, want Go's words for a write to a nil map", trap.Reason)
	}
}

// names tells whether a backtrace, whose names may have their module's in front,
// is of these functions.
func names(backtrace, functions []string) bool {
	if len(backtrace) != len(functions) {
		return false
	}
	for i := range backtrace {
		if !strings.HasSuffix("."+backtrace[i], "."+functions[i]) {
			return false
		}
	}
	return true
}

// A host function may call the very function that called it.
func testReentrantCalls(f *fixture) {
	var outer core.Func
	f.host(func(ctx context.Context, n uint32) uint32 {
		if n == 0 {
			return 1
		}
		if n == 99 {
			panic(errHost)
		}
		stack := []uint64{uint64(n - 1)}
		if err := outer.Call(ctx, stack); err != nil {
			panic(err)
		}
		return uint32(stack[0]) + 1
	})
	guest := f.instantiate("1", "host")
	outer = guest.Func("outer")
	f.want(guest, "outer", []uint64{20}, []uint64{21*1000 + 21})
	stack := []uint64{5}
	if err := outer.Call(f.ctx, stack); err != nil || stack[0] != 6006 {
		f.Errorf("outer(5) = %d, %v; want 6006", stack[0], err)
	}
	// The trap of the innermost call goes through all the others.
	if trap := f.wantTrap(guest, "outer", 102); !errors.Is(trap, errHost) {
		f.Errorf("trap is by %v, want %v", trap.Cause, errHost)
	}
	f.want(guest, "outer", []uint64{3}, []uint64{4004})
}

func testTraps(f *fixture) {
	guest := f.instantiate("1", "traps")
	for _, test := range []struct {
		name   string
		args   []uint64
		reason string
	}{
		{"unreachable", nil, "unreachable"},
		{"divide", []uint64{1, 0}, "integer divide by zero"},
		{"divide", []uint64{1 << 31, 0xffffffff}, "integer overflow"},
		{"truncate", []uint64{math.Float64bits(math.NaN())}, "invalid conversion to integer"},
		{"truncate", []uint64{math.Float64bits(1e10)}, "integer overflow"},
		{"load", []uint64{pageSize - 3}, "out of bounds memory access"},
		{"load", []uint64{0xffffffff}, "out of bounds memory access"},
		{"mismatch", nil, "indirect call type mismatch"},
	} {
		trap := f.wantTrap(guest, test.name, test.args...)
		if trap.Reason != test.reason || trap.Cause != nil {
			f.Errorf("%s(%d): reason is %q, cause %v; want %q and none", test.name, test.args, trap.Reason, trap.Cause, test.reason)
		}
	}
	if got, want := f.wantTrap(guest, "unreachable").Backtrace, []string{"crash", "deeper", "unreachable"}; len(got) < 2 || !names(got[:2], want[:2]) {
		f.Errorf("backtrace is %q, want functions %q", got, want)
	}
	f.want(guest, "seven", nil, []uint64{7})
}

func testRecursion(f *fixture) {
	guest := f.instantiate("1", "traps")
	if trap := f.wantTrap(guest, "recurse", 0); !errors.Is(trap, core.ErrExhausted) {
		f.Errorf("trap is %v by %v, want %v", trap, trap.Cause, core.ErrExhausted)
	}
	f.want(guest, "seven", nil, []uint64{7})
}

// Every instance starts with the data of its module.
func testData(f *fixture) {
	for range 2 {
		view := f.instantiate("1", "data").Memory("memory").Bytes()
		if got, want := string(view[10:22])+", "+string(view[2*pageSize:2*pageSize+12]), "at the front, two pages on"; got != want {
			f.Errorf("memory holds %q, want %q", got, want)
		}
		clear(view)
	}
}

func testMemoryLimit(f *fixture) {
	m := f.compile("greedy")
	if _, err := f.newStore(core.Limits{MemoryBytes: 2 * pageSize}).Instantiate(f.ctx, m, f.resolve); err == nil {
		f.Error("a memory started above its limit")
	}
	// One module, many limits.
	for _, limit := range []uint64{3, 4, 10} {
		guest, err := f.newStore(core.Limits{MemoryBytes: limit*pageSize + pageSize/2}).Instantiate(f.ctx, m, f.resolve)
		if err != nil {
			f.Fatal(err)
		}
		memory := guest.Memory("memory")
		f.want(guest, "grow", []uint64{limit - 3}, []uint64{3})
		if memory.Refusals() != 0 {
			f.Errorf("limit %d: memory was refused before the limit", limit)
		}
		f.want(guest, "grow", []uint64{1}, []uint64{0xffffffff})
		f.want(guest, "grow", []uint64{0xffff}, []uint64{0xffffffff})
		if memory.Refusals() == 0 {
			f.Errorf("limit %d: memory was not refused beyond the limit", limit)
		}
		if got, want := uint64(len(memory.Bytes())), limit*pageSize; got != want {
			f.Errorf("limit %d: memory has %d bytes, want %d", limit, got, want)
		}
		f.want(guest, "grow", []uint64{0}, []uint64{limit})
	}
	// The memories of a store share its limit.
	store := f.newStore(core.Limits{MemoryBytes: 7 * pageSize})
	var guests [2]core.Instance
	for n := range guests {
		var err error
		if guests[n], err = store.Instantiate(f.ctx, m, f.resolve); err != nil {
			f.Fatal(err)
		}
	}
	f.want(guests[0], "grow", []uint64{2}, []uint64{0xffffffff})
	f.want(guests[0], "grow", []uint64{1}, []uint64{3})
	f.want(guests[1], "grow", []uint64{1}, []uint64{0xffffffff})
	if _, err := store.Instantiate(f.ctx, m, f.resolve); err == nil {
		f.Error("a memory started above what others left of the limit")
	}
	// The module's own maximum is no refusal.
	provider := f.instantiate("1", "provider")
	f.want(provider, "grow", []uint64{8}, []uint64{0xffffffff})
	if provider.Memory("memory").Refusals() != 0 {
		f.Error("memory was refused that the module itself doesn't want")
	}
}

func testMemoryGrowth(f *fixture) {
	guest := f.instantiate("1", "greedy")
	memory := guest.Memory("memory")
	memory.Bytes()[0] = 1
	for pages := uint64(3); pages < 300; pages += 9 {
		f.want(guest, "grow", []uint64{9}, []uint64{pages})
		view := memory.Bytes()
		if uint64(len(view)) != (pages+9)*pageSize {
			f.Fatalf("memory has %d bytes, want %d pages", len(view), pages+9)
		}
		last := len(view) - 1
		if view[0] != 1 || view[last] != 0 {
			f.Fatalf("memory of %d pages starts with %d, ends with %d; want 1, 0", pages+9, view[0], view[last])
		}
		f.want(guest, "store", []uint64{uint64(last), 9}, nil)
		if view[last] != 9 {
			f.Fatalf("memory of %d pages: the view misses what the guest stored", pages+9)
		}
	}
}

func testSharedMemory(f *fixture) {
	provider := f.instantiate("1", "provider")
	consumer := f.instantiate("2", "consumer")
	first, second := provider.Memory("memory"), consumer.Memory("memory")
	if got, want := string(first.Bytes()[5:22]), "from the consumer"; got != want {
		f.Errorf("memory holds %q, want %q", got, want)
	}
	f.want(consumer, "store", []uint64{100, 0x01020304}, nil)
	f.want(provider, "load", []uint64{100}, []uint64{0x01020304})
	second.Bytes()[100] = 5
	f.want(provider, "load", []uint64{100}, []uint64{0x01020305})
	// Either may let it grow.
	f.want(consumer, "grow", []uint64{2}, []uint64{1})
	f.want(provider, "grow", []uint64{1}, []uint64{3})
	f.want(consumer, "store", []uint64{4*pageSize - 4, 77}, nil)
	for _, memory := range []core.Memory{first, second} {
		if got := len(memory.Bytes()); got != 4*pageSize {
			f.Fatalf("memory has %d bytes, want %d", got, 4*pageSize)
		}
		if got := memory.Bytes()[4*pageSize-4]; got != 77 {
			f.Errorf("memory ends with %d, want 77", got)
		}
	}
}

func testCompileErrors(f *fixture) {
	whole := wasm(f, "provider")
	for _, data := range [][]byte{nil, []byte("no module"), whole[:8+2], whole[:len(whole)/2], append(whole[:len(whole):len(whole)], 1, 2, 3)} {
		if _, err := f.engine.Compile(f.ctx, data); err == nil {
			f.Errorf("compiled %d bytes that are no module", len(data))
		}
	}
	call := core.HostFunc{Name: "twice", Call: func(context.Context, []uint64) {}}
	if _, err := f.engine.CompileHost(f.ctx, []core.HostFunc{call, call}); err == nil {
		f.Error("compiled two host functions of one name")
	}
}

func testClose(f *fixture) {
	m := f.compile("provider")
	guest, err := f.store.Instantiate(f.ctx, m, f.resolve)
	if err != nil {
		f.Fatal(err)
	}
	memory := guest.Memory("memory")
	add := guest.Func("add")
	if err := f.store.Close(f.ctx); err != nil {
		f.Fatal(err)
	}
	if err := f.store.Close(f.ctx); err != nil {
		f.Errorf("close again: %v", err)
	}
	if err := add.Call(f.ctx, []uint64{1, 2}); err == nil {
		f.Error("called a function of a closed store")
	}
	if got := len(memory.Bytes()); got != 0 {
		f.Errorf("memory of a closed store has %d bytes, want none", got)
	}
	if _, err := f.store.Instantiate(f.ctx, m, f.resolve); err == nil {
		f.Error("instantiated a module in a closed store")
	}
	if err := m.Close(f.ctx); err != nil {
		f.Error(err)
	}
	if err := f.engine.Close(f.ctx); err != nil {
		f.Error(err)
	}
	if err := f.engine.Close(f.ctx); err != nil {
		f.Errorf("close engine again: %v", err)
	}
	if _, err := f.engine.Compile(f.ctx, wasm(f, "provider")); err == nil {
		f.Error("compiled on a closed engine")
	}
}

// Components share core modules; closing one must not take it from the other.
func testSameModuleTwice(f *fixture) {
	first, second := f.compile("traps"), f.compile("traps")
	guest, err := f.store.Instantiate(f.ctx, first, f.resolve)
	if err != nil {
		f.Fatal(err)
	}
	if err := first.Close(f.ctx); err != nil {
		f.Fatal(err)
	}
	f.want(guest, "seven", nil, []uint64{7})
	other, err := f.store.Instantiate(f.ctx, second, f.resolve)
	if err != nil {
		f.Fatal(err)
	}
	f.want(other, "seven", nil, []uint64{7})
	if got := f.wantTrap(other, "unreachable").Backtrace; len(got) == 0 {
		f.Error("backtrace is empty")
	}
}

func testConcurrency(f *fixture) {
	provider, consumer := f.compile("provider"), f.compile("consumer")
	var wg sync.WaitGroup
	for n := range uint64(8) {
		wg.Go(func() {
			for range 20 {
				slots := map[string]core.Instance{}
				store := f.engine.NewStore(core.Limits{})
				resolve := func(slot string) core.Instance { return slots[slot] }
				for slot, m := range []core.Module{provider, consumer} {
					i, err := store.Instantiate(f.ctx, m, resolve)
					if err != nil {
						f.Error(err)
						return
					}
					slots[fmt.Sprint(slot+1)] = i
				}
				f.want(slots["2"], "add three", []uint64{n, 1, 2}, []uint64{n + 3})
				f.want(slots["2"], "store", []uint64{200, n}, nil)
				f.want(slots["1"], "load", []uint64{200}, []uint64{n})
				if err := store.Close(f.ctx); err != nil {
					f.Error(err)
				}
			}
			if _, err := f.engine.Compile(f.ctx, wasm(f, "traps")); err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
}
