// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/cache"
)

func open(t testing.TB, dir string, config cache.Config) *cache.Cache {
	t.Helper()
	c, err := cache.Open(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func key(text string) cache.Key { return sha256.Sum256([]byte(text)) }

// adopt adds an entry whose content is a file of that name.
func adopt(t testing.TB, c *cache.Cache, k cache.Key, name, content, label string) {
	t.Helper()
	dir, err := c.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Adopt(k, file, []byte(label))
	if err := os.Remove(dir); err != nil {
		t.Errorf("the adopted file was left where it was: %v", err)
	}
}

// entries returns what is in the folder, by name.
func entries(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	listed, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, d := range listed {
		info, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[d.Name()] = info.Size()
	}
	return all
}

func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	c := open(t, dir, cache.Config{})
	if _, ok := c.Get(key("a")); ok {
		t.Error("an empty cache has an entry")
	}
	for _, content := range []string{"", "something", strings.Repeat("more", 100_000)} {
		c.Put(key("a"), []byte(content))
		if got, ok := open(t, dir, cache.Config{}).Get(key("a")); !ok || string(got) != content {
			t.Errorf("Get returned %d bytes, %v; want %d", len(got), ok, len(content))
		}
	}
	if len(entries(t, dir)) != 1 {
		t.Errorf("the folder has %v, want one file", entries(t, dir))
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode of the folder is %#o, want 0700", got)
	}
	c.Remove(key("a"))
	if _, ok := c.Get(key("a")); ok {
		t.Error("a removed entry is there")
	}
}

func TestAdopt(t *testing.T) {
	c := open(t, t.TempDir(), cache.Config{})
	for _, content := range []string{"", "something", strings.Repeat("more", 300_000)} {
		adopt(t, c, key("a"), "file", content, "label")
		label, ok := c.Check(key("a"))
		if !ok || string(label) != "label" {
			t.Errorf("Check returned %q, %v", label, ok)
		}
		file := filepath.Join(t.TempDir(), "again")
		if err := c.Link(key("a"), file); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(got, []byte(content)) {
			t.Errorf("the linked file has %d bytes, %v; want at least %d", len(got), err, len(content))
		}
	}
	if _, ok := c.Check(key("b")); ok {
		t.Error("an entry that nobody added is there")
	}
	if err := c.Link(key("b"), filepath.Join(t.TempDir(), "file")); err == nil {
		t.Error("an entry that nobody added was linked")
	}
}

// An entry with any of its bytes changed, or some missing, is removed, and said so.
func TestDamage(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	c := open(t, dir, cache.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	adopt(t, c, key("a"), "file", "the content", "label")
	path := filepath.Join(dir, key("a").String())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var damaged [][]byte
	for n := range whole {
		flipped := bytes.Clone(whole)
		flipped[n] ^= 0x10
		damaged = append(damaged, flipped, whole[:n])
	}
	damaged = append(damaged, append(bytes.Clone(whole), whole...), bytes.Repeat([]byte{0xff}, 100))
	for _, d := range damaged {
		for name, look := range map[string]func() bool{
			"Get":   func() bool { _, ok := c.Get(key("a")); return ok },
			"Check": func() bool { _, ok := c.Check(key("a")); return ok },
		} {
			if err := os.WriteFile(path, d, 0o600); err != nil {
				t.Fatal(err)
			}
			log.Reset()
			if look() {
				t.Errorf("%s: % x was taken for an entry", name, d)
			}
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s: the damaged entry is still there", name)
			}
			if !strings.Contains(log.String(), "damaged") {
				t.Errorf("%s: the log says %q", name, &log)
			}
		}
	}
}

// What is old goes, and then what was used least recently.
func TestCollect(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := open(t, dir, cache.Config{Size: 1000, Age: 24 * time.Hour, Now: func() time.Time { return now }})
	put := func(name string, age time.Duration) {
		c.Put(key(name), make([]byte, 200))
		if err := os.Chtimes(filepath.Join(dir, key(name).String()), now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			if entries(t, dir)[key(name).String()] != 0 {
				names = append(names, name)
			}
		}
		return names
	}
	put("a", 25*time.Hour)
	put("b", 3*time.Hour)
	put("c", 4*time.Hour)
	put("d", 2*time.Hour)
	if _, ok := c.Get(key("c")); !ok { // marks it as used now
		t.Fatal("an entry is missing")
	}
	for _, name := range []string{"scratch-old", "scratch-new"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"old.tmp", "new.tmp", "not ours"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name := range entries(t, dir) {
		if strings.Contains(name, "old") || name == "not ours" {
			if err := os.Chtimes(filepath.Join(dir, name), now, now.Add(-48*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("e", 0)
	if diff := cmp.Diff([]string{"b", "c", "d", "e"}, left()); diff != "" {
		t.Errorf("entries left after one got old (-want +got):\n%s", diff)
	}
	put("f", 0)
	if diff := cmp.Diff([]string{"c", "d", "e", "f"}, left()); diff != "" {
		t.Errorf("entries left after the cache got full (-want +got):\n%s", diff)
	}
	for name, want := range map[string]bool{"scratch-old": false, "scratch-new": true, "old.tmp": false, "new.tmp": true, "not ours": true} {
		if _, got := entries(t, dir)[name]; got != want {
			t.Errorf("%s is there: %v, want %v", name, got, want)
		}
	}
	c.Put(key("a"), make([]byte, 501))
	if got := left(); got[0] == "a" {
		t.Error("an entry of more than half of the cache was kept")
	}
}

// Caches of several processes work in one folder.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	var work sync.WaitGroup
	for n := range 8 {
		work.Go(func() {
			c, err := cache.Open(dir, cache.Config{Size: 20_000})
			if err != nil {
				t.Error(err)
				return
			}
			for round := range 50 {
				name := fmt.Sprint((n + round) % 10)
				content := strings.Repeat(name, 3000)
				if got, ok := c.Get(key(name)); ok && string(got) != content {
					t.Errorf("entry %s has another content", name)
				}
				c.Put(key(name), []byte(content))
			}
		})
	}
	work.Wait()
}

// A cache whose folder can't be used is empty, and says so.
func TestUnusable(t *testing.T) {
	var log bytes.Buffer
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir, cache.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Put(key("a"), []byte("content"))
	if _, ok := c.Get(key("a")); ok {
		t.Error("an entry that can't be kept is there")
	}
	if _, err := c.Scratch(); err == nil {
		t.Error("a scratch folder in a file")
	}
	if !strings.Contains(log.String(), "compiled code is not kept") {
		t.Errorf("the log says %q", &log)
	}
	var none *cache.Cache
	none.Put(key("a"), nil)
	none.Remove(key("a"))
	if _, ok := none.Get(key("a")); ok {
		t.Error("no cache has an entry")
	}
}

func TestOpenRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(dir, cache.Config{}); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Errorf("error for a folder that anybody may write to is %v, want one that names mode 0700", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(file, cache.Config{}); err == nil {
		t.Error("a file was taken for a folder")
	}
}

// Whatever is in a file, it is an entry or it isn't.
func FuzzEntry(f *testing.F) {
	dir := f.TempDir()
	c := open(f, dir, cache.Config{})
	path := filepath.Join(dir, key("a").String())
	for _, seed := range []struct{ content, label string }{{"", ""}, {"content", "label"}} {
		adopt(f, c, key("a"), "file", seed.content, seed.label)
		entry, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		write := func() {
			if err := os.WriteFile(path, entry, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write()
		content, got := c.Get(key("a"))
		write()
		label, checked := c.Check(key("a"))
		if got != checked || got && !bytes.HasPrefix(entry, append(content, label...)) {
			t.Errorf("Get: %q, %v; Check: %q, %v", content, got, label, checked)
		}
	})
}

// A test has no versions of modules: what it keeps is for itself.
func TestBuild(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := cache.Build("example.com/none"); !strings.HasPrefix(got, program+" ") || got != cache.Build("example.com/none") {
		t.Errorf("Build returned %q, want what identifies %s", got, program)
	}
}
