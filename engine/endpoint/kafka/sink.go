// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

// ErrClosed reports a Send to a sink that has ended, or is ending.
var ErrClosed = errors.New("sink is closed")

// Sink produces records to a topic. Its methods may be called from any goroutine; Run
// is called once.
type Sink struct {
	config Config
	topic  string
	link   *link
	window int // records that may be under way
	budget int // their bytes
	stats  struct{ sent, bytes, retried, refused, expired atomic.Uint64 }

	arrivals sync.Mutex     // taken with mu held, or alone
	arrived  []*publication // guarded by arrivals: what the brokers have confirmed and nobody has looked at
	news     chan struct{}  // there is something in arrived
	unused   []*publication // guarded by arrivals: to be used again

	handing    sync.Mutex // held while a record goes to the client; taken with mu held
	mu         sync.Mutex
	changed    sync.Cond          // room, connection, client or closed changed
	client     *kgo.Client        // guarded by mu: nil before and after Run
	queue      []*publication     // guarded by mu: accepted and not confirmed, oldest first
	bytes      int                // guarded by mu: of the queue
	ebbing     bool               // guarded by mu: nothing more is accepted for now
	ebbed      context.CancelFunc // guarded by mu: ends the flush, where there is one
	closed     bool               // guarded by mu: nothing more is accepted
	empty      chan struct{}      // closed when closed and nothing is left to confirm
	confirming bool               // guarded by mu: somebody is calling done functions
	answered   [256]*publication  // of whoever is confirming: those whose done functions are called
	suspects   int                // guarded by mu: publications to be sent again, alone
	alone      bool               // guarded by mu: one of these is under way
	failed     chan error         // why going on is pointless
	full       chan struct{}      // there is no room: what waits for others is to be sent
}

// publication is one accepted message. It is used again, with its record, what it
// allocated for that, and its promise.
type publication struct {
	record   kgo.Record
	text     []byte // the values of headers
	promise  func(*kgo.Record, error)
	size     int
	done     func(error)
	suspect  bool // refused with others in its batch, and not sent again yet
	alone    bool // sent in a batch of its own
	answered bool // nothing is left to do but to call done
	err      error
}

// What is kept to be used again: so much text of a publication's headers, and so many
// publications once nothing is under way.
const (
	usualText   = 4 << 10
	usualUnused = 256
)

// publication returns an empty one.
func (s *Sink) publication() *publication {
	s.arrivals.Lock()
	if last := len(s.unused) - 1; last >= 0 {
		p := s.unused[last]
		s.unused = s.unused[:last]
		s.arrivals.Unlock()
		return p
	}
	s.arrivals.Unlock()
	p := new(publication)
	p.promise = func(_ *kgo.Record, err error) { s.answer(p, err) }
	return p
}

// recycle gives publications back that nobody uses any more.
func (s *Sink) recycle(list ...*publication) {
	for _, p := range list {
		if cap(p.text) > usualText {
			p.text = nil
		}
		clear(p.record.Headers)
		*p = publication{record: kgo.Record{Headers: p.record.Headers[:0]}, text: p.text[:0], promise: p.promise}
	}
	s.arrivals.Lock()
	defer s.arrivals.Unlock()
	s.unused = append(s.unused, list...)
}

// trim gives up what a burst has left to be used again. The caller holds mu.
func (s *Sink) trim() {
	s.arrivals.Lock()
	defer s.arrivals.Unlock()
	if len(s.unused) > usualUnused {
		s.unused = slices.Clone(s.unused[:usualUnused])
	}
}

// SinkStats counts what a sink did since it was made.
type SinkStats struct {
	Sent    uint64 // records that the brokers have
	Refused uint64 // messages that can never be delivered
	Expired uint64 // messages whose expiry passed before they could be sent
}

// NewSink returns a sink that produces every message to topic or, where topic is empty,
// to the topic that the message has.
func NewSink(config Config, topic string) (*Sink, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if topic != "" {
		if err := CheckTopic(topic); err != nil {
			return nil, fmt.Errorf("kafka: configure client %s: topic %q: %w", config.ClientID, topic, err)
		}
	}
	s := &Sink{
		config: config.withDefaults(), topic: topic,
		empty: make(chan struct{}), failed: make(chan error, 1), full: make(chan struct{}, 1),
		news: make(chan struct{}, 1),
	}
	s.window, s.budget = min(s.config.Batching.MaxMessages, maxRecords), maxBytes
	if n := s.config.Batching.MaxBytes; n < usualBytes {
		s.budget = n
	}
	s.changed.L = &s.mu
	s.link = newLink(s.config, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	return s, nil
}

// Connected reports whether a broker answers.
func (s *Sink) Connected() bool { return s.link.up() }

// Trouble implements endpoint.Explainer.
func (s *Sink) Trouble() error { return s.link.Trouble() }

// OmitsStamp implements endpoint.Unstamped: a record's time is its own.
func (s *Sink) OmitsStamp() bool {
	c := &s.config
	return c.OmitProperties && !(c.Partitioning == PropertyPartition && c.PartitionProperty == endpoint.StampProperty)
}

// Stats returns the counters.
func (s *Sink) Stats() SinkStats {
	return SinkStats{Sent: s.stats.sent.Load(), Refused: s.stats.refused.Load(), Expired: s.stats.expired.Load()}
}

// Traffic implements endpoint.Counter. What the client library sends again by itself is not
// in it: it doesn't tell.
func (s *Sink) Traffic() endpoint.Traffic {
	return endpoint.Traffic{Bytes: s.stats.bytes.Load(), Retried: s.stats.retried.Load(), Expired: s.stats.expired.Load()}
}

// options returns what makes the client a producer as configured.
func (s *Sink) options() []kgo.Opt {
	c := s.config
	options := append(c.options(s.link),
		kgo.ProducerLinger(c.Batching.Latency),
		kgo.ProducerBatchMaxBytes(int32(max(c.Batching.MaxBytes, usualBytes))),
		kgo.MaxBufferedRecords(2*maxRecords), // ours is the lower bound
	)
	switch c.Acks {
	case AllAcks:
		options = append(options, kgo.RequiredAcks(kgo.AllISRAcks()))
	case OneAck: // without sequence numbers, one request at a time keeps the order
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	case NoAcks:
		options = append(options, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	codec := kgo.NoCompression()
	switch c.Compression {
	case Gzip:
		codec = kgo.GzipCompression()
	case Snappy:
		codec = kgo.SnappyCompression()
	case LZ4:
		codec = kgo.Lz4Compression()
	}
	options = append(options, kgo.ProducerBatchCompression(codec))
	var partitioner kgo.Partitioner
	switch c.Partitioning {
	case RoundRobin:
		partitioner = turns{}
	case StaticPartition:
		partitioner = kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(_ *kgo.Record, partitions int) int { return int(int64(c.StaticPartition) % int64(partitions)) }
		})
	default:
		partitioner = kgo.StickyKeyPartitioner(nil)
	}
	return append(options, kgo.RecordPartitioner(partitioner))
}

// turns is a kgo.Partitioner that gives batch after batch to partition after partition:
// records that come one at a time are spread like cards, and of many that come at once,
// as many as can be share a batch.
type turns struct{}

// ForTopic implements kgo.Partitioner.
func (turns) ForTopic(string) kgo.TopicPartitioner { return new(turn) }

// turn is whose turn it is.
type turn struct{ batches int }

// RequiresConsistency implements kgo.TopicPartitioner: a partition that can't be written
// is passed over.
func (*turn) RequiresConsistency(*kgo.Record) bool { return false }

// Partition implements kgo.TopicPartitioner.
func (t *turn) Partition(_ *kgo.Record, partitions int) int { return t.batches % partitions }

// OnNewBatch implements kgo.TopicPartitionerOnNewBatch.
func (t *turn) OnNewBatch() { t.batches++ }

// Run implements endpoint.Sink. What is still unconfirmed when it returns, after
// DrainTimeout at the latest, stays so: its done functions are never called.
func (s *Sink) Run(ctx context.Context) error {
	client, err := kgo.NewClient(s.options()...)
	if err != nil {
		s.close()
		return fmt.Errorf("kafka: configure client %s: %w", s.config.ClientID, err)
	}
	online, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() {
		if err := s.link.watch(online, client); err != nil {
			s.fail(err)
		}
	})
	helpers.Go(func() { s.hurry(online, client) })
	helpers.Go(func() { s.confirmArrived(online) })
	s.mu.Lock()
	s.client = client
	s.changed.Broadcast()
	s.mu.Unlock()

	select {
	case err = <-s.failed:
		s.close()
	case <-ctx.Done():
		s.close()
		err = s.drain(client)
	}
	s.mu.Lock()
	s.client = nil
	s.mu.Unlock()
	disconnect()
	helpers.Wait()
	client.Close()
	s.takeArrived()
	if err != nil {
		return fmt.Errorf("kafka: produce as %s: %w", s.config.ClientID, failure(err))
	}
	return nil
}

// failure says in the words of package endpoint what kind of failure err is, where it is
// about what is sent rather than about the connection.
func failure(err error) error {
	for _, e := range []error{kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException, kerr.TopicAuthorizationFailed} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", endpoint.ErrConfiguration, err)
		}
	}
	if refused(err) {
		return err
	}
	return fmt.Errorf("%w: %w", endpoint.ErrSend, err)
}

// hurry sends what waits for more when there can't be more, until there can.
func (s *Sink) hurry(ctx context.Context, client *kgo.Client) {
	for {
		select {
		case <-s.full:
		case <-ctx.Done():
			return
		}
		// A flush that lasted until nothing is under way would have no end in a steady
		// stream, and would send it in batches of next to nothing.
		flushing, cancel := context.WithCancel(ctx)
		s.mu.Lock()
		ebbing := s.ebbing
		s.ebbed = cancel
		s.mu.Unlock()
		if ebbing {
			s.handed()
			client.Flush(flushing) //nolint:errcheck // it was long enough
		}
		cancel()
	}
}

// ebb makes the client send what it has, and lets nobody in until half of the window is
// confirmed: messages that are let in one by one would make small batches. The caller
// holds mu.
func (s *Sink) ebb() {
	s.ebbing = true
	if s.config.Batching.Latency == 0 {
		return
	}
	select {
	case s.full <- struct{}{}:
	default:
	}
}

// flood ends the ebb, if it is time. The caller holds mu.
func (s *Sink) flood() {
	if !s.ebbing || len(s.queue) > s.window/2 || s.bytes > s.budget/2 || s.suspects > 0 || s.alone {
		return
	}
	s.ebbing = false
	if s.ebbed != nil {
		s.ebbed()
	}
}

// handed waits until the client has the record that is being handed to it, if there is one.
func (s *Sink) handed() {
	s.handing.Lock()
	defer s.handing.Unlock()
}

// drain waits for what is under way.
func (s *Sink) drain(client *kgo.Client) error {
	ending, cancel := context.WithTimeout(context.Background(), s.config.DrainTimeout)
	defer cancel()
	var flusher sync.WaitGroup
	flusher.Go(func() {
		s.handed()
		client.Flush(ending) //nolint:errcheck // ending tells
	})
	defer flusher.Wait()
	select {
	case <-s.empty:
		cancel()
	case err := <-s.failed:
		cancel()
		return err
	case <-ending.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.config.Logger.Warn("kafka: ending with unconfirmed messages", "client", s.config.ClientID, "count", len(s.queue))
	}
	return nil
}

// fail ends Run.
func (s *Sink) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Send implements endpoint.Sink.
func (s *Sink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	topic := s.topic
	if topic == "" {
		topic = m.Topic
	}
	p := s.publication()
	p.done = done
	var err error
	if p.text, err = s.config.encode(&p.record, p.text, m, topic, time.Now); err == nil && s.topic == "" {
		if err = CheckTopic(topic); err != nil {
			err = fmt.Errorf("topic %q: %w", topic, err)
		}
	}
	p.size = len(p.record.Value) + len(p.record.Key)
	for _, h := range p.record.Headers {
		p.size += len(h.Key) + len(h.Value)
	}
	s.mu.Lock()
	if err := s.room(ctx, p.size); err != nil {
		s.mu.Unlock()
		s.recycle(p)
		return err
	}
	s.queue = append(s.queue, p)
	s.bytes += p.size
	if len(s.queue) >= s.window || s.bytes >= s.budget {
		s.ebb()
	}
	if err != nil {
		defer s.mu.Unlock()
		if errors.Is(err, errExpired) {
			p.answered = true
			s.stats.expired.Add(1)
		} else {
			s.refuse(p, err)
		}
		s.confirm()
		return nil
	}
	client := s.client
	s.handing.Lock() // keeps the order; who has an answer need not wait for it
	s.mu.Unlock()
	s.produce(client, p)
	s.handing.Unlock()
	return nil
}

// room waits until a message of that size can be accepted. The caller holds mu.
func (s *Sink) room(ctx context.Context, size int) error {
	full := func() bool {
		if len(s.queue) > 0 && s.bytes+size > s.budget && !s.ebbing {
			s.ebb()
		}
		return s.ebbing || s.client == nil || !s.link.up()
	}
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
		return fmt.Errorf("kafka: send as %s: %w", s.config.ClientID, ErrClosed)
	}
	return nil
}

// produce hands p to the client, which neither blocks, having room for more than we
// accept, nor calls back from here.
func (s *Sink) produce(client *kgo.Client, p *publication) {
	client.Produce(context.Background(), &p.record, p.promise)
}

// answer takes what became of p. The client calls it for one record after another: those
// of a batch are confirmed together, by confirmArrived.
func (s *Sink) answer(p *publication, err error) {
	if err == nil {
		s.arrivals.Lock()
		s.arrived = append(s.arrived, p)
		first := len(s.arrived) == 1
		s.arrivals.Unlock()
		if first {
			select {
			case s.news <- struct{}{}:
			default:
			}
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markArrived()
	if p.alone {
		s.alone = false
	}
	switch {
	case s.client == nil || errors.Is(err, kgo.ErrClientClosed):
		return // nobody knows
	case errors.Is(err, kerr.MessageTooLarge) && !p.alone:
		// It may be the batch that is too large.
		p.suspect = true
		s.suspects++
		s.ebb()
	case blamesRecord(err):
		s.refuse(p, err)
	default:
		s.fail(err)
		return
	}
	s.confirm()
	s.retry()
}

// confirmArrived confirms what has arrived until ctx ends.
func (s *Sink) confirmArrived(ctx context.Context) {
	for {
		select {
		case <-s.news:
			s.takeArrived()
		case <-ctx.Done():
			return
		}
	}
}

// takeArrived confirms what has arrived.
func (s *Sink) takeArrived() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markArrived()
	s.confirm()
	s.retry()
}

// markArrived marks what has arrived as answered. The caller holds mu.
func (s *Sink) markArrived() {
	s.arrivals.Lock()
	defer s.arrivals.Unlock()
	bytes := 0
	for i, p := range s.arrived {
		if p.alone {
			s.alone = false
		}
		p.answered = true
		bytes += len(p.record.Value)
		s.arrived[i] = nil
	}
	s.stats.sent.Add(uint64(len(s.arrived)))
	s.stats.bytes.Add(uint64(bytes))
	s.arrived = s.arrived[:0]
}

// blamesRecord reports whether err is about what one record is, so that others may do
// better.
func blamesRecord(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

// retry sends the oldest suspect alone once everything else has its answer: so many
// records are under way as are in nobody's hands but the brokers'. The caller holds mu.
func (s *Sink) retry() {
	if s.suspects == 0 || s.alone || s.client == nil {
		return
	}
	var oldest *publication
	for _, p := range s.queue {
		switch {
		case p.suspect && oldest == nil:
			oldest = p
		case !p.suspect && !p.answered:
			return
		}
	}
	oldest.suspect, oldest.alone, s.alone = false, true, true
	s.suspects--
	r := oldest.record // the client has written into it
	oldest.record = kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
	s.produce(s.client, oldest)
	s.ebb() // it waits for no others
}

// refuse answers p with why it can never be delivered. The caller holds mu.
func (s *Sink) refuse(p *publication, err error) {
	p.answered = true
	p.err = fmt.Errorf("kafka: produce as %s: %w", s.config.ClientID, err)
	s.stats.refused.Add(1)
}

// confirm calls the done functions of the answered publications at the front, in
// order. While one goroutine does so, others leave theirs to it. The caller holds mu,
// which is released during the calls.
func (s *Sink) confirm() {
	if s.confirming {
		return
	}
	s.confirming = true
	for {
		n := 0
		for n < len(s.queue) && n < len(s.answered) && s.queue[n].answered {
			s.answered[n] = s.queue[n]
			s.queue[n] = nil
			s.bytes -= s.answered[n].size
			n++
		}
		if n == 0 {
			break
		}
		s.queue = s.queue[n:]
		s.mu.Unlock()
		for _, p := range s.answered[:n] {
			p.done(p.err)
		}
		s.recycle(s.answered[:n]...)
		clear(s.answered[:n])
		s.mu.Lock()
		s.flood()
		s.changed.Broadcast()
	}
	s.confirming = false
	if len(s.queue) == 0 {
		s.trim()
	}
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
	if !s.closed || s.confirming || len(s.queue) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}
