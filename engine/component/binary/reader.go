// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// reader reads the primitive productions of the format within a window of the
// input. Its error is sticky: after the first fault every read returns zero, so
// that productions can be written without a check after each read, as long as
// every loop ends when err is set.
type reader struct {
	data []byte
	pos  int // next byte
	end  int // of the window: a section, or the input
	in   int // how many windows deep; 0: the window is the input
	err  *Error
}

// fail records the first fault, found at offset.
func (r *reader) fail(offset int, reading string, cause error) {
	if r.err == nil {
		r.err = &Error{Offset: offset, Reading: reading, Err: cause}
		r.pos = r.end
	}
}

func (r *reader) failf(offset int, reading, format string, args ...any) {
	r.fail(offset, reading, fmt.Errorf(format, args...))
}

// unsupported records that the file uses feature, which this package knows but
// does not decode.
func (r *reader) unsupported(offset int, reading, feature string) {
	r.failf(offset, reading, "%s: %w", feature, ErrUnsupported)
}

// more reports whether the window has bytes left.
func (r *reader) more() bool { return r.err == nil && r.pos < r.end }

// left is the number of bytes left in the window.
func (r *reader) left() int { return r.end - r.pos }

// short is the cause of a read past the window's end.
func (r *reader) short() error {
	if r.in == 0 {
		return ErrTruncated
	}
	return errors.New("section ends too early")
}

func (r *reader) byte(reading string) byte {
	if r.pos >= r.end {
		r.fail(r.pos, reading, r.short())
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

// peek returns the next byte without taking it, 0 at the end of the window.
func (r *reader) peek() byte {
	if r.pos >= r.end {
		return 0
	}
	return r.data[r.pos]
}

// bytes takes n bytes, shared with the input.
func (r *reader) bytes(n int, reading string) []byte {
	if n > r.left() {
		r.fail(r.pos, reading, r.short())
		return nil
	}
	b := r.data[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return b
}

// u32 reads an unsigned LEB128 integer of at most 32 bits.
func (r *reader) u32(reading string) uint32 { return uint32(r.uleb(32, reading)) }

func (r *reader) uleb(bits uint, reading string) uint64 {
	start := r.pos
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := r.byte(reading)
		if r.err != nil {
			return 0
		}
		if room := bits - shift; room < 7 && b>>room != 0 {
			r.failf(start, reading, "integer is longer than %d bits", bits)
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
}

// length reads the number of bytes, or of elements of a byte at least, that follow.
func (r *reader) length(reading string) int {
	start := r.pos
	n := r.u32(reading)
	if uint64(n) > uint64(r.left()) {
		r.failf(start, reading, "size %d, but %d bytes are left: %w", n, r.left(), r.short())
		return 0
	}
	return int(n)
}

// name reads a length and that many bytes of UTF-8.
func (r *reader) name(reading string) string {
	start := r.pos
	b := r.bytes(r.length(reading), reading)
	if !utf8.Valid(b) {
		r.fail(start, reading, errors.New("not valid UTF-8"))
		return ""
	}
	return string(b)
}

// invalid records a discriminating byte, just read, that the grammar has no
// production for.
func (r *reader) invalid(b byte, reading string) {
	r.failf(r.pos-1, reading, "unknown code %#02x", b)
}

// window reads a size and runs read over that many bytes, which it must use up.
func (r *reader) window(reading string, read func()) {
	size := r.length(reading)
	if r.err != nil {
		return
	}
	outer := r.end
	r.end = r.pos + size
	r.in++
	read()
	if r.err == nil && r.pos != r.end {
		r.failf(r.pos, reading, "%d bytes left over", r.left())
	}
	r.in--
	r.end = outer
}
