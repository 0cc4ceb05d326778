// SPDX-License-Identifier: Apache-2.0

package progress

import "slices"

// All in milliseconds.
const (
	// quiet is how long nothing must come from a source for it to count as caught up.
	quiet = 500
	// patience is how long a source may be behind without coming nearer.
	patience = 30_000
	// nearer is how much nearer it must come in that time: a backlog that is not drained
	// at 1.01 times the speed of the clock is none, but a clock that is wrong.
	nearer = patience / 100
)

// Frontier is the frontier of one source: the logical time before which it sends
// nothing any more, but for late messages. It follows the wall clock at a distance,
// the lateness, while the source is connected and caught up; otherwise it stands
// still, so that an outage or a backlog makes nothing late. It never goes back. Not
// safe for concurrent use.
//
// A source is caught up when nothing comes from it for a while, or what comes is not
// older than the lateness. Older messages are a backlog, which comes nearer to the
// present the more of it is read. If it doesn't, the source's clock is slow or was set
// back, and time goes on without it: its messages are late.
//
// All times that are passed in are of one clock, in milliseconds; a clock that goes
// back is tolerated.
type Frontier struct {
	lateness int64 // milliseconds that messages may be late
	maxStall int64 // milliseconds that it stands still at most; 0: no limit

	at        Time
	connected bool
	closed    bool
	quietFrom Time // when the last message came, or the source connected
	lastStamp Time // logical time of the last message
	behind    Time // the least that messages were behind the clock since it was caught up; End: none came
	nearing   Time // when that was, or it was caught up, or hindered
	moving    Time // when it last could move
	started   bool // Advance has been called
}

// NewFrontier returns a Frontier that stands at resume: Beginning, or where it was
// when the graph was stopped.
func NewFrontier(lateness, maxStall int64, resume Time) *Frontier {
	return &Frontier{lateness: lateness, maxStall: maxStall, at: resume, lastStamp: Beginning, behind: End}
}

// At returns the frontier.
func (f *Frontier) At() Time { return f.at }

// Received notes that a message of logical time stamp came at time now.
func (f *Frontier) Received(now, stamp Time) {
	f.quietFrom, f.lastStamp = now, stamp
	if lag := now - max(stamp, 0); f.behind == End || lag <= f.behind-nearer {
		f.behind, f.nearing = lag, now
	}
}

// Close says that the source has come to its end and sends nothing any more. With
// the next Advance it is no hindrance to the graph's frontier.
func (f *Frontier) Close() { f.closed = true }

// Retune changes what was given to NewFrontier. The frontier stays where it is.
func (f *Frontier) Retune(lateness, maxStall int64) { f.lateness, f.maxStall = lateness, maxStall }

// Status is how a source stands at the moment.
type Status struct {
	Connected bool
	Blocked   bool // it has messages that it can't hand over: our own back-pressure
	// Unread is the logical time of the oldest message that was received and not yet
	// worked on; End if there is none.
	Unread Time
}

// Advance moves the frontier to where it may be at time now and returns it.
func (f *Frontier) Advance(now Time, s Status) Time {
	if s.Connected && !f.connected {
		f.quietFrom, f.behind, f.nearing = now, End, now // what waited for us may be about to come
	}
	f.connected = s.Connected
	if !f.started {
		f.started, f.moving = true, now
	}
	target := now.minus(f.lateness)
	hindered := !s.Connected || s.Blocked
	caughtUp := now.minus(quiet) >= f.quietFrom || f.lastStamp >= target
	if hindered || caughtUp {
		f.behind, f.nearing = End, now
	}
	switch {
	case f.closed:
		target = End
		f.moving = now
	case !hindered && (caughtUp || now.minus(patience) >= f.nearing):
		f.moving = now
	case f.maxStall > 0 && now.minus(f.maxStall) >= f.moving:
		// Stalled for too long: go on, but keep the clock of the stall running.
	default:
		return f.at
	}
	f.at = max(f.at, min(target, s.Unread))
	return f.at
}

// Minimum returns the frontier of a graph whose sources have these: the earliest.
// It is End where there are none.
func Minimum(frontiers ...Time) Time {
	if len(frontiers) == 0 {
		return End
	}
	return slices.Min(frontiers)
}
