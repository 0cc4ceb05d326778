// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/value"
)

func TestSystemClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, Config{})
		start := time.Now()
		before := g.call("clocks/monotonic-clock now").U64()
		g.call("io/poll [method]pollable.block", g.call("clocks/monotonic-clock subscribe-duration", value.U64(uint64(time.Hour))))
		if got := time.Since(start); got != time.Hour {
			t.Errorf("slept %v, want 1h", got)
		}
		if got := g.call("clocks/monotonic-clock now").U64() - before; got != uint64(time.Hour) {
			t.Errorf("monotonic clock went on by %v, want 1h", time.Duration(got))
		}
		if got, want := g.call("clocks/wall-clock now").Field(0).U64(), uint64(time.Now().Unix()); got != want {
			t.Errorf("wall clock shows second %d, want %d", got, want)
		}
	})
}

func TestWallClock(t *testing.T) {
	for _, tt := range []struct {
		now     time.Time
		seconds uint64
		nanos   uint32
	}{
		{time.Unix(1700000000, 987654321), 1700000000, 987654321},
		{time.Unix(0, 0), 0, 0},
		{time.Unix(-1, 5), 0, 0},
		{time.Time{}, 0, 0},
	} {
		g := newGuest(t, Config{WallClock: func() time.Time { return tt.now }})
		got := g.call("clocks/wall-clock now")
		if got.Field(0).U64() != tt.seconds || got.Field(1).U32() != tt.nanos {
			t.Errorf("at %v: now = %d s %d ns, want %d s %d ns", tt.now, got.Field(0).U64(), got.Field(1).U32(), tt.seconds, tt.nanos)
		}
	}
}

func TestRandom(t *testing.T) {
	seq := make([]byte, 64)
	for i := range seq {
		seq[i] = byte(i)
	}
	g := newGuest(t, Config{Random: bytes.NewReader(seq), RandomBytes: 40})
	if got, want := g.call("random/random get-random-bytes", value.U64(3)).Bytes(), []byte{0, 1, 2}; !bytes.Equal(got, want) {
		t.Errorf("random bytes = %v, want %v", got, want)
	}
	if got, want := g.call("random/insecure get-insecure-random-bytes", value.U64(2)).Bytes(), []byte{3, 4}; !bytes.Equal(got, want) {
		t.Errorf("insecure random bytes = %v, want %v", got, want)
	}
	if got, want := g.call("random/random get-random-u64").U64(), uint64(0x0c0b0a0908070605); got != want {
		t.Errorf("random u64 = %#x, want %#x", got, want)
	}
	if got, want := g.call("random/insecure get-insecure-random-u64").U64(), uint64(0x14131211100f0e0d); got != want {
		t.Errorf("insecure random u64 = %#x, want %#x", got, want)
	}
	for range 2 { // drawn once
		got := g.call("random/insecure-seed insecure-seed")
		if want := [2]uint64{0x1c1b1a1918171615, 0x24232221201f1e1d}; got.Field(0).U64() != want[0] || got.Field(1).U64() != want[1] {
			t.Errorf("seed = %#x %#x, want %#x", got.Field(0).U64(), got.Field(1).U64(), want)
		}
	}
	g.wantTrap("at most 40", "random/random get-random-bytes", value.U64(1<<40))

	g = newGuest(t, Config{InsecureSeed: [2]uint64{0, 9}, Random: iotest.ErrReader(errors.New("empty"))})
	if got := g.call("random/insecure-seed insecure-seed"); got.Field(0).U64() != 0 || got.Field(1).U64() != 9 {
		t.Errorf("given seed came out as %d %d", got.Field(0).U64(), got.Field(1).U64())
	}
	g.wantTrap("empty", "random/random get-random-u64")

	a, b := newGuest(t, Config{}), newGuest(t, Config{})
	if a, b := a.call("random/random get-random-u64").U64(), b.call("random/random get-random-u64").U64(); a == b {
		t.Errorf("two hosts gave the same random number %d", a)
	}
}

func TestEnvironment(t *testing.T) {
	g := newGuest(t, Config{Args: []string{"prog", "-v"}, Env: [][2]string{{"A", "1"}, {"B", "2"}}})
	if got, want := texts(g.call("cli/environment get-arguments")), []string{"prog", "-v"}; !cmp.Equal(got, want) {
		t.Errorf("arguments = %q, want %q", got, want)
	}
	if got, want := texts(g.call("cli/environment get-environment")), []string{"A=1", "B=2"}; !cmp.Equal(got, want) {
		t.Errorf("environment = %q, want %q", got, want)
	}
}

func TestExit(t *testing.T) {
	g := newGuest(t, Config{})
	for _, tt := range []struct {
		name string
		arg  value.Value
		want uint8
	}{
		{"cli/exit exit", value.Ok(value.Value{}), 0},
		{"cli/exit exit", value.Err(value.Value{}), 1},
		{"cli/exit exit-with-code", value.U8(42), 42},
	} {
		_, err := g.try(t.Context(), tt.name, tt.arg)
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != tt.want {
			t.Errorf("%s(%+v): got error %v, want exit with code %d", tt.name, tt.arg, err, tt.want)
		}
	}
}

// A zero Config gives nothing away, and says so in the words of each interface.
func TestDenied(t *testing.T) {
	g := newGuest(t, Config{})
	for _, name := range []string{"cli/environment get-arguments", "cli/environment get-environment", "filesystem/preopens get-directories"} {
		if got := g.call(name); got.Len() != 0 {
			t.Errorf("%s gave %d things away", name, got.Len())
		}
	}
	for _, name := range []string{
		"cli/environment initial-cwd", "cli/terminal-stdin get-terminal-stdin", "cli/terminal-stdout get-terminal-stdout",
		"cli/terminal-stderr get-terminal-stderr",
	} {
		if got := g.call(name); got.Case() != 0 {
			t.Errorf("%s = %+v, want none", name, got)
		}
	}
	network := g.call("sockets/instance-network instance-network")
	headers := g.call("http/types [constructor]fields")
	request := g.call("http/types [constructor]outgoing-request", headers)
	header := value.Tuple(value.String("a"), value.Bytes([]byte("b")))
	for _, tt := range []struct {
		name string
		args []value.Value
		want uint32
	}{
		{"sockets/tcp-create-socket create-tcp-socket", []value.Value{value.Enum(0)}, accessDenied},
		{"sockets/udp-create-socket create-udp-socket", []value.Value{value.Enum(1)}, accessDenied},
		{"sockets/ip-name-lookup resolve-addresses", []value.Value{network, value.String("localhost")}, accessDenied},
		{"http/types [static]fields.from-list", []value.Value{value.List([]value.Value{header})}, headerForbidden},
		{"http/types [method]fields.append", []value.Value{headers, header.Field(0), header.Field(1)}, headerForbidden},
		{"http/outgoing-handler handle", []value.Value{request, value.None()}, httpRequestDenied},
	} {
		if got := g.call(tt.name, tt.args...); got.Case() != 1 || got.Payload().Case() != tt.want {
			t.Errorf("%s = %+v, want error case %d", tt.name, got, tt.want)
		}
	}
	if got := g.call("http/types [static]fields.from-list", value.List(nil)); got.Case() != 0 {
		t.Errorf("fields from no entries = %+v, want ok", got)
	}
}
