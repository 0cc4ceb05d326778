// SPDX-License-Identifier: Apache-2.0

package sdk

import (
	"bytes"
	"cmp"
	"strconv"
	"time"
)

// Timestamp is a point in hybrid logical time: wall time, refined by a counter and
// the id of the node that issued it, so that events sort the same way everywhere.
// It is also what the state store uses for versions and fencing tokens.
type Timestamp struct {
	Secs    uint64 // since the Unix epoch
	Nanos   uint32 // below one second: [0, 999999999]
	Counter uint64 // tells apart events of one time on one node
	Node    Bytes  // tells apart nodes
}

// Time returns the wall time, in UTC.
func (t Timestamp) Time() time.Time {
	return time.Unix(int64(t.Secs), int64(t.Nanos)).UTC()
}

// WithTime returns t at wall time at, with the same counter and node. Times before
// the Unix epoch become the epoch.
func (t Timestamp) WithTime(at time.Time) Timestamp {
	secs := at.Unix()
	if secs < 0 {
		t.Secs, t.Nanos = 0, 0
		return t
	}
	t.Secs, t.Nanos = uint64(secs), uint32(at.Nanosecond())
	return t
}

// Compare returns -1, 0 or +1 as t sorts before, with or after u: by wall time,
// then counter, then node.
func (t Timestamp) Compare(u Timestamp) int {
	if c := cmp.Or(cmp.Compare(t.Secs, u.Secs), cmp.Compare(t.Nanos, u.Nanos), cmp.Compare(t.Counter, u.Counter)); c != 0 {
		return c
	}
	return bytes.Compare(t.Node.Bytes(), u.Node.Bytes())
}

// String returns the timestamp's text form, <milliseconds>:<counter>:<node>.
func (t Timestamp) String() string {
	ms := t.Secs*1000 + uint64(t.Nanos)/1e6
	return pad(ms, 15) + ":" + pad(t.Counter, 5) + ":" + t.Node.String()
}

func pad(n uint64, width int) string {
	const zeros = "000000000000000"
	s := strconv.FormatUint(n, 10)
	if len(s) < width {
		s = zeros[:width-len(s)] + s
	}
	return s
}
