// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/endpointtest"
	"github.com/wasm-graph/graphd/engine/endpoint/kafka"
	"github.com/wasm-graph/graphd/engine/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds each wait for something that must happen.
const patience = 20 * time.Second

const topic = "telemetry"

// cluster is a Kafka cluster in this process, with a client of the test's own.
type cluster struct {
	*kfake.Cluster
	t      *testing.T
	client *kgo.Client
}

func newCluster(t *testing.T, partitions int32, options ...kfake.Opt) *cluster {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return &cluster{Cluster: fake, t: t}
}

// open connects the test's own client.
func (c *cluster) open(options ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	if c.client == nil {
		client, err := kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		}, options...)...)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(client.Close)
		c.client = client
	}
	return c.client
}

// config returns that of a client of the cluster.
func (c *cluster) config() kafka.Config {
	return kafka.Config{
		Address: strings.Join(c.ListenAddrs(), ","), ClientID: "test", Group: "group",
		CommitInterval: time.Millisecond, MaxBackoff: 50 * time.Millisecond, DrainTimeout: 10 * time.Second,
	}
}

// produce appends records to a partition of the topic.
func (c *cluster) produce(records ...*kgo.Record) {
	c.t.Helper()
	for _, r := range records {
		r.Topic = topic
	}
	if err := c.open().ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// committed returns the sum of the group's offsets.
func (c *cluster) committed() int {
	c.t.Helper()
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = "group"
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = "group"
	request.Groups = append(request.Groups, group)
	response, err := request.RequestWith(c.t.Context(), c.open())
	if err != nil {
		c.t.Fatal(err)
	}
	sum := 0
	for _, g := range response.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				sum += int(max(p.Offset, 0))
			}
		}
	}
	return sum
}

// held returns all records of the topic's partitions, in the order of each.
func (c *cluster) held(from string) []*kgo.Record {
	c.t.Helper()
	var want int
	places := map[int32]kgo.Offset{}
	for _, p := range c.PartitionInfos(from) {
		want += int(p.HighWatermark)
		places[p.Partition] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{from: places}))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var records []*kgo.Record
	for len(records) < want && ctx.Err() == nil {
		records = append(records, client.PollFetches(ctx).Records()...)
	}
	return records
}

// record is m as the sinks of others would write it.
func record(m *message.Message) *kgo.Record {
	r := &kgo.Record{Value: m.Payload}
	if m.ContentType != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "Content Type", Value: []byte(m.ContentType)})
	}
	for _, p := range m.Properties {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: p.Key, Value: []byte(p.Value)})
	}
	return r
}

// plain is a source without what only Kafka tells, that the suite doesn't know.
type plain struct{ endpoint.Source }

func (s plain) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	return s.Source.Run(ctx, func(d endpoint.Delivery) {
		d.Message.Properties = slices.DeleteFunc(d.Message.Properties, func(p message.Property) bool { return p.Key == "Timestamp" })
		emit(d)
	}, flush)
}

func TestSource(t *testing.T) {
	endpointtest.TestSource(t, func(t *testing.T) *endpointtest.SourceRig {
		c := newCluster(t, 1)
		open := func() endpoint.Source {
			s, err := kafka.NewSource(c.config(), topic)
			if err != nil {
				t.Fatal(err)
			}
			return plain{s}
		}
		published := 0
		return &endpointtest.SourceRig{
			Source: open(),
			Publish: func(messages ...*message.Message) {
				for _, m := range messages {
					c.produce(record(m))
				}
				published += len(messages)
			},
			Unsettled: func() int { return published - c.committed() },
			Reopen:    open,
		}
	})
}

func TestSink(t *testing.T) {
	endpointtest.TestSink(t, func(t *testing.T) *endpointtest.SinkRig {
		c := newCluster(t, 1)
		s, err := kafka.NewSink(c.config(), topic)
		if err != nil {
			t.Fatal(err)
		}
		return &endpointtest.SinkRig{Sink: s, Received: func() []*message.Message {
			var all []*message.Message
			for _, r := range c.held(topic) {
				m := &message.Message{Topic: r.Topic, Payload: r.Value}
				for _, h := range r.Headers {
					if h.Key == "Content Type" {
						m.ContentType = string(h.Value)
					} else {
						m.Properties = append(m.Properties, message.Property{Key: h.Key, Value: string(h.Value)})
					}
				}
				all = append(all, m)
			}
			return all
		}}
	})
}

// running is a source or a sink that runs, and what it delivered.
type running struct {
	t         *testing.T
	stop      context.CancelFunc
	flush     chan struct{}
	ended     chan error
	mu        sync.Mutex
	delivered []endpoint.Delivery
}

func runSource(t *testing.T, s endpoint.Source) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, stop: stop, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		r.ended <- s.Run(ctx, func(d endpoint.Delivery) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.delivered = append(r.delivered, d)
		}, r.flush)
	}()
	return r
}

func runSink(t *testing.T, s endpoint.Sink) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, stop: stop, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	return r
}

// all waits for n deliveries and returns all there are.
func (r *running) all(n int) []endpoint.Delivery {
	r.t.Helper()
	var got []endpoint.Delivery
	eventually(r.t, fmt.Sprintf("%d are delivered", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = slices.Clone(r.delivered)
		return len(got) >= n
	})
	return got
}

// end ends the run and returns its error.
func (r *running) end() error {
	r.t.Helper()
	r.stop()
	close(r.flush)
	return r.wait()
}

func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		r.t.Fatal("Run did not return")
		return nil
	}
}

func payloads(deliveries []endpoint.Delivery) []string {
	var all []string
	for _, d := range deliveries {
		all = append(all, string(d.Message.Payload))
	}
	return all
}

// eventually waits for a condition that a cluster brings about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
		time.Sleep(pause)
	}
}
