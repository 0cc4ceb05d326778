// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/endpointtest"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSource(t *testing.T) {
	endpointtest.TestSource(t, func(t *testing.T) *endpointtest.SourceRig {
		s := memory.NewSource(0)
		return &endpointtest.SourceRig{
			Source: s,
			Publish: func(messages ...*message.Message) {
				if err := s.Publish(messages...); err != nil {
					t.Errorf("Publish: %v", err)
				}
			},
			Unsettled: s.Unsettled,
			Reopen:    func() endpoint.Source { return s },
		}
	})
}

func TestSink(t *testing.T) {
	endpointtest.TestSink(t, func(*testing.T) *endpointtest.SinkRig {
		var got []*message.Message
		return &endpointtest.SinkRig{
			Sink:     memory.NewSink(func(m *message.Message) error { got = append(got, m); return nil }),
			Received: func() []*message.Message { return got },
		}
	})
}

// TestWindow checks that a source delivers no more than its window unsettled.
func TestWindow(t *testing.T) {
	s := memory.NewSource(2)
	if err := s.Publish(endpointtest.Messages(5)...); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Publish(endpointtest.Messages(1)...); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("Publish after Close = %v, want ErrClosed", err)
	}
	var out []func()
	most := 0
	err := s.Run(t.Context(), func(d endpoint.Delivery) {
		out = append(out, d.Settle)
		most = max(most, len(out))
		if len(out) == 2 {
			for _, settle := range out {
				settle()
			}
			out = nil
		}
	}, nil)
	if err != nil || most != 2 || len(out) != 1 {
		t.Errorf("Run = %v with at most %d out and %d left; want nil, 2, 1", err, most, len(out))
	}
	if s.Unsettled() != 1 {
		t.Errorf("Unsettled = %d, want 1", s.Unsettled())
	}
	out[0]()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait = %v", err)
	}
}

// TestChain joins a sink to a source.
func TestChain(t *testing.T) {
	s := memory.NewSource(0)
	sink := memory.NewSink(func(m *message.Message) error { return s.Publish(m) })
	for _, m := range endpointtest.Messages(3) {
		if err := sink.Send(context.Background(), m, func(err error) {
			if err != nil {
				t.Errorf("done: %v", err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	n := 0
	if err := s.Run(t.Context(), func(endpoint.Delivery) { n++ }, nil); err != nil || n != 3 {
		t.Errorf("Run = %v after %d messages, want nil after 3", err, n)
	}
}
