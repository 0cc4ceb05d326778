// SPDX-License-Identifier: Apache-2.0

// Package link turns a decoded component into a Plan: a flat list of steps that
// instantiates it. Everything in the Component Model that is static happens here,
// once per component and not once per instance: index spaces, aliases, nested
// components and their instantiation, the substitution of imported types, the
// compilation of every function's signature. What is left for run time is to
// instantiate core modules in order and to resolve a few names in them.
//
// It works as an interpreter of definitions does, on abstract values: the
// instantiation of a nested component evaluates its definitions in a new scope,
// with its imports bound to the arguments. A component function is then either an
// import of the outermost component or a lifted core function, a core function is
// an export of a numbered slot, and a resource type is a number.
//
// Slot 0 holds the component's trampolines: the host functions that lowered
// functions and resource built-ins become. Every other slot is one instantiation
// of a core module: of the component or, where a module of it has several memories or
// throws exceptions, one of those by which package rewrite expresses that.
package link

import (
	"fmt"
	"strconv"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// Plan is how to instantiate a component. It is immutable.
type Plan struct {
	Type       *types.Component // the component's imports and exports
	Steps      []Step
	Unused     []Unused // core modules that no step instantiates
	Slots      int      // core instance slots, slot 0 included
	Exceptions int      // the slot of rewrite.ExceptionState; 0 where nothing throws
	// TableElements is how many elements each table may grow to, so that all together
	// are bounded; 0 where there is one at most, and Limits.TableElements holds.
	TableElements uint32
	Instances     int // component instances: each has a handle table of its own
	Heaps         []Heap
	Resources     []Resource
	Trampolines   []Trampoline
	Lifts         []Lift
	Exports       []Export
}

// Step is one step of an instantiation: one of Instantiate, BindHeap,
// BindResource, BindLift, Start.
type Step interface{ step() }

// Instantiate instantiates a core module into a slot: Module or, where From is set,
// one that the host gives and that is of type Type.
type Instantiate struct {
	Slot     int
	From     *Import
	Type     *binary.CoreModuleType
	Module   *rewrite.Module // aliases the component's bytes
	Offset   int             // of the module in the component
	Size     int             // of the module, in bytes
	Added    bool            // the component has no such module: it serves others
	Memories []int           // the slots of the module's parts, in order
	// Reallocs are exports that heaps allocate with: the first few of them.
	Reallocs []string
	args     map[string]coreInstance
}

// Unused is a core module that is never instantiated. The code in it has not been
// checked.
type Unused struct {
	Module *rewrite.Module
	Offset int
}

// BindHeap resolves the memory and realloc of a heap: their slots are filled now.
type BindHeap int

// BindResource makes a resource type that the component defines.
type BindResource int

// BindLift resolves the core functions of a lift.
type BindLift int

// Start calls a component's start function, which has neither parameters nor result.
type Start Ref

func (*Instantiate) step() {}
func (BindHeap) step()     {}
func (BindResource) step() {}
func (BindLift) step()     {}
func (Start) step()        {}

// Ref is an export of a core instance slot.
type Ref struct {
	Slot int
	Name string
}

// SlotName is the module name by which a rewritten core module imports from slot.
func SlotName(slot int) string { return strconv.Itoa(slot) }

// Resolve says which export of which slot satisfies an import of the module.
func (s *Instantiate) Resolve(module, name string) (Ref, error) {
	inst, ok := s.args[module]
	if !ok {
		return Ref{}, fmt.Errorf("import %q %q: no instance of that name is given", module, name)
	}
	item, ok := inst.item(name)
	if !ok {
		return Ref{}, fmt.Errorf("import %q %q: the instance given has no such export", module, name)
	}
	return item, nil
}

// Heap is a memory with its allocator, as canonical options name them.
type Heap struct {
	Memory   *Ref // nil where the options have none
	Realloc  *Ref
	Encoding abi.Encoding
	Instance int // whose functions they are
}

// Resource is a resource type, by its number.
type Resource struct {
	Type *types.Resource
	// Import names the import that provides it; nil where the component defines it.
	Import   *Import
	Instance int  // the component instance that defines it
	Dtor     *Ref // nil where it has none
}

// Import is a function, resource or core module of the outermost component's imports:
// of the instance Interface, or imported by itself where Interface is empty. An
// instance within another one goes by both names, joined by "#".
type Import struct {
	Interface string
	Name      string
}

func (i Import) String() string {
	if i.Interface == "" {
		return i.Name
	}
	return i.Interface + "#" + i.Name
}

// Trampoline is a host function in slot 0.
type Trampoline struct {
	Name     string // export name
	Type     core.FuncType
	Op       binary.CanonOp
	Instance int // the component instance that calls it
	// Lower, TaskReturn
	Signature *abi.Signature // TaskReturn: of a function with what is returned as its parameter
	Heap      int
	// Lower
	Callee Callee
	Async  bool // the caller goes on when the callee waits
	// ResourceNew, ResourceDrop, ResourceRep
	Resource int
	// ContextGet, ContextSet
	Slot int
}

// Callee is what a component function is: an import, or else lift number Lift.
type Callee struct {
	Import *Import
	Lift   int
}

// Lift is a core function made a component function.
type Lift struct {
	Name       string // as first exported, for messages
	Core       Ref
	PostReturn *Ref
	Signature  *abi.Signature
	Heap       int
	Instance   int
	Async      bool // the result comes through task.return
	Callback   bool // an async function that tells, by what it returns, whether it waits
}

// Export is an exported function of the outermost component: of the instance
// Interface, or exported by itself where Interface is empty. Interface is as in
// Import.
type Export struct {
	Interface string
	Name      string
	Type      *types.Func
	Callee    Callee
}
