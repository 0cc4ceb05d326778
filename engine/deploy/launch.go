// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/topic"
	"github.com/wasm-graph/graphd/engine/window"
)

// Artifacts finds what a graph is made of in one registry. It is safe for
// concurrent use.
type Artifacts interface {
	// Definition returns the graph definition of that reference.
	Definition(ctx context.Context, ref string) (Artifact, error)
	// Component returns the component of that reference.
	Component(ctx context.Context, ref string) (Artifact, error)
	// Resolve returns the digest that a reference stands for now, without fetching what
	// it stands for where that is possible. One that names its digest is not looked up.
	Resolve(ctx context.Context, ref string, kind ArtifactKind) (digest string, err error)
	// Prove says that a graph runs with the digest that a reference stood for. It is what
	// the reference had better stand for when the registry can't be asked.
	Prove(ref string, kind ArtifactKind, digest string)
}

// ArtifactKind says what a reference stands for.
type ArtifactKind uint8

// The kinds of artifacts.
const (
	DefinitionArtifact ArtifactKind = iota
	ComponentArtifact
)

// Artifact is what Artifacts finds.
type Artifact struct {
	Content []byte
	Digest  string // that Resolve returns for the reference until it stands for another
	// ContentDigest is that of Content: equal ones mean equal artifacts.
	ContentDigest string
}

// Binding is an endpoint as one node of a graph uses it.
type Binding struct {
	Client   string // names the node's session with the endpoint; never changes
	Group    string // names the node, in all instances of the graph
	Instance int    // the number of this one, from 0
	Sharing  Sharing
	Endpoint *resource.DataflowEndpoint
	CA       *resource.ConfigMap // of the authorities to trust; nil: those of the system
	Secret   *resource.Secret    // what the endpoint's authentication refers to; nil: nothing
	// Persistence asks the endpoint to keep on disk what it holds for the client.
	Persistence bool
	Logger      *slog.Logger
}

// Sharing says whether the instances of a graph divide what an endpoint has among them.
type Sharing uint8

// What instances may do.
const (
	NeverShared Sharing = iota // there is one instance, and always was
	Unshared                   // there is one instance, and were more: the session may still share
	Shared                     // there are several, in the group Binding.Group
)

// Drivers make the ends of graphs. What they make connects when it is run.
type Drivers interface {
	// Source returns what receives the messages on topics that match filters, or, from
	// Kafka, those in the topics.
	Source(b Binding, filters []string) (endpoint.Source, error)
	// Sink returns what publishes messages to topic or, where that is empty, to the
	// topic that each message has.
	Sink(b Binding, topic string) (endpoint.Sink, error)
}

// Compiler makes operators of components.
type Compiler interface {
	// Load compiles a component; name is for errors and logs.
	Load(ctx context.Context, name string, wasm []byte) (*processor.Module, error)
}

// LauncherConfig is what a Launcher needs. Fields without a default are required.
type LauncherConfig struct {
	// Artifacts opens what a RegistryEndpoint names, with the secrets and certificates
	// that it refers to in the set.
	Artifacts func(*resource.Set, *resource.RegistryEndpoint) (Artifacts, error)
	Drivers   Drivers
	Compiler  Compiler
	// Environment is what operators get; deadline and memory are set for each.
	Environment processor.Environment
	HLC         *hlc.Clock
	// Windows opens what keeps the open windows of a graph; what it keeps for that key
	// is the same each time, also after a crash. Default: they are kept in memory.
	Windows func(resource.Key) (window.Store, error)
	Meter   metric.Meter
	Logger  *slog.Logger
	// Events is told what happens to graphs, as Config.Events is.
	Events func(Event)
	// FetchTimeout bounds the fetching of all artifacts of a graph. Default 5 minutes.
	FetchTimeout time.Duration
}

// Launcher runs graphs. It is safe for concurrent use.
type Launcher struct {
	config  LauncherConfig
	modules modules
	metrics *metrics
}

// NewLauncher returns a Launcher.
func NewLauncher(config LauncherConfig) (*Launcher, error) {
	if config.FetchTimeout == 0 {
		config.FetchTimeout = 5 * time.Minute
	}
	if config.Events == nil {
		config.Events = func(Event) {}
	}
	m, err := newMetrics(config.Meter)
	if err != nil {
		return nil, fmt.Errorf("deploy: make metrics: %w", err)
	}
	return &Launcher{config: config, modules: modules{compiler: config.Compiler}, metrics: m}, nil
}

// Launch is Config.Launch: it fetches what the graph is made of, puts it together
// and runs it until ctx ends. When something else is wanted, or a tag is moved, it
// swaps what the graph does, while its ends stay connected. What can't take the place
// of what runs is refused, and the graph's health says why.
func (l *Launcher) Launch(ctx context.Context, want *Want, up func(probe func() engine.Health, graph *engine.Graph)) error {
	err := l.launch(ctx, want, up)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped before it was up, which is no failure
	}
	return err
}

func (l *Launcher) launch(ctx context.Context, want *Want, up func(probe func() engine.Health, graph *engine.Graph)) (err error) {
	done := want.attempt()
	b := l.bind(want)
	r := &running{launcher: l, want: want, bound: b, logger: b.logger}
	defer func() { err = errors.Join(err, r.close(context.WithoutCancel(ctx))) }()
	if r.current, err = l.prepare(ctx, b); err != nil {
		done()
		return err
	}
	r.tried = r.current.tags
	i := &measured{name: b.name(), of: b.graph, types: serviceTypes(b.set, b.graph)}
	ends, err := l.connect(b, i, r.current.options)
	if err != nil {
		return &Failure{ConfigurationFailed, err}
	}
	i.ends = ends
	windows, err := r.windowsFor(r.current)
	if err != nil {
		return err
	}
	p := r.current.plan
	r.graph, err = engine.New(engine.Config{
		Plan: p, Options: r.current.options, Openers: r.current.openers, Windows: windows,
		Sources: ends.sources, Sinks: ends.sinks, DeadLetter: ends.deadLetter,
		HLC: l.config.HLC, Logger: l.config.Logger,
		Settled: l.metrics.settled(i), Worked: l.metrics.worked(i),
	})
	if err != nil {
		return &Failure{ConfigurationFailed, err}
	}
	i.stats, r.measured = r.graph.Stats, i
	i.describe(r.current.parts.graphs)
	defer l.metrics.measure(i)()
	r.logger.Info("graph starts", "definitions", r.current.parts.digests())
	l.config.Events(Event{Graph: want.Key, Instance: want.Instance, Reason: EventStarted, Message: "put together, and connecting", Artifacts: r.current.tags.inUse()})
	done()
	up(r.health, r.graph)

	working, end := context.WithCancel(ctx)
	defer end()
	beside, stop := context.WithCancel(ctx)
	var companion sync.WaitGroup
	companion.Go(func() {
		r.follow(beside, func() {
			if !ends.retire() {
				end()
			}
		})
	})
	defer companion.Wait()
	defer stop()
	if err := r.graph.Run(working); err != nil {
		return b.failureOf(err)
	}
	return nil
}

// version is what a graph does, fetched, compiled and planned.
type version struct {
	identity string // equal ones do the same
	tags     tags
	parts    *parts
	options  plan.Options
	plan     *plan.Plan
	openers  []operator.Opener // by place in the plan
}

// prepare makes a version of what is wanted. It returns one to be released also where
// it fails.
func (l *Launcher) prepare(ctx context.Context, b *bound) (*version, error) {
	v := &version{parts: &parts{}}
	var err error
	var faults document.Problems
	if v.options, faults = b.options(); faults != nil {
		return v, &Failure{ConfigurationFailed, faults.Err()}
	}
	v.parts, err = l.fetch(ctx, b)
	v.tags = v.parts.tags
	if err != nil {
		return v, err
	}
	v.identity = shape(b.set, b.graph) + v.parts.contents()
	if v.plan, err = plan.Compose(b.composition(v.parts.graphs), v.options); err != nil {
		return v, &Failure{ConfigurationFailed, b.place(err)}
	}
	if fault := b.checkInstances(v.plan); fault != nil {
		return v, &Failure{ConfigurationFailed, fault}
	}
	if len(v.plan.Unused) > 0 {
		b.logger.Warn("configuration is used by no operation", "keys", v.plan.Unused)
	}
	v.openers = l.openers(v.plan, v.parts)
	return v, nil
}

// bound is a graph's resource with those it refers to, for one instance.
type bound struct {
	set      *resource.Set
	graph    *resource.DataflowGraph
	instance int
	sharing  Sharing
	logger   *slog.Logger
}

// bind looks up what is wanted now.
func (l *Launcher) bind(want *Want) *bound {
	set := want.Set()
	b := &bound{set: set, graph: set.Graphs[want.Key], instance: want.Instance, logger: l.config.Logger.With("graph", want.Key.String())}
	if want.Instance > 0 {
		b.logger = b.logger.With("instance", want.Instance)
	}
	switch {
	case set.Instances(b.graph) > 1 || want.Instance > 0:
		b.sharing = Shared
	case want.Grouped:
		b.sharing = Unshared
	}
	return b
}

// checkInstances refuses several instances of what holds messages: each would see some of
// those that belong together.
func (b *bound) checkInstances(p *plan.Plan) *document.Problem {
	count := b.set.Instances(b.graph)
	if count == 1 || !p.Timed {
		return nil
	}
	for _, n := range p.Nodes {
		if n.Kind == operator.Delay || n.Kind == operator.Accumulate {
			return &document.Problem{
				Severity: document.Error, File: b.graph.File, Position: b.graph.Place,
				Message: fmt.Sprintf("the profile %q asks for %d instances, and the operation %q of the kind %v would hold in each of them only some of the messages that belong together",
					b.graph.Profile, count, n.Operation, n.Kind),
				Hint: "give the graph a DataflowProfile with instanceCount: 1",
			}
		}
	}
	return nil
}

// doubtInstances warns of several instances of a graph that has an option about windows,
// which such a graph can't have. What it has is known only with its definitions.
func (b *bound) doubtInstances() *document.Problem {
	count := b.set.Instances(b.graph)
	for _, o := range b.graph.Options {
		switch o.Name {
		case "lateness", "late-policy", "max-delay", "max-stall", "durability", "on-swap":
			if count > 1 {
				return &document.Problem{
					Severity: document.Warning, File: b.graph.File, Position: o.Place,
					Message: fmt.Sprintf("annotation graphd.io/%s is about delays and accumulates, which a graph with several instances can't have, and the profile %q asks for %d",
						o.Name, b.graph.Profile, count),
					Hint: "take it out, or give the graph a DataflowProfile with instanceCount: 1",
				}
			}
		}
	}
	return nil
}

// name is what the graph is called in logs and metrics, unique among all: its own
// name, after its namespace where that isn't the usual one.
func (b *bound) name() string {
	if b.graph.Namespace == resource.DefaultNamespace {
		return b.graph.Name
	}
	return b.graph.Key.String()
}

// key names an object in the graph's namespace.
func (b *bound) key(name string) resource.Key {
	return resource.Key{Namespace: b.graph.Namespace, Name: name}
}

// options reads the options among the annotations, and returns what is wrong with them.
func (b *bound) options() (plan.Options, document.Problems) {
	var options plan.Options
	var problems document.Problems
	for _, o := range b.graph.Options {
		if err := options.Set(o.Name, o.Value); err != nil {
			p := &document.Problem{Severity: document.Error, File: b.graph.File, Position: o.Place, Message: err.Error()}
			if cause := errors.Unwrap(err); cause != nil {
				if want, ok := strings.CutPrefix(cause.Error(), "want "); ok {
					p.Message, p.Hint = fmt.Sprintf("annotation graphd.io/%s can't be %q", o.Name, o.Value), "write "+want
				}
			}
			problems = append(problems, p)
		}
	}
	return options, problems
}

// place gives an error about an option the place of its annotation.
func (b *bound) place(err error) error {
	var fault *plan.OptionError
	if !errors.As(err, &fault) {
		return err
	}
	for _, o := range b.graph.Options {
		if fault.Concerns(o.Name) {
			return &document.Problem{Severity: document.Error, File: b.graph.File, Position: o.Place, Message: err.Error()}
		}
	}
	return err
}

// CheckOptions returns what is wrong with the options of the set's graphs: what a
// Launcher would find only when it starts them.
func CheckOptions(set *resource.Set) document.Problems {
	var problems document.Problems
	for _, key := range set.GraphKeys() {
		b := &bound{set: set, graph: set.Graphs[key]}
		options, faults := b.options()
		problems = append(problems, faults...)
		if fault := b.checkDeadLetter(options.DeadLetter); fault != nil {
			problems = append(problems, fault)
		}
		if doubt := b.doubtInstances(); doubt != nil {
			problems = append(problems, doubt)
		}
	}
	problems.Sort()
	return problems
}

// checkDeadLetter returns what is wrong with where dead letters go, or nil.
func (b *bound) checkDeadLetter(where string) *document.Problem {
	name, topic, ok := strings.Cut(where, "/")
	if !ok {
		return nil
	}
	i := slices.IndexFunc(b.graph.Options, func(o resource.Option) bool { return o.Name == "dead-letter" })
	p := &document.Problem{Severity: document.Error, File: b.graph.File, Position: b.graph.Options[i].Place}
	if b.set.Endpoints[b.key(name)] == nil {
		var known []string
		for key := range b.set.Endpoints {
			if key.Namespace == b.graph.Namespace {
				known = append(known, key.Name)
			}
		}
		slices.Sort(known)
		p.Message = fmt.Sprintf("option dead-letter: there is no DataflowEndpoint %q in namespace %s", name, b.graph.Namespace)
		p.Hint = document.Suggest(name, known)
		return p
	}
	if err := b.comesBack(name, topic); err != nil {
		p.Message, p.Hint = "option dead-letter: "+err.Error(), "choose another topic"
		return p
	}
	return nil
}

// comesBack reports that a source of the graph would read what is published to a topic.
func (b *bound) comesBack(name, to string) error {
	for _, from := range b.graph.Sources {
		for _, filter := range from.Topics {
			if name == from.Endpoint && topic.Matches(filter, to) {
				return fmt.Errorf("the graph would read what it drops: its source's filter %q matches the topic %q", filter, to)
			}
		}
	}
	return nil
}

// composition is the graph with its definitions, which are in the order of its nodes.
func (b *bound) composition(graphs []fetched) plan.Composition {
	c := plan.Composition{Graph: b.name(), File: b.graph.File}
	for _, s := range b.graph.Sources {
		c.Sources = append(c.Sources, s.Name)
	}
	for i, n := range b.graph.Graphs {
		part := plan.Part{Name: n.Name, Definition: graphs[i].definition, Place: n.Place}
		for _, p := range n.Configuration {
			part.Settings = append(part.Settings, plan.Setting{Key: p.Key, Value: p.Value})
		}
		c.Parts = append(c.Parts, part)
	}
	for _, t := range b.graph.Destinations {
		c.Sinks = append(c.Sinks, t.Name)
	}
	for _, link := range b.graph.Connections {
		c.Links = append(c.Links, plan.Link{From: planPort(link.From), To: planPort(link.To)})
	}
	return c
}

func planPort(p resource.Port) plan.Port {
	return plan.Port{Name: p.Node, Operation: p.Operation, Place: p.Place}
}

// binding is an endpoint as the node of that name uses it.
func (b *bound) binding(endpoint, node string) (Binding, error) {
	e := b.set.Endpoints[b.key(endpoint)]
	if e == nil {
		return Binding{}, fmt.Errorf("there is no DataflowEndpoint %q in namespace %s", endpoint, b.graph.Namespace)
	}
	prefix := e.MQTT.ClientIDPrefix
	if prefix == "" {
		prefix = "graphd"
	}
	if ns := b.graph.Namespace; ns != resource.DefaultNamespace {
		prefix += "-" + ns
	}
	instance := ""
	if b.instance > 0 { // no name has an underscore, so no other graph's session is called so
		instance = fmt.Sprintf("_%d", b.instance)
	}
	binding := Binding{
		Client:      prefix + "-" + b.graph.Name + instance + "-" + node,
		Group:       prefix + "-" + b.graph.Name + "-" + node,
		Instance:    b.instance,
		Sharing:     b.sharing,
		Endpoint:    e,
		Persistence: b.graph.RequestPersistence,
		Logger:      b.logger.With("endpoint", endpoint, "node", node),
	}
	if name := e.TLS().TrustedCA; name != "" {
		if binding.CA = b.set.ConfigMaps[b.key(name)]; binding.CA == nil {
			return Binding{}, fmt.Errorf("there is no ConfigMap %q in namespace %s", name, b.graph.Namespace)
		}
	}
	if name := e.SecretRef(); name != "" {
		if binding.Secret = b.set.Secrets[b.key(name)]; binding.Secret == nil {
			return Binding{}, fmt.Errorf("there is no Secret %q in namespace %s", name, b.graph.Namespace)
		}
	}
	return binding, nil
}

// parts is what a graph is made of, fetched and compiled.
type parts struct {
	graphs   []fetched // by place in the resource's graph nodes
	tags     tags
	releases []func(context.Context) error
}

// fetched is a graph node's definition with its modules.
type fetched struct {
	definition *graph.Definition
	digest     string
	content    string                       // digest of all that it is made of
	modules    map[string]*processor.Module // by reference
}

// digests returns the digests of the definitions, for logs.
func (p *parts) digests() []string {
	var all []string
	for _, g := range p.graphs {
		all = append(all, g.digest)
	}
	return all
}

// contents identifies all that p has.
func (p *parts) contents() string {
	var b strings.Builder
	for _, g := range p.graphs {
		b.WriteString(g.content)
	}
	return b.String()
}

func (p *parts) release(ctx context.Context) error {
	var errs []error
	for _, release := range p.releases {
		errs = append(errs, release(ctx))
	}
	return errors.Join(errs...)
}

// fetch gets the definitions and their modules. Also where it fails the parts it
// returns are to be released.
func (l *Launcher) fetch(ctx context.Context, b *bound) (*parts, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.FetchTimeout)
	defer cancel()
	p := &parts{tags: tags{}}
	for _, node := range b.graph.Graphs {
		artifacts, err := l.artifacts(b, node.Registry)
		if err != nil {
			return p, &Failure{ConfigurationFailed, err}
		}
		g, err := l.fetchGraph(ctx, b, p, node, artifacts)
		if err != nil {
			return p, err
		}
		p.graphs = append(p.graphs, g)
	}
	return p, nil
}

// artifacts opens the registry endpoint of that name.
func (l *Launcher) artifacts(b *bound, name string) (Artifacts, error) {
	registry := b.set.Registries[b.key(name)]
	if registry == nil {
		return nil, fmt.Errorf("there is no RegistryEndpoint %q in namespace %s", name, b.graph.Namespace)
	}
	artifacts, err := l.config.Artifacts(b.set, registry)
	if err != nil {
		return nil, fmt.Errorf("registry endpoint %s: %w", registry.Key, err)
	}
	return artifacts, nil
}

// fetchGraph gets the definition of a node, and its modules, which p releases.
func (l *Launcher) fetchGraph(ctx context.Context, b *bound, p *parts, node resource.Graph, artifacts Artifacts) (fetched, error) {
	a, err := artifacts.Definition(ctx, node.Artifact)
	if err != nil {
		return fetched{}, &Failure{ModuleDownloadFailed, err}
	}
	p.tags[tag{node.Registry, node.Artifact, DefinitionArtifact}] = a.Digest
	definition, problems := graph.Parse(node.Artifact, a.Content)
	for _, w := range problems.Warnings() {
		b.logger.Warn(w.Error())
	}
	if err := problems.Err(); err != nil {
		return fetched{}, &Failure{ConfigurationFailed, err}
	}
	g := fetched{definition: definition, digest: a.Digest, content: a.ContentDigest, modules: map[string]*processor.Module{}}
	refs := definition.Modules()
	components := make([]Artifact, len(refs))
	releases := make([]func(context.Context) error, len(refs))
	modules, errs := processor.LoadAll(len(refs), func(n int) (*processor.Module, error) {
		a, err := artifacts.Component(ctx, refs[n])
		if err != nil {
			return nil, &Failure{ModuleDownloadFailed, err}
		}
		components[n] = Artifact{Digest: a.Digest, ContentDigest: a.ContentDigest}
		m, release, err := l.modules.get(ctx, refs[n], a.ContentDigest, a.Content)
		if err != nil {
			return nil, &Failure{InstantiationFailed, err}
		}
		releases[n] = release
		return m, nil
	})
	for n, release := range releases {
		if release != nil {
			p.releases = append(p.releases, release)
		}
		g.modules[refs[n]] = modules[n]
		if c := components[n]; c.Digest != "" {
			p.tags[tag{node.Registry, refs[n], ComponentArtifact}] = c.Digest
			g.content += " " + c.ContentDigest
		}
	}
	for _, err := range errs {
		if err != nil {
			return fetched{}, err
		}
	}
	problems = definition.CheckModules(func(ref string) ([]graph.Kind, error) {
		var kinds []graph.Kind
		for _, k := range g.modules[ref].Kinds() {
			kinds = append(kinds, graph.Kind(k))
		}
		return kinds, nil
	})
	if err := problems.Err(); err != nil {
		return fetched{}, &Failure{ConfigurationFailed, err}
	}
	return g, nil
}

// openers returns what opens the operators, by place in the plan.
func (l *Launcher) openers(p *plan.Plan, parts *parts) []operator.Opener {
	openers := make([]operator.Opener, len(p.Nodes))
	for i, n := range p.Nodes {
		if n.Module == "" {
			continue
		}
		env := l.config.Environment
		env.Deadline, env.Memory, env.Allow = n.Limits.Deadline, n.Limits.Memory, n.Allow
		openers[i] = parts.graphs[n.Part].modules[n.Module].Opener(n.Config, env)
	}
	return openers
}

// ends are what a graph is connected to, by place in the resource's nodes, which is
// that in the plan.
type ends struct {
	sources    []endpoint.Source
	sinks      []endpoint.Sink
	deadLetter endpoint.Sink // nil: none
}

// retire has the sources come to their end. It returns false where one of them can't,
// and leaves nothing that others would miss.
func (e *ends) retire() bool {
	all := true
	for _, s := range e.sources {
		if r, ok := s.(endpoint.Retirer); ok {
			r.Retire()
		} else {
			all = false
		}
	}
	return all
}

// connect makes the graph's ends.
func (l *Launcher) connect(b *bound, i *measured, options plan.Options) (*ends, error) {
	var e ends
	for _, from := range b.graph.Sources {
		binding, err := b.binding(from.Endpoint, from.Name)
		if err != nil {
			return nil, err
		}
		source, err := l.config.Drivers.Source(binding, from.Topics)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", from.Name, err)
		}
		e.sources = append(e.sources, source)
	}
	for _, to := range b.graph.Destinations {
		binding, err := b.binding(to.Endpoint, to.Name)
		if err != nil {
			return nil, err
		}
		sink, err := l.config.Drivers.Sink(binding, to.Topic)
		if err != nil {
			return nil, fmt.Errorf("destination %s: %w", to.Name, err)
		}
		e.sinks = append(e.sinks, &timedSink{Sink: withHeaders(sink, to.Headers), sent: l.metrics.sent(i, to.Name)})
	}
	if options.DeadLetter != "" {
		var err error
		if e.deadLetter, err = l.deadLetter(b, options.DeadLetter); err != nil {
			return nil, fmt.Errorf("option dead-letter: %w", err)
		}
	}
	return &e, nil
}

// deadLetter makes the sink for dropped messages of "<endpoint>/<topic>".
func (l *Launcher) deadLetter(b *bound, where string) (endpoint.Sink, error) {
	name, topic, _ := strings.Cut(where, "/")
	if err := b.comesBack(name, topic); err != nil {
		return nil, err
	}
	binding, err := b.binding(name, "dead-letter")
	if err != nil {
		return nil, err
	}
	return l.config.Drivers.Sink(binding, topic)
}
