// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/window"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
	"github.com/wasm-graph/graphd/operators/build"
)

// shelf is Artifacts of what a test puts there, by reference.
type shelf struct {
	mu     sync.Mutex
	things map[string]string
	gone   bool              // nobody can be asked
	asked  int               // how often a reference was resolved
	proven map[string]string // digests, by reference
}

func (s *shelf) put(ref, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.things[ref] = content
}

// close makes the shelf one that can't be asked, or again one that can.
func (s *shelf) close(gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = gone
}

// questions returns how often a reference was resolved.
func (s *shelf) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *shelf) change(f func(map[string]string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.things)
}

func (s *shelf) get(ref string) (deploy.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.things[ref]
	if !ok || s.gone {
		return deploy.Artifact{}, fmt.Errorf("there is no %s on the shelf", ref)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	return deploy.Artifact{Content: []byte(content), Digest: "manifest of " + sum, ContentDigest: sum}, nil
}

func (s *shelf) Definition(_ context.Context, ref string) (deploy.Artifact, error) { return s.get(ref) }

func (s *shelf) Component(_ context.Context, ref string) (deploy.Artifact, error) { return s.get(ref) }

func (s *shelf) Prove(ref string, _ deploy.ArtifactKind, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proven == nil {
		s.proven = map[string]string{}
	}
	s.proven[ref] = digest
}

// isProven reports whether content is what ref was proven with last.
func (s *shelf) isProven(ref, content string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven[ref] == fmt.Sprintf("manifest of %x", sha256.Sum256([]byte(content)))
}

func (s *shelf) Resolve(_ context.Context, ref string, _ deploy.ArtifactKind) (string, error) {
	a, err := s.get(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return a.Digest, err
}

// compiler counts what it compiles.
type compiler struct {
	runtime *component.Runtime
	gate    chan struct{} // nothing is compiled before it is closed; nil: at once
	mu      sync.Mutex
	loaded  int
}

// count returns how much was compiled.
func (c *compiler) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded
}

func (c *compiler) Load(ctx context.Context, name string, wasm []byte) (*processor.Module, error) {
	c.mu.Lock()
	c.loaded++
	c.mu.Unlock()
	if c.gate != nil {
		<-c.gate
	}
	return processor.Load(ctx, c.runtime, name, wasm)
}

// drivers makes endpoints in memory, and notes how they were asked for.
type drivers struct {
	mu      sync.Mutex
	source  *memory.Source
	bound   []string // "client topic"
	results chan *message.Message
	failure error
	refused struct{ source, sink error } // what they end with, if anything
	broker  *moody                       // whether sinks are connected; nil: they are
	counted *endpoint.Traffic            // what sources have counted; nil: they don't
}

// moody is a broker that is there or not, and may say why.
type moody struct {
	up      atomic.Bool
	trouble atomic.Pointer[error]
}

// moodySink is a sink to such a broker.
type moodySink struct {
	endpoint.Sink
	broker *moody
}

func (s moodySink) Connected() bool { return s.broker.up.Load() }

func (s moodySink) Trouble() error {
	if err := s.broker.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// refusing is an end whose peer refuses it.
type refusing struct{ err error }

func (r refusing) Run(context.Context, func(endpoint.Delivery), <-chan struct{}) error { return r.err }
func (refusing) Connected() bool                                                       { return false }

type refusingSink struct {
	endpoint.Sink
	err error
}

func (r refusingSink) Run(context.Context) error { return r.err }

func (d *drivers) note(b deploy.Binding, topic string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ca := ""
	if b.CA != nil {
		ca = " " + b.CA.Name
	}
	if b.Secret != nil {
		ca += " " + b.Secret.Name
	}
	if b.Persistence {
		ca += " persistent"
	}
	d.bound = append(d.bound, b.Client+" "+topic+ca)
	return d.failure
}

func (d *drivers) Source(b deploy.Binding, filters []string) (endpoint.Source, error) {
	if err := d.refused.source; err != nil {
		return refusing{err}, nil
	}
	var source endpoint.Source = d.source
	if d.counted != nil {
		source = counting{d.source, *d.counted}
	}
	return source, d.note(b, strings.Join(filters, ","))
}

func (d *drivers) Sink(b deploy.Binding, topic string) (endpoint.Sink, error) {
	if err := d.refused.sink; err != nil {
		return refusingSink{memory.NewSink(nil), err}, nil
	}
	var sink endpoint.Sink = memory.NewSink(func(m *message.Message) error {
		m.Topic = topic
		d.results <- m
		return nil
	})
	if d.broker != nil {
		sink = moodySink{sink, d.broker}
	}
	return sink, d.note(b, topic)
}

// bench is a Launcher with its surroundings.
type bench struct {
	*deploy.Launcher
	shelf    *shelf
	compiler *compiler
	drivers  *drivers
	metrics  *sdkmetric.ManualReader
	windows  func(resource.Key) (window.Store, error)

	telling sync.Mutex
	told    []deploy.Event // guarded by telling
}

// event is LauncherConfig.Events.
func (b *bench) event(e deploy.Event) {
	b.telling.Lock()
	defer b.telling.Unlock()
	b.told = append(b.told, e)
}

// temperature is the Go operator, built once.
var temperature = sync.OnceValues(func() (string, error) {
	c, err := build.Operator(context.Background(), "../../operators/temperature")
	if err != nil {
		return "", err
	}
	return string(c.Bytes), nil
})

func newBench(t *testing.T) *bench {
	t.Helper()
	definition, err := os.ReadFile("../../graphs/simple.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := temperature()
	if err != nil {
		t.Fatal(err)
	}
	// The cache makes all but the first test that compiles the component fast.
	kept, err := cache.Open(cacheDir, cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	core, err := wazero.New(t.Context(), wazero.Config{Cache: kept})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	runtime, err := component.New(component.Config{Engine: core, Cache: kept})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		shelf: &shelf{things: map[string]string{
			"simple:1": string(definition),
			"azure-samples/explore-iot-operations/temperature:1.0.0": wasm,
		}},
		compiler: &compiler{runtime: runtime},
		drivers:  &drivers{source: memory.NewSource(0), results: make(chan *message.Message, 16)},
		metrics:  sdkmetric.NewManualReader(),
		windows: func(resource.Key) (window.Store, error) {
			return nil, errors.New("opened windows for a graph that has none")
		},
	}
	b.Launcher, err = deploy.NewLauncher(deploy.LauncherConfig{
		Artifacts: func(set *resource.Set, r *resource.RegistryEndpoint) (deploy.Artifacts, error) {
			if r.Host == "closed" {
				return nil, errors.New("the shelf is closed")
			}
			if r.Host == "guarded" {
				return nil, fmt.Errorf("opened with %s", set.Secrets[resource.Key{Namespace: r.Namespace, Name: r.PullSecret}].Data[resource.DockerConfigKey])
			}
			return b.shelf, nil
		},
		Events:   b.event,
		Drivers:  b.drivers,
		Compiler: b.compiler,
		Windows:  func(key resource.Key) (window.Store, error) { return b.windows(key) },
		HLC:      hlc.NewClock(hlc.Config{Node: "test", Now: time.Now}),
		Meter:    sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.metrics)).Meter("test"),
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cacheDir is where compiled code is kept while the tests run.
var cacheDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "deploy-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		cacheDir = dir
		return m.Run()
	}())
}

// measured returns the sums that are measured, by name.
func (b *bench) measured(t *testing.T) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := b.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					sums[m.Name] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					sums[m.Name] += int64(p.Count)
				}
			}
		}
	}
	return sums
}

// fresh makes what blocks anew, for a test in a bubble.
func (b *bench) fresh() {
	b.drivers.source, b.drivers.results = memory.NewSource(0), make(chan *message.Message, 16)
}

// launch runs a graph until stop is called, which returns what Launch returned.
func (b *bench) launch(t *testing.T, s *resource.Set, graph resource.Key) (probe func() engine.Health, stop func() error) {
	t.Helper()
	return b.launchWant(t, deploy.NewWant(graph, s))
}

func (b *bench) launchWant(t *testing.T, want *deploy.Want) (probe func() engine.Health, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	up, ended := make(chan func() engine.Health, 1), make(chan error, 1)
	go func() {
		ended <- b.Launch(ctx, want, func(probe func() engine.Health, _ *engine.Graph) { up <- probe })
	}()
	select {
	case probe = <-up:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	return probe, func() error {
		cancel()
		return <-ended
	}
}

func TestLaunch(t *testing.T) {
	b := newBench(t)
	s := set(t, broker, strings.Replace(text("g", "simple:1", ""), "metadata: {name: g}",
		"metadata: {name: g, annotations: {graphd.io/dead-letter: broker/dead, graphd.io/deadline: 5s}}", 1))
	probe, stop := b.launch(t, s, key("g"))
	for _, payload := range []string{`{"temperature":{"value":100.0,"unit":"F"}}`, `broken`} {
		if err := b.drivers.source.Publish(&message.Message{Topic: "g/in", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	if m := <-b.drivers.results; m.Topic != "g/out" || !strings.HasPrefix(string(m.Payload), `{"temperature":{"value":37.77777777777778,`) {
		t.Errorf("result is %s %s", m.Topic, m.Payload)
	}
	if m := <-b.drivers.results; m.Topic != "dead" || string(m.Payload) != "broken" {
		t.Errorf("dead letter is %s %s", m.Topic, m.Payload)
	}
	if err := b.drivers.source.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := probe(); h.State != engine.Available {
		t.Errorf("health is %v", h)
	}
	got := b.measured(t)
	for name, want := range map[string]int64{
		"aio_dataflow_messages_received":                  2,
		"aio_dataflow_messages_sent":                      1,
		"aio_dataflow_messages_dropped_processing_errors": 1,
		"graphd_messages_dead_letters":                    1,
		"aio_dataflow_processing_latency":                 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Launch: %v", err)
	}
	if _, still := b.measured(t)["aio_dataflow_messages_received"]; still {
		t.Error("the graph is measured after its end")
	}
	slices.Sort(b.drivers.bound)
	if want := []string{"graphd-g-d g/out ca", "graphd-g-dead-letter dead ca", "graphd-g-s g/in ca"}; !slices.Equal(b.drivers.bound, want) {
		t.Errorf("endpoints were bound as %q, want %q", b.drivers.bound, want)
	}
}

// TestHeaders: a destination's header actions, one after another.
func TestHeaders(t *testing.T) {
	b := newBench(t)
	definition := strings.Replace(text("g", "simple:1", ""), "dataDestination: g/out}", `dataDestination: g/out, headers: [
    {actionType: AddIfNotPresent, key: site, value: plant 1},
    {actionType: AddIfNotPresent, key: unit, value: none},
    {actionType: AddOrReplace, key: twice, value: once},
    {actionType: AddOrReplace, key: new, value: there},
    {actionType: Remove, key: secret},
    {actionType: Remove, key: nothing}]}`, 1)
	_, stop := b.launch(t, set(t, broker, definition), key("g"))
	if err := b.drivers.source.Publish(&message.Message{Payload: []byte(`{"humidity":{"value":50.0}}`), Properties: []message.Property{
		{Key: "secret", Value: "1"}, {Key: "unit", Value: "C"}, {Key: "twice", Value: "1"}, {Key: "secret", Value: "2"}, {Key: "twice", Value: "2"},
		{Key: "__ts", Value: "1700000000000:0:df"},
	}}); err != nil {
		t.Fatal(err)
	}
	got := (<-b.drivers.results).Properties
	if err := stop(); err != nil {
		t.Error(err)
	}
	want := []message.Property{
		{Key: "unit", Value: "C"}, {Key: "twice", Value: "once"}, {Key: "__ts", Value: "001700000000000:00000:df"}, {Key: "site", Value: "plant 1"}, {Key: "new", Value: "there"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

// TestNamespaces runs two graphs of one name: their sessions must not be the same.
func TestNamespaces(t *testing.T) {
	b := newBench(t)
	docs := broker + text("g", "simple:1", "")
	s := set(t, docs, strings.ReplaceAll(docs, "metadata: {", "metadata: {namespace: line-2, "))
	_, stopA := b.launch(t, s, key("g"))
	b.drivers.source = memory.NewSource(0)
	_, stopB := b.launch(t, s, resource.Key{Namespace: "line-2", Name: "g"})
	var all metricdata.ResourceMetrics
	if err := b.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	labels := map[string]bool{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if data, ok := m.Data.(metricdata.Sum[int64]); ok {
			for _, p := range data.DataPoints {
				id, _ := p.Attributes.Value("dataflow_id")
				labels[id.AsString()] = true
			}
		}
	}
	if !labels["g"] || !labels["line-2/g"] || len(labels) != 2 {
		t.Errorf("measured as %v", labels)
	}
	if err := errors.Join(stopA(), stopB()); err != nil {
		t.Error(err)
	}
	slices.Sort(b.drivers.bound)
	want := []string{"graphd-g-d g/out ca", "graphd-g-s g/in ca", "graphd-line-2-g-d g/out ca", "graphd-line-2-g-s g/in ca"}
	if !slices.Equal(b.drivers.bound, want) {
		t.Errorf("endpoints were bound as %q, want %q", b.drivers.bound, want)
	}
}

func TestEqualComponentsAreCompiledOnce(t *testing.T) {
	b := newBench(t)
	s := set(t, broker, text("a", "simple:1", ""), text("b", "simple:1", ""))
	_, stopA := b.launch(t, s, key("a"))
	b.drivers.source = memory.NewSource(0)
	_, stopB := b.launch(t, s, key("b"))
	if b.compiler.loaded != 1 {
		t.Errorf("compiled %d times while in use, want 1", b.compiler.loaded)
	}
	if err := errors.Join(stopA(), stopB()); err != nil {
		t.Error(err)
	}
	b.drivers.source = memory.NewSource(0)
	_, stop := b.launch(t, s, key("a"))
	if err := stop(); err != nil {
		t.Error(err)
	}
	if b.compiler.loaded != 2 {
		t.Errorf("compiled %d times, want 2: what nobody uses is freed", b.compiler.loaded)
	}
}

// What an operation is allowed is opened with its operator.
func TestLaunchAllows(t *testing.T) {
	allowing := func(what string) error {
		definition := strings.Replace(text("g", "simple:1", ""), "{name: g}", "{name: g, annotations: {graphd.io/operation.module-temperature.map.allow: '"+what+"'}}", 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return newBench(t).Launch(ctx, deploy.NewWant(key("g"), set(t, broker, definition)), func(func() engine.Health, *engine.Graph) { cancel() })
	}
	if err := allowing("dir:/nowhere/at/all"); err == nil || !strings.Contains(err.Error(), "allow directory: open /nowhere/at/all: ") {
		t.Errorf("Launch with a directory that is not there: %v", err)
	}
}

func TestLaunchFails(t *testing.T) {
	const module = "azure-samples/explore-iot-operations/temperature:1.0.0"
	for _, tt := range []struct {
		name     string
		resource func(text string) string
		shelf    func(map[string]string)
		drivers  error
		reason   deploy.Reason
		want     string
	}{
		{"no definition", nil, func(s map[string]string) { delete(s, "simple:1") }, nil, deploy.ModuleDownloadFailed, "there is no simple:1 on the shelf"},
		{"faulty definition", nil, func(s map[string]string) { s["simple:1"] = "operations: 1\n" }, nil, deploy.ConfigurationFailed, "simple:1:1:1: property metadata is missing"},
		{"no component", nil, func(s map[string]string) { delete(s, module) }, nil, deploy.ModuleDownloadFailed, "there is no " + module},
		{"no WebAssembly", nil, func(s map[string]string) { s[module] = "text" }, nil, deploy.InstantiationFailed, module},
		{"truncated component", nil, func(s map[string]string) { s[module] = s[module][:100_000] }, nil, deploy.InstantiationFailed, module},
		{"operator of another kind", nil, func(s map[string]string) {
			s["simple:1"] = strings.Replace(s["simple:1"], `operationType: "map"`, `operationType: "delay"`, 1)
		}, nil, deploy.ConfigurationFailed, "delay"},
		{"two sources", nil, func(s map[string]string) {
			s["simple:1"] = strings.NewReplacer("operations:", "operations:\n  - {operationType: source, name: more}",
				"connections:", "connections:\n  - {from: {name: more}, to: {name: sink}}").Replace(s["simple:1"])
		}, nil, deploy.ConfigurationFailed, `f.yaml:22:34: the graph "g" has 2 operations of type source; write one of g.more, g.source`},
		{"option of an unknown operation", func(text string) string {
			return strings.Replace(text, "{name: g}", "{name: g, annotations: {graphd.io/operation.filter.deadline: 1s}}", 1)
		}, nil, nil, deploy.ConfigurationFailed, "f.yaml:14:35: plan: option operation.filter: "},
		{"unknown option", func(text string) string {
			return strings.Replace(text, "{name: g}", "{name: g, annotations: {graphd.io/deadline: soon}}", 1)
		}, nil, nil, deploy.ConfigurationFailed, "f.yaml:14:35: annotation graphd.io/deadline can't be"},
		{"dead letters that come back", func(text string) string {
			return strings.Replace(text, "{name: g}", "{name: g, annotations: {graphd.io/dead-letter: broker/g/in}}", 1)
		}, nil, nil, deploy.ConfigurationFailed, "the graph would read what it drops"},
		{"dead letters to nowhere", func(text string) string {
			return strings.Replace(text, "{name: g}", "{name: g, annotations: {graphd.io/dead-letter: nobody/dead}}", 1)
		}, nil, nil, deploy.ConfigurationFailed, `there is no DataflowEndpoint "nobody"`},
		{"closed registry", func(text string) string {
			return text + "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: default}\nspec: {host: closed, authentication: {method: Anonymous}}\n"
		}, nil, nil, deploy.ConfigurationFailed, "the shelf is closed"},
		{"registry with a pull secret", func(text string) string {
			return text + "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: default}\nspec: {host: guarded, authentication: {method: ArtifactPullSecret, artifactPullSecretSettings: {secretRef: pull}}}\n" +
				"---\napiVersion: v1\nkind: Secret\nmetadata: {name: pull}\nstringData: {.dockerconfigjson: the secret}\n"
		}, nil, nil, deploy.ConfigurationFailed, "opened with the secret"},
		{"endpoint that can't be made", nil, nil, errors.New("no such certificate"), deploy.ConfigurationFailed, "source s: no such certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.shelf != nil {
				b.shelf.change(tt.shelf)
			}
			b.drivers.failure = tt.drivers
			definition := text("g", "simple:1", "")
			if tt.resource != nil {
				definition = tt.resource(definition)
			}
			err := b.Launch(t.Context(), deploy.NewWant(key("g"), set(t, broker, definition)), func(func() engine.Health, *engine.Graph) {
				t.Error("the graph came up")
			})
			var failure *deploy.Failure
			if !errors.As(err, &failure) || failure.Reason != tt.reason || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Launch: %v (%+v)\nwant %s: %s", err, failure, tt.reason, tt.want)
			}
		})
	}
}

// TestRefusedByTheBroker: a broker that refuses us has reasons of its own.
func TestRefusedByTheBroker(t *testing.T) {
	denied := errors.New("bad user name or password")
	for _, tt := range []struct {
		source, sink error
		reason       deploy.Reason
		want         string
	}{
		{denied, nil, deploy.MQTTSourceConnectionFailed, `source "s": bad user name`},
		{fmt.Errorf("%w: %w", endpoint.ErrSubscription, denied), nil, deploy.MQTTSourceSubscriptionFailed, `source "s": subscription refused: bad`},
		{nil, denied, deploy.MQTTTargetConnectionFailed, `sink "d": bad user name`},
		{denied, nil, deploy.KafkaSourceConnectionFailed, `source "s": bad user name`},
		{nil, denied, deploy.KafkaTargetConnectionFailed, `sink "d": bad user name`},
		{nil, &net.OpError{Op: "remote error", Err: tls.AlertError(42)}, deploy.KafkaTargetConnectionFailed, `sink "d": remote error`},
		{nil, fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), deploy.KafkaTargetUnreachable, `sink "d": dial`},
		{nil, &net.DNSError{Name: "nowhere"}, deploy.KafkaTargetUnreachable, `sink "d": lookup nowhere`},
		{nil, fmt.Errorf("ask: %w", context.DeadlineExceeded), deploy.KafkaTargetUnreachable, `sink "d": ask`},
		{nil, fmt.Errorf("%w: no topic", endpoint.ErrConfiguration), deploy.KafkaTargetConfiguration, `sink "d": no such place`},
		{nil, fmt.Errorf("%w: corrupt", endpoint.ErrSend), deploy.KafkaTargetSendFailed, `sink "d": sending failed`},
	} {
		b := newBench(t)
		b.drivers.refused.source, b.drivers.refused.sink = tt.source, tt.sink
		ends, graph := broker, text("g", "simple:1", "")
		if strings.Contains(string(tt.reason), "Kafka") {
			ends = strings.NewReplacer("Mqtt", "Kafka", "mqttSettings: {", "kafkaSettings: {consumerGroupId: g, ").Replace(broker)
			graph = strings.NewReplacer("g/in", "in", "g/out", "out").Replace(graph)
		}
		err := b.Launch(t.Context(), deploy.NewWant(key("g"), set(t, ends, graph)), func(func() engine.Health, *engine.Graph) {})
		var failure *deploy.Failure
		if !errors.As(err, &failure) || failure.Reason != tt.reason || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Launch = %v; want %s %s", err, tt.reason, tt.want)
		}
	}
}

func TestCheckOptions(t *testing.T) {
	for option, want := range map[string]string{
		"lateness: 1s":                 "",
		"dead-letter: broker/dead":     "",
		"lateness: soon":               "f.yaml:14:35: ",
		"dead-letter: brokr/dead":      `f.yaml:14:35: option dead-letter: there is no DataflowEndpoint "brokr" in namespace azure-iot-operations; did you mean broker?`,
		"dead-letter: broker/g/in":     "f.yaml:14:35: option dead-letter: the graph would read what it drops",
		"operation.g.parallelism: '0'": "f.yaml:14:35: ",
	} {
		s := set(t, broker, strings.Replace(text("g", "simple:1", ""), "{name: g}", "{name: g, annotations: {graphd.io/"+option+"}}", 1))
		got := ""
		if err := deploy.CheckOptions(s).Err(); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", option, got, want)
		}
	}
}

// keptStore notes that it is closed.
type keptStore struct {
	windowmemory.Store
	closed int
}

func (s *keptStore) Close() error {
	s.closed++
	return nil
}

// TestWindows checks that the windows of a graph are kept under its key, unless it is
// told to do without.
func TestWindows(t *testing.T) {
	b := newBench(t)
	c, err := build.Operator(t.Context(), "../../operators/window")
	if err != nil {
		t.Fatal(err)
	}
	b.shelf.put("window:1", string(c.Bytes))
	b.shelf.put("windows:1", `metadata: {$schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json", name: windows, version: "1.0.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations:
  - {operationType: source, name: source}
  - {operationType: delay, name: window/delay, module: "window:1"}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: source}, to: {name: window/delay}}
  - {from: {name: window/delay}, to: {name: sink}}
`)
	store := &keptStore{}
	b.windows = func(k resource.Key) (window.Store, error) {
		if k != key("g") {
			t.Errorf("opened windows for %v", k)
		}
		return store, nil
	}
	_, stop := b.launch(t, set(t, broker, text("g", "windows:1", "")), key("g"))
	if err := b.drivers.source.Publish(&message.Message{Payload: []byte("held")}); err != nil {
		t.Fatal(err)
	}
	if err := b.drivers.source.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if store.Len() == 0 || store.closed != 1 {
		t.Errorf("the store has %d records, and was closed %d times", store.Len(), store.closed)
	}

	b.windows = func(resource.Key) (window.Store, error) { return nil, errors.New("no such disk") }
	if err := b.Launch(t.Context(), deploy.NewWant(key("g"), set(t, broker, text("g", "windows:1", ""))), nil); err == nil || !strings.Contains(err.Error(), "no such disk") {
		t.Errorf("Launch = %v, want the error of the store", err)
	}
	parallel := strings.Replace(text("g", "windows:1", ""), "metadata: {name: g}", "metadata: {name: g, annotations: {graphd.io/operation.window.delay.parallelism: '2'}}", 1)
	if err := b.Launch(t.Context(), deploy.NewWant(key("g"), set(t, broker, parallel)), nil); err == nil || !strings.Contains(err.Error(), `f.yaml:14:35: plan: option operation.window.delay.parallelism: operation "g/window/delay" is of the kind delay`) {
		t.Errorf("Launch = %v, want the place of the option that makes a delay parallel", err)
	}
	without := strings.Replace(text("g", "windows:1", ""), "metadata: {name: g}", "metadata: {name: g, annotations: {graphd.io/durability: none}}", 1)
	_, stop = b.launch(t, set(t, broker, without), key("g"))
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestBinding: what the ends of a graph are told beside the endpoint.
func TestBinding(t *testing.T) {
	b := newBench(t)
	s := set(t, strings.Replace(broker, "{method: Anonymous}", "{method: X509Certificate, x509CertificateSettings: {secretRef: device}}", 1),
		strings.Replace(text("g", "simple:1", ""), "spec:", "spec:\n  requestDiskPersistence: Enabled", 1),
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: device}\nstringData: {client_cert.pem: c, client_key.pem: k}\n")
	_, stop := b.launch(t, s, key("g"))
	if err := stop(); err != nil {
		t.Error(err)
	}
	slices.Sort(b.drivers.bound)
	if want := []string{"graphd-g-d g/out ca device persistent", "graphd-g-s g/in ca device persistent"}; !slices.Equal(b.drivers.bound, want) {
		t.Errorf("endpoints were bound as %q, want %q", b.drivers.bound, want)
	}
}
