// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime

package wasmtime_test

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wasmtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB) core.Engine {
	tb.Helper()
	e, err := wasmtime.New(wasmtime.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return e
}

func TestEngine(t *testing.T) {
	coretest.Run(t, open)
	dir := t.TempDir()
	for _, name := range []string{"filling a cache", "from the cache"} {
		t.Run(name, func(t *testing.T) {
			coretest.Run(t, func(tb testing.TB) core.Engine { return openCached(tb, dir) })
		})
	}
}

// openCached opens an engine as a process that starts has it, on a cache.
func openCached(tb testing.TB, dir string) core.Engine {
	tb.Helper()
	kept, err := cache.Open(dir, cache.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	e, err := wasmtime.New(wasmtime.Config{Cache: kept})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return e
}

// Code is loaded where it was kept, by the digest of its module alone, and works. Where
// it was damaged, or is none, it is made again.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	digest := sha256.Sum256(guestWasm)
	entry := func() string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("the cache has files %q, %v; want one", files, err)
		}
		return files[0]
	}
	for _, tt := range []struct {
		name   string
		before func()
		kept   bool
	}{
		{"empty", func() {}, false},
		{"whole", func() {}, true},
		{"damaged", func() {
			if err := os.Truncate(entry(), 1000); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"made again", func() {}, true},
		{"no code", func() {
			key, err := cache.ParseKey(filepath.Base(entry()))
			if err != nil {
				t.Fatal(err)
			}
			kept, err := cache.Open(dir, cache.Config{})
			if err != nil {
				t.Fatal(err)
			}
			kept.Put(key, []byte("no code"))
		}, false},
		{"made again after that", func() {}, true},
	} {
		tt.before()
		e := openCached(t, dir)
		m := e.Load(t.Context(), digest)
		if (m != nil) != tt.kept {
			t.Errorf("%s: found the code: %v, want %v", tt.name, m != nil, tt.kept)
		}
		if m == nil {
			m = compile(t, e, guestWasm)
		}
		guest := link(t, e.NewStore(core.Limits{}), compileHost(t, e, func(_ context.Context, n uint32) uint32 { return n + 1 }), m)
		stack := []uint64{41}
		if err := guest.Func("call").Call(t.Context(), stack); err != nil || uint32(stack[0]) != 42 {
			t.Errorf("%s: call = %d, %v; want 42", tt.name, stack[0], err)
		}
		if _, err := os.Stat(entry()); err != nil {
			t.Error(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := e.Load(t.Context(), digest); m != nil {
			t.Errorf("%s: a closed engine loads code", tt.name)
		}
		entry() // which is not its fault
	}
}

//go:embed testdata/guest.wasm
var guestWasm []byte

//go:embed testdata/start.wasm
var startWasm []byte

func compile(tb testing.TB, e core.Engine, wasm []byte) core.Module {
	tb.Helper()
	m, err := e.Compile(tb.Context(), wasm)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// callFunc is the host function "call".
func callFunc(call func(ctx context.Context, n uint32) uint32) core.HostFunc {
	i32 := []core.ValueType{core.I32}
	return core.HostFunc{
		Name: "call", Type: core.FuncType{Params: i32, Results: i32},
		Call: func(ctx context.Context, stack []uint64) { stack[0] = uint64(call(ctx, uint32(stack[0]))) },
	}
}

func compileHost(tb testing.TB, e core.Engine, call func(ctx context.Context, n uint32) uint32) core.Module {
	tb.Helper()
	m, err := e.CompileHost(tb.Context(), []core.HostFunc{callFunc(call)})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// link instantiates a host module and a guest that imports from it.
func link(tb testing.TB, s core.Store, host, guest core.Module) core.Instance {
	tb.Helper()
	h, err := s.Instantiate(tb.Context(), host, nil)
	if err != nil {
		tb.Fatal(err)
	}
	i, err := s.Instantiate(tb.Context(), guest, func(string) core.Instance { return h })
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// newGuest makes an instance of guest.wasm in a store of its own.
func newGuest(tb testing.TB, call func(ctx context.Context, n uint32) uint32) core.Instance {
	tb.Helper()
	e := open(tb)
	return link(tb, e.NewStore(core.Limits{}), compileHost(tb, e, call), compile(tb, e, guestWasm))
}

// A nil pointer in a host function is a signal that arrives while a guest is on the
// stack. It is Go's, not the guest's.
func TestHostFault(t *testing.T) {
	var nothing *struct{ n uint32 }
	guest := newGuest(t, func(context.Context, uint32) uint32 { return nothing.n })
	for range 2 {
		err := guest.Func("call").Call(t.Context(), []uint64{1})
		var trap *core.Trap
		var fault runtime.Error
		if !errors.As(err, &trap) || !errors.As(err, &fault) {
			t.Fatalf("error is %v, want a trap by a runtime error", err)
		}
		if !strings.Contains(trap.Reason, "nil pointer") || !strings.Contains(trap.Cause.Error(), "TestHostFault") {
			t.Errorf("reason is %q, cause %q; want a nil pointer and where it was", trap.Reason, trap.Cause)
		}
	}
}

// A recursion through host functions is on one stack.
func TestReentrantRecursion(t *testing.T) {
	var guest core.Instance
	depth := 0
	guest = newGuest(t, func(ctx context.Context, n uint32) uint32 {
		depth++
		if err := guest.Func("call").Call(ctx, []uint64{1}); err != nil {
			panic(err)
		}
		return 0
	})
	err := guest.Func("call").Call(t.Context(), []uint64{1})
	if !errors.Is(err, core.ErrExhausted) || depth < 100 {
		t.Errorf("at depth %d: error is %v, want %v", depth, err, core.ErrExhausted)
	}
}

// A process that can't go on says why.
func TestFatal(t *testing.T) {
	const variable = "WASMTIME_TEST_FATAL"
	switch os.Getenv(variable) {
	case "goexit":
		guest := newGuest(t, func(context.Context, uint32) uint32 { runtime.Goexit(); return 0 })
		guest.Func("call").Call(t.Context(), []uint64{1})
		return
	case "stack":
		if _, err := wasmtime.New(wasmtime.Config{}); err == nil || !strings.Contains(err.Error(), "ulimit -s") {
			t.Errorf("new engine: error is %v, want a hint at ulimit", err)
		}
		return
	}
	run := func(scenario, shell string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", shell+` exec "$0" -test.run '^TestFatal$'`, os.Args[0])
		cmd.Env = append(cmd.Environ(), variable+"="+scenario)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("goexit", ""); err == nil || !strings.Contains(out, `host function "call" ends its goroutine`) {
		t.Errorf("goexit: %v, output:\n%s", err, out)
	}
	if runtime.GOOS == "linux" { // elsewhere, Go chooses the size
		if out, err := run("stack", "ulimit -s 1024;"); err != nil {
			t.Errorf("stack: %v, output:\n%s", err, out)
		}
	}
}

// What a host function instantiates while a guest starts is in a store and within
// limits of its own.
func TestStoreWithinStart(t *testing.T) {
	e := open(t)
	guest, start := compile(t, e, guestWasm), compile(t, e, startWasm)
	nothing := compileHost(t, e, func(context.Context, uint32) uint32 { return 0 })
	inner, outer := e.NewStore(core.Limits{}), e.NewStore(core.Limits{MemoryBytes: 2 << 16})
	var made core.Instance
	host := compileHost(t, e, func(ctx context.Context, n uint32) uint32 {
		made = link(t, inner, nothing, guest)
		return n
	})
	i := link(t, outer, host, start)
	stack := []uint64{0}
	if err := i.Func("grow").Call(t.Context(), stack); err != nil || uint32(stack[0]) != 0xffffffff || i.Memory("memory").Refusals() != 1 {
		t.Errorf("grow = %#x, %v; want it refused", stack[0], err)
	}
	if err := outer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(made.Memory("memory").Bytes()); got != 16<<16 {
		t.Errorf("the inner store's memory has %d bytes, want %d", got, 16<<16)
	}
}

func TestCloseDuringCall(t *testing.T) {
	e := open(t)
	s := e.NewStore(core.Limits{})
	var inner error
	host := compileHost(t, e, func(ctx context.Context, n uint32) uint32 {
		inner = s.Close(ctx)
		return n
	})
	guest := link(t, s, host, compile(t, e, guestWasm))
	if err := guest.Func("call").Call(t.Context(), []uint64{1}); err != nil || inner == nil {
		t.Errorf("call: %v; close during it: %v, want it refused", err, inner)
	}
}

// Values that fit into no slot are refused before they do harm.
func TestForeignValues(t *testing.T) {
	guest := newGuest(t, nil)
	for name, want := range map[string]core.ValueType{"reference": core.FuncRef, "vector": core.V128} {
		f := guest.Func(name)
		if got := f.Type(); len(got.Results) != 1 || got.Results[0] != want {
			t.Errorf("type of %s is %v, want a result %v", name, got, want)
		}
		if err := f.Call(t.Context(), make([]uint64, 4)); err == nil {
			t.Errorf("called %s", name)
		}
	}
	if err := guest.Func("call").Call(t.Context(), nil); err == nil {
		t.Error("called a function with too short a stack")
	}
	f := core.HostFunc{Name: "f", Type: core.FuncType{Params: []core.ValueType{core.ExternRef}}}
	if _, err := open(t).CompileHost(t.Context(), []core.HostFunc{f}); err == nil {
		t.Error("compiled a host function of references")
	}
	err := guest.Func("get").Call(t.Context(), []uint64{0})
	if trap := (*core.Trap)(nil); !errors.As(err, &trap) || !strings.Contains(trap.Reason, "out of bounds table access") {
		t.Errorf("error is %v, want a trap", err)
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	t.Setenv("RUST_BACKTRACE", "1")
	e := open(t)
	for _, wasm := range []string{"", "(module)", "\x00asm\x01\x00\x00\x00\x01", string(guestWasm[:len(guestWasm)-3])} {
		if _, err := e.Compile(t.Context(), []byte(wasm)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("compile %q: error is %v, want one line", wasm, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Compile(cancelled, guestWasm); !errors.Is(err, context.Canceled) {
		t.Errorf("compile: error is %v, want %v", err, context.Canceled)
	}
}

// Closing the engine closes what was forgotten.
func TestEngineClose(t *testing.T) {
	e := open(t)
	s := e.NewStore(core.Limits{})
	guest := link(t, s, compileHost(t, e, nil), compile(t, e, guestWasm))
	memory := guest.Memory("memory")
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if memory.Bytes() != nil {
		t.Error("a memory outlived its engine")
	}
	if guest.Func("call") != nil || guest.Memory("memory") != nil {
		t.Error("an instance outlived its engine")
	}
	if _, err := e.NewStore(core.Limits{}).Instantiate(t.Context(), nil, nil); err == nil {
		t.Error("instantiated a module on a closed engine")
	}
}

// Everything goes with its store: a memory that stayed would cost 4 GiB of address
// space, of which there are 128 TiB at most, and the MiB that is touched.
func TestStoresDontLeak(t *testing.T) {
	const stores = 2000
	e := open(t)
	errStart := errors.New("don't start")
	host := compileHost(t, e, func(context.Context, uint32) uint32 { panic(errStart) })
	guest, start := compile(t, e, guestWasm), compile(t, e, startWasm)
	round := func() {
		s := e.NewStore(core.Limits{MemoryBytes: 2 << 20})
		i := link(t, s, host, guest)
		if err := i.Func("touch").Call(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if len(i.Memory("memory").Bytes()) != 1<<20 {
			t.Fatal("memory has another size than declared")
		}
		// Neither do instances that never started.
		if _, err := s.Instantiate(t.Context(), start, func(string) core.Instance { return i }); !errors.Is(err, errStart) {
			t.Fatalf("start: error is %v, want %v", err, errStart)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	round()
	before := peak(t)
	for range stores {
		round()
	}
	if grown := peak(t) - before; grown > 200<<20 {
		t.Errorf("%d stores grew the process by %d bytes", stores, grown)
	}
}

// peak returns the most memory that the process ever had, in bytes.
func peak(t *testing.T) int64 {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss << 10
}

// BenchmarkCall calls a function that does nothing, and one that calls the host.
func BenchmarkCall(b *testing.B) {
	guest := newGuest(b, func(_ context.Context, n uint32) uint32 { return n })
	for _, name := range []string{"nothing", "call"} {
		f, stack := guest.Func(name), []uint64{1}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := b.Context()
			for b.Loop() {
				if err := f.Call(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInstantiate(b *testing.B) {
	e := open(b)
	host, guest := compileHost(b, e, nil), compile(b, e, guestWasm)
	for b.Loop() {
		s := e.NewStore(core.Limits{})
		link(b, s, host, guest).Memory("memory").Bytes()[0] = 1
		if err := s.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleNew() {
	e, err := wasmtime.New(wasmtime.Config{})
	if err != nil {
		panic(err)
	}
	defer e.Close(context.Background())
	fmt.Println(e.Name())
	// Output: wasmtime
}
