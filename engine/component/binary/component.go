// SPDX-License-Identifier: Apache-2.0

// Package binary decodes component binaries into a tree of definitions that
// follows the file: one Def per definition, in file order, index spaces not yet
// resolved. Decode checks the grammar (WebAssembly/component-model,
// design/mvp/Binary.md) and its own limits; that indexes exist and types agree is
// the business of package link.
//
// Every definition carries its byte offset, so that later errors can name it.
package binary

import (
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// Component is a decoded component, or a nested one.
type Component struct {
	Offset int // of the preamble
	Defs   []Def
	Name   string // from the component-name custom section, if any
}

// Def is one definition. It is one of the Def* types of this package.
type Def interface{ def() }

type (
	// CoreModule is an embedded core module. Bytes alias the input.
	CoreModule struct {
		Offset int
		Bytes  []byte
	}
	// CoreInstance makes a core instance: of module Module with Args where
	// Instantiate is set, else of the inline Exports.
	CoreInstance struct {
		Offset      int
		Instantiate bool
		Module      uint32
		Args        []CoreArg
		Exports     []CoreExport
	}
	// CoreTypeDef defines a core type: a function type where Func is set, a module
	// type where Module is set, else a function type that may have subtypes, of
	// which nothing here can make use.
	CoreTypeDef struct {
		Offset int
		Func   *core.FuncType
		Module *CoreModuleType
	}
	// Nested is a nested component.
	Nested struct {
		Offset    int
		Component *Component
	}
	// Instance makes a component instance, as CoreInstance does a core one.
	Instance struct {
		Offset      int
		Instantiate bool
		Component   uint32
		Args        []Arg
		Exports     []Export // inline; no Type ascription
	}
	// Alias brings a definition of elsewhere into an index space.
	Alias struct {
		Offset int
		Sort   Sort
		Target AliasTarget
		// Instance and Name for AliasExport and AliasCoreExport; Outer (how many
		// components out) and Index for AliasOuter.
		Instance uint32
		Name     string
		Outer    uint32
		Index    uint32
	}
	// TypeDef defines a component-level type.
	TypeDef struct {
		Offset int
		Type   DefType
	}
	// Canon is a canonical built-in definition.
	Canon struct {
		Offset  int
		Op      CanonOp
		Func    uint32 // lift: core function; lower: component function
		Type    uint32 // lift: function type; resource.*, stream.*, future.*: that type; thread.new-indirect: core type
		Options CanonOptions
		Result  *ValType       // task.return: what is returned, nil for nothing
		Context core.ValueType // context.get, context.set: the type of the slot
		Index   uint32         // context.*: slot; waitable-set.wait, poll: memory; thread.new-indirect: table
		Async   bool           // of the cancellations: they don't wait
	}
	// Start calls a component function once all before it is defined.
	Start struct {
		Offset  int
		Func    uint32
		Args    []uint32
		Results uint32
	}
	// Import is an import.
	Import struct {
		Offset int
		ExternName
		Type ExternType
	}
	// Export is an export, of a component or of an inline instance.
	Export struct {
		Offset int
		ExternName
		Sort  Sort
		Index uint32
		Type  *ExternType // nil where none is ascribed
	}
)

func (*CoreModule) def()   {}
func (*CoreInstance) def() {}
func (*CoreTypeDef) def()  {}
func (*Nested) def()       {}
func (*Instance) def()     {}
func (*Alias) def()        {}
func (*TypeDef) def()      {}
func (*Canon) def()        {}
func (*Start) def()        {}
func (*Import) def()       {}
func (*Export) def()       {}

// Offset returns the byte offset of a definition.
func Offset(d Def) int {
	switch d := d.(type) {
	case *CoreModule:
		return d.Offset
	case *CoreInstance:
		return d.Offset
	case *CoreTypeDef:
		return d.Offset
	case *Nested:
		return d.Offset
	case *Instance:
		return d.Offset
	case *Alias:
		return d.Offset
	case *TypeDef:
		return d.Offset
	case *Canon:
		return d.Offset
	case *Start:
		return d.Offset
	case *Import:
		return d.Offset
	case *Export:
		return d.Offset
	case *ExportDecl:
		return d.Offset
	}
	return 0
}

// Sort is an index space.
type Sort uint8

// String returns what a definition of the sort is called.
func (s Sort) String() string {
	if int(s) < len(sortNames) && sortNames[s] != "" {
		return sortNames[s]
	}
	return "invalid sort"
}

var sortNames = [...]string{
	Func: "function", Value: "value", Type: "type", ComponentSort: "component", InstanceSort: "instance",
	CoreFunc: "core function", CoreTable: "core table", CoreMemory: "core memory", CoreGlobal: "core global",
	CoreTag: "core tag", CoreType: "core type", CoreModuleSort: "core module", CoreInstanceSort: "core instance",
}

// The index spaces, component-level and core.
const (
	Func Sort = iota + 1
	Value
	Type
	ComponentSort
	InstanceSort
	CoreFunc
	CoreTable
	CoreMemory
	CoreGlobal
	CoreTag
	CoreType
	CoreModuleSort
	CoreInstanceSort
)

// CoreArg gives core instance Instance under Name to an instantiation.
type CoreArg struct {
	Name     string
	Instance uint32
}

// CoreExport is an inline export of a core instance: Sort is CoreFunc to CoreTag.
type CoreExport struct {
	Name  string
	Sort  Sort
	Index uint32
}

// Arg gives a definition under Name to a component's instantiation.
type Arg struct {
	Name  string
	Sort  Sort
	Index uint32
}

// AliasTarget is where an alias points.
type AliasTarget uint8

// The targets of aliases.
const (
	AliasExport AliasTarget = iota
	AliasCoreExport
	AliasOuter
)

// ExternName is the name of an import or export.
type ExternName struct {
	// Name is the name that definitions go by. Where the file splits the version of
	// an interface name in two, it is put together.
	Name string
	// Implements is the interface that an instance of a plain name implements, with
	// its whole version; empty where the file doesn't say.
	Implements string
	// Suffix is the part of the version that the file gives as a suffix, where it
	// does: of Implements if that is given, else of Name.
	HasSuffix bool
	Suffix    string
}

// Encoding is a canonical string encoding.
type Encoding uint8

// The string encodings.
const (
	UTF8 Encoding = iota
	UTF16
	Latin1UTF16
)

// CanonOptions are the options of a lift or lower. Memory, Realloc and PostReturn
// are indexes where the Has field is set.
type CanonOptions struct {
	Encoding      Encoding
	HasMemory     bool
	Memory        uint32
	HasRealloc    bool
	Realloc       uint32
	HasPostReturn bool
	PostReturn    uint32
	Async         bool
	HasCallback   bool
	Callback      uint32
}

// ValType is a value type as written: a primitive, or an index.
type ValType struct {
	Prim  types.Kind // a primitive kind, or 0
	Index uint32     // where Prim is 0
}

// NamedVal is a named value type; Type is nil for a case without payload.
type NamedVal struct {
	Name string
	Type *ValType
}

// DefType is what a TypeDef defines: one of *ValueType, *FuncType,
// *ComponentType, *InstanceType, *ResourceType.
type DefType interface{ defType() }

type (
	// ValueType is a defined value type; fields as in types.Type.
	ValueType struct {
		Kind     types.Kind // may be primitive
		Fields   []NamedVal // record, tuple and map (no names), variant, enum, flags
		Elem     *ValType   // list, option, result's ok, stream, future
		Err      *ValType   // result's error
		Resource uint32     // own, borrow
		Len      uint32     // list of fixed length
	}
	// FuncType is a component function type; Result is nil where there is none.
	FuncType struct {
		Params []NamedVal
		Result *ValType
		Async  bool
	}
	// ComponentType is the type of a component: Decls are *CoreTypeDef, *TypeDef,
	// *Alias, *Import and *ExportDecl.
	ComponentType struct{ Decls []Def }
	// InstanceType is the type of an instance: as ComponentType, without imports.
	InstanceType struct{ Decls []Def }
	// ResourceType defines a resource with its destructor (a core function).
	ResourceType struct {
		HasDtor bool
		Dtor    uint32
	}
)

func (*ValueType) defType()     {}
func (*FuncType) defType()      {}
func (*ComponentType) defType() {}
func (*InstanceType) defType()  {}
func (*ResourceType) defType()  {}

// ExportDecl declares an export in a component or instance type.
type ExportDecl struct {
	Offset int
	ExternName
	Type ExternType
}

func (*ExportDecl) def() {}

// ExternType is the declared type of an import or export.
type ExternType struct {
	Sort Sort // CoreModuleSort, Func, Type, ComponentSort or InstanceSort
	// Index is the type's index, for every sort but Type.
	Index uint32
	// For Sort Type: a fresh resource (SubResource), or equal to type Index.
	SubResource bool
}

// CoreModuleType is the type of a core module.
type CoreModuleType struct {
	Imports []CoreModuleImport
	Exports []CoreModuleExport
}

// CoreModuleImport is an import in a core module type.
type CoreModuleImport struct {
	Module, Name string
	Type         CoreExternType
}

// CoreModuleExport is an export in a core module type.
type CoreModuleExport struct {
	Name string
	Type CoreExternType
}

// CoreExternType is the type of a core import or export.
type CoreExternType struct {
	Sort    Sort           // CoreFunc to CoreTag
	Func    *core.FuncType // CoreFunc, CoreTag
	Value   core.ValueType // CoreGlobal: value type; CoreTable: element type
	Mutable bool           // CoreGlobal
	Min     uint64         // CoreTable, CoreMemory
	Max     uint64         // where HasMax
	HasMax  bool
}
