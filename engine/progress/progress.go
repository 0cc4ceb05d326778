// SPDX-License-Identifier: Apache-2.0

// Package progress is the theory of when something is done. It is pure: no
// goroutines, no locks, no I/O, no clocks; its user passes in what it observes and
// serialises the calls.
//
// There are two notions of progress, and they must not be mixed up. The frontier
// is about logical time: no message older than it will come any more, so windows
// up to it may close. The ledger is about delivery: everything that came of a
// source's message is safe, so the source may forget it. A message that an
// operation holds for later is behind the frontier at some point and still not
// done.
//
// The words: a Time is a logical time in whole milliseconds; an Epoch is the
// sequence number of a message of one source; a descendant of a message is
// anything made of it that is not yet safe.
package progress

import "math"

// Time is a logical time: milliseconds since the Unix epoch.
type Time int64

// The ends of time. Beginning precedes every message, End follows every one.
const (
	Beginning Time = math.MinInt64
	End       Time = math.MaxInt64
)

// minus returns t - ms, or Beginning if that is before it. ms is not negative.
func (t Time) minus(ms int64) Time {
	if t < Beginning+Time(ms) {
		return Beginning
	}
	return t - Time(ms)
}
