// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/endpointtest"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
)

// A broker is a real one, in this process.
type broker struct {
	t      *testing.T
	server *mochi.Server
	inline *mochi.Client
	addr   string
}

// newBroker starts a broker. onRead, if not nil, sees every packet that a client
// sends before the broker does, and may cut the client off.
func newBroker(t *testing.T, onRead func(client string, p packets.Packet, cut func())) *broker {
	t.Helper()
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumInflight = math.MaxUint16
	capabilities.ReceiveMaximum = math.MaxUint16
	capabilities.MaximumClientWritesPending = math.MaxUint16
	capabilities.MaximumMessageExpiryInterval = 0
	server := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	if err := server.AddHook(&hook{onRead: onRead}, nil); err != nil {
		t.Fatal(err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := server.AddListener(listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return &broker{t: t, server: server, inline: server.NewClient(nil, mochi.LocalListener, "test", true), addr: listener.Address()}
}

// publish publishes from inside the broker.
func (b *broker) publish(qos byte, messages ...*message.Message) {
	b.t.Helper()
	for _, m := range messages {
		p := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos},
			TopicName:   m.Topic,
			Payload:     m.Payload,
			PacketID:    uint16(qos),
			Properties:  packets.Properties{ContentType: m.ContentType},
		}
		for _, u := range m.Properties {
			p.Properties.User = append(p.Properties.User, packets.UserProperty{Key: u.Key, Val: u.Value})
		}
		if err := b.server.InjectPacket(b.inline, p); err != nil {
			b.t.Fatal(err)
		}
	}
}

// subscribe returns a function that tells what was published on a topic so far.
func (b *broker) subscribe(topic string) func() []*message.Message {
	b.t.Helper()
	var mu sync.Mutex
	var got []*message.Message
	err := b.server.Subscribe(topic, 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		m := &message.Message{Topic: p.TopicName, Payload: p.Payload, ContentType: p.Properties.ContentType}
		for _, u := range p.Properties.User {
			m.Properties = append(m.Properties, message.Property{Key: u.Key, Value: u.Val})
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() []*message.Message {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

// unsettled returns how many messages await an acknowledgement by a client.
func (b *broker) unsettled(client string) int {
	cl, ok := b.server.Clients.Get(client)
	if !ok {
		b.t.Fatalf("the broker has no session %s", client)
	}
	return cl.State.Inflight.Len()
}

// hook lets everybody in, numbers messages and lets the test see what is sent.
type hook struct {
	mochi.HookBase
	onRead func(client string, p packets.Packet, cut func())
	mu     sync.Mutex
	count  int64 // guarded by mu
}

func (h *hook) ID() string { return "test" }

func (h *hook) Provides(event byte) bool {
	return slices.Contains([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnPacketRead}, event)
}

func (h *hook) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (h *hook) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// OnPublish makes a message's time of creation its number: the broker redelivers
// in that order, and would otherwise shuffle the messages of one second.
func (h *hook) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	p.Created = h.count
	return p, nil
}

// OnPacketRead turns the broker's flow control off: it deadlocks when a client
// acknowledges a message while another is published to it.
func (h *hook) OnPacketRead(cl *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if p.FixedHeader.Type == packets.Connect {
		p.Properties.ReceiveMaximum = 0
	}
	if h.onRead != nil && !cl.Net.Inline {
		h.onRead(cl.ID, p, func() { cl.Net.Conn.Close() })
	}
	return p, nil
}

func TestSourceSuite(t *testing.T) {
	for qos, config := range map[byte]mqtt.Config{0: {QoS: mqtt.AtMostOnce}, 1: {QoS: mqtt.AtLeastOnce}} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			endpointtest.TestSource(t, func(t *testing.T) *endpointtest.SourceRig {
				b := newBroker(t, nil)
				c := testConfig(t, b.addr)
				c.QoS = config.QoS
				rig := &endpointtest.SourceRig{
					Source:  newSource(t, c, "endpointtest/+"),
					Publish: func(messages ...*message.Message) { b.publish(qos, messages...) },
				}
				if qos > 0 {
					rig.Unsettled = func() int { return b.unsettled(c.ClientID) }
					rig.Reopen = func() endpoint.Source { return newSource(t, c, "endpointtest/+") }
				}
				return rig
			})
		})
	}
}

func TestSinkSuite(t *testing.T) {
	for _, qos := range []mqtt.QoS{mqtt.AtMostOnce, mqtt.AtLeastOnce} {
		t.Run(fmt.Sprintf("QoS mode %d", qos), func(t *testing.T) {
			endpointtest.TestSink(t, func(t *testing.T) *endpointtest.SinkRig {
				b := newBroker(t, nil)
				c := testConfig(t, b.addr)
				c.QoS = qos
				return &endpointtest.SinkRig{Sink: newSink(t, c, "out"), Received: b.subscribe("out")}
			})
		})
	}
}

// A sink whose connection breaks again and again, each time with PUBLISHes in
// flight, loses nothing and keeps the order of first arrivals.
func TestSinkThroughBrokenConnections(t *testing.T) {
	const count, every = 2000, 137
	var publishes atomic.Int64
	b := newBroker(t, func(_ string, p packets.Packet, cut func()) {
		if p.FixedHeader.Type == packets.Publish {
			if publishes.Add(1)%every == 0 {
				cut()
			}
		}
	})
	received := b.subscribe("out")
	sink := newSink(t, testConfig(t, b.addr), "out")
	runSink(t, sink)
	payloads := make([]string, count)
	for i := range payloads {
		payloads[i] = fmt.Sprint(i)
	}
	wantDone(t, sendAll(t, sink, payloads...), payloads...)
	// The broker acknowledges before it distributes.
	last := func(m *message.Message) bool { return string(m.Payload) == payloads[count-1] }
	waitUntil(t, "the last message has arrived", func() bool { return slices.ContainsFunc(received(), last) })

	next := 0
	for _, m := range received() {
		switch payload := string(m.Payload); {
		case next < count && payload == payloads[next]:
			next++
		case !slices.Contains(payloads[:next], payload):
			t.Fatalf("received %s, first deliveries so far are below %d", payload, next)
		}
	}
	if next != count {
		t.Errorf("received %d messages of %d", next, count)
	}
	if s := sink.Stats(); s.Connections < count/every || s.Resent == 0 {
		t.Errorf("stats are %+v: the connection did not break", s)
	}
}
