// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/eclipse/paho.golang/packets"
)

// halfCloser is one end of a pipe that can close its way out.
type halfCloser struct {
	net.Conn
	closed chan struct{} // the way out is closed
}

func (h halfCloser) CloseWrite() error {
	close(h.closed)
	return nil
}

// TestLeave checks that a connection is not closed while the peer still sends: TCP
// would reset it, and the peer would lose what it has not read.
func TestLeave(t *testing.T) {
	ours, peer := net.Pipe()
	h := halfCloser{ours, make(chan struct{})}
	c := newConn(h, 1<<20, nil)
	reading := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		reading <- err
	}()
	c.writePackets([]byte("bye"))
	c.leave()
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	got := make([]byte, 3)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "bye" {
		t.Fatalf("the peer read %q, %v, want bye", got, err)
	}
	<-h.closed
	for range 100 { // as much as a broker may have under way
		if _, err := peer.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("the connection was closed under a peer that sends: %v", err)
		}
	}
	peer.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	// Last, since a reader that comes late waits for all of that.
	if err := <-reading; err == nil {
		t.Error("the reader read something after the end")
	}
}

// TestUnread: what answers a peer that reads nothing does not gather without end.
func TestUnread(t *testing.T) {
	ours, peer := net.Pipe()
	defer peer.Close()
	c := newConn(ours, 1<<20, nil)
	for range 1 << 10 {
		c.writePackets(make([]byte, 4<<10))
	}
	if err := c.cause(); !errors.Is(err, errUnread) {
		t.Errorf("ended by %v, want %v", err, errUnread)
	}
	if got := len(c.pending); got > maxUnread+8<<10 {
		t.Errorf("%d bytes wait to be sent", got)
	}
	c.Close()
}

// TestSenderComesAndGoes: a connection that only pings has no goroutine that writes, and one
// that messages pass on keeps it.
func TestSenderComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newConn(ours, 1<<20, nil)
		var got []byte
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			got, _ = io.ReadAll(theirs)
		}()
		there := func() bool {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.sender
		}
		if there() {
			t.Error("there is a sender before anything is sent")
		}
		for range 2 {
			if _, err := (&packets.Pingreq{}).WriteTo(c); err != nil {
				t.Fatal(err)
			}
			if there() {
				t.Error("the sender of a ping has stayed")
			}
		}
		if err := c.writePacket([]byte("message")); err != nil {
			t.Fatal(err)
		}
		if !there() {
			t.Error("the sender of a message has gone")
		}
		c.Close()
		<-ended
		if want := "\xc0\x00\xc0\x00message"; string(got) != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}
