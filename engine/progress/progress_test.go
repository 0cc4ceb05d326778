// SPDX-License-Identifier: Apache-2.0

package progress_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/progress"
)

func TestLedger(t *testing.T) {
	var l progress.Ledger[string]
	a, b, c := l.Open("a"), l.Open("b"), l.Open("c")
	pop := func() (got string) {
		for v, ok := l.Pop(); ok; v, ok = l.Pop() {
			got += v
		}
		return got
	}
	l.Hold(a, 2) // a fans out to two sinks
	l.Release(a)
	l.Release(b)
	if got := pop(); got != "" {
		t.Errorf("settled %q before anything may", got)
	}
	l.Release(a)
	if got := pop(); got != "" {
		t.Errorf("settled %q while a descendant of a is outstanding", got)
	}
	l.Release(a)
	if got := pop(); got != "ab" {
		t.Errorf("settled %q, want ab", got)
	}
	l.Release(c)
	if got := pop(); got != "c" || l.Len() != 0 {
		t.Errorf("settled %q with %d left, want c with 0", got, l.Len())
	}
}

func TestLedgerMisuse(t *testing.T) {
	for name, misuse := range map[string]func(l *progress.Ledger[int], e progress.Epoch){
		"release twice": func(l *progress.Ledger[int], e progress.Epoch) { l.Release(e); l.Release(e) },
		"hold after":    func(l *progress.Ledger[int], e progress.Epoch) { l.Release(e); l.Pop(); l.Hold(e, 1) },
		"never opened":  func(l *progress.Ledger[int], e progress.Epoch) { l.Release(e + 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			var l progress.Ledger[int]
			misuse(&l, l.Open(0))
		})
	}
}

// TestLedgerProperties runs random histories against a naive model: an epoch is
// settled when it and all before it have no descendant, never earlier, in order,
// and none is lost.
func TestLedgerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l progress.Ledger[int]
		var outstanding []int // by epoch
		settled := 0
		holders := func() (open []int) {
			for e, n := range outstanding {
				if n > 0 {
					open = append(open, e)
				}
			}
			return open
		}
		check := func() {
			want := settled
			for want < len(outstanding) && outstanding[want] == 0 {
				want++
			}
			for v, ok := l.Pop(); ok; v, ok = l.Pop() {
				if v != settled {
					t.Fatalf("settled epoch %d, want %d next", v, settled)
				}
				settled++
			}
			if settled != want {
				t.Fatalf("settled up to epoch %d, want %d; outstanding %v", settled, want, outstanding)
			}
			if l.Len() != len(outstanding)-settled {
				t.Fatalf("Len = %d, want %d", l.Len(), len(outstanding)-settled)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check() },
			"open": func(t *rapid.T) {
				if e := l.Open(len(outstanding)); int(e) != len(outstanding) {
					t.Fatalf("Open = %d, want %d", e, len(outstanding))
				}
				outstanding = append(outstanding, 1)
			},
			"hold": func(t *rapid.T) {
				if open := holders(); len(open) > 0 {
					e, n := rapid.SampledFrom(open).Draw(t, "epoch"), rapid.IntRange(0, 3).Draw(t, "n")
					l.Hold(progress.Epoch(e), n)
					outstanding[e] += n
				}
			},
			"release": func(t *rapid.T) {
				if open := holders(); len(open) > 0 {
					e := rapid.SampledFrom(open).Draw(t, "epoch")
					l.Release(progress.Epoch(e))
					outstanding[e]--
				}
			},
		})
		for _, e := range holders() {
			for ; outstanding[e] > 0; outstanding[e]-- {
				l.Release(progress.Epoch(e))
			}
		}
		check()
		if l.Len() != 0 {
			t.Fatalf("%d epochs are never settled", l.Len())
		}
	})
}

func TestFrontier(t *testing.T) {
	const lateness = 5_000
	ok := progress.Status{Connected: true, Unread: progress.End}
	type step struct {
		what   string
		do     func(f *progress.Frontier)
		now    progress.Time
		status progress.Status
		want   progress.Time
	}
	received := func(now, stamp progress.Time) func(*progress.Frontier) {
		return func(f *progress.Frontier) { f.Received(now, stamp) }
	}
	for _, tt := range []struct {
		name     string
		maxStall int64
		resume   progress.Time
		steps    []step
	}{
		{name: "caught up", resume: progress.Beginning, steps: []step{
			{"not connected yet", nil, 100_000, progress.Status{Unread: progress.End}, progress.Beginning},
			{"just connected", nil, 101_000, ok, progress.Beginning},
			{"quiet for 499 ms", nil, 101_499, ok, progress.Beginning},
			{"quiet for 500 ms", nil, 101_500, ok, 96_500},
			{"a message of now", received(102_000, 101_999), 102_000, ok, 97_000},
			{"a message late by the lateness", received(103_000, 98_000), 103_000, ok, 98_000},
			{"and by more: a backlog", received(103_000, 97_999), 103_001, ok, 98_000},
			{"and then quiet", nil, 103_500, ok, 98_500},
			{"the clock goes back", nil, 90_000, ok, 98_500},
		}},
		{name: "hindrances", resume: 50_000, steps: []step{
			{"resumes where it stood", nil, 100_000, ok, 50_000},
			{"an unread message holds it", nil, 101_000, progress.Status{Connected: true, Unread: 60_000}, 60_000},
			{"which is read", nil, 101_000, ok, 96_000},
			{"an unread late message does not pull it back", nil, 102_000, progress.Status{Connected: true, Unread: 1}, 96_000},
			{"back-pressure", nil, 200_000, progress.Status{Connected: true, Blocked: true, Unread: progress.End}, 96_000},
			{"disconnected", nil, 300_000, progress.Status{Unread: progress.End}, 96_000},
			{"connected again", nil, 300_100, ok, 96_000},
			{"quiet again", nil, 300_600, ok, 295_600},
		}},
		{name: "max stall", maxStall: 60_000, resume: 50_000, steps: []step{
			{"begins to stall", nil, 100_000, progress.Status{Unread: progress.End}, 50_000},
			{"stalls", nil, 159_999, progress.Status{Unread: progress.End}, 50_000},
			{"long enough", nil, 160_000, progress.Status{Unread: progress.End}, 155_000},
			{"and goes on", nil, 161_000, progress.Status{Unread: 155_500}, 155_500},
		}},
		{name: "a clock that is set back by an hour", resume: 0, steps: []step{
			{"connected", nil, 4_000_000, ok, 0},
			{"a message of now", received(4_000_100, 4_000_000), 4_000_200, ok, 3_995_200},
			{"one of an hour ago", received(4_000_600, 400_500), 4_000_600, ok, 3_995_200},
			{"and so on", received(4_020_000, 420_000), 4_020_000, ok, 3_995_200},
			{"for long enough", received(4_030_200, 430_300), 4_030_200, ok, 3_995_200},
			{"to be believed", received(4_030_700, 430_700), 4_030_700, ok, 4_025_700},
			{"while it goes on", received(4_030_800, 430_800), 4_030_800, ok, 4_025_800},
			{"and is held back", received(4_040_000, 440_000), 4_040_000, progress.Status{Connected: true, Blocked: true, Unread: progress.End}, 4_025_800},
			{"from when it starts anew", received(4_040_100, 440_100), 4_069_900, progress.Status{Connected: true, Unread: 1}, 4_025_800},
			{"after a gap", nil, 4_070_000, ok, 4_065_000},
		}},
		{name: "a backlog that is drained slowly", resume: 0, steps: []step{
			{"connected", nil, 4_000_000, ok, 0},
			{"an hour ago", received(4_000_100, 400_100), 4_000_100, ok, 0},
			{"nearer by 300 ms after 30 s", received(4_030_000, 430_300), 4_030_100, ok, 0},
			{"and again", received(4_060_000, 460_600), 4_060_000, ok, 0},
			{"not near enough", received(4_090_100, 490_900), 4_090_100, ok, 4_085_100},
			{"but now it is", received(4_090_200, 600_000), 4_090_200, ok, 4_085_100},
		}},
		{name: "the end", resume: 0, steps: []step{
			{"closed", (*progress.Frontier).Close, 100_000, progress.Status{Unread: 70_000}, 70_000},
			{"nothing unread", nil, 100_000, progress.Status{Unread: progress.End}, progress.End},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := progress.NewFrontier(lateness, tt.maxStall, tt.resume)
			for _, s := range tt.steps {
				if s.do != nil {
					s.do(f)
				}
				if got := f.Advance(s.now, s.status); got != s.want {
					t.Fatalf("%s: Advance(%d) = %d, want %d", s.what, s.now, got, s.want)
				}
			}
		})
	}
}

// TestFrontierProperties checks, for any history, that the frontier never goes
// back, never passes an unread message that it was not past before, and never
// comes closer to the clock than the lateness.
func TestFrontierProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anyTime := rapid.OneOf(rapid.Int64Range(0, 100_000), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64}))
		lateness := rapid.Int64Range(0, 10_000).Draw(t, "lateness")
		f := progress.NewFrontier(lateness, rapid.Int64Range(0, 1000).Draw(t, "max stall"),
			progress.Time(anyTime.Draw(t, "resume")))
		latest := int64(math.MinInt64)
		t.Repeat(map[string]func(*rapid.T){
			"receive": func(t *rapid.T) {
				f.Received(progress.Time(rapid.Int64Range(0, 100_000).Draw(t, "now")), progress.Time(anyTime.Draw(t, "stamp")))
			},
			"advance": func(t *rapid.T) {
				now := rapid.Int64Range(0, 100_000).Draw(t, "now")
				latest = max(latest, now)
				s := progress.Status{
					Connected: rapid.Bool().Draw(t, "connected"),
					Blocked:   rapid.Bool().Draw(t, "blocked"),
					Unread:    progress.Time(anyTime.Draw(t, "unread")),
				}
				before := f.At()
				after := f.Advance(progress.Time(now), s)
				switch {
				case after < before:
					t.Fatalf("went back from %d to %d", before, after)
				case after > before && after > s.Unread:
					t.Fatalf("moved to %d, past the unread %d", after, s.Unread)
				case after > before && int64(after) > latest-lateness:
					t.Fatalf("moved to %d at %d, closer than the lateness %d", after, latest, lateness)
				}
			},
		})
	})
}

func TestMinimum(t *testing.T) {
	if got := progress.Minimum(3, 1, 2); got != 1 {
		t.Errorf("Minimum(3, 1, 2) = %d", got)
	}
	if got := progress.Minimum(); got != progress.End {
		t.Errorf("Minimum() = %d, want End", got)
	}
}
