// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/log"
	"github.com/eclipse/paho.golang/paho/session"
)

// peer is what a Source and a Sink each make of one connection: the client
// library's session manager, which sees every packet that has an identifier and isn't
// taken before.
type peer interface {
	session.SessionManager
	taker // from the handshake on
	// farewell returns the broker's DISCONNECT, nil if it sent none. Valid once the
	// connection has ended.
	farewell() *ReasonError
}

// link is one live connection.
type link struct {
	conn    *conn
	client  *paho.Client
	peer    peer
	pinger  *pinger
	since   time.Time
	renewal renewal
	last    atomic.Bool // the session is to end with the connection
}

// dial connects to the broker and makes the MQTT handshake, both within
// ConnectTimeout. An error that wraps a *ReasonError was the broker's answer.
func (c Config) dial(ctx context.Context, p peer, cleanStart bool, drained func()) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	expiry, inflight, maxPacket := c.expirySeconds(), uint16(c.MaxInflight), uint32(c.MaxPacket)
	properties := &paho.ConnectProperties{
		SessionExpiryInterval: &expiry,
		ReceiveMaximum:        &inflight,
		MaximumPacketSize:     &maxPacket,
		RequestProblemInfo:    true,
		User:                  c.userProperties(),
	}
	var next time.Time
	if c.Authentication != nil {
		token, then, err := c.Authentication.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("mqtt: connect %s: %w", c.Address, err)
		}
		properties.AuthMethod, properties.AuthData, next = c.Authentication.Method, token, then
	}
	raw, err := c.dialNet(ctx)
	if err != nil {
		return nil, fmt.Errorf("mqtt: connect %s: %w", c.Address, err)
	}
	l := &link{
		conn: newConn(raw, c.MaxPacket, drained), peer: p,
		pinger:  &pinger{DefaultPinger: paho.NewDefaultPinger()},
		renewal: renewal{config: c},
	}
	l.client = paho.NewClient(paho.ClientConfig{
		ClientID:      c.ClientID,
		Conn:          l.conn,
		Session:       p,
		PingHandler:   l.pinger,
		AuthHandler:   monologue{l.conn},
		PacketTimeout: c.ConnectTimeout,
	})
	ack, err := l.client.Connect(ctx, &paho.Connect{
		ClientID:     c.ClientID,
		CleanStart:   cleanStart,
		KeepAlive:    c.keepAliveSeconds(),
		Username:     c.Username,
		UsernameFlag: c.Username != "",
		Password:     c.Password,
		PasswordFlag: len(c.Password) > 0,
		Properties:   properties,
	})
	if err != nil {
		if ack != nil && ack.ReasonCode >= 0x80 {
			err = connectionRefused(&ReasonError{Code: ack.ReasonCode, Reason: ack.Properties.ReasonString}, c.Authentication != nil)
		}
		return nil, fmt.Errorf("mqtt: connect %s as %s: %w", c.Address, c.ClientID, cmp.Or(err, l.conn.cause()))
	}
	l.since = time.Now()
	l.renewal.begin(properties.AuthData, next)
	return l, nil
}

// dialNet makes the connection below MQTT.
func (c Config) dialNet(ctx context.Context) (net.Conn, error) {
	dial := new(net.Dialer).DialContext
	if c.TLS != nil {
		dial = (&tls.Dialer{Config: c.TLS}).DialContext
	}
	raw, err := dial(ctx, "tcp", c.Address)
	if err != nil || c.WebSocket == "" {
		return raw, err
	}
	return c.upgrade(ctx, raw)
}

// userProperties are those of CONNECT and SUBSCRIBE.
func (c Config) userProperties() paho.UserProperties {
	if !c.Persistence {
		return nil
	}
	return paho.UserProperties{{Key: "aio-persistence", Value: "true"}}
}

// wait returns when the connection is lost, with the reason, or when ctx ends:
// then it sends what is left and a DISCONNECT that keeps the session, and returns
// nil.
func (l *link) wait(ctx context.Context) error {
	defer l.renewal.stop()
	for {
		select {
		case <-ctx.Done():
			l.close()
			return nil
		case <-l.client.Done():
			return fmt.Errorf("mqtt: connection lost: %w", l.cause())
		case <-l.renewal.due():
			l.renewal.renew(ctx, l)
		}
	}
}

// close ends the connection in good order. Unless it is the last one, the session stays
// at the broker for as long as it was told to when connecting.
func (l *link) close() {
	l.conn.leave()
	bye := &paho.Disconnect{}
	if l.last.Load() {
		bye.Properties = &paho.DisconnectProperties{SessionExpiryInterval: new(uint32)}
	}
	// An error says that the connection is gone already, which is what we want.
	_ = l.client.Disconnect(bye)
}

// cause says why the connection ended.
func (l *link) cause() error {
	if bye := l.peer.farewell(); bye != nil {
		return bye
	}
	return cmp.Or(l.pinger.failed, l.conn.cause(), errUnreadable)
}

// errUnreadable is what is left when a connection is ended neither by us nor by the
// broker nor by the network: the client library has read something it can't.
var errUnreadable = errors.New("the broker sent a packet that cannot be read")

// checkConnack reports what no broker may answer to a CONNECT.
func checkConnack(ack *packets.Connack, cleanStart bool) error {
	p := ack.Properties
	switch {
	case ack.ReasonCode != 0:
		return protocolError("a CONNACK with reason 0x%02x", ack.ReasonCode)
	case ack.SessionPresent && cleanStart:
		return protocolError("a session where a new one was asked for")
	case p.ReceiveMaximum != nil && *p.ReceiveMaximum == 0:
		return protocolError("a receive maximum of 0")
	case p.MaximumPacketSize != nil && *p.MaximumPacketSize == 0:
		return protocolError("a maximum packet size of 0")
	}
	return nil
}

// closedByPeer reports whether a connection was closed from the other side, without
// a DISCONNECT.
func closedByPeer(cause error) bool {
	return errors.Is(cause, io.EOF) || errors.Is(cause, syscall.ECONNRESET) || errors.Is(cause, syscall.EPIPE)
}

// pinger keeps the error that the client library reports only after the
// connection's end. failed may be read once the client is done.
type pinger struct {
	*paho.DefaultPinger
	failed error
}

// Run pings until ctx ends or the peer stays silent.
func (p *pinger) Run(ctx context.Context, conn net.Conn, keepAlive uint16) error {
	p.failed = p.DefaultPinger.Run(ctx, conn, keepAlive)
	return p.failed
}

// trouble is why there is no connection.
type trouble struct{ last atomic.Pointer[error] }

func (t *trouble) note(err error) { t.last.Store(&err) }

// unless returns the trouble, nil while connected.
func (t *trouble) unless(connected bool) error {
	if err := t.last.Load(); err != nil && !connected {
		return *err
	}
	return nil
}

// keepConnected calls use again and again, noting each failure in t, until ctx ends
// (nil) or the broker refuses us for good. use makes one connection, serves it until its end, and
// returns how long it was up and what ended it.
func (c Config) keepConnected(ctx context.Context, t *trouble, use func(context.Context) (time.Duration, error)) error {
	delay := c.MinBackoff
	for {
		up, err := use(ctx)
		t.note(err)
		switch {
		case ctx.Err() != nil:
			return nil
		case isFinal(err):
			return err
		case up > 2*delay:
			// A connection that outlived the pauses between attempts starts a new
			// series. One that was ended as soon as it was up, by a second client
			// of the same id for one, does not.
			delay = c.MinBackoff
		}
		pause := delay/2 + rand.N(delay/2+1)
		c.Logger.Warn("mqtt: not connected", "broker", c.Address, "client", c.ClientID, "error", err, "retry", pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		delay = min(2*delay, c.MaxBackoff)
	}
}

// basePeer is what the peers of a source and of a sink have in common, mostly
// parts of the client library's session manager that neither has a use for.
type basePeer struct {
	bye *ReasonError // written by the reader, read after the connection's end
}

// PacketReceived gets what is left of the packets with an identifier.
func (*basePeer) PacketReceived(*packets.ControlPacket, chan<- *packets.Publish) error { return nil }

func (*basePeer) Ack(*packets.Publish) error { return nil }
func (*basePeer) Close() error               { return nil }
func (*basePeer) SetErrorLogger(log.Logger)  {}
func (*basePeer) SetDebugLogger(log.Logger)  {}

func (p *basePeer) farewell() *ReasonError { return p.bye }

// ConnectionLost takes the broker's DISCONNECT, if there was one.
func (p *basePeer) ConnectionLost(d *packets.Disconnect) error {
	if d == nil {
		return nil
	}
	p.bye = &ReasonError{Code: d.ReasonCode}
	if d.Properties != nil {
		p.bye.Reason = d.Properties.ReasonString
	}
	return nil
}

// AddToSession refuses packets that are sent by way of the client library.
func (*basePeer) AddToSession(context.Context, session.Packet, chan<- packets.ControlPacket) error {
	return errors.ErrUnsupported
}
