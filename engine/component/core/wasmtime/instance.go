// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

package wasmtime

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// exporter is an instance that others may import from.
type exporter interface {
	home() *store
	export(name string) (C.wasmtime_extern_t, bool)
}

// instance is a core.Instance of a guest's module.
type instance struct {
	store *store
	c     C.wasmtime_instance_t
}

func (i *instance) home() *store { return i.store }

func (i *instance) export(name string) (extern C.wasmtime_extern_t, ok bool) {
	if i.store.c == nil {
		return extern, false
	}
	data := (*C.char)(unsafe.Pointer(unsafe.StringData(name)))
	ok = bool(C.wasmtime_instance_export_get(i.store.c.context, &i.c, data, C.size_t(len(name)), &extern))
	return extern, ok
}

func (i *instance) Func(name string) core.Func {
	extern, ok := i.export(name)
	if !ok || extern.kind != C.WASMTIME_EXTERN_FUNC {
		return nil
	}
	return i.store.function(name, (*C.wasmtime_func_t)(unsafe.Pointer(&extern.of)))
}

func (i *instance) Memory(name string) core.Memory {
	extern, ok := i.export(name)
	if !ok || extern.kind != C.WASMTIME_EXTERN_MEMORY {
		return nil
	}
	c := C.graphd_memory_find(i.store.c, (*C.wasmtime_memory_t)(unsafe.Pointer(&extern.of)))
	if i.store.memories[c] == nil {
		i.store.memories[c] = &memory{store: i.store, c: c}
	}
	return i.store.memories[c]
}

// hostInstance is a core.Instance of host functions. Those that nobody imports are
// never made.
type hostInstance struct {
	store  *store
	module *hostModule
	made   map[string]C.wasmtime_extern_t
}

func (i *hostInstance) home() *store { return i.store }

func (i *hostInstance) export(name string) (extern C.wasmtime_extern_t, ok bool) {
	if extern, ok = i.made[name]; ok {
		return extern, true
	}
	f := i.module.funcs[name]
	if f == nil || i.store.c == nil {
		return extern, false
	}
	C.graphd_host_func_new(i.store.c, f.c, C.uint32_t(len(i.store.hosts)), &extern)
	i.store.hosts = append(i.store.hosts, f)
	i.made[name] = extern
	return extern, true
}

func (i *hostInstance) Func(name string) core.Func {
	extern, ok := i.export(name)
	if !ok {
		return nil
	}
	return i.store.function(name, (*C.wasmtime_func_t)(unsafe.Pointer(&extern.of)))
}

func (i *hostInstance) Memory(string) core.Memory { return nil }

// function is a core.Func.
type function struct {
	store *store
	name  string
	c     *C.graphd_func
	typ   core.FuncType
	slots int // that a call needs, or -1 if it has values that fit into none
}

func (s *store) function(name string, c *C.wasmtime_func_t) *function {
	typ := C.wasmtime_func_type(s.c.context, c)
	defer C.wasm_functype_delete(typ)
	f := &function{store: s, name: name, c: C.graphd_func_new(s.c, c, typ)}
	s.funcs = append(s.funcs, f.c)
	f.typ = core.FuncType{
		Params:  coreTypes(C.wasm_functype_params(typ)),
		Results: coreTypes(C.wasm_functype_results(typ)),
	}
	f.slots = max(len(f.typ.Params), len(f.typ.Results))
	if !numeric(f.typ) {
		f.slots = -1
	}
	return f
}

func (f *function) Type() core.FuncType { return f.typ }

// Call calls the function. A host function may call it again from within.
func (f *function) Call(ctx context.Context, stack []uint64) error {
	s := f.store
	switch {
	case s.c == nil:
		return fmt.Errorf("wasmtime: call function %q: %w", f.name, errClosed)
	case f.slots < 0:
		return fmt.Errorf("wasmtime: call function %q: type %v is not of numbers only", f.name, f.typ)
	case len(stack) < f.slots:
		return fmt.Errorf("wasmtime: call function %q: stack has %d slots, want %d", f.name, len(stack), f.slots)
	}
	outer := s.ctx
	s.ctx = ctx
	s.depth++
	out := C.graphd_call(f.c, (*C.uint64_t)(unsafe.SliceData(stack)))
	s.depth--
	s.ctx = outer
	if out.trap != nil || out.error != nil {
		return s.outcome(out)
	}
	return nil
}

// memory is a core.Memory. It has one for all who import it.
type memory struct {
	store *store
	c     *C.graphd_memory
}

// Bytes returns the memory, or nil when its store is closed.
func (m *memory) Bytes() []byte {
	if m.store.c == nil {
		return nil
	}
	return unsafe.Slice((*byte)(m.c.base), m.c.size)
}

// Refused reports whether the guest wanted to grow the memory beyond its limit.
func (m *memory) Refusals() uint64 {
	if m.store.c == nil {
		return 0
	}
	return uint64(m.c.refusals)
}
