// SPDX-License-Identifier: Apache-2.0

//go:build services

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	service "github.com/wasm-graph/graphd/conformance/services/kafka"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/kafka"
	"github.com/wasm-graph/graphd/engine/message"
)

// TestDriver sends messages through Apache Kafka with each codec and acknowledgement, and
// has two members of a group share a topic: one gets what the other leaves unsettled.
func TestDriver(t *testing.T) {
	b := service.Start(t)
	config := kafka.Config{Address: b.Addr, ClientID: "test", Group: "group"}
	sent := 0
	for codec := kafka.NoCompression; codec <= kafka.LZ4; codec++ {
		for acks := kafka.AllAcks; acks <= kafka.NoAcks; acks++ {
			c := config
			c.Compression, c.Acks, c.Batching.Latency = codec, acks, 5*time.Millisecond
			sink, err := kafka.NewSink(c, "shared")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- sink.Run(ctx) }()
			var confirmed sync.WaitGroup
			for range 100 {
				confirmed.Add(1)
				m := &message.Message{Payload: fmt.Appendf(nil, "%d", sent)}
				if err := sink.Send(ctx, m, func(err error) {
					if err != nil {
						t.Error(err)
					}
					confirmed.Done()
				}); err != nil {
					t.Fatal(err)
				}
				sent++
			}
			confirmed.Wait()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}

	first := receive(t, config)
	got := first.wait(sent)
	for i, d := range got {
		if want := fmt.Sprint(i); string(d.Message.Payload) != want || d.Redelivered {
			t.Fatalf("message %s is %s, redelivered %v", want, d.Message.Payload, d.Redelivered)
		}
		if i < sent/2 {
			d.Settle()
		}
	}
	first.end()
	second := receive(t, config)
	for i, d := range second.wait(sent / 2) {
		if want := got[sent/2+i]; string(d.Message.Payload) != string(want.Message.Payload) || !d.Redelivered || d.Position != want.Position {
			t.Fatalf("message %d is %s at %+v, redelivered %v", sent/2+i, d.Message.Payload, d.Position, d.Redelivered)
		}
		d.Settle()
	}
	second.end()
}

// member is a source that runs.
type member struct {
	t     *testing.T
	stop  context.CancelFunc
	flush chan struct{}
	ended chan error

	mu  sync.Mutex
	got []endpoint.Delivery
}

func receive(t *testing.T, config kafka.Config) *member {
	t.Helper()
	source, err := kafka.NewSource(config, "shared")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{t: t, stop: stop, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		m.ended <- source.Run(ctx, func(d endpoint.Delivery) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.got = append(m.got, d)
		}, m.flush)
	}()
	return m
}

func (m *member) wait(n int) []endpoint.Delivery {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		m.mu.Lock()
		got := m.got
		m.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			m.t.Fatal(errors.New("nothing more came"), len(got))
		}
	}
}

func (m *member) end() {
	m.t.Helper()
	m.stop()
	close(m.flush)
	if err := <-m.ended; err != nil {
		m.t.Error(err)
	}
}
