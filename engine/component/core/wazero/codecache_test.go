// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

func newCache(tb testing.TB, dir string) *cache.Cache {
	tb.Helper()
	c, err := cache.Open(dir, cache.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// opModule exports "op", which does with two i32 what the instruction does.
func opModule(instruction byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f"+ // type
		"\x03\x02\x01\x00"+ // function
		"\x07\x06\x01\x02op\x00\x00"+ // export
		"\x0a\x09\x01\x07\x00\x20\x00\x20\x01"), instruction, 0x0b) // code
}

const (
	add    = 0x6a
	sub    = 0x6b
	divide = 0x6d
)

// do calls the function op of a module.
func do(e core.Engine, m core.Module, a, b uint64) (uint64, error) {
	store := e.NewStore(core.Limits{})
	defer store.Close(context.Background())
	i, err := store.Instantiate(context.Background(), m, nil)
	if err != nil {
		return 0, err
	}
	stack := []uint64{a, b}
	err = i.Func("op").Call(context.Background(), stack)
	return stack[0], err
}

// An engine loads what another one compiled, by its digest. Modules that differ in
// their code alone are told apart.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	modules := [][]byte{opModule(add), opModule(sub), opModule(divide)}
	first := open(t, wazero.Config{Cache: newCache(t, dir)})
	for _, wasm := range modules {
		if m := first.Load(t.Context(), sha256.Sum256(wasm)); m != nil {
			t.Fatal("loaded a module that nobody has compiled")
		}
		if _, err := first.Compile(t.Context(), wasm); err != nil {
			t.Fatal(err)
		}
	}
	second := open(t, wazero.Config{Cache: newCache(t, dir)})
	var loaded []core.Module
	for _, wasm := range slices.Concat(modules, modules) {
		m := second.Load(t.Context(), sha256.Sum256(wasm))
		if m == nil {
			t.Fatal("a module that was compiled can't be loaded")
		}
		loaded = append(loaded, m)
	}
	for n, want := range []uint64{19, 5, 1, 19, 5, 1} {
		if got, err := do(second, loaded[n], 12, 7); got != want || err != nil {
			t.Errorf("op %d of 12 and 7 is %d, %v; want %d", n, got, err, want)
		}
	}
	var trap *core.Trap
	if _, err := do(second, loaded[2], 1, 0); !errors.As(err, &trap) || trap.Reason != "integer divide by zero" {
		t.Errorf("a division by zero is %v", err)
	}
	for n, m := range loaded[:3] { // the others go on
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := do(second, loaded[n+3], 12, 7); err != nil {
			t.Error(err)
		}
	}
	if open(t, wazero.Config{}).Load(t.Context(), sha256.Sum256(modules[0])) != nil {
		t.Error("loaded a module without a cache")
	}
}

// files returns the files below dir.
func files(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A cache that was damaged, whatever is in it, is compiled anew.
func TestDamagedCache(t *testing.T) {
	dir := t.TempDir()
	compile := func() error {
		e := open(t, wazero.Config{Cache: newCache(t, dir)})
		m, err := e.Compile(t.Context(), opModule(add))
		if err != nil {
			return err
		}
		if got, err := do(e, m, 1, 2); got != 3 || err != nil {
			return fmt.Errorf("1 + 2 = %d, %v", got, err)
		}
		return nil
	}
	if err := compile(); err != nil {
		t.Fatal(err)
	}
	entry := files(t, dir)
	if len(entry) != 1 {
		t.Fatalf("the cache has files %q, want one", entry)
	}
	whole, err := os.ReadFile(entry[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[20] ^= 1 // the number of functions, of which wazero makes a slice
	for _, damage := range [][]byte{nil, []byte("WAZ"), whole[:len(whole)-1], flipped} {
		if err := os.WriteFile(entry[0], damage, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := compile(); err != nil {
			t.Errorf("Compile with %q in the cache: %v", damage, err)
		}
		if got, err := os.ReadFile(entry[0]); !bytes.Equal(got, whole) {
			t.Errorf("the entry was not made anew: %v", err)
		}
	}
}

// An entry that is what its checksum says, and nothing that wazero can read, is made
// anew, too.
func TestForeignEntry(t *testing.T) {
	dir := t.TempDir()
	if _, err := open(t, wazero.Config{Cache: newCache(t, dir)}).Compile(t.Context(), opModule(add)); err != nil {
		t.Fatal(err)
	}
	var key cache.Key
	for _, file := range files(t, dir) {
		var err error
		if key, err = cache.ParseKey(filepath.Base(file)); err != nil {
			t.Fatal(err)
		}
	}
	kept := newCache(t, dir)
	label, ok := kept.Check(key)
	if !ok {
		t.Fatal("the entry can't be read")
	}
	code, _ := kept.Get(key)
	_, outline, _ := bytes.Cut(label, []byte("\n"))
	for _, tt := range []struct{ content, label []byte }{
		{code, append([]byte("another name\n"), outline...)}, // the outline must not be compiled
		{[]byte("no code"), label},
		{nil, label},
		{nil, nil},
		{[]byte("no code"), []byte("name\nno module")},
		{[]byte("no code"), []byte("../../name\nno module")},
	} {
		scratch, err := kept.Scratch()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(scratch, "file")
		if err := os.WriteFile(file, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		kept.Adopt(key, file, tt.label)
		e := open(t, wazero.Config{Cache: kept})
		if m := e.Load(t.Context(), sha256.Sum256(opModule(add))); m != nil {
			t.Errorf("loaded %q", tt.content)
		}
		if m, err := e.Compile(t.Context(), opModule(add)); err != nil {
			t.Error(err)
		} else if got, err := do(e, m, 1, 2); got != 3 || err != nil {
			t.Errorf("1 + 2 = %d, %v", got, err)
		}
	}
}

// The folder of a process that did nothing for long is taken for left behind, and made
// again; so is the cache, when somebody has removed it.
func TestFolderIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	e := open(t, wazero.Config{Cache: newCache(t, dir)})
	for n, tt := range []struct {
		op      byte
		all     bool
		entries int
	}{{add, false, 1}, {sub, false, 2}, {add, false, 2}, {add, true, 1}} {
		gone := dir
		if !tt.all {
			scratch, err := filepath.Glob(filepath.Join(dir, "scratch-*"))
			if err != nil || len(scratch) != 1 {
				t.Fatalf("folders %q, %v", scratch, err)
			}
			gone = scratch[0]
		}
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		m, err := e.Compile(t.Context(), opModule(tt.op))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := files(t, dir); len(got) != tt.entries {
			t.Errorf("%d: the cache has files %q, want %d entries", n, got, tt.entries)
		}
	}
}

// testUnusable compiles with a cache that spoil has made unusable: one that was opened
// before, and one that is opened then.
func testUnusable(t *testing.T, spoil func(dir string) error) {
	dir := filepath.Join(t.TempDir(), "cache")
	var log bytes.Buffer
	kept, err := cache.Open(dir, cache.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	opened := open(t, wazero.Config{Cache: kept})
	if err := spoil(dir); err != nil {
		t.Fatal(err)
	}
	for _, e := range []core.Engine{opened, open(t, wazero.Config{Cache: kept})} {
		for range 2 {
			m, err := e.Compile(t.Context(), opModule(add))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := do(e, m, 1, 2); got != 3 || err != nil {
				t.Errorf("1 + 2 = %d, %v", got, err)
			}
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if _, err := e.Compile(t.Context(), []byte("no module")); err == nil {
			t.Error("compiled what is no module")
		}
	}
	if !strings.Contains(log.String(), "not kept") {
		t.Errorf("the log says %q", &log)
	}
}

// Engines of several processes, each used by several goroutines, fill one cache and
// use it.
func TestSharedCache(t *testing.T) {
	dir := t.TempDir()
	var work sync.WaitGroup
	for range 3 {
		e := open(t, wazero.Config{Cache: newCache(t, dir)})
		for n := range 6 {
			work.Go(func() {
				for round := range 4 {
					op := []byte{add, sub, divide}[(n+round)%3]
					m, err := e.Compile(t.Context(), opModule(op))
					if err != nil {
						t.Error(err)
						return
					}
					want := map[byte]uint64{add: 19, sub: 5, divide: 1}[op]
					if got, err := do(e, m, 12, 7); got != want || err != nil {
						t.Errorf("op %#x of 12 and 7 is %d, %v; want %d", op, got, err, want)
					}
					if err := m.Close(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	work.Wait()
	if got := files(t, dir); len(got) != 3 {
		t.Errorf("the cache has files %q, want three", got)
	}
}

// An engine leaves nothing but entries behind.
func TestCacheIsCleanedUp(t *testing.T) {
	dir := t.TempDir()
	e, err := wazero.New(t.Context(), wazero.Config{Cache: newCache(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Compile(t.Context(), addModule); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0].IsDir() {
		t.Errorf("the cache has %v, want one file", left)
	}
}
