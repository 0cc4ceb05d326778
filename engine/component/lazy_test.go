// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// slow is an engine that compiles when it is told to.
type slow struct {
	core.Engine
	begin chan struct{}
}

func (s slow) Compile(ctx context.Context, wasm []byte) (core.Module, error) {
	select {
	case <-s.begin:
		return s.Engine.Compile(ctx, wasm)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lazily compiles the component "nested" on a slow engine, with bytes that are
// overwritten afterwards.
func lazily(t *testing.T, e slow) *component.Component {
	t.Helper()
	rt, err := component.New(component.Config{Engine: e, Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/nested.wasm")
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.Compile(t.Context(), "nested", data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	return c
}

func TestLazy(t *testing.T) {
	engine := coretest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		e := slow{engine, make(chan struct{})}
		c := lazily(t, e)
		if got := c.Type().Exports[0].Name; got != "shout" {
			t.Errorf("before there is code, the component exports %q, want shout", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Instantiate(ctx, component.InstanceConfig{}); !errors.Is(err, context.Canceled) {
			t.Errorf("instantiate, cancelled: %v", err)
		}
		waited := make(chan error)
		go func() { waited <- c.Wait(t.Context()) }()
		instantiated := make(chan *component.Instance)
		go func() {
			i, err := c.Instantiate(t.Context(), component.InstanceConfig{})
			if err != nil {
				t.Error(err)
			}
			instantiated <- i
		}()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("Wait returned before there was code")
		case <-instantiated:
			t.Error("instantiated before there was code")
		default:
		}
		close(e.begin)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		i := <-instantiated
		if got, err := call(t, i, "", "shout", value.String("hello")); err != nil || got.Str() != "HELLO!" {
			t.Errorf("shout returned %q, %v", got.Str(), err)
		}
		if err := errors.Join(i.Close(t.Context()), c.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// A component that is closed before it is compiled is not compiled.
func TestLazyClose(t *testing.T) {
	engine := coretest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		c := lazily(t, slow{engine, make(chan struct{})})
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Wait(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("wait: %v, want it cancelled", err)
		}
	})
}

// A core module that can't be compiled is found when its component is instantiated, or
// waited for.
func TestLazyFault(t *testing.T) {
	rt, err := component.New(component.Config{Engine: coretest.Open(t), Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	module := "\x00asm\x01\x00\x00\x00" +
		"\x01\x04\x01\x60\x00\x00" + // type
		"\x03\x02\x01\x00" + // function
		"\x0a\x06\x01\x04\x00\x41\x00\x0b" + // i32.const 0, which is not dropped
		"\x00\x0b\x04name\x00\x04\x03bad" // called "bad"
	wasm := append([]byte("\x00asm\x0d\x00\x01\x00\x01"), byte(len(module)))
	wasm = append(append(wasm, module...), 2, 4, 1, 0, 0, 0) // one core instance
	for name, wasm := range map[string][]byte{"instantiated": wasm, "unused": wasm[:len(wasm)-6]} {
		c, err := rt.Compile(t.Context(), name, wasm)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Instantiate(t.Context(), component.InstanceConfig{})
		for _, err := range []error{err, c.Wait(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), "compile "+name+": core module bad at offset 0xa: ") {
				t.Errorf("error is %v, want one of %s that names its core module", err, name)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := rt.Compile(t.Context(), "no component", wasm[:20]); err == nil {
		t.Error("compiled what can't be decoded")
	}
}

// With a cache, the code is loaded in the background, and made again where it is gone,
// although the plan is there already.
func TestLazyCached(t *testing.T) {
	dir := t.TempDir()
	for _, state := range []string{"empty", "whole", "without code"} {
		kept, err := cache.Open(dir, cache.Config{})
		if err != nil {
			t.Fatal(err)
		}
		engine, err := wazero.New(t.Context(), wazero.Config{Cache: kept})
		if err != nil {
			t.Fatal(err)
		}
		count := &counter{Engine: engine}
		rt, err := component.New(component.Config{Engine: count, Cache: kept, Lazy: true})
		if err != nil {
			t.Fatal(err)
		}
		if state == "without code" {
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files { // the component's own entry is the one with digests alone
				if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Size() > 1024 {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		c := compile(t, rt, "nested")
		t.Cleanup(func() {
			if err := errors.Join(c.Close(context.Background()), engine.Close(context.Background())); err != nil {
				t.Error(err)
			}
		})
		shout(t, c)
		all := int32(modules(t, "nested"))
		compiled, loaded := count.compiled.Load(), count.loaded.Load()
		if state == "whole" && (compiled != 0 || loaded != all) || state != "whole" && (compiled != all || loaded != 0) {
			t.Errorf("%s: compiled %d core modules, loaded %d of %d", state, compiled, loaded, all)
		}
	}
}
