// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Replay feeds a graph that runs in virtual time. What comes out depends on the moments
// and on AsRecorded, never on Speed.
type Replay struct {
	Moments Moments
	// Sources are the places of the graph's sources, by the place of the recording's.
	Sources []int
	Virtual *schedule.VirtualTime
	// AsRecorded makes time, and the frontier, what they were when it was recorded.
	// Otherwise they follow the messages' own times.
	AsRecorded bool
	// Speed is how much faster than when it was recorded the moments are played, in real
	// time; 0: as fast as they are taken.
	Speed float64
	// Until reports whether a moment is beyond where the replay is to end; nil: none is.
	Until func(Moment) bool
	// Clock is what Speed is measured by; default: the machine's.
	Clock schedule.Clock

	damage *Damage
	played atomic.Uint64
	done   atomic.Int64
	total  atomic.Int64
}

// Damage returns what kept the recording from being played to its end, after Feed; nil
// if nothing did.
func (r *Replay) Damage() *Damage { return r.damage }

// Progress returns how many messages were played so far and, in units of the Moments, how
// much was read of how much. It may be called from any goroutine.
func (r *Replay) Progress() (messages uint64, done, total int64) {
	return r.played.Load(), r.done.Load(), r.total.Load()
}

// Feed is an engine.Config.Feed. It ends without an error where the recording is
// damaged; Damage tells then.
func (r *Replay) Feed(ctx context.Context, take func(source int, d endpoint.Delivery) error) error {
	pace := pacer{speed: r.Speed, clock: r.Clock}
	if pace.clock == nil {
		pace.clock = schedule.SystemClock{}
	}
	for {
		m, err := r.Moments.Next()
		var damage *Damage
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &damage):
			r.damage = damage
			return nil
		case err != nil:
			return err
		case r.Until != nil && r.Until(m):
			return schedule.ErrHalt
		}
		if err := pace.wait(ctx, m.When()); err != nil {
			return err
		}
		if r.AsRecorded {
			r.Virtual.Set(m.At, m.Frontier)
		}
		var d endpoint.Delivery
		if m.Message != nil {
			d.Message = m.delivered()
			r.played.Add(1)
		}
		if err := take(r.Sources[m.Source], d); err != nil {
			return err
		}
		done, total := r.Moments.Progress()
		r.done.Store(done)
		r.total.Store(total)
	}
}

// When returns when the moment was: by the recording or, where that doesn't know, by
// the message. It is zero where nobody knows.
func (m Moment) When() time.Time {
	if m.At.IsZero() && m.Stamped {
		return m.Message.Time.Time()
	}
	return m.At
}

// delivered returns the moment's message as a source delivers it.
func (m Moment) delivered() *message.Message {
	d := m.Message.Clone()
	d.Properties = slices.Clone(d.Properties)
	if m.Stamped {
		d.Properties = slices.Insert(d.Properties, 0, message.Property{Key: endpoint.StampProperty, Value: d.Time.String()})
	}
	return d
}

// pacer waits until it is time.
type pacer struct {
	speed float64
	clock schedule.Clock
	first time.Time // of the recording
	begin time.Time // of the replay
}

func (p *pacer) wait(ctx context.Context, at time.Time) error {
	if p.speed <= 0 || at.IsZero() {
		return ctx.Err()
	}
	if p.begin.IsZero() {
		p.first, p.begin = at, p.clock.Now()
	}
	due := p.begin.Add(time.Duration(float64(at.Sub(p.first)) / p.speed))
	if d := due.Sub(p.clock.Now()); d > 0 {
		return p.clock.Sleep(ctx, d)
	}
	return ctx.Err()
}
