// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"cmp"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

const (
	// highWater is the amount of unsent data above which a sink holds its next
	// PUBLISH back. One packet may exceed it; control packets ignore it, since the
	// protocol bounds them and the reader, which must not block, writes some.
	highWater = 256 << 10
	// keepBuffer is the largest write buffer that is used again; one that grew for a
	// huge message is let go.
	keepBuffer = 256 << 10
	// closeTimeout bounds the flush of a connection that is being closed, and then the
	// wait for the peer to close it, too.
	closeTimeout = time.Second
	// maxUnread is how much of what only answers the peer, acknowledgements, it may leave
	// unread: several times as much as the protocol lets it have outstanding.
	maxUnread = 1 << 20
)

// errUnread ends a connection whose peer sends, and reads nothing.
var errUnread = errors.New("the broker does not read our acknowledgements")

// A taker takes the packets that come with every message, and which the client library
// never sees: PUBLISH and PUBACK. Both methods are called by who reads, one call at a
// time, and must not block. An error ends the connection.
type taker interface {
	// take takes a packet, of which body is what follows the length; it keeps nothing of
	// body.
	take(first byte, body []byte) error
	// taken says that take was called for all that has come so far.
	taken() error
}

// conn makes few system calls of many small packets. Reads are buffered. Writes
// append to a buffer and return; one goroutine sends what has gathered, so the
// busier the connection, the more packets go out at once, and an idle one waits
// for nothing. That goroutine stays where messages pass; for what else is written now and
// then, one comes and goes.
//
// A packet of the client library's reaches Write in several pieces: the packet encoder
// locks the connection around them, because conn is a sync.Locker. Write must be called
// with that lock held, which packets' WriteTo does.
type conn struct {
	net.Conn
	maxPacket int    // bytes
	drained   func() // called after each successful send, without locks

	mu      sync.Mutex
	pending []byte // guarded by mu: written, not yet handed to the sender
	sending int    // guarded by mu: bytes that the sender is sending
	err     error  // guarded by mu: why nothing can be sent any more
	readErr error  // guarded by mu: why nothing can be read any more
	orderly bool   // guarded by mu: the last packet was written, the peer will close
	sender  bool   // guarded by mu: there is one
	busy    bool   // guarded by mu: it stays

	accused atomic.Bool // nothing of the peer is believed any more

	reading sync.Mutex // held by who reads
	input   input      // guarded by reading
	taker   taker      // guarded by reading: nil until the handshake is over
	passing int        // guarded by reading: bytes that are left of a packet that is the client library's

	wake   chan struct{} // holds one token while pending or err changed
	sent   chan struct{} // closed when nothing will be sent any more
	closer sync.Once
}

// newConn returns a conn over c, on which no packet may have more than maxPacket bytes.
func newConn(c net.Conn, maxPacket int, drained func()) *conn {
	return &conn{
		Conn:      c,
		maxPacket: maxPacket,
		input:     input{from: c},
		drained:   drained,
		wake:      make(chan struct{}, 1),
		sent:      make(chan struct{}),
	}
}

// Lock begins a packet.
func (c *conn) Lock() { c.mu.Lock() }

// Unlock ends a packet, or whatever else the sender is to see. It ends with Close.
func (c *conn) Unlock() {
	there := c.sender
	c.sender = true
	c.mu.Unlock()
	if !there {
		go c.send()
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// serve gives t its packets from the next on. It is called where a packet begins, and
// not by who reads.
func (c *conn) serve(t taker) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.taker = t
}

// Read reads what the client library has to see.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	n, err := c.read(p)
	if v := (*violation)(nil); errors.As(err, &v) {
		c.accuse(v)
	} else if err != nil {
		c.mu.Lock()
		if c.readErr == nil {
			c.readErr = err
		}
		c.mu.Unlock()
	}
	return n, err
}

func (c *conn) read(p []byte) (int, error) {
	if c.accused.Load() {
		return 0, c.cause()
	}
	if c.passing == 0 {
		if err := c.nextPassing(); err != nil {
			return 0, err
		}
	}
	n, err := c.input.Read(p[:min(len(p), c.passing)])
	c.passing -= n
	return n, err
}

// nextPassing gives the taker its packets, until the next is one for the client library,
// which believes every length: all are looked at before.
func (c *conn) nextPassing() (err error) {
	given := false
	flush := func() (err error) {
		if given {
			given = false
			err = c.taker.taken()
		}
		return err
	}
	defer func() { err = cmp.Or(err, flush()) }()
	for {
		f, known, err := parseFrame(c.input.buffered())
		if !known || f.header+f.length > len(c.input.buffered()) {
			if err := flush(); err != nil { // before we wait for more
				return err
			}
		}
		for n := 2; !known && err == nil; n++ {
			if err = c.input.fill(n); err == nil {
				f, known, err = parseFrame(c.input.buffered())
			}
		}
		passes := c.taker == nil || f.kind() != packets.PUBLISH && f.kind() != packets.PUBACK
		if err == nil {
			err = f.check(c.maxPacket, passes)
		}
		if err != nil {
			return err
		}
		if passes {
			c.passing = f.header + f.length
			return nil
		}
		body, err := c.input.next(f.header, f.length)
		if err == nil {
			given = true
			err = c.taker.take(f.first, body)
		}
		if err != nil {
			return err
		}
	}
}

// Write adds p to what is sent next. The caller holds the lock.
func (c *conn) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.pending = append(c.pending, p...)
	return len(p), nil
}

// writePackets sends whole packets that answer the peer. Errors show when reading.
func (c *conn) writePackets(p []byte) {
	c.Lock()
	c.busy = true
	unread := len(c.pending) > maxUnread
	if !unread {
		_, _ = c.Write(p)
	}
	c.Unlock()
	if unread {
		c.fail(errUnread)
	}
}

// writePacket sends a whole packet that the caller has asked room for, see full.
func (c *conn) writePacket(p []byte) error {
	c.Lock()
	defer c.Unlock()
	c.busy = true
	_, err := c.Write(p)
	return err
}

// full reports whether so much is unsent that publishing should wait.
func (c *conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)+c.sending >= highWater
}

// send sends what gathers in pending until the connection is closed or fails; while it
// isn't busy, until there is no more.
func (c *conn) send() {
	var batch []byte
	for {
		// Whoever is about to write more goes first. Where nobody is, this takes no time.
		runtime.Gosched()
		c.mu.Lock()
		batch, c.pending = c.pending, batch[:0]
		c.sending = len(batch)
		failed, busy := c.err != nil, c.busy
		c.sender = failed || busy || len(batch) > 0
		ends := !c.sender
		c.mu.Unlock()

		if len(batch) > 0 {
			_, err := c.Conn.Write(batch)
			c.mu.Lock()
			c.sending = 0
			if err != nil && c.err == nil {
				c.err = err
			}
			c.mu.Unlock()
			if err != nil {
				c.Conn.Close() // wakes the reader, which reports the loss
				close(c.sent)
				return
			}
			if c.drained != nil {
				c.drained()
			}
		}
		if failed {
			close(c.sent)
			return
		}
		if ends {
			return
		}
		if cap(batch) > keepBuffer {
			batch = nil
		}
		if busy {
			<-c.wake
		}
	}
}

// leave says that what is written before Close includes a DISCONNECT: the peer is
// expected to read to its end, and to close the connection.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orderly = true
}

// Close sends what was written before, giving up after a second, and closes the
// connection; after leave, not before the peer does or another second has passed. It
// may be called more than once.
func (c *conn) Close() error {
	c.closer.Do(func() {
		c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		c.mu.Lock()
		orderly := c.orderly && c.err == nil && c.readErr == nil
		if c.err == nil {
			c.err = net.ErrClosed
		}
		c.Unlock()
		<-c.sent
		if orderly {
			c.linger()
		}
		c.Conn.Close()
	})
	return nil
}

// linger discards what the peer sends until it closes the connection. A connection
// that is closed while something is unread is reset, and a reset takes from the peer
// what it has not read yet: our last acknowledgements.
func (c *conn) linger() {
	below := c.Conn
	if ws, ok := below.(*webSocket); ok {
		below = ws.below
	}
	half, ok := below.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	below.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	c.reading.Lock()
	defer c.reading.Unlock()
	below.SetReadDeadline(time.Now().Add(closeTimeout))
	_, _ = io.Copy(io.Discard, below)
}

// fail ends the connection at once, with its cause.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.Unlock()
	c.Conn.Close() // wakes the reader
}

// refuse ends the connection because of a violation: the peer is told, and the reader
// woken.
func (c *conn) refuse(v *violation) {
	c.accuse(v)
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// accuse makes a violation the cause of the connection's end, which the peer is told when
// it is closed.
func (c *conn) accuse(v *violation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.pending = append(c.pending, packets.DISCONNECT<<4, 1, v.code)
		c.err = v
		c.accused.Store(true)
	}
}

// cause returns the error that ended the connection, nil if none did.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range []error{c.err, c.readErr} {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}
