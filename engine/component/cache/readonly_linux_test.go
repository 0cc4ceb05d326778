// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/cache/cachetest"
)

// What is in a folder that can't be written to is found, and nothing is added to it.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	writer, err := cache.Open(dir, cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	put, adopted, added := cache.Key{1}, cache.Key{2}, cache.Key{3}
	writer.Put(put, []byte("content"))
	scratch, err := writer.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(scratch, "made")
	if err := os.WriteFile(made, []byte("code"), 0o600); err != nil {
		t.Fatal(err)
	}
	writer.Adopt(adopted, made, []byte("label"))
	if err := os.Remove(scratch); err != nil {
		t.Fatal(err)
	}
	cachetest.Protect(t, dir)

	c, err := cache.Open(dir, cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if writer.ReadOnly() || !c.ReadOnly() {
		t.Errorf("read-only: %v and %v, want false and true", writer.ReadOnly(), c.ReadOnly())
	}
	if got, ok := c.Get(put); !ok || string(got) != "content" {
		t.Errorf("Get = %q, %v", got, ok)
	}
	if got, ok := c.Check(adopted); !ok || string(got) != "label" {
		t.Errorf("Check = %q, %v", got, ok)
	}
	scratch, err = c.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	linked := filepath.Join(scratch, "linked")
	if err := c.Link(adopted, linked); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(linked); err != nil || string(got[:4]) != "code" {
		t.Errorf("linked: %q, %v", got, err)
	}
	c.Put(added, nil)
	own := filepath.Join(scratch, "own")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Adopt(added, own, nil)
	if _, err := os.Stat(own); err == nil {
		t.Error("what was to be adopted is still there")
	}
	entries, err := filepath.Glob(filepath.Join(dir, "*"))
	if want := []string{filepath.Join(dir, put.String()), filepath.Join(dir, adopted.String())}; !slices.Equal(entries, want) {
		t.Errorf("entries are %q, %v, want %q", entries, err, want)
	}
}
