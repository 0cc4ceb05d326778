// SPDX-License-Identifier: Apache-2.0

package preview1_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	wasip1 "github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasm-graph/graphd/engine/component/encode/preview1"
)

// Preview1's errno values.
const (
	success = 0
	badf    = 8
	inval   = 28
	io      = 29
	nosys   = 52
	pipe    = 64
	spipe   = 70
)

// host is a WASI 0.2 host that the adapter runs on: its clocks stand still, but
// for waiting, and it notes what is called.
type host struct {
	t         *testing.T
	memory    api.Memory
	adapter   api.Module
	quiet     api.MutableGlobal
	wall      uint64 // nanoseconds
	monotonic uint64
	random    uint64
	written   bytes.Buffer // "1:..." and "2:...", one write each
	fail      byte         // what a write answers: 0 ok, 1 last-operation-failed, 2 closed
	waited    []uint64     // nanoseconds, one wait each
	calls     []string
}

var errExit = errors.New("exit")

// memoryAndFlag is a module that exports a memory of one page and the quiet flag.
var memoryAndFlag = []byte("\x00asm\x01\x00\x00\x00" +
	"\x05\x03\x01\x00\x01" +
	"\x06\x06\x01\x7f\x01\x41\x00\x0b" +
	"\x07\x12\x02\x06memory\x02\x00\x05quiet\x03\x00")

func newHost(t *testing.T) *host {
	t.Helper()
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { r.Close(context.WithoutCancel(ctx)) })
	h := &host{t: t, wall: 1_700_000_000_123_456_789, monotonic: 5_000, random: 0x0807060504030201}

	provide := func(module string, functions map[string]any) {
		b := r.NewHostModuleBuilder(module)
		for name, f := range functions {
			b.NewFunctionBuilder().WithFunc(f).Export(name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	called := func(format string, args ...any) { h.calls = append(h.calls, fmt.Sprintf(format, args...)) }
	provide("wasi:io/error@0.2.0", map[string]any{
		"[resource-drop]error": func(handle uint32) { called("drop error %d", handle) },
	})
	provide("wasi:io/poll@0.2.0", map[string]any{
		"[method]pollable.block":  func(handle uint32) { called("block %d", handle) },
		"[resource-drop]pollable": func(handle uint32) { called("drop pollable %d", handle) },
	})
	provide("wasi:io/streams@0.2.0", map[string]any{
		"[method]output-stream.blocking-write-and-flush": func(stream, p, n, out uint32) {
			data, _ := h.memory.Read(p, n)
			fmt.Fprintf(&h.written, "%d:%s\n", stream, data)
			result := make([]byte, 12)
			if h.fail > 0 {
				result[0], result[4] = 1, h.fail-1
				binary.LittleEndian.PutUint32(result[8:], 77)
			}
			h.memory.Write(out, result)
		},
	})
	provide("wasi:clocks/monotonic-clock@0.2.0", map[string]any{
		"now": func() uint64 { called("monotonic"); return h.monotonic },
		"subscribe-duration": func(ns uint64) uint32 {
			h.waited = append(h.waited, ns)
			return 42
		},
	})
	provide("wasi:clocks/wall-clock@0.2.0", map[string]any{
		"now": func(out uint32) {
			called("wall")
			h.memory.WriteUint64Le(out, h.wall/1e9)
			h.memory.WriteUint32Le(out+8, uint32(h.wall%1e9))
		},
	})
	provide("wasi:random/random@0.2.0", map[string]any{"get-random-u64": func() uint64 { called("random"); return h.random }})
	provide("wasi:cli/stdout@0.2.0", map[string]any{"get-stdout": func() uint32 { called("stdout"); return 11 }})
	provide("wasi:cli/stderr@0.2.0", map[string]any{"get-stderr": func() uint32 { called("stderr"); return 22 }})
	provide("wasi:cli/exit@0.2.0", map[string]any{"exit": func(failed uint32) { called("exit %d", failed); panic(errExit) }})

	instantiate := func(name string, wasm []byte) api.Module {
		m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(name))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	h.memory = instantiate("main", memoryAndFlag).Memory()
	h.quiet = instantiate("shim", memoryAndFlag).ExportedGlobal("quiet").(api.MutableGlobal)
	h.adapter = instantiate("adapter", preview1.Adapter())
	// What the adapter borrows it must give back.
	h.memory.Write(16, []byte("borrowed bytes!!"))
	return h
}

// call calls a function of the adapter and checks its errno.
func (h *host) call(want uint32, name string, args ...uint64) {
	h.t.Helper()
	results, err := h.adapter.ExportedFunction(name).Call(h.t.Context(), args...)
	if err != nil {
		h.t.Fatalf("%s%v: %v", name, args, err)
	}
	if got := uint32(results[0]); got != want {
		h.t.Errorf("%s%v: got errno %d, want %d", name, args, got, want)
	}
	if b, _ := h.memory.Read(16, 16); string(b) != "borrowed bytes!!" {
		h.t.Errorf("%s%v: the borrowed bytes came back as %q", name, args, b)
	}
}

func (h *host) u32(at uint32) uint32 { v, _ := h.memory.ReadUint32Le(at); return v }
func (h *host) u64(at uint32) uint64 { v, _ := h.memory.ReadUint64Le(at); return v }

func (h *host) wantCalls(want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.calls); diff != "" {
		h.t.Errorf("calls (-want +got):\n%s", diff)
	}
	h.calls = nil
}

const at = 1024 // where the tests put their arguments

func TestClocks(t *testing.T) {
	h := newHost(t)
	h.call(success, "clock_time_get", 0, 1, at)
	if got := h.u64(at); got != h.wall {
		t.Errorf("realtime: got %d, want %d", got, h.wall)
	}
	h.call(success, "clock_time_get", 1, 1, at)
	if got := h.u64(at); got != h.monotonic {
		t.Errorf("monotonic: got %d, want %d", got, h.monotonic)
	}
	h.call(inval, "clock_time_get", 2, 1, at)
	h.call(success, "clock_res_get", 1, at)
	h.call(inval, "clock_res_get", 2, at)
	h.wantCalls("wall", "monotonic")

	// A clock that begins at 0 is seen to begin at 1, for Go's sake.
	monotonicThen := h.monotonic
	h.monotonic = 0
	h.call(success, "clock_time_get", 1, 1, at)
	if got := h.u64(at); got != 1 {
		t.Errorf("monotonic at 0: got %d, want 1", got)
	}
	h.monotonic = monotonicThen
	h.call(success, "clock_time_get", 1, 1, at)
	h.wantCalls("monotonic", "monotonic")

	// Quiet: the last answers, and no call.
	wall, monotonic := h.wall, h.monotonic
	h.wall, h.monotonic = wall+1e9, monotonic+1e9
	h.quiet.Set(1)
	h.call(success, "clock_time_get", 0, 1, at)
	h.call(success, "clock_time_get", 1, 1, at+8)
	if h.u64(at) != wall || h.u64(at+8) != monotonic {
		t.Errorf("quiet: got %d and %d, want %d and %d", h.u64(at), h.u64(at+8), wall, monotonic)
	}
	h.wantCalls()

	h.quiet.Set(0)
	h.call(success, "clock_time_get", 0, 1, at)
	if got := h.u64(at); got != h.wall {
		t.Errorf("after quiet: got %d, want %d", got, h.wall)
	}
}

func TestRandom(t *testing.T) {
	h := newHost(t)
	h.memory.Write(at, bytes.Repeat([]byte{0xee}, 32))
	h.call(success, "random_get", at+1, 11)
	got, _ := h.memory.Read(at, 13)
	if diff := cmp.Diff([]byte{0xee, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 0xee}, got); diff != "" {
		t.Errorf("11 bytes (-want +got):\n%s", diff)
	}
	h.wantCalls("random", "random")
	h.call(success, "random_get", at, 0)
	h.wantCalls()

	for _, seed := range []uint64{0, 1, 1 << 63} {
		h.quiet.Set(0)
		h.random = seed
		h.call(success, "random_get", at, 8)
		h.quiet.Set(1)
		seen := map[uint64]bool{h.u64(at): true}
		for range 100 {
			h.call(success, "random_get", at, 8)
			seen[h.u64(at)] = true
		}
		if len(seen) != 101 {
			t.Errorf("seed %#x: 100 quiet numbers have %d values", seed, len(seen)-1)
		}
	}
	h.wantCalls("random", "random", "random")
}

// iovs writes a scatter list at the address, and its strings behind it.
func (h *host) iovs(parts ...string) (list, n uint64) {
	p := uint32(at + 8*len(parts))
	for i, s := range parts {
		h.memory.WriteUint32Le(uint32(at+8*i), p)
		h.memory.WriteUint32Le(uint32(at+8*i+4), uint32(len(s)))
		h.memory.WriteString(p, s)
		p += uint32(len(s))
	}
	return at, uint64(len(parts))
}

const out = 8 // where results go

func TestWrite(t *testing.T) {
	h := newHost(t)
	list, n := h.iovs("hello", "", " world")
	h.call(success, "fd_write", 1, list, n, out)
	h.call(success, "fd_write", 2, list, n, out)
	h.call(success, "fd_write", 2, list, 0, out)
	if got := h.u32(out); got != 0 {
		t.Errorf("nothing: got %d bytes written, want 0", got)
	}
	h.call(success, "fd_write", 2, list, 1, out)
	if got, want := h.written.String(), "11:hello\n11: world\n22:hello\n22: world\n22:hello\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := h.u32(out); got != 5 {
		t.Errorf("got %d bytes written, want 5", got)
	}
	h.wantCalls("stdout", "stderr")
	h.call(badf, "fd_write", 0, list, n, out)
	h.call(badf, "fd_write", 3, list, n, out)
	h.call(badf, "fd_write", 0xffffffff, list, n, out)

	h.written.Reset()
	list, n = h.iovs(strings.Repeat("a", 4096), strings.Repeat("b", 4097))
	h.call(success, "fd_write", 1, list, n, out)
	want := "11:" + strings.Repeat("a", 4096) + "\n11:" + strings.Repeat("b", 4096) + "\n11:b\n"
	if got := h.written.String(); got != want {
		t.Errorf("chunks: got %d bytes in %d writes", len(got), strings.Count(got, "\n"))
	}
	if got := h.u32(out); got != 8193 {
		t.Errorf("chunks: got %d bytes written, want 8193", got)
	}

	// Bytes that lie where the result is put.
	h.written.Reset()
	h.memory.WriteUint32Le(at, 16)
	h.memory.WriteUint32Le(at+4, 16)
	h.call(success, "fd_write", 1, at, 1, out)
	if got, want := h.written.String(), "11:borrowed bytes!!\n"; got != want {
		t.Errorf("overlap: got %q, want %q", got, want)
	}
}

func TestWriteFails(t *testing.T) {
	h := newHost(t)
	list, n := h.iovs("x")
	h.fail = 1
	h.call(io, "fd_write", 2, list, n, out)
	h.wantCalls("stderr", "drop error 77")
	h.fail = 2
	h.call(pipe, "fd_write", 2, list, n, out)
	h.wantCalls()
}

func TestWriteQuiet(t *testing.T) {
	h := newHost(t)
	h.quiet.Set(1)
	list, n := h.iovs("hello", "!")
	h.call(success, "fd_write", 2, list, n, out)
	if h.u32(out) != 6 || h.written.Len() != 0 {
		t.Errorf("got %d bytes taken and %q written, want 6 and nothing", h.u32(out), &h.written)
	}
	h.wantCalls()
}

// subscription is one of poll_oneoff.
type subscription struct {
	userdata uint64
	tag      byte // 0 clock, 1 read, 2 write
	id       uint32
	timeout  uint64
	absolute uint16
}

// event is what poll_oneoff answers.
type event struct {
	userdata uint64
	errno    uint16
	tag      byte
}

func (h *host) poll(want uint32, subs ...subscription) []event {
	h.t.Helper()
	for i, s := range subs {
		b := make([]byte, 48)
		binary.LittleEndian.PutUint64(b, s.userdata)
		b[8] = s.tag
		binary.LittleEndian.PutUint32(b[16:], s.id)
		binary.LittleEndian.PutUint64(b[24:], s.timeout)
		binary.LittleEndian.PutUint16(b[40:], s.absolute)
		h.memory.Write(uint32(at+48*i), b)
	}
	const events = 8192
	h.memory.Write(events, bytes.Repeat([]byte{0xff}, 32*len(subs)))
	h.memory.WriteUint32Le(out, 0)
	h.call(want, "poll_oneoff", at, events, uint64(len(subs)), out)
	var got []event
	for i := range h.u32(out) {
		b, _ := h.memory.Read(events+32*i, 32)
		got = append(got, event{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]), b[10]})
		if !bytes.Equal(b[11:], make([]byte, 21)) {
			h.t.Errorf("event %d ends in %x, want zeros", i, b[11:])
		}
	}
	return got
}

func TestPoll(t *testing.T) {
	const realtime, monotonic = 0, 1
	wait := []string{"block 42", "drop pollable 42"}
	for _, tt := range []struct {
		name   string
		quiet  uint64
		subs   []subscription
		errno  uint32
		want   []event
		waited []uint64
		calls  []string
	}{
		{name: "nothing", errno: inval},
		{name: "relative", subs: []subscription{{userdata: 9, id: monotonic, timeout: 3e9}},
			want: []event{{userdata: 9}}, waited: []uint64{3e9}, calls: wait},
		{name: "relative realtime", subs: []subscription{{id: realtime, timeout: 7}},
			want: []event{{}}, waited: []uint64{7}, calls: wait},
		{name: "absolute", subs: []subscription{{userdata: 1, id: monotonic, timeout: 5_100, absolute: 1}},
			want: []event{{userdata: 1}}, waited: []uint64{100}, calls: append([]string{"monotonic"}, wait...)},
		{name: "absolute realtime", subs: []subscription{{userdata: 1, id: realtime, timeout: 1_700_000_000_123_456_799, absolute: 1}},
			want: []event{{userdata: 1}}, waited: []uint64{10}, calls: append([]string{"wall"}, wait...)},
		{name: "past", subs: []subscription{{userdata: 1, id: monotonic, timeout: 4_000, absolute: 1}},
			want: []event{{userdata: 1}}, calls: []string{"monotonic"}},
		{name: "zero", subs: []subscription{{userdata: 1, id: monotonic}}, want: []event{{userdata: 1}}},
		{name: "the first one due", subs: []subscription{{userdata: 1, id: 1, timeout: 30}, {userdata: 2, id: 1, timeout: 20}, {userdata: 3, id: 0, timeout: 25}},
			want: []event{{userdata: 2}}, waited: []uint64{20}, calls: wait},
		{name: "descriptors are ready", subs: []subscription{{userdata: 1, id: 1, timeout: 30}, {userdata: 2, tag: 1, id: 0}, {userdata: 3, tag: 2, id: 2}},
			want: []event{{userdata: 2, tag: 1}, {userdata: 3, tag: 2}}},
		{name: "no such descriptor", subs: []subscription{{userdata: 2, tag: 1, id: 3}}, want: []event{{2, badf, 1}}},
		{name: "no such clock", subs: []subscription{{userdata: 2, id: 2, timeout: 5}}, want: []event{{2, inval, 0}}},
		{name: "no such tag", subs: []subscription{{tag: 3}}, errno: inval},
		{name: "quiet", quiet: 1, subs: []subscription{{userdata: 9, id: monotonic, timeout: 3e9}}, want: []event{{userdata: 9}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			h.quiet.Set(tt.quiet)
			got := h.poll(tt.errno, tt.subs...)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(event{})); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.waited, h.waited); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			h.wantCalls(tt.calls...)
		})
	}
}

func TestExit(t *testing.T) {
	for code, want := range map[uint64]string{0: "exit 0", 7: "exit 1"} {
		h := newHost(t)
		_, err := h.adapter.ExportedFunction("proc_exit").Call(t.Context(), code)
		if !errors.Is(err, errExit) {
			t.Errorf("proc_exit(%d): got error %v, want exit", code, err)
		}
		h.wantCalls(want)
		h.quiet.Set(1)
		if _, err := h.adapter.ExportedFunction("proc_exit").Call(t.Context(), code); err == nil {
			t.Errorf("proc_exit(%d), quiet: got no error, want a trap", code)
		}
		h.wantCalls()
	}
}

func TestDescriptors(t *testing.T) {
	h := newHost(t)
	for _, tt := range []struct {
		fd    uint64
		errno uint32
	}{{0, success}, {1, success}, {2, success}, {3, badf}, {0xffffffff, badf}} {
		seek := tt.errno
		if seek == success {
			seek = spipe
		}
		h.call(tt.errno, "fd_fdstat_get", tt.fd, at)
		h.call(tt.errno, "fd_filestat_get", tt.fd, at)
		h.call(tt.errno, "fd_close", tt.fd)
		h.call(tt.errno, "fd_fdstat_set_flags", tt.fd, 4)
		h.call(seek, "fd_seek", tt.fd, 0, 0, at)
		h.call(seek, "fd_tell", tt.fd, at)
		h.call(seek, "fd_pread", tt.fd, at, 1, 0, at)
	}
	h.call(success, "fd_fdstat_get", 1, at)
	if typ, rights := h.u64(at), h.u64(at+8); typ != 2 || rights != 1<<27|1<<6 {
		t.Errorf("stdout: got type %d and rights %#x, want a character device that can be written and polled", typ, rights)
	}
	h.call(success, "fd_filestat_get", 0, at)
	if got := h.u64(at + 16); got != 2 {
		t.Errorf("stdin: got type %d, want a character device", got)
	}
	h.memory.WriteUint32Le(out, 99)
	h.call(success, "fd_read", 0, at, 1, out)
	if got := h.u32(out); got != 0 {
		t.Errorf("stdin: got %d bytes, want none", got)
	}
	h.call(badf, "fd_read", 1, at, 1, out)
	h.wantCalls()
}

// A component has no files, sockets, arguments or environment, and says so.
func TestNothingElse(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"args_sizes_get", "environ_sizes_get"} {
		h.memory.WriteUint64Le(at, ^uint64(0))
		h.call(success, name, at, at+4)
		if h.u64(at) != 0 {
			t.Errorf("%s: got %d and %d, want none", name, h.u32(at), h.u32(at+4))
		}
	}
	h.call(success, "args_get", at, at)
	h.call(success, "environ_get", at, at)
	h.call(success, "sched_yield")
	h.call(nosys, "proc_raise", 6)
	h.call(badf, "fd_prestat_get", 3, at)
	h.call(nosys, "fd_renumber", 1, 2)
	for name, def := range h.adapter.ExportedFunctionDefinitions() {
		if strings.HasPrefix(name, "path_") || strings.HasPrefix(name, "sock_") {
			h.call(badf, name, make([]uint64, len(def.ParamTypes()))...)
		}
	}
	h.wantCalls()
}

// The adapter exports every function of preview1 with its type, as another
// implementation has them, and nothing else.
func TestFunctions(t *testing.T) {
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	b := r.NewHostModuleBuilder(wasip1.ModuleName)
	wasip1.NewFunctionExporter().ExportFunctions(b)
	reference, err := b.Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	types := func(defs map[string]api.FunctionDefinition) map[string]string {
		out := map[string]string{}
		for name, d := range defs {
			out[name] = fmt.Sprint(d.ParamTypes(), d.ResultTypes())
		}
		return out
	}
	want, got := types(reference.ExportedFunctions()), types(newHost(t).adapter.ExportedFunctionDefinitions())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("functions (-preview1 +adapter):\n%s", diff)
	}
	if len(got) != 46 {
		t.Errorf("got %d functions, want 46", len(got))
	}
}

// Uses lists exactly the imports that the text of each function leads to.
func TestUses(t *testing.T) {
	text, err := os.ReadFile("adapter.wat")
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string]preview1.Import{}
	for _, m := range regexp.MustCompile(`\(import "([^"]+)" "([^"]+)"\s+\(func (\$\w+)`).FindAllSubmatch(text, -1) {
		imports[string(m[3])] = preview1.Import{Interface: string(m[1]), Name: string(m[2])}
	}
	type function struct{ exports, calls []string }
	functions := map[string]function{}
	for i, body := range strings.Split(string(text), "\n  (func ")[1:] {
		name := fmt.Sprint(i)
		if m := regexp.MustCompile(`^(\$\w+)`).FindString(body); m != "" {
			name = m
		}
		f := function{}
		for _, m := range regexp.MustCompile(`\(export "(\w+)"\)`).FindAllStringSubmatch(body, -1) {
			f.exports = append(f.exports, m[1])
		}
		for _, m := range regexp.MustCompile(`\(call (\$\w+)`).FindAllStringSubmatch(body, -1) {
			f.calls = append(f.calls, m[1])
		}
		functions[name] = f
	}
	exported := 0
	for _, f := range functions {
		reached := map[preview1.Import]bool{}
		var walk func(calls []string)
		walk = func(calls []string) {
			for _, c := range calls {
				if i, ok := imports[c]; ok {
					reached[i] = true
				} else {
					walk(functions[c].calls)
				}
			}
		}
		walk(f.calls)
		for _, name := range f.exports {
			exported++
			want := map[preview1.Import]bool{}
			for _, u := range preview1.Uses(name) {
				want[u] = true
			}
			if diff := cmp.Diff(reached, want); diff != "" {
				t.Errorf("%s (-in the text +declared):\n%s", name, diff)
			}
		}
	}
	if exported != 46 {
		t.Errorf("found %d exported functions in the text, want 46", exported)
	}
}

// Interfaces declares what the adapter imports, each interface after those whose
// types it has.
func TestInterfaces(t *testing.T) {
	var got []string
	homes := map[any]bool{}
	for _, x := range preview1.Interfaces() {
		for _, y := range x.Instance.Exports {
			switch {
			case y.Func != nil:
				got = append(got, x.Name+"#"+y.Name)
			case y.Resource != nil:
				homes[y.Resource] = true
			}
		}
	}
	if len(homes) != 3 {
		t.Errorf("got %d resources, want error, pollable and output-stream", len(homes))
	}
	var want []string
	for _, f := range []string{"clock_time_get", "random_get", "fd_write", "poll_oneoff", "proc_exit"} {
		for _, u := range preview1.Uses(f) {
			if name := u.Interface + "#" + u.Name; !strings.Contains(name, "[resource-drop]") && !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("functions (-used +declared):\n%s", diff)
	}
}
