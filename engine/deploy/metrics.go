// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Metrics are measured without a price for messages: what sources, workers and sinks count
// anyway is read when metrics are collected. Those that begin with aio_ are the public names
// of the service that graphd is compatible with.
const (
	messagesReceived    = "aio_dataflow_messages_received"
	messagesSent        = "aio_dataflow_messages_sent"
	messagesRetried     = "aio_dataflow_messages_retried"
	messagesExpired     = "aio_dataflow_messages_expired"
	messagesFiltered    = "aio_dataflow_messages_filtered"
	messagesDropped     = "aio_dataflow_messages_dropped_processing_errors"
	messagesBusy        = "aio_dataflow_messages_dropped_when_busy"
	bytesReceived       = "aio_dataflow_bytes_received"
	bytesSent           = "aio_dataflow_bytes_sent"
	processingLatency   = "aio_dataflow_processing_latency"
	uploadLatency       = "aio_dataflow_upload_latency"
	transformLatency    = "aio_dataflow_transformation_latency"
	flowErrors          = "aio_dataflow_errors"
	graphCount          = "aio_dataflow_graphs"
	graphModules        = "aio_dataflow_graph_modules"
	graphInputs         = "aio_dataflow_graph_inputs"
	graphOperators      = "aio_dataflow_graph_operators"
	graphModuleExit     = "aio_dataflow_graph_module_exit"
	graphReceived       = "aio_dataflow_graph_messages_received"
	graphSent           = "aio_dataflow_graph_messages_sent"
	graphAccumulated    = "aio_dataflow_graph_accumulated_messages"
	accumulatedBytes    = "aio_dataflow_graph_accumulated_bytes"
	ownDeadLetters      = "graphd_messages_dead_letters"
	ownLate             = "graphd_messages_late"
	ownDrifted          = "graphd_messages_drifted"
	ownMalformed        = "graphd_messages_malformed_stamp"
	ownRefused          = "graphd_messages_malformed"
	ownUnsettled        = "graphd_messages_unsettled"
	ownInstances        = "graphd_instances"
	latencyIsOfOneEvery = schedule.TimedEvery // messages are timed on their way to a target
)

// kept says what becomes of a measurement when an instance ends, and of those of several.
type kept uint8

const (
	counted kept = iota // added up; those of instances that have ended as well
	current             // added up, of instances that run
	equal               // the same for all instances
)

// readings are the metrics that are read when they are collected.
func readings() map[string]reading {
	return map[string]reading{
		messagesReceived: {counted, "messages taken from sources"},
		messagesSent:     {counted, "messages that targets have confirmed"},
		messagesRetried:  {counted, "messages sent to targets again"},
		messagesExpired:  {counted, "messages that were not sent, since their expiry had passed"},
		messagesFiltered: {counted, "messages that the graph dropped on purpose"},
		messagesDropped:  {counted, "messages that operators refused or failed on, and that nobody takes"},
		messagesBusy:     {counted, "QoS 0 messages for which the graph had no room"},
		bytesReceived:    {counted, "payloads of the messages received"},
		bytesSent:        {counted, "payloads of the messages sent"},
		graphCount:       {equal, "graph definitions in a DataflowGraph"},
		graphModules:     {equal, "different modules of a DataflowGraph"},
		graphInputs:      {equal, "topics of the sources of a DataflowGraph"},
		graphOperators:   {equal, "operations of a DataflowGraph, by type"},
		graphModuleExit:  {counted, "operators that trapped or reached a limit, and were replaced"},
		graphReceived:    {counted, "messages that a DataflowGraph has taken"},
		graphSent:        {counted, "messages that a DataflowGraph has handed to targets, confirmed or not"},
		graphAccumulated: {counted, "messages that came to an accumulate"},
		accumulatedBytes: {counted, "payloads of the messages that came to an accumulate"},
		flowErrors:       {counted, errorsDescription},
		ownDeadLetters:   {counted, "dropped messages that the dead-letter destination has confirmed"},
		ownLate:          {counted, "messages older than the graph's time when they came"},
		ownDrifted:       {counted, "messages stamped too far in the future"},
		ownMalformed:     {counted, "messages whose stamp can't be read"},
		ownRefused:       {counted, "messages refused that no broker may pass on"},
		ownUnsettled:     {current, "messages taken from sources and not yet acknowledged"},
		ownInstances:     {current, "instances of a graph that run"},
	}
}

// reading is a metric that is read.
type reading struct {
	kept
	description string
}

// point is one measurement's name and dimensions.
type point struct{ metric, dataflow, source, target, operator, success, code string }

// attributes are a point's dimensions.
func (p point) attributes() metric.MeasurementOption {
	attributes := []attribute.KeyValue{attribute.String("dataflow_id", p.dataflow)}
	for _, a := range []struct{ key, value string }{
		{"source_service_type", p.source}, {"target_service_type", p.target}, {"operator_type", p.operator}, {"success", p.success}, {"error_code", p.code},
	} {
		if a.value != "" {
			attributes = append(attributes, attribute.String(a.key, a.value))
		}
	}
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// metrics are the instruments of all graphs, and what there is to read.
type metrics struct {
	readings                     map[string]reading
	instruments                  map[string]metric.Int64Observable
	processing, sending, working metric.Float64Histogram

	mu      sync.Mutex
	running map[*measured]bool          // guarded by mu
	ended   map[string]map[point]uint64 // guarded by mu: by graph; of instances that ended while others run
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	m := &metrics{
		readings: readings(), instruments: map[string]metric.Int64Observable{},
		running: map[*measured]bool{}, ended: map[string]map[point]uint64{},
	}
	var errs []error
	var all []metric.Observable
	for name, r := range m.readings {
		var instrument metric.Int64Observable
		var err error
		if r.kept == counted {
			instrument, err = meter.Int64ObservableCounter(name, metric.WithDescription(r.description))
		} else {
			instrument, err = meter.Int64ObservableGauge(name, metric.WithDescription(r.description))
		}
		errs = append(errs, err)
		m.instruments[name], all = instrument, append(all, instrument)
	}
	buckets := metric.WithExplicitBucketBoundaries(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 10_000)
	var err error
	m.processing, err = meter.Float64Histogram(processingLatency, buckets,
		metric.WithDescription(fmt.Sprintf("milliseconds from taking a message to everything that came of it being safe, of one in %d", latencyIsOfOneEvery)))
	errs = append(errs, err)
	m.sending, err = meter.Float64Histogram(uploadLatency, buckets,
		metric.WithDescription(fmt.Sprintf("milliseconds until a target has confirmed a message, of one in %d", latencyIsOfOneEvery)))
	errs = append(errs, err)
	m.working, err = meter.Float64Histogram(transformLatency, buckets,
		metric.WithDescription("milliseconds that operators took for a message, of one in some of each source"))
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	_, err = meter.RegisterCallback(m.collect, all...)
	return m, err
}

// collect observes what all graphs have counted.
func (m *metrics) collect(_ context.Context, o metric.Observer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := map[point]uint64{}
	for _, points := range m.ended {
		for p, n := range points {
			total[p] += n
		}
	}
	for i := range m.running {
		for p, n := range i.read() {
			if m.readings[p.metric].kept == equal {
				total[p] = max(total[p], n)
			} else {
				total[p] += n
			}
		}
	}
	for p, n := range total {
		o.ObserveInt64(m.instruments[p.metric], int64(n), p.attributes())
	}
	return nil
}

// measured is an instance of a graph that is measured.
type measured struct {
	name  string // of the graph
	of    *resource.DataflowGraph
	types map[engine.EndName]string // the service types of the ends
	ends  *ends
	stats func() schedule.Stats

	made atomic.Pointer[made]
}

// made is what the graph is made of.
type made struct {
	modules   int
	operators map[string]uint64 // by type
}

// describe notes what the graph is made of from now on.
func (i *measured) describe(graphs []fetched) {
	of, modules := &made{operators: map[string]uint64{}}, map[string]bool{}
	for _, g := range graphs {
		for _, o := range g.definition.Operations {
			kind := string(o.Kind)
			of.operators[strings.ToUpper(kind[:1])+kind[1:]]++
		}
		for _, ref := range g.definition.Modules() {
			modules[ref] = true
		}
	}
	of.modules = len(modules)
	i.made.Store(of)
}

// measure begins to read an instance; stop ends that. What it has counted stays for as
// long as others of its graph run, so that no sum goes back.
func (m *metrics) measure(i *measured) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[i] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.running, i)
		for other := range m.running {
			if other.name != i.name {
				continue
			}
			if m.ended[i.name] == nil {
				m.ended[i.name] = map[point]uint64{}
			}
			for p, n := range i.read() {
				if m.readings[p.metric].kept == counted {
					m.ended[i.name][p] += n
				}
			}
			return
		}
		delete(m.ended, i.name)
	}
}

// read returns the measurements of an instance.
func (i *measured) read() map[point]uint64 {
	points := map[point]uint64{}
	add := func(metric string, n uint64, dimensions point) {
		dimensions.metric, dimensions.dataflow = metric, i.name
		points[dimensions] += n
	}
	source, target := i.only(false), i.only(true)
	payloadError := point{code: "PayloadError"} // what is wrong is in the message
	s := i.stats()
	add(messagesFiltered, s.Filtered, point{target: target})
	add(messagesDropped, s.Dropped+s.Undeliverable, point{target: target})
	add(ownDeadLetters, s.DeadLetters, point{})
	add(ownLate, s.Late, point{})
	add(ownDrifted, s.Drifted, point{})
	add(ownMalformed, s.Malformed, point{})
	add(ownUnsettled, uint64(s.Unsettled), point{})
	add(ownInstances, 1, point{})
	if len(i.ends.sources) == 1 {
		add(messagesReceived, s.Received, point{source: source})
	}
	handed, sent := uint64(0), uint64(0)
	for _, o := range s.Operations {
		switch o.Kind {
		case operator.Source:
			if len(i.ends.sources) > 1 {
				add(messagesReceived, o.In, point{source: i.types[engine.EndName{Operation: o.Operation}]})
			}
		case operator.Sink:
			to := i.types[engine.EndName{Sink: true, Operation: o.Operation}]
			handed, sent = handed+o.In, sent+o.Sent
			add(messagesSent, o.Sent, point{target: to})
		case operator.Accumulate:
			add(graphAccumulated, o.In, point{})
			add(accumulatedBytes, o.Bytes, point{})
		}
		add(flowErrors, o.Refused, payloadError)
	}
	add(flowErrors, s.Undeliverable, payloadError)
	for n, from := range i.ends.sources {
		t := endpoint.Counted(from)
		end := point{source: i.types[engine.EndName{Operation: i.of.Sources[n].Name}]}
		add(bytesReceived, t.Bytes, end)
		add(messagesBusy, t.Busy, end)
		add(ownRefused, t.Malformed, end)
		add(flowErrors, t.Malformed, payloadError)
	}
	for n, to := range i.ends.sinks {
		t := endpoint.Counted(to)
		end := point{target: i.types[engine.EndName{Sink: true, Operation: i.of.Destinations[n].Name}]}
		add(bytesSent, t.Bytes, end)
		add(messagesRetried, t.Retried, end)
		add(messagesExpired, t.Expired, end)
	}
	if i.of.Flow {
		return points
	}
	add(graphModuleExit, s.Faults, point{})
	add(graphReceived, s.Received, point{})
	add(graphSent, handed, point{})
	add(graphCount, uint64(len(i.of.Graphs)), point{})
	for _, from := range i.of.Sources {
		add(graphInputs, uint64(len(from.Topics)), point{})
	}
	of := i.made.Load()
	for kind, n := range of.operators {
		add(graphOperators, n, point{operator: kind})
	}
	add(graphModules, uint64(of.modules), point{})
	return points
}

// only returns the service type of the sources, or of the sinks, where they have but one.
func (i *measured) only(sink bool) string {
	only := ""
	for end, of := range i.types {
		switch {
		case end.Sink != sink:
		case only == "", only == of:
			only = of
		default:
			return "Other"
		}
	}
	return only
}

// settled returns what measures how long messages were in the graph.
func (m *metrics) settled(i *measured) func(time.Duration) {
	option := point{dataflow: i.name, source: i.only(false)}.attributes()
	return func(d time.Duration) {
		m.processing.Record(context.Background(), milliseconds(d), option)
	}
}

// worked returns what measures how long operators took.
func (m *metrics) worked(i *measured) func(time.Duration) {
	option := point{dataflow: i.name}.attributes()
	return func(d time.Duration) {
		m.working.Record(context.Background(), milliseconds(d), option)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// sent returns what measures how long messages were on their way to a sink.
func (m *metrics) sent(i *measured, sink string) func(time.Duration, error) {
	p := point{dataflow: i.name, target: i.types[engine.EndName{Sink: true, Operation: sink}], success: "true"}
	success := p.attributes()
	p.success = "false"
	failure := p.attributes()
	return func(d time.Duration, err error) {
		option := success
		if err != nil {
			option = failure
		}
		m.sending.Record(context.Background(), milliseconds(d), option)
	}
}

// serviceTypes are what the ends of a graph are, in the words of public metrics.
func serviceTypes(set *resource.Set, g *resource.DataflowGraph) map[engine.EndName]string {
	of := func(name string) string {
		return serviceType(set.Endpoints[resource.Key{Namespace: g.Namespace, Name: name}])
	}
	types := map[engine.EndName]string{}
	for _, s := range g.Sources {
		types[engine.EndName{Operation: s.Name}] = of(s.Endpoint)
	}
	for _, t := range g.Destinations {
		types[engine.EndName{Sink: true, Operation: t.Name}] = of(t.Endpoint)
	}
	return types
}

// serviceType is what an endpoint is, as far as its host tells.
func serviceType(e *resource.DataflowEndpoint) string {
	switch {
	case e == nil:
		return "Other"
	case e.Kafka != nil && strings.Contains(e.Kafka.Host, ".servicebus."):
		return "Event Hubs"
	case e.Kafka != nil:
		return "Unknown Kafka Broker"
	case strings.Contains(e.MQTT.Host, ".eventgrid."):
		return "Event Grid"
	case strings.Contains(e.MQTT.Host, "aio-broker"):
		return "Local AIO MQTT Broker"
	}
	return "Unknown Mqtt Broker"
}
