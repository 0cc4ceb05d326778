// SPDX-License-Identifier: Apache-2.0

// Package windowtest is the suite that every window store passes.
package windowtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/window"
)

// TestStore runs the suite. For each test create returns what opens a new store, and
// the same store again after it was closed.
func TestStore(t *testing.T, create func(t *testing.T) (open func() (window.Store, error))) {
	t.Run("changes", func(t *testing.T) { testChanges(t, create(t)) })
	t.Run("range", func(t *testing.T) { testRange(t, create(t)) })
	t.Run("range beside commits", func(t *testing.T) { testRangeBesideCommits(t, create(t)) })
	t.Run("yield fails", func(t *testing.T) { testYield(t, create(t)) })
	t.Run("context", func(t *testing.T) { testContext(t, create(t)) })
	t.Run("slices are not retained", func(t *testing.T) { testRetention(t, create(t)) })
	t.Run("model", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) { testModel(rt, create(t)) })
	})
}

// Records returns what is in a store.
func Records(ctx context.Context, s window.Store) (map[string]string, error) {
	records := map[string]string{}
	last := ""
	err := s.Read(ctx, func(key, value []byte) error {
		if string(key) <= last {
			return fmt.Errorf("key %q after %q", key, last)
		}
		last = string(key)
		records[last] = string(value)
		return nil
	})
	return records, err
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func must(t failer, open func() (window.Store, error)) window.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func commit(t failer, s window.Store, changes ...window.Change) {
	t.Helper()
	if err := s.Commit(context.Background(), changes); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func put(key, value string) window.Change {
	return window.Change{Key: []byte(key), Value: []byte(value)}
}

func wantRecords(t failer, s window.Store, want map[string]string) {
	t.Helper()
	got, err := Records(context.Background(), s)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func testChanges(t *testing.T, open func() (window.Store, error)) {
	s := must(t, open)
	wantRecords(t, s, map[string]string{})
	commit(t, s, put("a", "1"), put("b", "2"), put("c", ""), put("d", "4"), put("\xff", "5"))
	commit(t, s, put("a", "one"),
		window.Change{Key: []byte("b"), End: []byte("d")},
		put("bb", "after the removal"),
		window.Change{Key: []byte("d")},
		window.Change{Key: []byte("never was")},
		window.Change{Key: []byte("x"), End: []byte("y")})
	want := map[string]string{"a": "one", "bb": "after the removal", "\xff": "5"}
	wantRecords(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must(t, open)
	wantRecords(t, s, want)
	commit(t, s, put("e", ""))
	want["e"] = ""
	wantRecords(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testRange(t *testing.T, open func() (window.Store, error)) {
	s := must(t, open)
	commit(t, s, put("a", "1"), put("b", "2"), put("bb", ""), put("c", "3"), put("d", "4"))
	for _, tt := range []struct {
		from, to string
		most     int
		want     string
	}{
		{"a", "z", 9, "a=1 b=2 bb= c=3 d=4"},
		{"a", "z", 2, "a=1 b=2"},
		{"b", "c", 9, "b=2 bb="},
		{"aa", "bbb", 9, "b=2 bb="},
		{"", "a\x00", 9, "a=1"},
		{"e", "z", 9, ""},
		{"c", "a", 9, ""},
		{"a", "z", 0, ""},
	} {
		var got []string
		err := s.Range(t.Context(), []byte(tt.from), []byte(tt.to), tt.most, func(key, value []byte) error {
			got = append(got, fmt.Sprintf("%s=%s", key, value))
			return nil
		})
		if text := strings.Join(got, " "); err != nil || text != tt.want {
			t.Errorf("Range(%q, %q, %d) = %q, %v; want %q", tt.from, tt.to, tt.most, text, err, tt.want)
		}
	}
	enough, calls := errors.New("enough"), 0
	if err := s.Range(t.Context(), []byte("a"), []byte("z"), 9, func(_, _ []byte) error { calls++; return enough }); !errors.Is(err, enough) || calls != 1 {
		t.Errorf("Range = %v after %d calls, want the error of the first call", err, calls)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// testRangeBesideCommits checks that a Range beside a Commit sees all of it or nothing.
func testRangeBesideCommits(t *testing.T, open func() (window.Store, error)) {
	s := must(t, open)
	const commits = 50
	committed := make(chan error, 1)
	go func() {
		for i := range commits {
			var changes []window.Change
			for k := range 10 {
				changes = append(changes, put(fmt.Sprint("key ", k), fmt.Sprint(i)))
			}
			if err := s.Commit(context.Background(), changes); err != nil {
				committed <- err
				return
			}
		}
		committed <- nil
	}()
	for done := false; !done; {
		select {
		case err := <-committed:
			if err != nil {
				t.Fatalf("Commit: %v", err)
			}
			done = true
		default:
		}
		values, n := map[string]bool{}, 0
		err := s.Range(t.Context(), []byte("key "), []byte("key ~"), 100, func(_, value []byte) error {
			values[string(value)] = true
			n++
			return nil
		})
		if err != nil || len(values) > 1 || n%10 != 0 || done && !values[fmt.Sprint(commits-1)] {
			t.Fatalf("Range saw %d records with the values %v, %v", n, values, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testYield(t *testing.T, open func() (window.Store, error)) {
	s := must(t, open)
	commit(t, s, put("a", "1"), put("b", "2"))
	enough, calls := errors.New("enough"), 0
	err := s.Read(t.Context(), func(_, _ []byte) error { calls++; return enough })
	if !errors.Is(err, enough) || errors.Is(err, window.ErrCorrupt) || calls != 1 {
		t.Errorf("Read = %v after %d calls, want the error of the first call", err, calls)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testContext(t *testing.T, open func() (window.Store, error)) {
	s := must(t, open)
	commit(t, s, put("a", "1"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ended, []window.Change{put("b", "2")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit = %v, want the context's error", err)
	}
	if err := s.Read(ended, func(_, _ []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v, want the context's error", err)
	}
	if err := s.Range(ended, []byte("a"), []byte("z"), 1, func(_, _ []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Range = %v, want the context's error", err)
	}
	wantRecords(t, s, map[string]string{"a": "1"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testRetention(t *testing.T, open func() (window.Store, error)) {
	s := must(t, open)
	c := put("key", "value")
	commit(t, s, c)
	copy(c.Key, "KEY")
	copy(c.Value, "VALUE")
	wantRecords(t, s, map[string]string{"key": "value"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// testModel runs random commits against a map.
func testModel(t *rapid.T, open func() (window.Store, error)) {
	s := must(t, open)
	model := map[string]string{}
	key := rapid.StringMatching("[a-e]{1,3}")
	for range rapid.IntRange(1, 6).Draw(t, "commits") {
		var changes []window.Change
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				changes = append(changes, window.Change{Key: []byte(k)})
				delete(model, k)
			case 1:
				end := key.Draw(t, "end")
				changes = append(changes, window.Change{Key: []byte(k), End: []byte(end)})
				maps.DeleteFunc(model, func(have, _ string) bool { return have >= k && have < end })
			default:
				v := string(bytes.Repeat([]byte("v"), rapid.SampledFrom([]int{0, 1, 100, 5000}).Draw(t, "size")))
				changes = append(changes, put(k, v))
				model[k] = v
			}
		}
		commit(t, s, slices.Clip(changes)...)
		if rapid.IntRange(0, 4).Draw(t, "reopen") == 0 {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			s = must(t, open)
		}
		wantRecords(t, s, model)
		from, to := key.Draw(t, "from"), key.Draw(t, "to")
		want, got := maps.Clone(model), map[string]string{}
		maps.DeleteFunc(want, func(have, _ string) bool { return have < from || have >= to })
		err := s.Range(context.Background(), []byte(from), []byte(to), len(model), func(key, value []byte) error {
			got[string(key)] = string(value)
			return nil
		})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Range from %q to %q: %v (-want +got):\n%s", from, to, err, diff)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}
