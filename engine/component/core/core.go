// SPDX-License-Identifier: Apache-2.0

// Package core is the seam between the Component Model and an engine that runs
// core WebAssembly. It holds the contract only; the engines are its
// sub-packages, and one test suite (coretest) runs over all of them.
//
// A component's core modules are linked by name: the linker rewrites every
// import of a module so that its module name is the number of the instance slot
// that satisfies it and its field name is an export of that slot. An engine
// therefore only ever resolves (slot, export) pairs and never sees the names a
// toolchain chose.
package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ValueType is a core WebAssembly value type, by its binary encoding.
type ValueType byte

// The core value types that components use.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

// String returns the type's WebAssembly name.
func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("valtype(%#x)", byte(t))
}

// FuncType is a core function type.
type FuncType struct {
	Params  []ValueType
	Results []ValueType
}

// Equal reports whether t and u are the same type.
func (t FuncType) Equal(u FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

// String returns t as "[i32 i32] -> [i64]", the specification's notation.
func (t FuncType) String() string { return fmt.Sprintf("%v -> %v", t.Params, t.Results) }

// HostFunc is a function that the host gives to guests. Call reads its
// parameters from the front of stack and leaves its results there: stack is as
// long as the larger of the two, one slot a value, 32-bit values in the low half.
// The high half of a 32-bit value is undefined: who reads one takes the low half.
// ctx is the very value given to Func.Call (or Store.Instantiate) on the way in, so an
// embedder may pass its own context type and recover it by a type assertion.
// To trap, Call panics with an error; the engine unwinds the guest and returns
// that error, wrapped, from Func.Call.
type HostFunc struct {
	Name string // export name
	Type FuncType
	Call func(ctx context.Context, stack []uint64)
	// Yield, if not nil, reports whether the guest that calls this has computed for long:
	// then the engine lets other goroutines run before Call, where the guest would hold
	// them up.
	Yield func(ctx context.Context) bool
}

// Limits bound the instances of one store. The zero value means the engine's own
// bounds. Tables are bounded by the maximum that their modules declare, which
// package rewrite lowers.
type Limits struct {
	MemoryBytes uint64 // of all linear memories together; growing past it fails as memory.grow does (-1)
}

// Engine compiles core modules and makes stores for their instances. It is safe for
// concurrent use.
type Engine interface {
	// Name is the engine's name, as in a -engine flag.
	Name() string
	// Compile compiles a module whose imports name slots. Bytes that are no valid
	// module are an error. The bytes are not retained.
	Compile(ctx context.Context, wasm []byte) (Module, error)
	// Load returns a module that was compiled before, perhaps in another process, by
	// the SHA-256 digest of its bytes: the same as what Compile makes of them. It
	// returns nil where the engine has not kept it.
	Load(ctx context.Context, digest [32]byte) Module
	// CompileHost makes a module of host functions, compiled once and
	// instantiated, like any other, once per component instance.
	CompileHost(ctx context.Context, funcs []HostFunc) (Module, error)
	// NewStore returns an empty store. It must be closed.
	NewStore(limits Limits) Store
	// Close releases the engine and everything compiled by it. Its stores must be
	// closed before.
	Close(ctx context.Context) error
}

// Module is a compiled core module. It is immutable and safe for concurrent use.
type Module interface {
	Close(ctx context.Context) error
}

// Store is where instances live that may import from each other: those of one
// component instance. It is used by one goroutine at a time, and so is everything
// in it.
type Store interface {
	// Instantiate links m against the instances of this store that resolve returns
	// for each slot name, and runs its start function; nothing else is called. An
	// import that is missing, or has another type, is an error. A memory that starts
	// above what the limit leaves is an error.
	Instantiate(ctx context.Context, m Module, resolve func(slot string) Instance) (Instance, error)
	// Close frees the instances with their memories. It must not be called during a
	// call; after it, functions of the store fail and its memories are empty.
	Close(ctx context.Context) error
}

// Instance is an instantiated core module.
type Instance interface {
	// Func returns the exported function, or nil.
	Func(name string) Func
	// Memory returns the exported memory, or nil.
	Memory(name string) Memory
}

// Func is an exported function of an instance.
type Func interface {
	// Type returns the function's type.
	Type() FuncType
	// Call calls in place: parameters are taken from stack and results left in it,
	// as for HostFunc. A trap is an error that wraps *Trap.
	Call(ctx context.Context, stack []uint64) error
}

// Memory is an exported linear memory.
type Memory interface {
	// Bytes returns the whole memory, less than 4 GiB, as a view. It is stale after any call
	// into the guest, which may have grown the memory; take it anew.
	Bytes() []byte
	// Refusals returns how often the guest was refused memory beyond its limit.
	Refusals() uint64
}

// Trap is the error of a guest that trapped. Reason is the engine's word for it,
// in the specification's spelling where it has one ("unreachable", "integer
// divide by zero", "out of bounds memory access" ...), or the text of the error
// that a host function panicked with, which Unwrap returns.
type Trap struct {
	Reason    string
	Backtrace []string // innermost first, guest function names where known; an engine may leave out the outer ones
	Cause     error    // the host function's error, or nil
}

func (t *Trap) Error() string { return fmt.Sprintf("trap: %s", t.Reason) }

// Unwrap returns the error of the host function that trapped, or nil.
func (t *Trap) Unwrap() error { return t.Cause }

// ErrExhausted is the cause of a trap by which a limit of the rewriter stopped a guest.
var ErrExhausted = errors.New("call stack exhausted")
