// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// The flattening limits of the Canonical ABI.
const (
	maxFlatParams      = 16
	maxFlatAsyncParams = 4
	maxFlatResults     = 1
)

// layout is a value type made ready for lowering and lifting: sizes, offsets and
// flat types are computed, resources are numbered, and nothing is looked up by
// name any more.
type layout struct {
	kind   types.Kind
	size   uint32 // in bytes, a multiple of align
	align  uint32
	flat   []core.ValueType
	fields []field // record, tuple
	elem   *layout // list
	// variant, enum, option, result: a nil case has no payload. Enum has only count.
	cases    []*layout
	count    uint32 // of cases; of flags
	discSize uint32 // of the discriminant, in bytes; of flags, all of them
	payload  uint32 // offset of a case's payload
	resource int    // own, borrow: the resource's number
	// allocates says that lowering a value may take memory of the guest.
	allocates bool
}

type field struct {
	offset uint32
	layout *layout
}

// compiler makes layouts, each type once.
type compiler struct {
	resource func(*types.Resource) (int, error)
	done     map[*types.Type]*layout
}

func (c *compiler) layout(t *types.Type) (*layout, error) {
	if l := c.done[t]; l != nil {
		return l, nil
	}
	l, err := c.make(t)
	if err != nil {
		return nil, err
	}
	l.allocates = l.pointers()
	c.done[t] = l
	return l, nil
}

func (c *compiler) make(t *types.Type) (*layout, error) {
	l := &layout{kind: t.Kind}
	scalar := func(size uint32, flat core.ValueType) (*layout, error) {
		l.size, l.align, l.flat = size, size, []core.ValueType{flat}
		return l, nil
	}
	switch t.Kind {
	case types.Bool, types.S8, types.U8:
		return scalar(1, core.I32)
	case types.S16, types.U16:
		return scalar(2, core.I32)
	case types.S32, types.U32, types.Char:
		return scalar(4, core.I32)
	case types.S64, types.U64:
		return scalar(8, core.I64)
	case types.F32:
		return scalar(4, core.F32)
	case types.F64:
		return scalar(8, core.F64)
	case types.String:
		l.size, l.align, l.flat = 8, 4, []core.ValueType{core.I32, core.I32}
		return l, nil
	case types.List:
		elem, err := c.layout(t.Elem)
		if err != nil {
			return nil, err
		}
		l.elem, l.size, l.align, l.flat = elem, 8, 4, []core.ValueType{core.I32, core.I32}
		return l, nil
	case types.Map: // a list of pairs
		pair := &layout{kind: types.Tuple}
		if err := c.sequence(pair, t.Fields); err != nil {
			return nil, err
		}
		pair.allocates = pair.pointers()
		l.kind, l.elem, l.size, l.align, l.flat = types.List, pair, 8, 4, []core.ValueType{core.I32, core.I32}
		return l, nil
	case types.FixedList: // a tuple of equal types
		l.kind = types.Tuple
		if t.Len > maxTypeFlat {
			return nil, fmt.Errorf("type of more than %d flat values", maxTypeFlat)
		}
		return l, c.sequence(l, slices.Repeat([]types.Field{{Type: t.Elem}}, int(t.Len)))
	case types.Record, types.Tuple:
		if len(t.Fields) == 0 {
			return nil, fmt.Errorf("%v without fields", t.Kind)
		}
		return l, c.sequence(l, t.Fields)
	case types.Variant, types.Enum:
		return l, c.variant(l, t.Kind, caseTypes(t.Fields))
	case types.Option:
		return l, c.variant(l, t.Kind, []*types.Type{nil, t.Elem})
	case types.Result:
		return l, c.variant(l, t.Kind, []*types.Type{t.Elem, t.Err})
	case types.Flags:
		n := len(t.Fields)
		if n == 0 || n > 32 {
			return nil, fmt.Errorf("flags with %d labels, want 1 to 32", n)
		}
		l.count, l.discSize = uint32(n), 4
		switch {
		case n <= 8:
			l.discSize = 1
		case n <= 16:
			l.discSize = 2
		}
		return scalar(l.discSize, core.I32)
	case types.Own, types.Borrow:
		n, err := c.resource(t.Resource)
		if err != nil {
			return nil, err
		}
		l.resource = n
		return scalar(4, core.I32)
	}
	return nil, fmt.Errorf("type %v: %w", t.Kind, ErrUnsupported)
}

// ErrUnsupported is the cause of the error of a signature with asynchronous types,
// whose values can't be passed.
var ErrUnsupported = errors.New("values of asynchronous types are not supported")

func caseTypes(fields []types.Field) []*types.Type {
	cases := make([]*types.Type, len(fields))
	for i, f := range fields {
		cases[i] = f.Type
	}
	return cases
}

// sequence lays out the fields of a record or tuple one after the other.
func (c *compiler) sequence(l *layout, fields []types.Field) error {
	l.align = 1
	var offset uint64
	for _, f := range fields {
		fl, err := c.layout(f.Type)
		if err != nil {
			return err
		}
		offset = alignTo(offset, fl.align)
		l.fields = append(l.fields, field{uint32(offset), fl})
		offset += uint64(fl.size)
		l.align = max(l.align, fl.align)
		l.flat = append(l.flat, fl.flat...)
		if offset > maxTypeSize {
			return fmt.Errorf("type of more than %d bytes", maxTypeSize)
		}
		if len(l.flat) > maxTypeFlat {
			return fmt.Errorf("type of more than %d flat values", maxTypeFlat)
		}
	}
	l.size = uint32(alignTo(offset, l.align))
	return nil
}

// Bounds on one type's layout, so that a hostile component can't make compiling
// its types expensive: nested tuples double in size with each level.
const (
	maxTypeSize = 1 << 20
	maxTypeFlat = 1 << 12
)

// variant lays out a discriminant and the widest of the cases.
func (c *compiler) variant(l *layout, kind types.Kind, cases []*types.Type) error {
	n := len(cases)
	if n == 0 {
		return fmt.Errorf("%v without cases", kind)
	}
	l.count = uint32(n)
	l.discSize = 4
	switch {
	case n <= 1<<8:
		l.discSize = 1
	case n <= 1<<16:
		l.discSize = 2
	}
	l.flat = []core.ValueType{core.I32}
	if kind == types.Enum {
		l.size, l.align = l.discSize, l.discSize
		return nil
	}
	l.cases = make([]*layout, n)
	caseSize, caseAlign := uint32(0), uint32(1)
	for i, t := range cases {
		if t == nil {
			continue
		}
		cl, err := c.layout(t)
		if err != nil {
			return err
		}
		l.cases[i] = cl
		caseSize, caseAlign = max(caseSize, cl.size), max(caseAlign, cl.align)
		for k, v := range cl.flat {
			if 1+k < len(l.flat) {
				l.flat[1+k] = join(l.flat[1+k], v)
			} else {
				l.flat = append(l.flat, v)
			}
		}
	}
	l.align = max(l.discSize, caseAlign)
	l.payload = uint32(alignTo(uint64(l.discSize), caseAlign))
	l.size = uint32(alignTo(uint64(l.payload)+uint64(caseSize), l.align))
	return nil
}

// join is the core type that can carry either of two.
func join(a, b core.ValueType) core.ValueType {
	switch {
	case a == b:
		return a
	case a == core.I32 && b == core.F32, a == core.F32 && b == core.I32:
		return core.I32
	}
	return core.I64
}

func alignTo(n uint64, align uint32) uint64 {
	return (n + uint64(align) - 1) &^ (uint64(align) - 1)
}

// Signature is the signature plan of one function type: everything that lowering
// and lifting its parameters and result need, computed once. It is immutable and
// safe for concurrent use.
type Signature struct {
	typ         *types.Func
	params      *layout // a tuple
	result      *layout // nil where there is none
	spillParams bool    // parameters are passed in memory
	spillResult bool    // the result is passed in memory
	stackSize   int
}

// Compile makes the signature plan of t. resource numbers the resources that t
// mentions, as Frame.Resources is indexed.
func Compile(t *types.Func, resource func(*types.Resource) (int, error)) (*Signature, error) {
	return compile(t, resource, maxFlatParams, maxFlatResults)
}

// CompileAsync is Compile for a function that is lowered with the option async: fewer
// parameters are passed flat, and the result always in memory.
func CompileAsync(t *types.Func, resource func(*types.Resource) (int, error)) (*Signature, error) {
	return compile(t, resource, maxFlatAsyncParams, 0)
}

func compile(t *types.Func, resource func(*types.Resource) (int, error), flatParams, flatResults int) (*Signature, error) {
	c := &compiler{resource, map[*types.Type]*layout{}}
	s := &Signature{typ: t, params: &layout{kind: types.Tuple}}
	if err := c.sequence(s.params, t.Params); err != nil {
		return nil, fmt.Errorf("abi: parameters: %w", err)
	}
	s.params.allocates = s.params.pointers()
	s.spillParams = len(s.params.flat) > flatParams
	if t.Result != nil {
		l, err := c.layout(t.Result)
		if err != nil {
			return nil, fmt.Errorf("abi: result: %w", err)
		}
		s.result, s.spillResult = l, len(l.flat) > flatResults
	}
	lift, lower := s.LiftType(), s.LowerType()
	s.stackSize = max(len(lift.Params), len(lift.Results), len(lower.Params), len(lower.Results), 1)
	return s, nil
}

// Type returns the function type that s is the plan of.
func (s *Signature) Type() *types.Func { return s.typ }

// LiftType returns the core type of a function that canon lift makes into one of
// this signature.
func (s *Signature) LiftType() core.FuncType {
	t := s.flatParams()
	if s.result != nil {
		t.Results = slices.Clone(s.result.flat)
		if s.spillResult {
			t.Results = []core.ValueType{core.I32}
		}
	}
	return t
}

// LowerType returns the core type of the function that canon lower makes of one
// of this signature.
func (s *Signature) LowerType() core.FuncType {
	t := s.flatParams()
	if s.result != nil {
		if s.spillResult {
			t.Params = append(t.Params, core.I32)
		} else {
			t.Results = slices.Clone(s.result.flat)
		}
	}
	return t
}

func (s *Signature) flatParams() core.FuncType {
	if s.spillParams {
		return core.FuncType{Params: []core.ValueType{core.I32}}
	}
	return core.FuncType{Params: slices.Clone(s.params.flat)}
}

// StackSize is how many slots a call of the signature needs, either way.
func (s *Signature) StackSize() int { return s.stackSize }

// NeedsMemory reports whether a canon lift of the signature needs a memory, and
// whether it needs a realloc; both are also what a canon lower may need.
func (s *Signature) NeedsMemory() bool {
	return s.spillParams || s.spillResult || s.params.allocates || s.result != nil && s.result.allocates
}

// pointers tells whether values of l have addresses in them; its parts know already.

func (l *layout) pointers() bool {
	switch l.kind {
	case types.String, types.List:
		return true
	}
	for _, f := range l.fields {
		if f.layout.allocates {
			return true
		}
	}
	for _, c := range l.cases {
		if c != nil && c.allocates {
			return true
		}
	}
	return false
}
