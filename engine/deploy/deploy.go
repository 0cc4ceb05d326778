// SPDX-License-Identifier: Apache-2.0

// Package deploy makes what runs equal to what is wanted.
//
// A Deployment is told what is wanted as a whole, again and again: a resource.Set.
// It compares that with what runs, stops what is no longer wanted or is connected to
// something else, has what a graph does swapped where only that differs, and starts
// what is missing. A graph that fails is started again, with growing pauses, for as long as it is wanted: the
// tag that is missing may be pushed, the broker that refuses us may be mended.
//
// A graph runs as many times, side by side, as its DataflowProfile says; such a copy is
// an instance. An instance that is no longer wanted while others are retires: it gives
// up its share of what comes, finishes what is kept for it, and leaves nothing behind
// at its broker.
//
// A Launcher is the other half: it runs one graph, of artifacts and endpoints that
// it gets through interfaces declared here.
package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
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
	// Counts keeps how many instances of graphs there may be traces of. Nil: it is
	// forgotten with the process.
	Counts Counts
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

// Counts keeps, beyond the end of the process, how many instances of each graph may
// have left something at a broker: a session that takes messages which nobody reads.
// Graphs that never had more than one instance are not in it. It is used by one
// goroutine.
type Counts interface {
	// Load returns what was stored last; nothing where nothing ever was.
	Load() (map[resource.Key]int, error)
	// Store replaces what is kept, and returns once that would outlive a crash.
	Store(map[resource.Key]int) error
}

// Want is what is wanted of one instance of a graph. As long as only what the graph does
// changes, and not what it is connected to, it is one Want that changes.
type Want struct {
	Key resource.Key
	// Instance is the instance's number, from 0. What it is at its brokers depends on it.
	Instance int
	// Grouped says that the graph has, or once had, other instances.
	Grouped bool

	set     atomic.Pointer[resource.Set]
	changes atomic.Uint64 // of set
	tried   atomic.Uint64 // the changes up to which something has come of it
	changed chan struct{} // has room for one signal
	retired chan struct{}
	retire  sync.Once
}

// NewWant returns a Want of the only instance of the graph of that key in set.
func NewWant(key resource.Key, set *resource.Set) *Want {
	w := &Want{Key: key, changed: make(chan struct{}, 1), retired: make(chan struct{})}
	w.set.Store(set)
	return w
}

// Retire says that the instance is to give up its share of what its sources have, to
// finish what is kept for it there, and to end. It can't be taken back.
func (w *Want) Retire() { w.retire.Do(func() { close(w.retired) }) }

// Retired is closed by Retire.
func (w *Want) Retired() <-chan struct{} { return w.retired }

// retires reports whether Retire was called.
func (w *Want) retires() bool {
	select {
	case <-w.retired:
		return true
	default:
		return false
	}
}

// Set returns the set that has the graph, and what it refers to.
func (w *Want) Set() *resource.Set { return w.set.Load() }

// Change makes it the graph of another set, and tells who receives from Changed.
func (w *Want) Change(set *resource.Set) {
	w.set.Store(set)
	w.changes.Add(1)
	select {
	case w.changed <- struct{}{}:
	default: // it will be seen
	}
}

// attempt returns what is to be called once Set, as it is now or is going to be, runs or
// is refused.
func (w *Want) attempt() (done func()) {
	changes := w.changes.Load()
	return func() { w.tried.Store(changes) }
}

// changing reports whether nothing has come yet of the last change.
func (w *Want) changing() bool { return w.tried.Load() != w.changes.Load() }

// Changed receives after Set has changed, once for all changes before.
func (w *Want) Changed() <-chan struct{} { return w.changed }

// Deployment is a set of running graphs.
type Deployment struct {
	config Config

	mu         sync.Mutex
	set        *resource.Set                       // guarded by mu; nil: none has been received
	conditions map[resource.Key]map[int]*condition // guarded by mu; of what is wanted or retires, by number
	healths    map[object]Health                   // guarded by mu; as they were seen last
	errors     map[fault]int64                     // guarded by mu; how many there were
}

// instance names one instance of a graph.
type instance struct {
	resource.Key
	number int // from 0
}

// condition is how an instance is, and whom to ask for news.
type condition struct {
	health   Health
	retiring bool
	want     *Want
	probe    func() engine.Health // nil while the graph doesn't run
	graph    *engine.Graph        // the same
	failed   *engine.EndError     // the end that it failed at; nil: none, or another reason
}

// New returns a Deployment in which nothing runs yet.
func New(config Config) *Deployment {
	if config.Counts == nil {
		config.Counts = forgetful{}
	}
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
	return &Deployment{config: config, conditions: map[resource.Key]map[int]*condition{}, healths: map[object]Health{}, errors: map[fault]int64{}}
}

// forgetful is Counts that keeps nothing.
type forgetful struct{}

func (forgetful) Load() (map[resource.Key]int, error) { return map[resource.Key]int{}, nil }
func (forgetful) Store(map[resource.Key]int) error    { return nil }

// Set returns the set that what runs was made equal to last; nil: none. It may be called
// from any goroutine.
func (d *Deployment) Set() *resource.Set {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set
}

// Graph returns the instance with that number, from 0, of the graph of that key, or nil
// where it doesn't run. It may be called from any goroutine.
func (d *Deployment) Graph(key resource.Key, number int) *engine.Graph {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.conditions[key][number]; c != nil {
		return c.graph
	}
	return nil
}

// lookEvery is how exactly it is known since when a resource is as it is.
const lookEvery = time.Second

// Run makes what runs equal to the last set received from wanted, until ctx ends;
// then it drains and stops every graph. It is called once. A set is not changed by
// anybody after it was sent.
func (d *Deployment) Run(ctx context.Context, wanted <-chan *resource.Set) {
	counts, err := d.config.Counts.Load()
	if err != nil {
		d.config.Logger.Warn("how many instances ran is not known, so nobody takes what is kept for those too many", "error", err)
		counts = map[resource.Key]int{}
	}
	f := fleet{deployment: d, running: map[instance]*runner{}, counts: counts, finished: make(chan instance)}
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		select {
		case <-looks.C:
			d.look()
		case i := <-f.finished:
			f.forget(i)
		case <-ctx.Done():
			f.stop(slices.Collect(maps.Keys(f.running)))
			return
		case set, ok := <-wanted:
			if !ok {
				wanted = nil
				continue
			}
			f.reconcile(ctx, set)
		}
	}
}

// fleet is all instances that are wanted or retire. It belongs to Deployment.Run.
type fleet struct {
	deployment *Deployment
	running    map[instance]*runner
	counts     map[resource.Key]int // see Counts
	finished   chan instance        // that have retired
}

// runner is an instance of a graph that is wanted, whether it runs now or is between two
// tries.
type runner struct {
	want   *Want
	ends   string // what it is connected to
	shape  string // and all it is made of
	cancel context.CancelFunc
	ended  chan struct{}
}

// form is what an instance is to be.
type form struct {
	ends, shape string
	retires     bool
}

// forms returns what is to run: as many instances as are wanted of each graph, and those
// too many of before, for as long as there may be something kept for them.
func (f *fleet) forms(set *resource.Set) map[instance]form {
	all := map[instance]form{}
	for key, g := range set.Graphs {
		if g.Disabled {
			continue
		}
		of, count := form{ends: endsShape(set, g), shape: shape(set, g)}, set.Instances(g)
		for number := range max(count, f.counts[key]) {
			of.retires = number >= count
			all[instance{key, number}] = of
		}
	}
	return all
}

// reconcile stops what isn't wanted or is connected to something else, tells what
// does something else what that is, and starts what is missing.
func (f *fleet) reconcile(ctx context.Context, set *resource.Set) {
	f.raise(set)
	forms := f.forms(set)
	var outdated []instance
	for i, r := range f.running {
		switch to, wanted := forms[i]; {
		case !wanted, r.want.retires() && !to.retires:
			outdated = append(outdated, i)
		case to.retires: // as what it was, to its end
			r.want.Retire()
			f.deployment.retire(i)
		case to.ends != r.ends:
			outdated = append(outdated, i)
		case to.shape != r.shape:
			r.shape = to.shape
			r.want.Change(set)
		}
	}
	f.stop(outdated)
	for _, i := range slices.SortedFunc(maps.Keys(forms), instance.compare) {
		if f.running[i] == nil {
			f.start(ctx, i, forms[i], set)
		}
	}
	f.deployment.tell(set)
}

// compare orders instances.
func (i instance) compare(j instance) int {
	return cmp.Or(strings.Compare(i.String(), j.String()), i.number-j.number)
}

// start runs an instance.
func (f *fleet) start(ctx context.Context, i instance, of form, set *resource.Set) {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{want: NewWant(i.Key, set), ends: of.ends, shape: of.shape, cancel: cancel, ended: make(chan struct{})}
	r.want.Instance, r.want.Grouped = i.number, f.counts[i.Key] > 0
	f.running[i] = r
	f.deployment.report(i, &condition{health: starting(), want: r.want})
	if of.retires {
		r.want.Retire()
		f.deployment.retire(i)
	}
	go func() {
		defer close(r.ended)
		if !f.deployment.supervise(ctx, r.want) {
			return
		}
		select {
		case f.finished <- i:
		case <-ctx.Done(): // stopped as well
		}
	}()
}

// stop ends instances, all at once, and waits until they have drained.
func (f *fleet) stop(which []instance) {
	for _, i := range which {
		f.running[i].cancel()
	}
	for _, i := range which {
		<-f.running[i].ended
		delete(f.running, i)
		f.deployment.drop(i)
		f.deployment.logger(i).Info("graph stopped")
		f.deployment.config.Events(Event{Graph: i.Key, Instance: i.number, Reason: EventStopped, Message: "nobody wants it any more, or not as it was"})
	}
}

// forget notes that an instance has retired: nothing is left of it.
func (f *fleet) forget(i instance) {
	if r := f.running[i]; r == nil || !r.want.retires() {
		return
	}
	f.running[i].cancel()
	delete(f.running, i)
	f.deployment.drop(i)
	f.deployment.logger(i).Info("instance has retired")
	f.deployment.config.Events(Event{Graph: i.Key, Instance: i.number, Reason: EventRetired, Message: "one instance too many has finished what was kept for it"})
	count := 1
	for other := range f.running {
		if other.Key == i.Key {
			count = max(count, other.number+1)
		}
	}
	f.counts[i.Key] = count
	f.keepCounts()
}

// raise notes how many instances there are going to be, before there are.
func (f *fleet) raise(set *resource.Set) {
	raised := false
	for key, g := range set.Graphs {
		if count := set.Instances(g); !g.Disabled && count > max(f.counts[key], 1) {
			f.counts[key], raised = count, true
		}
	}
	if raised {
		f.keepCounts()
	}
}

func (f *fleet) keepCounts() {
	if err := f.deployment.config.Counts.Store(f.counts); err != nil {
		f.deployment.config.Logger.Error("how many instances run is not kept; fewer after a restart may lose what is kept for those too many", "error", err)
	}
}

// logger returns one for what happens to an instance.
func (d *Deployment) logger(i instance) *slog.Logger {
	logger := d.config.Logger.With("graph", i.String())
	if i.number > 0 {
		logger = logger.With("instance", i.number)
	}
	return logger
}

// supervise runs an instance, again and again where it fails, until ctx ends, or until
// it has retired: then it returns true. It is tried at once when something else is
// wanted.
func (d *Deployment) supervise(ctx context.Context, want *Want) (retired bool) {
	i := instance{want.Key, want.Instance}
	logger := d.logger(i)
	pause := d.config.MinBackoff
	for {
		began := time.Now()
		err := d.config.Launch(ctx, want, func(probe func() engine.Health, graph *engine.Graph) {
			d.report(i, &condition{health: starting(), want: want, probe: probe, graph: graph})
		})
		if ctx.Err() != nil {
			if err != nil {
				logger.Error("graph did not stop cleanly", "error", err)
			}
			return false
		}
		if err == nil && want.retires() {
			return true
		}
		if time.Since(began) >= d.config.MaxBackoff {
			pause = d.config.MinBackoff
		}
		if err == nil {
			err = errors.New("the graph ended by itself")
		}
		message, reason := err.Error(), failureOf(err).Reason
		failed := &condition{want: want, health: Health{State: engine.Unavailable, Reason: reason, Message: message}}
		errors.As(err, &failed.failed)
		d.report(i, failed)
		d.count(i, reason)
		logger.Error("graph failed", "reason", string(reason), "error", message, "retry", pause)
		d.config.Events(Event{Graph: i.Key, Instance: i.number, Warning: true, Reason: EventFailed, Message: string(reason) + ": " + message})
		retry := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			retry.Stop()
			return false
		case <-retry.C:
			pause = min(2*pause, d.config.MaxBackoff)
		case <-want.Changed():
			retry.Stop()
			pause = d.config.MinBackoff
		}
	}
}

// endsShape is everything that a running graph is connected to, as a digest: a graph is
// stopped, and another started, when that changes. So it is where windows are kept.
func endsShape(set *resource.Set, g *resource.DataflowGraph) string {
	var options []resource.Option
	for _, o := range g.Options {
		if o.Name == "dead-letter" || o.Name == "durability" {
			options = append(options, o)
		}
	}
	parts := []any{g.Key, g.RequestPersistence, g.Sources, g.Destinations, options, set.Instances(g) > 1}
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
	return digest(parts)
}

// shape is everything that a running graph is made of, as a digest. Where things are
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
	return digest(parts)
}

// digest is that of the JSON form of what has one: structs, slices, maps and strings. There
// may be thousands of graphs, each with a copy of the same endpoint in that form.
func digest(parts []any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}
