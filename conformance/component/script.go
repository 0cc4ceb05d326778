// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// script is a test script as `wasm-tools json-from-wast` writes it.
type script struct {
	Source   string    `json:"source_filename"`
	Commands []command `json:"commands"`
}

// command is one line of a script. Which fields it has depends on Type.
type command struct {
	Type       string     `json:"type"`
	Line       int        `json:"line"`
	Name       string     `json:"name"`     // module, module_definition
	Filename   string     `json:"filename"` // the binary beside the script
	ModuleType string     `json:"module_type"`
	Instance   string     `json:"instance"` // module_instance: its name
	Module     string     `json:"module"`   // module_instance: of which definition
	As         string     `json:"as"`       // register
	Action     action     `json:"action"`
	Expected   []constant `json:"expected"`
	Text       string     `json:"text"` // the reference's words for what is wrong
}

// action calls an export of the instance Module, or of the latest one.
type action struct {
	Type   string     `json:"type"`
	Module string     `json:"module"`
	Field  string     `json:"field"`
	Args   []constant `json:"args"`
}

// constant is a component value in JSON.
type constant struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

func readScript(path string) (*script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// as reads the constant as a value of type t.
func (c constant) as(t *types.Type) (value.Value, error) {
	// Lists of fixed length are written as lists, maps as maps or as lists of pairs.
	list := c.Type == types.List.String() && (t.Kind == types.Map || t.Kind == types.FixedList)
	if c.Type != t.Kind.String() && !list {
		return value.Value{}, fmt.Errorf("constant of type %s, want %v", c.Type, t.Kind)
	}
	switch t.Kind {
	case types.Bool:
		b, err := read[bool](c)
		return value.Bool(b), err
	case types.S8, types.S16, types.S32, types.S64:
		n, err := number(c, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
		return value.Int(t.Kind, uint64(n)), err
	case types.U8, types.U16, types.U32, types.U64:
		n, err := number(c, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
		return value.Int(t.Kind, n), err
	case types.F32:
		// Floats are written as the decimal of their bits.
		n, err := number(c, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 32) })
		return value.Int(types.F32, n), err
	case types.F64:
		n, err := number(c, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
		return value.Int(types.F64, n), err
	case types.Char:
		s, err := read[string](c)
		r, _ := utf8.DecodeRuneInString(s)
		return value.Char(r), err
	case types.String:
		s, err := read[string](c)
		return value.String(s), err
	case types.List:
		out, err := c.list(t.Elem)
		return value.List(out), err
	case types.Map:
		pair := &types.Type{Kind: types.Tuple, Fields: t.Fields}
		if list {
			out, err := c.list(pair)
			return value.List(out), err
		}
		pairs, err := read[[][]constant](c)
		if err != nil {
			return value.Value{}, err
		}
		out := make([]value.Value, len(pairs))
		for i, p := range pairs {
			elems, err := fields(pair, p)
			if err != nil {
				return value.Value{}, err
			}
			out[i] = value.Tuple(elems...)
		}
		return value.List(out), nil
	case types.FixedList:
		out, err := c.list(t.Elem)
		return value.Tuple(out...), err
	case types.Tuple:
		elems, err := read[[]constant](c)
		if err != nil {
			return value.Value{}, err
		}
		out, err := fields(t, elems)
		return value.Tuple(out...), err
	case types.Record:
		pairs, err := read[[][2]json.RawMessage](c)
		if err != nil {
			return value.Value{}, err
		}
		elems := make([]constant, len(pairs))
		for i, p := range pairs {
			if err := json.Unmarshal(p[1], &elems[i]); err != nil {
				return value.Value{}, err
			}
		}
		out, err := fields(t, elems)
		return value.Record(out...), err
	case types.Enum:
		s, err := read[string](c)
		if err != nil {
			return value.Value{}, err
		}
		n, err := label(t, s)
		return value.Enum(n), err
	case types.Flags:
		labels, err := read[[]string](c)
		if err != nil {
			return value.Value{}, err
		}
		var bits uint32
		for _, s := range labels {
			n, err := label(t, s)
			if err != nil {
				return value.Value{}, err
			}
			bits |= 1 << n
		}
		return value.Flags(bits), nil
	case types.Variant:
		v, err := read[struct {
			Case    string
			Payload *constant
		}](c)
		if err != nil {
			return value.Value{}, err
		}
		n, err := label(t, v.Case)
		if err != nil {
			return value.Value{}, err
		}
		return withPayload(t.Kind, n, v.Payload, t.Fields[n].Type)
	case types.Option:
		p, err := read[*constant](c)
		if err != nil || p == nil {
			return value.None(), err
		}
		return withPayload(t.Kind, 1, p, t.Elem)
	case types.Result:
		r, err := read[map[string]*constant](c)
		if err != nil {
			return value.Value{}, err
		}
		if p, ok := r["Ok"]; ok {
			return withPayload(t.Kind, 0, p, t.Elem)
		}
		return withPayload(t.Kind, 1, r["Err"], t.Err)
	}
	return value.Value{}, fmt.Errorf("no constants of type %v", t.Kind)
}

func read[T any](c constant) (v T, err error) {
	if c.Value == nil {
		return v, nil
	}
	err = json.Unmarshal(c.Value, &v)
	return v, err
}

// list reads a list of constants of type t.
func (c constant) list(t *types.Type) ([]value.Value, error) {
	elems, err := read[[]constant](c)
	if err != nil {
		return nil, err
	}
	out := make([]value.Value, len(elems))
	for i, e := range elems {
		if out[i], err = e.as(t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// number parses a number, which scripts write as a string.
func number[T any](c constant, parse func(string) (T, error)) (T, error) {
	s, err := read[string](c)
	if err != nil {
		var zero T
		return zero, err
	}
	return parse(s)
}

func fields(t *types.Type, elems []constant) ([]value.Value, error) {
	if len(elems) != len(t.Fields) {
		return nil, fmt.Errorf("constant of %d fields, want %d", len(elems), len(t.Fields))
	}
	out := make([]value.Value, len(elems))
	for i, e := range elems {
		var err error
		if out[i], err = e.as(t.Fields[i].Type); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func label(t *types.Type, name string) (uint32, error) {
	for i, f := range t.Fields {
		if f.Name == name {
			return uint32(i), nil
		}
	}
	return 0, fmt.Errorf("no case %q in the %v", name, t.Kind)
}

func withPayload(k types.Kind, n uint32, p *constant, t *types.Type) (value.Value, error) {
	if p == nil || t == nil {
		return value.Case(k, n, nil), nil
	}
	v, err := p.as(t)
	return value.Case(k, n, &v), err
}

// equal compares two values of one type.
func equal(a, b value.Value) bool {
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case types.String:
		return a.Str() == b.Str()
	case types.List, types.Tuple, types.Record:
		x, y := a.Elems(), b.Elems()
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case types.Variant, types.Option, types.Result:
		return a.Case() == b.Case() && equal(a.Payload(), b.Payload())
	}
	return a.Bits() == b.Bits()
}
