// SPDX-License-Identifier: Apache-2.0

package hlc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The text form, as in the user property __ts of a message:
//
//	000001700000000000:00007:2f2f2f2f-...
//	milliseconds (15)  counter (5)  node id
//
// The numbers are padded with zeros when written, and need not be when read. There
// are exactly three parts, so a node id has no colon.
const (
	millisWidth  = 15
	counterWidth = 5
)

// ErrSyntax reports text that is no timestamp.
var ErrSyntax = errors.New("not of the form milliseconds:counter:node")

// String returns the text form. A colon in the node id is written as a hyphen, so
// that everybody can read what is written; SubMillis is not written.
func (t Timestamp) String() string {
	return string(t.Append(make([]byte, 0, 64)))
}

// Append appends what String returns to dst.
func (t Timestamp) Append(dst []byte) []byte {
	if t.Millis < 0 { // padded like %015d: the sign counts
		dst = append(dst, '-')
		dst = appendPadded(dst, uint64(-t.Millis), millisWidth-1)
	} else {
		dst = appendPadded(dst, uint64(t.Millis), millisWidth)
	}
	dst = append(dst, ':')
	dst = appendPadded(dst, t.Counter, counterWidth)
	dst = append(dst, ':')
	node := len(dst)
	dst = append(dst, t.Node...)
	for i := strings.IndexByte(t.Node, ':'); i >= 0; i = bytes.IndexByte(dst[node:], ':') {
		dst[node+i] = '-'
	}
	return dst
}

func appendPadded(dst []byte, n uint64, width int) []byte {
	var digits [20]byte
	at := len(digits)
	for ; n > 0 || at > len(digits)-width; n /= 10 {
		at--
		digits[at] = byte('0' + n%10)
	}
	return append(dst, digits[at:]...)
}

// Parse reads the text form. Any node id is taken, an empty one too.
func Parse(s string) (Timestamp, error) {
	millis, rest, ok := strings.Cut(s, ":")
	counter, node, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || strings.Contains(node, ":") || strings.HasPrefix(millis, "+") {
		return Timestamp{}, fmt.Errorf("hlc: parse %q: %w", s, ErrSyntax)
	}
	t := Timestamp{Node: node}
	var err, err2 error
	t.Millis, err = strconv.ParseInt(millis, 10, 64)
	t.Counter, err2 = strconv.ParseUint(counter, 10, 64)
	if err != nil || err2 != nil {
		return Timestamp{}, fmt.Errorf("hlc: parse %q: %w", s, ErrSyntax)
	}
	return t, nil
}

// Time returns the physical part in UTC, SubMillis included.
func (t Timestamp) Time() time.Time {
	return time.UnixMilli(t.Millis).Add(time.Duration(t.SubMillis)).UTC()
}
