// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

// text is a DataflowGraph of that name.
func text(name, artifact, more string) string {
	return fmt.Sprintf(`---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {name: %[1]s}
spec:
  %[3]s
  nodes:
  - {name: s, nodeType: Source, sourceSettings: {endpointRef: broker, dataSources: [%[1]s/in]}}
  - {name: g, nodeType: Graph, graphSettings: {registryEndpointRef: default, artifact: "%[2]s"}}
  - {name: d, nodeType: Destination, destinationSettings: {endpointRef: broker, dataDestination: %[1]s/out}}
  nodeConnections:
  - {from: {name: s}, to: {name: g}}
  - {from: {name: g}, to: {name: d}}
`, name, artifact, more)
}

const broker = `---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker}
spec: {endpointType: Mqtt, mqttSettings: {host: "b:1883", authentication: {method: Anonymous}, tls: {trustedCaCertificateConfigMapRef: ca}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {ca.crt: one}
`

func set(t *testing.T, texts ...string) *resource.Set {
	t.Helper()
	s, problems := resource.Parse("f.yaml", []byte(strings.Join(texts, "")))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func key(name string) resource.Key {
	return resource.Key{Namespace: resource.DefaultNamespace, Name: name}
}

// stage launches graphs that do nothing, and notes what happens to them.
type stage struct {
	mu     sync.Mutex
	events []string
	told   []deploy.Event    // to who is interested
	fail   map[string]error  // by graph: what the next launches return at once
	ill    map[string]string // by graph: why it is degraded
	asked  int               // how often graphs were asked how they are
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

// take returns what happened since the last time, in alphabetical order.
func (s *stage) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	slices.Sort(events)
	return events
}

func (s *stage) setFailure(graph string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[graph] = err
}

func (s *stage) launch(ctx context.Context, want *deploy.Want, up func(func() engine.Health, *engine.Graph)) error {
	key, name := want.Key, want.Key.Name
	if want.Instance > 0 {
		name += fmt.Sprint("#", want.Instance)
	}
	s.mu.Lock()
	err := s.fail[name]
	s.mu.Unlock()
	if err != nil {
		s.note("%s fails", name)
		return err
	}
	s.note("%s runs %s", name, want.Set().Graphs[key].Graphs[0].Artifact)
	up(func() engine.Health {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if reason := s.ill[name]; reason != "" {
			return engine.Health{State: engine.Degraded, Reason: reason}
		}
		return engine.Health{State: engine.Available}
	}, nil)
	for {
		select {
		case <-want.Changed():
			s.note("%s becomes %s", name, want.Set().Graphs[key].Graphs[0].Artifact)
		case <-want.Retired():
			s.note("%s retires", name)
			select {
			case <-time.After(time.Minute): // it finishes
				s.note("%s has retired", name)
			case <-ctx.Done():
				s.note("%s drained early", name)
			}
			return nil
		case <-ctx.Done():
			time.Sleep(2 * time.Second) // it drains
			s.note("%s drained", name)
			return nil
		}
	}
}

// start runs a Deployment until the test ends.
func start(t *testing.T) (*stage, *deploy.Deployment, chan<- *resource.Set, context.CancelFunc) {
	return startWith(t, nil)
}

// startWith runs a Deployment that remembers how many instances there were.
func startWith(t *testing.T, counts deploy.Counts) (*stage, *deploy.Deployment, chan<- *resource.Set, context.CancelFunc) {
	s := &stage{fail: map[string]error{}, ill: map[string]string{}}
	d := deploy.New(deploy.Config{Launch: s.launch, Counts: counts, Events: func(e deploy.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, e)
	}})
	wanted := make(chan *resource.Set)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx, wanted)
	}()
	return s, d, wanted, func() {
		cancel()
		<-ended
	}
}

// status returns the status of one resource.
func status(t *testing.T, d *deploy.Deployment, kind, name string) deploy.Status {
	t.Helper()
	for _, s := range d.Status() {
		if s.Kind == kind && s.Key == key(name) {
			return s
		}
	}
	t.Errorf("there is no status of %s %s", kind, name)
	return deploy.Status{}
}

func (s *stage) want(t *testing.T, events ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(events, s.take()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestWhatRunsIsWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, wanted, stop := start(t)
		if err := d.Ready(); err == nil {
			t.Error("ready before anything is wanted")
		}
		a, b := text("a", "simple:1", ""), text("b", "simple:1", "")
		wanted <- set(t, broker, a, b)
		s.want(t, "a runs simple:1", "b runs simple:1")

		// The same, declared elsewhere and with a graph more: what runs goes on.
		wanted <- set(t, "# a comment\n", b, a, broker, text("c", "simple:1", ""))
		s.want(t, "c runs simple:1")

		wanted <- set(t, broker, a, text("b", "simple:2", ""), text("c", "simple:1", "mode: Disabled"))
		time.Sleep(time.Minute)
		s.want(t, "b becomes simple:2", "c drained")
		for name, want := range map[string]engine.State{"a": engine.Available, "b": engine.Available, "c": engine.Unknown} {
			if got := status(t, d, "DataflowGraph", name).Health.State; got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}

		if err := d.Ready(); err != nil {
			t.Errorf("Ready() = %v", err)
		}

		// What a graph refers to has changed.
		wanted <- set(t, strings.Replace(broker, "one", "two", 1), a)
		time.Sleep(time.Minute)
		s.want(t, "a drained", "a runs simple:1", "b drained")

		stop()
		s.want(t, "a drained")
		if got := status(t, d, "DataflowGraph", "a"); got.Health.State != engine.Unknown {
			t.Errorf("status after the end = %v", got)
		}
	})
}

// TestPullSecretIsPartOfAGraph: other credentials may mean other artifacts.
func TestPullSecretIsPartOfAGraph(t *testing.T) {
	const registry = `---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: RegistryEndpoint
metadata: {name: default}
spec: {host: x.io, authentication: {method: ArtifactPullSecret, artifactPullSecretSettings: {secretRef: pull}}}
---
apiVersion: v1
kind: Secret
metadata: {name: pull}
stringData: {.dockerconfigjson: one}
`
	synctest.Test(t, func(t *testing.T) {
		s, _, wanted, stop := start(t)
		a := text("a", "simple:1", "")
		wanted <- set(t, broker, registry, a)
		s.want(t, "a runs simple:1")
		wanted <- set(t, broker, strings.Replace(registry, "one", "two", 1), a)
		s.want(t, "a becomes simple:1")
		stop()
		s.want(t, "a drained")
	})
}

// TestEndsAndOptions: what a graph is connected to, and where its windows are, is
// another graph; what it does is not.
func TestEndsAndOptions(t *testing.T) {
	annotated := func(annotation string) string {
		return strings.Replace(text("a", "simple:1", ""), "{name: a}", "{name: a, annotations: {"+annotation+"}}", 1)
	}
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"option", annotated("graphd.io/lateness: 1s"), []string{"a becomes simple:1"}},
		{"configuration", strings.Replace(text("a", "simple:1", ""), `artifact: "simple:1"`, `artifact: "simple:1", configuration: [{key: k, value: v}]`, 1), []string{"a becomes simple:1"}},
		{"durability", annotated("graphd.io/durability: none"), []string{"a drained", "a runs simple:1"}},
		{"dead letters", annotated("graphd.io/dead-letter: broker/dead"), []string{"a drained", "a runs simple:1"}},
		{"topic", strings.Replace(text("a", "simple:1", ""), "a/out", "a/out2", 1), []string{"a drained", "a runs simple:1"}},
		{"nothing", text("a", "simple:1", "") + "# nothing\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, wanted, stop := start(t)
				wanted <- set(t, broker, text("a", "simple:1", ""))
				s.want(t, "a runs simple:1")
				wanted <- set(t, broker, tt.text)
				time.Sleep(time.Minute)
				s.want(t, tt.want...)
				stop()
			})
		})
	}
}

// TestChangeEndsTheWait: a graph that failed is tried at once when it changes.
func TestChangeEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, wanted, stop := start(t)
		s.setFailure("a", errors.New("no such tag"))
		wanted <- set(t, broker, text("a", "simple:1", ""))
		time.Sleep(10 * time.Minute)
		s.take()
		s.setFailure("a", nil)
		wanted <- set(t, broker, text("a", "simple:2", ""))
		s.want(t, "a runs simple:2")
		stop()
	})
}

// TestManyGraphs: that one of many graphs starts is no reason to ask the others how they are.
func TestManyGraphs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, wanted, stop := start(t)
		defer stop()
		const many = 200
		texts := []string{broker}
		for i := range many {
			texts = append(texts, text(fmt.Sprint("g", i), "g:1", ""))
		}
		wanted <- set(t, texts...)
		synctest.Wait()
		asked := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			n := s.asked
			s.asked = 0
			return n
		}
		if n := asked(); n < many || n > 2*many {
			t.Errorf("%d graphs were asked %d times while they started", many, n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := asked(); n != 10*many {
			t.Errorf("%d graphs were asked %d times in ten seconds", many, n)
		}
		if err := d.Ready(); err != nil {
			t.Error(err)
		}
	})
}

// TestSince: a status has the time of its transition, not that of the first question.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, wanted, stop := start(t)
		wanted <- set(t, broker, text("a", "simple:1", ""))
		time.Sleep(time.Hour)
		s.mu.Lock()
		s.ill["a"] = "DataflowGraphSinkChannelClosed"
		s.mu.Unlock()
		fell := time.Now()
		time.Sleep(time.Hour)
		if got := status(t, d, "DataflowGraph", "a").Health; got.State != engine.Degraded || got.Since.Sub(fell) > time.Second || got.Updated != time.Now() {
			t.Errorf("%+v at %v, want since %v", got, time.Now(), fell)
		}
		stop()
	})
}

// TestEvents: who is interested is told what happens, each change once.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, wanted, stop := start(t)
		s.setFailure("a", &deploy.Failure{Reason: deploy.ModuleDownloadFailed, Err: errors.New("no such tag")})
		wanted <- set(t, broker, text("a", "simple:1", ""))
		time.Sleep(500 * time.Millisecond)
		s.setFailure("a", nil)
		time.Sleep(time.Hour)
		s.mu.Lock()
		s.ill["a"] = "DataflowGraphSinkChannelClosed"
		s.mu.Unlock()
		time.Sleep(time.Hour)
		wanted <- set(t, broker)
		stop()
		want := []deploy.Event{
			{Graph: key("a"), Warning: true, Reason: deploy.EventFailed, Message: "DataflowGraphModuleDownloadFailed: no such tag"},
			{Graph: key("a"), Reason: "Available"},
			{Graph: key("a"), Warning: true, Reason: "DataflowGraphSinkChannelClosed"},
			{Graph: key("a"), Reason: deploy.EventStopped, Message: "nobody wants it any more, or not as it was"},
		}
		if diff := cmp.Diff(want, s.told); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

func TestFailedGraphIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, wanted, stop := start(t)
		began := time.Now()
		s.setFailure("a", &deploy.Failure{Reason: deploy.ModuleDownloadFailed, Err: errors.New("no such tag")})
		wanted <- set(t, broker, text("a", "simple:1", ""), text("b", "simple:1", ""))
		s.want(t, "a fails", "b runs simple:1")
		for name, want := range map[string]deploy.Health{
			"a": {State: engine.Unavailable, Reason: deploy.ModuleDownloadFailed, Message: "no such tag", Since: began, Updated: began},
			"b": {State: engine.Available, Since: began, Updated: began},
		} {
			if diff := cmp.Diff(want, status(t, d, "DataflowGraph", name).Health); diff != "" {
				t.Errorf("%s -want +got\n%s", name, diff)
			}
		}

		if err := d.Ready(); err == nil || err.Error() != "azure-iot-operations/a: Unavailable DataflowGraphModuleDownloadFailed no such tag" {
			t.Errorf("Ready() = %v", err)
		}

		// After 1, 2, 4, 8, 16, 32, 60 and 60 s.
		for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			time.Sleep(pause*time.Second - time.Millisecond)
			s.want(t)
			time.Sleep(time.Millisecond)
			s.want(t, "a fails")
		}
		if got := status(t, d, "DataflowGraph", "a").Health.Since; !got.Equal(began) {
			t.Errorf("unavailable since %v, want %v", got, began)
		}

		s.setFailure("a", nil)
		time.Sleep(time.Minute)
		s.want(t, "a runs simple:1")
		if got := status(t, d, "DataflowGraph", "a").Health; got.State != engine.Available || got.Reason != "" {
			t.Errorf("health is %v", got)
		}

		// No longer wanted while it waits for its next try.
		s.setFailure("c", errors.New("trap"))
		wanted <- set(t, broker, text("c", "simple:1", ""))
		time.Sleep(10 * time.Second)
		s.take()
		if got := status(t, d, "DataflowGraph", "c").Health; got.Reason != deploy.ProcessingFailed {
			t.Errorf("health is %v", got)
		}
		wanted <- set(t, broker, text("c", "simple:1", "mode: Disabled"))
		time.Sleep(time.Hour)
		s.want(t)
		stop()
	})
}
