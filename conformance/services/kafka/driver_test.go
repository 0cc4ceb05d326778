// SPDX-License-Identifier: Apache-2.0

//go:build services

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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
	got   *deliveries // of receive
}

func receive(t *testing.T, config kafka.Config) *member {
	t.Helper()
	var got deliveries
	m := join(t, config, got.take)
	m.got = &got
	return m
}

// deliveries are what a member has got.
type deliveries struct {
	mu  sync.Mutex
	all []endpoint.Delivery
}

func (g *deliveries) take(d endpoint.Delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, d)
}

// join runs a source that gives what it delivers to take.
func join(t *testing.T, config kafka.Config, take func(endpoint.Delivery)) *member {
	t.Helper()
	source, err := kafka.NewSource(config, "shared")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{t: t, stop: stop, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() { m.ended <- source.Run(ctx, take, m.flush) }()
	return m
}

func (m *member) wait(n int) []endpoint.Delivery {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		m.got.mu.Lock()
		got := m.got.all
		m.got.mu.Unlock()
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

// TestUnderLoad has members come to a group and go, and the broker killed, while records
// are produced and consumed: none is lost, and those of a key are in order when they come
// for the first time.
func TestUnderLoad(t *testing.T) {
	const keys, each = 8, 2500
	b := service.Start(t)
	b.CreateTopic("shared", 4)
	config := kafka.Config{Address: b.Addr, ClientID: "test", Group: "group", Partitioning: kafka.PropertyPartition, PartitionProperty: "key"}
	config.Batching.Latency = time.Millisecond
	sink, err := kafka.NewSink(config, "shared")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(ctx) }()

	var mu sync.Mutex
	next := make([]int, keys) // of each key, what has not come yet
	total := 0
	take := func(d endpoint.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		var key, number int
		if _, err := fmt.Sscanf(string(d.Message.Payload), "%d.%d", &key, &number); err != nil {
			t.Errorf("%q: %v", d.Message.Payload, err)
		}
		switch {
		case number == next[key]:
			next[key]++
			total++
		case number > next[key]:
			t.Errorf("%d of key %d comes after %d", number, key, next[key]-1)
			next[key] = number + 1
		}
		d.Settle()
	}
	reach := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			got := total
			mu.Unlock()
			if got >= n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d have come, want %d; sink: %v", got, n, endpoint.Trouble(sink))
			}
		}
	}
	var confirmed sync.WaitGroup
	sent := make(chan error, 1)
	confirmed.Add(keys * each)
	go func() {
		for n := range keys * each {
			key := fmt.Sprint(n % keys)
			m := &message.Message{Payload: fmt.Appendf(nil, "%s.%d", key, n/keys), Properties: []message.Property{{Key: "key", Value: key}}}
			if err := sink.Send(ctx, m, func(err error) {
				if err != nil {
					t.Error(err)
				}
				confirmed.Done()
			}); err != nil {
				sent <- err
				return
			}
			if n%200 == 0 {
				time.Sleep(10 * time.Millisecond) // so that it lasts as long as what happens meanwhile
			}
		}
		sent <- nil
	}()

	const all = keys * each
	first := join(t, config, take)
	reach(all / 10)
	second := join(t, config, take)
	reach(2 * all / 10)
	first.end()
	reach(3 * all / 10)
	b.Restart()
	reach(5 * all / 10)
	third := join(t, config, take)
	reach(7 * all / 10)
	second.end()
	reach(all)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	confirmed.Wait()
	third.end()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHeaders: headers that can't be user properties are left out of a record of a real
// broker, and the rest goes on.
func TestHeaders(t *testing.T) {
	b := service.Start(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: "shared", Key: []byte("k"), Value: []byte{0xff, 0}, Headers: []kgo.RecordHeader{
		{Key: "foo", Value: []byte("\xa1\x03bar")}, // as producers by AMQP have it
		{Key: "long", Value: make([]byte, 64<<10)},
		{Key: "kept", Value: []byte("ä")},
		{Key: "Content Type", Value: []byte("text/plain")},
	}}
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	m := receive(t, kafka.Config{Address: b.Addr, ClientID: "test", Group: "group"})
	got := m.wait(1)[0].Message
	m.end()
	if string(got.Payload) != "\xff\x00" || got.ContentType != "text/plain" {
		t.Errorf("got %q of type %q", got.Payload, got.ContentType)
	}
	var kept []string
	for _, p := range got.Properties {
		if p.Key != "Timestamp" {
			kept = append(kept, p.Key+"="+p.Value)
		}
	}
	if want := []string{"Key=k", "kept=ä"}; !slices.Equal(kept, want) {
		t.Errorf("properties are %q, want %q", kept, want)
	}
}
