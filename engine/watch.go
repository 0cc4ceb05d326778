// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"sync"

	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// watch is who watches a running graph, beside Config.Watch.
type watch struct {
	mu       sync.Mutex
	watchers []*watcher // guarded by mu
}

// watcher is told what happens until it is done.
type watcher struct {
	mu   sync.Mutex
	tell func(schedule.Event) // guarded by mu; nil: it is done
}

func (w *watcher) watch(e schedule.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tell != nil {
		w.tell(e)
	}
}

// Watch has f told everything that happens to messages from now on, as Config.Watch is,
// also by versions that take the place of this one. f must not block. Once stop has
// returned, f is not called any more. There may be several at a time.
func (g *Graph) Watch(f func(schedule.Event)) (stop func()) {
	w := &watcher{tell: f}
	g.rewatch(func(all []*watcher) []*watcher { return append(all, w) })
	return func() {
		w.mu.Lock()
		w.tell = nil
		w.mu.Unlock()
		g.rewatch(func(all []*watcher) []*watcher {
			return slices.DeleteFunc(all, func(other *watcher) bool { return other == w })
		})
	}
}

// rewatch changes who watches.
func (g *Graph) rewatch(change func([]*watcher) []*watcher) {
	g.watch.mu.Lock()
	defer g.watch.mu.Unlock()
	g.watch.watchers = change(slices.Clone(g.watch.watchers)) // the worker has the one before
	all, first := g.watch.watchers, g.config.Watch
	if len(all) == 0 {
		g.worker.Load().Watch(first)
		return
	}
	g.worker.Load().Watch(func(e schedule.Event) {
		if first != nil {
			first(e)
		}
		for _, w := range all {
			w.watch(e)
		}
	})
}

// Plan returns the plan of the version that runs.
func (g *Graph) Plan() *plan.Plan { return g.worker.Load().Plan() }

// Ended returns what is closed once the graph runs no more.
func (g *Graph) Ended() <-chan struct{} { return g.ended }
