// SPDX-License-Identifier: Apache-2.0

package hlc_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/hlc"
)

// at returns a physical clock that stands at ms milliseconds, and a bit.
func at(ms *int64) func() time.Time {
	return func() time.Time { return time.UnixMilli(*ms).Add(999 * time.Microsecond) }
}

func TestObserve(t *testing.T) {
	const wall = 100_000
	ts := func(ms int64, counter uint64) hlc.Timestamp {
		return hlc.Timestamp{Millis: ms, Counter: counter, Node: "here"}
	}
	for _, tt := range []struct {
		name         string
		last, remote hlc.Timestamp // last is observed before
		want         hlc.Timestamp
		wantErr      error
	}{
		{"first, remote behind", hlc.Timestamp{}, hlc.Timestamp{Millis: 10, Counter: 7, Node: "b"}, ts(wall, 0), nil},
		{"remote at the wall", hlc.Timestamp{}, hlc.Timestamp{Millis: wall, Counter: 7, Node: "b"}, ts(wall, 8), nil},
		{"remote ahead", hlc.Timestamp{}, hlc.Timestamp{Millis: wall + 5, Counter: 7, Node: "b"}, ts(wall+5, 8), nil},
		{"remote equal, smaller counter", hlc.Timestamp{Millis: wall + 5, Counter: 8, Node: "a"}, hlc.Timestamp{Millis: wall + 5, Counter: 3, Node: "b"}, ts(wall+5, 10), nil},
		{"remote equal, larger counter", hlc.Timestamp{Millis: wall + 5, Counter: 1, Node: "a"}, hlc.Timestamp{Millis: wall + 5, Counter: 30, Node: "b"}, ts(wall+5, 31), nil},
		{"remote behind last", hlc.Timestamp{Millis: wall + 5, Counter: 1, Node: "a"}, hlc.Timestamp{Millis: wall + 4, Counter: 30, Node: "b"}, ts(wall+5, 3), nil},
		{"remote from the deep past", hlc.Timestamp{}, hlc.Timestamp{Millis: math.MinInt64, Counter: math.MaxUint64, Node: "b"}, ts(wall, 0), nil},
		{"nanoseconds do not count", hlc.Timestamp{}, hlc.Timestamp{Millis: wall, SubMillis: 5, Node: "b"}, ts(wall, 1), nil},
		{"same node", hlc.Timestamp{Millis: wall + 5, Node: "a"}, hlc.Timestamp{Millis: math.MaxInt64, Node: "here"}, ts(wall+5, 1), nil},
		{"at the drift limit", hlc.Timestamp{}, hlc.Timestamp{Millis: wall + 60_000, Node: "b"}, ts(wall+60_000, 1), nil},
		{"beyond the drift limit", hlc.Timestamp{}, hlc.Timestamp{Millis: wall + 60_001, Node: "b"}, hlc.Timestamp{}, hlc.ErrDrift},
		{"end of time", hlc.Timestamp{}, hlc.Timestamp{Millis: math.MaxInt64, Node: "b"}, hlc.Timestamp{}, hlc.ErrDrift},
		{"counter full", hlc.Timestamp{}, hlc.Timestamp{Millis: wall + 1, Counter: math.MaxUint64, Node: "b"}, hlc.Timestamp{}, hlc.ErrOverflow},
		{"full counter of the past", hlc.Timestamp{}, hlc.Timestamp{Millis: wall - 1, Counter: math.MaxUint64, Node: "b"}, ts(wall, 0), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := int64(wall)
			c := hlc.NewClock(hlc.Config{Node: "here", Now: at(&now)})
			if tt.last != (hlc.Timestamp{}) {
				if _, err := c.Observe(tt.last); err != nil {
					t.Fatal(err)
				}
			}
			got, err := c.Observe(tt.remote)
			if got != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("Observe(%v) = %v, %v; want %v, %v", tt.remote, got, err, tt.want, tt.wantErr)
			}
			if tt.wantErr == nil {
				return
			}
			if got, err := c.Now(); err != nil || got != ts(wall, 0) {
				t.Errorf("after the error Now() = %v, %v; want an unchanged clock, %v", got, err, ts(wall, 0))
			}
		})
	}
}

func TestNow(t *testing.T) {
	now := int64(1000)
	c := hlc.NewClock(hlc.Config{Node: "here", Now: at(&now), MaxDrift: 50 * time.Millisecond})
	read := func(want string) {
		t.Helper()
		got, err := c.Now()
		if err != nil || got.String() != want {
			t.Errorf("Now() = %v, %v; want %s", got, err, want)
		}
	}
	read("000000000001000:00000:here")
	read("000000000001000:00001:here")
	now++
	read("000000000001001:00000:here")
	now -= 50
	read("000000000001001:00001:here")
	now--
	if got, err := c.Now(); !errors.Is(err, hlc.ErrDrift) {
		t.Errorf("Now() with the physical clock set back = %v, %v; want %v", got, err, hlc.ErrDrift)
	}
	now = 1002
	read("000000000001002:00000:here")
}

func TestNoDriftLimit(t *testing.T) {
	now := int64(1000)
	c := hlc.NewClock(hlc.Config{Node: "here", Now: at(&now), MaxDrift: -1})
	got, err := c.Observe(hlc.Timestamp{Millis: math.MaxInt64, Node: "b"})
	if want := (hlc.Timestamp{Millis: math.MaxInt64, Counter: 1, Node: "here"}); got != want || err != nil {
		t.Errorf("Observe = %v, %v; want %v", got, err, want)
	}
}

func TestCompare(t *testing.T) {
	order := []hlc.Timestamp{
		{}, {Node: "a"}, {Millis: 1}, {Millis: 1, Node: "b"}, {Millis: 1, Counter: 1, Node: "a"},
		{Millis: 1, SubMillis: 1}, {Millis: 2}, {Millis: 2, Counter: math.MaxUint64}, {Millis: 3},
	}
	for i, a := range order {
		for j, b := range order {
			if got, want := a.Compare(b), min(max(i-j, -1), 1); got != want {
				t.Errorf("%+v compared with %+v = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want hlc.Timestamp
		ok   bool
	}{
		{"1700000000000:0:df", hlc.Timestamp{Millis: 1700000000000, Node: "df"}, true},
		{"001700000000000:00042:8a6b", hlc.Timestamp{Millis: 1700000000000, Counter: 42, Node: "8a6b"}, true},
		{"0:18446744073709551615:", hlc.Timestamp{Counter: math.MaxUint64}, true},
		{"9223372036854775807:100000:x y", hlc.Timestamp{Millis: math.MaxInt64, Counter: 100000, Node: "x y"}, true},
		{"-00000000000001:00000:n", hlc.Timestamp{Millis: -1, Node: "n"}, true},
		{"", hlc.Timestamp{}, false},
		{"1700000000000", hlc.Timestamp{}, false},
		{"1700000000000:0", hlc.Timestamp{}, false},
		{"1700000000000:0:a:b", hlc.Timestamp{}, false},
		{"::", hlc.Timestamp{}, false},
		{"1::n", hlc.Timestamp{}, false},
		{":1:n", hlc.Timestamp{}, false},
		{"+1:0:n", hlc.Timestamp{}, false},
		{"1:+1:n", hlc.Timestamp{}, false},
		{"1:-1:n", hlc.Timestamp{}, false},
		{" 1:0:n", hlc.Timestamp{}, false},
		{"1_0:0:n", hlc.Timestamp{}, false},
		{"0x1:0:n", hlc.Timestamp{}, false},
		{"9223372036854775808:0:n", hlc.Timestamp{}, false},
		{"0:18446744073709551616:n", hlc.Timestamp{}, false},
	} {
		got, err := hlc.Parse(tt.text)
		if tt.ok && (err != nil || got != tt.want) {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
		if !tt.ok && (!errors.Is(err, hlc.ErrSyntax) || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("Parse(%q) = %+v, %v; want an error that quotes it", tt.text, got, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		t    hlc.Timestamp
		want string
	}{
		{hlc.Timestamp{}, "000000000000000:00000:"},
		{hlc.Timestamp{Millis: 1700000000000, Counter: 7, Node: "df", SubMillis: 5}, "001700000000000:00007:df"},
		{hlc.Timestamp{Millis: math.MaxInt64, Counter: math.MaxUint64, Node: "n"}, "9223372036854775807:18446744073709551615:n"},
		{hlc.Timestamp{Millis: math.MinInt64}, "-9223372036854775808:00000:"},
		{hlc.Timestamp{Node: "fe80::1"}, "000000000000000:00000:fe80--1"},
	} {
		if got := tt.t.String(); got != tt.want {
			t.Errorf("%+v is written %q, want %q", tt.t, got, tt.want)
		}
	}
}

func TestTime(t *testing.T) {
	got := hlc.Timestamp{Millis: 1577836800001, SubMillis: 42}.Time()
	if want := time.Date(2020, 1, 1, 0, 0, 0, 1_000_042, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("Time() = %v, want %v", got, want)
	}
}

func timestamps() *rapid.Generator[hlc.Timestamp] {
	return rapid.Custom(func(t *rapid.T) hlc.Timestamp {
		return hlc.Timestamp{
			Millis:  rapid.Int64().Draw(t, "millis"),
			Counter: rapid.Uint64().Draw(t, "counter"),
			Node:    rapid.StringMatching(`[^:]*`).Draw(t, "node"),
		}
	})
}

func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := timestamps().Draw(t, "timestamp")
		got, err := hlc.Parse(want.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("round trip (-want +got):\n%s", diff)
		}
		if old := fmt.Sprintf("%015d:%05d:%s", want.Millis, want.Counter, want.Node); want.String() != old {
			t.Errorf("written %q, want %q", want, old)
		}
	})
}

// TestClockIsMonotone checks what a clock is for, whatever physical time does and
// whatever is observed.
func TestClockIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(0, 1<<41).Draw(t, "start")
		start := now
		c := hlc.NewClock(hlc.Config{Node: "here", Now: at(&now)})
		last := hlc.Timestamp{Millis: -1}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now = start + rapid.Int64Range(-100_000, 100_000).Draw(t, "move")
			var got hlc.Timestamp
			var err error
			var remote hlc.Timestamp
			if rapid.Bool().Draw(t, "observe") {
				remote = hlc.Timestamp{
					Millis:  start + rapid.Int64Range(-200_000, 200_000).Draw(t, "remote"),
					Counter: rapid.OneOf(rapid.Uint64Range(0, 9), rapid.Just(uint64(math.MaxUint64))).Draw(t, "counter"),
					Node:    "there",
				}
				got, err = c.Observe(remote)
			} else {
				got, err = c.Now()
			}
			if err != nil {
				if !errors.Is(err, hlc.ErrDrift) && !errors.Is(err, hlc.ErrOverflow) {
					t.Fatalf("unexpected error %v", err)
				}
				continue
			}
			if got.Compare(last) <= 0 || remote.Node != "" && got.Compare(remote) <= 0 {
				t.Fatalf("%v follows %v and %v", got, last, remote)
			}
			if got.Millis > now+60_000 || got.Node != "here" || got.SubMillis != 0 {
				t.Fatalf("issued %+v at %d", got, now)
			}
			last = got
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("1700000000000:0:df")
	f.Add("000000000000000:00000:")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := hlc.Parse(s)
		if err != nil {
			return
		}
		if again, err := hlc.Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is %+v, written and read again %+v, %v", s, got, again, err)
		}
	})
}
