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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// peer is what a Source and a Sink each make of one connection.
type peer interface {
	taker // from the handshake on
	// begin begins the connection that was made on c, before anything else is read from
	// it: the broker said ack to a CONNECT with or without cleanStart.
	begin(c *conn, cleanStart bool, ack *packets.Connack) error
	// answered takes what answers a SUBSCRIBE or an UNSUBSCRIBE. It must not block.
	answered(content packets.Packet)
	// dismissed takes the broker's DISCONNECT.
	dismissed(bye *ReasonError)
	// farewell returns that, nil if the broker sent none. Valid once the connection has
	// ended.
	farewell() *ReasonError
	// lost says that the connection has ended, or is about to.
	lost()
}

// link is one live connection.
type link struct {
	conn      *conn
	peer      peer
	since     time.Time
	keepAlive time.Duration // 0: for ever
	wildcards bool          // what the broker offers
	shared    bool
	pinged    atomic.Bool // it has not answered yet
	renewal   renewal
	errands   errands
	last      atomic.Bool // the session is to end with the connection
}

// The errors of a connection that nothing else ended.
var (
	errSilent = errors.New("the broker does not answer pings")
	// errUnreadable is what is left when a connection is ended neither by us nor by the
	// broker nor by the network: the packets' decoder has read something it can't.
	errUnreadable = errors.New("the broker sent a packet that cannot be read")
	// errLost ends a request whose connection has.
	errLost = errors.New("connection lost")
)

// dial connects to the broker and makes the MQTT handshake, both within
// ConnectTimeout. An error that wraps a *ReasonError was the broker's answer. Its caller
// then calls serve.
func (c Config) dial(ctx context.Context, p peer, cleanStart bool, drained func()) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	expiry, inflight, maxPacket := c.expirySeconds(), uint16(c.MaxInflight), uint32(c.MaxPacket)
	connect := &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5,
		ClientID: c.ClientID, CleanStart: cleanStart, KeepAlive: c.keepAliveSeconds(),
		Username: c.Username, UsernameFlag: c.Username != "",
		Password: c.Password, PasswordFlag: len(c.Password) > 0,
		Properties: &packets.Properties{
			SessionExpiryInterval: &expiry, ReceiveMaximum: &inflight, MaximumPacketSize: &maxPacket, User: c.userProperties(),
		},
	}
	var next time.Time
	if c.Authentication != nil {
		token, then, err := c.Authentication.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("mqtt: connect %s: %w", c.Address, err)
		}
		connect.Properties.AuthMethod, connect.Properties.AuthData, next = c.Authentication.Method, token, then
	}
	raw, err := c.dialNet(ctx)
	if err != nil {
		return nil, fmt.Errorf("mqtt: connect %s: %w", c.Address, err)
	}
	l := &link{conn: newConn(raw, c.MaxPacket, drained), peer: p, renewal: renewal{config: c}}
	if err := l.handshake(ctx, connect); err != nil {
		l.conn.Close()
		if reason := (*ReasonError)(nil); errors.As(err, &reason) {
			err = connectionRefused(reason, c.Authentication != nil)
		}
		return nil, fmt.Errorf("mqtt: connect %s as %s: %w", c.Address, c.ClientID, err)
	}
	l.since = time.Now()
	l.renewal.begin(connect.Properties.AuthData, next)
	return l, nil
}

// handshake says who we are, and learns what the broker thinks of that.
func (l *link) handshake(ctx context.Context, connect *packets.Connect) (err error) {
	defer context.AfterFunc(ctx, func() { l.conn.fail(ctx.Err()) })()
	if _, err := connect.WriteTo(l.conn); err != nil {
		return err
	}
	packet, err := packets.ReadPacket(l.conn)
	if err != nil {
		return cmp.Or(l.conn.cause(), err)
	}
	ack, ok := packet.Content.(*packets.Connack)
	switch {
	case packet.Type == packets.AUTH:
		return errDialogue
	case !ok:
		v := protocolError("a packet of type %d where a CONNACK is due", packet.Type)
		l.conn.accuse(v)
		return v
	case ack.ReasonCode >= 0x80:
		return &ReasonError{Code: ack.ReasonCode, Reason: ack.Properties.ReasonString}
	}
	if err := l.peer.begin(l.conn, connect.CleanStart, ack); err != nil {
		if v := (*violation)(nil); errors.As(err, &v) {
			l.conn.accuse(v)
		}
		return err
	}
	offers := func(p *byte) bool { return p == nil || *p == 1 }
	l.wildcards, l.shared = offers(ack.Properties.WildcardSubAvailable), offers(ack.Properties.SharedSubAvailable)
	seconds := connect.KeepAlive
	if p := ack.Properties.ServerKeepAlive; p != nil {
		seconds = *p
	}
	l.keepAlive = time.Duration(seconds) * time.Second
	return nil
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
func (c Config) userProperties() []packets.User {
	if !c.Persistence {
		return nil
	}
	return []packets.User{{Key: "aio-persistence", Value: "true"}}
}

// serve reads until the connection is lost, and returns the reason; or until ctx ends:
// then it sends what is left and a DISCONNECT that keeps the session, and returns nil.
// The first errand is begin, where that isn't nil; its error ends the connection in good
// order, and is returned.
func (l *link) serve(ctx context.Context, begin func() error) error {
	closing := context.AfterFunc(ctx, l.close)
	var failure error
	if begin != nil {
		l.errands.add(func() {
			if failure = begin(); failure != nil {
				l.close()
			}
		})
	}
	renewed := l.renewal.start(ctx, l)
	quiet := l.keep()
	l.read()
	quiet()
	l.peer.lost()
	l.conn.Close()
	l.errands.finish()
	renewed()
	switch {
	case !closing():
		return nil
	case failure != nil && !errors.Is(failure, errLost):
		return failure
	}
	return fmt.Errorf("mqtt: connection lost: %w", l.cause())
}

// errands are what is done beside the reading, one after another, by a goroutine that is
// there while there are any. Those that talk with the broker end where the connection does.
type errands struct {
	mu    sync.Mutex
	queue []func() // guarded by mu
	under bool     // guarded by mu: one is under way
	over  bool     // guarded by mu
	ended sync.WaitGroup
}

// add has f done; not, where the connection has ended. It does not block.
func (e *errands) add(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return
	}
	e.queue = append(e.queue, f)
	if !e.under {
		e.under = true
		e.ended.Go(e.run)
	}
}

func (e *errands) run() {
	for more := true; more; {
		for e.next() {
		}
		e.mu.Lock()
		more = len(e.queue) > 0
		e.under = more
		e.mu.Unlock()
	}
}

// next does the one that has waited longest, and reports whether there was one. It is for
// the goroutine of errands: for an errand that lasts, so that others don't wait for it.
func (e *errands) next() bool {
	e.mu.Lock()
	if len(e.queue) == 0 {
		e.queue = nil
		e.mu.Unlock()
		return false
	}
	f := e.queue[0]
	e.queue = e.queue[1:]
	e.mu.Unlock()
	f()
	return true
}

// finish waits for the one that is under way; others are not done any more.
func (e *errands) finish() {
	e.mu.Lock()
	e.queue, e.over = nil, true
	e.mu.Unlock()
	e.ended.Wait()
}

// keep pings the broker until stop is called. One that doesn't answer until the next ping
// is due isn't there any more.
func (l *link) keep() (stop func()) {
	if l.keepAlive == 0 {
		return func() {}
	}
	var mu sync.Mutex
	var timer *time.Timer // guarded by mu; nil: stopped
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(l.keepAlive, func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case timer == nil:
		case l.pinged.Swap(true):
			l.conn.fail(errSilent)
		default:
			l.conn.writePackets([]byte{packets.PINGREQ << 4, 0})
			timer.Reset(l.keepAlive)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		timer = nil
	}
}

// read reads until the connection ends.
func (l *link) read() {
	for {
		packet, err := packets.ReadPacket(l.conn)
		if err != nil {
			return
		}
		switch content := packet.Content.(type) {
		case *packets.Pingresp:
			l.pinged.Store(false)
		case *packets.Suback, *packets.Unsuback:
			l.peer.answered(content)
		case *packets.Auth:
			if content.ReasonCode != packets.AuthSuccess {
				l.conn.fail(errDialogue)
				return
			}
			l.renewal.accepted()
		case *packets.Disconnect:
			bye := &ReasonError{Code: content.ReasonCode}
			if content.Properties != nil {
				bye.Reason = content.Properties.ReasonString
			}
			l.peer.dismissed(bye)
			return
		default:
			l.conn.accuse(protocolError("a packet of type %d after the handshake", packet.Type))
			return
		}
	}
}

// close ends the connection in good order. Unless it is the last one, the session stays
// at the broker for as long as it was told to when connecting.
func (l *link) close() {
	l.conn.leave()
	bye := &packets.Disconnect{Properties: &packets.Properties{}}
	if l.last.Load() {
		bye.Properties.SessionExpiryInterval = new(uint32)
	}
	// An error says that the connection is gone already, which is what we want.
	_, _ = bye.WriteTo(l.conn)
	l.conn.Close()
}

// cause says why the connection ended.
func (l *link) cause() error {
	if bye := l.peer.farewell(); bye != nil {
		return bye
	}
	return cmp.Or(l.conn.cause(), errUnreadable)
}

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

// basePeer is what the peers of a source and of a sink have in common.
type basePeer struct {
	bye *ReasonError // written by the reader, read after the connection's end
}

func (p *basePeer) dismissed(bye *ReasonError) { p.bye = bye }
func (p *basePeer) farewell() *ReasonError     { return p.bye }
