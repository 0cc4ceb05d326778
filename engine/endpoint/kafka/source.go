// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasm-graph/graphd/engine/endpoint"
)

// What a source fetches at once. While it emits that, the next is on its way, so that
// twice as much is in memory.
const (
	fetchBytes        = 8 << 20 // of one broker
	fetchPartitionMax = 1 << 20
)

// portion is how many records of a partition are delivered together.
const portion = 128

// fetchWait is how long a broker that has nothing waits with its answer. Partitions change
// hands only between two answers.
const fetchWait = 500 * time.Millisecond

// sessionTimeout is how long a member of the group that is gone without a word keeps
// its partitions.
const sessionTimeout = 10 * time.Second

// Source receives the records of some topics, as a member of a consumer group. Its
// methods may be called from any goroutine; Run is called once.
type Source struct {
	config Config
	topics []string

	retire  sync.Once
	retired chan struct{} // closed by Retire

	joined atomic.Bool
	link   *link
	stats  struct{ received, bytes, redelivered, omitted atomic.Uint64 }

	mu         sync.Mutex
	changed    sync.Cond                // committed or lost of a partition changed, or stopped
	partitions map[placement]*partition // guarded by mu: those that are ours
	stopped    bool                     // guarded by mu: nothing more will be emitted
	settlers   []*settler               // guarded by mu: those that nobody has
	dirty      chan struct{}            // something can be committed

	committing sync.Mutex // held while offsets are committed, so that none goes back
}

// placement names a partition.
type placement struct {
	topic  string
	number int32
}

// partition is one that is ours, until it is taken away. Who gets it again makes a new
// one.
type partition struct {
	placement
	slots uint64 // of its positions, without the offset
	fresh bool   // nothing was committed when it became ours
	until int64  // offsets from there on were never delivered before

	lost      bool            // guarded by Source.mu: others have it
	first     uint64          // guarded by Source.mu: number of the delivery at unsettled[0]
	unsettled []place         // guarded by Source.mu: of deliveries, in order
	next      kgo.EpochOffset // guarded by Source.mu: everything before it is settled
	committed int64           // guarded by Source.mu: what the group starts at; negative: not known
}

// place is the offset of a delivery.
type place struct {
	kgo.EpochOffset
	settled bool
}

// settler settles one delivery, and is used again for another.
type settler struct {
	partition *partition
	number    uint64
	settle    func()
}

// SourceStats counts what a source did since it was made.
type SourceStats struct {
	Received    uint64 // records that arrived
	Redelivered uint64 // of these, those that may have been delivered before
	Omitted     uint64 // headers and keys that can't be user properties
}

// NewSource returns a source of the records in topics.
func NewSource(config Config, topics ...string) (*Source, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Group == "" {
		return nil, fmt.Errorf("kafka: configure client %s: no consumer group", config.ClientID)
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("kafka: configure client %s: no topic", config.ClientID)
	}
	for _, topic := range topics {
		if err := CheckTopic(topic); err != nil {
			return nil, fmt.Errorf("kafka: configure client %s: topic %q: %w", config.ClientID, topic, err)
		}
	}
	s := &Source{
		config: config.withDefaults(), topics: slices.Clone(topics),
		partitions: map[placement]*partition{}, dirty: make(chan struct{}, 1),
		retired: make(chan struct{}),
	}
	s.link = newLink(s.config, func() {})
	s.changed.L = &s.mu
	return s, nil
}

// Connected reports whether the source is a member of its group and a broker answers.
func (s *Source) Connected() bool { return s.joined.Load() && s.link.up() }

// Trouble implements endpoint.Explainer.
func (s *Source) Trouble() error { return s.link.Trouble() }

// Stats returns the counters.
func (s *Source) Stats() SourceStats {
	return SourceStats{
		Received:    s.stats.received.Load(),
		Redelivered: s.stats.redelivered.Load(),
		Omitted:     s.stats.omitted.Load(),
	}
}

// Traffic implements endpoint.Counter.
func (s *Source) Traffic() endpoint.Traffic { return endpoint.Traffic{Bytes: s.stats.bytes.Load()} }

// Run implements endpoint.Source.
func (s *Source) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	options := s.config.options(s.link)
	if s.config.Instance != "" {
		options = append(options, kgo.InstanceID(s.config.Instance))
	}
	client, err := kgo.NewClient(append(options,
		kgo.WithHooks(s),
		kgo.ConsumerGroup(s.config.Group),
		kgo.ConsumeTopics(s.topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchPartitionMax),
		kgo.SessionTimeout(sessionTimeout),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(s.adopt),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { s.joined.Store(true) }),
		kgo.OnPartitionsRevoked(s.release),
		kgo.OnPartitionsLost(s.lose),
	)...)
	if err != nil {
		return fmt.Errorf("kafka: configure client %s: %w", s.config.ClientID, err)
	}
	// The client outlives ctx by the flush.
	online, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	receiving, stop := context.WithCancelCause(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() {
		if err := s.link.watch(online, client); err != nil {
			stop(err)
		}
	})
	helpers.Go(func() { s.commitSettled(online, client) })
	release := context.AfterFunc(receiving, s.stop)
	helpers.Go(func() {
		select {
		case <-s.retired:
			stop(errRetired)
		case <-online.Done():
		}
	})

	err = s.receive(receiving, client, emit)
	if errors.Is(err, errRetired) {
		err = s.rest(ctx, flush)
	} else if err == nil {
		select {
		case <-flush:
		case <-receiving.Done():
			if err = context.Cause(receiving); ctx.Err() != nil {
				<-flush
				err = nil
			}
		}
	}
	stop(nil)
	release()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	disconnect()
	helpers.Wait()
	s.commit(ending, client)
	s.forget()
	if err := client.LeaveGroupContext(ending); err != nil {
		s.config.Logger.Debug("kafka: left the group without a word", "group", s.config.Group, "error", err)
	}
	select {
	case <-s.retired:
		s.resign(ending, client)
	default:
	}
	client.CloseAllowingRebalance()
	s.joined.Store(false)
	if err != nil {
		return fmt.Errorf("kafka: consume %v as %s in group %s: %w", s.topics, s.config.ClientID, s.config.Group, err)
	}
	return nil
}

// errRetired is why a source that retires receives no more.
var errRetired = errors.New("retired")

// Retire implements endpoint.Retirer.
func (s *Source) Retire() { s.retire.Do(func() { close(s.retired) }) }

// restEvery is how often a source that retires looks whether all is settled.
const restEvery = 20 * time.Millisecond

// rest waits until everything delivered is settled, or ctx has ended and flush is closed.
func (s *Source) rest(ctx context.Context, flush <-chan struct{}) error {
	looks := time.NewTicker(restEvery)
	defer looks.Stop()
	for !s.settled() {
		select {
		case <-looks.C:
		case <-ctx.Done():
			<-flush
			return nil
		}
	}
	return nil
}

// settled reports whether everything delivered is settled.
func (s *Source) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		if len(p.unsettled) > 0 {
			return false
		}
	}
	return true
}

// resign takes a static member out of its group, so that others need not miss it first.
func (s *Source) resign(ctx context.Context, client *kgo.Client) {
	if s.config.Instance == "" {
		return // it has left
	}
	member := kmsg.NewLeaveGroupRequestMember()
	member.InstanceID = &s.config.Instance
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group, request.Members = s.config.Group, []kmsg.LeaveGroupRequestMember{member}
	if _, err := request.RequestWith(ctx, client); err != nil {
		s.config.Logger.Warn("kafka: the group has to miss a member that has retired", "group", s.config.Group, "member", s.config.Instance, "error", err)
	}
	s.config.Logger.Info("kafka: retired", "client", s.config.ClientID, "group", s.config.Group)
}

// receive emits what arrives until ctx ends, and returns why that is a failure.
func (s *Source) receive(ctx context.Context, client *kgo.Client, emit func(endpoint.Delivery)) error {
	type bound struct {
		to      *partition
		records []*kgo.Record
	}
	var batch []bound
	var d decoder
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		var fatal error
		fetches.EachError(func(topic string, number int32, err error) {
			switch {
			case refused(err):
				fatal = err
			case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
			default:
				s.config.Logger.Warn("kafka: can't receive", "topic", topic, "partition", number, "error", err)
			}
		})
		// What is polled belongs to the partitions as they are ours now.
		s.mu.Lock()
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if p := s.partitions[placement{f.Topic, f.Partition}]; p != nil && len(f.Records) > 0 {
				batch = append(batch, bound{p, f.Records})
			}
		})
		s.mu.Unlock()
		client.AllowRebalance()
		if fatal != nil {
			return fatal
		}
		for _, b := range batch {
			for records := b.records; len(records) > 0; {
				n := s.deliver(ctx, client, b.to, records[:min(len(records), portion)], &d, emit)
				if n == 0 {
					break
				}
				records = records[n:]
			}
		}
		clear(batch)
		batch = batch[:0]
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// deliver emits records of a partition, once there is room for them, and returns how
// many of them: at least one, unless the partition is not ours any more, or ctx has ended.
func (s *Source) deliver(ctx context.Context, client *kgo.Client, p *partition, records []*kgo.Record, c *decoder, emit func(endpoint.Delivery)) int {
	if !s.secure(ctx, client, p, records[0]) {
		return 0
	}
	settlers := s.admit(p, records, c.settlers[:0])
	records = records[:len(settlers)]
	now := time.Now()
	bytes := 0
	for _, r := range records {
		bytes += len(r.Value)
	}
	s.stats.received.Add(uint64(len(records)))
	s.stats.bytes.Add(uint64(bytes))
	for i, r := range records {
		m, omitted := c.decode(r, now)
		d := endpoint.Delivery{
			Message:     m,
			Settle:      settlers[i].settle,
			Position:    p.position(r),
			Redelivered: r.Offset < p.until,
		}
		if omitted > 0 {
			s.stats.omitted.Add(uint64(omitted))
		}
		if d.Redelivered {
			s.stats.redelivered.Add(1)
		}
		emit(d)
	}
	clear(settlers) // they may be used for others
	c.settlers = settlers
	return len(records)
}

// admit waits for room for the first of some records, takes note of those that there is
// room for, and appends what settles each of them to settlers: none where the partition is
// not ours any more, or the emission has ended.
func (s *Source) admit(p *partition, records []*kgo.Record, settlers []*settler) []*settler {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := records[0]
	for !s.stopped && !p.lost && r.Offset-p.committed >= Window {
		if len(p.unsettled) == 0 && p.next.Offset != r.Offset {
			// There is nothing in between, as in a topic that was compacted.
			p.next = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset}
			s.mark()
		}
		s.changed.Wait()
	}
	if s.stopped || p.lost {
		return settlers
	}
	for _, r := range records {
		if r.Offset-p.committed >= Window {
			break
		}
		settlers = append(settlers, s.settler(p, p.first+uint64(len(p.unsettled))))
		p.unsettled = append(p.unsettled, place{EpochOffset: kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}})
	}
	return settlers
}

// settler returns what settles the delivery of that number. The caller holds mu.
func (s *Source) settler(p *partition, number uint64) *settler {
	last := len(s.settlers) - 1
	if last < 0 {
		t := &settler{partition: p, number: number}
		t.settle = func() { s.settle(t) }
		return t
	}
	t := s.settlers[last]
	s.settlers = s.settlers[:last]
	t.partition, t.number = p, number
	return t
}

// secure commits the place of a partition's first record where the group had none: a
// later start then knows that what follows may have been delivered.
func (s *Source) secure(ctx context.Context, client *kgo.Client, p *partition, r *kgo.Record) bool {
	for tries := 1; ; tries++ {
		s.mu.Lock()
		if p.fresh && !p.lost && p.next.Offset < 0 {
			p.next = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset}
		}
		known, over := p.committed >= 0, p.lost || s.stopped
		s.mu.Unlock()
		if known || over {
			return known && !over
		}
		if tries > 1 {
			timer := time.NewTimer(pause(tries-1, s.config.MaxBackoff))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return false
			}
		}
		s.commit(ctx, client)
	}
}

// position names a record. Its slot is free for another when its offset is Window
// behind, and then it is committed. The digest tells records apart that had the slot,
// also those of a topic that was deleted and made again.
func (p *partition) position(r *kgo.Record) endpoint.Position {
	var fields [16]byte
	binary.LittleEndian.PutUint64(fields[:], uint64(r.Offset))
	binary.LittleEndian.PutUint64(fields[8:], uint64(r.Timestamp.UnixMilli()))
	sum := uint64(14695981039346656037) // FNV-1a, as in hash/fnv but without its allocation
	for _, b := range fields {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return endpoint.Position{
		Slot:   p.slots | uint64(r.Offset)%Window,
		Digest: sum ^ uint64(crc32.ChecksumIEEE(r.Value)),
	}
}

// slots returns the bits that all positions of a partition share. They are never zero.
func slots(p placement) uint64 {
	sum := fnv.New64a()
	sum.Write(binary.LittleEndian.AppendUint32([]byte(p.topic), uint32(p.number)))
	return sum.Sum64()&^(Window-1) | 1<<63
}

// settle marks a delivery as safe. What is settled from the oldest on can be committed.
func (s *Source) settle(t *settler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, number := t.partition, t.number
	t.partition = nil
	if len(s.settlers) < Window {
		s.settlers = append(s.settlers, t)
	}
	if p.lost {
		return // it comes again, to whoever has the partition now
	}
	p.unsettled[number-p.first].settled = true
	n := 0
	for n < len(p.unsettled) && p.unsettled[n].settled {
		n++
	}
	if n == 0 {
		return
	}
	p.next = p.unsettled[n-1].EpochOffset
	p.unsettled = p.unsettled[n:]
	p.first += uint64(n)
	s.mark()
}

// mark says that there is something to commit.
func (s *Source) mark() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// commitSettled commits what is settled until ctx ends.
func (s *Source) commitSettled(ctx context.Context, client *kgo.Client) {
	for {
		select {
		case <-s.dirty:
		case <-ctx.Done():
			return
		}
		wait := s.config.CommitInterval
		if !s.commit(ctx, client) {
			wait = max(wait, s.config.MaxBackoff/10)
			s.mark()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// commit commits what is settled, and reports whether that is all.
func (s *Source) commit(ctx context.Context, client *kgo.Client) bool {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.mu.Lock()
	todo := map[*partition]kgo.EpochOffset{}
	for _, p := range s.partitions {
		if p.next.Offset >= 0 && p.next.Offset != p.committed {
			todo[p] = p.next
		}
	}
	s.mu.Unlock()
	return s.send(ctx, client, todo)
}

// send commits some offsets; s.committing is held.
func (s *Source) send(ctx context.Context, client *kgo.Client, todo map[*partition]kgo.EpochOffset) bool {
	if len(todo) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, at := range todo {
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.topic][p.number] = at
	}
	done := map[placement]bool{}
	var failed error
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failed = err
			return
		}
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = err
				} else {
					done[placement{t.Topic, p.Partition}] = true
				}
			}
		}
	})
	if failed != nil && ctx.Err() == nil {
		s.config.Logger.Debug("kafka: offsets are not committed yet", "group", s.config.Group, "error", failed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, at := range todo {
		if done[p.placement] {
			p.committed = at.Offset
		}
	}
	s.changed.Broadcast()
	return len(done) == len(todo)
}

// adopt takes the partitions that have become ours, with what the group has committed:
// records arrive afterwards.
func (s *Source) adopt(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			at := placement{topic, number}
			if old := s.partitions[at]; old != nil {
				old.lost = true
			}
			p := &partition{placement: at, slots: slots(at), committed: offset.EpochOffset().Offset, next: kgo.EpochOffset{Epoch: -1, Offset: -1}}
			if p.committed >= 0 {
				p.until = p.committed + Window
			} else {
				p.fresh, p.committed = true, -1
			}
			s.partitions[at] = p
		}
	}
	s.changed.Broadcast()
	return offsets, nil
}

// release gives partitions to others, and tells them where to start.
func (s *Source) release(ctx context.Context, client *kgo.Client, taken map[string][]int32) {
	s.committing.Lock()
	defer s.committing.Unlock()
	todo := map[*partition]kgo.EpochOffset{}
	for _, p := range s.drop(taken) {
		if p.next.Offset >= 0 && p.next.Offset != p.committed {
			todo[p] = p.next
		}
	}
	s.send(ctx, client, todo)
}

// lose gives up partitions that others have already.
func (s *Source) lose(_ context.Context, _ *kgo.Client, taken map[string][]int32) { s.drop(taken) }

// drop makes partitions those of others, and returns them.
func (s *Source) drop(taken map[string][]int32) []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var dropped []*partition
	for topic, numbers := range taken {
		for _, number := range numbers {
			at := placement{topic, number}
			if p := s.partitions[at]; p != nil {
				p.lost = true
				dropped = append(dropped, p)
				delete(s.partitions, at)
			}
		}
	}
	s.changed.Broadcast()
	return dropped
}

// forget ends the settling.
func (s *Source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		p.lost = true
	}
	clear(s.partitions)
}

// stop ends the emission.
func (s *Source) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.changed.Broadcast()
}

// OnGroupManageError implements kgo.HookGroupManageError: the client is not a member of
// the group, and tries to be one again.
func (s *Source) OnGroupManageError(err error) {
	s.joined.Store(false)
	s.config.Logger.Debug("kafka: not in the group", "group", s.config.Group, "error", err)
}

// CheckTopic reports why a topic can't have that name.
func CheckTopic(name string) error {
	switch {
	case name == "":
		return errors.New("empty")
	case name == "." || name == "..":
		return errors.New("not a name")
	case len(name) > 249:
		return errors.New("over 249 characters")
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return errors.New("topics of Kafka are named by letters, digits, '.', '_' and '-'")
		}
	}
	return nil
}
