// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

var (
	_ endpoint.Source = (*Source)(nil)
	_ endpoint.Sink   = (*Sink)(nil)
)

// Source plays an Input, once and as fast as it is taken. Its messages need no
// settlement.
type Source struct {
	input Input
	read  atomic.Uint64
	ended atomic.Bool
}

// NewSource returns a Source of what input still holds. It doesn't close input.
func NewSource(input Input) *Source { return &Source{input: input} }

// Run implements endpoint.Source. It ends with the input.
func (s *Source) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	defer s.ended.Store(true)
	for ctx.Err() == nil {
		r, err := s.input.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.read.Add(1)
		emit(endpoint.Delivery{Message: r.Message()})
	}
	<-flush
	return nil
}

// Connected implements endpoint.Source: it is until the input has ended.
func (s *Source) Connected() bool { return !s.ended.Load() }

// Read returns how many messages were read so far.
func (s *Source) Read() uint64 { return s.read.Load() }

// Sink writes a recording. When that fails, it takes no more and its Run ends with
// the error; a message that can't be written down (ErrText) is only undeliverable.
type Sink struct {
	writer *Writer
	failed chan struct{} // closed when err is set
	err    error
}

// NewSink returns a Sink that writes to w, from the goroutine that sends.
func NewSink(w *Writer) *Sink { return &Sink{writer: w, failed: make(chan struct{})} }

// Run implements endpoint.Sink.
func (s *Sink) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-s.failed:
		return s.err
	}
	select {
	case <-s.failed: // both may be true
		return s.err
	default:
		return nil
	}
}

// Send implements endpoint.Sink. Messages are confirmed once they are written; after
// a failure it blocks until ctx ends.
func (s *Sink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.err == nil {
		err := s.writer.Write(Of(m))
		if err == nil || errors.Is(err, ErrText) {
			done(err) // of this message only
			return nil
		}
		s.err = err
		close(s.failed)
	}
	<-ctx.Done()
	return ctx.Err()
}

// Connected implements endpoint.Sink.
func (s *Sink) Connected() bool { return true }
