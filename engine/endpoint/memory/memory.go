// SPDX-License-Identifier: Apache-2.0

// Package memory is the endpoint driver without I/O: a Source that is fed by
// calls, with the delivery rules of a broker (a window of unacknowledged messages,
// redelivery of what was not acknowledged), and a Sink that hands messages to a
// function. A Sink over a Source's Publish joins two graphs of one process.
package memory

import (
	"context"
	"errors"
	"sync"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

// DefaultWindow is how many messages a Source delivers without an acknowledgement
// unless it is told otherwise.
const DefaultWindow = 1024

// ErrClosed says that a source takes no more messages.
var ErrClosed = errors.New("memory: source is closed")

var (
	_ endpoint.Source = (*Source)(nil)
	_ endpoint.Sink   = (*Sink)(nil)
)

// Source delivers the messages given to Publish. At most window of them are out at
// a time: delivered and not settled. What is not settled when Run returns is
// delivered again by the next Run, before anything else and in the old order. It is
// safe for concurrent use; one Run at a time.
type Source struct {
	window int

	mu      sync.Mutex
	items   []*item       // published and not acknowledged, oldest first
	count   uint64        // published since the beginning
	next    int           // index in items of the first that this run has not delivered
	closed  bool          // no more will be published
	running bool          // a Run is receiving
	changed chan struct{} // closed and replaced whenever any of the above changes
}

type item struct {
	message   *message.Message
	sequence  uint64 // from 0, in the order of publishing
	delivered bool   // at least once
	settled   bool
}

// NewSource returns a Source with the given window, or DefaultWindow if that is 0.
func NewSource(window int) *Source {
	if window <= 0 {
		window = DefaultWindow
	}
	return &Source{window: window, changed: make(chan struct{})}
}

// Publish adds messages to be delivered. It does not block: a Source holds any
// number of messages. It copies them, but not their payloads. After Close it
// returns ErrClosed.
func (s *Source) Publish(messages ...*message.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, m := range messages {
		s.items = append(s.items, &item{message: m.Clone(), sequence: s.count})
		s.count++
	}
	s.signal()
	return nil
}

// Close ends the input: once everything published before is delivered, Run returns.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.signal()
}

// Unsettled returns how many messages are published and not yet acknowledged.
// Acknowledgements go in order: a message counts until all before it are settled.
func (s *Source) Unsettled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// Wait returns nil once every message published is acknowledged, or ctx's error.
func (s *Source) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		left, changed := len(s.items), s.changed
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run implements endpoint.Source.
func (s *Source) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	s.mu.Lock()
	s.next, s.running = 0, true // what is still there was not acknowledged: deliver it again
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running = false
		s.mu.Unlock()
	}()
	for ctx.Err() == nil {
		it, again, changed, end := s.take()
		switch {
		case it != nil:
			m := it.message.Clone() // the receiver owns what it gets, and a redelivery needs it once more
			m.Properties = append([]message.Property(nil), m.Properties...)
			emit(endpoint.Delivery{
				Message: m, Settle: func() { s.settle(it) }, Redelivered: again,
				// Never are more than a window of messages out, so they have different slots.
				Position: endpoint.Position{Slot: it.sequence%uint64(s.window) + 1, Digest: it.sequence},
			})
			continue
		case end:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	<-flush
	return nil
}

// take returns the next item to deliver, and whether it was delivered before; or nil
// and a channel that is closed when there may be one, or that there will be none.
func (s *Source) take() (it *item, again bool, changed <-chan struct{}, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next < len(s.items) && s.next < s.window {
		it = s.items[s.next]
		s.next++
		again, it.delivered = it.delivered, true
		return it, again, nil, false
	}
	return nil, false, s.changed, s.closed && s.next == len(s.items)
}

func (s *Source) settle(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it.settled = true
	done := 0
	for done < len(s.items) && s.items[done].settled {
		done++
	}
	if done == 0 {
		return
	}
	clear(s.items[:done])
	s.items = s.items[done:]
	s.next = max(0, s.next-done)
	s.signal()
}

// signal wakes all who wait for a change; s.mu is held.
func (s *Source) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Connected implements endpoint.Source.
func (s *Source) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// Sink hands each message to a function. It is always connected.
type Sink struct {
	take func(*message.Message) error
}

// NewSink returns a Sink that calls take with each message, from the goroutine that
// sends, so one at a time. The message is take's own, but for its payload, which
// must not be written to. An error of take means that the message can never be
// delivered.
func NewSink(take func(*message.Message) error) *Sink { return &Sink{take: take} }

// Run implements endpoint.Sink.
func (s *Sink) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Send implements endpoint.Sink; done is called before it returns.
func (s *Sink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	own := m.Clone()
	own.Properties = append([]message.Property(nil), m.Properties...)
	done(s.take(own))
	return nil
}

// Connected implements endpoint.Sink.
func (s *Sink) Connected() bool { return true }
