// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"container/heap"
	"context"
	"fmt"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/progress"
)

// foldAt is how many messages an accumulate is given at once.
const foldAt = 64

// calendar is what a delay or an accumulate holds, by the time at which it is due.
type calendar struct {
	times timeHeap // of the pages
	pages map[progress.Time]*page
}

// page is what is due at one time.
type page struct {
	at      hlc.Timestamp
	entries []entry          // of a delay: all; of an accumulate: those not folded yet
	staged  *message.Message // of an accumulate: what is folded so far
	claims  []claim          // of what is folded
}

// entry is a message held.
type entry struct {
	message *message.Message
	origin  *message.Message
	claim   claim
}

// page returns the page for at, a new one if there is none.
func (c *calendar) page(at hlc.Timestamp) *page {
	t := progress.Time(at.Millis)
	p := c.pages[t]
	if p == nil {
		if c.pages == nil {
			c.pages = map[progress.Time]*page{}
		}
		p = &page{at: at}
		c.pages[t] = p
		heap.Push(&c.times, t)
	}
	return p
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
	if len(p.entries) == foldAt {
		w.fold(ctx, n, p)
	}
}

func (w *Worker) keep(n *node, at hlc.Timestamp, m *message.Message) *page {
	p := n.held.page(at)
	p.entries = append(p.entries, entry{message: m, origin: w.current.origin, claim: w.current.claim})
	n.holds.Add(1)
	w.mu.Lock()
	w.hold(w.current.claim)
	w.mu.Unlock()
	return p
}

// fold folds the entries of p into what is staged. Where the operator can't take
// them together, it gets them one by one, and only those are dropped that it can't
// take.
func (w *Worker) fold(ctx context.Context, n *node, p *page) {
	saved := w.current
	defer func() { w.current = saved }()
	if p.staged == nil {
		p.staged = &message.Message{Time: hlc.Timestamp{Millis: p.at.Millis, Node: w.node}}
	}
	entries := p.entries
	p.entries = p.entries[:0]
	if len(entries) > 1 {
		batch := make([]*message.Message, len(entries))
		for i, e := range entries {
			batch[i] = e.message
		}
		staged, err := n.doAccumulate(ctx, p.staged, batch)
		if err == nil {
			p.take(staged, entries...)
			return
		}
		if !w.survive(ctx, n, err) {
			return
		}
	}
	for _, e := range entries {
		w.foldOne(ctx, n, p, e, len(entries) == 1)
		if w.failure != nil {
			return
		}
	}
}

// foldOne folds a single entry, with a second try if again says so, or drops it.
func (w *Worker) foldOne(ctx context.Context, n *node, p *page, e entry, again bool) {
	w.current = current{origin: e.origin, at: p.at, claim: e.claim}
	for {
		staged, err := n.doAccumulate(ctx, p.staged, []*message.Message{e.message})
		if err == nil {
			p.take(staged, e)
			return
		}
		if !w.survive(ctx, n, err) {
			return
		}
		if !again || !retryable(err) {
			w.drop(ctx, n, err)
			n.holds.Add(-1)
			w.release(e.claim)
			return
		}
		again = false
	}
}

// take makes staged what p has folded, entries included.
func (p *page) take(staged *message.Message, entries ...entry) {
	p.staged = staged
	for _, e := range entries {
		p.claims = append(p.claims, e.claim)
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
	for _, waiting := range [][]arrival{w.sequel, w.inbox} {
		for i := range waiting {
			u := &unread[waiting[i].source]
			*u = min(*u, progress.Time(waiting[i].message.Time.Millis))
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
// time after time, and of each time node after node.
func (w *Worker) moveTo(ctx context.Context, frontier progress.Time) {
	w.mu.Lock()
	w.frontier = max(w.frontier, frontier)
	frontier = w.frontier
	w.mu.Unlock()
	for w.failure == nil {
		due := progress.End
		for _, i := range w.timed {
			due = min(due, w.nodes[i].held.next())
		}
		if due == progress.End || due >= frontier {
			return
		}
		for _, i := range w.timed {
			if n := &w.nodes[i]; n.held.next() == due {
				w.fire(ctx, n, n.held.tear())
			}
		}
	}
}

// fire lets out what n has held.
func (w *Worker) fire(ctx context.Context, n *node, p *page) {
	if n.kind == operator.Delay {
		for _, e := range p.entries {
			if w.failure != nil {
				return
			}
			w.current = current{origin: e.origin, at: p.at, claim: e.claim}
			w.pass(ctx, n, 0, e.message)
			w.letGo(n, 1, e.claim)
		}
		return
	}
	if len(p.entries) > 0 {
		w.fold(ctx, n, p)
	}
	if w.failure != nil || len(p.claims) == 0 {
		return // nothing of the window was left
	}
	whole := claim{window: &window{holds: 1, claims: p.claims}}
	w.current = current{origin: p.staged, at: p.at, claim: whole}
	w.pass(ctx, n, 0, p.staged)
	w.letGo(n, int64(len(p.claims)), whole)
}

// letGo releases a claim on count messages that n held, unless the worker failed on
// them.
func (w *Worker) letGo(n *node, count int64, c claim) {
	if w.failure != nil {
		return
	}
	n.holds.Add(-count)
	w.release(c)
}
