// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(coretest.EveryEngine{M: m}) }

// newRuntime returns a runtime on the engine that the tests are run on.
func newRuntime(t testing.TB) *component.Runtime {
	t.Helper()
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// compile compiles testdata/name.wasm, which is made of name.wat.
func compile(t testing.TB, rt *component.Runtime, name string) *component.Component {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.Compile(t.Context(), name, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instantiate(t testing.TB, c *component.Component, config component.InstanceConfig) *component.Instance {
	t.Helper()
	i, err := c.Instantiate(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return i
}

// declare returns the type of an interface written in WIT.
func declare(t testing.TB, name, text string) *types.Instance {
	t.Helper()
	p, err := wit.ParseText(name+".wit", text)
	if err != nil {
		t.Fatal(err)
	}
	i, err := p.Interface(p.Interfaces()[0])
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func call(t testing.TB, i *component.Instance, iface, name string, args ...value.Value) (value.Value, error) {
	t.Helper()
	f := i.Func(iface, name)
	if f == nil {
		t.Fatalf("no function %s#%s", iface, name)
	}
	return f.Call(t.Context(), args...)
}

const envWIT = `package test:host@1.3.4;
interface env {
  log: func(text: string);
  newer: func();
}`

func TestCall(t *testing.T) {
	rt := newRuntime(t)
	var logged []string
	env := &component.Interface{
		Name: "test:host/env@1.3.4", // newer than what is imported, and compatible
		Type: declare(t, "env", envWIT),
		Funcs: map[string]component.HostFunc{
			"log": func(_ *component.Call, args []value.Value) (value.Value, error) {
				logged = append(logged, strings.Clone(args[0].Str()))
				return value.Value{}, nil
			},
		},
	}
	// Of several that would do, the newest counts, and not the first.
	older := &component.Interface{Name: "test:host/env@1.3.0", Type: env.Type}
	other := &component.Interface{Name: "test:host/env@2.0.0", Type: &types.Instance{}}
	i := instantiate(t, compile(t, rt, "text"), component.InstanceConfig{Imports: []*component.Interface{other, older, env, older}})
	const api = "test:text/api@0.1.0"

	for range 3 { // post-return gives the memory back: the second call needs it
		got, err := call(t, i, api, "greet", value.String("wörld"))
		if err != nil || got.Str() != "hello, wörld" {
			t.Fatalf("greet = %q, %v", got.Str(), err)
		}
	}
	if want := []string{"hello, wörld", "hello, wörld", "hello, wörld"}; !slices.Equal(logged, want) {
		t.Errorf("logged %q, want %q", logged, want)
	}

	list := make([]value.Value, 1000)
	for n := range list {
		list[n] = value.U16(uint16(n))
	}
	if got, err := call(t, i, api, "sum", value.List(list)); err != nil || got.U32() != 999*1000/2 {
		t.Errorf("sum = %d, %v; want %d", got.U32(), err, 999*1000/2)
	}
	for _, tt := range []struct{ n, c, payload uint32 }{{8, 0, 4}, {7, 1, 3}} {
		got, err := call(t, i, "", "half", value.U32(tt.n))
		if err != nil || got.Case() != tt.c || got.Payload().U32() != tt.payload {
			t.Errorf("half(%d) = case %d of %d, %v; want case %d of %d", tt.n, got.Case(), got.Payload().U32(), err, tt.c, tt.payload)
		}
	}

	if i.Func(api, "nothing") != nil || i.Func("", "greet") != nil {
		t.Error("Func found functions that are not exported")
	}
	if _, err := call(t, i, api, "greet", value.U32(1)); err == nil {
		t.Error("greet took a number")
	}
}

// TestCallIn makes calls whose results live in the caller's arena.
func TestCallIn(t *testing.T) {
	env := &component.Interface{
		Name: "test:host/env@1.3.4", Type: declare(t, "env", envWIT),
		Funcs: map[string]component.HostFunc{
			"log": func(*component.Call, []value.Value) (value.Value, error) { return value.Value{}, nil },
		},
	}
	i := instantiate(t, compile(t, newRuntime(t), "text"), component.InstanceConfig{Imports: []*component.Interface{env}})
	greet := i.Func("test:text/api@0.1.0", "greet")
	kept, err := greet.Call(t.Context(), value.String("you"))
	if err != nil {
		t.Fatal(err)
	}
	var arena value.Arena
	ctx, name := t.Context(), value.String("arena")
	allocs := testing.AllocsPerRun(100, func() {
		arena.Reset()
		if got, err := greet.CallIn(ctx, &arena, name); err != nil || got.Str() != "hello, arena" {
			t.Fatalf("greet = %q, %v", got.Str(), err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a call, want none", allocs)
	}
	if kept.Str() != "hello, you" {
		t.Errorf("a kept result has become %q", kept.Str())
	}
}

func TestMissingImportTraps(t *testing.T) {
	rt := newRuntime(t)
	c := compile(t, rt, "text")
	for _, tt := range []struct {
		name    string
		imports []*component.Interface
	}{
		{"no interface", nil},
		{"another series", []*component.Interface{{Name: "test:host/env@2.0.0", Type: &types.Instance{}}}},
		{"no function", []*component.Interface{{Name: "test:host/env@1.2.0", Type: declare(t, "env", envWIT)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := instantiate(t, c, component.InstanceConfig{Imports: tt.imports})
			_, err := call(t, i, "test:text/api@0.1.0", "newer")
			if trap := (*component.Trap)(nil); !errors.As(err, &trap) || !strings.Contains(err.Error(), "test:host/env@1.2.0#newer") {
				t.Errorf("newer: %v, want a trap that names the import", err)
			}
		})
	}
	_, err := c.Instantiate(t.Context(), component.InstanceConfig{Imports: []*component.Interface{{
		Name: "test:host/env@1.2.0",
		Type: declare(t, "env", `package test:host@1.2.0; interface env { log: func(text: u32); }`),
	}}})
	if err == nil || !strings.Contains(err.Error(), "got u32, want string") {
		t.Errorf("Instantiate with a host of another type: %v", err)
	}
}

const filesWIT = `package test:host;
interface files {
  resource file { size: func() -> u32; }
  open: func() -> file;
  dropped: func(rep: u32);
}`

// files is a host that hands out files of sizes 1, 2, 3 ...
type files struct {
	opened  uint32
	closed  []any
	dropped []uint32
}

func (f *files) host(t testing.TB) *component.Interface {
	return &component.Interface{
		Name: "test:host/files",
		Type: declare(t, "files", filesWIT),
		Funcs: map[string]component.HostFunc{
			"open": func(*component.Call, []value.Value) (value.Value, error) {
				f.opened++
				return value.Own(f.opened), nil
			},
			"[method]file.size": func(_ *component.Call, args []value.Value) (value.Value, error) {
				return value.U32(args[0].Object().(uint32)), nil
			},
			"dropped": func(_ *component.Call, args []value.Value) (value.Value, error) {
				f.dropped = append(f.dropped, args[0].U32())
				return value.Value{}, nil
			},
		},
		Drop: map[string]func(any){"file": func(o any) { f.closed = append(f.closed, o) }},
	}
}

func TestResources(t *testing.T) {
	rt := newRuntime(t)
	host := &files{}
	config := component.InstanceConfig{Imports: []*component.Interface{host.host(t)}}
	i := instantiate(t, compile(t, rt, "resources"), config)

	counter, err := call(t, i, "", "make")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := call(t, i, "", "get", value.Borrow(counter.Object())); err != nil || got.U32() != 101 {
		t.Errorf("get = %d, %v; want 101", got.U32(), err)
	}
	if got, err := call(t, i, "", "take", counter); err != nil || got.U32() != 101 {
		t.Errorf("take = %d, %v; want 101", got.U32(), err)
	}
	if want := []uint32{101}; !slices.Equal(host.dropped, want) {
		t.Errorf("destructor called for %v, want %v", host.dropped, want)
	}

	if got, err := call(t, i, "", "measure", value.Borrow(uint32(7))); err != nil || got.U32() != 7 || host.closed != nil {
		t.Errorf("measure = %d, %v, closed %v; want 7 and nothing closed", got.U32(), err, host.closed)
	}
	if got, err := call(t, i, "", "measure-own", value.Own(uint32(8))); err != nil || got.U32() != 8 || len(host.closed) != 1 {
		t.Errorf("measure-own = %d, %v, closed %v; want 8 and one closed", got.U32(), err, host.closed)
	}
	if got, err := call(t, i, "", "opened"); err != nil || got.U32() != 1 || len(host.closed) != 2 {
		t.Errorf("opened = %d, %v, closed %v; want 1 and two closed", got.U32(), err, host.closed)
	}
}

func TestResourceFaults(t *testing.T) {
	rt := newRuntime(t)
	c := compile(t, rt, "resources")
	for _, tt := range []struct {
		name, error string
		args        []value.Value
	}{
		{"keep", "borrow handles still remain", []value.Value{value.Borrow(uint32(1))}},
		{"double-drop", "unknown handle index", []value.Value{value.Own(uint32(1))}},
		{"wrong", "is of type counter, want file", nil},
		{"hoard", "more than 100 handles", nil},
		{"get", "resource counter: value of type uint32 is none", []value.Value{value.Borrow(uint32(1))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := &files{}
			i := instantiate(t, c, component.InstanceConfig{Imports: []*component.Interface{host.host(t)}, Handles: 100})
			_, err := call(t, i, "", tt.name, tt.args...)
			if trap := (*component.Trap)(nil); !errors.As(err, &trap) || !strings.Contains(err.Error(), tt.error) {
				t.Errorf("%s: %v, want a trap with %q", tt.name, err, tt.error)
			}
		})
	}
	host := &files{}
	i, err := c.Instantiate(t.Context(), component.InstanceConfig{Imports: []*component.Interface{host.host(t)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, i, "", "leak"); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(t.Context()); err != nil || len(host.closed) != 1 {
		t.Errorf("Close = %v with %d objects dropped, want the leaked one", err, len(host.closed))
	}
}

func TestNestedComponents(t *testing.T) {
	rt := newRuntime(t)
	i := instantiate(t, compile(t, rt, "nested"), component.InstanceConfig{})
	for _, s := range []string{"quiet", "grün 𝄞"} {
		want := strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 32
			}
			return r
		}, s) + "!"
		if got, err := call(t, i, "", "shout", value.String(s)); err != nil || got.Str() != want {
			t.Errorf("shout(%q) = %q, %v; want %q", s, got.Str(), err, want)
		}
	}
}

// hostile instantiates the hostile component; its import "call" does nothing.
func hostile(t testing.TB, config component.InstanceConfig) *component.Instance {
	config.Imports = []*component.Interface{{
		Type: &types.Instance{Exports: []types.Extern{{Name: "call", Sort: types.SortFunc, Func: &types.Func{}}}},
		Funcs: map[string]component.HostFunc{
			"call": func(*component.Call, []value.Value) (value.Value, error) { return value.Value{}, nil },
		},
	}}
	return instantiate(t, compile(t, newRuntime(t), "hostile"), config)
}

func TestHostileGuest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mode  uint32 // of realloc
		args  []value.Value
		error string
		cause error
	}{
		{name: "trap", error: "unreachable"},
		{name: "divide", error: "divide by zero"},
		{name: "load", error: "out of bounds"},
		{name: "loop", cause: component.ErrDeadline},
		{name: "recurse", cause: component.ErrExhausted},
		{name: "grow", cause: component.ErrMemory},
		{name: "fill", args: []value.Value{value.U32(1000)}, cause: component.ErrDeadline},
		{name: "bad-string", error: "out of bounds"},
		{name: "bad-utf8", error: "not valid UTF-8"},
		{name: "bad-pointer", error: "out of bounds"},
		{name: "misaligned", error: "not aligned"},
		{name: "bad-case", error: "discriminant 7"},
		{name: "bad-char", error: "invalid char"},
		{name: "call-late", error: "cannot leave component instance"},
		{name: "take", mode: 1, args: []value.Value{value.String("x")}, error: "cannot leave component instance"},
		{name: "take", mode: 2, args: []value.Value{value.String("x")}, error: "out of bounds"},
		{name: "take", mode: 3, args: []value.Value{value.String("xy")}, error: "out of bounds"},
		{name: "take", mode: 4, args: []value.Value{value.String("x")}, cause: component.ErrDeadline},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := hostile(t, component.InstanceConfig{Deadline: 50 * time.Millisecond, Memory: 128 << 20})
			if _, err := call(t, i, "", "realloc-mode", value.U32(tt.mode)); err != nil {
				t.Fatal(err)
			}
			stop := collect()
			_, err := call(t, i, "", tt.name, tt.args...)
			stop()
			trap := (*component.Trap)(nil)
			if !errors.As(err, &trap) || !strings.Contains(err.Error(), tt.error) || tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Fatalf("%s: %v, want a trap with %q, cause %v", tt.name, err, tt.error, tt.cause)
			}
			if trap.Component != "hostile" || trap.Function != tt.name {
				t.Errorf("the trap names %s of %s, want %s of hostile", trap.Function, trap.Component, tt.name)
			}
			if _, err := call(t, i, "", "fine"); !errors.Is(err, component.ErrPoisoned) {
				t.Errorf("fine after a trap: %v, want ErrPoisoned", err)
			}
		})
	}
}

// collect forces garbage collections until it is stopped: a guest that the
// scheduler can't stop would freeze the process here.
func collect() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				runtime.GC()
			}
		}
	}()
	return func() { close(quit); <-done }
}

func TestEndlessStart(t *testing.T) {
	c := compile(t, newRuntime(t), "endless-start")
	_, err := c.Instantiate(t.Context(), component.InstanceConfig{Start: 20 * time.Millisecond})
	if !errors.Is(err, component.ErrDeadline) {
		t.Errorf("Instantiate: %v, want ErrDeadline", err)
	}
}

func TestCancel(t *testing.T) {
	i := hostile(t, component.InstanceConfig{Deadline: -1})
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := i.Func("", "loop").Call(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("loop: %v, want context.Canceled", err)
	}
}

// TestFuelIsDeterministic stops a guest by fuel twice, at the same place.
func TestFuelIsDeterministic(t *testing.T) {
	now := func() time.Time { t.Error("the clock was read"); return time.Time{} }
	for range 2 {
		i := hostile(t, component.InstanceConfig{Fuel: 10 << 20, Now: now})
		if _, err := call(t, i, "", "loop"); !errors.Is(err, component.ErrDeadline) {
			t.Errorf("loop: %v, want ErrDeadline", err)
		}
	}
}

func TestBusy(t *testing.T) {
	rt := newRuntime(t)
	var inner error
	var i *component.Instance
	env := &component.Interface{
		Name: "test:host/env@1.2.0", Type: declare(t, "env", envWIT),
		Funcs: map[string]component.HostFunc{
			"newer": func(c *component.Call, _ []value.Value) (value.Value, error) {
				_, inner = i.Func("", "half").Call(c.Context(), value.U32(2))
				return value.Value{}, nil
			},
		},
	}
	i = instantiate(t, compile(t, rt, "text"), component.InstanceConfig{Imports: []*component.Interface{env}})
	if _, err := call(t, i, "test:text/api@0.1.0", "newer"); err != nil || !errors.Is(inner, component.ErrBusy) {
		t.Errorf("newer = %v, and the call within it %v; want ErrBusy", err, inner)
	}
}

func TestCompileErrors(t *testing.T) {
	rt := newRuntime(t)
	good, err := os.ReadFile("testdata/text.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"empty", nil},
		{"text", []byte("(component)")},
		{"core module", []byte("\x00asm\x01\x00\x00\x00")},
		{"truncated", good[:len(good)/2]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := rt.Compile(t.Context(), tt.name, tt.data); err == nil {
				t.Error("Compile took it")
			} else if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %v", err)
			}
		})
	}
}

// FuzzCompile changes bytes of real components: whatever they become, compiling
// and instantiating them ends, with an error or without.
func FuzzCompile(f *testing.F) {
	seeds, err := filepath.Glob("../../conformance/component/testdata/*/*.wasm")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"text", "resources", "nested", "hostile"} {
		seeds = append(seeds, "testdata/"+name+".wasm")
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	rt := newRuntime(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := rt.Compile(t.Context(), "fuzz", data)
		if err != nil {
			return
		}
		defer c.Close(t.Context())
		i, err := c.Instantiate(t.Context(), component.InstanceConfig{Start: 50 * time.Millisecond, Memory: 1 << 20})
		if err == nil {
			i.Close(t.Context())
		}
	})
}

// A backtrace shows the guest's own functions, not those that stop it.
func TestBacktraceIsOfTheGuest(t *testing.T) {
	for _, function := range []string{"loop", "recurse"} {
		i := hostile(t, component.InstanceConfig{Fuel: 1 << 20})
		_, err := call(t, i, "", function)
		var trap *component.Trap
		if !errors.As(err, &trap) || len(trap.Backtrace) == 0 {
			t.Fatalf("%s: %v, want a trap with a backtrace", function, err)
		}
		if name := trap.Backtrace[0]; strings.Contains(name, "graphd.") || strings.HasPrefix(name, "host.") {
			t.Errorf("%s: the innermost function is %s, want one of the guest", function, name)
		}
	}
}
