// SPDX-License-Identifier: Apache-2.0

package wazero

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// errClosed is the error of a call into a closed store.
var errClosed = errors.New("wazero: call function: the store is closed")

// instance is a core.Instance.
type instance struct {
	store  *store
	module api.Module
	memory *linearMemory // defined or imported, or nil
}

func (i *instance) Func(name string) core.Func {
	f := i.module.ExportedFunction(name)
	if f == nil {
		return nil
	}
	return &function{code: f, instance: i, name: name}
}

func (i *instance) Memory(name string) core.Memory {
	if i.module.ExportedMemory(name) == nil {
		return nil
	}
	return i.memory
}

// function is a core.Func.
type function struct {
	code     api.Function
	instance *instance
	name     string
	busy     bool // in a call; code has one stack
}

func (f *function) Type() core.FuncType {
	def := f.code.Definition()
	return core.FuncType{Params: coreTypes(def.ParamTypes()), Results: coreTypes(def.ResultTypes())}
}

func coreTypes(list []api.ValueType) []core.ValueType {
	types := make([]core.ValueType, len(list))
	for i, t := range list {
		types[i] = core.ValueType(t)
	}
	return types
}

// Call calls the function. A host function may call it again from within.
func (f *function) Call(ctx context.Context, stack []uint64) error {
	if f.instance.store.closed {
		return errClosed
	}
	if f.busy {
		again := f.instance.module.ExportedFunction(f.name)
		return trap(again.CallWithStack(ctx, stack))
	}
	f.busy = true
	err := f.code.CallWithStack(ctx, stack)
	f.busy = false
	if err != nil {
		return trap(err)
	}
	return nil
}
