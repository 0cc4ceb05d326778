// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/kafka"
	"github.com/wasm-graph/graphd/engine/message"
)

func newSource(t *testing.T, config kafka.Config, topics ...string) *kafka.Source {
	t.Helper()
	s, err := kafka.NewSource(config, append(topics, topic)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSink(t *testing.T, config kafka.Config, to string) *kafka.Sink {
	t.Helper()
	s, err := kafka.NewSink(config, to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// numbered returns so many records for each partition, named partition.number.
func numbered(partitions, each int) []*kgo.Record {
	var all []*kgo.Record
	for n := range each {
		for p := range partitions {
			all = append(all, &kgo.Record{Partition: int32(p), Value: fmt.Appendf(nil, "%d.%d", p, n)})
		}
	}
	return all
}

// confirmations takes what becomes of messages.
type confirmations struct {
	mu   sync.Mutex
	errs []error
}

func (c *confirmations) done(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

// all waits for n confirmations and returns them.
func (c *confirmations) all(t *testing.T, n int) []error {
	t.Helper()
	var got []error
	eventually(t, fmt.Sprintf("%d are confirmed", n), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		got = slices.Clone(c.errs)
		return len(got) >= n
	})
	return got
}

// send sends messages and waits until all are confirmed, without an error.
func send(t *testing.T, s *kafka.Sink, messages ...*message.Message) {
	t.Helper()
	var c confirmations
	for _, m := range messages {
		if err := s.Send(t.Context(), m, c.done); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.all(t, len(messages))...); err != nil {
		t.Fatal(err)
	}
}

// TestRebalance takes partitions from a source by a second one: what the first has
// settled goes on where it was, and what it has not comes again, to the second.
func TestRebalance(t *testing.T) {
	const partitions, each = 4, 50
	c := newCluster(t, partitions)
	c.produce(numbered(partitions, each)...)
	first, second := newSource(t, c.config()), newSource(t, c.config())
	r1 := runSource(t, first)
	before := r1.all(partitions * each)
	unsettled := map[string]bool{}
	for i, d := range before {
		if i%each < each/2 {
			d.Settle()
		} else {
			unsettled[string(d.Message.Payload)] = true
		}
	}
	eventually(t, "what is settled is committed", func() bool { return c.committed() > 0 })
	r2 := runSource(t, second)
	if _, err := c.WaitGroupStable(t.Context(), "group", 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second has partitions", second.Connected)
	for _, d := range before { // void, where the partition has gone
		if unsettled[string(d.Message.Payload)] {
			d.Settle()
		}
	}
	c.produce(numbered(partitions, 1)...)
	settled := 0
	eventually(t, "everything is committed", func() bool {
		got := r2.all(0)
		for _, d := range got[settled:] {
			d.Settle()
		}
		for _, d := range r1.all(0)[len(before):] {
			if string(d.Message.Payload) == "settled" {
				continue
			}
			d.Settle()
			d.Message.Payload = []byte("settled")
		}
		settled = len(got)
		return c.committed() == partitions*(each+1)
	})
	for _, d := range r2.all(0) {
		if p := string(d.Message.Payload); !unsettled[p] && !strings.HasSuffix(p, ".0") && d.Redelivered == false {
			t.Errorf("%s came to the second and is not called a redelivery", p)
		}
	}
	if len(r2.all(0)) == 0 {
		t.Error("nothing came to the second")
	}
	if err := errors.Join(r1.end(), r2.end()); err != nil {
		t.Error(err)
	}
}

// TestMembers: where one of two ends, the other gets everything.
func TestMembers(t *testing.T) {
	c := newCluster(t, 2)
	r1, r2 := runSource(t, newSource(t, c.config())), runSource(t, newSource(t, c.config()))
	if _, err := c.WaitGroupStable(t.Context(), "group", 2); err != nil {
		t.Fatal(err)
	}
	if err := r1.end(); err != nil {
		t.Error(err)
	}
	c.produce(numbered(2, 10)...)
	seen := map[string]bool{}
	eventually(t, "all are there", func() bool {
		for _, d := range r2.all(0) {
			seen[string(d.Message.Payload)] = true
		}
		return len(seen) == 20
	})
	if err := r2.end(); err != nil {
		t.Error(err)
	}
}

// TestInstance: who comes back under its name has its partitions without waiting for
// itself to be missed.
func TestInstance(t *testing.T) {
	c := newCluster(t, 1)
	config := c.config()
	config.Instance = "me"
	c.produce(numbered(1, 3)...)
	r := runSource(t, newSource(t, config))
	r.all(3)[0].Settle()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	r = runSource(t, newSource(t, config))
	if got, want := payloads(r.all(2)), []string{"0.1", "0.2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

// TestPositions: a position says which record of which partition, and each has its own.
func TestPositions(t *testing.T) {
	c := newCluster(t, 3)
	c.produce(numbered(3, 20)...)
	r := runSource(t, newSource(t, c.config()))
	seen := map[uint64]bool{}
	for _, d := range r.all(60) {
		if d.Position.Slot == 0 || d.Position.Digest == 0 || seen[d.Position.Slot] || d.Redelivered {
			t.Errorf("%s is at %+v, redelivered %v", d.Message.Payload, d.Position, d.Redelivered)
		}
		seen[d.Position.Slot] = true
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	// All may have been delivered before, and what nobody had is not told from those.
	c.produce(numbered(1, 1)...)
	r = runSource(t, newSource(t, c.config()))
	for _, d := range r.all(61) {
		if !d.Redelivered {
			t.Errorf("%s is not called a redelivery", d.Message.Payload)
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

// TestGap: records far behind what is committed are delivered, where there is nothing
// between.
func TestGap(t *testing.T) {
	c := newCluster(t, 1)
	r := runSource(t, newSource(t, c.config()))
	c.produce(numbered(1, 1)...)
	r.all(1)[0].Settle()
	eventually(t, "it is committed", func() bool { return c.committed() == 1 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	value := []byte("x")
	many := make([]*kgo.Record, kafka.Window+10)
	for i := range many {
		many[i] = &kgo.Record{Value: value}
	}
	c.produce(many...)
	c.produce(&kgo.Record{Value: []byte("last")})
	if err := c.DeleteRecords(topic, 0, kafka.Window+11); err != nil {
		t.Fatal(err)
	}
	r = runSource(t, newSource(t, c.config()))
	if got := r.all(1)[0]; string(got.Message.Payload) != "last" || got.Redelivered {
		t.Errorf("got %s, redelivered %v", got.Message.Payload, got.Redelivered)
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

// TestWindow: no more than Window offsets are delivered and not committed.
func TestWindow(t *testing.T) {
	c := newCluster(t, 1)
	value := []byte("x")
	many := make([]*kgo.Record, kafka.Window+1)
	for i := range many {
		many[i] = &kgo.Record{Value: value}
	}
	c.produce(many...)
	s := newSource(t, c.config())
	r := runSource(t, s)
	got := r.all(kafka.Window)
	if n := s.Stats().Received; n != kafka.Window {
		t.Errorf("%d are delivered, want %d", n, kafka.Window)
	}
	got[0].Settle()
	r.all(kafka.Window + 1)
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

// TestDownAtStart: a cluster that is not there yet is waited for, by both.
func TestDownAtStart(t *testing.T) {
	c := newCluster(t, 1)
	config := c.config()
	c.Close()
	source, sink := newSource(t, config), newSink(t, config, topic)
	r1, r2 := runSource(t, source), runSink(t, sink)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Send(ctx, &message.Message{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Send = %v", err)
	}
	if source.Connected() || sink.Connected() {
		t.Error("connected to nobody")
	}
	eventually(t, "both say why", func() bool { return endpoint.Trouble(source) != nil && endpoint.Trouble(sink) != nil })
	var port int
	fmt.Sscanf(config.Address[strings.LastIndex(config.Address, ":")+1:], "%d", &port)
	c = newCluster(t, 1, kfake.Ports(port))
	eventually(t, "both are connected", func() bool { return source.Connected() && sink.Connected() })
	if err := errors.Join(endpoint.Trouble(source), endpoint.Trouble(sink)); err != nil {
		t.Errorf("connected, and in trouble: %v", err)
	}
	send(t, sink, &message.Message{Payload: []byte("late")})
	if got := payloads(r1.all(1)); got[0] != "late" {
		t.Errorf("got %v", got)
	}
	c.Close()
	eventually(t, "both have noticed", func() bool { return !source.Connected() && !sink.Connected() })
	config.DrainTimeout = 1
	if err := errors.Join(r1.end(), r2.end()); err != nil {
		t.Error(err)
	}
}

// TestAuthentication: who we are is shown in every way, over TLS, and who is refused
// gives up.
func TestAuthentication(t *testing.T) {
	certificate, pool := selfSigned(t)
	for _, tt := range []struct {
		name, mechanism string
		sasl            kafka.SASL
	}{
		{"plain", "PLAIN", kafka.SASL{Mechanism: kafka.Plain, Username: "u", Password: "p"}},
		{"scram 256", "SCRAM-SHA-256", kafka.SASL{Mechanism: kafka.ScramSHA256, Username: "u", Password: "p"}},
		{"scram 512", "SCRAM-SHA-512", kafka.SASL{Mechanism: kafka.ScramSHA512, Username: "u", Password: "p"}},
		{"token", "", kafka.SASL{Token: func(context.Context) (string, error) { return "shown", nil }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			options := []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}})}
			if tt.mechanism != "" {
				options = append(options, kfake.EnableSASL(), kfake.Superuser(tt.mechanism, "u", "p"))
			}
			c := newCluster(t, 1, options...)
			var shown, refuse atomic.Bool
			// As Kafka answers, where this cluster only hangs up.
			c.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				response.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return response, nil, refuse.Load()
			})
			if tt.mechanism == "" { // which this cluster does not know
				acceptTokens(c, &shown)
			}
			config := c.config()
			config.SASL, config.TLS = tt.sasl, &tls.Config{RootCAs: pool}
			sink := newSink(t, config, topic)
			r := runSink(t, sink)
			send(t, sink, &message.Message{Payload: []byte("x")})
			source := newSource(t, config)
			r2 := runSource(t, source)
			r2.all(1)
			if err := errors.Join(r.end(), r2.end()); err != nil {
				t.Error(err)
			}
			if tt.mechanism == "" && !shown.Load() {
				t.Error("no token was shown")
			}
			refuse.Store(true)
			for _, r := range []*running{runSink(t, newSink(t, config, topic)), runSource(t, newSource(t, config))} {
				if err := r.wait(); err == nil || !strings.Contains(err.Error(), "SASL_AUTHENTICATION_FAILED") {
					t.Errorf("refused: %v", err)
				}
			}
			config.TLS = &tls.Config{} // trusts others
			s := newSink(t, config, topic)
			r = runSink(t, s)
			if s.Connected() {
				t.Error("connected to a broker that nobody vouches for")
			}
			if err := r.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// acceptTokens makes the cluster take the token "shown", by OAUTHBEARER.
func acceptTokens(c *cluster, shown *atomic.Bool) {
	c.ControlKey(int16(kmsg.SASLHandshake), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.SASLHandshakeResponse)
		response.SupportedMechanisms = []string{"OAUTHBEARER"}
		if request.(*kmsg.SASLHandshakeRequest).Mechanism != "OAUTHBEARER" {
			response.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return response, nil, true
	})
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if strings.Contains(string(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes), "auth=Bearer shown") {
			shown.Store(true)
		} else {
			response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		}
		return response, nil, true
	})
}

// TestTopicMissing: a sink to nowhere ends, and confirms nothing.
func TestTopicMissing(t *testing.T) {
	c := newCluster(t, 1)
	sink := newSink(t, c.config(), "nowhere")
	r := runSink(t, sink)
	if err := sink.Send(t.Context(), &message.Message{}, func(err error) { t.Errorf("confirmed with %v", err) }); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(); err == nil || !strings.Contains(err.Error(), "UNKNOWN_TOPIC_OR_PARTITION") {
		t.Errorf("Run = %v", err)
	}
	if err := sink.Send(t.Context(), &message.Message{}, nil); !errors.Is(err, kafka.ErrClosed) {
		t.Errorf("Send = %v", err)
	}
}

// TestFailures: what is wrong with a place, or with the sending, is told from what is wrong
// with a connection.
func TestFailures(t *testing.T) {
	answer := func(code int16) func(c *cluster) {
		return func(c *cluster) {
			c.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				p := request.(*kmsg.ProduceRequest)
				response := p.ResponseKind().(*kmsg.ProduceResponse)
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.TopicID = p.Topics[0].Topic, p.Topics[0].TopicID
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Topics[0].Partitions[0].Partition, code
				topic.Partitions = append(topic.Partitions, partition)
				response.Topics = append(response.Topics, topic)
				return response, nil, true
			})
		}
	}
	for _, tt := range []struct {
		name   string
		topic  string
		change func(c *cluster)
		want   error
	}{
		{"no such topic", "nowhere", func(*cluster) {}, endpoint.ErrConfiguration},
		{"not our topic", topic, answer(kerr.TopicAuthorizationFailed.Code), endpoint.ErrConfiguration},
		{"not sent", topic, answer(kerr.InvalidRequiredAcks.Code), endpoint.ErrSend},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, 1)
			tt.change(c)
			sink := newSink(t, c.config(), tt.topic)
			r := runSink(t, sink)
			if err := sink.Send(t.Context(), &message.Message{}, func(err error) { t.Errorf("confirmed with %v", err) }); err != nil {
				t.Fatal(err)
			}
			if err := r.wait(); !errors.Is(err, tt.want) {
				t.Errorf("Run = %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		c := newCluster(t, 1)
		sink := newSink(t, c.config(), topic)
		c.Close()
		r := runSink(t, sink)
		eventually(t, "it says why", func() bool { return sink.Trouble() != nil })
		var network net.Error
		if err := sink.Trouble(); !errors.As(err, &network) || errors.Is(err, endpoint.ErrConfiguration) || errors.Is(err, endpoint.ErrSend) {
			t.Errorf("trouble is %v", err)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// members returns who is in the group.
func (c *cluster) members() []string {
	c.t.Helper()
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{"group"}
	response, err := request.RequestWith(c.t.Context(), c.open())
	if err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for _, m := range response.Groups[0].Members {
		all = append(all, *m.InstanceID)
	}
	slices.Sort(all)
	return all
}

// TestRetire: one of two instances finishes what it was given, and leaves the group; nothing
// is lost, and nothing comes twice.
func TestRetire(t *testing.T) {
	const partitions, each = 4, 50
	c := newCluster(t, partitions)
	member := func(name string) (*kafka.Source, *running) {
		config := c.config()
		config.Instance = name
		s := newSource(t, config)
		return s, runSource(t, s)
	}
	_, r1 := member("one")
	two, r2 := member("two")
	if _, err := c.WaitGroupStable(t.Context(), "group", 2); err != nil {
		t.Fatal(err)
	}
	c.produce(numbered(partitions, each)...)
	eventually(t, "both have something", func() bool { return len(r1.all(0)) >= 1 && len(r2.all(0)) >= 1 })
	two.Retire()
	two.Retire()
	select {
	case err := <-r2.ended:
		t.Fatalf("retired with messages unsettled: %v", err)
	default:
	}
	if got := c.members(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("members are %v, before all is settled", got)
	}
	// What it delivered when it was told, and perhaps some that were on their way.
	finished := 0
	eventually(t, "one has retired", func() bool {
		got := r2.all(0)
		for _, d := range got[finished:] {
			d.Settle()
		}
		finished = len(got)
		return len(r2.ended) > 0
	})
	if err := r2.wait(); err != nil {
		t.Error(err)
	}
	if got := c.members(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("members are %v, when one has retired", got)
	}
	c.produce(numbered(partitions, 10)...)
	settled := 0
	eventually(t, "everything is committed", func() bool {
		got := r1.all(0)
		for _, d := range got[settled:] {
			d.Settle()
		}
		settled = len(got)
		return c.committed() == partitions*(each+10)
	})
	if got, want := len(r1.all(0))+len(r2.all(0)), partitions*(each+10); got != want {
		t.Errorf("%d deliveries, want %d", got, want)
	}
	if err := r1.end(); err != nil {
		t.Error(err)
	}
}

// TestTooLarge: a message that no broker takes is refused, and those that were in its
// batch are not.
func TestTooLarge(t *testing.T) {
	c := newCluster(t, 1)
	config := c.config()
	config.Batching = kafka.Batching{Latency: patience, MaxMessages: 5, MaxBytes: 2_000_000}
	// As a broker that takes small batches only.
	c.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := request.(*kmsg.ProduceRequest)
		if len(p.Topics[0].Partitions[0].Records) < 5000 {
			return nil, nil, false
		}
		response := p.ResponseKind().(*kmsg.ProduceResponse)
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = p.Topics[0].Topic, p.Topics[0].TopicID
		partition := kmsg.NewProduceResponseTopicPartition()
		partition.ErrorCode = 10
		topic.Partitions = append(topic.Partitions, partition)
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	sink := newSink(t, config, topic)
	r := runSink(t, sink)
	var got confirmations
	for n := range 5 {
		payload := []byte{byte('0' + n)}
		if n == 2 {
			payload = make([]byte, 6000)
		}
		if err := sink.Send(t.Context(), &message.Message{Payload: payload}, got.done); err != nil {
			t.Fatal(err)
		}
	}
	for n, err := range got.all(t, 5) {
		if (err != nil) != (n == 2) || err != nil && !strings.Contains(err.Error(), "MESSAGE_TOO_LARGE") {
			t.Errorf("message %d is confirmed with %v", n, err)
		}
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	var values []string
	for _, record := range c.held(topic) {
		values = append(values, string(record.Value))
	}
	if want := []string{"0", "1", "3", "4"}; !slices.Equal(values, want) {
		t.Errorf("the brokers have %q, want %q", values, want)
	}
	if s := sink.Stats(); s.Sent != 4 || s.Refused != 1 {
		t.Errorf("stats are %+v", s)
	}
}

// TestBatching counts batches, and looks at how they are compressed and acknowledged.
func TestBatching(t *testing.T) {
	for _, tt := range []struct {
		name    string
		config  kafka.Config
		acks    int16
		codec   int16
		batches int // of 10 messages, at least
	}{
		{"all at once", kafka.Config{Batching: kafka.Batching{Latency: patience, MaxMessages: 10}}, -1, 0, 1},
		{"by number", kafka.Config{Batching: kafka.Batching{Latency: patience, MaxMessages: 5}, Compression: kafka.Gzip, Acks: kafka.OneAck}, 1, 1, 2},
		{"by bytes", kafka.Config{Batching: kafka.Batching{Latency: patience, MaxBytes: 2000}, Compression: kafka.Snappy}, -1, 2, 5},
		{"each alone", kafka.Config{Batching: kafka.Batching{Disabled: true}, Compression: kafka.LZ4, Acks: kafka.NoAcks}, 0, 3, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, 1)
			var mu sync.Mutex
			batches := 0
			c.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				p := request.(*kmsg.ProduceRequest)
				var b kmsg.RecordBatch
				if err := b.ReadFrom(p.Topics[0].Partitions[0].Records); err != nil {
					t.Error(err)
				}
				batches++
				if limit := int32(10 / tt.batches); b.NumRecords > limit {
					t.Errorf("a batch of %d records, want %d at most", b.NumRecords, limit)
				}
				if p.Acks != tt.acks || b.Attributes&7 != tt.codec {
					t.Errorf("acks %d and codec %d, want %d and %d", p.Acks, b.Attributes&7, tt.acks, tt.codec)
				}
				return nil, nil, false
			})
			config := c.config()
			config.Batching, config.Acks, config.Compression = tt.config.Batching, tt.config.Acks, tt.config.Compression
			sink := newSink(t, config, topic)
			r := runSink(t, sink)
			var messages []*message.Message
			for range 10 {
				messages = append(messages, &message.Message{Payload: make([]byte, 1000)})
			}
			send(t, sink, messages...)
			if err := r.end(); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if tt.batches == 1 && batches != 1 {
				t.Errorf("%d batches, want one", batches)
			}
		})
	}
}

// TestPartitioning: where records go, and by which keys.
func TestPartitioning(t *testing.T) {
	for _, tt := range []struct {
		name       string
		how        kafka.Partitioning
		partitions int
		keys       []string
	}{
		{"round robin", kafka.RoundRobin, 4, []string{"", "", "", "", "", "", "", ""}},
		{"static", kafka.StaticPartition, 1, []string{"", "", "", "", "", "", "", ""}},
		{"topic", kafka.TopicPartition, 1, []string{"a/b", "a/b", "a/b", "a/b", "a/b", "a/b", "a/b", "a/b"}},
		{"property", kafka.PropertyPartition, 2, []string{"0", "0", "0", "0", "1", "1", "1", "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, 4)
			config := c.config()
			config.Partitioning, config.PartitionProperty = tt.how, "device"
			sink := newSink(t, config, topic)
			r := runSink(t, sink)
			for n := range 8 {
				send(t, sink, &message.Message{Topic: "a/b", Properties: []message.Property{{Key: "device", Value: fmt.Sprint(n % 2)}}})
			}
			if err := r.end(); err != nil {
				t.Error(err)
			}
			var keys []string
			partitions, byKey := map[int32]bool{}, map[string]int32{}
			for _, record := range c.held(topic) {
				key := string(record.Key)
				keys = append(keys, key)
				partitions[record.Partition] = true
				if at, ok := byKey[key]; ok && key != "" && at != record.Partition {
					t.Errorf("key %s is in the partitions %d and %d", key, at, record.Partition)
				}
				byKey[key] = record.Partition
			}
			slices.Sort(keys)
			if diff := cmp.Diff(tt.keys, keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if n := len(partitions); n > tt.partitions || tt.how == kafka.RoundRobin && n != 4 {
				t.Errorf("%d partitions, want %d", n, tt.partitions)
			}
		})
	}
}

// TestProducerForgotten: a sink whose producer id the brokers don't know, or don't take
// any more, as after an outage, gets another one by itself; nothing is lost, and nothing
// changes places.
func TestProducerForgotten(t *testing.T) {
	for _, refusal := range []*kerr.Error{
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping,
	} {
		t.Run(refusal.Message, func(t *testing.T) {
			c := newCluster(t, 1)
			requests := 0
			c.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if requests++; requests != 3 {
					return nil, nil, false
				}
				p := request.(*kmsg.ProduceRequest)
				response := p.ResponseKind().(*kmsg.ProduceResponse)
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.TopicID = p.Topics[0].Topic, p.Topics[0].TopicID
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.ErrorCode = refusal.Code
				topic.Partitions = append(topic.Partitions, partition)
				response.Topics = append(response.Topics, topic)
				return response, nil, true
			})
			sink := newSink(t, c.config(), topic)
			r := runSink(t, sink)
			var want []string
			for n := range 6 {
				want = append(want, fmt.Sprint(n))
				send(t, sink, &message.Message{Payload: []byte(want[n])})
			}
			if err := r.end(); err != nil {
				t.Error(err)
			}
			var got []string
			for _, record := range c.held(topic) {
				got = append(got, string(record.Value))
			}
			if !slices.Equal(got, want) {
				t.Errorf("the brokers have %q, want %q", got, want)
			}
		})
	}
}
