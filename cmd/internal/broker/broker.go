// SPDX-License-Identifier: Apache-2.0

// Package broker is an MQTT broker inside a program, for demonstrations and tests:
// MQTT 5 and 3.1.1 over plain TCP on a loopback port, open to everybody who can
// reach that, keeping everything in memory.
package broker

import (
	"fmt"
	"io"
	"log/slog"
	"math"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Broker is a running broker. Its methods are safe for concurrent use.
type Broker struct {
	server  *mochi.Server
	address string
}

// Start starts a broker on a free port of 127.0.0.1. Close ends it.
func Start() (*Broker, error) {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumInflight = math.MaxUint16
	capabilities.ReceiveMaximum = math.MaxUint16
	capabilities.MaximumClientWritesPending = 1 << 17
	server := mochi.New(&mochi.Options{
		Capabilities: capabilities,
		InlineClient: true,
		Logger:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err := server.AddHook(new(openDoor), nil); err != nil {
		return nil, fmt.Errorf("broker: start: %w", err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := server.AddListener(listener); err != nil {
		return nil, fmt.Errorf("broker: start: %w", err)
	}
	if err := server.Serve(); err != nil {
		return nil, fmt.Errorf("broker: start: %w", err)
	}
	return &Broker{server: server, address: listener.Address()}, nil
}

// openDoor lets everybody in, and to every topic.
//
// It also hides from the broker how many messages a client can take: the broker's
// accounting of those deadlocks when a client acknowledges one while another is
// published to it, and forgets messages that had to wait.
type openDoor struct{ mochi.HookBase }

func (*openDoor) ID() string { return "open" }

func (*openDoor) Provides(event byte) bool {
	return event == mochi.OnConnectAuthenticate || event == mochi.OnACLCheck || event == mochi.OnPacketRead
}

func (*openDoor) OnPacketRead(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if p.FixedHeader.Type == packets.Connect {
		p.Properties.ReceiveMaximum = 0
	}
	return p, nil
}

func (*openDoor) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*openDoor) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// Address is the broker's host:port.
func (b *Broker) Address() string { return b.address }

// Publish publishes at QoS 1, as a client of the broker's own.
func (b *Broker) Publish(topic string, payload []byte) error {
	if err := b.server.Publish(topic, payload, false, 1); err != nil {
		return fmt.Errorf("broker: publish to %s: %w", topic, err)
	}
	return nil
}

// Subscribe calls take with what is published on topics that match filter, from
// any goroutine. take must not block.
func (b *Broker) Subscribe(filter string, take func(topic string, payload []byte)) error {
	err := b.server.Subscribe(filter, 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		take(p.TopicName, p.Payload)
	})
	if err != nil {
		return fmt.Errorf("broker: subscribe to %s: %w", filter, err)
	}
	return nil
}

// Close disconnects all clients and ends the broker.
func (b *Broker) Close() error {
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("broker: close: %w", err)
	}
	return nil
}
