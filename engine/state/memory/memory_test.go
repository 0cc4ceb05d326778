// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/state"
	"github.com/wasm-graph/graphd/engine/state/memory"
	"github.com/wasm-graph/graphd/engine/state/statetest"
)

// clock is physical time that passes when told.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) Advance(d time.Duration) { c.now = c.now.Add(d) }

func open(c *clock, maxBytes int64) *memory.Store {
	return memory.New(memory.Config{
		Clock:    hlc.NewClock(hlc.Config{Node: "store", Now: c.Now}),
		Now:      c.Now,
		MaxBytes: maxBytes,
	})
}

func TestStore(t *testing.T) {
	statetest.Run(t, func(*testing.T) statetest.Fixture {
		c := newClock()
		const quota = 1 << 20
		return statetest.Fixture{Store: open(c, quota), Now: c.Now, Advance: c.Advance, Quota: quota}
	})
}

func TestDefaultQuota(t *testing.T) {
	s := open(newClock(), 0)
	if _, _, err := s.Set(t.Context(), []byte("k"), make([]byte, memory.DefaultMaxBytes-200), state.SetOptions{}); err != nil {
		t.Errorf("a value below the quota: %v", err)
	}
	_, _, err := s.Set(t.Context(), []byte("l"), make([]byte, 200), state.SetOptions{})
	if e := (*state.RequestError)(nil); !errors.As(err, &e) || e.Text != state.TextQuota {
		t.Errorf("a value beyond the quota: %v, want %s", err, state.TextQuota)
	}
}

func TestManySmallKeysMeetTheQuota(t *testing.T) {
	s := open(newClock(), 10_000)
	for i := range 10_000 {
		if _, _, err := s.Set(t.Context(), fmt.Appendf(nil, "%d", i), nil, state.SetOptions{}); err != nil {
			if i > 100 {
				t.Errorf("%d keys fit into 10,000 bytes", i)
			}
			return
		}
	}
	t.Error("no quota")
}

func TestClockSetBack(t *testing.T) {
	c := newClock()
	s := open(c, 0)
	if _, _, err := s.Set(t.Context(), []byte("k"), []byte("1"), state.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Advance(-2 * time.Minute)
	if _, _, err := s.Set(t.Context(), []byte("k"), []byte("2"), state.SetOptions{}); !errors.Is(err, hlc.ErrDrift) {
		t.Errorf("Set with the clock set back: %v, want %v", err, hlc.ErrDrift)
	}
	if got, _, _, err := s.Get(t.Context(), []byte("k")); string(got) != "1" || err != nil {
		t.Errorf("value is %q, %v; want it unchanged", got, err)
	}
}

// TestAgainstModel runs random requests against the store and a naive model.
func TestAgainstModel(t *testing.T) {
	type held struct {
		value   string
		version hlc.Timestamp
		expires time.Time
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		s := open(c, 0)
		model := map[string]held{}
		for range rapid.IntRange(1, 60).Draw(rt, "requests") {
			c.Advance(time.Duration(rapid.IntRange(0, 3).Draw(rt, "pass")) * time.Second)
			for k, h := range model {
				if !h.expires.IsZero() && !c.now.Before(h.expires) {
					delete(model, k)
				}
			}
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")
			value := rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "value")
			h, there := model[key]
			switch rapid.IntRange(0, 3).Draw(rt, "request") {
			case 0:
				got, version, found, err := s.Get(t.Context(), []byte(key))
				if err != nil || found != there || string(got) != h.value || version != h.version {
					rt.Fatalf("Get(%s) = %q, %v, %v, %v; want %+v", key, got, version, found, err, h)
				}
			case 1:
				opts := state.SetOptions{
					Condition: rapid.SampledFrom([]state.Condition{state.Always, state.IfAbsent, state.IfAbsentEqual}).Draw(rt, "condition"),
					Expires:   time.Duration(rapid.IntRange(0, 4).Draw(rt, "expires")) * time.Second,
				}
				want := !there || opts.Condition == state.Always || opts.Condition == state.IfAbsentEqual && h.value == value
				applied, version, err := s.Set(t.Context(), []byte(key), []byte(value), opts)
				if err != nil || applied != want || !applied && version != h.version {
					rt.Fatalf("Set(%s, %q, %+v) = %v, %v, %v; want %v", key, value, opts, applied, version, err, want)
				}
				if applied {
					model[key] = held{value: value, version: version}
					if opts.Expires > 0 {
						model[key] = held{value, version, c.now.Add(opts.Expires)}
					}
				}
			default:
				var match []byte
				if rapid.Bool().Draw(rt, "match") {
					match = []byte(value)
				}
				want := int64(0)
				switch {
				case there && match != nil && value != h.value:
					want = -1
				case there:
					want = 1
					delete(model, key)
				}
				got, version, err := s.Delete(t.Context(), []byte(key), match, nil)
				if err != nil || got != want || version != h.version {
					rt.Fatalf("Delete(%s, %q) = %d, %v, %v; want %d", key, match, got, version, err, want)
				}
			}
		}
	})
}
