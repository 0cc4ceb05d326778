// SPDX-License-Identifier: Apache-2.0

// Package types is the vocabulary of the Component Model's type system: value
// types, function types, resources, and the types of instances and components
// (worlds). It is plain data without behaviour that could fail; values of these
// types are built once, by the WIT parser or by the decoder, and never change
// afterwards, so they may be shared freely between goroutines.
//
// Identity matters in two places. A resource type is its *Resource pointer: two
// resources are the same exactly if the pointers are equal. A named type is its
// *Type pointer: an interface that uses a type of another one exports the very
// same *Type, which is how an encoder knows that it must alias rather than
// repeat it.
//
// The model is that of WebAssembly/component-model, design/mvp/Explainer.md. The
// asynchronous types are there to be named, in an interface that a component
// declares; nothing here runs them.
package types

// Kind is the shape of a value type.
type Kind uint8

// The kinds of value types. Bool to String are primitive.
const (
	Bool Kind = iota + 1
	S8
	U8
	S16
	U16
	S32
	U32
	S64
	U64
	F32
	F64
	Char
	String
	Record
	Tuple
	Variant
	Enum
	Option
	Result
	Flags
	List
	Own
	Borrow
	Map
	FixedList
	Stream
	Future
	ErrorContext
)

// Primitive reports whether k has no parts.
func (k Kind) Primitive() bool { return k >= Bool && k <= String || k == ErrorContext }

// String returns the kind's WIT spelling.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "invalid"
}

var kindNames = [...]string{
	Bool: "bool", S8: "s8", U8: "u8", S16: "s16", U16: "u16", S32: "s32", U32: "u32", S64: "s64", U64: "u64",
	F32: "f32", F64: "f64", Char: "char", String: "string", Record: "record", Tuple: "tuple", Variant: "variant",
	Enum: "enum", Option: "option", Result: "result", Flags: "flags", List: "list", Own: "own", Borrow: "borrow",
	Map: "map", FixedList: "fixed-length list", Stream: "stream", Future: "future", ErrorContext: "error-context",
}

// Type is a value type. Which fields have meaning depends on Kind:
//
//	Record         Fields: name and type
//	Tuple          Fields: type only
//	Variant        Fields: the cases; a nil Type is a case without payload
//	Enum, Flags    Fields: name only
//	List, Option   Elem
//	Result         Elem is the ok payload, Err the error payload; each may be nil
//	Own, Borrow    Resource
//	Map            Fields: the types of key and value; as a value, a list of pairs
//	FixedList      Elem and Len; as a value, a tuple
//	Stream, Future Elem, which may be nil
type Type struct {
	Kind     Kind
	Fields   []Field
	Elem     *Type
	Err      *Type
	Resource *Resource
	Len      uint32
}

// Field is a named part of a type, or a parameter of a function.
type Field struct {
	Name string
	Type *Type
}

// Resource is the identity of a resource type; compare pointers. Name is for
// messages only.
type Resource struct {
	Name string
}

// Func is the type of a component function. Result is nil where the function
// returns nothing.
type Func struct {
	Params []Field
	Result *Type
	Async  bool
}

// Instance is the type of an instance: what a WIT interface declares.
type Instance struct {
	Exports []Extern
}

// Component is the type of a component: what a WIT world declares.
type Component struct {
	Imports []Extern
	Exports []Extern
}

// Sort says what an Extern names.
type Sort uint8

// The sorts of imports and exports.
const (
	SortFunc Sort = iota + 1
	SortType
	SortInstance
	SortComponent
	SortCoreModule
)

// String returns what such a thing is called, "function" for one.
func (s Sort) String() string {
	if int(s) < len(sortNames) && sortNames[s] != "" {
		return sortNames[s]
	}
	return "invalid"
}

var sortNames = [...]string{
	SortFunc: "function", SortType: "type", SortInstance: "instance", SortComponent: "component",
	SortCoreModule: "core module",
}

// Extern is a named import or export. Exactly one of the fields after Sort has
// meaning, the one of that sort; a type extern is either a value type (Type) or a
// resource (Resource).
type Extern struct {
	Name      string
	Sort      Sort
	Func      *Func
	Type      *Type
	Resource  *Resource
	Instance  *Instance
	Component *Component
}

// Find returns the extern of that name, or nil.
func Find(externs []Extern, name string) *Extern {
	for i := range externs {
		if externs[i].Name == name {
			return &externs[i]
		}
	}
	return nil
}
