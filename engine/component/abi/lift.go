// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

var (
	errInvalidUTF8  = errors.New("string is not valid UTF-8")
	errInvalidUTF16 = errors.New("string is not valid UTF-16: unpaired surrogate")
)

// LiftParams lifts the arguments with which a guest calls an import.
func (s *Signature) LiftParams(f *Frame, stack []uint64) ([]value.Value, error) {
	args, err := f.room(len(s.params.fields))
	if err != nil {
		return nil, err
	}
	if s.spillParams {
		at := uint32(stack[0])
		if _, err := f.View(at, s.params.align, uint64(s.params.size)); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
		for i, p := range s.params.fields {
			if args[i], err = f.load(p.layout, at+p.offset); err != nil {
				return nil, fmt.Errorf("parameter %q: %w", s.typ.Params[i].Name, err)
			}
		}
		return args, nil
	}
	for i, p := range s.params.fields {
		if args[i], err = f.lift(p.layout, stack); err != nil {
			return nil, fmt.Errorf("parameter %q: %w", s.typ.Params[i].Name, err)
		}
		stack = stack[len(p.layout.flat):]
	}
	return args, nil
}

// LiftResult lifts what a guest's export returned; the zero Value where the
// function has no result.
func (s *Signature) LiftResult(f *Frame, stack []uint64) (value.Value, error) {
	switch {
	case s.result == nil:
		return value.Value{}, nil
	case s.spillResult:
		at := uint32(stack[0])
		if _, err := f.View(at, s.result.align, uint64(s.result.size)); err != nil {
			return value.Value{}, fmt.Errorf("result: %w", err)
		}
		return f.load(s.result, at)
	}
	return f.lift(s.result, stack)
}

// fromBits makes the value of a kind whose flat form is one core value.
func (f *Frame) fromBits(l *layout, bits uint64) (v value.Value, ok bool, err error) {
	switch l.kind {
	case types.Bool:
		return value.Bool(uint32(bits) != 0), true, nil
	case types.S8:
		return value.S8(int8(bits)), true, nil
	case types.U8:
		return value.U8(uint8(bits)), true, nil
	case types.S16:
		return value.S16(int16(bits)), true, nil
	case types.U16:
		return value.U16(uint16(bits)), true, nil
	case types.S32:
		return value.S32(int32(bits)), true, nil
	case types.U32:
		return value.U32(uint32(bits)), true, nil
	case types.S64, types.U64:
		return value.Int(l.kind, bits), true, nil
	case types.F32:
		return value.Int(types.F32, uint64(canonical32(uint32(bits)))), true, nil
	case types.F64:
		return value.Int(types.F64, canonical64(bits)), true, nil
	case types.Char:
		if c := uint32(bits); c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
			return v, true, fmt.Errorf("invalid char %#x", c)
		}
		return value.Char(rune(uint32(bits))), true, nil
	case types.Flags:
		return value.Flags(uint32(bits) & (1<<l.count - 1)), true, nil
	case types.Own:
		o, err := f.LiftOwn(l.resource, uint32(bits))
		return value.Own(o), true, err
	case types.Borrow:
		o, err := f.LiftBorrow(l.resource, uint32(bits))
		return value.Borrow(o), true, err
	}
	return v, false, nil
}

// lift makes a value of the front of stack.
func (f *Frame) lift(l *layout, stack []uint64) (value.Value, error) {
	if v, ok, err := f.fromBits(l, stack[0]); ok {
		return v, err
	}
	switch l.kind {
	case types.String, types.List:
		return f.liftSequence(l, uint32(stack[0]), uint32(stack[1]))
	case types.Record, types.Tuple:
		elems, err := f.room(len(l.fields))
		if err != nil {
			return value.Value{}, err
		}
		for i, fl := range l.fields {
			if elems[i], err = f.lift(fl.layout, stack); err != nil {
				return value.Value{}, err
			}
			stack = stack[len(fl.layout.flat):]
		}
		return product(l.kind, elems), nil
	}
	c, payload, err := l.pick(uint32(stack[0]))
	if err != nil || payload == nil {
		return c, err
	}
	p, err := f.room(1)
	if err != nil {
		return value.Value{}, err
	}
	if p[0], err = f.lift(payload, stack[1:]); err != nil {
		return value.Value{}, err
	}
	return value.Case(l.kind, c.Case(), &p[0]), nil
}

// load makes a value of the guest's memory at ptr, whose bounds and alignment for
// l have been checked.
func (f *Frame) load(l *layout, ptr uint32) (value.Value, error) {
	switch l.kind {
	case types.U8, types.U16, types.U32, types.U64, types.S64: // all bits are good
		return value.Int(l.kind, f.get(ptr, l.size)), nil
	case types.String:
		m := f.memory[ptr : ptr+8]
		s, err := f.LiftString(le.Uint32(m), le.Uint32(m[4:]))
		return value.String(s), err
	case types.List:
		m := f.memory[ptr : ptr+8]
		return f.liftSequence(l, le.Uint32(m), le.Uint32(m[4:]))
	case types.Record, types.Tuple:
		elems, err := f.room(len(l.fields))
		if err != nil {
			return value.Value{}, err
		}
		for i, fl := range l.fields {
			if elems[i], err = f.load(fl.layout, ptr+fl.offset); err != nil {
				return value.Value{}, err
			}
		}
		return product(l.kind, elems), nil
	case types.Variant, types.Enum, types.Option, types.Result:
		c, payload, err := l.pick(uint32(f.get(ptr, l.discSize)))
		if err != nil || payload == nil {
			return c, err
		}
		p, err := f.room(1)
		if err != nil {
			return value.Value{}, err
		}
		if p[0], err = f.load(payload, ptr+l.payload); err != nil {
			return value.Value{}, err
		}
		return value.Case(l.kind, c.Case(), &p[0]), nil
	}
	v, _, err := f.fromBits(l, f.get(ptr, l.size))
	return v, err
}

// pick returns the case of that number, without payload, and its payload's layout.
func (l *layout) pick(c uint32) (value.Value, *layout, error) {
	if c >= l.count {
		return value.Value{}, nil, fmt.Errorf("invalid %v discriminant %d, want less than %d", l.kind, c, l.count)
	}
	if l.kind == types.Enum {
		return value.Enum(c), nil, nil
	}
	return value.Case(l.kind, c, nil), l.cases[c], nil
}

func product(k types.Kind, elems []value.Value) value.Value {
	if k == types.Record {
		return value.Record(elems...)
	}
	return value.Tuple(elems...)
}

// get reads size bytes at ptr.
func (f *Frame) get(ptr, size uint32) uint64 {
	m := f.memory[ptr : ptr+size]
	switch size {
	case 1:
		return uint64(m[0])
	case 2:
		return uint64(le.Uint16(m))
	case 4:
		return uint64(le.Uint32(m))
	}
	return le.Uint64(m)
}

func (f *Frame) liftSequence(l *layout, ptr, n uint32) (value.Value, error) {
	if l.kind == types.String {
		s, err := f.LiftString(ptr, n)
		return value.String(s), err
	}
	if l.elem.kind == types.U8 {
		b, err := f.LiftBytes(ptr, n)
		return value.Bytes(b), err
	}
	if _, err := f.View(ptr, l.elem.align, uint64(n)*uint64(l.elem.size)); err != nil {
		return value.Value{}, fmt.Errorf("list: %w", err)
	}
	elems, err := f.room(int(n))
	if err != nil {
		return value.Value{}, err
	}
	for i := range elems {
		if elems[i], err = f.load(l.elem, ptr+uint32(i)*l.elem.size); err != nil {
			return value.Value{}, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return value.List(elems), nil
}

// ownBytes is from which length on a list<u8> that is kept gets memory of its own.
const ownBytes = 1 << 10

// LiftBytes returns a list<u8> of the call's Lifetime.
func (f *Frame) LiftBytes(ptr, n uint32) ([]byte, error) {
	b, err := f.View(ptr, 1, uint64(n))
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	if f.given && n >= ownBytes {
		return append(make([]byte, 0, n), b...), nil
	}
	return f.Copy(b), nil
}

// LiftString returns a string, of a length as the guest's encoding counts it.
func (f *Frame) LiftString(ptr, n uint32) (string, error) {
	if end := uint64(ptr) + uint64(n); f.Heap.Encoding == UTF8 && end <= uint64(len(f.memory)) && n <= maxString {
		if !f.move(uint64(n)) {
			return "", errMoved
		}
		b := f.memory[ptr:end]
		if f.life == Aliased {
			if !utf8.Valid(b) {
				return "", errInvalidUTF8
			}
			return unsafe.String(unsafe.SliceData(b), len(b)), nil
		}
		c := f.into.Bytes(len(b))
		if !copyASCII(c, b) && !utf8.Valid(b) {
			return "", errInvalidUTF8
		}
		return unsafe.String(unsafe.SliceData(c), len(c)), nil
	}
	return f.liftString(ptr, n)
}

// LiftStringAs is LiftString where the string is likely to be one that the caller has:
// it returns like itself if it is, and copies nothing. Like is valid UTF-8.
func (f *Frame) LiftStringAs(ptr, n uint32, like string) (string, error) {
	if f.IsString(ptr, n, like) {
		return like, nil
	}
	return f.LiftString(ptr, n)
}

// IsString reports whether the string that LiftString would return is s, which is valid
// UTF-8. It is for guests whose strings are UTF-8: of others it doesn't know, and says no.
func (f *Frame) IsString(ptr, n uint32, s string) bool {
	end := uint64(ptr) + uint64(n)
	return int(n) == len(s) && f.Heap.Encoding == UTF8 && end <= uint64(len(f.memory)) && string(f.memory[ptr:end]) == s && f.move(uint64(n))
}

// copyASCII copies from into to, which is at least as long, and tells whether all of
// it is ASCII. Most strings are, and short: for them it takes less than a call each to
// copy and to check.
func copyASCII(to, from []byte) bool {
	to = to[:len(from)]
	if len(from) < 8 {
		var all byte
		for i, b := range from {
			to[i] = b
			all |= b
		}
		return all < utf8.RuneSelf
	}
	const high = 0x8080808080808080
	last := le.Uint64(from[len(from)-8:])
	all := last
	for i := 0; i+8 < len(from); i += 8 {
		w := le.Uint64(from[i:])
		le.PutUint64(to[i:], w)
		all |= w
	}
	le.PutUint64(to[len(to)-8:], last)
	return all&high == 0
}

// liftString is LiftString for what is out of bounds, or not in UTF-8.
func (f *Frame) liftString(ptr, n uint32) (string, error) {
	switch f.Heap.Encoding {
	case UTF16:
		return f.liftUTF16(ptr, n)
	case Latin1UTF16:
		if n&utf16Tag != 0 {
			return f.liftUTF16(ptr, n&^utf16Tag)
		}
		return f.liftLatin1(ptr, n)
	}
	_, err := f.encoded(ptr, 1, uint64(n))
	return "", err
}

func (f *Frame) encoded(ptr, align uint32, size uint64) ([]byte, error) {
	if size > maxString {
		return nil, fmt.Errorf("string of %d bytes, longer than %d", size, maxString)
	}
	b, err := f.View(ptr, align, size)
	if err != nil {
		return nil, fmt.Errorf("string: %w", err)
	}
	return b, nil
}

func (f *Frame) liftLatin1(ptr, n uint32) (string, error) {
	b, err := f.encoded(ptr, 2, uint64(n))
	if err != nil {
		return "", err
	}
	size := len(b)
	for _, c := range b {
		size += int(c >> 7)
	}
	text := f.into.Bytes(size)
	out := text[:0]
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	return unsafe.String(unsafe.SliceData(text), size), nil
}

func (f *Frame) liftUTF16(ptr, n uint32) (string, error) {
	b, err := f.encoded(ptr, 2, 2*uint64(n))
	if err != nil {
		return "", err
	}
	size := 0
	for i := 0; i < len(b); i += 2 {
		switch r := rune(le.Uint16(b[i:])); {
		case r < 0x80:
			size++
		case r < 0x800, utf16.IsSurrogate(r): // a pair takes four bytes
			size += 2
		default:
			size += 3
		}
	}
	text := f.into.Bytes(size)
	out := text[:0]
	for i := 0; i < len(b); i += 2 {
		r := rune(le.Uint16(b[i:]))
		if utf16.IsSurrogate(r) {
			if i+4 > len(b) {
				return "", errInvalidUTF16
			}
			if r = utf16.DecodeRune(r, rune(le.Uint16(b[i+2:]))); r == utf8.RuneError {
				return "", errInvalidUTF16
			}
			i += 2
		}
		out = utf8.AppendRune(out, r)
	}
	return unsafe.String(unsafe.SliceData(text), size), nil
}
