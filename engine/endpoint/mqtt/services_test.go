// SPDX-License-Identifier: Apache-2.0

//go:build services

package mqtt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/endpointtest"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
)

// transports are the ways to reach a broker.
var transports = []struct {
	name            string
	secure, sockets bool
}{{"TCP", false, false}, {"TLS", true, false}, {"WebSocket", false, true}, {"WebSocket with TLS", true, true}}

// reach returns a Config for a broker by one of the transports.
func reach(t *testing.T, b *mosquitto.Broker, secure, sockets bool) mqtt.Config {
	config := testConfig(t, b.Addr)
	if secure {
		config.Address, config.TLS = b.TLSAddr, b.ClientTLS
	}
	if sockets {
		config.Address, config.WebSocket = b.WSAddr, "/mqtt"
	}
	if secure && sockets {
		config.Address = b.WSSAddr
	}
	return config
}

// pub publishes by mosquitto_pub.
func pub(b *mosquitto.Broker, qos mqtt.QoS, messages ...*message.Message) {
	for _, m := range messages {
		args := []string{"-s", "-t", m.Topic, "-q", map[mqtt.QoS]string{mqtt.AtLeastOnce: "1", mqtt.AtMostOnce: "0"}[qos]}
		if m.ContentType != "" {
			args = append(args, "-D", "publish", "content-type", m.ContentType)
		}
		for _, p := range m.Properties {
			args = append(args, "-D", "publish", "user-property", p.Key, p.Value)
		}
		b.PublishFrom(bytes.NewReader(m.Payload), args...)
	}
}

func TestMosquittoSourceSuite(t *testing.T) {
	for _, transport := range transports {
		for _, qos := range []mqtt.QoS{mqtt.AtLeastOnce, mqtt.AtMostOnce} {
			t.Run(fmt.Sprintf("%s, QoS mode %d", transport.name, qos), func(t *testing.T) {
				endpointtest.TestSource(t, func(t *testing.T) *endpointtest.SourceRig {
					b := mosquitto.Start(t, mosquitto.Options{TLS: transport.secure, WebSockets: transport.sockets})
					config := reach(t, b, transport.secure, transport.sockets)
					config.QoS = qos
					return &endpointtest.SourceRig{
						Source:  newSource(t, config, "endpointtest/#"),
						Publish: func(messages ...*message.Message) { pub(b, qos, messages...) },
					}
				})
			})
		}
	}
}

func TestMosquittoSinkSuite(t *testing.T) {
	for _, transport := range transports {
		for _, qos := range []mqtt.QoS{mqtt.AtLeastOnce, mqtt.AtMostOnce} {
			t.Run(fmt.Sprintf("%s, QoS mode %d", transport.name, qos), func(t *testing.T) {
				endpointtest.TestSink(t, func(t *testing.T) *endpointtest.SinkRig {
					b := mosquitto.Start(t, mosquitto.Options{TLS: transport.secure, WebSockets: transport.sockets})
					config := reach(t, b, transport.secure, transport.sockets)
					config.QoS = qos
					subscriber := b.Subscribe("-t", "out", "-q", "1")
					var got []*message.Message
					var want atomic.Int64
					return &endpointtest.SinkRig{
						Sink: &counting{Sink: newSink(t, config, "out"), sent: &want},
						Received: func() []*message.Message {
							for len(got) < int(want.Load()) {
								m := subscriber.Next()
								received := &message.Message{Topic: m.Topic, Payload: m.Payload, ContentType: m.ContentType}
								for _, p := range m.UserProperties {
									received.Properties = append(received.Properties, message.Property{Key: p[0], Value: p[1]})
								}
								got = append(got, received)
							}
							return got
						},
					}
				})
			})
		}
	}
}

// counting counts what its sink took.
type counting struct {
	*mqtt.Sink
	sent *atomic.Int64
}

func (c *counting) Send(ctx context.Context, m *message.Message, done func(error)) error {
	err := c.Sink.Send(ctx, m, done)
	if err == nil {
		c.sent.Add(1)
	}
	return err
}

// An echo runs messages from a source to a sink, and acknowledges them when they
// have arrived there.
func runEcho(t *testing.T, source *mqtt.Source, sink *mqtt.Sink) {
	t.Helper()
	runSink(t, sink)
	runSource(t, source, func(d endpoint.Delivery) {
		err := sink.Send(t.Context(), d.Message, func(err error) {
			if err != nil {
				t.Error("done:", err)
			}
			if d.Settle != nil {
				d.Settle()
			}
		})
		if err != nil && t.Context().Err() == nil {
			t.Error("Send:", err)
		}
	})
	waitUntil(t, "connected", source.Connected)
}

func TestMosquittoProperties(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			b := mosquitto.Start(t, mosquitto.Options{TLS: transport.secure, WebSockets: transport.sockets})
			config := reach(t, b, transport.secure, transport.sockets)
			subscriber := b.Subscribe("-t", "out/#", "-q", "1", "--retain-as-published")
			runEcho(t, newSource(t, named(config, "-source"), "in/+"), newSink(t, named(config, "-sink"), "out/there"))
			for _, qos := range []string{"0", "1"} {
				b.Publish("-t", "in/x", "-m", `{"value": 1}`, "-q", qos, "-r",
					"-D", "publish", "content-type", "application/json",
					"-D", "publish", "payload-format-indicator", "1",
					"-D", "publish", "message-expiry-interval", "1000",
					"-D", "publish", "response-topic", "answers",
					"-D", "publish", "user-property", "__ts", "1700000000000:0:df",
					"-D", "publish", "user-property", "again", "one",
					"-D", "publish", "user-property", "again", "two")
				got := subscriber.Next()
				if got.Expiry < 900 || got.Expiry > 1000 {
					t.Errorf("expires in %d s, want a little less than 1000", got.Expiry)
				}
				got.Expiry = 0
				want := mosquitto.Message{
					Topic: "out/there", Payload: []byte(`{"value": 1}`), QoS: 1, Retain: true,
					ContentType: "application/json", ResponseTopic: "answers", Text: true,
					UserProperties: [][2]string{{"__ts", "1700000000000:0:df"}, {"again", "one"}, {"again", "two"}},
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("at QoS %s (-want +got):\n%s", qos, diff)
				}
			}
		})
	}
}

// Through three restarts of the broker nothing is lost, and what arrives for the
// first time arrives in order.
func TestMosquittoRestarts(t *testing.T) {
	const count, restarts = 5000, 3
	b := mosquitto.Start(t, mosquitto.Options{Persistence: true})
	config := reach(t, b, false, false)

	var mu sync.Mutex
	next, fault := 0, ""
	var restart [restarts]chan struct{}
	for i := range restart {
		restart[i] = make(chan struct{})
	}
	complete := make(chan struct{})
	collector := newSource(t, named(config, "-collector"), "out")
	runSource(t, collector, func(d endpoint.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		d.Settle()
		switch payload := string(d.Message.Payload); {
		case payload != fmt.Sprint(next):
			if number := 0; fault == "" {
				if _, err := fmt.Sscan(payload, &number); err != nil || number > next {
					fault = fmt.Sprintf("got %s for the first time before %d", payload, next)
				}
			}
		default:
			next++
			if i := next/(count/(restarts+1)) - 1; next%(count/(restarts+1)) == 0 && i < restarts {
				close(restart[i])
			}
			if next == count {
				close(complete)
			}
		}
	})
	waitUntil(t, "connected", collector.Connected)
	source := newSource(t, named(config, "-source"), "in")
	sink := newSink(t, named(config, "-sink"), "out")
	runEcho(t, source, sink)
	publisher := newSink(t, named(config, "-publisher"), "in")
	runSink(t, publisher)
	go func() {
		for i := range count {
			if err := publisher.Send(t.Context(), text(fmt.Sprint(i)), func(err error) {
				if err != nil {
					t.Error("done:", err)
				}
			}); err != nil {
				t.Error("Send:", err)
			}
		}
	}()
	for _, reached := range restart {
		receive(t, reached)
		b.Restart()
	}
	receive(t, complete)
	mu.Lock()
	defer mu.Unlock()
	if fault != "" {
		t.Error(fault)
	}
	t.Logf("source %+v, sink %+v, publisher %+v", source.Stats(), sink.Stats(), publisher.Stats())
	if source.Stats().Connections != restarts+1 {
		t.Errorf("the source connected %d times, want %d", source.Stats().Connections, restarts+1)
	}
}

// A session outlives its source: what was not acknowledged and what came meanwhile
// is delivered to the next source of that client id, in order.
func TestMosquittoSessionResumption(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	config := reach(t, b, false, false)
	emit, deliveries := collect()
	first := newSource(t, config, "in")
	r := runSource(t, first, emit)
	waitUntil(t, "connected", first.Connected)
	b.PublishFrom(strings.NewReader("a\nb\nc\n"), "-t", "in", "-q", "1", "-l")
	got := wantDeliveries(t, deliveries, "a", "b", "c")
	got[0].Settle()
	got[2].Settle() // held back by "b"
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	b.PublishFrom(strings.NewReader("d\ne\n"), "-t", "in", "-q", "1", "-l")
	second := newSource(t, config, "in")
	runSource(t, second, emit)
	for _, d := range wantDeliveries(t, deliveries, "b", "c", "d", "e") {
		d.Settle()
	}
	if s := second.Stats(); s.Redelivered != 2 {
		t.Errorf("stats are %+v, want 2 redelivered", s)
	}
}

// The receive maximum is the back-pressure: the broker keeps what exceeds it.
func TestMosquittoBackPressure(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	config := reach(t, b, false, false)
	config.MaxInflight = 3
	emit, deliveries := collect()
	source := newSource(t, config, "in")
	runSource(t, source, emit)
	waitUntil(t, "connected", source.Connected)
	b.PublishFrom(strings.NewReader("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"), "-t", "in", "-q", "1", "-l")
	held := wantDeliveries(t, deliveries, "0", "1", "2")
	if got := source.Stats().Received; got != 3 {
		t.Errorf("the broker sent %d messages ahead, want 3", got)
	}
	for i := 3; i < 10; i++ {
		held[i-3].Settle()
		held = append(held, wantDeliveries(t, deliveries, fmt.Sprint(i))...)
	}
}

func TestMosquittoCredentials(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{
		Users: map[string]string{"user": "secret"},
		ACL:   []string{"user user", "topic read in", "topic write out"},
	})
	config := reach(t, b, false, false)
	config.Username, config.Password = "user", []byte("wrong")
	run := func(filter string) error {
		ended := make(chan error, 1)
		source := newSource(t, config, filter)
		go func() { ended <- source.Run(t.Context(), func(endpoint.Delivery) {}, nil) }()
		return receive(t, ended)
	}
	var reason *mqtt.ReasonError
	if err := run("in"); !errors.As(err, &reason) || reason.Code != 0x87 && reason.Code != 0x86 {
		t.Errorf("Run with a wrong password: %v", err)
	}
	config.Password = []byte("secret")

	denied := newSink(t, named(config, "-denied"), "elsewhere")
	runSink(t, denied)
	wantRefused(t, sendAll(t, denied, "a"), "a", "not authorized")
	allowed := newSink(t, named(config, "-allowed"), "out")
	runSink(t, allowed)
	wantDone(t, sendAll(t, allowed, "b"), "b")
}

// The broker ends a connection on which a control character comes, whose message
// must not come again for ever.
func TestMosquittoEndsAConnection(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	subscriber := b.Subscribe("-t", "out", "-q", "1")
	sink := newSink(t, reach(t, b, false, false), "out")
	runSink(t, sink)
	results := make(chan result, 10)
	for i := range 10 {
		m := text(fmt.Sprint(i))
		if i == 4 {
			m.Properties = []message.Property{{Key: "bell", Value: "\a"}}
		}
		if err := sink.Send(t.Context(), m, func(err error) { results <- result{fmt.Sprint(i), err} }); err != nil {
			t.Fatal(err)
		}
	}
	wantDone(t, results, "0", "1", "2", "3")
	wantRefused(t, results, "4", "connection lost")
	wantDone(t, results, "5", "6", "7", "8", "9")
	var got []string
	for len(got) == 0 || got[len(got)-1] != "9" {
		if payload := string(subscriber.Next().Payload); !slices.Contains(got, payload) {
			got = append(got, payload)
		}
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "5", "6", "7", "8", "9"}, got); diff != "" {
		t.Errorf("payloads (-want +got):\n%s", diff)
	}
}

func TestMosquittoLimits(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{Config: []string{"max_packet_size 1000", "retain_available false"}})
	sink := newSink(t, reach(t, b, false, false), "out")
	runSink(t, sink)
	big, small := strings.Repeat("x", 1001), "small"
	results := sendAll(t, sink, big, small)
	wantRefused(t, results, big, "the broker takes 1000")
	wantDone(t, results, small)

	m := text("retained")
	m.Envelope = &message.Envelope{Retained: true}
	done := make(chan error, 1)
	if err := sink.Send(t.Context(), m, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, done); err != nil {
		t.Error("retained message:", err)
	}
}

func TestMosquittoLargeMessage(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			b := mosquitto.Start(t, mosquitto.Options{TLS: transport.secure, WebSockets: transport.sockets})
			config := reach(t, b, transport.secure, transport.sockets)
			emit, deliveries := collect()
			source := newSource(t, named(config, "-source"), "out")
			runSource(t, source, emit)
			waitUntil(t, "connected", source.Connected)
			sink := newSink(t, named(config, "-sink"), "out")
			runSink(t, sink)
			large := strings.Repeat("0123456789", 1<<20)
			if transport.sockets {
				large = large[:20_000] // mosquitto 2.0 writes 4 KiB to a WebSocket every 100 ms
			}
			wantDone(t, sendAll(t, sink, "before", large, "after"), "before", large, "after")
			wantDeliveries(t, deliveries, "before", large, "after")
		})
	}
}

func TestMosquittoRetained(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	b.Publish("-t", "in", "-m", "kept", "-q", "1", "-r")
	emit, deliveries := collect()
	source := newSource(t, reach(t, b, false, false), "in")
	runSource(t, source, emit)
	d := wantDeliveries(t, deliveries, "kept")[0]
	if d.Message.Envelope == nil || !d.Message.Envelope.Retained {
		t.Errorf("envelope is %+v, want retained", d.Message.Envelope)
	}
}

func TestMosquittoSharedSubscription(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	config := reach(t, b, false, false)
	emit, deliveries := collect()
	var sources []*mqtt.Source
	for i := range 2 {
		source := newSource(t, named(config, fmt.Sprint(i)), "$shared/group/in/#")
		runSource(t, source, emit)
		waitUntil(t, "connected", source.Connected)
		sources = append(sources, source)
	}
	b.PublishFrom(strings.NewReader("a\nb\nc\nd\n"), "-t", "in/x", "-q", "1", "-l")
	var got []string
	for range 4 {
		d := receive(t, deliveries)
		d.Settle()
		got = append(got, string(d.Message.Payload))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, got); diff != "" {
		t.Errorf("payloads (-want +got):\n%s", diff)
	}
	for i, s := range sources {
		if s.Stats().Received == 0 {
			t.Errorf("source %d got nothing", i)
		}
	}
}

// A broker whose certificate nobody we trust has signed is not talked to, and not
// given up either: its certificate may be renewed.
func TestMosquittoUntrusted(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{TLS: true})
	config := reach(t, b, true, false)
	config.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	logged := make(chan string, 100)
	config.Logger = slog.New(logTo(logged))
	source := newSource(t, config, "in")
	runSource(t, source, func(endpoint.Delivery) {})
	for range 3 {
		if got := receive(t, logged); got != "mqtt: not connected" {
			t.Errorf("logged %q", got)
		}
	}
	if source.Connected() {
		t.Error("connected")
	}
}

// A broker that is killed loses its sessions, and what it had acknowledged; both
// ends go on with new ones, and everything unconfirmed is sent again.
func TestMosquittoKilled(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	config := reach(t, b, false, false)
	emit, deliveries := collect()
	source := newSource(t, named(config, "-source"), "out")
	runSource(t, source, emit)
	waitUntil(t, "connected", source.Connected)
	sink := newSink(t, named(config, "-sink"), "out")
	runSink(t, sink)
	payloads := make([]string, 1000)
	for i := range payloads {
		payloads[i] = fmt.Sprint(i)
	}
	sent := make(chan (<-chan result), 1)
	go func() { sent <- sendAll(t, sink, payloads...) }()
	receive(t, deliveries).Settle() // in the middle of it
	b.Kill()
	b.Restart()
	wantDone(t, receive(t, sent), payloads...)
	waitUntil(t, "connected again", func() bool { return source.Stats().Connections == 2 && source.Connected() })
	wantDone(t, sendAll(t, sink, "after"), "after")
	for d := receive(t, deliveries); string(d.Message.Payload) != "after"; d = receive(t, deliveries) {
		d.Settle()
	}
}
