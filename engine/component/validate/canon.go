// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// The flattening limits of the Canonical ABI.
const (
	maxFlatParams      = 16
	maxFlatAsyncParams = 4
	maxFlatResults     = 1
)

func (v *validator) canon(s *scope, d *binary.Canon) error {
	if err := v.builtin(s, d); err != nil {
		return fmt.Errorf("canon %v: %w", d.Op, err)
	}
	return nil
}

func (v *validator) builtin(s *scope, d *binary.Canon) error {
	o := &d.Options
	if err := s.checkOptions(o); err != nil {
		return err
	}
	switch d.Op {
	case binary.Lift:
		return v.lift(s, d)
	case binary.Lower:
		return v.lower(s, d)
	}
	if o.HasPostReturn || o.HasCallback {
		return errors.New("post-return and callback are for canon lift only")
	}
	if t, ok := d.Op.CoreType(); ok {
		s.coreFunc(t)
	}
	switch d.Op {
	case binary.ResourceNew, binary.ResourceRep, binary.ResourceDrop:
		r, err := s.resourceAt(d.Type)
		if err == nil && d.Op != binary.ResourceDrop && !s.local[r.id] {
			err = fmt.Errorf("resource type %d is not defined by this component", d.Type)
		}
		return err
	case binary.TaskReturn:
		return s.taskReturn(d)
	case binary.ContextGet, binary.ContextSet:
		return s.contextSlot(d)
	case binary.StreamNew, binary.StreamRead, binary.StreamWrite, binary.StreamForward, binary.StreamCancelRead,
		binary.StreamCancelWrite, binary.StreamDropReadable, binary.StreamDropWritable:
		return s.endpoint(d, types.Stream)
	case binary.FutureNew, binary.FutureRead, binary.FutureWrite, binary.FutureForward, binary.FutureCancelRead,
		binary.FutureCancelWrite, binary.FutureDropReadable, binary.FutureDropWritable:
		return s.endpoint(d, types.Future)
	case binary.ErrorContextNew, binary.ErrorContextDebugMessage:
		switch {
		case o.Async:
			return errors.New("canonical option async is not for it")
		case !o.HasMemory:
			return errOption("memory")
		case d.Op == binary.ErrorContextDebugMessage && !o.HasRealloc:
			return errOption("realloc")
		}
	case binary.WaitableSetWait, binary.WaitableSetPoll:
		_, err := index(s.coreMemories, d.Index, "core memory")
		return err
	case binary.ThreadNewIndirect:
		return s.newThread(d)
	}
	return nil
}

func errOption(name string) error { return fmt.Errorf("canonical option %s is required", name) }

// checkOptions checks what holds for the options of all built-ins.
func (s *scope) checkOptions(o *binary.CanonOptions) error {
	if o.HasMemory {
		if _, err := index(s.coreMemories, o.Memory, "core memory"); err != nil {
			return err
		}
	}
	switch {
	case o.HasCallback && !o.Async:
		return errors.New("canonical option callback needs async")
	case o.HasPostReturn && o.Async:
		return errors.New("canonical options post-return and async exclude one another")
	case !o.HasRealloc:
		return nil
	case !o.HasMemory:
		return errors.New("canonical option realloc needs memory")
	}
	want := core.FuncType{Params: repeat(core.I32, 4), Results: repeat(core.I32, 1)}
	return s.checkFunc("realloc", o.Realloc, want)
}

// checkFunc checks the core function of an option.
func (s *scope) checkFunc(option string, i uint32, want core.FuncType) error {
	f, err := index(s.coreFuncs, i, "core function")
	if err != nil {
		return fmt.Errorf("canonical option %s: %w", option, err)
	}
	if !f.Equal(want) {
		return fmt.Errorf("canonical option %s: core function has type %v, want %v", option, f, want)
	}
	return nil
}

func repeat(t core.ValueType, n int) []core.ValueType {
	list := make([]core.ValueType, n)
	for i := range list {
		list[i] = t
	}
	return list
}

func (v *validator) lift(s *scope, d *binary.Canon) error {
	o := &d.Options
	t, err := index(s.types, d.Type, "type")
	if err != nil {
		return err
	}
	f, ok := t.(*funcType)
	if !ok {
		return fmt.Errorf("type %d is a %s, want a function type", d.Type, t.described())
	}
	got, err := index(s.coreFuncs, d.Func, "core function")
	if err != nil {
		return err
	}
	if o.HasPostReturn {
		if err := s.checkFunc("post-return", o.PostReturn, core.FuncType{Params: got.Results}); err != nil {
			return err
		}
	}
	if o.HasCallback {
		if err := s.checkFunc("callback", o.Callback, core.FuncType{Params: repeat(core.I32, 3), Results: repeat(core.I32, 1)}); err != nil {
			return err
		}
	}
	want, err := f.lifted(o)
	if err != nil {
		return err
	}
	if !got.Equal(want) {
		return fmt.Errorf("core function %d has type %v, want %v", d.Func, got, want)
	}
	s.funcs = append(s.funcs, f)
	return nil
}

func (v *validator) lower(s *scope, d *binary.Canon) error {
	o := &d.Options
	f, err := index(s.funcs, d.Func, "function")
	if err != nil {
		return err
	}
	if o.HasPostReturn || o.HasCallback {
		return errors.New("canonical options post-return and callback are for canon lift only")
	}
	t, err := f.lowered(o)
	if err != nil {
		return err
	}
	s.coreFunc(t)
	return nil
}

var errAsync = errors.New("canonical option async is for async functions only")

// lifted returns the core type of a function that is lifted to f, and checks that
// the options have what that needs: parameters are written into the callee's memory,
// results are read from it.
func (f *funcType) lifted(o *binary.CanonOptions) (t core.FuncType, err error) {
	if o.Async && !f.async {
		return t, errAsync
	}
	params, fit := f.flatParams(maxFlatParams)
	for _, p := range f.params {
		if p.typ.pointer && !o.HasRealloc {
			return t, errOption("realloc")
		}
	}
	if !fit {
		if !o.HasRealloc {
			return t, errOption("realloc")
		}
		params = repeat(core.I32, 1)
	}
	t.Params = params
	if o.Async {
		if o.HasCallback {
			t.Results = repeat(core.I32, 1)
		}
		if f.result != nil {
			_, fit := f.result.flat(nil, maxFlatParams)
			if (!fit || f.result.pointer) && !o.HasMemory {
				return t, errOption("memory")
			}
		}
		return t, nil
	}
	if f.result != nil {
		if t.Results, fit = f.result.flat(nil, maxFlatResults); !fit {
			t.Results = repeat(core.I32, 1)
		}
		if (!fit || f.result.pointer) && !o.HasMemory {
			return t, errOption("memory")
		}
	}
	return t, nil
}

// lowered returns the core type of the function that f is lowered to, and checks
// that the options have what that needs: parameters are read from the caller's
// memory, results are written into it.
func (f *funcType) lowered(o *binary.CanonOptions) (t core.FuncType, err error) {
	if o.Async && !f.async {
		return t, errAsync
	}
	limit := maxFlatParams
	if o.Async {
		limit = maxFlatAsyncParams
	}
	params, fit := f.flatParams(limit)
	if !fit {
		params = repeat(core.I32, 1)
	}
	for _, p := range f.params {
		if (!fit || p.typ.pointer) && !o.HasMemory {
			return t, errOption("memory")
		}
	}
	t.Params = params
	if f.result != nil && f.result.pointer && !o.HasRealloc {
		return t, errOption("realloc")
	}
	var spilled bool
	switch {
	case o.Async:
		t.Results = repeat(core.I32, 1)
		spilled = f.result != nil
	case f.result != nil:
		t.Results, fit = f.result.flat(nil, maxFlatResults)
		spilled = !fit
		if spilled {
			t.Results = nil
		}
	}
	if spilled {
		if !o.HasMemory {
			return t, errOption("memory")
		}
		t.Params = append(t.Params, core.I32)
	}
	return t, nil
}

// flatParams returns the core types of the parameters; fit is false where they are
// more than limit.
func (f *funcType) flatParams(limit int) (list []core.ValueType, fit bool) {
	fit = true
	for _, p := range f.params {
		if list, fit = p.typ.flat(list, limit); !fit {
			break
		}
	}
	return list, fit
}

// flat appends the core types that a value travels as; fit is false where there are
// more than limit in all.
func (t *valType) flat(list []core.ValueType, limit int) (_ []core.ValueType, fit bool) {
	fit = true
	switch t.kind {
	case types.S64, types.U64:
		list = append(list, core.I64)
	case types.F32:
		list = append(list, core.F32)
	case types.F64:
		list = append(list, core.F64)
	case types.String, types.List, types.Map:
		list = append(list, core.I32, core.I32)
	case types.Record, types.Tuple:
		for _, f := range t.fields {
			if list, fit = f.typ.flat(list, limit); !fit {
				return list, false
			}
		}
	case types.FixedList:
		for range t.length {
			if list, fit = t.elem.flat(list, limit); !fit {
				return list, false
			}
		}
	case types.Variant:
		return flatCases(list, limit, t.fields...)
	case types.Option:
		return flatCases(list, limit, field{typ: t.elem})
	case types.Result:
		return flatCases(list, limit, field{typ: t.elem}, field{typ: t.err})
	default: // small integers, enums, flags, handles
		list = append(list, core.I32)
	}
	return list, len(list) <= limit
}

// flatCases appends a discriminant and what can carry any of the cases.
func flatCases(list []core.ValueType, limit int, cases ...field) (_ []core.ValueType, fit bool) {
	list = append(list, core.I32)
	start := len(list)
	for _, c := range cases {
		if c.typ == nil {
			continue
		}
		flat, fit := c.typ.flat(nil, limit-start)
		if !fit {
			return list, false
		}
		for i, t := range flat {
			if start+i == len(list) {
				list = append(list, t)
			} else if list[start+i] != t {
				list[start+i] = join(list[start+i], t)
			}
		}
	}
	return list, len(list) <= limit
}

// join is the core type that can carry either of two that differ.
func join(a, b core.ValueType) core.ValueType {
	small := func(t core.ValueType) bool { return t == core.I32 || t == core.F32 }
	if small(a) && small(b) {
		return core.I32
	}
	return core.I64
}

func (s *scope) taskReturn(d *binary.Canon) error {
	o := &d.Options
	if o.HasRealloc || o.Async {
		return errors.New("options realloc and async are not for it")
	}
	r, err := s.valType(d.Result)
	if err != nil {
		return err
	}
	f := &funcType{}
	if r != nil {
		if r.borrow {
			return errors.New("result contains a borrow")
		}
		f.params = []field{{"v", r}}
	}
	t, err := f.lowered(o)
	s.coreFunc(t)
	return err
}

// contextSlot checks the use of a task's own storage. That of 64 bits is gated, with
// 64-bit memories.
func (s *scope) contextSlot(d *binary.Canon) error {
	switch {
	case d.Context != core.I32:
		return fmt.Errorf("type %v, want i32", d.Context)
	case d.Index > 1:
		return fmt.Errorf("slot %d, the last one is 1", d.Index)
	}
	slot := []core.ValueType{d.Context}
	if d.Op == binary.ContextGet {
		s.coreFunc(core.FuncType{Results: slot})
	} else {
		s.coreFunc(core.FuncType{Params: slot})
	}
	return nil
}

// endpoint checks a built-in of streams or futures.
func (s *scope) endpoint(d *binary.Canon, kind types.Kind) error {
	o := &d.Options
	t, err := index(s.types, d.Type, "type")
	if err != nil {
		return err
	}
	st, ok := t.(*valType)
	if !ok || st.kind != kind {
		return fmt.Errorf("type %d is a %s, want a %v", d.Type, t.described(), kind)
	}
	switch d.Op {
	case binary.StreamRead, binary.FutureRead:
		if st.elem != nil && st.elem.pointer && !o.HasRealloc {
			return errOption("realloc")
		}
	case binary.StreamWrite, binary.FutureWrite:
	default:
		return nil
	}
	if st.elem != nil && !o.HasMemory {
		return errOption("memory")
	}
	return nil
}

// newThread checks the table and the type of a function that is to run as a thread.
func (s *scope) newThread(d *binary.Canon) error {
	t, err := index(s.coreTypes, d.Type, "core type")
	if err != nil {
		return err
	}
	if want := (core.FuncType{Params: repeat(core.I32, 1)}); t.Func == nil || !t.Func.Equal(want) {
		return fmt.Errorf("core type %d is not %v", d.Type, want)
	}
	table, err := index(s.coreTables, d.Index, "core table")
	if err == nil && table.Value != core.FuncRef {
		err = fmt.Errorf("core table %d is of %v, want %v", d.Index, table.Value, core.FuncRef)
	}
	return err
}
