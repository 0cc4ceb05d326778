// SPDX-License-Identifier: Apache-2.0

// Package rewrite instruments core WebAssembly modules, so that a guest can be
// stopped and its imports can be linked, on any engine.
//
// Compiled guest code that loops can't be interrupted: Go's scheduler doesn't
// reach it, and a garbage collection waits for it with the whole process. Nor does
// an engine bound what recursion or one bulk operation takes. So every module is
// rewritten before it is compiled:
//
//   - Fuel. Code is divided into segments; each is paid at its start, by its number
//     of instructions, from a counter that is global to the module. Branches of few
//     instructions are paid with what is around them, and only in part where they are
//     many, since most of them are skipped then. At the header
//     of a loop there always is a segment; a short innermost loop is unrolled, and
//     pays for four turns at a time. When the counter falls below zero the
//     module calls the imported function tick, which the host answers with more
//     fuel, or by trapping the guest. It also is the point at which Go can stop
//     the goroutine.
//   - Stack. Functions that can be part of a recursion subtract an estimate of
//     their native frame from a second counter while they run; when that falls
//     below zero they call the imported function overflow, which traps.
//   - Bulk operations on memory and tables are paid by their length, and long ones
//     split into chunks of 1 MiB, after their bounds have been checked, as the
//     specification wants it: a trap comes before the first write. Those of up to 32
//     bytes are done by loads and stores, which is faster than what engines do.
//   - Imports get the names that the linker gives them.
//   - Allocators get a batch function beside them, so that the host can call one many
//     times for the price of one call into the guest.
//
// What engines can't do, or can't do safely, is expressed by what they can, so that
// all engines do the same:
//
//   - A module with several memories keeps the first. Each other one becomes a
//     module of its own (Part), whose functions stand for the accesses.
//   - Exceptions become returns: who throws notes the exception in state that the
//     modules of a component share (ExceptionState) and returns, and whoever called
//     looks there. Exceptions can't be referred to (exnref).
//   - Active element segments are checked against their table by the module's start
//     function, unless they fit by declaration: an engine may ignore those that don't.
//
// The semantics of the module stay as they were, and so do its exports and the
// names of its functions; other custom sections are dropped, since what they say
// about offsets would be false. A function without a name shows up in an engine's
// backtrace two numbers later than it was, because of the two imported functions
// (and later still, if it has several memories or there are exceptions).
// The counters belong to the module instance. After a trap the stack counter is
// not restored: an instance that trapped must not be called again.
//
// Decode reads a module, which also serves to learn its imports and exports, and
// Module.Rewrite writes the instrumented one. The output depends on nothing but
// the input, the options and Version.
package rewrite

import (
	"errors"
	"fmt"
)

// Version names the instrumentation. It changes when the same input is rewritten
// differently, and so is a part of every key under which output is cached.
const Version = "9"

// Name is a two-level import name.
type Name struct {
	Module, Field string
}

// Options say how a module is rewritten. Tick and Overflow must be set.
type Options struct {
	// Rename returns the name by which the rewritten module asks for an import.
	// It is called once for each, in order. Nil keeps the names.
	Rename func(Import) (Name, error)
	// Tick is the name of an imported function (param i64) (result i64). It gets
	// the remaining fuel, which is negative, and returns the new amount, which must
	// not be.
	Tick Name
	// Overflow is the name of an imported function without parameters and results
	// that is called when the stack is exhausted, and traps.
	Overflow Name
	// Memory returns the module name by which the rewritten module asks for the
	// accessors of one of its memories, from the second on: the instance of its Part.
	// It may be nil for a module without Parts.
	Memory func(memory uint32) string
	// Exceptions, if set, says that some module of those that are linked together
	// throws exceptions: all of them must be rewritten with it. It is the module name
	// by which the rewritten modules ask for their shared state, one instance of
	// ExceptionState.
	Exceptions string
	// Uncaught is the name of an imported function without parameters and results
	// that is called where an exception leaves the modules, and traps. It must be set
	// if Exceptions is.
	Uncaught Name
	// Batch names exported allocators, functions of the type of the Canonical ABI's
	// realloc. For each the module gets a batch function too, exported under BatchName,
	// which calls it several times in a row: BatchType says how. A name that is of no
	// such function, or whose BatchName is taken, is passed over.
	Batch []string
	// TableElements is how many elements a table may grow to; one that starts with more
	// stays as it is. 0 means Limits.TableElements.
	TableElements uint32
	// Stack is how many bytes of native stack, by estimate, the calls within an
	// instance may take together. 0 means 1 MiB.
	Stack uint32
}

// Limits bound what Decode accepts. The zero value of a field means its default.
// Locals, Blocks, LoopValues, Merges and Values are there because compilers take time and
// memory that grow with the square of them, and can't be stopped within a function: at
// the default limits, wazero takes some seconds for one. The interpreters of JavaScript
// and Python have the largest functions that we know: of what is allowed, they have
// less than half of the size, blocks and loop values, 58% of the merges, a tenth of the
// locals and a twentieth of the values.
type Limits struct {
	Size          uint32 // bytes of the module; 64 MiB
	Types         uint32 // function types; 100,000
	Params        uint32 // parameters, and results, of a type; 1,000
	Imports       uint32 // 100,000
	Functions     uint32 // defined functions; 1,000,000
	FunctionSize  uint32 // bytes of a function; 1 MiB
	Locals        uint32 // locals of a function, without its parameters; 5,000
	Nesting       uint32 // nested blocks; 10,000
	Blocks        uint32 // blocks and branches of a function, each loop counted as four; 20,000
	Merges        uint32 // product of the blocks and the locals, with parameters, of a function; 1,000,000
	Values        uint32 // parameters and results of all calls, blocks and branches of a function; 200,000
	LoopValues    uint32 // assignments to locals in a function, each counted once for every loop around it; 60,000
	Loops         uint32 // of all functions; 2,000,000
	Tables        uint32 // defined tables; 100
	Memories      uint32 // memories, imported ones included; 16
	TableElements uint32 // elements that a defined table, or an element segment, may have; 1,000,000
	Globals       uint32 // defined globals; 1,000,000
	Exports       uint32 // 1,000,000
	Segments      uint32 // data segments, and element segments; 100,000
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *uint32
		value uint32
	}{
		{&l.Size, 64 << 20},
		{&l.Types, 100_000},
		{&l.Params, 1_000},
		{&l.Imports, 100_000},
		{&l.Functions, 1_000_000},
		{&l.FunctionSize, 1 << 20},
		{&l.Locals, 5_000},
		{&l.Nesting, 10_000},
		{&l.Blocks, 20_000},
		{&l.Merges, 1_000_000},
		{&l.Values, 200_000},
		{&l.LoopValues, 60_000},
		{&l.Loops, 2_000_000},
		{&l.Tables, 100},
		{&l.Memories, 16},
		{&l.TableElements, 1_000_000},
		{&l.Globals, 1_000_000},
		{&l.Exports, 1_000_000},
		{&l.Segments, 100_000},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return l
}

// checkMerges checks a function's blocks and locals, parameters included.
func (l *Limits) checkMerges(blocks, locals uint32) error {
	if n := uint64(blocks) * uint64(locals); n > uint64(l.Merges) {
		return fmt.Errorf("%d locals and %d blocks and branches, the limit of the product is %d", locals, blocks, l.Merges)
	}
	return nil
}

// checkThrowing checks what becomes of a function if exceptions become returns.
func (l *Limits) checkThrowing(b *body) error {
	blocks := b.blocks + b.checks
	if blocks > l.Blocks {
		return fmt.Errorf("%d blocks, branches and calls, the limit where exceptions are thrown is %d", blocks, l.Blocks)
	}
	return l.checkMerges(blocks, b.locals)
}

const defaultStack = 1 << 20

// Rewrite returns the instrumented module. The maximum of its tables is lowered to
// Options.TableElements; the bound of its memory is the engine's business.
func (m *Module) Rewrite(opts Options) ([]byte, error) {
	switch {
	case opts.Tick == (Name{}) || opts.Overflow == (Name{}):
		return nil, errors.New("rewrite: core module: options name no tick or overflow")
	case opts.Memory == nil && len(m.memories) > 1:
		return nil, errors.New("rewrite: core module: options name nothing for further memories")
	case opts.Exceptions == "" && m.throws:
		return nil, errors.New("rewrite: core module: options name no state of exceptions")
	case opts.Exceptions != "" && opts.Uncaught == (Name{}):
		return nil, errors.New("rewrite: core module: options name nothing for uncaught exceptions")
	}
	if opts.Stack == 0 {
		opts.Stack = defaultStack
	}
	if opts.TableElements == 0 {
		opts.TableElements = m.limits.TableElements
	}
	w := newWriter(m, opts)
	if err := w.write(); err != nil {
		return nil, fmt.Errorf("rewrite: core module: %w", err)
	}
	return w.out, nil
}
