// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

package wasmtime

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	// Imported for the C library in it: its linker flags reach whatever is linked
	// with it. None of its Go code is used.
	_ "github.com/bytecodealliance/wasmtime-go/v39"

	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
)

// stackSize is how much stack a guest has, in bytes. The rewriter stops most guests
// before; it counts frames as another compiler makes them.
const stackSize = 1 << 20

var errEngineClosed = errors.New("the engine is closed")

// Config says how to run. The zero value is the default.
type Config struct {
	// Cache keeps native code across processes; nil means that nothing is kept. The
	// library believes what it finds there, but for what was made by another version of
	// it, with another configuration or for another processor.
	Cache *cache.Cache
}

// Engine is a core.Engine on one Wasmtime engine.
type Engine struct {
	cache   *cache.Cache
	seed    string       // of the keys in cache
	mu      sync.RWMutex // held for reading while c is used
	c       *C.wasm_engine_t
	owned   sync.Mutex // guards the following
	modules map[core.Module]struct{}
	stores  map[*store]struct{}
}

var _ core.Engine = (*Engine)(nil)

// New returns an engine. Its Close must be called. It fails where threads have too
// little stack for a guest to reach its limit before the end.
func New(config Config) (*Engine, error) {
	if size := C.graphd_thread_stack(); size != 0 && size < 2*stackSize {
		return nil, fmt.Errorf("wasmtime: new engine: threads have %d KiB of stack, want %d at least: raise it with ulimit -s", size>>10, 2*stackSize>>10)
	}
	c := C.graphd_engine_new(stackSize)
	if c == nil {
		return nil, errors.New("wasmtime: new engine: the library refuses the configuration")
	}
	e := &Engine{c: c, cache: config.Cache, modules: map[core.Module]struct{}{}, stores: map[*store]struct{}{}}
	if e.cache != nil {
		e.seed = fmt.Sprintln("wasmtime", cache.Build(libraryPath), runtime.GOOS, runtime.GOARCH)
	}
	return e, nil
}

// libraryPath is the path of the Go module that the library comes with.
const libraryPath = "github.com/bytecodealliance/wasmtime-go/v39"

// Name returns "wasmtime".
func (e *Engine) Name() string { return "wasmtime" }

// Close releases the engine with everything compiled and instantiated by it.
func (e *Engine) Close(ctx context.Context) error {
	e.owned.Lock()
	stores, modules := slices.Collect(maps.Keys(e.stores)), slices.Collect(maps.Keys(e.modules))
	e.owned.Unlock()
	var errs []error
	for _, s := range stores {
		errs = append(errs, s.Close(ctx))
	}
	for _, m := range modules {
		errs = append(errs, m.Close(ctx))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c != nil {
		C.wasm_engine_delete(e.c)
		e.c = nil
	}
	return errors.Join(errs...)
}

// module is a compiled core module.
type module struct {
	engine  *Engine
	c       *C.wasmtime_module_t // nil when closed
	imports []name
}

// name is what an import is called.
type name struct{ slot, field string }

// Compile compiles a module, or takes its code out of the cache. It doesn't watch ctx
// while it does.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (core.Module, error) {
	m, err := e.compile(ctx, wasm)
	if err != nil {
		return nil, fmt.Errorf("wasmtime: compile core module: %w", err)
	}
	return m, nil
}

func (e *Engine) compile(ctx context.Context, wasm []byte) (*module, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if len(wasm) < 4 || string(wasm[:4]) != "\x00asm" {
		return nil, errors.New("the bytes are no WebAssembly module") // the library would take text
	}
	var key cache.Key
	if e.cache != nil {
		key = e.key(sha256.Sum256(wasm))
		if m := e.load(key); m != nil {
			return m, nil
		}
	}
	m, err := e.module(func(c *C.wasm_engine_t, m **C.wasmtime_module_t) *C.wasmtime_error_t {
		return C.wasmtime_module_new(c, (*C.uint8_t)(unsafe.SliceData(wasm)), C.size_t(len(wasm)), m)
	})
	if err == nil && e.cache != nil && !e.cache.ReadOnly() {
		e.keep(key, m)
	}
	return m, err
}

// module makes a module by a function of the library.
func (e *Engine) module(by func(*C.wasm_engine_t, **C.wasmtime_module_t) *C.wasmtime_error_t) (*module, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.c == nil {
		return nil, errEngineClosed
	}
	var code *C.wasmtime_module_t // by itself: C gets no pointer into what has pointers of Go's
	if err := by(e.c, &code); err != nil {
		return nil, takeError(err)
	}
	m := &module{engine: e, c: code}
	var imports C.wasm_importtype_vec_t
	C.wasmtime_module_imports(m.c, &imports)
	defer C.wasm_importtype_vec_delete(&imports)
	for _, i := range unsafe.Slice(imports.data, imports.size) {
		m.imports = append(m.imports, name{text(C.wasm_importtype_module(i)), text(C.wasm_importtype_name(i))})
	}
	e.owned.Lock()
	defer e.owned.Unlock()
	e.modules[m] = struct{}{}
	return m, nil
}

// key names the code of the module with that digest.
func (e *Engine) key(digest [32]byte) cache.Key {
	return sha256.Sum256(fmt.Appendf(nil, "native code %s %x", e.seed, digest))
}

// Load returns a module of which the cache has the code.
func (e *Engine) Load(_ context.Context, digest [32]byte) core.Module {
	if e.cache != nil {
		if m := e.load(e.key(digest)); m != nil {
			return m
		}
	}
	return nil
}

// load returns a module of which the cache has the code, or nil.
func (e *Engine) load(key cache.Key) *module {
	code, ok := e.cache.Get(key)
	if !ok {
		return nil
	}
	m, err := e.module(func(c *C.wasm_engine_t, m **C.wasmtime_module_t) *C.wasmtime_error_t {
		return C.wasmtime_module_deserialize(c, (*C.uint8_t)(unsafe.SliceData(code)), C.size_t(len(code)), m)
	})
	if err != nil {
		if !errors.Is(err, errEngineClosed) { // made for another processor
			e.cache.Remove(key)
		}
		return nil
	}
	return m
}

// keep adds the code of a module to the cache.
func (e *Engine) keep(key cache.Key, m *module) {
	var code C.wasm_byte_vec_t
	if err := C.wasmtime_module_serialize(m.c, &code); err != nil {
		e.cache.Warn(fmt.Errorf("wasmtime: %w", takeError(err)))
		return
	}
	defer C.wasm_byte_vec_delete(&code)
	e.cache.Put(key, unsafe.Slice((*byte)(unsafe.Pointer(code.data)), code.size))
}

// Close releases the module. Instances keep what they need.
func (m *module) Close(context.Context) error {
	m.engine.owned.Lock()
	defer m.engine.owned.Unlock()
	if m.c != nil {
		C.wasmtime_module_delete(m.c)
		m.c = nil
		delete(m.engine.modules, m)
	}
	return nil
}

// hostModule is a module of host functions.
type hostModule struct {
	engine *Engine
	funcs  map[string]*hostFunc // nil when closed
}

// hostFunc is a host function, whichever store it is called from.
type hostFunc struct {
	core.HostFunc
	c *C.wasm_functype_t
}

// CompileHost makes a module of host functions. Their parameters and results must
// be numbers.
func (e *Engine) CompileHost(_ context.Context, funcs []core.HostFunc) (core.Module, error) {
	m := &hostModule{engine: e, funcs: make(map[string]*hostFunc, len(funcs))}
	for _, f := range funcs {
		if m.funcs[f.Name] != nil {
			return nil, fmt.Errorf("wasmtime: compile host module: function %q is given twice", f.Name)
		}
		if !numeric(f.Type) {
			return nil, fmt.Errorf("wasmtime: compile host module: function %q has type %v, which is not of numbers only", f.Name, f.Type)
		}
		m.funcs[f.Name] = &hostFunc{HostFunc: f}
	}
	e.owned.Lock()
	defer e.owned.Unlock()
	for _, f := range m.funcs {
		f.c = newFuncType(f.Type)
	}
	e.modules[m] = struct{}{}
	return m, nil
}

// Close releases the module. It must not be called while one is instantiated.
func (m *hostModule) Close(context.Context) error {
	m.engine.owned.Lock()
	defer m.engine.owned.Unlock()
	for _, f := range m.funcs {
		C.wasm_functype_delete(f.c)
	}
	m.funcs = nil
	delete(m.engine.modules, m)
	return nil
}
