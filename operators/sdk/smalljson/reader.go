// SPDX-License-Identifier: Apache-2.0

// Package smalljson reads and writes JSON without reflection. It is for operators
// that know what their messages look like: encoding/json works in a component, too,
// but makes it half as large again, and a call several times as long.
//
// A Reader goes through the text once, in order. It remembers the first error, and
// after it every method returns a zero value at once, so only End has to be asked:
//
//	r := smalljson.NewReader(payload)
//	for key := range r.Object() {
//		switch key {
//		case "value":
//			value = r.Float()
//		default:
//			r.Skip()
//		}
//	}
//	if err := r.End(); err != nil {
//		return nil, err
//	}
//
// The language is that of RFC 8259, and strict: nothing but white space around the
// value, no comments, no control characters or lone surrogates in strings.
package smalljson

import (
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may be nested.
const maxDepth = 128

// Reader reads one JSON text.
type Reader struct {
	text  string
	pos   int
	depth int
	err   error
}

// NewReader returns a Reader of a copy of text.
func NewReader(text []byte) *Reader {
	r := &Reader{text: string(text)}
	if !utf8.ValidString(r.text) {
		r.syntax("invalid UTF-8")
	}
	return r
}

// Error says what is wrong with a text, and where.
type Error struct {
	Offset int // in bytes
	Text   string
}

func (e *Error) Error() string { return "json: offset " + strconv.Itoa(e.Offset) + ": " + e.Text }

// Fail makes the Reader fail with text, unless it already has, because of what the
// caller has read last.
func (r *Reader) Fail(text string) { r.syntax(text) }

func (r *Reader) syntax(text string) {
	if r.err == nil {
		r.err = &Error{r.pos, text}
	}
}

// End checks that nothing follows and returns the first error, an *Error.
func (r *Reader) End() error {
	if r.peek() != 0 || r.err == nil && r.pos < len(r.text) {
		r.syntax("want the end of the text")
	}
	return r.err
}

// Kind is the kind of a value.
type Kind uint8

// The kinds of values. Invalid is also what comes after the last value, and after
// an error.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Kind returns the kind of the value that comes next.
func (r *Reader) Kind() Kind {
	switch c := r.peek(); {
	case c == 'n':
		return Null
	case c == 't', c == 'f':
		return Bool
	case c == '-', c >= '0' && c <= '9':
		return Number
	case c == '"':
		return String
	case c == '[':
		return Array
	case c == '{':
		return Object
	}
	return Invalid
}

// Object reads an object: it yields each key, whose value the loop's body must read.
// Keys come in the order of the text and may repeat.
func (r *Reader) Object() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !r.enter('{', "want an object") {
			return
		}
		for first := true; r.next('}', first); first = false {
			key := r.Text()
			r.take(':', "want ':'")
			if r.err != nil || !yield(key) {
				return
			}
		}
	}
}

// Array reads an array: it yields the index of each element, which the loop's body
// must read.
func (r *Reader) Array() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !r.enter('[', "want an array") {
			return
		}
		for i := 0; r.next(']', i == 0) && yield(i); i++ {
		}
	}
}

// enter reads the beginning of an object or array.
func (r *Reader) enter(open byte, want string) bool {
	if !r.take(open, want) {
		return false
	}
	if r.depth++; r.depth > maxDepth {
		r.syntax("nested too deeply")
		return false
	}
	return true
}

// next reads what comes before an element, or the end, and reports whether an
// element follows.
func (r *Reader) next(end byte, first bool) bool {
	if r.peek() == end {
		r.pos++
		r.depth--
		return false
	}
	return first && r.err == nil || r.take(',', "want ',' or '"+string(end)+"'")
}

// Null reads a null, if that is what comes next, and reports whether it was.
func (r *Reader) Null() bool {
	if r.peek() != 'n' {
		return false
	}
	return r.literal("null")
}

// Bool reads a bool.
func (r *Reader) Bool() bool {
	switch r.peek() {
	case 't':
		return r.literal("true")
	case 'f':
		r.literal("false")
	default:
		r.syntax("want a bool")
	}
	return false
}

// Float reads a number. One that is too large for a float64 is an error.
func (r *Reader) Float() float64 {
	begin, _ := r.number()
	if r.err != nil {
		return 0
	}
	v, err := strconv.ParseFloat(r.text[begin:r.pos], 64)
	if err != nil {
		r.pos = begin
		r.syntax("number out of range")
		return 0
	}
	return v
}

// Int reads an integer, which is a number without fraction and exponent.
func (r *Reader) Int() int64 {
	begin, integer := r.number()
	if r.err != nil {
		return 0
	}
	v, err := strconv.ParseInt(r.text[begin:r.pos], 10, 64)
	if !integer || err != nil {
		r.pos = begin
		r.syntax("want an integer")
		return 0
	}
	return v
}

// Uint reads an integer without a sign.
func (r *Reader) Uint() uint64 {
	begin, integer := r.number()
	if r.err != nil {
		return 0
	}
	v, err := strconv.ParseUint(r.text[begin:r.pos], 10, 64)
	if !integer || err != nil {
		r.pos = begin
		r.syntax("want an integer that is not negative")
		return 0
	}
	return v
}

// Text reads a string.
func (r *Reader) Text() string {
	if !r.take('"', "want a string") {
		return ""
	}
	begin := r.pos
	for ; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; {
		case c == '"':
			r.pos++
			return r.text[begin : r.pos-1]
		case c == '\\':
			return r.escaped(begin)
		case c < ' ':
			r.syntax("control character in a string")
			return ""
		}
	}
	r.syntax("unterminated string")
	return ""
}

// escaped reads the rest of a string that began at begin, from an escape on.
func (r *Reader) escaped(begin int) string {
	var b strings.Builder
	b.WriteString(r.text[begin:r.pos])
	for r.pos < len(r.text) {
		c := r.text[r.pos]
		r.pos++
		switch {
		case c == '"':
			return b.String()
		case c == '\\':
			b.WriteRune(r.escape())
			if r.err != nil {
				return ""
			}
		case c < ' ':
			r.pos--
			r.syntax("control character in a string")
			return ""
		default:
			b.WriteByte(c)
		}
	}
	r.syntax("unterminated string")
	return ""
}

// escape reads what follows a backslash.
func (r *Reader) escape() rune {
	if r.pos == len(r.text) {
		r.syntax("unterminated string")
		return 0
	}
	c := r.text[r.pos]
	r.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		u := r.hex()
		if !utf16.IsSurrogate(u) {
			return u
		}
		if strings.HasPrefix(r.text[r.pos:], `\u`) {
			r.pos += 2
			if u = utf16.DecodeRune(u, r.hex()); u != utf8.RuneError {
				return u
			}
		}
		r.syntax("lone surrogate in a string")
	default:
		r.pos--
		r.syntax("unknown escape in a string")
	}
	return 0
}

func (r *Reader) hex() rune {
	if r.pos+4 <= len(r.text) {
		var u rune
		for i := range 4 {
			switch c := r.text[r.pos+i]; {
			case c >= '0' && c <= '9':
				u = u<<4 | rune(c-'0')
			case c >= 'a' && c <= 'f':
				u = u<<4 | rune(c-'a'+10)
			case c >= 'A' && c <= 'F':
				u = u<<4 | rune(c-'A'+10)
			default:
				r.syntax("want four hexadecimal digits")
				return 0
			}
		}
		r.pos += 4
		return u
	}
	r.syntax("want four hexadecimal digits")
	return 0
}

// Skip reads a value of any kind and forgets it.
func (r *Reader) Skip() {
	switch r.Kind() {
	case Null:
		r.Null()
	case Bool:
		r.Bool()
	case Number:
		r.number()
	case String:
		r.Text()
	case Array:
		for range r.Array() {
			r.Skip()
		}
	case Object:
		for range r.Object() {
			r.Skip()
		}
	default:
		r.syntax("want a value")
	}
}

// number reads a number and returns where it began, and whether it is an integer.
func (r *Reader) number() (begin int, integer bool) {
	if r.Kind() != Number {
		r.syntax("want a number")
		return r.pos, false
	}
	begin, integer = r.pos, true
	if r.text[r.pos] == '-' {
		r.pos++
	}
	if r.pos < len(r.text) && r.text[r.pos] == '0' {
		r.pos++
	} else {
		r.digits()
	}
	if r.pos < len(r.text) && r.text[r.pos] == '.' {
		integer = false
		r.pos++
		r.digits()
	}
	if r.pos < len(r.text) && (r.text[r.pos] == 'e' || r.text[r.pos] == 'E') {
		integer = false
		r.pos++
		if r.pos < len(r.text) && (r.text[r.pos] == '+' || r.text[r.pos] == '-') {
			r.pos++
		}
		r.digits()
	}
	return begin, integer
}

// digits reads one digit or more.
func (r *Reader) digits() {
	begin := r.pos
	for r.pos < len(r.text) && r.text[r.pos] >= '0' && r.text[r.pos] <= '9' {
		r.pos++
	}
	if r.pos == begin {
		r.syntax("want a digit")
	}
}

func (r *Reader) literal(want string) bool {
	if !strings.HasPrefix(r.text[r.pos:], want) {
		r.syntax("want " + want)
		return false
	}
	r.pos += len(want)
	return true
}

// take reads c.
func (r *Reader) take(c byte, want string) bool {
	if r.peek() != c {
		r.syntax(want)
		return false
	}
	r.pos++
	return true
}

// peek skips white space and returns the next byte, or 0 at the end and after an
// error.
func (r *Reader) peek() byte {
	if r.err != nil {
		return 0
	}
	for ; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}
