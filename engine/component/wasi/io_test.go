// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/value"
)

func TestInputStream(t *testing.T) {
	broken := errors.New("tape torn")
	for _, tt := range []struct {
		name string
		in   io.Reader
		op   string
		ask  []uint64
		want []string
	}{
		{"none", nil, "read", []uint64{5, 5}, []string{"closed", "closed"}},
		{"read", strings.NewReader("hello"), "read", []uint64{2, 0, 9, 9}, []string{`ok "he"`, `ok ""`, `ok "llo"`, "closed"}},
		{"end with data", iotest.DataErrReader(strings.NewReader("x")), "read", []uint64{9, 9}, []string{`ok "x"`, "closed"}},
		{"failure", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), "blocking-read", []uint64{9, 9, 9}, []string{`ok "x"`, "failed: tape torn", "closed"}},
		{"more than a chunk", strings.NewReader(strings.Repeat("x", 5000)), "skip", []uint64{1 << 63, 1 << 63, 1}, []string{"ok 4096", "ok 904", "closed"}},
		{"nothing there", trickle{}, "read", []uint64{1}, []string{`ok ""`}},
		{"never anything there", trickle{}, "blocking-skip", []uint64{1, 1}, []string{"failed: " + io.ErrNoProgress.Error(), "closed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, Config{Stdin: tt.in, ChunkBytes: 1})
			in := g.call("cli/stdin get-stdin")
			var got []string
			for _, n := range tt.ask {
				got = append(got, g.stream("input-stream."+tt.op, in, value.U64(n)))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.op, diff)
			}
		})
	}
}

// trickle is a reader that never has anything.
type trickle struct{}

func (trickle) Read([]byte) (int, error) { return 0, nil }

func TestOutputStream(t *testing.T) {
	var stdout, stderr bytes.Buffer
	g := newGuest(t, Config{Stdout: &stdout, Stderr: &stderr, Stdin: strings.NewReader("pasted")})
	out, in := g.call("cli/stdout get-stdout"), g.call("cli/stdin get-stdin")
	check := func(want, name string, args ...value.Value) {
		t.Helper()
		if got := g.stream("output-stream."+name, append([]value.Value{out}, args...)...); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	hello := value.Bytes([]byte("hello "))

	g.wantTrap("check-write allowed 0", "io/streams [method]output-stream.write", out, hello)
	check("ok 65536", "check-write")
	check("ok", "write", hello)
	check("ok", "write-zeroes", value.U64(2))
	g.wantTrap("check-write allowed 65528", "io/streams [method]output-stream.write-zeroes", out, value.U64(65529))
	check("ok", "flush")
	check("ok", "blocking-flush")
	check("ok", "blocking-write-and-flush", value.Bytes(nil))
	check("ok", "blocking-write-and-flush", value.Bytes(make([]byte, 4096)))
	check("ok", "blocking-write-zeroes-and-flush", value.U64(4096))
	g.wantTrap("at most 4096", "io/streams [method]output-stream.blocking-write-and-flush", out, value.Bytes(make([]byte, 4097)))
	g.wantTrap("at most 4096", "io/streams [method]output-stream.blocking-write-zeroes-and-flush", out, value.U64(1<<63))
	check("ok 2", "splice", in, value.U64(2))
	check("ok 4", "blocking-splice", in, value.U64(1<<63))
	check("closed", "splice", in, value.U64(1))

	if got, want := stdout.String(), "hello "+strings.Repeat("\x00", 2+4096+4096)+"pasted"; got != want {
		t.Errorf("stdout got %q, want %q", got, want)
	}
	out = g.call("cli/stderr get-stderr")
	check("ok", "blocking-write-and-flush", hello)
	if got, want := stderr.String(), "hello "; got != want {
		t.Errorf("stderr got %q, want %q", got, want)
	}
}

func TestOutputStreamFailure(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    io.Writer
		want []string
	}{
		{"thrown away", nil, []string{"ok", "ok 65536", "ok 1"}},
		{"failure", failing{errors.New("disk full")}, []string{"failed: disk full", "closed", "closed"}},
		{"closed", failing{io.ErrClosedPipe}, []string{"closed", "closed", "closed"}},
		{"short", failing{}, []string{"failed: short write", "closed", "closed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, Config{Stdout: tt.w, Stdin: strings.NewReader("x")})
			out, in := g.call("cli/stdout get-stdout"), g.call("cli/stdin get-stdin")
			got := []string{
				g.stream("output-stream.blocking-write-and-flush", out, value.Bytes([]byte("x"))),
				g.stream("output-stream.check-write", out),
				g.stream("output-stream.splice", out, in, value.U64(1)),
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		})
	}
}

// failing is a writer that fails with err, or writes less than it should.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// virtualClock is a monotonic clock that only goes on when somebody waits for it.
type virtualClock struct {
	now   uint64
	waits []uint64
}

func (c *virtualClock) config() Config {
	return Config{
		Monotonic: func() uint64 { return c.now },
		Wait: func(ctx context.Context, until uint64) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.waits = append(c.waits, until)
			c.now = until
			return nil
		},
	}
}

func TestPoll(t *testing.T) {
	clock := &virtualClock{now: 1000}
	g := newGuest(t, clock.config())
	after := func(d uint64) value.Value {
		return g.call("clocks/monotonic-clock subscribe-duration", value.U64(d))
	}
	at := func(when uint64) value.Value {
		return g.call("clocks/monotonic-clock subscribe-instant", value.U64(when))
	}
	input := g.call("io/streams [method]input-stream.subscribe", g.call("cli/stdin get-stdin"))
	output := g.call("io/streams [method]output-stream.subscribe", g.call("cli/stdout get-stdout"))
	soon, later, past, never := after(50), at(2000), at(1), after(1<<64-1)

	ready := func(p value.Value) bool { return g.call("io/poll [method]pollable.ready", p).Bool() }
	if got, want := []bool{ready(input), ready(output), ready(past), ready(soon)}, []bool{true, true, true, false}; !cmp.Equal(got, want) {
		t.Errorf("ready of input, output, past, soon = %v, want %v", got, want)
	}
	for _, tt := range []struct {
		name string
		list []value.Value
		want []uint32
	}{
		{"two ready", []value.Value{never, past, later, output}, []uint32{1, 3}},
		{"first to come", []value.Value{never, later, soon, soon}, []uint32{2, 3}},
		{"next to come", []value.Value{later, never}, []uint32{0}},
	} {
		var got []uint32
		for _, v := range g.call("io/poll poll", value.List(tt.list)).Elems() {
			got = append(got, v.U32())
		}
		if !cmp.Equal(got, tt.want) {
			t.Errorf("poll %s = %v, want %v", tt.name, got, tt.want)
		}
	}
	g.call("io/poll [method]pollable.block", later) // has come already
	g.call("io/poll [method]pollable.block", after(7))
	if want := []uint64{1050, 2000, 2007}; !cmp.Equal(clock.waits, want) {
		t.Errorf("waited until %v, want %v", clock.waits, want)
	}
	g.wantTrap("empty list", "io/poll poll", value.List(nil))
	g.wantTrap("at most 1024", "io/poll poll", value.List(make([]value.Value, 1025)))
}

func TestWaitEndsWithContext(t *testing.T) {
	cause := errors.New("deadline of the call")
	for name, cfg := range map[string]Config{"system": {}, "virtual": (&virtualClock{}).config()} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, cfg)
			p := g.call("clocks/monotonic-clock subscribe-duration", value.U64(3600e9))
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			for _, call := range []struct {
				name string
				arg  value.Value
			}{{"io/poll [method]pollable.block", p}, {"io/poll poll", value.List([]value.Value{p})}} {
				_, err := g.try(ctx, call.name, call.arg)
				if !errors.Is(err, cause) {
					t.Errorf("%s after cancel: got error %v, want %v", call.name, err, cause)
				}
			}
		})
	}
}
