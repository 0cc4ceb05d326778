// SPDX-License-Identifier: Apache-2.0

package wazero

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// store is a core.Store: a list of instances, which wazero keeps apart anyway.
type store struct {
	runtime   wazero.Runtime
	memory    *budget
	instances []*instance
	orphans   []*linearMemory // of modules that failed to start: wazero doesn't free them
	closed    bool
}

// NewStore returns an empty store.
func (e *Engine) NewStore(limits core.Limits) core.Store {
	return &store{runtime: e.runtime, memory: newBudget(limits.MemoryBytes)}
}

// Close closes the instances, those that were linked last first.
func (s *store) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for n := len(s.instances) - 1; n >= 0; n-- {
		errs = append(errs, s.instances[n].module.Close(ctx))
	}
	for _, m := range s.orphans {
		m.Free()
	}
	s.instances, s.orphans = nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("wazero: close store: %w", err)
	}
	return nil
}

// linkContext is the context of an instantiation. It tells wazero how to resolve
// imports and to allocate memory, which would hide the caller's own context from
// host functions that the module's start function calls.
type linkContext struct {
	context.Context
	caller context.Context
}

// Instantiate links and starts a module.
func (s *store) Instantiate(ctx context.Context, m core.Module, resolve func(slot string) core.Instance) (_ core.Instance, err error) {
	if s.closed {
		return nil, errors.New("wazero: instantiate core module: the store is closed")
	}
	memories := allocator{budget: s.memory}
	defer func() {
		// The allocator has no other way to report that a memory can't be had.
		if r := recover(); r != nil {
			failure, ok := r.(*memoryError)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("wazero: instantiate core module: %w", failure)
		}
	}()
	link := experimental.WithMemoryAllocator(ctx, &memories)
	var imported []*instance
	link = experimental.WithImportResolver(link, func(slot string) api.Module {
		from, ok := resolve(slot).(*instance)
		if !ok || from == nil || from.store != s {
			return nil
		}
		imported = append(imported, from)
		return from.module
	})
	code := m.(*module).code
	mod, err := s.runtime.InstantiateModule(&linkContext{Context: link, caller: ctx}, code, instanceConfig())
	if err != nil {
		if memories.memory != nil {
			s.orphans = append(s.orphans, memories.memory) // functions of m may be in a table
		}
		return nil, fmt.Errorf("wazero: instantiate core module: %w", trap(err))
	}
	i := &instance{store: s, module: mod, memory: memories.memory}
	s.instances = append(s.instances, i)
	for _, from := range imported {
		if i.memory == nil && from.memory != nil && from.module.Memory() == mod.Memory() {
			i.memory = from.memory
		}
	}
	return i, nil
}

// instanceConfig asks for an anonymous instance of which nothing is called but
// the module's own start function. The source of randomness is for a WASI that we
// don't use; the default one takes longer to make than the rest of an instance.
func instanceConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)
}
