// SPDX-License-Identifier: Apache-2.0

package encode

import "github.com/wasm-graph/graphd/engine/component/types"

// scope is a type index space that definitions are added to: that of the
// component, of a nested one, or of an instance type.
type scope struct {
	count uint32
	// define adds a definition to what the scope is written to.
	define func(definition []byte)
	// isNamed reports whether a type has a name of its own, and bring gives the
	// index of such a type that the scope does not know yet.
	isNamed func(key any) bool
	bring   func(key any) uint32

	named  map[any]uint32    // by *types.Type or *types.Resource
	shared map[string]uint32 // types without a name, by their encoding
}

func newScope(w *world) *scope {
	return &scope{
		isNamed: func(key any) bool { _, ok := w.home[key]; return ok },
		named:   map[any]uint32{},
		shared:  map[string]uint32{},
	}
}

// next takes the next index for a type that the caller writes itself.
func (s *scope) next() uint32 {
	s.count++
	return s.count - 1
}

// fresh adds a definition of its own.
func (s *scope) fresh(definition []byte) uint32 {
	s.define(definition)
	return s.next()
}

// share adds a definition unless there is an equal one.
func (s *scope) share(definition []byte) uint32 {
	if i, ok := s.shared[string(definition)]; ok {
		return i
	}
	i := s.fresh(definition)
	s.shared[string(definition)] = i
	return i
}

// index returns the index of a named type.
func (s *scope) index(key any) uint32 {
	i, ok := s.named[key]
	if !ok {
		i = s.bring(key)
		s.named[key] = i
	}
	return i
}

// typeIndex returns the index of any type.
func (s *scope) typeIndex(t *types.Type) uint32 {
	if s.isNamed(t) {
		return s.index(t)
	}
	return s.share(s.definition(t))
}

// appendValueType appends a reference to t.
func (s *scope) appendValueType(b []byte, t *types.Type) []byte {
	switch {
	case s.isNamed(t):
		return appendInt(b, int64(s.index(t)))
	case t.Kind.Primitive():
		return append(b, primitive(t.Kind))
	}
	return appendInt(b, int64(s.typeIndex(t)))
}

func (s *scope) appendOptional(b []byte, t *types.Type) []byte {
	if t == nil {
		return append(b, 0)
	}
	return s.appendValueType(append(b, 1), t)
}

// primitive is the encoding of a primitive type: bool is 0x7f, and so on down to string.
func primitive(k types.Kind) byte { return 0x7f - byte(k-types.Bool) }

// The encodings of the other types.
const (
	opRecord   = 0x72
	opVariant  = 0x71
	opFixed    = 0x67
	opMap      = 0x63
	opList     = 0x70
	opTuple    = 0x6f
	opFlags    = 0x6e
	opEnum     = 0x6d
	opOption   = 0x6b
	opResult   = 0x6a
	opOwn      = 0x69
	opBorrow   = 0x68
	opFunc     = 0x40
	opInstance = 0x42
	opResource = 0x3f
)

// definition returns the definition of t, having added what t refers to.
func (s *scope) definition(t *types.Type) []byte {
	switch t.Kind {
	case types.Record, types.Variant, types.Tuple, types.Flags, types.Enum:
		b := appendUint([]byte{fieldOps[t.Kind]}, uint32(len(t.Fields)))
		for _, f := range t.Fields {
			if t.Kind != types.Tuple {
				b = appendName(b, f.Name)
			}
			switch t.Kind {
			case types.Record, types.Tuple:
				b = s.appendValueType(b, f.Type)
			case types.Variant:
				b = append(s.appendOptional(b, f.Type), 0)
			}
		}
		return b
	case types.List:
		return s.appendValueType([]byte{opList}, t.Elem)
	case types.FixedList:
		return appendUint(s.appendValueType([]byte{opFixed}, t.Elem), t.Len)
	case types.Map:
		return s.appendValueType(s.appendValueType([]byte{opMap}, t.Fields[0].Type), t.Fields[1].Type)
	case types.Option:
		return s.appendValueType([]byte{opOption}, t.Elem)
	case types.Result:
		return s.appendOptional(s.appendOptional([]byte{opResult}, t.Elem), t.Err)
	case types.Own:
		return appendUint([]byte{opOwn}, s.index(t.Resource))
	case types.Borrow:
		return appendUint([]byte{opBorrow}, s.index(t.Resource))
	}
	return []byte{primitive(t.Kind)}
}

var fieldOps = [...]byte{
	types.Record: opRecord, types.Variant: opVariant, types.Tuple: opTuple, types.Flags: opFlags, types.Enum: opEnum,
}

// function returns the index of a function type.
func (s *scope) function(f *types.Func) uint32 {
	b := appendUint([]byte{opFunc}, uint32(len(f.Params)))
	for _, p := range f.Params {
		b = s.appendValueType(appendName(b, p.Name), p.Type)
	}
	if f.Result == nil {
		b = append(b, 1, 0)
	} else {
		b = s.appendValueType(append(b, 0), f.Result)
	}
	return s.share(b)
}

// The bounds of a type import or export: equal to an index, or a fresh resource.
func equalTo(b []byte, index uint32) []byte { return appendUint(append(b, 0), index) }

func subResource(b []byte) []byte { return append(b, 1) }
