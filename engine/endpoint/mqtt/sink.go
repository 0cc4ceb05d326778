// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/topic"
)

// ErrClosed reports a Send to a sink that has ended, or is ending.
var ErrClosed = errors.New("sink is closed")

// Sink publishes messages. Its methods may be called from any goroutine; Run is
// called once.
type Sink struct {
	config Config
	topic  topic.Template

	connected atomic.Bool
	trouble   trouble
	stats     struct{ sent, bytes, resent, refused, expired, connections atomic.Uint64 }

	mu      sync.Mutex
	changed sync.Cond     // room, current or closed changed
	closed  bool          // guarded by mu: nothing more is accepted
	empty   chan struct{} // closed when closed and nothing is left to confirm
	current *sender       // guarded by mu: the live connection, nil without

	// queue holds what was accepted and is not confirmed, oldest first. The i-th
	// publication has number first+i, which gives its packet identifier.
	queue      queue[publication] // guarded by mu
	first      uint64             // guarded by mu
	written    int                // guarded by mu: so many of queue were written on current
	unanswered int                // guarded by mu: so many of these have no answer
	suspects   uint64             // guarded by mu: send those below it one at a time
	silences   int                // guarded by mu: connections closed right behind what was sent, without an answer, in a row
	trials     int                // guarded by mu: connections that a suspect was sent on after a while, since the last answer
	confirming bool               // guarded by mu: somebody is calling done functions
	packet     []byte             // guarded by mu: scratch

	confirmed []publication // only who is confirming touches it
}

// publication is one accepted message.
type publication struct {
	message  *message.Message
	done     func(error)
	sent     bool  // written on this connection or an earlier one
	answered bool  // nothing is left to do but to call done
	err      error // with this
}

// SinkStats counts what a sink did since it was made.
type SinkStats struct {
	Sent        uint64 // messages written for the first time
	Resent      uint64 // messages written again on a new connection
	Refused     uint64 // messages that can never be delivered
	Expired     uint64 // messages whose expiry passed before they could be written
	Connections uint64 // connections made
}

// NewSink returns a sink that publishes every message to what text, a topic.Template,
// makes of its topic or, where text is empty, to its topic. A message whose topic has too
// few levels for that can never be delivered.
func NewSink(config Config, text string) (*Sink, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	template := topic.Own()
	if text != "" {
		var err error
		if template, err = topic.Parse(text); err == nil {
			err = checkString(text)
		}
		if err != nil {
			return nil, fmt.Errorf("mqtt: configure client %s: topic %q: %w", config.ClientID, text, err)
		}
	}
	s := &Sink{config: config.withDefaults(), topic: template, empty: make(chan struct{})}
	s.changed.L = &s.mu
	return s, nil
}

// Connected reports whether the sink is connected.
func (s *Sink) Connected() bool { return s.connected.Load() }

// Trouble implements endpoint.Explainer.
func (s *Sink) Trouble() error { return s.trouble.unless(s.Connected()) }

// Stats returns the counters.
func (s *Sink) Stats() SinkStats {
	return SinkStats{
		Sent:        s.stats.sent.Load(),
		Resent:      s.stats.resent.Load(),
		Refused:     s.stats.refused.Load(),
		Expired:     s.stats.expired.Load(),
		Connections: s.stats.connections.Load(),
	}
}

// Traffic implements endpoint.Counter.
func (s *Sink) Traffic() endpoint.Traffic {
	return endpoint.Traffic{Bytes: s.stats.bytes.Load(), Retried: s.stats.resent.Load(), Expired: s.stats.expired.Load()}
}

// Run implements endpoint.Sink. What is still unconfirmed when it returns, after
// DrainTimeout at the latest, stays so: its done functions are never called.
func (s *Sink) Run(ctx context.Context) error {
	// The connection outlives ctx by the drain.
	online, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		defer disconnect()
		s.close()
		drain := time.NewTimer(s.config.DrainTimeout)
		defer drain.Stop()
		select {
		case <-s.empty:
		case <-drain.C:
			s.config.Logger.Warn("mqtt: ending with unconfirmed messages", "client", s.config.ClientID, "count", s.unconfirmed())
		case <-online.Done():
		}
	})
	err := s.config.keepConnected(online, &s.trouble, s.transmit)
	if stop() { // refused for good
		s.close()
		return err
	}
	disconnect()
	<-drained
	return err
}

// transmit makes one connection and serves it to its end.
func (s *Sink) transmit(ctx context.Context) (time.Duration, error) {
	c := &sender{sink: s}
	// Whatever session an earlier process left at the broker, nobody here knows
	// its unacknowledged packets: the first connection starts a new one.
	cleanStart := s.stats.connections.Load() == 0
	l, err := s.config.dial(ctx, c, cleanStart, s.drained)
	if err != nil {
		return 0, err
	}
	s.connected.Store(true)
	s.config.Logger.Info("mqtt: ready to publish", "broker", s.config.Address, "client", s.config.ClientID, "window", c.window)
	err = l.serve(ctx, nil)
	s.connected.Store(false)
	s.detach(c, err)
	return time.Since(l.since), err
}

// Send implements endpoint.Sink.
func (s *Sink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(ctx); err != nil {
		return err
	}
	s.queue.push(publication{message: s.event(m), done: done})
	s.pump()
	return nil
}

// event returns m with the attributes of the CloudEvent that it is. They are made once,
// so that what is sent again has the same.
func (s *Sink) event(m *message.Message) *message.Message {
	to, err := s.topic.Expand(m.Topic)
	if err != nil {
		return m // is refused when it is encoded
	}
	properties, is := s.config.Events.Properties(m, to, time.Now())
	if !is {
		return m
	}
	m = m.Clone()
	m.Properties = properties
	return m
}

// room waits until a message can be accepted. The caller holds mu.
func (s *Sink) room(ctx context.Context) error {
	full := func() bool { return s.current == nil || s.queue.len() >= s.current.window }
	if full() && !s.closed {
		defer context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})()
	}
	for full() && !s.closed && ctx.Err() == nil {
		s.changed.Wait()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed {
		return fmt.Errorf("mqtt: send as %s: %w", s.config.ClientID, ErrClosed)
	}
	return nil
}

// pump writes as much of the queue as the window, the connection's buffer and
// suspicion allow; first sends and repetitions alike, in order. It never blocks.
// The caller holds mu, which is released while done functions run.
func (s *Sink) pump() {
	c := s.current
	for c != nil && !c.held && s.written < s.queue.len() && s.unanswered < s.window() && !c.conn.full() {
		p := s.queue.at(s.written)
		if !p.answered {
			if !s.write(c, p, s.first+uint64(s.written)) {
				break // the connection is gone, which its end will tell us
			}
		}
		s.written++
	}
	s.confirm()
}

// window is how many publications may await their answers. The caller holds mu.
func (s *Sink) window() int {
	if s.first < s.suspects {
		return 1
	}
	return s.current.window
}

// write writes one publication, or answers it where that cannot be done. It
// reports false where the connection is gone. The caller holds mu.
func (s *Sink) write(c *sender, p *publication, number uint64) bool {
	to, err := s.topic.Expand(p.message.Topic)
	if err == nil {
		s.packet, err = appendPublish(s.packet[:0], p.message, outgoing{
			topic: to, qos: s.config.QoS.level(), id: packetID(number),
			duplicate: p.sent && c.resumed, retain: c.retain,
		}, time.Now())
	}
	switch {
	case errors.Is(err, errExpired):
		p.answered = true
		s.stats.expired.Add(1)
		return true
	case err == nil && len(s.packet) > c.maxPacket:
		err = fmt.Errorf("packet of %d bytes: the broker takes %d", len(s.packet), c.maxPacket)
	}
	if err != nil {
		s.refuse(p, err)
		return true
	}
	err = c.conn.writePacket(s.packet)
	if cap(s.packet) > keepBuffer {
		s.packet = nil
	}
	if err != nil {
		return false
	}
	if p.sent {
		s.stats.resent.Add(1)
	} else {
		s.stats.sent.Add(1)
		s.stats.bytes.Add(uint64(len(p.message.Payload)))
	}
	p.sent = true
	if s.config.QoS == AtLeastOnce {
		s.unanswered++
	} else {
		p.answered = true
	}
	return true
}

// refuse answers p with why it can never be delivered. The caller holds mu.
func (s *Sink) refuse(p *publication, err error) {
	p.answered = true
	p.err = fmt.Errorf("mqtt: publish as %s: %w", s.config.ClientID, err)
	s.stats.refused.Add(1)
}

// confirm calls the done functions of the answered publications at the front, in
// order. While one goroutine does so, others leave theirs to it. The caller holds
// mu, which is released during the calls.
func (s *Sink) confirm() {
	if s.confirming {
		return
	}
	s.confirming = true
	for s.queue.len() > 0 && s.queue.at(0).answered {
		for s.queue.len() > 0 && s.queue.at(0).answered {
			s.confirmed = append(s.confirmed, s.queue.pop())
		}
		n := len(s.confirmed)
		s.first += uint64(n)
		s.written = max(s.written-n, 0)
		s.changed.Broadcast()
		s.mu.Unlock()
		for i := range s.confirmed {
			s.confirmed[i].done(s.confirmed[i].err)
		}
		clear(s.confirmed)
		s.confirmed = s.confirmed[:0]
		s.mu.Lock()
	}
	s.confirming = false
	s.reportEmpty()
}

// close refuses further messages.
func (s *Sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.changed.Broadcast()
	s.reportEmpty()
}

// reportEmpty tells Run that nothing is left to wait for. The caller holds mu.
func (s *Sink) reportEmpty() {
	if !s.closed || s.confirming || s.queue.len() > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

func (s *Sink) unconfirmed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.len()
}

// drained goes on writing after the connection's buffer has emptied.
func (s *Sink) drained() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pump()
}

// attach makes c the live connection and offers it everything unconfirmed; after a while,
// where one of it is suspected.
func (s *Sink) attach(c *sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.written, s.unanswered = c, 0, 0
	if s.silences >= silencesToSuspect {
		c.held, c.quiet = true, 10*s.config.MinBackoff<<min(s.trials, 12)
		c.release = time.AfterFunc(c.quiet, func() { s.release(c) })
	}
	s.changed.Broadcast()
	s.pump()
}

// release ends the quiet time of c.
func (s *Sink) release(c *sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != c {
		return
	}
	c.held, c.released = false, time.Now()
	s.trials++
	s.pump()
}

// How often a connection may be closed without a word on what was published,
// before we look for the message that causes it, and until we have found it.
const (
	silencesToSuspect = 2
	silencesToConvict = 5
)

// detach ends c, which cause has ended. If that was because of a message, the
// message would come again on the next connection, and end that too, for ever. So
// then everything is sent one at a time, and the one in flight when it happens
// again is given up. Some brokers only close the connection, as a network failure
// does, or say that we are not authorized, which may be about us: it takes several of
// those, one after the other, to convict a message. Where we show tokens it is about us:
// one has expired.
//
// A broker that comes up and crashes, again and again, closes connections as well. So a
// suspect is tried: it is sent on a connection that has been quiet for a while, each time
// for twice as long, and the close has to come sooner behind it than that. A close while it
// is quiet is none of the message's doing, and acquits it.
func (s *Sink) detach(c *sender, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	if c.release != nil {
		c.release.Stop()
	}
	blamed := c.bye != nil && blamesPacket(c.bye.Code)
	unauthorized := c.bye != nil && c.bye.Code == packets.DisconnectNotAuthorized && s.config.Authentication == nil
	silent := s.unanswered > 0 && (unauthorized || closedByPeer(cause))
	switch {
	case !silent:
		s.silences, s.trials = 0, 0
	case c.quiet == 0 || time.Since(c.released) < c.quiet:
		s.silences++
	}
	switch {
	case s.unanswered == 1 && (blamed || s.silences >= silencesToConvict):
		for i := range s.written {
			if p := s.queue.at(i); !p.answered {
				s.refuse(p, cause)
				break
			}
		}
		s.silences, s.trials = 0, 0
		s.confirm()
	case blamed || s.silences >= silencesToSuspect:
		s.suspects = s.first + uint64(s.queue.len())
	}
}

// answer takes the broker's answers to publications.
func (s *Sink) answer(c *sender, answers []puback) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != c {
		return
	}
	for _, a := range answers {
		i := int((uint64(a.id) + math.MaxUint16 - uint64(packetID(s.first))) % math.MaxUint16)
		if i >= s.written || s.queue.at(i).answered {
			continue
		}
		s.silences, s.trials = 0, 0
		p := s.queue.at(i)
		switch {
		case a.reason == nil:
			p.answered = true
		case a.reason.Code == packets.PubackQuotaExceeded || a.reason.Code == packets.PubackPacketIdentifierInUse:
			// Not accepted, but not for good. The pause before the next connection
			// gives the broker time, and everything unconfirmed is then sent in order.
			p.sent = false
			c.bye = a.reason
			c.conn.Conn.Close()
			s.confirm()
			return
		default:
			s.refuse(p, a.reason)
		}
		s.unanswered--
	}
	s.pump()
}

// packetID returns the identifier of the publication with that number. At most
// 65535 are unconfirmed, so no two of them share one.
func packetID(number uint64) uint16 { return uint16(number%math.MaxUint16) + 1 }

// sender is a sink's side of one connection.
type sender struct {
	basePeer
	sink      *Sink
	conn      *conn
	window    int  // most publications unanswered
	maxPacket int  // bytes
	retain    bool // the broker can retain messages
	resumed   bool // the broker still had our session

	held     bool          // guarded by the sink's mu: nothing is to be written yet
	quiet    time.Duration // for so long; 0: it wasn't
	release  *time.Timer   // ends that
	released time.Time     // guarded by the sink's mu: when it did

	answers []puback // taken by the reader, and not passed on yet
}

// begin implements peer: it learns the broker's limits and sends what earlier
// connections left unconfirmed.
func (c *sender) begin(to *conn, cleanStart bool, ack *packets.Connack) error {
	props := ack.Properties
	if err := checkConnack(ack, cleanStart); err != nil {
		return err
	}
	if props.MaximumQOS != nil && *props.MaximumQOS < c.sink.config.QoS.level() {
		return refusedForGood{fmt.Errorf("the broker offers quality of service %d at most", *props.MaximumQOS)}
	}
	c.conn = to
	c.resumed = ack.SessionPresent
	c.window = c.sink.config.MaxInflight
	if props.ReceiveMaximum != nil {
		c.window = min(c.window, int(*props.ReceiveMaximum))
	}
	c.maxPacket = math.MaxInt
	if props.MaximumPacketSize != nil {
		c.maxPacket = int(*props.MaximumPacketSize)
	}
	c.retain = c.sink.config.Retain == KeepRetain && (props.RetainAvailable == nil || *props.RetainAvailable == 1)
	c.sink.stats.connections.Add(1)
	c.sink.attach(c)
	c.conn.serve(c)
	return nil
}

// answered implements peer: nobody here asked.
func (c *sender) answered(packets.Packet) {}

// lost implements peer.
func (c *sender) lost() {}

// take implements taker.
func (c *sender) take(first byte, body []byte) error {
	if first>>4 != packets.PUBACK {
		return nil
	}
	p, err := parsePuback(body)
	if err == nil {
		c.answers = append(c.answers, p)
	}
	return err
}

// taken implements taker.
func (c *sender) taken() error {
	c.sink.answer(c, c.answers)
	c.answers = c.answers[:0]
	return nil
}
