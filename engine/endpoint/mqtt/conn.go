// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

const (
	readBuffer = 64 << 10
	// highWater is the amount of unsent data above which a sink holds its next
	// PUBLISH back. One packet may exceed it; control packets ignore it, since the
	// protocol bounds them and the reader, which must not block, writes some.
	highWater = 256 << 10
	// keepBuffer is the largest write buffer that is used again; one that grew for a
	// huge message is let go.
	keepBuffer = 1 << 20
	// closeTimeout bounds the flush of a connection that is being closed, and then the
	// wait for the peer to close it, too.
	closeTimeout = time.Second
	// maxUnread is how much of what only answers the peer, acknowledgements, it may leave
	// unread: several times as much as the protocol lets it have outstanding.
	maxUnread = 1 << 20
)

// errUnread ends a connection whose peer sends, and reads nothing.
var errUnread = errors.New("the broker does not read our acknowledgements")

// conn makes few system calls of many small packets. Reads are buffered. Writes
// append to a buffer and return; one goroutine sends what has gathered, so the
// busier the connection, the more packets go out at once, and an idle one waits
// for nothing.
//
// A packet reaches Write in several pieces: the packet encoder locks the
// connection around them, because conn is a sync.Locker. Write must be called
// with that lock held, which packets' WriteTo does.
type conn struct {
	net.Conn
	reader  *bufio.Reader
	drained func() // called after each successful send, without locks

	mu      sync.Mutex
	pending []byte // guarded by mu: written, not yet handed to the sender
	sending int    // guarded by mu: bytes that the sender is sending
	err     error  // guarded by mu: why nothing can be sent any more
	readErr error  // guarded by mu: why nothing can be read any more
	orderly bool   // guarded by mu: the last packet was written, the peer will close

	accused atomic.Bool // nothing of the peer is believed any more

	reading sync.Mutex // held by who reads
	frames  frames     // guarded by reading

	wake   chan struct{} // holds one token while pending or err changed
	sent   chan struct{} // closed when the sender has ended
	closer sync.Once
}

// newConn returns a conn over c, on which no packet may have more than maxPacket bytes,
// and starts its sender, which ends with Close.
func newConn(c net.Conn, maxPacket int, drained func()) *conn {
	w := &conn{
		Conn:    c,
		reader:  bufio.NewReaderSize(c, readBuffer),
		drained: drained,
		frames:  frames{max: maxPacket},
		wake:    make(chan struct{}, 1),
		sent:    make(chan struct{}),
	}
	go w.send()
	return w
}

// Lock begins a packet.
func (c *conn) Lock() { c.mu.Lock() }

// Unlock ends a packet: the sender may have it.
func (c *conn) Unlock() {
	c.mu.Unlock()
	c.signal()
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Read reads from the peer.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.accused.Load() {
		return 0, c.cause()
	}
	n, err := c.reader.Read(p)
	if v := c.frames.follow(p[:n]); v != nil {
		c.accuse(v)
		return 0, v
	}
	if err != nil {
		c.mu.Lock()
		if c.readErr == nil {
			c.readErr = err
		}
		c.mu.Unlock()
	}
	return n, err
}

// Write adds p to what is sent next. The caller holds the lock.
func (c *conn) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.pending = append(c.pending, p...)
	return len(p), nil
}

// writePackets sends whole packets. Errors show when reading.
func (c *conn) writePackets(p []byte) {
	c.Lock()
	unread := len(c.pending) > maxUnread
	if !unread {
		_, _ = c.Write(p)
	}
	c.Unlock()
	if unread {
		c.fail(errUnread)
	}
}

// full reports whether so much is unsent that publishing should wait.
func (c *conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)+c.sending >= highWater
}

// send sends what gathers in pending until the connection is closed or fails.
func (c *conn) send() {
	defer close(c.sent)
	var batch []byte
	for range c.wake {
		c.mu.Lock()
		batch, c.pending = c.pending, batch[:0]
		c.sending = len(batch)
		failed := c.err != nil
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
				return
			}
			if c.drained != nil {
				c.drained()
			}
		}
		if failed {
			return
		}
		if cap(batch) > keepBuffer {
			batch = nil
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
		c.mu.Unlock()
		c.signal()
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
	c.mu.Unlock()
	c.signal()
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
