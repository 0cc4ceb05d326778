// SPDX-License-Identifier: Apache-2.0

package value

import (
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// Arena is room for values, for a caller that makes many calls: for the elements,
// payloads, strings and bytes of values that are made or lifted into it. They live
// until Reset, which gives the room to the next ones; so once an Arena has seen a
// call, another one like it allocates nothing.
//
// The zero Arena is ready to use. An Arena belongs to its user, who must not let any
// value that refers to it, or string or slice taken from one, be used after Reset.
// It is not safe for concurrent use.
type Arena struct {
	values chunk[Value]
	bytes  chunk[byte]
}

// What an arena holds on to over Reset, at most, and how much it makes at once when it
// doesn't know what is needed.
const (
	keptValues = 1 << 16
	keptBytes  = 4 << 20
)

// Reset ends the life of everything in a.
func (a *Arena) Reset() {
	clear(a.values.whole[:a.values.used]) // let go of what they refer to
	a.values.reset(keptValues)
	a.bytes.reset(keptBytes)
}

// Release leaves everything in a to those who have it, and makes a empty. The next
// values get room of the size that the last ones needed, in one piece up to a bound,
// so that none that is kept for long keeps much alive with it.
func (a *Arena) Release() {
	a.values.release()
	a.bytes.release()
}

// Values returns room for n values, all zero.
func (a *Arena) Values(n int) []Value { return a.values.take(n) }

// Bytes returns room for n bytes, with anything in it.
func (a *Arena) Bytes(n int) []byte { return a.bytes.take(n) }

// Record returns the record value of a copy of fields.
func (a *Arena) Record(fields ...Value) Value { return Record(a.copy(fields)...) }

// Tuple returns the tuple value of a copy of elems.
func (a *Arena) Tuple(elems ...Value) Value { return Tuple(a.copy(elems)...) }

func (a *Arena) copy(list []Value) []Value {
	c := a.values.take(len(list))
	copy(c, list)
	return c
}

// Some returns the option that holds v.
func (a *Arena) Some(v Value) Value { return Value{kind: types.Option, bits: 1, ptr: a.one(v)} }

// Variant returns the variant value of that case; payload is the zero Value for a case
// without one.
func (a *Arena) Variant(c uint32, payload Value) Value {
	return Value{kind: types.Variant, bits: uint64(c), ptr: a.one(payload)}
}

// Ok returns the ok case of a result; the zero Value where it has no payload.
func (a *Arena) Ok(v Value) Value { return Value{kind: types.Result, bits: 0, ptr: a.one(v)} }

// Err returns the error case of a result; the zero Value where it has no payload.
func (a *Arena) Err(v Value) Value { return Value{kind: types.Result, bits: 1, ptr: a.one(v)} }

func (a *Arena) one(v Value) unsafe.Pointer {
	if v.IsZero() {
		return nil
	}
	c := a.values.take(1)
	c[0] = v
	return unsafe.Pointer(&c[0])
}

// chunk is room for elements of one type, of which the front is used.
type chunk[T any] struct {
	whole  []T
	used   int
	before int // used of the chunks before this one, since the last reset or release
	last   int // used of all of them between the two before that
}

// pieceBound bounds what is made beyond what is asked for.
const pieceBound = 1 << 10

func (c *chunk[T]) take(n int) []T {
	end := c.used + n
	if end > len(c.whole) {
		return c.grow(n)
	}
	v := c.whole[c.used:end:end]
	c.used = end
	return v
}

func (c *chunk[T]) grow(n int) []T {
	c.before += c.used
	c.whole = make([]T, max(n, c.last-c.before, min(c.before, pieceBound)))
	c.used = n
	return c.whole[:n:n]
}

func (c *chunk[T]) reset(kept int) {
	if c.before > 0 || len(c.whole) > kept {
		c.whole = nil // the next one has room for all
	}
	c.last, c.used, c.before = min(c.before+c.used, kept), 0, 0
}

func (c *chunk[T]) release() {
	if c.used != 0 {
		c.whole = nil
	}
	c.last, c.used, c.before = min(c.before+c.used, pieceBound), 0, 0
}
