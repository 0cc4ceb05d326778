// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/window"
)

// foldAt is how many messages an accumulate is given at once.
const foldAt = 64

// calendar is what a delay or an accumulate holds, by the time at which it is due.
type calendar struct {
	times timeHeap // of the pages
	pages map[progress.Time]*page
}

// page is what is due at one time. What it holds, of an accumulate what is not folded
// yet, stands in entries; with a window store only what is not committed, and before
// it in order what is in the store and nowhere else.
type page struct {
	at      hlc.Timestamp
	entries []entry
	staged  *message.Message // of an accumulate: what is folded so far
	folded  int              // how many messages are in that
	claims  []claim          // of them, without a window store
	author  *Worker          // that has folded last

	// With a window store:
	stored   int    // how many messages are in the store only
	first    uint64 // no number of those is less
	next     uint64 // number of the next message
	unfolded int    // bytes of the messages in the store that are in staged
}

// drop forgets the first n entries.
func (p *page) drop(n int) {
	clear(p.entries[:n])
	if n == len(p.entries) && cap(p.entries) <= 1024 {
		p.entries = p.entries[:0]
	} else {
		p.entries = p.entries[n:]
	}
}

// committed says that the store has all entries up to that number.
func (p *page) committed(number uint64) {
	n := 0
	for n < len(p.entries) && p.entries[n].number <= number {
		n++
	}
	p.stored += n
	p.drop(n)
}

// entry is a message held.
type entry struct {
	message *message.Message
	origin  *message.Message
	claim   claim
	number  uint64 // in its page, with a window store
	size    int    // bytes in the store
}

// page returns the page for at, a new one if there is none.
func (c *calendar) page(at hlc.Timestamp) *page {
	t := progress.Time(at.Millis)
	p := c.pages[t]
	if p == nil {
		p = &page{at: at}
		c.insert(p)
	}
	return p
}

// insert puts a page in, of whose time there is none.
func (c *calendar) insert(p *page) {
	t := progress.Time(p.at.Millis)
	if c.pages == nil {
		c.pages = map[progress.Time]*page{}
	}
	c.pages[t] = p
	heap.Push(&c.times, t)
}

// next returns the earliest time of which there is a page, or End.
func (c *calendar) next() progress.Time {
	if len(c.times) == 0 {
		return progress.End
	}
	return c.times[0]
}

// tear takes the earliest page out.
func (c *calendar) tear() *page {
	t := heap.Pop(&c.times).(progress.Time)
	p := c.pages[t]
	delete(c.pages, t)
	return p
}

type timeHeap []progress.Time

func (h timeHeap) Len() int           { return len(h) }
func (h timeHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h timeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timeHeap) Push(x any)        { *h = append(*h, x.(progress.Time)) }
func (h *timeHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// holding reports whether anything is held.
func (w *Worker) holding() bool {
	for _, i := range w.timed {
		if w.nodes[i].held.next() != progress.End {
			return true
		}
	}
	return false
}

// delay holds m at n until a time.
func (w *Worker) delay(ctx context.Context, n *node, m *message.Message, until hlc.Timestamp) {
	at, ok := delayed(w.current.at, until, w.maxDelay)
	if !ok {
		w.discard(ctx, n, reasonDelay, fmt.Errorf("delayed from %v to %v, by more than %d ms", w.current.at, until, w.maxDelay))
		return
	}
	w.keep(n, at, m)
}

// accumulate adds m to the window of the current time at n.
func (w *Worker) accumulate(ctx context.Context, n *node, m *message.Message) {
	p := w.keep(n, w.current.at, m)
	if p.stored+len(p.entries) >= foldAt && w.relapse == nil {
		if w.gather(ctx, n, p); w.failure == nil {
			w.fold(ctx, n, p, w.gathered, open)
		}
	}
}

// gather takes the first messages off p, foldAt at most, and puts them into w.gathered.
func (w *Worker) gather(ctx context.Context, n *node, p *page) {
	clear(w.gathered)
	w.gathered, w.recalled = w.gathered[:0], 0
	if p.stored > 0 {
		want := min(p.stored, foldAt)
		if w.readBack(ctx, n, p, want, math.MaxUint64); w.failure == nil && len(w.gathered) < want {
			w.failure = fmt.Errorf("schedule: read windows back: %w: of the messages that operation %q holds until %v, %d are missing",
				window.ErrCorrupt, n.name, p.at.Time(), p.stored)
		}
	}
	w.recalled = len(w.gathered)
	more := min(foldAt-len(w.gathered), len(p.entries))
	if more > 0 {
		w.gathered = append(w.gathered, p.entries[:more]...)
		p.first = p.entries[more-1].number + 1
		p.drop(more)
	}
}

// scatter puts what gather has taken off p back, before anything else was.
func (w *Worker) scatter(p *page) {
	if len(w.gathered) > 0 {
		p.first = w.gathered[0].number
	}
	p.stored += w.recalled
	p.entries = append(slices.Clone(w.gathered[w.recalled:]), p.entries...)
}

// keep puts m into the page of n for a time.
func (w *Worker) keep(n *node, at hlc.Timestamp, m *message.Message) *page {
	p := n.held.page(at)
	e := entry{message: m, origin: w.current.origin, claim: w.current.claim}
	if j := w.journal; j != nil {
		e.claim = claim{group: j.safe}
		e.number = p.next
		p.next++
		e.size = w.putEntry(n, p, e)
		w.secure(w.current.claim)
	} else {
		w.mu.Lock()
		w.hold(e.claim)
		w.mu.Unlock()
	}
	p.entries = append(p.entries, e)
	n.holds.Add(1)
	if w.watch != nil {
		w.watch(Event{Kind: Held, Operation: n.name, At: at, Origin: w.current.origin, Message: m})
	}
	return p
}

// stage is how far a window is when messages are folded.
type stage uint8

const (
	open    stage = iota // more may come
	closing              // these are the last
	folded               // they have been folded before, and the store says so
)

// fold folds entries into what p has staged. Where the operator can't take them
// together, it gets them one by one, and only those are dropped that it can't take.
func (w *Worker) fold(ctx context.Context, n *node, p *page, entries []entry, s stage) {
	if p.staged == nil {
		p.staged = &message.Message{Time: hlc.Timestamp{Millis: p.at.Millis, Node: w.node}}
	}
	if len(entries) > 1 {
		batch := make([]*message.Message, len(entries))
		for i, e := range entries {
			batch[i] = e.message
		}
		w.folding(n, p)
		staged, err := n.slots[0].accumulate(ctx, p.staged, batch)
		if err == nil {
			w.take(n, p, staged, entries, s)
			return
		}
		if w.failure = n.slots[0].survive(ctx, err); w.failure != nil || !w.sound(ctx, n, p, entries) {
			return
		}
	}
	for i := range entries {
		w.foldOne(ctx, n, p, entries[i:i+1], len(entries) == 1, s)
		if w.failure != nil || w.relapse != nil {
			return
		}
	}
}

// folding says that n is about to be called for p.
func (w *Worker) folding(n *node, p *page) {
	if w.watch != nil {
		w.watch(Event{Kind: Folding, Operation: n.name, At: p.at})
	}
}

// foldOne folds a single entry, with a second try if again says so, or drops it.
func (w *Worker) foldOne(ctx context.Context, n *node, p *page, single []entry, again bool, s stage) {
	e := &single[0]
	for {
		w.folding(n, p)
		staged, err := n.slots[0].accumulate(ctx, p.staged, []*message.Message{e.message})
		if err == nil {
			w.take(n, p, staged, single, s)
			return
		}
		if w.failure = n.slots[0].survive(ctx, err); w.failure != nil || again && !w.sound(ctx, n, p, single) {
			return
		}
		if !again || !retryable(err) {
			w.expel(ctx, n, p, e, err)
			return
		}
		again = false
	}
}

// expel drops an entry that n can't take.
func (w *Worker) expel(ctx context.Context, n *node, p *page, e *entry, err error) {
	n.holds.Add(-1)
	saved := w.current
	defer func() { w.current = saved }()
	w.current = &run{origin: e.origin, at: p.at, claim: e.claim}
	why := reasonOf(err)
	if w.journal == nil {
		w.discard(ctx, n, why, err)
		w.release(e.claim)
		return
	}
	w.begin(w.current)
	w.discard(ctx, n, why, err)
	w.removeEntry(n, p, e.number)
	w.end(w.current, freezeDead(n, p.at, e.origin, why, err))
}

// take makes staged what p has folded, entries included.
func (w *Worker) take(n *node, p *page, staged *message.Message, entries []entry, s stage) {
	w.proved(p)
	p.staged = staged
	p.folded += len(entries)
	if w.watch != nil {
		for _, e := range entries {
			w.watch(Event{Kind: Folded, Operation: n.name, At: p.at, Origin: e.origin, Message: e.message, Result: staged})
		}
	}
	if w.journal == nil {
		for _, e := range entries {
			p.claims = append(p.claims, e.claim)
		}
		return
	}
	for _, e := range entries {
		p.unfolded += e.size
	}
	if s == open {
		w.putCut(n, p, entries[len(entries)-1].number)
	}
}

// advance moves the frontier, in real time, to where the clock and the sources let
// it be.
func (w *Worker) advance(ctx context.Context) {
	now := progress.Time(w.clock.Now().UnixMilli())
	connected := make([]bool, len(w.sources))
	for i := range connected {
		connected[i] = w.connected(i)
	}
	w.mu.Lock()
	unread := make([]progress.Time, len(w.sources))
	for i := range unread {
		unread[i] = progress.End
	}
	hold := func(a *arrival) {
		u := &unread[a.source]
		*u = min(*u, progress.Time(a.message.Time.Millis))
	}
	for i := range w.underway {
		if a := &w.runs[(w.oldest+i)%len(w.runs)].arrival; a.message != nil {
			hold(a)
		}
	}
	for _, waiting := range [][]arrival{w.sequel, w.inbox} {
		for i := range waiting {
			hold(&waiting[i])
		}
	}
	frontier := progress.End
	for i := range w.sources {
		s := &w.sources[i]
		frontier = min(frontier, s.frontier.Advance(now, progress.Status{
			Connected: connected[i], Blocked: s.waiting, Unread: unread[i],
		}))
	}
	w.mu.Unlock()
	w.moveTo(ctx, frontier)
}

// moveTo moves the graph's frontier and works on everything that is due before it:
// time after time, and of each time node after node, once all that is under way is
// finished.
func (w *Worker) moveTo(ctx context.Context, frontier progress.Time) {
	w.mu.Lock()
	moved := frontier > w.frontier
	w.frontier = max(w.frontier, frontier)
	frontier = w.frontier
	w.mu.Unlock()
	if moved && w.watch != nil {
		w.watch(Event{Kind: Advanced, Frontier: frontier})
	}
	w.fireBefore(ctx, frontier)
}

// fireBefore works on everything that is due before a time.
func (w *Worker) fireBefore(ctx context.Context, end progress.Time) {
	for w.failure == nil {
		if end == progress.End || w.behind(end) {
			w.drain(ctx) // it may lead to something that is due
		}
		due := progress.End
		for _, i := range w.timed {
			due = min(due, w.nodes[i].held.next())
		}
		if due == progress.End || due >= end || w.leaving() {
			return
		}
		for _, i := range w.timed {
			w.drain(ctx) // what the node before has let out may belong to this one
			if n := &w.nodes[i]; n.held.next() == due && w.failure == nil && w.relapse == nil {
				w.fire(ctx, n, n.held.tear())
			}
		}
	}
}

// behind reports whether anything under way is of a time before end.
func (w *Worker) behind(end progress.Time) bool {
	for i := range w.underway {
		if progress.Time(w.runs[(w.oldest+i)%len(w.runs)].at.Millis) < end {
			return true
		}
	}
	return false
}

// fire lets out what n has held.
func (w *Worker) fire(ctx context.Context, n *node, p *page) {
	if n.folds() {
		w.shut(ctx, n, p)
		return
	}
	var batch []entry // what is let out need not wait for the rest
	for w.failure == nil && p.stored+len(p.entries) > 0 {
		if w.leaving() {
			n.held.insert(p)
			break
		}
		w.gather(ctx, n, p)
		batch = append(batch[:0], w.gathered...)
		for i := range batch {
			w.letOut(ctx, n, p, &batch[i])
		}
	}
	w.drain(ctx)
}

// leaving reports whether the worker is to stop and leave what is due to the next run,
// or to its heir.
func (w *Worker) leaving() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pausing {
		return !w.emptying
	}
	return w.journal != nil && w.stopped && !w.ended
}

// letOut starts the run of a delayed message.
func (w *Worker) letOut(ctx context.Context, n *node, p *page, e *entry) {
	r := w.admitRun(ctx)
	if r == nil {
		return
	}
	r.origin, r.at, r.claim, r.from, r.page, r.held = e.origin, p.at, e.claim, n, p, *e
	if w.journal != nil {
		w.begin(r)
	}
	if w.watch != nil {
		w.watch(Event{Kind: Released, Operation: n.name, At: p.at, Origin: r.origin, Message: r.held.message})
	}
	w.pass(r, n, 0, r.held.message)
	w.launch(ctx, r)
	w.collectAll(ctx)
}

// shut closes the window p of n and lets its result out.
func (w *Worker) shut(ctx context.Context, n *node, p *page) {
	for p.stored+len(p.entries) > 0 && w.failure == nil && w.relapse == nil {
		if w.gather(ctx, n, p); w.failure == nil {
			w.fold(ctx, n, p, w.gathered, closing)
		}
	}
	if w.relapse != nil {
		n.held.insert(p)
	}
	if w.failure != nil || w.relapse != nil {
		return
	}
	w.proved(p)
	if w.journal != nil {
		w.removePage(n, p)
	}
	if p.folded == 0 {
		p.staged = nil
	}
	if w.watch != nil {
		w.watch(Event{Kind: Closed, Operation: n.name, At: p.at, Origin: p.staged, Message: p.staged})
	}
	if p.folded == 0 { // nothing of the window was left
		w.flush(ctx)
		return
	}
	r := w.admitRun(ctx)
	r.origin, r.at, r.from, r.page = p.staged, p.at, n, p
	if w.journal != nil {
		w.begin(r)
	} else {
		r.claim = claim{group: &group{holds: 1, claims: p.claims}}
	}
	w.pass(r, n, 0, p.staged)
	w.launch(ctx, r)
}

// finishHeld ends the run of what was held: a delayed message, or a window's result.
func (w *Worker) finishHeld(r *run) {
	m, count := r.held.message, int64(1)
	if r.from.folds() {
		m, count = r.page.staged, int64(r.page.folded)
	}
	r.from.holds.Add(-count)
	if w.journal == nil {
		w.release(r.claim)
		return
	}
	if !r.from.folds() {
		w.removeEntry(r.from, r.page, r.held.number)
	}
	w.end(r, w.freezeMessage(r.from, r.at, m, r.origin))
}
