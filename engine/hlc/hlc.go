// SPDX-License-Identifier: Apache-2.0

// Package hlc provides hybrid logical clocks: timestamps that stay close to
// wall time yet never run backwards, so that causally related messages sort
// correctly across nodes whose clocks disagree. It does no I/O and reads time
// only through the function given to NewClock.
package hlc

import "cmp"

// Timestamp is a point in hybrid time. The zero value precedes all others.
type Timestamp struct {
	Millis  int64  // wall time, milliseconds since the Unix epoch
	Counter uint64 // orders events that share Millis
	Node    string // id of the node that issued it; breaks ties
	// SubMillis is what a guest added below the millisecond, in nanoseconds
	// [0, 999999]. It takes no part in the text form, nor in logical time.
	SubMillis uint32
}

// Compare returns -1, 0 or +1 as t sorts before, with or after u: by time, then
// counter, then node id.
func (t Timestamp) Compare(u Timestamp) int {
	return cmp.Or(cmp.Compare(t.Millis, u.Millis), cmp.Compare(t.SubMillis, u.SubMillis),
		cmp.Compare(t.Counter, u.Counter), cmp.Compare(t.Node, u.Node))
}
