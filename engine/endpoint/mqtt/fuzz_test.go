// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

// FuzzBroker sends any bytes to a source and to a sink: instead of a CONNACK, instead of a
// SUBACK, or later. On the next connection, to a good broker, both work, and what was sent on
// the bad one is sent again unless the bytes confirm it.
func FuzzBroker(f *testing.F) {
	publish := &packets.Publish{QoS: 1, PacketID: 3, Topic: "t", Payload: []byte("x"), Properties: &packets.Properties{
		ContentType: "c", User: []packets.User{{Key: "k", Value: "v"}},
	}}
	for stage := range byte(3) {
		f.Add(stage, []byte(wire(publish)))
		f.Add(stage, []byte(wire(&packets.Suback{PacketID: 0xffff, Reasons: []byte{1}, Properties: &packets.Properties{}})))
	}
	f.Add(byte(0), []byte(wire(&packets.Connack{Properties: &packets.Properties{ReasonString: "hello", AuthMethod: "x"}})))
	f.Add(byte(1), []byte(wire(&packets.Puback{PacketID: 1, ReasonCode: 0x97, Properties: &packets.Properties{ReasonString: "full"}})))
	f.Add(byte(1), []byte(wire(&packets.Disconnect{ReasonCode: 0x8b, Properties: &packets.Properties{ServerReference: "elsewhere"}})))
	f.Add(byte(1), []byte(wire(&packets.Auth{ReasonCode: 0x18, Properties: &packets.Properties{AuthMethod: "x"}})))
	for _, h := range hostilities {
		if len(h.send) < 200 {
			f.Add(byte(2), []byte(h.send))
		}
	}
	f.Fuzz(func(t *testing.T, stage byte, stream []byte) {
		broker := newScript(t)
		config := mqtt.Config{
			Address: broker.addr(), ClientID: "c", MaxPacket: 1 << 16,
			MinBackoff: time.Microsecond, MaxBackoff: time.Microsecond, ConnectTimeout: time.Second,
		}
		greeting := wire(&packets.Connack{Properties: &packets.Properties{}})
		granted := wire(&packets.Suback{PacketID: 0xffff, Reasons: []byte{1}, Properties: &packets.Properties{}})

		source := newSource(t, config, "t")
		arrived := make(chan struct{}, 1)
		from := runSource(t, source, func(d endpoint.Delivery) {
			if d.Settle != nil {
				d.Settle()
			}
			if string(d.Message.Payload) == "good" {
				arrived <- struct{}{}
			}
		})
		broker.misbehave([]string{"", greeting, greeting + granted}[stage%3] + string(stream))
		if broker.comesAgain(from) {
			c := broker.subscribed(true)
			c.publish(9, "good")
			receive(t, arrived)
			for read[*packets.Puback](c).PacketID != 9 {
			}
			c.cut()
		}
		from.stop()

		sink := newSink(t, config, "out")
		to := runSink(t, sink)
		done := make(chan error, 1)
		go func() {
			if err := sink.Send(t.Context(), text("good"), func(err error) { done <- err }); err != nil {
				done <- err
			}
		}()
		broker.misbehave([]string{"", greeting}[stage%2] + string(stream))
		if broker.comesAgain(to) {
			c := broker.greet(false)
			if len(done) == 0 {
				c.puback(read[*packets.Publish](c).PacketID, 0)
			}
			receive(t, done)
			c.cut()
		}
		to.stop()
	})
}

// misbehave takes a connection, sends bytes on it, closes it for writing, and reads what
// comes until its end.
func (s *script) misbehave(stream string) {
	s.t.Helper()
	raw := s.connection()
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(raw, stream) // the client may have heard enough
	_ = raw.(*net.TCPConn).CloseWrite()
	var timeout net.Error
	if _, err := io.Copy(io.Discard, raw); errors.As(err, &timeout) && timeout.Timeout() {
		s.t.Fatal("the connection does not end")
	}
}

// comesAgain waits for the next connection, which accept then takes. It reports false where
// the client has ended instead, as one that is refused for good does.
func (s *script) comesAgain(client *running) bool {
	s.t.Helper()
	listener := s.listener.(*net.TCPListener)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		listener.SetDeadline(time.Now().Add(10 * time.Millisecond))
		raw, err := listener.Accept()
		if err == nil {
			s.waiting = raw
			return true
		}
		if len(client.ended) > 0 {
			return false
		}
	}
	s.t.Fatal("the client neither connects nor ends")
	return false
}
