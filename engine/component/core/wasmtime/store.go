// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

package wasmtime

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/cgo"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
)

var (
	errClosed = errors.New("the store is closed")
	errBusy   = errors.New("the store is in a call")
)

// store is a core.Store.
type store struct {
	engine   *Engine
	c        *C.graphd_store // nil when closed
	handle   cgo.Handle      // what C has of this object
	funcs    []*C.graphd_func
	memories map[*C.graphd_memory]*memory
	hosts    []*hostFunc // by the index that C has of them

	// The state of the call that is under way.
	ctx     context.Context // as given to it
	depth   int             // calls within calls
	failure *core.Trap      // of the host function that ended it, until it has returned
}

// NewStore returns an empty store. In the store of a closed engine nothing can be
// instantiated.
func (e *Engine) NewStore(limits core.Limits) core.Store {
	s := &store{engine: e, memories: map[*C.graphd_memory]*memory{}}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.c == nil {
		return s
	}
	memory := limits.MemoryBytes
	if memory == 0 {
		memory = math.MaxUint64
	}
	s.handle = cgo.NewHandle(s)
	s.c = C.graphd_store_new(e.c, C.uintptr_t(s.handle), C.size_t(memory))
	e.owned.Lock()
	defer e.owned.Unlock()
	e.stores[s] = struct{}{}
	return s
}

// Close frees everything in the store.
func (s *store) Close(context.Context) error {
	if s.depth > 0 {
		return fmt.Errorf("wasmtime: close store: %w", errBusy)
	}
	if s.c == nil {
		return nil
	}
	for _, f := range s.funcs {
		C.graphd_func_delete(f)
	}
	C.graphd_store_delete(s.c)
	s.c, s.funcs, s.hosts, s.memories = nil, nil, nil, nil
	s.handle.Delete()
	s.engine.owned.Lock()
	defer s.engine.owned.Unlock()
	delete(s.engine.stores, s)
	return nil
}

// Instantiate links and starts a module. What a module that fails has put into
// tables of others stays there, and works.
func (s *store) Instantiate(ctx context.Context, m core.Module, resolve func(slot string) core.Instance) (core.Instance, error) {
	i, err := s.instantiate(ctx, m, resolve)
	if err != nil {
		return nil, fmt.Errorf("wasmtime: instantiate core module: %w", err)
	}
	return i, nil
}

func (s *store) instantiate(ctx context.Context, m core.Module, resolve func(slot string) core.Instance) (core.Instance, error) {
	if s.c == nil {
		return nil, errClosed
	}
	if host, ok := m.(*hostModule); ok {
		return &hostInstance{store: s, module: host, made: map[string]C.wasmtime_extern_t{}}, nil
	}
	code := m.(*module)
	if code.c == nil {
		return nil, errors.New("the module is closed")
	}
	imports := make([]C.wasmtime_extern_t, len(code.imports))
	for n, i := range code.imports {
		from, ok := resolve(i.slot).(exporter)
		if !ok {
			return nil, fmt.Errorf("import %q of %q: there is no such instance", i.field, i.slot)
		}
		if from.home() != s {
			return nil, fmt.Errorf("import %q of %q: the instance is in another store", i.field, i.slot)
		}
		if imports[n], ok = from.export(i.field); !ok {
			return nil, fmt.Errorf("import %q of %q: there is no such export", i.field, i.slot)
		}
	}
	i := &instance{store: s}
	defer s.enter(ctx)()
	out := C.graphd_instantiate(s.c, code.c, unsafe.SliceData(imports), C.size_t(len(imports)), &i.c)
	if err := s.outcome(out); err != nil {
		return nil, err
	}
	return i, nil
}

// enter begins a call, and returns what ends it.
func (s *store) enter(ctx context.Context) (leave func()) {
	outer := s.ctx
	s.ctx = ctx
	s.depth++
	return func() {
		s.ctx = outer
		s.depth--
	}
}
