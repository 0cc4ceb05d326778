// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// LowerParams lowers the arguments of a call of a guest's export into stack.
func (s *Signature) LowerParams(f *Frame, args []value.Value, stack []uint64) error {
	if len(args) != len(s.params.fields) {
		return fmt.Errorf("abi: got %d arguments, want %d", len(args), len(s.params.fields))
	}
	f.expectAll(s.params, args, s.spillParams)
	if s.spillParams {
		ptr, err := f.Realloc(s.params.align, uint64(s.params.size))
		if err != nil {
			return err
		}
		stack[0] = uint64(ptr)
		return f.storeFields(s.params, args, ptr)
	}
	for i, p := range s.params.fields {
		if err := f.lower(p.layout, args[i], stack); err != nil {
			return fmt.Errorf("parameter %q: %w", s.typ.Params[i].Name, err)
		}
		stack = stack[len(p.layout.flat):]
	}
	return nil
}

// LowerResult lowers the result of a host function into the guest that called it.
// stack still holds the parameters, the last of which is the result's address
// where it is passed in memory.
func (s *Signature) LowerResult(f *Frame, v value.Value, stack []uint64) error {
	switch {
	case s.result == nil:
		return nil
	case s.spillResult:
		at := uint32(stack[s.resultPointer()])
		if _, err := f.View(at, s.result.align, uint64(s.result.size)); err != nil {
			return fmt.Errorf("result: %w", err)
		}
		f.expectOne(s.result, v)
		return f.store(s.result, v, at)
	}
	return f.lower(s.result, v, stack)
}

func (s *Signature) resultPointer() int {
	if s.spillParams {
		return 1
	}
	return len(s.params.flat)
}

// expectAll announces the allocations of arguments, of which the first is for all of
// them where they are passed in memory.
func (f *Frame) expectAll(params *layout, args []value.Value, spilled bool) {
	if !params.allocates || f.Heap.Batch == nil {
		return
	}
	if spilled {
		f.Expect(params.align, uint64(params.size))
	}
	for i, p := range params.fields {
		if p.layout.allocates {
			f.expect(p.layout, args[i])
		}
	}
}

// expectOne announces the allocations of a value.
func (f *Frame) expectOne(l *layout, v value.Value) {
	if l.allocates && f.Heap.Batch != nil {
		f.expect(l, v)
	}
}

// expect announces the allocations of a value whose layout has some. It stops at what
// is no value of l, since lowering will get no further.
func (f *Frame) expect(l *layout, v value.Value) {
	if v.Kind() != l.kind {
		return
	}
	switch l.kind {
	case types.String:
		f.ExpectString(v.Str())
	case types.List:
		f.Expect(l.elem.align, uint64(v.Len())*uint64(l.elem.size))
		if l.elem.allocates {
			for _, e := range v.Elems() {
				f.expect(l.elem, e)
			}
		}
	case types.Record, types.Tuple:
		elems := v.Elems()
		if len(elems) != len(l.fields) {
			return
		}
		for i := range l.fields {
			if fl := l.fields[i].layout; fl.allocates {
				f.expect(fl, elems[i])
			}
		}
	default:
		if c := v.Bits(); c < uint64(len(l.cases)) {
			if payload := l.cases[c]; payload != nil && payload.allocates {
				f.expect(payload, v.Payload())
			}
		}
	}
}

func mismatch(l *layout, v value.Value) error {
	if v.IsZero() {
		return fmt.Errorf("got no value, want a %v", l.kind)
	}
	return fmt.Errorf("got a value of kind %v, want %v", v.Kind(), l.kind)
}

// check returns the case's payload layout, or an error where v is no value of l.
func (l *layout) check(v value.Value) (payload *layout, err error) {
	if v.Kind() != l.kind {
		return nil, mismatch(l, v)
	}
	c := v.Case()
	if uint64(v.Bits()) >= uint64(l.count) {
		return nil, fmt.Errorf("case %d of a %v with %d cases", v.Bits(), l.kind, l.count)
	}
	if l.cases == nil {
		return nil, nil
	}
	payload = l.cases[c]
	if has := !v.Payload().IsZero(); has != (payload != nil) {
		return nil, fmt.Errorf("case %d of a %v: payload given: %t, wanted: %t", c, l.kind, has, payload != nil)
	}
	return payload, nil
}

// scalar returns the core bits of a value whose flat form is one core value, and
// whether l is of such a kind.
func (f *Frame) scalar(l *layout, v value.Value) (bits uint64, ok bool, err error) {
	switch l.kind {
	case types.Bool, types.U8, types.U16, types.U32, types.U64:
		bits = v.Bits()
	case types.S8, types.S16, types.S32:
		bits = uint64(uint32(v.Bits()))
	case types.S64:
		bits = v.Bits()
	case types.F32:
		bits = uint64(canonical32(uint32(v.Bits())))
	case types.F64:
		bits = canonical64(v.Bits())
	case types.Char:
		bits = v.Bits()
		if v.Kind() == types.Char && !utf8.ValidRune(rune(uint32(bits))) {
			return 0, true, fmt.Errorf("invalid char %#x", bits)
		}
	case types.Flags:
		bits = v.Bits()
		if bits>>l.count != 0 {
			return 0, true, fmt.Errorf("flags %#x beyond the %d declared", bits, l.count)
		}
	case types.Own, types.Borrow:
		return f.handleOf(l, v)
	default:
		return 0, false, nil
	}
	if v.Kind() != l.kind {
		return 0, true, mismatch(l, v)
	}
	return bits, true, nil
}

func (f *Frame) handleOf(l *layout, v value.Value) (uint64, bool, error) {
	if v.Kind() != l.kind {
		return 0, true, mismatch(l, v)
	}
	lower := f.LowerOwn
	if l.kind == types.Borrow {
		lower = f.LowerBorrow
	}
	i, err := lower(l.resource, v.Object())
	return uint64(i), true, err
}

const (
	canonicalNaN32 = 0x7fc00000
	canonicalNaN64 = 0x7ff8000000000000
)

func canonical32(bits uint32) uint32 {
	if f := math.Float32frombits(bits); f != f {
		return canonicalNaN32
	}
	return bits
}

func canonical64(bits uint64) uint64 {
	if f := math.Float64frombits(bits); f != f {
		return canonicalNaN64
	}
	return bits
}

// lower puts v into the front of stack. Slots hold 32-bit values in their low half
// and zero above it, so that joining them in a variant costs nothing.
func (f *Frame) lower(l *layout, v value.Value, stack []uint64) error {
	if bits, ok, err := f.scalar(l, v); ok {
		stack[0] = bits
		return err
	}
	switch l.kind {
	case types.String, types.List:
		ptr, n, err := f.lowerSequence(l, v)
		stack[0], stack[1] = uint64(ptr), uint64(n)
		return err
	case types.Record, types.Tuple:
		if v.Kind() != l.kind {
			return mismatch(l, v)
		}
		elems := v.Elems()
		if len(elems) != len(l.fields) {
			return fmt.Errorf("%v of %d fields, want %d", l.kind, len(elems), len(l.fields))
		}
		for i, fl := range l.fields {
			if err := f.lower(fl.layout, elems[i], stack); err != nil {
				return err
			}
			stack = stack[len(fl.layout.flat):]
		}
		return nil
	}
	payload, err := l.check(v)
	if err != nil {
		return err
	}
	stack[0] = v.Bits()
	rest := stack[1:len(l.flat)]
	if payload != nil {
		if err := f.lower(payload, v.Payload(), rest); err != nil {
			return err
		}
		rest = rest[len(payload.flat):]
	}
	clear(rest)
	return nil
}

// store puts v into the guest's memory at ptr, whose bounds and alignment for l
// have been checked.
func (f *Frame) store(l *layout, v value.Value, ptr uint32) error {
	switch l.kind {
	case types.U8, types.U16, types.U32, types.U64, types.S64: // all bits are good
		if v.Kind() != l.kind {
			return mismatch(l, v)
		}
		f.put(ptr, l.size, v.Bits())
		return nil
	case types.String, types.List:
		p, n, err := f.lowerSequence(l, v)
		if err == nil {
			m := f.memory[ptr : ptr+8]
			le.PutUint32(m, p)
			le.PutUint32(m[4:], n)
		}
		return err
	case types.Record, types.Tuple:
		if v.Kind() != l.kind {
			return mismatch(l, v)
		}
		return f.storeFields(l, v.Elems(), ptr)
	case types.Variant, types.Enum, types.Option, types.Result:
		payload, err := l.check(v)
		if err != nil {
			return err
		}
		f.put(ptr, l.discSize, v.Bits())
		if payload == nil {
			return nil
		}
		return f.store(payload, v.Payload(), ptr+l.payload)
	}
	bits, _, err := f.scalar(l, v)
	if err == nil {
		f.put(ptr, l.size, bits)
	}
	return err
}

func (f *Frame) storeFields(l *layout, elems []value.Value, ptr uint32) error {
	if len(elems) != len(l.fields) {
		return fmt.Errorf("%v of %d fields, want %d", l.kind, len(elems), len(l.fields))
	}
	for i, fl := range l.fields {
		if err := f.store(fl.layout, elems[i], ptr+fl.offset); err != nil {
			return err
		}
	}
	return nil
}

// put writes the low size bytes of bits at ptr.
func (f *Frame) put(ptr, size uint32, bits uint64) {
	m := f.memory[ptr : ptr+size]
	switch size {
	case 1:
		m[0] = byte(bits)
	case 2:
		le.PutUint16(m, uint16(bits))
	case 4:
		le.PutUint32(m, uint32(bits))
	case 8:
		le.PutUint64(m, bits)
	}
}

// lowerSequence allocates and fills a string or list.
func (f *Frame) lowerSequence(l *layout, v value.Value) (ptr, n uint32, err error) {
	if v.Kind() != l.kind {
		return 0, 0, mismatch(l, v)
	}
	if l.kind == types.String {
		return f.LowerString(v.Str())
	}
	if l.elem.kind == types.U8 && v.IsBytes() {
		return f.LowerBytes(v.Bytes())
	}
	elems := v.Elems()
	ptr, err = f.Realloc(l.elem.align, uint64(len(elems))*uint64(l.elem.size))
	if err != nil {
		return 0, 0, err
	}
	for i, e := range elems {
		if err := f.store(l.elem, e, ptr+uint32(i)*l.elem.size); err != nil {
			return 0, 0, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return ptr, uint32(len(elems)), nil
}

// LowerBytes copies b into newly allocated guest memory, as a list<u8>.
func (f *Frame) LowerBytes(b []byte) (ptr, n uint32, err error) {
	ptr, err = f.Realloc(1, uint64(len(b)))
	if err != nil {
		return 0, 0, err
	}
	copy(f.memory[ptr:], b)
	return ptr, uint32(len(b)), nil
}

// maxString is the longest string, in bytes, that crosses a boundary.
const maxString = 1<<28 - 1

// utf16Tag marks a latin1+utf16 string that is in UTF-16.
const utf16Tag = 1 << 31

// LowerString copies s into newly allocated guest memory in the guest's encoding,
// and returns its address and its length as that encoding counts it.
func (f *Frame) LowerString(s string) (ptr, n uint32, err error) {
	if len(s) > maxString {
		return 0, 0, fmt.Errorf("string of %d bytes, longer than %d", len(s), maxString)
	}
	if f.Heap.Encoding != UTF8 {
		if !utf8.ValidString(s) {
			return 0, 0, errInvalidUTF8
		}
		if f.Heap.Encoding == UTF16 {
			return f.lowerUTF16(s, 0)
		}
		return f.lowerLatin1(s)
	}
	ptr, err = f.Realloc(1, uint64(len(s)))
	if err != nil {
		return 0, 0, err
	}
	if !copyASCII(f.memory[ptr:], unsafe.Slice(unsafe.StringData(s), len(s))) && !utf8.ValidString(s) {
		return 0, 0, errInvalidUTF8
	}
	return ptr, uint32(len(s)), nil
}

func (f *Frame) lowerLatin1(s string) (ptr, n uint32, err error) {
	units := 0
	for _, r := range s {
		if r > 0xff {
			return f.lowerUTF16(s, utf16Tag)
		}
		units++
	}
	ptr, err = f.Realloc(2, uint64(units))
	if err != nil {
		return 0, 0, err
	}
	m := f.memory[ptr:]
	i := 0
	for _, r := range s {
		m[i] = byte(r)
		i++
	}
	return ptr, uint32(units), nil
}

func (f *Frame) lowerUTF16(s string, tag uint32) (ptr, n uint32, err error) {
	units := 0
	for _, r := range s {
		units += utf16.RuneLen(r)
	}
	if 2*units > maxString {
		return 0, 0, fmt.Errorf("string of %d bytes, longer than %d", 2*units, maxString)
	}
	ptr, err = f.Realloc(2, 2*uint64(units))
	if err != nil {
		return 0, 0, err
	}
	m := f.memory[ptr:ptr]
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			m = le.AppendUint16(le.AppendUint16(m, uint16(r1)), uint16(r2))
		} else {
			m = le.AppendUint16(m, uint16(r))
		}
	}
	return ptr, uint32(units) | tag, nil
}
