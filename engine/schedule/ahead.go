// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"time"

	"github.com/wasm-graph/graphd/engine/operator"
)

// A call leaves the processor's caches full of the guest, and what the engine does
// between two calls takes some of that away again; with a guest that works for 25
// microseconds this costs more than what is done. So where messages are waiting
// anyhow, an operator is asked about a few of them in a row.
const (
	mostAhead     = 16
	mostAheadTime = 500 * time.Microsecond // since the first call, when another begins
)

// entrances returns, for each source, the operator that may be asked ahead about what
// comes from it, or nil. It gets all of that first and nothing else, and has one
// instance, so it is asked about the same messages in the same order. And it is the
// only operator, so nobody can tell how far it is by the state that they share.
func (w *Worker) entrances() []*node {
	list := make([]*node, len(w.plan.Sources))
	operators := 0
	inputs := make([]int, len(w.nodes))
	for i := range w.nodes {
		if w.nodes[i].opener != nil {
			operators++
		}
		for _, to := range w.nodes[i].outputs {
			for _, j := range to {
				inputs[j]++
			}
		}
	}
	if operators != 1 || w.virtual != nil {
		return list
	}
	for place, i := range w.plan.Sources {
		n := w.next(i, inputs)
		for n >= 0 && w.nodes[n].kind == operator.Concatenate { // the border of a graph in a graph
			n = w.next(n, inputs)
		}
		if n < 0 {
			continue
		}
		switch n := &w.nodes[n]; n.kind {
		case operator.Map, operator.Filter, operator.Branch:
			if len(n.slots) == 1 {
				list[place] = n
			}
		}
	}
	return list
}

// next returns the node that gets everything from node i and nothing else; negative where
// there is none. inputs are how many connections go to each node.
func (w *Worker) next(i int, inputs []int) int {
	to := w.nodes[i].outputs[0]
	if len(to) != 1 || inputs[to[0]] != 1 {
		return -1
	}
	return to[0]
}

// foresee asks the operator at the entrance about the first of the arrivals that come
// next, and keeps its answers in w.ahead. Nothing else is done about them: that follows
// message by message, as if each were asked about when its turn has come. Who watches
// could tell, so then it does nothing.
func (w *Worker) foresee(ctx context.Context, next []arrival) {
	n := w.entrance[next[0].source]
	if n == nil || len(next) == 1 || w.watch != nil {
		return
	}
	if w.foreseen == nil {
		w.foreseen = make([]answer, mostAhead)
	}
	began := w.clock.Now()
	for i := range next[:min(len(next), mostAhead)] {
		a := &next[i]
		if w.entrance[a.source] != n || a.drop != "" {
			return
		}
		if i > 0 && (w.cut.Load() || w.clock.Now().Sub(began) >= mostAheadTime) {
			return
		}
		answer := &w.foreseen[i]
		*answer = n.slots[0].ask(ctx, a.message.Time, a.message, a.timed)
		w.ahead = w.foreseen[:i+1]
		if answer.err != nil || answer.fault != nil || answer.fatal != nil {
			return // it may have taken long, or ends the worker
		}
	}
}
