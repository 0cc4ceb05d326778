// SPDX-License-Identifier: Apache-2.0

package encode_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wasi"
)

func TestMain(m *testing.M) { os.Exit(coretest.EveryEngine{M: m}.Run()) }

// compile compiles a component for the time of the test.
func compile(t *testing.T, data []byte) (*component.Component, error) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.Compile(ctx, t.Name(), data)
	if err == nil {
		t.Cleanup(func() {
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

// instantiate encodes a module and runs it.
func instantiate(t *testing.T, module []byte, w *types.Component, config component.InstanceConfig) *component.Instance {
	t.Helper()
	data, err := encode.Component(module, w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := compile(t, data)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, c, config)
}

// start makes an instance for the time of the test.
func start(t *testing.T, c *component.Component, config component.InstanceConfig) *component.Instance {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	i, err := c.Instantiate(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return i
}

func call(t *testing.T, i *component.Instance, iface, name string, args ...value.Value) value.Value {
	t.Helper()
	got, err := i.Func(iface, name).Call(t.Context(), args...)
	if err != nil {
		t.Fatalf("%s#%s: %v", iface, name, err)
	}
	return got
}

// Instructions of hand-written functions.

func get(local byte) []byte { return []byte{0x20, local} }

func constant(n int) []byte {
	b := []byte{0x41}
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if (n == 0 && c&0x40 == 0) || (n == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func invoke(function byte) []byte { return []byte{0x10, function} }

func load(at int) []byte   { return join(constant(at), []byte{0x28, 2, 0}) }
func load64(at int) []byte { return join(constant(at), []byte{0x29, 3, 0}) }

func store(at int, v ...[]byte) []byte {
	return join(constant(at), join(v...), []byte{0x36, 2, 0})
}

var (
	add  = []byte{0x6a}
	sub  = []byte{0x6b}
	and  = []byte{0x71}
	drop = []byte{0x1a}
)

// Addresses that the hand-written modules use.
const (
	heap     = 64 // the end of what is allocated
	result   = 68 // of the last allocation
	posts    = 72 // calls of post-return
	returns  = 80 // return area
	scratch  = 128
	heapFrom = 4096
)

// bump is an allocator that never frees. It works once initialize has run.
func bump(before ...[]byte) []coreFunc {
	return []coreFunc{
		{"_initialize", sig(nil), store(heap, constant(heapFrom))},
		{"cabi_realloc", reallocType, join(
			join(before...),
			// result = (heap + align - 1) & -align; heap = result + size
			store(result, load(heap), get(2), add, constant(1), sub, constant(0), get(2), sub, and),
			store(heap, load(result), get(3), add),
			load(result))},
	}
}

// A string goes in, through an import, and out again: the shim, the fixup, the
// allocator, the initializer and post-return all have to work.
func TestRunThroughImport(t *testing.T) {
	const text = `package a:b@1.0.0;
		interface host { greet: func(name: string) -> string; count: func() -> u32; }
		interface guest { hello: func(name: string) -> string; posts: func() -> u32; }
		world w { import host; export guest; }`
	w := world(t, text)
	const guest, host = "a:b/guest@1.0.0", "a:b/host@1.0.0"
	m := coreModule{memory: true,
		imports: []coreImport{
			{host, "greet", sig(in(i32, i32, i32))},
			{host, "count", sig(nil, i32)},
			{host, "greet", sig(in(i32, i32, i32))}, // once more
		},
		funcs: append(bump(),
			coreFunc{guest + "#hello", sig(in(i32, i32), i32), join(
				get(0), get(1), constant(returns), invoke(0),
				load(returns), load(returns+4), constant(returns), invoke(2),
				constant(returns))},
			coreFunc{"cabi_post_" + guest + "#hello", sig(in(i32)), store(posts, load(posts), constant(1), add)},
			coreFunc{guest + "#posts", sig(nil, i32), join(load(posts), invoke(1), add)},
		)}
	greeted := 0
	i := instantiate(t, m.assemble(), w, component.InstanceConfig{Imports: []*component.Interface{{
		Name: host,
		Type: types.Find(w.Imports, host).Instance,
		Funcs: map[string]component.HostFunc{
			"greet": func(_ *component.Call, args []value.Value) (value.Value, error) {
				greeted++
				return value.String("hello " + args[0].Str()), nil
			},
			"count": func(*component.Call, []value.Value) (value.Value, error) { return value.U32(100), nil },
		},
	}}})
	for n := range 3 {
		if got, want := call(t, i, guest, "hello", value.String("wörld")).Str(), "hello hello wörld"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := call(t, i, guest, "posts").U32(), uint32(101+n); got != want {
			t.Errorf("got %d, want %d: post-return runs once a call", got, want)
		}
	}
	if greeted != 6 {
		t.Errorf("the host was called %d times, want 6", greeted)
	}
}

// Resources that a component exports: it makes them, finds what they stand for,
// and is told when they are gone.
func TestRunExportedResource(t *testing.T) {
	w := world(t, `package a:b;
		interface store {
			resource counter { constructor(n: u32); value: func() -> u32; }
			take: func(c: counter) -> u32;
		}
		interface audit { use store.{counter}; peek: func(c: borrow<counter>) -> u32; dropped: func() -> u32; }
		world w { export store; export audit; }`)
	const store_, audit = "a:b/store", "a:b/audit"
	m := coreModule{memory: true,
		imports: []coreImport{
			{"[export]" + store_, "[resource-new]counter", newType},
			{"[export]" + store_, "[resource-rep]counter", newType},
			{"[export]" + store_, "[resource-drop]counter", dropType},
		},
		funcs: []coreFunc{
			{store_ + "#[constructor]counter", newType, join(get(0), constant(1000), add, invoke(0))},
			{store_ + "#[method]counter.value", newType, get(0)}, // a borrow comes as what it stands for
			{store_ + "#take", newType, join(get(0), invoke(1), get(0), invoke(2))},
			{store_ + "#[dtor]counter", dropType, store(posts, load(posts), get(0), add)},
			{audit + "#peek", newType, get(0)},
			{audit + "#dropped", sig(nil, i32), load(posts)},
		}}
	i := instantiate(t, m.assemble(), w, component.InstanceConfig{})
	c := call(t, i, store_, "[constructor]counter", value.U32(7))
	if got := call(t, i, store_, "[method]counter.value", value.Borrow(c.Object())).U32(); got != 1007 {
		t.Errorf("value: got %d, want 1007", got)
	}
	if got := call(t, i, audit, "peek", value.Borrow(c.Object())).U32(); got != 1007 {
		t.Errorf("peek: got %d, want 1007", got)
	}
	if got := call(t, i, audit, "dropped").U32(); got != 0 {
		t.Errorf("dropped before: got %d, want 0", got)
	}
	if got := call(t, i, store_, "take", c).U32(); got != 1007 {
		t.Errorf("take: got %d, want 1007", got)
	}
	if got := call(t, i, audit, "dropped").U32(); got != 1007 {
		t.Errorf("dropped after: got %d, want 1007", got)
	}
}

// While the allocator or post-return runs, no import may be called. Preview1
// answers all the same, as a guest's runtime may need it there.
func TestRunPreview1Quiet(t *testing.T) {
	w := world(t, `package a:b; world w {
		export now: func(text: string) -> u64;
		export describe: func() -> string;
		export seen: func() -> u64; }`)
	const p1 = "wasi_snapshot_preview1"
	asks := join(
		constant(1), []byte{0x42, 0}, constant(scratch), invoke(0), drop, // the time, to scratch
		store(returns, constant(returns)), store(returns+4, constant(5)),
		constant(2), constant(returns), constant(1), constant(returns+8), invoke(1), drop, // a write
		constant(returns), constant(8), invoke(2), drop, // randomness
	)
	m := coreModule{memory: true,
		imports: []coreImport{
			{p1, "clock_time_get", sig(in(i32, i64, i32), i32)},
			{p1, "fd_write", sig(in(i32, i32, i32, i32), i32)},
			{p1, "random_get", sig(in(i32, i32), i32)},
		},
		funcs: append(bump(asks),
			coreFunc{"now", sig(in(i32, i32), i64), join(asks, load64(scratch))},
			coreFunc{"describe", sig(nil, i32), join(store(returns+16, constant(0)), store(returns+20, constant(0)), constant(returns+16))},
			coreFunc{"cabi_post_describe", sig(in(i32)), asks},
			coreFunc{"seen", sig(nil, i64), load64(scratch)},
		)}
	var stderr bytes.Buffer
	now := uint64(1000)
	host := wasi.New(wasi.Config{
		Stderr:    &stderr,
		Monotonic: func() uint64 { now += 1000; return now },
		Wait:      func(context.Context, uint64) error { return nil },
	})
	i := instantiate(t, m.assemble(), w, component.InstanceConfig{Imports: host.Interfaces()})
	if got := call(t, i, "", "now", value.String("a")).U64(); got != 2000 {
		t.Errorf("got %d, want 2000: the allocator read the clock", got)
	}
	if got := call(t, i, "", "now", value.String("b")).U64(); got != 3000 {
		t.Errorf("got %d, want 3000", got)
	}
	if got := stderr.Len(); got != 10 {
		t.Errorf("got %d bytes written, want 10: those of the two calls", got)
	}
	call(t, i, "", "describe")
	if got := call(t, i, "", "seen").U64(); got != 3000 {
		t.Errorf("post-return: got %d, want 3000, the last answer", got)
	}
}

// buildGo compiles the Go guest to a core module.
func buildGo(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const goWorld = `package a:b; world w {
	import notify: func(text: string);
	export exercise: func(what: string) -> result<string, string>; }`

// counting is a source of randomness that counts.
type counting struct{ n uint64 }

func (c *counting) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		c.n++
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], c.n)
		copy(p[i:], b[:])
	}
	return len(p), nil
}

// Standard Go runs with the clock and randomness of its host: it sleeps, logs,
// panics, and finds no files and no network.
func TestRunGo(t *testing.T) {
	w := world(t, goWorld)
	data, err := encode.Component(buildGo(t), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	guest, err := compile(t, data)
	if err != nil {
		t.Fatal(err)
	}
	epoch := time.Date(2020, 1, 1, 0, 0, 0, 1_000_000, time.UTC)
	type run struct {
		instance       *component.Instance
		now            uint64 // nanoseconds since epoch
		stdout, stderr bytes.Buffer
		told           []string
	}
	begin := func(t *testing.T) *run {
		r := &run{}
		host := wasi.New(wasi.Config{
			Stdout:    &r.stdout,
			Stderr:    &r.stderr,
			WallClock: func() time.Time { return epoch.Add(time.Duration(r.now)) },
			Monotonic: func() uint64 { return 1 + r.now },
			Wait: func(_ context.Context, until uint64) error {
				r.now = max(r.now, until-1)
				return nil
			},
			Random: &counting{},
		})
		imports := append(host.Interfaces(), &component.Interface{
			Name: "",
			Type: &types.Instance{Exports: []types.Extern{*types.Find(w.Imports, "notify")}},
			Funcs: map[string]component.HostFunc{"notify": func(_ *component.Call, args []value.Value) (value.Value, error) {
				r.told = append(r.told, strings.Clone(args[0].Str()))
				return value.Value{}, nil
			}},
		})
		r.instance = start(t, guest, component.InstanceConfig{Imports: imports, Deadline: 20 * time.Second})
		return r
	}
	exercise := func(r *run, what string) (string, error) {
		got, err := r.instance.Func("", "exercise").Call(t.Context(), value.String(what))
		if err != nil {
			return "", err
		}
		if got.Case() == 1 {
			return "", errors.New(got.Payload().Str())
		}
		return got.Payload().Str(), nil
	}
	r := begin(t)
	for _, tt := range []struct{ what, want, wantErr string }{
		{what: "notify"},
		{what: "now", want: "2020-01-01T00:00:00.001Z"},
		{what: "sleep", want: "1.5s"},
		{what: "now", want: "2020-01-01T00:00:01.501Z"},
		{what: "timers", want: "10 20 30"},
		{what: "zone", want: "UTC 0"},
		{what: "output"},
		{what: "stdin", wantErr: "EOF"},
		{what: "files", want: "0 0"},
		{what: "net", want: "1883"},
		{what: "json", want: "map[a:1.5]"},
		{what: "panic", wantErr: "panic: assignment to entry in nil map"},
		{what: "nothing", wantErr: `no exercise "nothing"`},
	} {
		got, err := exercise(r, tt.what)
		if got != tt.want || (err == nil) != (tt.wantErr == "") || (err != nil && err.Error() != tt.wantErr) {
			t.Errorf("%s: got %q, error %v; want %q, error %q", tt.what, got, err, tt.want, tt.wantErr)
		}
	}
	if diff := cmp.Diff([]string{"told"}, r.told); diff != "" {
		t.Errorf("told the host (-want +got):\n%s", diff)
	}
	if got, want := r.stdout.String(), "to stdout\n"+strings.Repeat("x", 10_000); got != want {
		t.Errorf("stdout: got %d bytes, want %d", len(got), len(want))
	}
	if got, want := r.stderr.String(), "to stderr\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}

	t.Run("same input, same run", func(t *testing.T) {
		a, errA := exercise(begin(t), "random")
		b, errB := exercise(begin(t), "random")
		if a != b || a == "" || errA != nil || errB != nil {
			t.Errorf("got %q, %v and %q, %v; want equal ones", a, errA, b, errB)
		}
	})
	t.Run("background goroutine", func(t *testing.T) {
		r := begin(t)
		if _, err := exercise(r, "background"); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			r.now += 1e6
			if _, err := exercise(r, "sleep"); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(r.stderr.String(), "tick"); got < 900 {
			t.Errorf("got %d ticks, want nearly 1000", got)
		}
	})
	t.Run("exit", func(t *testing.T) {
		_, err := exercise(begin(t), "exit")
		var exit *wasi.ExitError
		if !errors.As(err, &exit) || exit.Code != 1 {
			t.Errorf("got error %v, want exit with code 1", err)
		}
	})
}
