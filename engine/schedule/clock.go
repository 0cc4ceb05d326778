// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine/progress"
)

// Clock is where a worker gets the time from.
type Clock interface {
	Now() time.Time
	// Sleep returns nil after d, or ctx's error when ctx ends before.
	Sleep(ctx context.Context, d time.Duration) error
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ErrHalt ends a run in virtual time where its input is not at its end.
var ErrHalt = errors.New("schedule: the input is read no further")

// VirtualTime is a clock that follows the input instead of the machine's clock: a
// message with a stamp moves it there, if that is later, one without moves it on by
// a millisecond. Or it follows a recording of another clock, by Set. It is safe for
// concurrent use.
type VirtualTime struct {
	mu     sync.Mutex
	millis int64
	latest int64          // of all messages
	set    *progress.Time // the frontier, once it was set
}

// virtualStart is where virtual time starts where nothing says otherwise.
func virtualStart() time.Time { return time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC) }

// NewVirtualTime returns a clock that stands at start, which is the time of the
// first message; where that has none, start is the zero Time, and the clock stands
// just before the first millisecond of 2020.
func NewVirtualTime(start time.Time) *VirtualTime {
	if start.IsZero() {
		start = virtualStart()
	}
	return &VirtualTime{millis: start.UnixMilli(), latest: math.MinInt64}
}

// Now implements Clock.
func (v *VirtualTime) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.UnixMilli(v.millis).UTC()
}

// Sleep implements Clock; it returns at once.
func (v *VirtualTime) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Set moves the clock to now and the frontier to where it is given. From the first
// call on, both stand wherever they were set last, and no stamp moves them. Neither
// goes back.
func (v *VirtualTime) Set(now time.Time, frontier progress.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.millis = max(v.millis, now.UnixMilli())
	if v.set != nil {
		frontier = max(frontier, *v.set)
	}
	v.set = &frontier
}

// follow moves the clock with a message that has this stamp, or none, and returns
// the message's time.
func (v *VirtualTime) follow(millis int64, stamped bool) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !stamped {
		v.millis++
		millis = v.millis
	}
	if v.set == nil {
		v.millis = max(v.millis, millis)
	}
	v.latest = max(v.latest, millis)
	return millis
}

// frontier is the lateness behind the latest message, or where it was set.
func (v *VirtualTime) frontier(lateness int64) progress.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.set != nil {
		return *v.set
	}
	if v.latest < math.MinInt64+lateness {
		return progress.Beginning
	}
	return progress.Time(v.latest - lateness)
}
