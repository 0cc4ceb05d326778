// SPDX-License-Identifier: Apache-2.0

package hlc

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// DefaultMaxDrift is how far ahead of the local clock a timestamp may be, in the
// public SDKs and here.
const DefaultMaxDrift = 60 * time.Second

var (
	// ErrDrift reports a timestamp too far ahead of the local clock to be trusted.
	ErrDrift = errors.New("clock drift exceeds maximum")
	// ErrOverflow reports a counter that can't be raised any more.
	ErrOverflow = errors.New("counter overflow")
)

// Config says how a Clock works.
type Config struct {
	Node     string           // id of this node; a UUID outside virtual time
	Now      func() time.Time // physical time, of which whole milliseconds count
	MaxDrift time.Duration    // default DefaultMaxDrift; negative: no limit
}

// A Clock issues strictly increasing timestamps of one node. It is safe for
// concurrent use.
type Clock struct {
	node     string
	now      func() time.Time
	maxDrift int64 // milliseconds

	mu   sync.Mutex
	last Timestamp // guarded by mu
}

// NewClock returns a Clock that has issued nothing yet.
func NewClock(c Config) *Clock {
	drift := c.MaxDrift.Milliseconds()
	switch {
	case c.MaxDrift == 0:
		drift = DefaultMaxDrift.Milliseconds()
	case c.MaxDrift < 0:
		drift = math.MaxInt64
	}
	return &Clock{node: c.Node, now: c.Now, maxDrift: drift, last: Timestamp{Node: c.Node}}
}

// Node returns the id of this node.
func (c *Clock) Node() string { return c.node }

// Now returns a timestamp after every one issued or observed so far. It fails,
// and changes nothing, where that one would be too far ahead of physical time,
// because physical time was set back (ErrDrift), or has no counter left
// (ErrOverflow).
func (c *Clock) Now() (Timestamp, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.next(Timestamp{})
	if err != nil {
		return Timestamp{}, fmt.Errorf("hlc: read clock: %w", err)
	}
	c.last = t
	return t, nil
}

// Observe merges remote and returns a timestamp after both remote and every one
// issued or observed so far. A timestamp of this very node changes nothing: the
// last one is returned. If remote is too far ahead of physical time (ErrDrift), or
// has no counter left (ErrOverflow), the Clock is unchanged. Any past is accepted.
func (c *Clock) Observe(remote Timestamp) (Timestamp, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if remote.Node == c.node {
		return c.last, nil
	}
	t, err := c.next(remote)
	if err != nil {
		return Timestamp{}, fmt.Errorf("hlc: observe %v: %w", remote, err)
	}
	c.last = t
	return t, nil
}

// next returns the timestamp that follows the last one and other. Below the
// millisecond time does not count.
func (c *Clock) next(other Timestamp) (Timestamp, error) {
	wall := c.now().UnixMilli()
	if wall > c.last.Millis && wall > other.Millis {
		return Timestamp{Millis: wall, Node: c.node}, nil
	}
	t := Timestamp{Millis: max(c.last.Millis, other.Millis), Node: c.node}
	if c.last.Millis == t.Millis {
		t.Counter = c.last.Counter
	}
	if other.Millis == t.Millis {
		t.Counter = max(t.Counter, other.Counter)
	}
	if t.Counter++; t.Counter == 0 {
		return Timestamp{}, ErrOverflow
	}
	if c.maxDrift != math.MaxInt64 && t.Millis > wall+c.maxDrift {
		return Timestamp{}, fmt.Errorf("%d ms ahead, at most %d: %w", t.Millis-wall, c.maxDrift, ErrDrift)
	}
	return t, nil
}
