// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"fmt"
	"unicode/utf8"
)

// reader walks a module. Its position is an offset in the whole module, so that
// every error says where in the file the fault is. Reads past end fail.
type reader struct {
	data []byte
	pos  int
	end  int
}

func (r *reader) empty() bool { return r.pos >= r.end }

// errorf makes an error that names the current offset.
func (r *reader) errorf(format string, args ...any) error {
	return errorAt(r.pos, format, args...)
}

func errorAt(pos int, format string, args ...any) error {
	return fmt.Errorf("at offset %#x: %s", pos, fmt.Sprintf(format, args...))
}

func (r *reader) byte() (byte, error) {
	if r.pos >= r.end {
		return 0, r.errorf("unexpected end")
	}
	b := r.data[r.pos]
	r.pos++
	return b, nil
}

// skip passes over n bytes and returns them.
func (r *reader) skip(n uint32) ([]byte, error) {
	if uint64(n) > uint64(r.end-r.pos) {
		return nil, r.errorf("unexpected end: %d bytes wanted, %d left", n, r.end-r.pos)
	}
	b := r.data[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// sub returns a reader of the next n bytes and passes over them.
func (r *reader) sub(n uint32) (reader, error) {
	start := r.pos
	if _, err := r.skip(n); err != nil {
		return reader{}, err
	}
	return reader{data: r.data, pos: start, end: r.pos}, nil
}

func (r *reader) u32() (uint32, error) {
	if r.pos < r.end && r.data[r.pos] < 0x80 { // nearly all of them
		r.pos++
		return uint32(r.data[r.pos-1]), nil
	}
	at := r.pos
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if shift == 28 && b > 0x0f {
			break
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errorAt(at, "integer is too long or too large for 32 bits")
}

// signed reads a signed LEB128 integer of at most bits bits.
func (r *reader) signed(bits int) (int64, error) {
	at := r.pos
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if left := bits - shift; left < 7 { // the bits beyond must repeat the sign
			sign := int8(b<<1) >> left // of bit left-1, and all above it
			if b >= 0x80 || sign != 0 && sign != -1 {
				break
			}
		}
		v |= int64(b&0x7f) << shift
		if b < 0x80 {
			if used := shift + 7; used < 64 && b&0x40 != 0 {
				v |= -1 << used
			}
			return v, nil
		}
	}
	return 0, errorAt(at, "integer is too long or too large for %d bits", bits)
}

// count reads the length of a vector. Each of its elements takes at least one
// byte, so a count that the input cannot hold is refused before anybody
// allocates for it.
func (r *reader) count(what string, limit uint32) (uint32, error) {
	at := r.pos
	n, err := r.u32()
	if err != nil {
		return 0, err
	}
	if n > limit {
		return 0, errorAt(at, "%d %s, the limit is %d", n, what, limit)
	}
	if uint64(n) > uint64(r.end-r.pos) {
		return 0, errorAt(at, "%d %s do not fit in %d bytes", n, what, r.end-r.pos)
	}
	return n, nil
}

func (r *reader) name() (string, error) {
	n, err := r.u32()
	if err != nil {
		return "", err
	}
	b, err := r.skip(n)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", errorAt(r.pos-len(b), "name is not valid UTF-8")
	}
	return string(b), nil
}

// appendU32 appends v as unsigned LEB128.
func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendS64 appends v as signed LEB128.
func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v) & 0x7f
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte {
	return append(appendU32(b, uint32(len(s))), s...)
}
