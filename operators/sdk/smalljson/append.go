// SPDX-License-Identifier: Apache-2.0

package smalljson

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendFloat appends v to dst: in as few digits as tell it from all other floats, with
// a fraction or an exponent even where it is integral, so that it stays a float where
// that makes a difference, and without exponent from 1e-5 to below 1e16. That is how
// Rust's serde_json writes floats. What is not finite becomes null.
func AppendFloat(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-5 || a >= 1e16) {
		begin := len(dst)
		dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
		return shortenExponent(dst, begin)
	}
	begin := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	for _, c := range dst[begin:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// shortenExponent makes 1e+06 in dst[begin:] 1e6, and 1e-06 1e-6.
func shortenExponent(dst []byte, begin int) []byte {
	e := begin
	for dst[e] != 'e' {
		e++
	}
	out := dst[:e+1]
	digits := dst[e+2:]
	if dst[e+1] == '-' {
		out = append(out, '-')
	}
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	return append(out, digits...)
}

// AppendText appends s to dst as a string. Invalid UTF-8 becomes U+FFFD.
func AppendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"', c == '\\':
			dst = append(dst, '\\', byte(c))
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[c>>4], hex[c&0xf])
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}
