// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

// Source receives what is published on some topics. Its methods may be called
// from any goroutine; Run is called once.
type Source struct {
	config  Config
	filters []string
	former  []string        // what an earlier session of the client may be subscribed to instead
	retired context.Context // ends with Retire; a context, since nobody has to wait for it to hear of that
	retire  context.CancelFunc

	connected atomic.Bool
	trouble   trouble
	stats     struct{ received, bytes, redelivered, dropped, malformed, stray, connections atomic.Uint64 }

	selects  func(topic string) bool // whether a topic is asked for; nil: any may be
	disowned map[string]bool         // topics of strays; for the errands of the connection

	mu      sync.Mutex
	changed sync.Cond      // something for the emitter: queue, current or stopped changed
	queue   queue[arrival] // guarded by mu: awaits emission
	bytes   int            // guarded by mu: of the messages in the queue
	current *receiver      // guarded by mu: the live connection, nil without
	stopped bool           // guarded by mu: nothing more will be emitted
}

// arrival is a delivery that waits to be emitted.
type arrival struct {
	endpoint.Delivery
	from *receiver // whom to acknowledge it to; nil at QoS 0
	size int       // bytes of the message
}

// SourceStats counts what a source did since it was made.
type SourceStats struct {
	Received    uint64 // messages that arrived
	Redelivered uint64 // of these, marked by the broker as sent before
	Dropped     uint64 // of these, QoS 0 messages for which the queue had no room
	Malformed   uint64 // of these, that no broker may pass on, as with text that isn't UTF-8: refused
	Stray       uint64 // of these, that the session was subscribed to under another configuration: dropped
	Connections uint64 // connections made
}

// NewSource returns a source of the messages that match any of filters, which may
// be shared subscriptions, written $share/GROUP/FILTER or $shared/GROUP/FILTER.
func NewSource(config Config, filters ...string) (*Source, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if len(filters) == 0 {
		return nil, fmt.Errorf("mqtt: configure client %s: no topic filter", config.ClientID)
	}
	s := &Source{config: config.withDefaults(), disowned: map[string]bool{}}
	s.retired, s.retire = context.WithCancel(context.Background())
	for _, text := range filters {
		f, err := filter(text)
		if err != nil {
			return nil, fmt.Errorf("mqtt: configure client %s: topic filter %q: %w", config.ClientID, text, err)
		}
		if shared := "$share/" + config.Group + "/" + f; config.Group != "" && !strings.HasPrefix(f, "$share/") {
			if config.Alone {
				s.former = append(s.former, shared)
			} else {
				s.former = append(s.former, f)
				f = shared
			}
		}
		s.filters = append(s.filters, f)
	}
	s.selects = selects(s.filters)
	s.changed.L = &s.mu
	return s, nil
}

// Connected reports whether the source is connected and subscribed.
func (s *Source) Connected() bool { return s.connected.Load() }

// Trouble implements endpoint.Explainer.
func (s *Source) Trouble() error { return s.trouble.unless(s.Connected()) }

// Stats returns the counters.
func (s *Source) Stats() SourceStats {
	return SourceStats{
		Received:    s.stats.received.Load(),
		Redelivered: s.stats.redelivered.Load(),
		Dropped:     s.stats.dropped.Load(),
		Malformed:   s.stats.malformed.Load(),
		Stray:       s.stats.stray.Load(),
		Connections: s.stats.connections.Load(),
	}
}

// Traffic implements endpoint.Counter.
func (s *Source) Traffic() endpoint.Traffic {
	return endpoint.Traffic{Bytes: s.stats.bytes.Load(), Busy: s.stats.dropped.Load(), Malformed: s.stats.malformed.Load()}
}

// Run implements endpoint.Source.
func (s *Source) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	// The connection outlives ctx by the flush.
	online, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	ended := make(chan error, 1)
	go func() {
		err := s.config.keepConnected(online, &s.trouble, func(ctx context.Context) (time.Duration, error) { return s.receive(ctx, disconnect) })
		s.stop()
		ended <- err
	}()
	defer context.AfterFunc(ctx, s.stop)()

	for {
		d, ok := s.next()
		if !ok {
			break
		}
		emit(d)
	}
	select {
	case err := <-ended: // refused for good
		return err
	case <-flush:
		disconnect()
		return <-ended
	}
}

// receive makes one connection and serves it to its end. It calls finish when the source
// has retired.
func (s *Source) receive(ctx context.Context, finish func()) (time.Duration, error) {
	r := &receiver{source: s}
	l, err := s.config.dial(ctx, r, false, nil)
	if err != nil {
		return 0, err
	}
	if s.stats.connections.Add(1) > 1 && !r.resumed {
		s.config.Logger.Warn("mqtt: the broker has lost the session, and with it what it held for us",
			"broker", s.config.Address, "client", s.config.ClientID)
	}
	defer func() {
		s.connected.Store(false)
		s.detach(r)
	}()
	r.disown = func(name string) { l.errands.add(func() { s.disown(ctx, l, r, name) }) }
	up := time.Duration(0)
	stay := func() bool { return true }
	err = l.serve(ctx, func() error {
		if err := s.subscribe(ctx, l, r); err != nil {
			return err
		}
		s.connected.Store(true)
		s.config.Logger.Info("mqtt: subscribed", "broker", s.config.Address, "client", s.config.ClientID, "filters", s.filters)
		stay = context.AfterFunc(s.retired, func() {
			l.errands.add(func() {
				if s.leave(ctx, l, r) {
					finish()
				}
			})
		})
		return nil
	})
	stay()
	if s.Connected() {
		up = time.Since(l.since)
	}
	return up, err
}

// subscribe subscribes to all filters, also in a session that had them: they may
// have been others then. Retained messages come only with a new subscription.
//
// What the session may have of another kind is unsubscribed only then: in between messages
// come twice, where they would else be lost. One that retires subscribes to nothing.
func (s *Source) subscribe(ctx context.Context, l *link, r *receiver) error {
	if s.retired.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	request := &packets.Subscribe{PacketID: subscribeID, Properties: &packets.Properties{User: s.config.userProperties()}}
	for _, f := range s.filters {
		// The broker said beforehand that it cannot.
		switch {
		case !l.wildcards && strings.ContainsAny(f, "#+"):
			return s.unsupported(f, "wildcards")
		case !l.shared && strings.HasPrefix(f, "$share/"):
			return s.unsupported(f, "shared subscriptions")
		}
		request.Subscriptions = append(request.Subscriptions, packets.SubOptions{
			Topic:             f,
			QoS:               s.config.QoS.level(),
			RetainHandling:    packets.RetainSendOnSubscribeIfNew,
			RetainAsPublished: true,
		})
	}
	answer, err := r.ask(ctx, l, packets.SUBACK, request)
	if err != nil {
		return fmt.Errorf("mqtt: subscribe %s to %s: %w", s.config.ClientID, s.filters, err)
	}
	ack := answer.(*packets.Suback)
	for i, code := range ack.Reasons {
		switch {
		case code >= 0x80:
			err := subscriptionRefused(&ReasonError{Code: code, Reason: ack.Properties.ReasonString})
			return fmt.Errorf("mqtt: subscribe %s to %s: %w: %w", s.config.ClientID, s.filters[i], endpoint.ErrSubscription, err)
		case code < s.config.QoS.level():
			s.config.Logger.Warn("mqtt: subscribed at a lower quality of service than asked for",
				"client", s.config.ClientID, "filter", s.filters[i], "granted", code)
		}
	}
	if r.resumed && len(s.former) > 0 {
		return s.unsubscribe(ctx, l, r, s.former)
	}
	return nil
}

// unsupported says that the broker doesn't offer what a filter needs.
func (s *Source) unsupported(filter, what string) error {
	return fmt.Errorf("mqtt: subscribe %s to %s: %w", s.config.ClientID, filter,
		refusedForGood{fmt.Errorf("%w: the broker does not support %s", endpoint.ErrSubscription, what)})
}

// unsubscribe ends subscriptions; those that there are not do no harm.
func (s *Source) unsubscribe(ctx context.Context, l *link, r *receiver, filters []string) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	request := &packets.Unsubscribe{PacketID: subscribeID, Properties: &packets.Properties{}, Topics: filters}
	if _, err := r.ask(ctx, l, packets.UNSUBACK, request); err != nil {
		return fmt.Errorf("mqtt: unsubscribe %s from %s: %w", s.config.ClientID, filters, err)
	}
	return nil
}

// Retire implements endpoint.Retirer.
func (s *Source) Retire() { s.retire() }

// A source that retires looks every restEvery whether all that came is settled. That it
// stayed so for restLooks questions in a row means that nothing more comes: the broker
// sends what it holds as soon as there is room in flight, and answers questions behind it,
// but may have some of it on its way out still.
const (
	restEvery = 20 * time.Millisecond
	restLooks = 3
)

// leave unsubscribes, and waits until what the broker holds for the session has come and
// is settled; then it makes the connection one that ends with its session. It returns
// false where the connection ends before: the next one goes on.
func (s *Source) leave(ctx context.Context, l *link, r *receiver) bool {
	filters := append(slices.Clone(s.filters), s.former...)
	looks := time.NewTicker(restEvery)
	defer looks.Stop()
	for before, calm := uint64(0), 0; calm <= restLooks; {
		if err := s.unsubscribe(ctx, l, r, filters); err != nil {
			if ctx.Err() == nil && !errors.Is(err, errLost) {
				s.config.Logger.Warn("mqtt: not retired yet", "client", s.config.ClientID, "error", err)
				l.close()
			}
			return false
		}
		l.errands.next() // strays would else keep it busy for ever
		if n := r.read.Load(); n == before && s.rests(r) {
			calm++
		} else {
			before, calm = n, 0
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return false
		}
	}
	s.config.Logger.Info("mqtt: retired", "broker", s.config.Address, "client", s.config.ClientID)
	l.last.Store(true)
	return true
}

// rests reports whether everything that came has been emitted, and acknowledged.
func (s *Source) rests(r *receiver) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.queue.len() == 0 && r.unsent.len() == 0 && r.first == r.read.Load()
}

// attach makes r the live connection. What an earlier connection delivered and
// the engine has not seen yet comes again if the session was resumed, and only
// then may be forgotten.
func (s *Source) attach(r *receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.resumed {
		s.bytes = 0
		for range s.queue.len() {
			if a := s.queue.pop(); a.from == nil {
				s.queue.push(a)
				s.bytes += a.size
			}
		}
	}
	s.current = r
	s.changed.Signal()
}

// detach ends r: its acknowledgements are void, and the queue is held until the
// next connection has shown what will come again.
func (s *Source) detach(r *receiver) {
	r.lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
}

// stop ends the emission.
func (s *Source) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.changed.Signal()
}

// push queues arrivals, and returns how many bytes are queued. Those at QoS 1 are never
// refused: the receive maximum bounds them.
func (s *Source) push(arrivals []arrival) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range arrivals {
		if a.from == nil && (s.queue.len() >= s.config.Queue || s.bytes >= s.config.QueueBytes) {
			s.stats.dropped.Add(1)
			continue
		}
		s.queue.push(a)
		s.bytes += a.size
	}
	s.changed.Signal()
	return s.bytes
}

// next waits for the next delivery to emit. It reports false when there will be
// none.
func (s *Source) next() (endpoint.Delivery, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopped && (s.current == nil || s.queue.len() == 0) {
		s.changed.Wait()
	}
	if s.stopped {
		return endpoint.Delivery{}, false
	}
	a := s.queue.pop()
	s.bytes -= a.size
	return a.Delivery, true
}

// receiver is a source's side of one connection: it queues what arrives and
// acknowledges what is settled, in the order of arrival.
type receiver struct {
	basePeer
	source    *Source
	resumed   bool               // the broker still had our session; set before anything arrives
	disown    func(topic string) // has what brought a message of that topic unsubscribed; set before anything arrives
	disowning atomic.Bool        // that is under way
	read      atomic.Uint64      // QoS 1 PUBLISHes so far, those in the batch included

	// Only the reader touches these.
	batch   []arrival         // taken, and not queued yet
	duties  []acknowledgement // of what was taken at QoS 1
	scratch []byte

	mu     sync.Mutex
	out    *conn                  // guarded by mu: nil once acknowledgements are void
	first  uint64                 // guarded by mu: number of the arrival that is first in unsent
	unsent queue[acknowledgement] // guarded by mu: of arrivals, in order
	acks   []byte                 // guarded by mu: scratch
	answer chan<- packets.Packet  // guarded by mu: takes the SUBACK or UNSUBACK; nil: none is due
	due    byte                   // guarded by mu: which of the two
}

// acknowledgement is the PUBACK that an arrival will get.
type acknowledgement struct {
	packet  uint16
	settled bool
	reason  byte // 0: it is safe
}

// begin implements peer.
func (r *receiver) begin(c *conn, cleanStart bool, ack *packets.Connack) error {
	if err := checkConnack(ack, cleanStart); err != nil {
		return err
	}
	r.mu.Lock()
	r.out = c
	r.mu.Unlock()
	r.resumed = ack.SessionPresent
	r.source.attach(r)
	c.serve(r)
	return nil
}

// lost implements peer: it voids the acknowledgements, and releases a subscriber that
// waits.
func (r *receiver) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out, r.unsent = nil, queue[acknowledgement]{}
	r.reply(nil)
}

// subscribeID is the packet identifier of a connection's only SUBSCRIBE, and of the
// UNSUBSCRIBEs after it, one after another. It is the last one: some brokers confuse it with
// their own identifiers, of what they sent and we have not acknowledged.
const subscribeID = math.MaxUint16

// ask sends a SUBSCRIBE or an UNSUBSCRIBE, one after another, and waits for its answer,
// which is due to be of that type. It returns errLost where the connection ends before.
func (r *receiver) ask(ctx context.Context, l *link, due byte, request io.WriterTo) (packets.Packet, error) {
	answer := make(chan packets.Packet, 1)
	r.mu.Lock()
	if r.out == nil {
		r.mu.Unlock()
		return nil, errLost
	}
	r.answer, r.due = answer, due
	r.mu.Unlock()
	if _, err := request.WriteTo(l.conn); err != nil {
		return nil, errLost
	}
	var content packets.Packet
	select {
	case content = <-answer:
	case <-ctx.Done():
		select {
		case content = <-answer:
		default:
			return nil, ctx.Err()
		}
	}
	if content == nil {
		return nil, errLost
	}
	return content, nil
}

// reply answers whoever waits for a SUBACK or an UNSUBACK; nil: there will be none. The
// caller holds mu.
func (r *receiver) reply(content packets.Packet) {
	if r.answer != nil {
		r.answer <- content // has room for the one answer it gets
		r.answer = nil
	}
}

// answered implements peer.
func (r *receiver) answered(content packets.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var v *violation
	switch content := content.(type) {
	case *packets.Suback:
		v = r.checkSuback(content)
	case *packets.Unsuback:
		if content.PacketID != subscribeID || r.due != packets.UNSUBACK {
			v = protocolError("an UNSUBACK of packet %d, which is none of ours", content.PacketID)
		}
	}
	if v != nil && r.out != nil {
		r.out.refuse(v)
		return
	}
	r.reply(content)
}

// checkSuback reports what no broker may answer to our SUBSCRIBE.
func (r *receiver) checkSuback(ack *packets.Suback) *violation {
	if ack.PacketID != subscribeID || r.due != packets.SUBACK {
		return protocolError("a SUBACK of packet %d, which is none of ours", ack.PacketID)
	}
	if got, want := len(ack.Reasons), len(r.source.filters); got != want {
		return protocolError("a SUBACK with %d reasons for %d subscriptions", got, want)
	}
	for _, code := range ack.Reasons {
		if code > 2 && code < 0x80 {
			return protocolError("a SUBACK with reason 0x%02x", code)
		}
	}
	return nil
}

// maxBatch is how many messages are taken before they are queued: enough to share locks
// and wake-ups, and few enough that the engine begins while the rest is read.
const maxBatch = 32

// take implements taker.
func (r *receiver) take(first byte, body []byte) error {
	if first>>4 != packets.PUBLISH {
		return nil
	}
	r.source.stats.received.Add(1)
	p, err := parsePublish(first, body)
	if err != nil {
		return err
	}
	if p.duplicate {
		r.source.stats.redelivered.Add(1)
	}
	reason, err := checkText(p.message)
	stray := false
	if err != nil {
		r.report(p.message, err)
	} else if stray = r.stray(p.message.Topic); !stray {
		r.source.stats.bytes.Add(uint64(len(p.message.Payload)))
		r.batch = append(r.batch, r.arrival(&p))
	}
	if p.id != 0 {
		r.duties = append(r.duties, acknowledgement{packet: p.id, settled: err != nil || stray, reason: reason})
		r.read.Add(1)
	}
	if len(r.batch) == maxBatch {
		return r.taken()
	}
	return nil
}

// arrival makes a delivery of what arrived.
func (r *receiver) arrival(p *publish) arrival {
	a := arrival{Delivery: endpoint.Delivery{Message: p.message}, size: size(p.message)}
	if p.id != 0 {
		number := r.read.Load()
		a.from = r
		a.Settle = func() { r.settle(number) }
		a.Position = r.position(p)
		a.Redelivered = r.resumed && p.duplicate // no other session knows our packet identifiers
	}
	return a
}

// report counts a message that is none. The connection goes on, as section 4.13 allows:
// the broker would send it again on the next, for ever.
func (r *receiver) report(m *message.Message, err error) {
	s := r.source
	if s.stats.malformed.Add(1) == 1 {
		s.config.Logger.Warn("mqtt: the broker passed on what is no valid message; it is refused, as others will be without a word",
			"broker", s.config.Address, "client", s.config.ClientID, "topic", strings.ToValidUTF8(m.Topic, "?"), "error", err)
	}
}

// taken implements taker: it queues what was taken. It does not block.
func (r *receiver) taken() error {
	r.mu.Lock()
	if r.out != nil {
		for _, duty := range r.duties {
			r.unsent.push(duty)
		}
		r.acknowledge()
	}
	ahead := r.unsent.len()
	r.mu.Unlock()
	held := r.source.push(r.batch)
	clear(r.batch)
	r.batch, r.duties = r.batch[:0], r.duties[:0]
	if most := r.source.config.MaxInflight; ahead > most && (ahead > math.MaxUint16 || held >= r.source.config.QueueBytes) {
		return &violation{packets.DisconnectReceiveMaximumExceeded, fmt.Sprintf("%d messages unacknowledged, at most %d may be", ahead, most)}
	}
	return nil
}

// position names a QoS 1 PUBLISH: the broker gives its packet identifier to no other
// message of the session before it has our acknowledgement. The digest is that of
// the content, since an identifier comes round again.
func (r *receiver) position(p *publish) endpoint.Position {
	// Two sums that the processor has instructions for; together 64 bits.
	var high, low uint32
	sum := func(part []byte) {
		high = crc32.Update(high, castagnoli(), part)
		low = crc32.Update(low, crc32.IEEETable, part)
	}
	length := func(text []byte, n int) []byte { return binary.LittleEndian.AppendUint32(text, uint32(n)) }
	field := func(text []byte, s string) []byte { return append(length(text, len(s)), s...) }
	m := p.message
	text := length(field(r.scratch[:0], m.Topic), len(m.Payload))
	sum(text)
	sum(m.Payload)
	text = field(text[:0], m.ContentType)
	for _, u := range m.Properties {
		text = field(field(text, u.Key), u.Value)
	}
	sum(text)
	if r.scratch = text; cap(text) > keepBuffer {
		r.scratch = nil
	}
	return endpoint.Position{Slot: uint64(p.id), Digest: uint64(high)<<32 | uint64(low)}
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once

// settle marks an arrival as safe.
func (r *receiver) settle(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out == nil {
		return // the broker sends it again on the next connection
	}
	r.unsent.at(int(number - r.first)).settled = true
	r.acknowledge()
}

// acknowledge acknowledges as many arrivals as are settled from the oldest on: the
// protocol wants PUBACKs in the order of the PUBLISHes. The caller holds mu, and out is
// there.
func (r *receiver) acknowledge() {
	r.acks = r.acks[:0]
	for r.unsent.len() > 0 && r.unsent.at(0).settled {
		a := r.unsent.pop()
		r.acks = appendPuback(r.acks, a.packet, a.reason)
		r.first++
	}
	if len(r.acks) > 0 {
		r.out.writePackets(r.acks)
	}
}
