// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"errors"
	"io"
	"net"
	"testing"
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
