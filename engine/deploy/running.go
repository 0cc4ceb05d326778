// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/window"
)

// tag is a reference that a graph is made of.
type tag struct {
	registry  string // name of the RegistryEndpoint
	reference string
	kind      ArtifactKind
}

// tags are references and the digests that they stood for.
type tags map[tag]string

// running is a graph that runs, and what it is to become. One goroutine, follow, has
// versions take each other's place.
type running struct {
	launcher *Launcher
	want     *Want
	bound    *bound // whose ends it has
	logger   *slog.Logger
	graph    *engine.Graph
	measured *measured
	windows  window.Store // nil until a version needs it

	current   *version    // that runs; of the attempt that is under way
	preparing atomic.Bool // an attempt is under way that doesn't know yet what the tags stand for

	proving sync.Mutex
	proven  bool // guarded by proving; a version was proven

	mu      sync.Mutex
	tried   tags     // guarded by mu; of the last version that was tried, whatever came of it; nil: it is to be tried again
	refused *Failure // guarded by mu; why what is wanted doesn't run; nil: it does
}

// health is the graph's, degraded where something else is wanted than what runs.
func (r *running) health() engine.Health {
	h := r.graph.Health()
	if reason := Reason(h.Reason); reason == SourceChannelClosed || reason == SinkChannelClosed {
		for _, e := range r.graph.Ends() {
			if !e.Connected && !e.Connecting {
				h.Reason, h.Message = string(reasonOf(r.bound.set, r.bound.graph, e.EndName, e.Trouble)), e.String()
				break
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused != nil && h.State == engine.Available {
		return engine.Health{State: engine.Degraded, Reason: string(r.refused.Reason),
			Message: "what is wanted is refused, and what was before goes on: " + r.refused.Error()}
	}
	return h
}

// windowsFor returns what keeps the windows of v; nil where they are kept in memory.
// It is one store for all versions of the graph.
func (r *running) windowsFor(v *version) (window.Store, error) {
	open := r.launcher.config.Windows
	if open == nil || !v.plan.Timed || v.options.Durability == plan.NoDurability {
		return nil, nil
	}
	if r.windows == nil {
		store, err := open(r.want.Key)
		if err != nil {
			return nil, err
		}
		r.windows = store
	}
	return r.windows, nil
}

// close frees what the graph had; it runs no more.
func (r *running) close(ctx context.Context) error {
	var errs []error
	if r.current != nil {
		errs = append(errs, r.current.parts.release(ctx))
	}
	if r.windows != nil {
		errs = append(errs, r.windows.Close())
	}
	return errors.Join(errs...)
}

// follow has what is wanted take the place of what runs: when that is told, and when a
// tag has been moved. It calls retire once it is to retire, and returns when ctx ends.
func (r *running) follow(ctx context.Context, retire func()) {
	retired := r.want.Retired()
	check := time.NewTimer(r.interval())
	defer check.Stop()
	first, proof := r.current, time.NewTimer(provenAfter)
	defer proof.Stop()
	stop := func() {} // ends the attempt that is under way, and waits for that
	defer func() { stop() }()
	attempt := func() {
		stop()
		r.preparing.Store(true)
		attempting, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.attempt(attempting)
		}()
		stop = func() {
			cancel()
			<-ended
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-retired:
			retired = nil
			retire()
		case <-r.want.Changed():
			attempt()
		case <-check.C:
			if !r.preparing.Load() && r.moved(ctx) {
				attempt()
			}
			check.Reset(r.interval())
		case <-proof.C:
			if r.graph.Health().State != engine.Available {
				proof.Reset(provenAfter)
				continue
			}
			r.prove(first, false)
		}
	}
}

// provenAfter is how long a graph runs before what it started with is called proven.
const provenAfter = time.Second

// prove says that the graph runs with what v is made of; with again unset, only if
// nothing else was proven before.
func (r *running) prove(v *version, again bool) {
	r.proving.Lock()
	defer r.proving.Unlock()
	if r.proven && !again {
		return
	}
	r.proven = true
	b := r.launcher.bind(r.want)
	for t, digest := range v.tags {
		artifacts, err := r.launcher.artifacts(b, t.registry)
		if err != nil {
			continue // said by who looks for moved tags
		}
		artifacts.Prove(t.reference, t.kind, digest)
	}
}

// interval is the time to the next look at the tags; jittered, so that graphs that were
// started together don't ask together.
func (r *running) interval() time.Duration {
	options, faults := r.launcher.bind(r.want).options()
	if faults != nil {
		options = plan.Options{} // said when it was tried
	}
	d := cmp.Or(options.Follow, plan.DefaultFollow)
	return d - d/10 + rand.N(d/5+1)
}

// moved reports whether a tag stands for something else than when it was tried last.
// A registry that can't be asked is asked again the next time.
func (r *running) moved(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.launcher.config.FetchTimeout)
	defer cancel()
	r.mu.Lock()
	tried := r.tried
	r.mu.Unlock()
	if tried == nil {
		return true
	}
	b := r.launcher.bind(r.want)
	opened := map[string]Artifacts{}
	for t, before := range tried {
		artifacts := opened[t.registry]
		if artifacts == nil {
			var err error
			if artifacts, err = r.launcher.artifacts(b, t.registry); err != nil {
				r.logger.Warn("registry can't be opened", "registry", t.registry, "error", err)
				return false
			}
			opened[t.registry] = artifacts
		}
		now, err := artifacts.Resolve(ctx, t.reference, t.kind)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			r.logger.Warn("reference can't be looked up", "reference", t.reference, "error", err)
		case now != before:
			r.logger.Info("tag was moved", "reference", t.reference, "digest", now)
			r.launcher.config.Events(Event{Graph: r.want.Key, Instance: r.want.Instance, Reason: EventMoved, Message: t.reference + " is " + now + " now"})
			return true
		}
	}
	return false
}

// attempt has what is wanted take the place of what runs, or notes why not. It is tried
// again when something changes; also without that, where an artifact could not be had.
func (r *running) attempt(ctx context.Context) {
	done := r.want.attempt()
	b := r.launcher.bind(r.want)
	next, err := r.launcher.prepare(ctx, b)
	if ctx.Err() != nil {
		r.release(ctx, next)
		return // another attempt follows, or the end
	}
	defer func() {
		if ctx.Err() == nil {
			done()
		}
	}()
	same := err == nil && next.identity == r.current.identity
	r.note(next, nil)
	r.preparing.Store(false)
	if err == nil && !same {
		err = r.swap(ctx, next)
	}
	switch {
	case same:
		r.prove(next, true)
		r.release(ctx, next)
		return
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		r.release(ctx, next)
		return
	case err != nil:
		failure := failureOf(err)
		r.note(next, failure)
		r.release(ctx, next)
		r.logger.Error("what is wanted is refused, and what was before goes on", "reason", string(failure.Reason), "error", failure)
		r.launcher.config.Events(Event{
			Graph: r.want.Key, Instance: r.want.Instance, Warning: true, Reason: EventRefused,
			Message: string(failure.Reason) + ": " + failure.Error() + "; what was before goes on",
		})
		return
	}
	before := r.current
	r.current = next
	r.measured.describe(next.parts.graphs)
	r.prove(next, true)
	r.release(ctx, before)
	r.logger.Info("graph swapped", "definitions", next.parts.digests())
	r.launcher.config.Events(Event{
		Graph: r.want.Key, Instance: r.want.Instance, Reason: EventSwapped, Message: "something else does the work now, without a reconnect", Artifacts: next.tags.inUse(),
	})
}

// note notes that v is tried, and why it is refused, if it is.
func (r *running) note(v *version, failure *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = failure
	r.tried = v.tags
	if failure != nil && failure.Reason == ModuleDownloadFailed {
		r.tried = nil
	}
}

func (r *running) swap(ctx context.Context, v *version) error {
	windows, err := r.windowsFor(v)
	if err != nil {
		return err
	}
	return r.graph.Swap(ctx, engine.Version{Plan: v.plan, Options: v.options, Openers: v.openers, Windows: windows})
}

// release frees what a version has that runs no more.
func (r *running) release(ctx context.Context, v *version) {
	if err := v.parts.release(context.WithoutCancel(ctx)); err != nil {
		r.logger.Warn("a version of the graph is not freed", "error", err)
	}
}
