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
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/operators/build"
)

// passing is a definition that does nothing.
const passing = `metadata: {$schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json", name: passing, version: "1.0.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations:
  - {operationType: source, name: source}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: source}, to: {name: sink}}
`

// windowed is a definition that holds messages for ten seconds.
var windowed = strings.NewReplacer("operations:", `operations:
  - {operationType: delay, name: window, module: "window:1"}`,
	"{from: {name: source}, to: {name: sink}}", `{from: {name: source}, to: {name: window}}
  - {from: {name: window}, to: {name: sink}}`).Replace(passing)

var windowOperator = sync.OnceValues(func() (string, error) {
	c, err := build.Operator(context.Background(), "../../operators/window")
	if err != nil {
		return "", err
	}
	return string(c.Bytes), nil
})

// send publishes a reading of 212 °F, and returns what comes out of it.
func (b *bench) send(t *testing.T) string {
	t.Helper()
	if err := b.drivers.source.Publish(&message.Message{Payload: []byte(`{"temperature":{"value":212.0,"unit":"F"}}`)}); err != nil {
		t.Fatal(err)
	}
	m := <-b.drivers.results
	switch text := string(m.Payload); {
	case strings.Contains(text, `"value":100.0`):
		return "converted"
	case strings.Contains(text, `"value":212.0`):
		return "passed"
	default:
		return text
	}
}

// TestFollow moves tags under a running graph.
func TestFollow(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		b.fresh()
		const module = "azure-samples/explore-iot-operations/temperature:1.0.0"
		simple, component := b.shelf.things["simple:1"], b.shelf.things[module]
		probe, stop := b.launch(t, set(t, broker, text("g", "simple:1", "")), key("g"))
		is := func(what string, state engine.State, reason deploy.Reason, message string) {
			t.Helper()
			if got := b.send(t); got != what {
				t.Errorf("message was %s, want %s", got, what)
			}
			h := probe()
			if h.State != state || h.Reason != string(reason) || !strings.Contains(h.Message, message) {
				t.Errorf("health is %+v, want %s %s %q", h, state, reason, message)
			}
		}
		is("converted", engine.Available, "", "")
		proven := func(ref, content string) {
			t.Helper()
			if !b.shelf.isProven(ref, content) {
				t.Errorf("what runs of %s is not what is proven", ref)
			}
		}
		time.Sleep(2 * time.Second)
		proven("simple:1", simple)
		proven(module, component)

		b.shelf.put("simple:1", passing)
		is("converted", engine.Available, "", "")
		time.Sleep(67 * time.Second)
		is("passed", engine.Available, "", "")

		// A bad one is refused, and not tried again.
		b.shelf.put("simple:1", strings.Replace(simple, "operationType: \"map\"", "operationType: \"delay\"", 1))
		time.Sleep(67 * time.Second)
		is("passed", engine.Degraded, deploy.ConfigurationFailed, "what is wanted is refused, and what was before goes on: simple:1:")
		loads := b.compiler.count()
		time.Sleep(time.Hour)
		is("passed", engine.Degraded, deploy.ConfigurationFailed, "simple:1:")
		proven("simple:1", passing)
		if n := b.compiler.count() - loads; n != 0 {
			t.Errorf("it was compiled %d times", n)
		}
		// It is taken back, and then mended.
		b.shelf.put("simple:1", passing)
		time.Sleep(67 * time.Second)
		is("passed", engine.Available, "", "")
		b.shelf.put("simple:1", simple)
		time.Sleep(67 * time.Second)
		is("converted", engine.Available, "", "")

		// So is a component.
		b.shelf.put(module, component[:100_000])
		time.Sleep(67 * time.Second)
		is("converted", engine.Degraded, deploy.InstantiationFailed, module)
		b.shelf.put(module, component)
		time.Sleep(67 * time.Second)
		is("converted", engine.Available, "", "")

		// A registry that is gone changes nothing; an artifact that is is asked for again.
		b.shelf.close(true)
		time.Sleep(67 * time.Second)
		is("converted", engine.Available, "", "")
		b.shelf.close(false)
		b.shelf.put("simple:1", strings.Replace(simple, "temperature:1.0.0", "temperature:2.0.0", 1))
		time.Sleep(67 * time.Second)
		is("converted", engine.Degraded, deploy.ModuleDownloadFailed, "temperature:2.0.0")
		b.shelf.put(strings.Replace(module, "1.0.0", "2.0.0", 1), component)
		time.Sleep(67 * time.Second)
		is("converted", engine.Available, "", "")

		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := len(b.drivers.bound); got != 2 {
			t.Errorf("endpoints were made %d times, want 2", got)
		}
		var told []string
		for _, e := range b.told {
			told = append(told, fmt.Sprintf("%s of %d", e.Reason, len(e.Artifacts)))
		}
		if got, want := strings.Join(slices.Compact(told), ", "), "Started of 2, TagMoved of 0, Swapped of 1, TagMoved of 0, Refused of 0, "+
			"TagMoved of 0, Swapped of 2, TagMoved of 0, Refused of 0, "+
			"TagMoved of 0, Refused of 0, Swapped of 2"; got != want {
			t.Errorf("told of %s", got)
		}
		if got := b.measured(t); len(got) > 1 && got["aio_dataflow_messages_received"] != 0 {
			t.Errorf("measured after the end: %v", got)
		}
	})
}

// TestChange changes what is wanted of a running graph.
func TestChange(t *testing.T) {
	b := newBench(t)
	b.shelf.put("passing:1", passing)
	synctest.Test(t, func(t *testing.T) {
		b.fresh()
		annotated := func(annotation string) string {
			return strings.Replace(text("g", "passing:1", ""), "{name: g}", "{name: g, annotations: {"+annotation+"}}", 1)
		}
		want := deploy.NewWant(key("g"), set(t, broker, text("g", "simple:1", "")))
		probe, stop := b.launchWant(t, want)
		if got := b.send(t); got != "converted" {
			t.Errorf("message was %s", got)
		}
		want.Change(set(t, broker, text("g", "passing:1", "")))
		synctest.Wait()
		if got := b.send(t); got != "passed" {
			t.Errorf("message was %s", got)
		}
		want.Change(set(t, broker, annotated("graphd.io/operation.gone.memory: 1Mi")))
		synctest.Wait()
		if h := probe(); h.State != engine.Degraded || !strings.Contains(h.Message, "f.yaml:14:35: plan: option operation.gone") {
			t.Errorf("health is %+v", h)
		}
		// A shorter interval holds from the next look on.
		want.Change(set(t, broker, annotated("graphd.io/follow-interval: 1s")))
		synctest.Wait()
		if h := probe(); h.State != engine.Available {
			t.Errorf("health is %+v", h)
		}
		time.Sleep(67 * time.Second)
		before := b.shelf.questions()
		time.Sleep(100 * time.Second)
		if asked := b.shelf.questions() - before; asked < 80 || asked > 115 {
			t.Errorf("asked %d times in 100 s", asked)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestConnecting: that an end is not connected yet is no reason to warn; that it can't be is.
func TestConnecting(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		b.fresh()
		b.drivers.broker = &moody{}
		var warnings []string
		d := deploy.New(deploy.Config{Launch: b.Launch, Events: func(e deploy.Event) {
			if e.Warning {
				warnings = append(warnings, e.Reason)
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		wanted, ended := make(chan *resource.Set), make(chan struct{})
		go func() {
			defer close(ended)
			d.Run(ctx, wanted)
		}()
		wanted <- set(t, broker, text("g", "simple:1", ""))
		want := func(graph, endpoint deploy.Health, events ...string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			for kind, want := range map[string]deploy.Health{deploy.DataflowGraphKind: graph, deploy.DataflowEndpointKind: endpoint} {
				for _, s := range d.Status() {
					if s.Health.Since, s.Health.Updated = (time.Time{}), (time.Time{}); s.Kind == kind && s.Name != "default" && s.Health != want {
						t.Errorf("%s %s is %+v, want %+v", kind, s.Name, s.Health, want)
					}
				}
			}
			if diff := cmp.Diff(events, warnings); diff != "" {
				t.Errorf("warnings -want +got\n%s", diff)
			}
			warnings = nil
		}
		const reason = "DataflowMqttTargetConnectionFailed"
		want(deploy.Health{State: engine.Unknown, Message: `sink "d" is connecting`},
			deploy.Health{State: engine.Unknown, Message: `DataflowGraph g: sink "d" is connecting (1 of 2)`})
		nobody := errors.New("nobody there")
		b.drivers.broker.trouble.Store(&nobody)
		want(deploy.Health{State: engine.Degraded, Reason: reason, Message: `sink "d" is not connected: nobody there`},
			deploy.Health{State: engine.Degraded, Reason: reason, Message: `DataflowGraph g: sink "d" is not connected: nobody there (1 of 2)`}, reason)
		b.drivers.broker.trouble.Store(nil)
		b.drivers.broker.up.Store(true)
		want(deploy.Health{State: engine.Available}, deploy.Health{State: engine.Available})
		b.drivers.broker.up.Store(false)
		want(deploy.Health{State: engine.Degraded, Reason: reason, Message: `sink "d" is not connected`},
			deploy.Health{State: engine.Degraded, Reason: reason, Message: `DataflowGraph g: sink "d" is not connected (1 of 2)`}, reason)
		cancel()
		<-ended
	})
}

// TestChanging: a status says that what is wanted hasn't come to anything yet, until it
// runs or is refused.
func TestChanging(t *testing.T) {
	b := newBench(t)
	b.shelf.put("passing:1", passing)
	synctest.Test(t, func(t *testing.T) {
		b.fresh()
		d := deploy.New(deploy.Config{Launch: b.Launch})
		ctx, cancel := context.WithCancel(t.Context())
		wanted, ended := make(chan *resource.Set), make(chan struct{})
		go func() {
			defer close(ended)
			d.Run(ctx, wanted)
		}()
		want := func(changing bool, texts ...string) {
			t.Helper()
			if len(texts) > 0 {
				s := set(t, texts...)
				wanted <- s
				synctest.Wait()
				if d.Set() != s {
					t.Error("what was told last is something else")
				}
			}
			for _, s := range d.Status() {
				if s.Kind == deploy.DataflowGraphKind && s.Changing != changing {
					t.Errorf("changing is %v", s.Changing)
				}
			}
		}
		want(false, broker, text("g", "passing:1", ""))
		b.compiler.gate = make(chan struct{})
		want(true, broker, text("g", "simple:1", ""))
		if got := b.send(t); got != "passed" {
			t.Errorf("message was %s", got)
		}
		close(b.compiler.gate)
		synctest.Wait()
		want(false)
		if got := b.send(t); got != "converted" {
			t.Errorf("message was %s", got)
		}
		want(false, broker, text("g", "nowhere:1", "")) // refused
		cancel()
		<-ended
	})
}

// TestChangeWithWindows: windows are opened when a version has some, stay open for
// those after it, and what they hold moves.
func TestChangeWithWindows(t *testing.T) {
	b := newBench(t)
	wasm, err := windowOperator()
	if err != nil {
		t.Fatal(err)
	}
	b.shelf.change(func(things map[string]string) {
		things["window:1"], things["passing:1"], things["windows:1"] = wasm, passing, windowed
		things["windows:2"] = windowed + "# another\n"
	})
	synctest.Test(t, func(t *testing.T) {
		b.fresh()
		store, opened := &keptStore{}, 0
		b.windows = func(resource.Key) (window.Store, error) {
			if opened++; opened == 1 {
				return nil, errors.New("no such disk")
			}
			return store, nil
		}
		want := deploy.NewWant(key("g"), set(t, broker, text("g", "passing:1", "")))
		probe, stop := b.launchWant(t, want)
		change := func(artifact, annotations, message string) {
			t.Helper()
			want.Change(set(t, broker, strings.Replace(text("g", artifact, ""), "{name: g}", "{name: g, annotations: {"+annotations+"}}", 1)))
			synctest.Wait()
			if h := probe(); (message == "") != (h.State == engine.Available) || !strings.Contains(h.Message, message) {
				t.Errorf("health is %+v, want %q", h, message)
			}
		}
		change("windows:1", "", "no such disk")
		change("windows:1", "graphd.io/lateness: 1s", "")
		time.Sleep(time.Second)
		if err := b.drivers.source.Publish(&message.Message{Payload: []byte("held")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		change("windows:2", "graphd.io/lateness: 1s", "")
		change("passing:1", "", `operation "g/window" holds 1 messages and is gone; set the option on-swap to fire`)
		if len(b.drivers.results) != 0 {
			t.Error("the message came out")
		}
		change("passing:1", "graphd.io/on-swap: fire", "")
		if m := <-b.drivers.results; string(m.Payload) != "held" {
			t.Errorf("came out: %s", m.Payload)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if opened != 2 || store.closed != 1 {
			t.Errorf("windows were opened %d times, and closed %d times", opened, store.closed)
		}
	})
}
