// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/window"
)

// A worker with a window store works in steps: a message that came from a source, a
// delayed message that is due, or a window that closes, each with all that comes of
// it at once. What a step does to windows is in one transaction, and transactions are
// committed in the order of the steps; so what a crash leaves is the state after some
// step, and no step counts half or twice. While one transaction is being committed
// the steps go on and fill the next.
//
// Once it is committed, a held message is in the store only, and is read back when its
// time has come, or enough of its window have come for the operator to be called; so
// however much is held, memory has what the last two transactions have.
//
// What a step does to the world follows its commit: the source is told to settle the
// message, and results of windows go to their sinks. Only what went to a sink without
// being held goes before, as it would without a store.

// A transaction is closed to further steps when it has about this much in it.
const (
	mostBytes   = 4 << 20
	mostChanges = 1 << 14
)

// snapshotAt is how many bytes of messages are folded before what they came to is
// written and they are removed; more if that is large, so that writing it again and
// again stays cheap.
const snapshotAt = 1 << 20

// journal is a worker's side of its window store.
type journal struct {
	store      window.Store
	safe       *group            // what the claims of held messages stand for: never done
	next       *transaction      // being filled
	spare      *transaction      // to be filled after that; nil while it is being committed
	orders     chan *transaction // to the committer; has room for one
	committed  chan *transaction // from it; has room for one
	saved      progress.Time     // the frontier in the last transaction that has one
	serial     uint64            // of the last frozen result
	loaded     bool              // and not resumed
	stock      []frozen          // of the run before, to be delivered
	resumption []resumption      // windows of the run before, to be folded
	trouble    atomic.Pointer[string]

	// Guarded by the worker's mu.
	thawed []uint64           // frozen results that are delivered
	known  []map[uint64]known // by source and slot: the last message taken
}

// known is a message that has been worked on.
type known struct {
	digest uint64
	sent   bool // something of it went to a sink without being held
}

// transaction is what is committed together.
type transaction struct {
	changes []window.Change
	arena   []byte // keys and values are slices of it
	bytes   int
	claims  []claim   // to be released when it is committed
	kept    []kept    // what is held in it
	sends   []*ticket // to be handed over then
	err     error     // why it could not be committed
}

// kept is a page of which messages are in a transaction, and the number of the last.
type kept struct {
	page   *page
	number uint64
}

func (t *transaction) empty() bool {
	return len(t.changes) == 0 && len(t.claims) == 0 && len(t.sends) == 0
}

func (t *transaction) full() bool { return t.bytes >= mostBytes || len(t.changes) >= mostChanges }

func (t *transaction) reset() {
	clear(t.changes)
	clear(t.claims)
	clear(t.kept)
	clear(t.sends)
	*t = transaction{changes: t.changes[:0], arena: t.arena[:0], claims: t.claims[:0], kept: t.kept[:0], sends: t.sends[:0]}
}

// put adds a record, whose key and value the functions append.
func (t *transaction) put(key, value func([]byte) []byte) {
	from := len(t.arena)
	t.arena = key(t.arena)
	middle := len(t.arena)
	t.arena = value(t.arena)
	to := len(t.arena)
	// The arena may move when it grows, but what it held before stays what it was.
	t.add(window.Change{Key: t.arena[from:middle:middle], Value: t.arena[middle:to:to]})
}

// remove removes a record, or all those whose keys begin with it.
func (t *transaction) remove(key []byte, andAllBelow bool) {
	c := window.Change{Key: key}
	if andAllBelow {
		c.End = append(slices.Clone(key), beyond...)
	}
	t.add(c)
}

func (t *transaction) add(c window.Change) {
	t.changes = append(t.changes, c)
	t.bytes += changeSize(c.Key, c.Value)
}

// changeSize is about what a change costs.
func changeSize(key, value []byte) int { return len(key) + len(value) + 64 }

// The records. Numbers in keys are of eight bytes, the highest first, and times have
// their sign turned, so that the order of keys is that of numbers. A name is its
// length in two bytes and its text. Values are in the form of package window.
const (
	// The frontier: milliseconds, signed.
	frontierRecord = iota + 1
	// Of a source's name and a slot: the digest of the last message of that slot; 1 if
	// anything of it went to a sink without being held, else 0.
	positionRecord
	// Of a serial number: a result that is not delivered yet: a frozenForm, the
	// operation it comes from, its time; the message; the message to be sent to the
	// dead letters should it be lost, or nothing if that is the same; of a dead letter,
	// reason and error.
	frozenRecord
	// Of an accumulate's name and a time: what its window has folded: the window's
	// time, the number of the next message, the result so far.
	snapshotRecord
	// Of the same and a message's number: it was the last of those folded together.
	cutRecord
	// Of the same: a message in the window: the window's time, the message; and the
	// message it came of, or nothing if that is the same.
	memberRecord
	// Of a delay's name, a time and a number: a message held until then, as above.
	delayedRecord
)

// The forms of frozen results.
const (
	frozenMessage = 1 // what an operation has let out
	frozenDead    = 2 // a dead letter
)

// beyond follows every number in a key.
const beyond = "\xff\xff\xff\xff\xff\xff\xff\xff\xff"

func appendName(b []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
}

func pageKey(b []byte, kind byte, operation string, at progress.Time) []byte {
	b = appendName(append(b, kind), operation)
	return binary.BigEndian.AppendUint64(b, uint64(at)^1<<63)
}

func entryKey(b []byte, kind byte, operation string, at progress.Time, number uint64) []byte {
	return binary.BigEndian.AppendUint64(pageKey(b, kind, operation, at), number)
}

func frozenKey(b []byte, serial uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, frozenRecord), serial)
}

func positionKey(b []byte, source string, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(appendName(append(b, positionRecord), source), slot)
}

// keyReader takes a key apart.
type keyReader struct {
	rest []byte
	bad  bool
}

func (k *keyReader) name() string {
	if len(k.rest) < 2 || len(k.rest)-2 < int(binary.BigEndian.Uint16(k.rest)) {
		k.bad = true
		return ""
	}
	n := 2 + int(binary.BigEndian.Uint16(k.rest))
	name := string(k.rest[2:n])
	k.rest = k.rest[n:]
	return name
}

func (k *keyReader) number() uint64 {
	if len(k.rest) < 8 {
		k.bad = true
		return 0
	}
	n := binary.BigEndian.Uint64(k.rest)
	k.rest = k.rest[8:]
	return n
}

func (k *keyReader) time() progress.Time { return progress.Time(k.number() ^ 1<<63) }

// recordKind is the kind of the records in which n's held messages are.
func (n *node) recordKind() byte {
	if n.folds() {
		return memberRecord
	}
	return delayedRecord
}

// appendOrigin appends the message that m came of, or nothing if there is nobody who
// would want it.
func (w *Worker) appendOrigin(b []byte, m, origin *message.Message) []byte {
	if w.deadLetter == nil || origin == m {
		return b
	}
	return window.AppendMessage(b, origin)
}

// decodeOrigin returns what appendOrigin has appended.
func decodeOrigin(d *window.Decoder, m *message.Message) *message.Message {
	if len(d.Rest()) == 0 {
		return m
	}
	return d.Message()
}

// putEntry writes down that n holds e, in its page p.
func (w *Worker) putEntry(n *node, p *page, e entry) int {
	t := w.journal.next
	if last := len(t.kept) - 1; last >= 0 && t.kept[last].page == p {
		t.kept[last].number = e.number
	} else {
		t.kept = append(t.kept, kept{p, e.number})
	}
	before := t.bytes
	t.put(
		func(b []byte) []byte {
			return entryKey(b, n.recordKind(), n.name, progress.Time(p.at.Millis), e.number)
		},
		func(b []byte) []byte {
			return w.appendOrigin(window.AppendMessage(window.AppendTime(b, p.at), e.message), e.message, e.origin)
		})
	return t.bytes - before
}

// readBack takes messages off p that are in the store only, most at most, up to that
// number, and adds them to w.gathered.
func (w *Worker) readBack(ctx context.Context, n *node, p *page, most int, upTo uint64) {
	at := progress.Time(p.at.Millis)
	from := entryKey(nil, n.recordKind(), n.name, at, p.first)
	to := append(pageKey(nil, n.recordKind(), n.name, at), beyond...)
	if upTo < math.MaxUint64 {
		to = entryKey(nil, n.recordKind(), n.name, at, upTo+1)
	}
	err := w.journal.store.Range(ctx, from, to, most, func(key, value []byte) error {
		d := window.NewDecoder(value)
		_, e := w.journal.decodeEntry(binary.BigEndian.Uint64(key[len(key)-8:]), d)
		if len(d.Rest()) > 0 || d.Err() != nil {
			return errors.Join(errRecord, d.Err())
		}
		e.size = changeSize(key, value)
		w.gathered = append(w.gathered, e)
		p.stored--
		p.first = e.number + 1
		return nil
	})
	if err != nil && w.failure == nil {
		w.failure = fmt.Errorf("schedule: read windows back: %w", err)
	}
}

// decodeEntry returns the message that putEntry wrote down under that number, and the
// time of its page.
func (j *journal) decodeEntry(number uint64, d *window.Decoder) (at hlc.Timestamp, e entry) {
	at = d.Time()
	e = entry{number: number, claim: claim{group: j.safe}, message: d.Message()}
	e.origin = decodeOrigin(d, e.message)
	return at, e
}

// removeEntry writes down that n doesn't hold the message of that number any more.
func (w *Worker) removeEntry(n *node, p *page, number uint64) {
	w.journal.next.remove(entryKey(nil, n.recordKind(), n.name, progress.Time(p.at.Millis), number), false)
}

// putCut writes down that the messages of p up to that number have been folded, those
// after the last cut together.
func (w *Worker) putCut(n *node, p *page, number uint64) {
	at := progress.Time(p.at.Millis)
	if p.unfolded < max(snapshotAt, 4*len(p.staged.Payload)) {
		w.journal.next.put(
			func(b []byte) []byte { return entryKey(b, cutRecord, n.name, at, number) },
			func(b []byte) []byte { return b })
		return
	}
	p.unfolded = 0
	w.journal.next.put(
		func(b []byte) []byte { return pageKey(b, snapshotRecord, n.name, at) },
		func(b []byte) []byte {
			b = binary.AppendUvarint(window.AppendTime(b, p.at), number+1)
			return window.AppendMessage(b, p.staged)
		})
	for _, kind := range []byte{cutRecord, memberRecord} {
		w.journal.next.add(window.Change{
			Key: pageKey(nil, kind, n.name, at), End: entryKey(nil, kind, n.name, at, number+1),
		})
	}
}

// removePage writes down that the window p of n has closed.
func (w *Worker) removePage(n *node, p *page) {
	at := progress.Time(p.at.Millis)
	w.journal.next.remove(pageKey(nil, snapshotRecord, n.name, at), false)
	for _, kind := range []byte{cutRecord, memberRecord} {
		w.journal.next.remove(pageKey(nil, kind, n.name, at), true)
	}
}

// begin makes r a run that works on what was held: what it sends waits for the
// commit, and must arrive before it is forgotten.
func (w *Worker) begin(r *run) {
	r.claim, r.gated = claim{group: &group{holds: 1}}, true
}

// end ends the step of a run that begin began. If it has sent anything, the result is
// frozen until that is delivered: write appends the record.
func (w *Worker) end(r *run, write func([]byte) []byte) {
	g := r.claim.group
	w.mu.Lock()
	defer w.mu.Unlock()
	if g.holds > 1 {
		w.journal.serial++
		g.frozen = w.journal.serial
		w.journal.next.put(func(b []byte) []byte { return frozenKey(b, g.frozen) }, write)
	}
	w.unhold(r.claim)
}

// freezeMessage writes the record of what n has let out.
func (w *Worker) freezeMessage(n *node, at hlc.Timestamp, m, origin *message.Message) func([]byte) []byte {
	return func(b []byte) []byte {
		b = window.AppendTime(window.AppendText(append(b, frozenMessage), n.name), at)
		return w.appendOrigin(window.AppendMessage(b, m), m, origin)
	}
}

// freezeDead writes the record of a dead letter.
func freezeDead(n *node, at hlc.Timestamp, origin *message.Message, why reason, err error) func([]byte) []byte {
	return func(b []byte) []byte {
		b = window.AppendTime(window.AppendText(append(b, frozenDead), n.name), at)
		b = window.AppendMessage(b, origin)
		return window.AppendText(window.AppendText(b, string(why)), err.Error())
	}
}

// recall returns what is known of a message that was delivered before; w.mu is held.
func (j *journal) recall(source int, d endpoint.Position, redelivered bool) (known, bool) {
	if !redelivered || d.Slot == 0 {
		return known{}, false
	}
	k, ok := j.known[source][d.Slot]
	return k, ok && k.digest == d.Digest
}

// remember writes down that a has been worked on, and whether anything of it has gone
// to a sink.
func (w *Worker) remember(a *arrival, sent bool) {
	if a.position.Slot == 0 {
		return
	}
	k := known{digest: a.position.Digest, sent: sent}
	w.mu.Lock()
	w.journal.known[a.source][a.position.Slot] = k
	w.mu.Unlock()
	source := w.nodes[w.plan.Sources[a.source]].name
	w.journal.next.put(
		func(b []byte) []byte { return positionKey(b, source, a.position.Slot) },
		func(b []byte) []byte {
			b = binary.BigEndian.AppendUint64(b, k.digest)
			if sent {
				return append(b, 1)
			}
			return append(b, 0)
		})
}

// secure makes a claim wait for the commit of the current step.
func (w *Worker) secure(c claim) {
	if c.group != nil {
		return // what stood for it is removed in the same step
	}
	w.mu.Lock()
	w.hold(c)
	w.mu.Unlock()
	w.journal.next.claims = append(w.journal.next.claims, c)
}

// flush gives the committer what there is to commit, if it has nothing to do, and
// takes over what it has done. It waits only while there is too much. In the middle
// of a step it gives nothing.
func (w *Worker) flush(ctx context.Context) {
	j := w.journal
	if j == nil {
		return
	}
	for w.failure == nil {
		select {
		case t := <-j.committed:
			w.deliver(ctx, t)
		default:
		}
		if w.failure != nil {
			return
		}
		if w.underway > 0 && w.first().begun {
			return
		}
		if j.spare != nil {
			if w.complete(); !j.next.empty() {
				j.orders <- j.next
				j.next, j.spare = j.spare, nil
			}
			return
		}
		if !j.next.full() {
			return
		}
		select {
		case t := <-j.committed:
			w.deliver(ctx, t)
		case <-ctx.Done():
			w.failure = ctx.Err()
		}
	}
}

// complete adds to a transaction that is about to be committed what is not part of a
// step.
func (w *Worker) complete() {
	j := w.journal
	w.mu.Lock()
	thawed, stopped := j.thawed, w.stopped
	j.thawed = nil
	w.mu.Unlock()
	for _, serial := range thawed {
		j.next.remove(frozenKey(nil, serial), false)
	}
	if w.unsaved() && (stopped || !j.next.empty()) {
		j.saved = w.frontier
		j.next.put(
			func(b []byte) []byte { return append(b, frontierRecord) },
			func(b []byte) []byte { return binary.AppendVarint(b, int64(j.saved)) })
	}
}

// unsaved reports whether the frontier has moved since it was last written down.
// Its end is not: another input may follow.
func (w *Worker) unsaved() bool {
	return w.frontier != w.journal.saved && w.frontier != progress.End
}

// pending reports whether there is anything that is not committed; w.mu is held.
func (w *Worker) pending() bool {
	j := w.journal
	return j != nil && (j.spare == nil || !j.next.empty() || len(j.thawed) > 0 || w.stopped && w.unsaved())
}

// deliver takes over a committed transaction: what waited for it goes to the sinks.
func (w *Worker) deliver(ctx context.Context, t *transaction) {
	if t.err != nil {
		w.failure = fmt.Errorf("schedule: keep windows: %w", t.err)
		return
	}
	for _, ticket := range t.sends {
		if w.failure == nil {
			w.handOver(ctx, ticket)
		}
	}
	for _, k := range t.kept {
		k.page.committed(k.number)
	}
	t.reset()
	w.journal.spare = t
}

// commitAll commits transactions until there are no more orders or one fails.
func (w *Worker) commitAll(ctx context.Context) {
	for t := range w.journal.orders {
		err := w.commit(ctx, t)
		if err == nil {
			w.mu.Lock()
			for _, c := range t.claims {
				w.unhold(c)
			}
			w.mu.Unlock()
		}
		t.err = err
		w.journal.committed <- t // whose from now on t is
		if err != nil {
			return
		}
	}
}

// commit commits t. While the store is full it waits: what isn't committed is not
// settled, so the sources hold it.
func (w *Worker) commit(ctx context.Context, t *transaction) error {
	if len(t.changes) == 0 {
		return nil
	}
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err := w.journal.store.Commit(ctx, t.changes)
		if err == nil {
			if w.journal.trouble.Swap(nil) != nil {
				w.log.Info("windows are kept again")
			}
			return nil
		}
		if !errors.Is(err, window.ErrFull) {
			return err
		}
		text := err.Error()
		if w.journal.trouble.Swap(&text) == nil {
			w.log.LogAttrs(ctx, slog.LevelError, "windows can't be kept; nothing is lost, and it is tried again", slog.Any("error", err))
		}
		if err := w.clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Trouble returns why open windows can't be kept at the moment, or nothing. Until
// they can, nothing more is acknowledged.
func (w *Worker) Trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.journal == nil {
		return ""
	}
	if text := w.journal.trouble.Load(); text != nil {
		return *text
	}
	return ""
}
