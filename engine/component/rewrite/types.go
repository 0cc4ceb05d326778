// SPDX-License-Identifier: Apache-2.0

package rewrite

import "github.com/wasm-graph/graphd/engine/component/core"

// funcForm starts a function type.
const funcForm = 0x60

func isValueType(b byte) bool {
	switch core.ValueType(b) {
	case core.I32, core.I64, core.F32, core.F64, core.V128, core.FuncRef, core.ExternRef:
		return true
	}
	return false
}

func (r *reader) valueType() (core.ValueType, error) {
	b, err := r.byte()
	if err == nil && !isValueType(b) {
		err = errorAt(r.pos-1, "unknown value type %#x", b)
	}
	return core.ValueType(b), err
}

func (r *reader) refType() (core.ValueType, error) {
	t, err := r.valueType()
	if err == nil && t != core.FuncRef && t != core.ExternRef {
		err = errorAt(r.pos-1, "value type %#x is not a reference", byte(t))
	}
	return t, err
}

func (r *reader) valueTypes(what string, limit uint32) ([]core.ValueType, error) {
	n, err := r.count(what, limit)
	if err != nil || n == 0 {
		return nil, err
	}
	list := make([]core.ValueType, n)
	for i := range list {
		if list[i], err = r.valueType(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (r *reader) table() (e Extern, err error) {
	e.Kind = Table
	if e.Value, err = r.refType(); err == nil {
		e.Range, err = r.limits("table")
	}
	return e, err
}

// maxPages is the most pages that a memory of 32-bit addresses has.
const maxPages = 1 << 16

func (r *reader) memory() (e Extern, err error) {
	e.Kind = Memory
	at := r.pos
	e.Range, err = r.limits("memory")
	if err == nil && (e.Range.Min > maxPages || e.Range.HasMax && e.Range.Max > maxPages) {
		err = errorAt(at, "memory of more than %d pages", maxPages)
	}
	return e, err
}

func (r *reader) limits(what string) (l Range, err error) {
	at := r.pos
	flags, err := r.byte()
	if err != nil {
		return l, err
	}
	if flags > 1 {
		return l, errorAt(at, "unsupported kind of %s (flags %#x): shared and 64-bit ones are not accepted", what, flags)
	}
	if l.Min, err = r.u32(); err != nil {
		return l, err
	}
	if l.HasMax = flags == 1; l.HasMax {
		if l.Max, err = r.u32(); err == nil && l.Min > l.Max {
			err = errorAt(at, "%s starts with %d, more than its maximum of %d", what, l.Min, l.Max)
		}
	}
	return l, err
}

func (r *reader) global() (e Extern, err error) {
	e.Kind = Global
	if e.Value, err = r.valueType(); err != nil {
		return e, err
	}
	mutable, err := r.byte()
	if err == nil && mutable > 1 {
		err = errorAt(r.pos-1, "unknown mutability %d", mutable)
	}
	e.Mutable = mutable == 1
	return e, err
}

func appendFuncType(b []byte, t core.FuncType) []byte {
	b = append(b, funcForm)
	b = appendValueTypes(b, t.Params)
	return appendValueTypes(b, t.Results)
}

func appendValueTypes(b []byte, list []core.ValueType) []byte {
	b = appendU32(b, uint32(len(list)))
	for _, t := range list {
		b = append(b, byte(t))
	}
	return b
}
