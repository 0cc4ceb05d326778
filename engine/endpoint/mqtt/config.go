// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/cloudevent"
)

// QoS is the delivery guarantee asked for when subscribing and publishing.
type QoS uint8

// The guarantees. MQTT's exactly once (QoS 2) is not offered: what an operator
// did before a crash it does again, so the protocol's promise would not hold.
const (
	AtLeastOnce QoS = iota // QoS 1: acknowledged end to end
	AtMostOnce             // QoS 0: sent and forgotten
)

// level returns the number that the protocol uses.
func (q QoS) level() byte {
	if q == AtLeastOnce {
		return 1
	}
	return 0
}

// Retain says what a sink does with the retain flag of what it publishes.
type Retain uint8

// The ways to treat the flag.
const (
	KeepRetain  Retain = iota // as the message came (message.Envelope.Retained)
	NeverRetain               // always cleared, for brokers that refuse it
)

// Config describes one connection to a broker. The zero value of a field is its
// default. A source and a sink need a Config each, with different client ids: a
// broker closes the older of two connections that share one.
type Config struct {
	// Address is the broker's host:port. Without a port it is 1883, or 8883 with TLS;
	// over a WebSocket 80, or 443.
	Address string
	// WebSocket is the path, such as "/mqtt", of the WebSocket that MQTT goes over.
	// Empty means that it goes over TCP or TLS itself.
	WebSocket string
	// TLS secures the connection. Nil means plain TCP. An empty ServerName is
	// filled with Address's host.
	TLS *tls.Config
	// ClientID names the session at the broker, and so must not change from one
	// run to the next. Required.
	ClientID string
	// Username and Password are sent where one of them is not empty.
	Username string
	Password []byte
	// Authentication shows tokens to the broker. Nil means none.
	Authentication *Authentication
	// Persistence asks the broker to keep the session, and what it holds for us, on
	// disk: by the user property aio-persistence, "true", of CONNECT and SUBSCRIBE,
	// which the broker of Azure IoT Operations understands.
	Persistence bool

	// Group is the name under which several sources divide what comes among them: a filter
	// that isn't shared already becomes $share/GROUP/FILTER. Sources only. Empty: each
	// gets everything.
	Group string
	// Alone says that no others are in Group any more: filters stay as they are, and what
	// the session had of the group is unsubscribed.
	Alone bool

	// QoS is AtLeastOnce by default.
	QoS QoS
	// Retain is KeepRetain by default. Sinks only.
	Retain Retain
	// Events says what a sink does about the attributes of CloudEvents. Its zero value
	// propagates them.
	Events cloudevent.Policy
	// MaxInflight bounds the messages that are sent and not yet acknowledged, in
	// [1, 65535]: what a source lets the broker send ahead (the receive maximum),
	// and how far a sink pipelines. Default 100.
	MaxInflight int
	// MaxPacket bounds what the broker may send at once, in bytes, in [1024, 256 MiB). The
	// broker is told, and discards larger messages as if they had been delivered. Default
	// 64 MiB.
	MaxPacket int
	// Queue and QueueBytes bound the QoS 0 messages that a source holds while the
	// engine is busy; more are dropped and counted. Defaults 4096 and 64 MiB.
	Queue, QueueBytes int

	// SessionExpiry is how long the broker keeps the session while we are away, in
	// whole seconds. Default 10 minutes; negative ends it with the connection.
	SessionExpiry time.Duration
	// KeepAlive is the longest silence before a ping, in whole seconds of at most
	// 65535. Default 1 minute; negative turns it off.
	KeepAlive time.Duration
	// ConnectTimeout bounds one attempt to connect, handshakes and subscribing
	// included. Default 10 s.
	ConnectTimeout time.Duration
	// MinBackoff and MaxBackoff bound the pause between two attempts, which doubles
	// from one to the other. Half of each pause is random. Defaults 100 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
	// DrainTimeout is how long a sink that is told to end waits for the
	// acknowledgements of what it sent. Default 5 s.
	DrainTimeout time.Duration

	// Logger takes what happens to the connection. Nil discards it.
	Logger *slog.Logger
}

// Validate reports every field that cannot work, joined.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Address == "" {
		fail("address is empty")
	}
	if c.ClientID == "" {
		fail("client id is empty")
	} else if err := checkString(c.ClientID); err != nil {
		fail("client id %q: %w", c.ClientID, err)
	}
	if err := checkString(c.Username); err != nil {
		fail("username %q: %w", c.Username, err)
	}
	if len(c.Password) > math.MaxUint16 {
		fail("password has %d bytes, at most %d can be sent", len(c.Password), math.MaxUint16)
	}
	if c.WebSocket != "" && !strings.HasPrefix(c.WebSocket, "/") {
		fail("path %q of the web socket does not begin with /", c.WebSocket)
	}
	if a := c.Authentication; a != nil && (a.Method == "" || checkString(a.Method) != nil || a.Token == nil) {
		fail("authentication by %q needs a method and a source of tokens", a.Method)
	}
	if strings.ContainsAny(c.Group, "/+#") || checkString(c.Group) != nil {
		fail("group %q can't be the name of a shared subscription", c.Group)
	}
	if c.QoS > AtMostOnce {
		fail("unknown quality of service %d", c.QoS)
	}
	if c.Retain > NeverRetain {
		fail("unknown retain mode %d", c.Retain)
	}
	if c.Events.Create && (c.Events.NewID == nil || c.Events.Source == "") {
		fail("creating events needs a source and ids")
	}
	if c.MaxInflight < 0 || c.MaxInflight > math.MaxUint16 {
		fail("max inflight %d is not in [1, %d]", c.MaxInflight, math.MaxUint16)
	}
	if c.MaxPacket != 0 && (c.MaxPacket < 1<<10 || c.MaxPacket >= 1<<28) {
		fail("maximum packet size %d is not in [1024, 256 MiB)", c.MaxPacket)
	}
	if c.Queue < 0 || c.QueueBytes < 0 {
		fail("queue of %d messages and %d bytes: negative", c.Queue, c.QueueBytes)
	}
	if c.KeepAlive > math.MaxUint16*time.Second {
		fail("keep alive %v is over %d s", c.KeepAlive, math.MaxUint16)
	}
	if c.ConnectTimeout < 0 || c.MinBackoff < 0 || c.MaxBackoff < 0 || c.DrainTimeout < 0 {
		fail("negative duration")
	}
	if d := c.withDefaults(); d.MinBackoff > d.MaxBackoff {
		fail("minimum backoff %v is over the maximum %v", d.MinBackoff, d.MaxBackoff)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("mqtt: configure client %s: %w", c.ClientID, err)
	}
	return nil
}

// withDefaults returns c with every zero field set.
func (c Config) withDefaults() Config {
	if _, _, err := net.SplitHostPort(c.Address); err != nil && c.Address != "" {
		port := "1883"
		switch {
		case c.WebSocket != "" && c.TLS != nil:
			port = "443"
		case c.WebSocket != "":
			port = "80"
		case c.TLS != nil:
			port = "8883"
		}
		c.Address = net.JoinHostPort(c.Address, port)
	}
	setDefault(&c.MaxInflight, 100)
	setDefault(&c.MaxPacket, 64<<20)
	setDefault(&c.Queue, 4096)
	setDefault(&c.QueueBytes, 64<<20)
	setDefault(&c.SessionExpiry, 10*time.Minute)
	setDefault(&c.KeepAlive, time.Minute)
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.MinBackoff, 100*time.Millisecond)
	setDefault(&c.MaxBackoff, max(10*time.Second, c.MinBackoff))
	setDefault(&c.DrainTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// expirySeconds returns the session expiry interval as the protocol counts it:
// all ones means for ever.
func (c Config) expirySeconds() uint32 {
	return uint32(min(max(c.SessionExpiry, 0)/time.Second, math.MaxUint32))
}

// keepAliveSeconds returns the keep alive as the protocol counts it: 0 is off.
func (c Config) keepAliveSeconds() uint16 {
	if c.KeepAlive < 0 {
		return 0
	}
	return uint16(max(c.KeepAlive/time.Second, 1))
}
