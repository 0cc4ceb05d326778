// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/window"
)

// frozen is a result of the run before that has not been delivered.
type frozen struct {
	serial  uint64
	node    *node
	at      hlc.Timestamp
	message *message.Message
	origin  *message.Message
	dead    bool
	why     reason // of a dead letter
	text    string
}

// resumption is a window of the run before, with the numbers of the messages after
// which those before had been folded.
type resumption struct {
	node *node
	page *page
	cuts []uint64
}

// newJournal returns a journal over store.
func (w *Worker) newJournal(store window.Store) *journal {
	j := &journal{
		store: store, safe: &group{holds: 1}, next: &transaction{}, spare: &transaction{},
		committed: make(chan *transaction, 1),
		saved:     progress.Beginning,
	}
	for range w.plan.Sources {
		j.known = append(j.known, map[uint64]known{})
	}
	return j
}

// load reads what the run before has left in the store.
func (w *Worker) load(ctx context.Context) error {
	l := loader{w: w, nodes: map[string]*node{}, sources: map[string]int{}, pages: map[*page]int{}}
	for i := range w.nodes {
		l.nodes[w.nodes[i].name] = &w.nodes[i]
	}
	for i, index := range w.plan.Sources {
		l.sources[w.nodes[index].name] = i
	}
	if err := w.journal.store.Read(ctx, l.record); err != nil {
		return fmt.Errorf("schedule: read windows: %w", err)
	}
	w.journal.saved, w.journal.loaded = w.frontier, true
	for i := range w.sources {
		w.sources[i].frontier = progress.NewFrontier(w.lateness(), w.options.MaxStall.Milliseconds(), w.frontier)
	}
	return nil
}

// loader takes records over, in the order of their keys.
type loader struct {
	w       *Worker
	nodes   map[string]*node
	sources map[string]int
	pages   map[*page]int // index in the journal's resumption, plus one
}

// errRecord says that a record is not one of ours, although the store is sound.
var errRecord = errors.New("record can't be read: it was written by another version of graphd")

func (l *loader) record(key, value []byte) error {
	k := keyReader{rest: key[1:]}
	d := window.NewDecoder(value)
	var err error
	switch kind := key[0]; kind {
	case frontierRecord:
		l.w.frontier = progress.Time(d.Signed())
	case positionRecord:
		source, slot := k.name(), k.number()
		if len(value) != 9 {
			return errRecord
		}
		// A source that isn't there any more redelivers nothing.
		if i, ok := l.sources[source]; ok && !k.bad {
			l.w.journal.known[i][slot] = known{digest: binary.BigEndian.Uint64(value), sent: value[8] == 1}
		}
		return nil
	case frozenRecord:
		err = l.frozen(k.number(), d)
	case snapshotRecord, cutRecord, memberRecord, delayedRecord:
		err = l.held(kind, &k, d)
	default:
		return errRecord
	}
	switch {
	case err != nil:
		return err
	case k.bad || len(k.rest) > 0 || len(d.Rest()) > 0 || d.Err() != nil:
		return errors.Join(errRecord, d.Err())
	}
	return nil
}

// operation finds an operation of the run before. What it held would be lost without
// it, so that is for somebody to decide.
func (l *loader) operation(name string, kinds ...operator.Kind) (*node, error) {
	n := l.nodes[name]
	if n == nil {
		return nil, fmt.Errorf("operation %q is gone, but has open windows or undelivered results in the store: "+
			"run the definition that has it until they are delivered, or move the store away to give them up", name)
	}
	for _, kind := range kinds {
		if n.kind == kind {
			return n, nil
		}
	}
	return nil, fmt.Errorf("operation %q has open windows in the store, but is now of the kind %s: "+
		"run the definition before until they are delivered, or move the store away to give them up", name, n.kind)
}

func (l *loader) frozen(serial uint64, d *window.Decoder) error {
	form, name := d.Byte(), d.Text()
	n := l.nodes[name]
	if n == nil {
		if form != frozenDead {
			_, err := l.operation(name)
			return err
		}
		n = &node{name: name}
	}
	f := frozen{serial: serial, node: n, at: d.Time(), message: d.Message(), dead: form == frozenDead}
	f.origin = f.message
	if f.dead {
		f.why, f.text = reason(d.Text()), d.Text()
	} else {
		f.origin = decodeOrigin(d, f.message)
	}
	j := l.w.journal
	j.stock = append(j.stock, f)
	j.serial = serial
	return nil
}

func (l *loader) held(kind byte, k *keyReader, d *window.Decoder) error {
	want := operator.Accumulate
	if kind == delayedRecord {
		want = operator.Delay
	}
	name, at := k.name(), k.time()
	n, err := l.operation(name, want)
	if err != nil {
		return err
	}
	j := l.w.journal
	if kind == cutRecord { // its window's messages follow
		p := n.held.page(hlc.Timestamp{Millis: int64(at)})
		r := l.resumption(n, p)
		r.cuts = append(r.cuts, k.number())
		return nil
	}
	n.holds.Add(1)
	if kind == snapshotRecord {
		time := d.Time()
		p := n.held.page(time)
		p.at = time
		p.next = d.Unsigned()
		p.first = p.next
		p.staged = d.Message()
		p.folded++
		p.author = l.w
		return nil
	}
	number := k.number()
	time, _ := j.decodeEntry(number, d)
	p := n.held.page(time)
	p.at = time
	p.stored++ // to be read back later
	p.next = number + 1
	return nil
}

func (l *loader) resumption(n *node, p *page) *resumption {
	j := l.w.journal
	if l.pages[p] == 0 {
		j.resumption = append(j.resumption, resumption{node: n, page: p})
		l.pages[p] = len(j.resumption)
	}
	return &j.resumption[l.pages[p]-1]
}

// resume takes up what the run before has left: results are delivered that were not,
// and windows folded as far as they were, cut by cut.
func (w *Worker) resume(ctx context.Context) {
	j := w.journal
	held := int64(0)
	for _, i := range w.timed {
		held += w.nodes[i].holds.Load()
	}
	if j.loaded && (held > 0 || len(j.stock) > 0) {
		w.log.Info("windows are resumed", "held", held, "undelivered", len(j.stock))
	}
	for _, f := range j.stock {
		r := w.admitRun(ctx)
		if r == nil {
			return
		}
		// What it did to other windows is committed with it.
		r.origin, r.at, r.claim, r.mute = f.origin, f.at, claim{group: &group{holds: 1, frozen: f.serial}}, true
		if !f.dead {
			w.pass(r, f.node, 0, f.message)
		} else if w.deadLetter != nil {
			w.sendDead(ctx, f.origin, r.claim, f.node.name, f.why, errors.New(f.text), false)
		}
		w.launch(ctx, r)
	}
	w.drain(ctx)
	for _, r := range j.resumption {
		for _, cut := range r.cuts {
			w.gathered = w.gathered[:0]
			if w.readBack(ctx, r.node, r.page, r.page.stored, cut); w.failure != nil {
				return
			}
			if len(w.gathered) > 0 {
				w.fold(ctx, r.node, r.page, w.gathered, folded)
			}
			w.flush(ctx)
		}
	}
	j.stock, j.resumption, j.loaded = nil, nil, false
}
