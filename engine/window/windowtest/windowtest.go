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
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/window"
)

// TestStore runs the suite. For each test create returns what opens a new store, and
// the same store again after it was closed.
func TestStore(t *testing.T, create func(t *testing.T) (open func() (window.Store, error))) {
	t.Run("changes", func(t *testing.T) { testChanges(t, create(t)) })
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
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}
