// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/operators/build"
)

// scrape returns what is measured, as a scraper would see it; of histograms the count.
func scrape(t *testing.T, reader *sdkmetric.ManualReader) map[string]string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	note := func(name, kind string, attributes attribute.Set, n any) {
		var labels []string
		for _, a := range attributes.ToSlice() {
			labels = append(labels, fmt.Sprintf("%s=%q", a.Key, a.Value.AsString()))
		}
		got[name+"{"+strings.Join(labels, ",")+"}"] = fmt.Sprint(kind, " ", n)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					note(m.Name, "counter", p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					note(m.Name, "gauge", p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					note(m.Name, "histogram", p.Attributes, p.Count)
				}
			}
		}
	}
	return got
}

// TestMetrics: names, types, dimensions and values of what a run counts.
func TestMetrics(t *testing.T) {
	b := newBench(t)
	_, stop := b.launch(t, set(t, broker, text("g", "simple:1", "")), key("g"))
	for _, payload := range []string{`{"temperature":{"value":100.0,"unit":"F"}}`, `broken`} {
		if err := b.drivers.source.Publish(&message.Message{Topic: "g/in", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	<-b.drivers.results
	if err := b.drivers.source.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, b.metrics)
	const id, from, to = `dataflow_id="g"`, `source_service_type="Unknown Mqtt Broker"`, `target_service_type="Unknown Mqtt Broker"`
	want := map[string]string{
		"aio_dataflow_messages_received{" + id + "," + from + "}":                "counter 2",
		"aio_dataflow_messages_sent{" + id + "," + to + "}":                      "counter 1",
		"aio_dataflow_messages_retried{" + id + "," + to + "}":                   "counter 0",
		"aio_dataflow_messages_expired{" + id + "," + to + "}":                   "counter 0",
		"aio_dataflow_messages_filtered{" + id + "," + to + "}":                  "counter 0",
		"aio_dataflow_messages_dropped_processing_errors{" + id + "," + to + "}": "counter 1",
		"aio_dataflow_messages_dropped_when_busy{" + id + "," + from + "}":       "counter 0",
		"aio_dataflow_bytes_received{" + id + "," + from + "}":                   "counter 0",
		"aio_dataflow_bytes_sent{" + id + "," + to + "}":                         "counter 0",
		"aio_dataflow_processing_latency{" + id + "," + from + "}":               "histogram 1",
		"aio_dataflow_upload_latency{" + id + `,success="true",` + to + "}":      "histogram 1",
		"aio_dataflow_transformation_latency{" + id + "}":                        "histogram 1",
		"aio_dataflow_errors{" + id + `,error_code="PayloadError"}`:              "counter 1",
		"aio_dataflow_graphs{" + id + "}":                                        "gauge 1",
		"aio_dataflow_graph_modules{" + id + "}":                                 "gauge 1",
		"aio_dataflow_graph_inputs{" + id + "}":                                  "gauge 1",
		"aio_dataflow_graph_operators{" + id + `,operator_type="Source"}`:        "gauge 1",
		"aio_dataflow_graph_operators{" + id + `,operator_type="Sink"}`:          "gauge 1",
		"aio_dataflow_graph_operators{" + id + `,operator_type="Map"}`:           "gauge 1",
		"aio_dataflow_graph_module_exit{" + id + "}":                             "counter 0",
		"aio_dataflow_graph_messages_received{" + id + "}":                       "counter 2",
		"aio_dataflow_graph_messages_sent{" + id + "}":                           "counter 1",
	}
	for name := range got {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "aio_") {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// counting is a source that counts.
type counting struct {
	*memory.Source
	traffic endpoint.Traffic
}

func (c counting) Traffic() endpoint.Traffic { return c.traffic }

// TestMetricsOfPayloads: what came to an accumulate, and what was refused before it came to
// anything.
func TestMetricsOfPayloads(t *testing.T) {
	b := newBench(t)
	wasm, err := build.Operator(t.Context(), "../../operators/collection")
	if err != nil {
		t.Fatal(err)
	}
	b.shelf.put("collection:1", string(wasm.Bytes))
	b.shelf.put("collect:1", strings.NewReplacer("delay", "accumulate", "window:1", "collection:1").Replace(windowed))
	b.windows = func(resource.Key) (window.Store, error) { return &keptStore{}, nil }
	b.drivers.counted = &endpoint.Traffic{Bytes: 10, Busy: 2, Malformed: 3}
	_, stop := b.launch(t, set(t, broker, text("g", "collect:1", "")), key("g"))
	for _, payload := range []string{`12345`, `678`} {
		if err := b.drivers.source.Publish(&message.Message{Topic: "g/in", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.drivers.source.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, b.metrics)
	const id, from = `dataflow_id="g"`, `source_service_type="Unknown Mqtt Broker"`
	for name, want := range map[string]string{
		"aio_dataflow_graph_accumulated_messages{" + id + "}":              "counter 2",
		"aio_dataflow_graph_accumulated_bytes{" + id + "}":                 "counter 8",
		"aio_dataflow_bytes_received{" + id + "," + from + "}":             "counter 10",
		"aio_dataflow_messages_dropped_when_busy{" + id + "," + from + "}": "counter 2",
		"aio_dataflow_errors{" + id + `,error_code="PayloadError"}`:        "counter 3",
		"graphd_messages_malformed{" + id + "," + from + "}":               "counter 3",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestMetricsOfInstances: those of all instances are added up, and stay when one ends.
func TestMetricsOfInstances(t *testing.T) {
	b := newBench(t)
	s := set(t, broker, text("g", "simple:1", ""), profile(2))
	received := func(want string) {
		t.Helper()
		if got := scrape(t, b.metrics)[`aio_dataflow_messages_received{dataflow_id="g",source_service_type="Unknown Mqtt Broker"}`]; got != want {
			t.Errorf("received %s, want %s", got, want)
		}
	}
	send := func() {
		t.Helper()
		if err := b.drivers.source.Publish(&message.Message{Payload: []byte("broken")}); err != nil {
			t.Fatal(err)
		}
		if err := b.drivers.source.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, stopFirst := b.launch(t, s, key("g"))
	send()
	b.drivers.source = memory.NewSource(0)
	second := deploy.NewWant(key("g"), s)
	second.Instance, second.Grouped = 1, true
	_, stopSecond := b.launchWant(t, second)
	send()
	received("counter 2")
	if err := stopFirst(); err != nil {
		t.Error(err)
	}
	received("counter 2")
	if err := stopSecond(); err != nil {
		t.Error(err)
	}
	received("")
	if got := strings.Join(b.drivers.bound, ", "); got != "graphd-g-s g/in ca, graphd-g-d g/out ca, graphd-g_1-s g/in ca, graphd-g_1-d g/out ca" {
		t.Errorf("endpoints were bound as %s", got)
	}
}

// TestInstancesOfWindows: what holds messages that belong together runs once.
func TestInstancesOfWindows(t *testing.T) {
	b := newBench(t)
	wasm, err := windowOperator()
	if err != nil {
		t.Fatal(err)
	}
	b.shelf.put("window:1", wasm)
	b.shelf.put("windows:1", windowed)
	err = b.Launch(t.Context(), deploy.NewWant(key("g"), set(t, broker, text("g", "windows:1", ""), profile(2))), nil)
	var failure *deploy.Failure
	if !errors.As(err, &failure) || failure.Reason != deploy.ConfigurationFailed || !strings.Contains(err.Error(), "f.yaml:") ||
		!strings.Contains(err.Error(), `the profile "default" asks for 2 instances, and the operation "g/window" of the kind delay`) {
		t.Errorf("Launch = %v", err)
	}
}

// TestDeploymentMetrics: what runs, and what can't.
func TestDeploymentMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, wanted, stop := start(t)
		reader := sdkmetric.NewManualReader()
		if err := d.Observe(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")); err != nil {
			t.Fatal(err)
		}
		s.setFailure("a", &deploy.Failure{Reason: deploy.ConfigurationFailed, Err: errors.New("no such option")})
		wanted <- set(t, broker, text("a", "simple:1", ""), text("b", "simple:1", ""))
		synctest.Wait()
		want := map[string]string{
			"aio_dataflow_active_dataflows{}":       "gauge 0",
			"aio_dataflow_active_dataflow_graphs{}": "gauge 1",
			"aio_dataflow_reconcile_errors{}":       "gauge 1",
			`aio_dataflow_errors{dataflow_id="a",error_code="ConfigError",reason_code="DataflowGraphConfigurationFailed"}`:       "counter 1",
			`aio_dataflow_graph_errors{dataflow_id="a",error_code="ConfigError",reason_code="DataflowGraphConfigurationFailed"}`: "counter 1",
		}
		if diff := cmp.Diff(want, scrape(t, reader)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		stop()
	})
}
