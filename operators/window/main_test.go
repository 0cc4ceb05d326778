// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func TestDelay(t *testing.T) {
	type stamp struct {
		secs  uint64
		nanos uint32
	}
	for _, tt := range []struct {
		name, length string
		at, want     stamp
	}{
		{"within", "", stamp{1_700_000_007, 0}, stamp{1_700_000_010, 0}},
		{"below a millisecond", "", stamp{1_700_000_007, 999_999}, stamp{1_700_000_010, 0}},
		{"rounded to milliseconds", "", stamp{1_700_000_007, 123_456_789}, stamp{1_700_000_010, 0}},
		{"last millisecond", "", stamp{1_700_000_009, 999_999_999}, stamp{1_700_000_010, 0}},
		{"on the end", "", stamp{1_700_000_010, 0}, stamp{1_700_000_010, 0}},
		{"less than a millisecond past the end", "", stamp{1_700_000_010, 999_999}, stamp{1_700_000_010, 999_999}},
		{"a millisecond past the end", "", stamp{1_700_000_010, 1_000_000}, stamp{1_700_000_020, 0}},
		{"epoch", "", stamp{0, 0}, stamp{0, 0}},
		{"end of time, on the end", "", stamp{math.MaxUint64 - 5, 0}, stamp{math.MaxUint64 - 5, 0}},
		{"half a second", "500ms", stamp{100, 400_000_000}, stamp{100, 500_000_000}},
		{"half a second, over the second", "500ms", stamp{100, 500_000_001}, stamp{100, 500_000_001}},
		{"half a second, to the next", "500ms", stamp{100, 501_000_000}, stamp{101, 0}},
		{"not a divisor of a second", "700ms", stamp{1, 0}, stamp{1, 400_000_000}},
		{"a day", "24h", stamp{1_700_000_007, 0}, stamp{1_700_006_400, 0}},
		{"as long as can be", "2562047h", stamp{1, 0}, stamp{2562047 * 3600, 0}},
		{"a millisecond", "1ms", stamp{7, 8_000_009}, stamp{7, 8_000_009}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := sdktest.New()
			if tt.length != "" {
				env = sdktest.New(sdk.Parameter{Key: "window_length", Value: tt.length})
			}
			process, err := open(env.Host())
			if err != nil {
				t.Fatal(err)
			}
			own := sdk.Timestamp{Secs: tt.at.secs, Nanos: tt.at.nanos, Counter: 3, Node: sdk.Text("sensor")}
			engine := sdk.Timestamp{Secs: 1, Nanos: 2, Counter: 9, Node: sdk.Text("engine")}
			for _, in := range []sdk.Data{&sdk.Message{Timestamp: own}, &sdk.Snapshot{Timestamp: own}, sdk.Text("bytes")} {
				at := engine
				if _, isBytes := in.(sdk.Bytes); isBytes {
					at.Secs, at.Nanos = tt.at.secs, tt.at.nanos // it has no time of its own
				}
				got, err := process(in, at)
				if err != nil {
					t.Fatal(err)
				}
				if got.Secs != tt.want.secs || got.Nanos != tt.want.nanos || got.Counter != 0 || got.Node.String() != "engine" {
					t.Errorf("%T: until %d s %d ns, counter %d, node %s; want %+v, counter 0, node engine", in, got.Secs, got.Nanos, got.Counter, got.Node, tt.want)
				}
			}
			if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-window/delay"}); got != 3 {
				t.Errorf("%d requests were counted, want 3", got)
			}
		})
	}
}

// TestOlderMessage: the message's own time decides, even if the engine's is later;
// that time does not go back is the engine's business.
func TestOlderMessage(t *testing.T) {
	process, err := open(sdktest.New().Host())
	if err != nil {
		t.Fatal(err)
	}
	got, err := process(&sdk.Message{Timestamp: sdk.Timestamp{Secs: 11}}, sdk.Timestamp{Secs: 100})
	if err != nil || got.Secs != 20 {
		t.Errorf("until %v, %v; want second 20", got, err)
	}
}

func TestEndOfTime(t *testing.T) {
	process, err := open(sdktest.New().Host())
	if err != nil {
		t.Fatal(err)
	}
	_, err = process(&sdk.Message{Timestamp: sdk.Timestamp{Secs: math.MaxUint64}}, sdk.Timestamp{})
	if err == nil || err.Error() != "the window ends beyond the end of time" {
		t.Errorf("error is %v", err)
	}
}

func TestBadLength(t *testing.T) {
	for value, want := range map[string]string{
		"10":    `parameter "window_length" is "10": want a duration such as "1m30s"`,
		"":      `parameter "window_length" is missing: want a duration such as "1m30s"`,
		"0s":    `parameter "window_length" is "0s": want whole milliseconds, at least one`,
		"-1s":   `parameter "window_length" is "-1s": want whole milliseconds, at least one`,
		"1.5ms": `parameter "window_length" is "1.5ms": want whole milliseconds, at least one`,
		"10us":  `parameter "window_length" is "10µs": want whole milliseconds, at least one`,
	} {
		if _, err := open(sdktest.New(sdk.Parameter{Key: "window_length", Value: value}).Host()); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", value, err, want)
		}
	}
}

func FuzzEnd(f *testing.F) {
	f.Add(uint64(1_700_000_007), uint32(123_456_789), uint64(10_000))
	f.Add(uint64(math.MaxUint64), uint32(999_999_999), uint64(math.MaxInt64/int64(time.Millisecond)))
	f.Fuzz(func(t *testing.T, secs uint64, nanos uint32, length uint64) {
		nanos %= 1e9
		length = length%uint64(math.MaxInt64/int64(time.Millisecond)) + 1
		endSecs, endNanos, ok := end(secs, nanos, length)
		if !ok {
			if secs < math.MaxUint64-length/1000-1 {
				t.Fatalf("end(%d, %d, %d) does not exist", secs, nanos, length)
			}
			return
		}
		if endSecs < secs || endSecs == secs && endNanos < nanos {
			t.Fatalf("end(%d, %d, %d) = %d, %d: before it begins", secs, nanos, length, endSecs, endNanos)
		}
		if into := (endSecs%length*1000 + uint64(endNanos)/1e6) % length; into != 0 {
			t.Fatalf("end(%d, %d, %d) = %d, %d: no multiple", secs, nanos, length, endSecs, endNanos)
		}
		if endSecs-secs > length/1000+1 {
			t.Fatalf("end(%d, %d, %d) = %d, %d: not the next", secs, nanos, length, endSecs, endNanos)
		}
	})
}
