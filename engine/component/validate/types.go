// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// anyType is what a type index can stand for: a *valType, *funcType, *resource,
// *instanceType or *componentType. Its pointer is the type's name. Types never
// change once made.
type anyType interface {
	// described is the type's kind, for messages.
	described() string
	// measure returns how large the type is.
	measure() extent
	// renamed returns a copy: the same type under another name.
	renamed() anyType
}

// extent is how large a type is: its number of parts, each counted as often as it
// occurs, and how deep they are nested. Both are kept within the limits.
type extent struct{ weight, depth int }

// node is the extent of a type without parts.
var node = extent{1, 1}

// with returns the extent of a type with one more part.
func (e extent) with(part extent) extent {
	return extent{min(e.weight+part.weight, maxWeight), min(max(e.depth, part.depth+1), maxDepth+1)}
}

// check checks that the limits were kept.
func (e extent) check() error {
	switch {
	case e.weight >= maxWeight:
		return fmt.Errorf("type of more than %d parts: %w", maxWeight-1, ErrLimit)
	case e.depth > maxDepth:
		return fmt.Errorf("types nested more than %d deep: %w", maxDepth, ErrLimit)
	}
	return nil
}

// resourceID is a resource type.
type resourceID int

// resource is a name of a resource type.
type resource struct{ id resourceID }

// valType is a value type. Which fields have meaning is as in types.Type; those of
// a map are its key and value.
type valType struct {
	kind      types.Kind
	fields    []field
	elem, err *valType
	resource  *resource
	length    uint32

	extent      extent
	size, align uint64 // in a linear memory, pointers taken to be of 64 bits
	borrow      bool   // mentions a borrow
	handle      bool   // mentions an own or a borrow
	pointer     bool   // mentions a list or a string
}

type field struct {
	name string
	typ  *valType // nil: none
}

// funcType is a function type.
type funcType struct {
	params []field
	result *valType
	async  bool
	extent extent
}

// instanceType is the type of an instance. defined are the resources that every
// instance of the type has of its own; it is empty for the type of an instance that
// exists, whose resources belong to its scope.
type instanceType struct {
	exports externs
	defined []resourceID
}

// componentType is the type of a component.
type componentType struct {
	imports, exports  externs
	imported, defined []resourcePath
	extent            extent
}

// resourcePath says where among imports or exports a resource type comes from: the
// number of the import or export, then, in instances, of their exports.
type resourcePath struct {
	id   resourceID
	path []int
}

func (t *valType) described() string       { return t.kind.String() }
func (t *funcType) described() string      { return "function type" }
func (t *resource) described() string      { return "resource" }
func (t *instanceType) described() string  { return "instance type" }
func (t *componentType) described() string { return "component type" }

func (t *valType) measure() extent       { return t.extent }
func (t *funcType) measure() extent      { return t.extent }
func (t *resource) measure() extent      { return node }
func (t *instanceType) measure() extent  { return t.exports.measure() }
func (t *componentType) measure() extent { return t.extent }

func (t *valType) renamed() anyType       { c := *t; return &c }
func (t *funcType) renamed() anyType      { c := *t; return &c }
func (t *resource) renamed() anyType      { c := *t; return &c }
func (t *instanceType) renamed() anyType  { c := *t; return &c }
func (t *componentType) renamed() anyType { c := *t; return &c }

// typeDef makes the type of a definition.
func (v *validator) typeDef(s *scope, d binary.DefType) (anyType, error) {
	switch d := d.(type) {
	case *binary.ValueType:
		return v.valueType(s, d)
	case *binary.FuncType:
		return v.funcType(s, d)
	case *binary.ResourceType:
		return v.resourceType(s, d)
	case *binary.InstanceType:
		inner := s.newScope(ofInstanceType)
		if err := v.definitions(inner, d.Decls); err != nil {
			return nil, err
		}
		return &instanceType{exports: inner.exports, defined: inner.defined}, nil
	case *binary.ComponentType:
		inner := s.newScope(ofComponentType)
		if err := v.definitions(inner, d.Decls); err != nil {
			return nil, err
		}
		return v.close(inner)
	}
	return nil, fmt.Errorf("type definition %T", d)
}

func (v *validator) resourceType(s *scope, d *binary.ResourceType) (anyType, error) {
	if s.kind != ofComponent {
		return nil, fmt.Errorf("resource type: %v can't define one", s.kind)
	}
	if d.HasDtor {
		f, err := index(s.coreFuncs, d.Dtor, "core function")
		if err != nil {
			return nil, fmt.Errorf("resource destructor: %w", err)
		}
		if want := (core.FuncType{Params: []core.ValueType{core.I32}}); !f.Equal(want) {
			return nil, fmt.Errorf("resource destructor: core function has type %v, want %v", f, want)
		}
	}
	r := &resource{v.newResource()}
	s.define(r.id)
	if s.local == nil {
		s.local = map[resourceID]bool{}
	}
	s.local[r.id] = true
	return r, nil
}

// define makes a resource one of the scope's own.
func (s *scope) define(id resourceID) { s.defined = append(s.defined, id) }

func (v *validator) funcType(s *scope, d *binary.FuncType) (anyType, error) {
	f := &funcType{async: d.Async, extent: node}
	var err error
	if f.params, err = s.fields(d.Params); err != nil {
		return nil, fmt.Errorf("function type: %w", err)
	}
	if f.result, err = s.valType(d.Result); err != nil {
		return nil, fmt.Errorf("function type: result: %w", err)
	}
	if f.result != nil {
		if f.result.borrow {
			return nil, errors.New("function type: result contains a borrow")
		}
		f.extent = f.extent.with(f.result.extent)
	}
	for _, p := range f.params {
		f.extent = f.extent.with(p.typ.extent)
	}
	return f, f.extent.check()
}

// valType returns the type that a type use means, nil for nil.
func (s *scope) valType(u *binary.ValType) (*valType, error) {
	if u == nil {
		return nil, nil
	}
	if u.Prim != 0 {
		return primitive(u.Prim), nil
	}
	t, err := index(s.types, u.Index, "type")
	if err != nil {
		return nil, err
	}
	if t, ok := t.(*valType); ok {
		return t, nil
	}
	return nil, fmt.Errorf("type %d is a %s, want a value type", u.Index, t.described())
}

func (s *scope) fields(in []binary.NamedVal) ([]field, error) {
	out := make([]field, len(in))
	for i, f := range in {
		t, err := s.valType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", f.Name, err)
		}
		out[i] = field{f.Name, t}
	}
	return out, nil
}

func primitive(k types.Kind) *valType {
	t := &valType{kind: k, extent: node}
	t.pointer = k == types.String
	switch k {
	case types.Bool, types.S8, types.U8:
		t.size = 1
	case types.S16, types.U16:
		t.size = 2
	case types.S32, types.U32, types.F32, types.Char, types.ErrorContext:
		t.size = 4
	case types.S64, types.U64, types.F64:
		t.size = 8
	case types.String:
		t.size, t.align = 16, 8
	}
	t.handle = k == types.ErrorContext
	t.align = max(t.align, min(t.size, 8))
	return t
}

// valueType makes a value type. That its names are well formed and unique is known.
func (v *validator) valueType(s *scope, d *binary.ValueType) (anyType, error) {
	t, err := v.makeValueType(s, d)
	if err != nil {
		return nil, fmt.Errorf("%v type: %w", d.Kind, err)
	}
	return t, nil
}

func (v *validator) makeValueType(s *scope, d *binary.ValueType) (t *valType, err error) {
	if d.Kind.Primitive() {
		return primitive(d.Kind), nil
	}
	t = &valType{kind: d.Kind, length: d.Len, extent: node}
	if t.fields, err = s.fields(d.Fields); err != nil {
		return nil, err
	}
	if t.elem, err = s.valType(d.Elem); err != nil {
		return nil, err
	}
	if t.err, err = s.valType(d.Err); err != nil {
		return nil, err
	}
	switch d.Kind {
	case types.Own, types.Borrow:
		r, err := s.resourceAt(d.Resource)
		if err != nil {
			return nil, err
		}
		t.resource = r
	case types.Map:
		key, val := t.fields[0].typ, t.fields[1].typ
		switch k := key.kind; {
		case !k.Primitive(), k == types.F32, k == types.F64, k == types.ErrorContext:
			return nil, fmt.Errorf("key of type %v: want a bool, an integer, a char or a string", k)
		case val.handle:
			return nil, errors.New("value contains a handle")
		}
	case types.FixedList:
		if t.length == 0 || t.length > 1<<30 {
			return nil, fmt.Errorf("length %d, want 1 to %d", t.length, 1<<30)
		}
	case types.Stream:
		if t.elem != nil && t.elem.kind == types.Char {
			return nil, errors.New("stream of char; use one of bytes in some encoding")
		}
	}
	t.layOut()
	if (d.Kind == types.Stream || d.Kind == types.Future) && t.borrow {
		return nil, errors.New("element contains a borrow")
	}
	if t.size >= maxBytes {
		return nil, fmt.Errorf("values of up to %d bytes, the most is %d: %w", t.size, maxBytes-1, ErrLimit)
	}
	return t, t.extent.check()
}

// layOut computes what is derived from the parts of a type.
func (t *valType) layOut() {
	t.align = 1
	cases := func(disc uint64, parts ...*valType) {
		t.align = disc
		offset := disc
		var payload uint64
		for _, p := range parts {
			if t.add(p) {
				offset = max(offset, p.align)
				payload = max(payload, p.size)
			}
		}
		t.size = alignTo(offset+payload, t.align)
	}
	switch t.kind {
	case types.Record, types.Tuple:
		for _, f := range t.fields {
			t.add(f.typ)
			t.size = alignTo(t.size, f.typ.align) + f.typ.size
		}
		t.size = alignTo(t.size, t.align)
	case types.Variant, types.Enum:
		parts := make([]*valType, len(t.fields))
		for i, f := range t.fields {
			parts[i] = f.typ
		}
		cases(discriminant(len(parts)), parts...)
	case types.Option:
		cases(1, t.elem)
	case types.Result:
		cases(1, t.elem, t.err)
	case types.Flags:
		t.size = flagBytes(len(t.fields))
		t.align = t.size
	case types.List:
		t.add(t.elem)
		t.size, t.align, t.pointer = 16, 8, true
	case types.Map:
		t.add(t.fields[0].typ)
		t.add(t.fields[1].typ)
		t.size, t.align, t.pointer = 16, 8, true
	case types.FixedList:
		t.add(t.elem)
		t.size = t.elem.size * uint64(t.length)
	case types.Own, types.Borrow:
		t.size, t.align, t.handle, t.borrow = 4, 4, true, t.kind == types.Borrow
	case types.Stream, types.Future:
		t.add(t.elem)
		t.size, t.align, t.handle, t.pointer = 4, 4, true, false
	}
}

// add takes over what a part makes of the whole; it reports false for no part.
func (t *valType) add(part *valType) bool {
	if part == nil {
		return false
	}
	t.extent = t.extent.with(part.extent)
	t.align = max(t.align, part.align)
	t.borrow = t.borrow || part.borrow
	t.handle = t.handle || part.handle
	t.pointer = t.pointer || part.pointer
	return true
}

func alignTo(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

func discriminant(cases int) uint64 {
	switch {
	case cases <= 1<<8:
		return 1
	case cases <= 1<<16:
		return 2
	}
	return 4
}

func flagBytes(n int) uint64 {
	switch {
	case n <= 8:
		return 1
	case n <= 16:
		return 2
	}
	return 4
}

// resourceAt returns the resource of a type index.
func (s *scope) resourceAt(i uint32) (*resource, error) {
	t, err := index(s.types, i, "type")
	if err != nil {
		return nil, err
	}
	if r, ok := t.(*resource); ok {
		return r, nil
	}
	return nil, fmt.Errorf("type %d is a %s, want a resource", i, t.described())
}
