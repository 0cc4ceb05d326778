// SPDX-License-Identifier: Apache-2.0

package faultproxy_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/conformance/services/faultproxy"
)

// patience bounds every wait for what must happen, hush is how long we wait for what must not.
const (
	patience = 20 * time.Second
	hush     = 50 * time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear returns what comes, as many bytes as want has.
func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

func hearNothing(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(hush))
	var timeout net.Error
	if n, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("heard %d bytes, %v, want nothing", n, err)
	}
}

func hearEnd(t *testing.T, c net.Conn, want error) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
		t.Fatalf("heard %v, want %v", err, want)
	}
}

func TestCut(t *testing.T) {
	p := faultproxy.Start(t, echo(t))
	c := dial(t, p)
	say(t, c, "before")
	hear(t, c, "before")
	p.Cut()
	p.Cut()
	say(t, c, "during")
	hearNothing(t, c)
	other := dial(t, p)
	say(t, other, "hello")
	hearNothing(t, other)
	abandoned := dial(t, p)
	abandoned.Close()
	p.Mend()
	p.Mend()
	hear(t, c, "during")
	hear(t, other, "hello")
	say(t, c, "after")
	hear(t, c, "after")
	if got := p.Connections(); got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
}

func TestCutAndReset(t *testing.T) {
	p := faultproxy.Start(t, echo(t))
	c := dial(t, p)
	say(t, c, "x")
	hear(t, c, "x")
	p.Cut()
	silent := dial(t, p)
	say(t, silent, "y")
	say(t, c, "y")
	hearNothing(t, c)
	p.Reset()
	hearEnd(t, c, syscall.ECONNRESET)
	p.Mend()
	c = dial(t, p)
	say(t, c, "z")
	hear(t, c, "z")
	// Left cut, it ends with the test all the same.
	p.Cut()
	say(t, c, "never")
}

func TestRefuse(t *testing.T) {
	p := faultproxy.Start(t, echo(t))
	c := dial(t, p)
	say(t, c, "x")
	hear(t, c, "x")
	p.Refuse()
	if other, err := net.Dial("tcp", p.Addr); err == nil {
		other.Close()
		t.Error("a connection was made")
	}
	say(t, c, "y")
	hear(t, c, "y")
	p.Accept()
	c = dial(t, p)
	say(t, c, "z")
	hear(t, c, "z")
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	c, err := net.Dial("tcp", faultproxy.Start(t, listener.Addr().String()).Addr)
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestCloseAfter(t *testing.T) {
	p := faultproxy.Start(t, echo(t))
	p.CloseAfter(5)
	c := dial(t, p)
	say(t, c, "123")
	hear(t, c, "123")
	say(t, c, "456")
	hear(t, c, "45")
	hearEnd(t, c, io.EOF)
	p.CloseAfter(0)
	c = dial(t, p)
	say(t, c, "123456")
	hear(t, c, "123456")
}

func TestDelay(t *testing.T) {
	p := faultproxy.Start(t, echo(t))
	p.Delay(hush)
	c := dial(t, p)
	began := time.Now()
	say(t, c, "x")
	hear(t, c, "x")
	if took := time.Since(began); took < 2*hush {
		t.Errorf("came back after %v, want two delays of %v", took, hush)
	}
}

// TestHalfClosed: the end of one direction passes, and the other goes on.
func TestHalfClosed(t *testing.T) {
	c := dial(t, faultproxy.Start(t, echo(t)))
	say(t, c, "x")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	hear(t, c, "x")
	hearEnd(t, c, io.EOF)
}
