// SPDX-License-Identifier: Apache-2.0

// Package deploy makes what runs equal to what is wanted.
//
// A Deployment is told what is wanted as a whole, again and again: a resource.Set.
// It compares that with what runs, stops what is no longer wanted or is connected to
// something else, has what a graph does swapped where only that differs, and starts
// what is missing. A graph that fails is started again, with growing pauses, for as long as it is wanted: the
// tag that is missing may be pushed, the broker that refuses us may be mended.
//
// A Launcher is the other half: it runs one graph, of artifacts and endpoints that
// it gets through interfaces declared here.
package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/resource"
)

// Config is what a Deployment needs.
type Config struct {
	// Launch runs the graph that is wanted until ctx ends; then it drains the graph and
	// returns nil. It calls up once, when the graph can be asked how it is; graph is what
	// may be watched, or nil. Any other return is a failure; its error may be a *Failure,
	// which says why. Required.
	Launch func(ctx context.Context, want *Want, up func(probe func() engine.Health, graph *engine.Graph)) error
	// Logger takes what happens to graphs. Nil discards it.
	Logger *slog.Logger
	// Events is told what happens to graphs, from any goroutine; it must neither block nor
	// call back. Nil: nobody is.
	Events func(Event)
	// MinBackoff and MaxBackoff bound the pause before a failed graph is started
	// again, which doubles from one to the other; a graph that ran for MaxBackoff
	// begins anew. Defaults 1 s and 1 minute.
	MinBackoff, MaxBackoff time.Duration
}

// Want is what is wanted of one graph. As long as only what the graph does changes,
// and not what it is connected to, it is one Want that changes.
type Want struct {
	Key     resource.Key
	set     atomic.Pointer[resource.Set]
	changed chan struct{} // has room for one signal
}

// NewWant returns a Want of the graph of that key in set.
func NewWant(key resource.Key, set *resource.Set) *Want {
	w := &Want{Key: key, changed: make(chan struct{}, 1)}
	w.set.Store(set)
	return w
}

// Set returns the set that has the graph, and what it refers to.
func (w *Want) Set() *resource.Set { return w.set.Load() }

// Change makes it the graph of another set, and tells who receives from Changed.
func (w *Want) Change(set *resource.Set) {
	w.set.Store(set)
	select {
	case w.changed <- struct{}{}:
	default: // it will be seen
	}
}

// Changed receives after Set has changed, once for all changes before.
func (w *Want) Changed() <-chan struct{} { return w.changed }

// Deployment is a set of running graphs.
type Deployment struct {
	config Config

	mu     sync.Mutex
	status map[resource.Key]*condition // guarded by mu
	told   bool                        // guarded by mu: a set has been received
}

// condition is a graph's status, and whom to ask for news.
type condition struct {
	Status
	probe func() engine.Health // nil while the graph doesn't run
	graph *engine.Graph        // the same
}

// New returns a Deployment in which nothing runs yet.
func New(config Config) *Deployment {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Events == nil {
		config.Events = func(Event) {}
	}
	if config.MinBackoff == 0 {
		config.MinBackoff = time.Second
	}
	if config.MaxBackoff == 0 {
		config.MaxBackoff = max(time.Minute, config.MinBackoff)
	}
	return &Deployment{config: config, status: map[resource.Key]*condition{}}
}

// Status returns how each wanted graph is, in the order of their keys. It may be
// called from any goroutine.
func (d *Deployment) Status() []Status {
	d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Status
	for _, c := range d.status {
		all = append(all, c.Status)
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Graph.String(), b.Graph.String()) })
	return all
}

// Graph returns the graph of that key, or nil where none runs. It may be called from
// any goroutine.
func (d *Deployment) Graph(key resource.Key) *engine.Graph {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.status[key]; c != nil {
		return c.graph
	}
	return nil
}

// look asks every graph that runs how it is.
func (d *Deployment) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.status {
		if c.probe != nil {
			h := c.probe()
			d.set(c, Status{Graph: c.Graph, Health: h.State, Reason: Reason(h.Reason), Message: h.Message})
		}
	}
}

// Ready returns nil once what is wanted is known and every graph does its work: it
// runs and is connected. Otherwise the error says which one doesn't, and why. It may
// be called from any goroutine.
func (d *Deployment) Ready() error {
	d.mu.Lock()
	told := d.told
	d.mu.Unlock()
	if !told {
		return errors.New("nothing is known yet of what is wanted")
	}
	for _, s := range d.Status() {
		if !s.Works() {
			return fmt.Errorf("%s: %s %s %s", s.Graph, s.Health, s.Reason, s.Message)
		}
	}
	return nil
}

// set takes over a status of c, which is guarded by d.mu; its time is that of the last
// change of health.
func (d *Deployment) set(c *condition, s Status) {
	s.Since = time.Now()
	if s.Health == c.Health {
		s.Since = c.Since
	}
	if s.Health != engine.Unknown && (s.Health != c.Health || s.Reason != c.Reason) && c.probe != nil {
		d.config.Events(Event{
			Graph: s.Graph, Warning: s.Health != engine.Available,
			Reason: cmp.Or(string(s.Reason), string(s.Health)), Message: s.Message,
		})
	}
	c.Status = s
}

// lookEvery is how exactly it is known since when a graph is as it is.
const lookEvery = time.Second

// Run makes what runs equal to the last set received from wanted, until ctx ends;
// then it drains and stops every graph. It is called once. A set is not changed by
// anybody after it was sent.
func (d *Deployment) Run(ctx context.Context, wanted <-chan *resource.Set) {
	running := map[resource.Key]*runner{}
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		select {
		case <-looks.C:
			d.look()
		case <-ctx.Done():
			d.stop(running, slices.Collect(maps.Keys(running)))
			return
		case set, ok := <-wanted:
			if !ok {
				wanted = nil
				continue
			}
			d.reconcile(ctx, running, set)
		}
	}
}

// runner is a graph that is wanted, whether it runs now or is between two tries.
type runner struct {
	want   *Want
	ends   string // what it is connected to
	shape  string // and all it is made of
	cancel context.CancelFunc
	ended  chan struct{}
}

// reconcile stops what isn't wanted or is connected to something else, tells what
// does something else what that is, and starts what is missing.
func (d *Deployment) reconcile(ctx context.Context, running map[resource.Key]*runner, set *resource.Set) {
	type form struct{ ends, shape string }
	forms := map[resource.Key]form{}
	for key, g := range set.Graphs {
		if !g.Disabled {
			forms[key] = form{endsShape(set, g), shape(set, g)}
		}
	}
	var outdated []resource.Key
	for key, r := range running {
		switch f := forms[key]; {
		case f.ends != r.ends:
			outdated = append(outdated, key)
		case f.shape != r.shape:
			r.shape = f.shape
			r.want.Change(set)
		}
	}
	d.stop(running, outdated)
	for _, key := range set.GraphKeys() {
		f, wanted := forms[key]
		if !wanted || running[key] != nil {
			continue
		}
		graphCtx, cancel := context.WithCancel(ctx)
		r := &runner{want: NewWant(key, set), ends: f.ends, shape: f.shape, cancel: cancel, ended: make(chan struct{})}
		running[key] = r
		d.report(Status{Graph: key, Health: engine.Unknown, Message: "starting"}, nil, nil)
		go func() {
			defer close(r.ended)
			d.supervise(graphCtx, r.want)
		}()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = true
}

// stop ends graphs, all at once, and waits until they have drained.
func (d *Deployment) stop(running map[resource.Key]*runner, keys []resource.Key) {
	for _, key := range keys {
		running[key].cancel()
	}
	for _, key := range keys {
		<-running[key].ended
		delete(running, key)
		d.mu.Lock()
		delete(d.status, key)
		d.mu.Unlock()
		d.config.Logger.Info("graph stopped", "graph", key.String())
		d.config.Events(Event{Graph: key, Reason: EventStopped, Message: "nobody wants it any more, or not as it was"})
	}
}

// supervise runs a graph, again and again where it fails, until ctx ends. It is tried
// at once when something else is wanted.
func (d *Deployment) supervise(ctx context.Context, want *Want) {
	key := want.Key
	logger := d.config.Logger.With("graph", key.String())
	pause := d.config.MinBackoff
	for {
		began := time.Now()
		err := d.config.Launch(ctx, want, func(probe func() engine.Health, graph *engine.Graph) {
			d.report(Status{Graph: key, Health: engine.Unknown, Message: "starting"}, probe, graph)
		})
		if ctx.Err() != nil {
			if err != nil {
				logger.Error("graph did not stop cleanly", "error", err)
			}
			return
		}
		if time.Since(began) >= d.config.MaxBackoff {
			pause = d.config.MinBackoff
		}
		if err == nil {
			err = errors.New("the graph ended by itself")
		}
		message, reason := err.Error(), failureOf(err).Reason
		d.report(Status{Graph: key, Health: engine.Unavailable, Reason: reason, Message: message}, nil, nil)
		logger.Error("graph failed", "reason", string(reason), "error", message, "retry", pause)
		d.config.Events(Event{Graph: key, Warning: true, Reason: EventFailed, Message: string(reason) + ": " + message})
		retry := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			retry.Stop()
			return
		case <-retry.C:
			pause = min(2*pause, d.config.MaxBackoff)
		case <-want.Changed():
			retry.Stop()
			pause = d.config.MinBackoff
		}
	}
}

// report notes how a graph is, and whom to ask and to watch from now on.
func (d *Deployment) report(s Status, probe func() engine.Health, graph *engine.Graph) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.status[s.Graph]
	if c == nil {
		c = &condition{}
		d.status[s.Graph] = c
	}
	c.probe, c.graph = probe, graph
	d.set(c, s)
}

// endsShape is everything that a running graph is connected to, as text: a graph is
// stopped, and another started, when that changes. So it is where windows are kept.
func endsShape(set *resource.Set, g *resource.DataflowGraph) string {
	var options []resource.Option
	for _, o := range g.Options {
		if o.Name == "dead-letter" || o.Name == "durability" {
			options = append(options, o)
		}
	}
	parts := []any{g.Key, g.RequestPersistence, g.Sources, g.Destinations, options, set.Profiles[resource.Key{Namespace: g.Namespace, Name: g.Profile}]}
	endpoint := func(name string) {
		e := set.Endpoints[resource.Key{Namespace: g.Namespace, Name: name}]
		parts = append(parts, e)
		if e != nil && e.TLS().TrustedCA != "" {
			parts = append(parts, set.ConfigMaps[resource.Key{Namespace: g.Namespace, Name: e.TLS().TrustedCA}])
		}
		if e != nil && e.SecretRef() != "" {
			parts = append(parts, set.Secrets[resource.Key{Namespace: g.Namespace, Name: e.SecretRef()}])
		}
	}
	for _, s := range g.Sources {
		endpoint(s.Endpoint)
	}
	for _, t := range g.Destinations {
		endpoint(t.Endpoint)
	}
	for _, o := range options {
		if name, _, ok := strings.Cut(o.Value, "/"); ok && o.Name == "dead-letter" {
			endpoint(name)
		}
	}
	return asText(parts)
}

// shape is everything that a running graph is made of, as text. Where things are
// declared makes no difference, but for what a relative path in a registry endpoint is
// relative to.
func shape(set *resource.Set, g *resource.DataflowGraph) string {
	parts := []any{endsShape(set, g), g}
	for _, n := range g.Graphs {
		r := set.Registries[resource.Key{Namespace: g.Namespace, Name: n.Registry}]
		parts = append(parts, r)
		if r != nil {
			parts = append(parts, r.Dir)
			if r.PullSecret != "" {
				parts = append(parts, set.Secrets[resource.Key{Namespace: g.Namespace, Name: r.PullSecret}])
			}
			for _, ref := range slices.Concat(r.SigningCAs, r.SigningKeys) {
				data, _ := set.Data(r.Namespace, ref)
				parts = append(parts, data)
			}
		}
	}
	return asText(parts)
}

// asText is the JSON form of what has one: structs, slices, maps and strings.
func asText(parts []any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		panic(err)
	}
	return string(text)
}
