// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

func open(tb testing.TB, config wazero.Config) core.Engine {
	tb.Helper()
	e, err := wazero.New(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return e
}

func TestEngine(t *testing.T) {
	for name, config := range map[string]wazero.Config{
		"compiler":    {},
		"one worker":  {CompileWorkers: 1},
		"interpreter": {Interpreter: true},
		"cached":      {CacheDir: filepath.Join(t.TempDir(), "cache")},
	} {
		t.Run(name, func(t *testing.T) {
			coretest.Run(t, func(tb testing.TB) core.Engine { return open(tb, config) })
		})
	}
}

// trapModule has a memory, and a start function that traps.
var trapModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" + // type
	"\x03\x02\x01\x00" + // function
	"\x05\x03\x01\x00\x01" + // memory
	"\x08\x01\x00" + // start
	"\x0a\x05\x01\x03\x00\x00\x0b") // code

// Closing a store gives its memories back, those of modules that failed to start
// too: a process has no room for so many memories that may get 4 GiB.
func TestMemoryIsReturned(t *testing.T) {
	e := open(t, wazero.Config{})
	add, err := e.Compile(t.Context(), addModule)
	if err != nil {
		t.Fatal(err)
	}
	traps, err := e.Compile(t.Context(), trapModule)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 33_000 {
		store := e.NewStore(core.Limits{})
		if _, err := store.Instantiate(t.Context(), add, nil); err != nil {
			t.Fatalf("instance %d: %v", n, err)
		}
		var trap *core.Trap
		if _, err := store.Instantiate(t.Context(), traps, nil); !errors.As(err, &trap) {
			t.Fatalf("instance %d: error is %v, want a trap", n, err)
		}
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A second engine takes the code that the first one left.
func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	count := func() (n int) {
		err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 {
		if _, err := open(t, wazero.Config{CacheDir: dir}).Compile(t.Context(), addModule); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != 1 {
			t.Errorf("cache has %d files, want 1", got)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode of the cache is %#o, want 0700", got)
	}
}

func TestCacheRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := wazero.New(t.Context(), wazero.Config{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Errorf("error for a cache that anybody may write to is %v, want one that names mode 0700", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wazero.New(t.Context(), wazero.Config{CacheDir: file}); err == nil {
		t.Error("a file was taken for a cache")
	}
}
