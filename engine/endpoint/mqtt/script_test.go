// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
)

// patience bounds every wait for an event that must come.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a broker whose every packet the test writes and reads itself: for
// what a well-behaved broker would never do, and for order to the packet.
type script struct {
	t        *testing.T
	listener net.Listener
	waiting  net.Conn // accepted, and to be taken next; nil: none
}

func newScript(t *testing.T) *script {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &script{t: t, listener: listener}
}

func (s *script) addr() string { return s.listener.Addr().String() }

// connection takes the next connection.
func (s *script) connection() net.Conn {
	s.t.Helper()
	if raw := s.waiting; raw != nil {
		s.waiting = nil
		return raw
	}
	s.listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	raw, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal("accept:", err)
	}
	return raw
}

// accept takes the next connection and its CONNECT.
func (s *script) accept() (*scriptConn, *packets.Connect) {
	s.t.Helper()
	c := &scriptConn{t: s.t, conn: s.connection()}
	s.t.Cleanup(c.cut)
	return c, read[*packets.Connect](c)
}

// greet accepts a connection and answers its CONNECT.
func (s *script) greet(sessionPresent bool, edit ...func(*packets.Properties)) *scriptConn {
	s.t.Helper()
	c, _ := s.accept()
	c.connack(0, sessionPresent, edit...)
	return c
}

// subscribed greets a source and grants its subscriptions.
func (s *script) subscribed(sessionPresent bool) *scriptConn {
	s.t.Helper()
	c := s.greet(sessionPresent)
	request := read[*packets.Subscribe](c)
	c.suback(request, make([]byte, len(request.Subscriptions))...)
	return c
}

// A scriptConn is the broker's end of a connection.
type scriptConn struct {
	t    *testing.T
	conn net.Conn
}

// read reads the next packet but pings, which it answers; it must be a P.
func read[P packets.Packet](c *scriptConn) P {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		p, err := packets.ReadPacket(c.conn)
		if err != nil {
			c.t.Fatalf("read a %T: %v", *new(P), err)
		}
		if p.Type == packets.PINGREQ {
			c.write(&packets.Pingresp{})
			continue
		}
		content, ok := p.Content.(P)
		if !ok {
			c.t.Fatalf("read %s, want a %T", p, *new(P))
		}
		return content
	}
}

func (c *scriptConn) write(p packets.Packet) {
	c.t.Helper()
	if _, err := p.WriteTo(c.conn); err != nil {
		c.t.Fatalf("write a %T: %v", p, err)
	}
}

func (c *scriptConn) connack(code byte, sessionPresent bool, edit ...func(*packets.Properties)) {
	c.t.Helper()
	props := &packets.Properties{}
	for _, e := range edit {
		e(props)
	}
	c.write(&packets.Connack{ReasonCode: code, SessionPresent: sessionPresent, Properties: props})
}

func (c *scriptConn) suback(request *packets.Subscribe, reasons ...byte) {
	c.t.Helper()
	c.write(&packets.Suback{PacketID: request.PacketID, Reasons: reasons, Properties: &packets.Properties{}})
}

func (c *scriptConn) puback(id uint16, code byte) {
	c.t.Helper()
	c.write(&packets.Puback{PacketID: id, ReasonCode: code, Properties: &packets.Properties{}})
}

// publish sends a message to the source, with QoS 1 where id is not 0.
func (c *scriptConn) publish(id uint16, payload string) {
	c.t.Helper()
	c.write(&packets.Publish{
		PacketID: id, QoS: min(byte(min(id, 1)), 1), Topic: "t", Payload: []byte(payload), Properties: &packets.Properties{},
	})
}

func (c *scriptConn) disconnect(code byte) {
	c.t.Helper()
	c.write(&packets.Disconnect{ReasonCode: code, Properties: &packets.Properties{}})
	c.cut()
}

// cut ends the connection after what was written.
func (c *scriptConn) cut() { c.conn.Close() }

// wantPubacks reads PUBACKs and checks their identifiers.
func (c *scriptConn) wantPubacks(ids ...uint16) {
	c.t.Helper()
	for _, id := range ids {
		if got := read[*packets.Puback](c); got.PacketID != id || got.ReasonCode != 0 {
			c.t.Fatalf("read %v, want a PUBACK of %d", got, id)
		}
	}
}

// wantPublishes reads PUBLISHes and checks payload and DUP flag. It returns their
// identifiers.
func (c *scriptConn) wantPublishes(dup bool, payloads ...string) []uint16 {
	c.t.Helper()
	var ids []uint16
	for _, want := range payloads {
		got := read[*packets.Publish](c)
		if string(got.Payload) != want || got.Duplicate != dup {
			c.t.Fatalf("read %v, want payload %q, DUP %v", got, want, dup)
		}
		ids = append(ids, got.PacketID)
	}
	return ids
}

// testConfig is a Config for a broker at addr that is quick to reconnect.
func testConfig(t *testing.T, addr string) mqtt.Config {
	return mqtt.Config{
		Address:    addr,
		ClientID:   t.Name(),
		MinBackoff: time.Millisecond,
		MaxBackoff: 20 * time.Millisecond,
		Logger:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// named is c with another client id.
func named(c mqtt.Config, suffix string) mqtt.Config {
	c.ClientID += suffix
	return c
}

// receive waits for a value that must come.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %T came", *new(T))
		panic("unreachable")
	}
}

// waitUntil waits for a condition that must come to hold.
func waitUntil(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// A running is a source or a sink on its way.
type running struct {
	t      *testing.T
	cancel context.CancelFunc
	flush  chan struct{}
	ended  chan error
}

// stop ends it and returns what Run returned. More calls do nothing.
func (r *running) stop() error {
	r.t.Helper()
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	close(r.flush)
	return receive(r.t, r.ended)
}

// runSource runs s until the test ends, or stop.
func runSource(t *testing.T, s *mqtt.Source, emit func(endpoint.Delivery)) *running {
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, cancel: cancel, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx, emit, r.flush) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// runSink runs s until the test ends, or stop.
func runSink(t *testing.T, s *mqtt.Sink) *running {
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, cancel: cancel, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	t.Cleanup(func() { r.stop() })
	return r
}

func newSource(t *testing.T, config mqtt.Config, filters ...string) *mqtt.Source {
	t.Helper()
	s, err := mqtt.NewSource(config, filters...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSink(t *testing.T, config mqtt.Config, topic string) *mqtt.Sink {
	t.Helper()
	s, err := mqtt.NewSink(config, topic)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// text is a message of that payload.
func text(payload string) *message.Message { return &message.Message{Payload: []byte(payload)} }
