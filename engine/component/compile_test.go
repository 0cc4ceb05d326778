// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// counter counts what an engine is asked for.
type counter struct {
	core.Engine
	compiled, loaded atomic.Int32
}

func (c *counter) Compile(ctx context.Context, wasm []byte) (core.Module, error) {
	c.compiled.Add(1)
	return c.Engine.Compile(ctx, wasm)
}

func (c *counter) Load(ctx context.Context, digest [32]byte) core.Module {
	m := c.Engine.Load(ctx, digest)
	if m != nil {
		c.loaded.Add(1)
	}
	return m
}

// cached returns a runtime as a process that starts has it, on a cache.
func cached(t *testing.T, dir string, limits rewrite.Limits) (*component.Runtime, *counter) {
	t.Helper()
	kept, err := cache.Open(dir, cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := wazero.New(t.Context(), wazero.Config{Cache: kept})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	count := &counter{Engine: engine}
	rt, err := component.New(component.Config{Engine: count, Cache: kept, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return rt, count
}

// shout calls the component "nested".
func shout(t *testing.T, c *component.Component) {
	t.Helper()
	got, err := call(t, instantiate(t, c, component.InstanceConfig{}), "", "shout", value.String("hello"))
	if want := "HELLO!"; err != nil || got.Str() != want {
		t.Errorf("shout returned %q, %v; want %q", got.Str(), err, want)
	}
}

// modules returns how many core modules a component of testdata instantiates.
func modules(t *testing.T, name string) int {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	d, err := component.Describe(data)
	if err != nil {
		t.Fatal(err)
	}
	return len(d.CoreModules)
}

// A component that was compiled before is not compiled again, unless something that its
// code depends on is different.
func TestCompileCached(t *testing.T) {
	dir := t.TempDir()
	for n, tt := range []struct {
		limits rewrite.Limits
		cached bool
	}{
		{rewrite.Limits{}, false},
		{rewrite.Limits{}, true},
		{rewrite.Limits{Nesting: 100}, false},
		{rewrite.Limits{Nesting: 100}, true},
	} {
		rt, count := cached(t, dir, tt.limits)
		for _, name := range []string{"text", "nested", "resources"} {
			modules := int32(modules(t, name))
			count.compiled.Store(0)
			count.loaded.Store(0)
			c := compile(t, rt, name)
			if name == "nested" {
				shout(t, c)
			}
			compiled, loaded := count.compiled.Load(), count.loaded.Load()
			if tt.cached && (compiled != 0 || loaded != modules) || !tt.cached && compiled != modules {
				t.Errorf("%d: %s: compiled %d core modules, loaded %d of %d; want the component cached: %v",
					n, name, compiled, loaded, modules, tt.cached)
			}
		}
	}
}

// Whatever becomes of the files of the cache, a component compiles and runs.
func TestCompileDamaged(t *testing.T) {
	dir := t.TempDir()
	rt, _ := cached(t, dir, rewrite.Limits{})
	compile(t, rt, "nested")
	entries := func() (files []string) {
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range all {
			if !strings.HasPrefix(filepath.Base(file), "scratch-") {
				files = append(files, file)
			}
		}
		return files
	}
	if got, want := len(entries()), 1+modules(t, "nested"); got != want {
		t.Fatalf("the cache has %d entries, want %d: the component and its core modules", got, want)
	}
	for _, file := range entries() {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, damage := range map[string]func() error{
			"removed":   func() error { return os.Remove(file) },
			"empty":     func() error { return os.Truncate(file, 0) },
			"truncated": func() error { return os.Truncate(file, int64(len(whole)/2)) },
			"another":   func() error { return os.WriteFile(file, bytes.Repeat([]byte("graphd-1"), 20), 0o600) },
		} {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			rt, _ := cached(t, dir, rewrite.Limits{})
			shout(t, compile(t, rt, "nested"))
			if got, err := os.ReadFile(file); !bytes.Equal(got, whole) {
				t.Errorf("%s: the entry was not made anew: %v", name, err)
			}
		}
	}
}

// An entry that lists too few core modules, or a digest cut short, is not used.
func TestCompileForeignEntry(t *testing.T) {
	dir := t.TempDir()
	rt, _ := cached(t, dir, rewrite.Limits{})
	compile(t, rt, "nested")
	kept, err := cache.Open(dir, cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var key cache.Key
		if key, err = cache.ParseKey(filepath.Base(file)); err != nil {
			continue
		}
		content, _ := kept.Get(key)
		if len(content) != 1+32*modules(t, "nested") {
			continue
		}
		for _, entry := range [][]byte{nil, content[:33], content[:len(content)-1], append(content, content...), make([]byte, len(content)), append([]byte{2}, content[1:]...)} {
			kept.Put(key, entry)
			rt, count := cached(t, dir, rewrite.Limits{})
			compile(t, rt, "nested")
			if int(count.compiled.Load()) != modules(t, "nested") {
				t.Errorf("entry of %d bytes was used", len(entry))
			}
		}
		return
	}
	t.Error("the cache has no entry of the component")
}

// Processes, and goroutines in each, compile the same components on one cache.
func TestCompileShared(t *testing.T) {
	dir := t.TempDir()
	var work sync.WaitGroup
	for range 3 {
		rt, _ := cached(t, dir, rewrite.Limits{})
		for range 3 {
			work.Go(func() {
				for _, name := range []string{"text", "nested", "resources", "text"} {
					data, err := os.ReadFile("testdata/" + name + ".wasm")
					if err != nil {
						t.Error(err)
						return
					}
					c, err := rt.Compile(t.Context(), name, data)
					if err != nil {
						t.Error(err)
						return
					}
					if i, err := c.Instantiate(t.Context(), component.InstanceConfig{}); err != nil {
						t.Error(err)
					} else if err := i.Close(t.Context()); err != nil {
						t.Error(err)
					}
					if err := c.Close(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	work.Wait()
}

// Of many core modules that are wrong, compiled side by side, the first is named.
func TestCompileFirstError(t *testing.T) {
	wasm := []byte("\x00asm\x0d\x00\x01\x00")
	wrong := "\x00asm\x01\x00\x00\x00" +
		"\x01\x04\x01\x60\x00\x00" + // type
		"\x03\x02\x01\x00" + // function
		"\x0a\x06\x01\x04\x00\x41\x00\x0b" // i32.const 0, which is not dropped
	for range 20 {
		wasm = append(append(wasm, 1, byte(len(wrong))), wrong...)
	}
	rt := newRuntime(t)
	for range 20 {
		_, err := rt.Compile(t.Context(), "wrong", wasm)
		if err == nil || !strings.Contains(err.Error(), "offset 0xa:") {
			t.Fatalf("error is %v, want one at offset 0xa", err)
		}
	}
}

// numbered returns a component that instantiates a core module with a memory and a
// function that has the bytes in it.
func numbered(number ...byte) []byte {
	module := append([]byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x04\x01\x60\x00\x00"+ // type
		"\x03\x02\x01\x00"+ // function
		"\x05\x03\x01\x00\x01"), // memory
		0x0a, byte(7+len(number)), 1, byte(5+len(number)), 0, 0x41) // code: i32.const
	for _, b := range number {
		module = append(module, b|0x80)
	}
	module = append(module, 0, 0x1a, 0x0b) // drop, end
	wasm := append([]byte("\x00asm\x0d\x00\x01\x00"), 1, byte(len(module)))
	return append(append(wasm, module...), 2, 4, 1, 0, 0, 0) // one core instance
}

// A component that is closed leaves nothing behind, neither on the heap nor, where that
// can be seen, in mappings: of native code, and of memories that a guest may grow to.
func TestCloseFrees(t *testing.T) {
	rt := newRuntime(t)
	number := byte(0)
	round := func() {
		number++ // an engine that knows a module has nothing to allocate
		c, err := rt.Compile(t.Context(), "number", numbered(number, number))
		if err != nil {
			t.Fatal(err)
		}
		var instances []*component.Instance
		for range 3 { // of one code
			i, err := c.Instantiate(t.Context(), component.InstanceConfig{})
			if err != nil {
				t.Fatal(err)
			}
			instances = append(instances, i)
		}
		for _, i := range instances {
			if err := i.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	used := func() (heap uint64, mappings int) {
		for range 3 { // native code is freed by finalizers, which run after a collection
			runtime.GC()
			runtime.Gosched()
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		maps, _ := os.ReadFile("/proc/self/maps")
		return stats.HeapAlloc, bytes.Count(maps, []byte("\n"))
	}
	for range 10 { // what is made once
		round()
	}
	heapBefore, mappingsBefore := used()
	const rounds = 200
	for range rounds {
		round()
	}
	heap, mappings := used()
	if grown := int64(heap) - int64(heapBefore); grown > rounds*1<<10 {
		t.Errorf("the heap has grown by %d bytes in %d rounds", grown, rounds)
	}
	if grown := mappings - mappingsBefore; grown > rounds/4 {
		t.Errorf("there are %d mappings more after %d rounds", grown, rounds)
	}
}
