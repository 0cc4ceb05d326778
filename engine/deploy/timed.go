// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

// timedSink is a sink that tells how long one in latencyIsOfOneEvery messages was on its
// way, the first one included: looking at the clock twice for each would cost more than
// all other measurements together.
type timedSink struct {
	endpoint.Sink
	sent  func(time.Duration, error)
	count atomic.Uint64
}

// Trouble implements endpoint.Explainer.
func (s *timedSink) Trouble() error { return endpoint.Trouble(s.Sink) }

// Traffic implements endpoint.Counter.
func (s *timedSink) Traffic() endpoint.Traffic { return endpoint.Counted(s.Sink) }

// OmitsStamp implements endpoint.Unstamped.
func (s *timedSink) OmitsStamp() bool { return endpoint.OmitsStamp(s.Sink) }

// Send implements endpoint.Sink.
func (s *timedSink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	if (s.count.Add(1)-1)%latencyIsOfOneEvery != 0 {
		return s.Sink.Send(ctx, m, done)
	}
	began := time.Now()
	return s.Sink.Send(ctx, m, func(err error) {
		s.sent(time.Since(began), err)
		done(err)
	})
}
