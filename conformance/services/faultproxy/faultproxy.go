// SPDX-License-Identifier: Apache-2.0

// Package faultproxy forwards TCP connections, and fails as networks do when a test tells
// it to: it goes silent and comes back, resets, refuses, is slow, or ends a connection
// behind so many bytes. It knows nothing of what it forwards.
package faultproxy

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a running proxy. It ends with its test. Its methods may be called from any
// goroutine, and take effect at once, for the connections that there are, too.
type Proxy struct {
	// Addr is host:port, on loopback; it stays as it is.
	Addr string

	t      testing.TB
	target string

	mu       sync.Mutex
	listener net.Listener       // guarded by mu: nil while connections are refused
	lines    map[*line]struct{} // guarded by mu: the connections
	open     chan struct{}      // guarded by mu: closed while bytes pass
	delay    time.Duration      // guarded by mu: of what passes
	limit    int                // guarded by mu: bytes that the target may send on a new connection; 0: any
	made     int                // guarded by mu: connections since the start
	running  sync.WaitGroup
}

// line is one connection through the proxy.
type line struct {
	client, target net.Conn
	limit          int
	gone           chan struct{} // closed when it is to end
	once           sync.Once
}

// Start starts a proxy to target, host:port, which need not be there yet.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, lines: map[*line]struct{}{}, open: make(chan struct{})}
	close(p.open)
	p.Addr = p.listen("127.0.0.1:0")
	t.Cleanup(p.stop)
	return p
}

// Cut goes silent: what either side sends gets no further, and neither side is told. New
// connections are taken, and get no answer.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default: // it is already
	}
}

// Mend ends Cut: what was held back gets through, on the connections whose ends still want it.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// Reset ends all connections, as a router does that has forgotten them: what is on its way
// is lost.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.lines {
		l.end(true)
	}
}

// Refuse refuses new connections, until Accept. Those that there are go on.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// Accept ends Refuse.
func (p *Proxy) Accept() {
	p.mu.Lock()
	refusing := p.listener == nil
	p.mu.Unlock()
	if refusing {
		p.listen(p.Addr)
	}
}

// Delay holds every piece that passes, in either direction, for d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// CloseAfter ends each new connection, in good order, behind n bytes of the target; 0 ends
// none.
func (p *Proxy) CloseAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
}

// Connections returns how many connections were made since the start.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

// stop ends everything, and waits for that.
func (p *Proxy) stop() {
	p.Refuse()
	p.Reset()
	p.running.Wait()
}

// listen takes connections on addr, and returns where that is.
func (p *Proxy) listen(addr string) string {
	p.t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Error("faultproxy:", err)
		return addr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed, which is its only end
			}
			p.running.Go(func() { p.forward(client, listener) })
		}
	})
	return listener.Addr().String()
}

// forward connects a client with the target until one of them ends that.
func (p *Proxy) forward(client net.Conn, by net.Listener) {
	l := &line{client: client, gone: make(chan struct{})}
	p.mu.Lock()
	if p.listener != by {
		p.mu.Unlock()
		client.Close() // it came too late
		return
	}
	l.limit = p.limit
	p.lines[l] = struct{}{}
	p.made++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		l.end(false)
		delete(p.lines, l)
	}()
	if !p.pass(l, false) {
		return
	}
	target, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil {
		l.end(true) // as if we weren't there either
		return
	}
	p.mu.Lock()
	l.target = target
	select {
	case <-l.gone:
		target.Close()
	default:
	}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, target, client, l.limit) })
	pumps.Go(func() { p.pump(l, client, target, 0) })
	pumps.Wait()
}

// pump forwards what from sends, at most limit bytes of it where that is not 0, and its end.
func (p *Proxy) pump(l *line, from, to net.Conn, limit int) {
	buffer := make([]byte, 32<<10)
	for left := limit; ; {
		n, err := from.Read(buffer)
		if limit > 0 {
			n = min(n, left)
			left -= n
		}
		if n > 0 && !p.pass(l, true) {
			return
		}
		if _, failed := to.Write(buffer[:n]); failed != nil {
			l.end(false)
			return
		}
		switch {
		case err != nil:
			if p.pass(l, false) {
				_ = to.(*net.TCPConn).CloseWrite() // an error says that it has ended, too
			}
			return
		case limit > 0 && left == 0:
			l.end(false)
			return
		}
	}
}

// pass waits until something may pass. It reports false where the connection is to end.
func (p *Proxy) pass(l *line, slow bool) bool {
	p.mu.Lock()
	open, delay := p.open, p.delay
	p.mu.Unlock()
	if slow && delay > 0 {
		late := time.NewTimer(delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-l.gone:
			return false
		}
	}
	select {
	case <-open:
		return true
	case <-l.gone:
		return false
	}
}

// end ends the connection; reset says how. Where the target's side may be set at the same
// time, the caller holds the proxy's lock.
func (l *line) end(reset bool) {
	l.once.Do(func() {
		close(l.gone)
		for _, c := range []net.Conn{l.client, l.target} {
			if c == nil {
				continue
			}
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
	})
}
