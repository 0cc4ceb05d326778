// SPDX-License-Identifier: Apache-2.0

package smalljson

import (
	"slices"
	"strconv"
	"strings"
)

// Value is a value of any kind, for operators that don't know what their messages
// look like. The zero Value is none.
type Value struct {
	Kind    Kind
	True    bool     // of a Bool
	Text    string   // of a String; of a Number, as it was written
	Items   []Value  // of an Array
	Members []Member // of an Object: sorted by key, each key once
}

// Member is a named value of an object.
type Member struct {
	Key   string
	Value Value
}

// Parse reads a text into a Value. Errors are *Error.
func Parse(text []byte) (Value, error) {
	r := NewReader(text)
	v := r.Value()
	return v, r.End()
}

// Value reads a value of any kind. Of members with one key the last counts. A number
// that is too large for a float64 is an error.
func (r *Reader) Value() Value {
	v := Value{Kind: r.Kind()}
	switch v.Kind {
	case Null:
		r.Null()
	case Bool:
		v.True = r.Bool()
	case Number:
		r.peek()
		begin := r.pos
		r.Float()
		v.Text = r.text[begin:r.pos]
	case String:
		v.Text = r.Text()
	case Array:
		for range r.Array() {
			v.Items = append(v.Items, r.Value())
		}
	case Object:
		for key := range r.Object() {
			v.Members = append(v.Members, Member{key, r.Value()})
		}
		v = NewObject(v.Members)
	default:
		r.syntax("want a value")
	}
	return v
}

// NewObject returns an Object of members, which it sorts and keeps. Of members with
// one key the last counts.
func NewObject(members []Member) Value {
	slices.SortStableFunc(members, func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	kept := members[:0]
	for i, m := range members {
		if i+1 == len(members) || members[i+1].Key != m.Key {
			kept = append(kept, m)
		}
	}
	return Value{Kind: Object, Members: kept}
}

// NewText returns a String.
func NewText(s string) Value { return Value{Kind: String, Text: s} }

// Get returns the member of that key, if v is an object that has it.
func (v Value) Get(key string) (value Value, found bool) {
	i, found := slices.BinarySearchFunc(v.Members, key, func(m Member, key string) int { return strings.Compare(m.Key, key) })
	if !found {
		return Value{}, false
	}
	return v.Members[i].Value, true
}

// Float returns the value of a Number, and 0 of anything else.
func (v Value) Float() float64 {
	if v.Kind != Number {
		return 0
	}
	f, _ := strconv.ParseFloat(v.Text, 64) // Value has checked it
	return f
}

// Append appends v to dst. A number is written as an integer where it was one of at
// most 64 bits, and otherwise as AppendFloat does; that is how Rust's serde_json
// passes numbers on. The zero Value is written as null.
func (v Value) Append(dst []byte) []byte {
	switch v.Kind {
	case Bool:
		return strconv.AppendBool(dst, v.True)
	case Number:
		return v.appendNumber(dst)
	case String:
		return AppendText(dst, v.Text)
	case Array:
		dst = append(dst, '[')
		for i, item := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.Append(dst)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i, m := range v.Members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendText(dst, m.Key), ':')
			dst = m.Value.Append(dst)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func (v Value) appendNumber(dst []byte) []byte {
	if i, err := strconv.ParseInt(v.Text, 10, 64); err == nil && v.Text != "-0" {
		return strconv.AppendInt(dst, i, 10)
	}
	if u, err := strconv.ParseUint(v.Text, 10, 64); err == nil {
		return strconv.AppendUint(dst, u, 10)
	}
	return AppendFloat(dst, v.Float())
}
