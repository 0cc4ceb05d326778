// SPDX-License-Identifier: Apache-2.0

// Package value holds component values of any type, for callers that do not know
// the types when they are compiled: tools, tests, and host functions off the hot
// path. A Value is three words and carries its kind; it does not carry its type.
//
// A Value is immutable. Strings, bytes and elements in it are shared with
// whoever made it: a caller that passes a slice in must not write to it while the
// Value is in use.
package value

import (
	"math"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// Value is one component value. The zero Value is no value: what a function
// without result returns, and the payload of a case without one.
//
// Representation: kind says how to read bits and ptr.
//
//	bool..char            bits
//	string, list<u8>      ptr to the bytes, bits their number
//	record, tuple, list   ptr to the elements, bits their number
//	variant, enum, option, result   bits is the case, ptr the payload or nil
//	flags                 bits
//	own, borrow           ptr to the object (an *any)
type Value struct {
	kind  types.Kind
	bytes bool // a list of kind list<u8>, held as bytes
	bits  uint64
	ptr   unsafe.Pointer
}

// Kind returns the value's kind, 0 for the zero Value.
func (v Value) Kind() types.Kind { return v.kind }

// IsZero reports whether v is the zero Value.
func (v Value) IsZero() bool { return v.kind == 0 }

// Bool returns a bool value.
func Bool(b bool) Value {
	if b {
		return Value{kind: types.Bool, bits: 1}
	}
	return Value{kind: types.Bool}
}

// Int returns an integer value of kind k (S8 to U64), or a char, from its bits:
// signed kinds sign-extended to 64 bits, unsigned ones zero-extended.
func Int(k types.Kind, bits uint64) Value { return Value{kind: k, bits: bits} }

// S8 returns an s8 value.
func S8(n int8) Value { return Value{kind: types.S8, bits: uint64(n)} }

// U8 returns a u8 value.
func U8(n uint8) Value { return Value{kind: types.U8, bits: uint64(n)} }

// S16 returns an s16 value.
func S16(n int16) Value { return Value{kind: types.S16, bits: uint64(n)} }

// U16 returns a u16 value.
func U16(n uint16) Value { return Value{kind: types.U16, bits: uint64(n)} }

// S32 returns an s32 value.
func S32(n int32) Value { return Value{kind: types.S32, bits: uint64(n)} }

// U32 returns a u32 value.
func U32(n uint32) Value { return Value{kind: types.U32, bits: uint64(n)} }

// S64 returns an s64 value.
func S64(n int64) Value { return Value{kind: types.S64, bits: uint64(n)} }

// U64 returns a u64 value.
func U64(n uint64) Value { return Value{kind: types.U64, bits: n} }

// F32 returns an f32 value.
func F32(f float32) Value { return Value{kind: types.F32, bits: uint64(math.Float32bits(f))} }

// F64 returns an f64 value.
func F64(f float64) Value { return Value{kind: types.F64, bits: math.Float64bits(f)} }

// Char returns a char value.
func Char(r rune) Value { return Value{kind: types.Char, bits: uint64(uint32(r))} }

// String returns a string value.
func String(s string) Value {
	return Value{kind: types.String, bits: uint64(len(s)), ptr: unsafe.Pointer(unsafe.StringData(s))}
}

// Bytes returns a list<u8> value that shares b.
func Bytes(b []byte) Value {
	return Value{kind: types.List, bytes: true, bits: uint64(len(b)), ptr: unsafe.Pointer(unsafe.SliceData(b))}
}

// List returns a list value that shares elems. A list<u8> may be given either way.
func List(elems []Value) Value { return sequence(types.List, elems) }

// Record returns a record value of fields in declaration order, sharing the slice.
func Record(fields ...Value) Value { return sequence(types.Record, fields) }

// Tuple returns a tuple value, sharing the slice.
func Tuple(elems ...Value) Value { return sequence(types.Tuple, elems) }

func sequence(k types.Kind, elems []Value) Value {
	return Value{kind: k, bits: uint64(len(elems)), ptr: unsafe.Pointer(unsafe.SliceData(elems))}
}

// Enum returns the enum value of that case.
func Enum(c uint32) Value { return Value{kind: types.Enum, bits: uint64(c)} }

// Flags returns a flags value; bit i is the flag declared i-th.
func Flags(bits uint32) Value { return Value{kind: types.Flags, bits: uint64(bits)} }

// Variant returns the variant value of that case; payload is nil for a case without one.
func Variant(c uint32, payload *Value) Value {
	return Value{kind: types.Variant, bits: uint64(c), ptr: unsafe.Pointer(payload)}
}

// None returns the empty option.
func None() Value { return Value{kind: types.Option} }

// Some returns the option that holds v.
func Some(v Value) Value { return Value{kind: types.Option, bits: 1, ptr: unsafe.Pointer(&v)} }

// Ok returns the ok case of a result; the zero Value where it has no payload.
func Ok(v Value) Value { return result(0, v) }

// Err returns the error case of a result; the zero Value where it has no payload.
func Err(v Value) Value { return result(1, v) }

func result(c uint64, v Value) Value {
	if v.IsZero() {
		return Value{kind: types.Result, bits: c}
	}
	return Value{kind: types.Result, bits: c, ptr: unsafe.Pointer(&v)}
}

// Case returns a value of kind k (Variant, Option or Result) with that case and
// payload, sharing payload.
func Case(k types.Kind, c uint32, payload *Value) Value {
	return Value{kind: k, bits: uint64(c), ptr: unsafe.Pointer(payload)}
}

// Own returns an owned resource. object is the host's own object where the host
// defines the resource, and what the runtime returned where a guest does.
func Own(object any) Value { return Value{kind: types.Own, ptr: unsafe.Pointer(&object)} }

// Borrow returns a borrowed resource.
func Borrow(object any) Value { return Value{kind: types.Borrow, ptr: unsafe.Pointer(&object)} }

// Bits returns the raw bits: an integer as Int takes it, a float's IEEE bits, a
// char's code point, flags, or the number of a case.
func (v Value) Bits() uint64 { return v.bits }

// Bool returns the value of a bool.
func (v Value) Bool() bool { return v.bits != 0 }

// U8 returns the value of a u8.
func (v Value) U8() uint8 { return uint8(v.bits) }

// U16 returns the value of a u16.
func (v Value) U16() uint16 { return uint16(v.bits) }

// U32 returns the value of a u32.
func (v Value) U32() uint32 { return uint32(v.bits) }

// U64 returns the value of a u64.
func (v Value) U64() uint64 { return v.bits }

// S64 returns the value of any signed integer.
func (v Value) S64() int64 { return int64(v.bits) }

// F32 returns the value of an f32.
func (v Value) F32() float32 { return math.Float32frombits(uint32(v.bits)) }

// F64 returns the value of an f64.
func (v Value) F64() float64 { return math.Float64frombits(v.bits) }

// Char returns the value of a char.
func (v Value) Char() rune { return rune(v.bits) }

// Str returns the value of a string.
func (v Value) Str() string {
	if v.kind != types.String {
		return ""
	}
	return unsafe.String((*byte)(v.ptr), int(v.bits))
}

// IsBytes reports whether v is a list held as bytes.
func (v Value) IsBytes() bool { return v.bytes }

// Bytes returns the bytes of a list<u8>, shared where it is held as bytes.
func (v Value) Bytes() []byte {
	if v.bytes {
		return unsafe.Slice((*byte)(v.ptr), int(v.bits))
	}
	if v.kind != types.List {
		return nil
	}
	out := make([]byte, v.bits)
	for i, e := range v.Elems() {
		out[i] = e.U8()
	}
	return out
}

// Len returns the number of elements of a list, tuple or record, or of bytes of a string.
func (v Value) Len() int {
	switch v.kind {
	case types.List, types.Tuple, types.Record, types.String:
		return int(v.bits)
	}
	return 0
}

// Elems returns the elements of a list, tuple or record, shared. Of a list held as
// bytes it makes new ones.
func (v Value) Elems() []Value {
	switch {
	case v.bytes:
		out := make([]Value, v.bits)
		for i, b := range v.Bytes() {
			out[i] = U8(b)
		}
		return out
	case v.kind == types.List, v.kind == types.Tuple, v.kind == types.Record:
		return unsafe.Slice((*Value)(v.ptr), int(v.bits))
	}
	return nil
}

// Field returns the i-th field of a record or element of a tuple or list.
func (v Value) Field(i int) Value { return v.Elems()[i] }

// Case returns the number of the case of a variant, enum, option (1 is some) or
// result (1 is the error).
func (v Value) Case() uint32 { return uint32(v.bits) }

// Payload returns the payload of a variant, option or result; the zero Value where
// it has none.
func (v Value) Payload() Value {
	switch v.kind {
	case types.Variant, types.Option, types.Result:
		if v.ptr != nil {
			return *(*Value)(v.ptr)
		}
	}
	return Value{}
}

// Object returns the object of an own or borrow, nil otherwise.
func (v Value) Object() any {
	if (v.kind == types.Own || v.kind == types.Borrow) && v.ptr != nil {
		return *(*any)(v.ptr)
	}
	return nil
}
