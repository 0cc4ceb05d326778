// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasm-graph/graphd/engine/schedule"
)

// counted is a metric that is read from a graph's counts.
type counted struct {
	name, description string
	read              func(schedule.Stats) int64
}

// countedMetrics are the counters of a graph. Those that begin with aio_ are the
// public names of the service that graphd is compatible with.
func countedMetrics() []counted {
	return []counted{
		{"aio_dataflow_messages_received", "messages taken from the source", func(s schedule.Stats) int64 { return int64(s.Received) }},
		{"aio_dataflow_messages_sent", "messages that the destination has confirmed", func(s schedule.Stats) int64 { return int64(s.Sent) }},
		{"aio_dataflow_messages_filtered", "messages that the graph dropped on purpose", func(s schedule.Stats) int64 { return int64(s.Filtered) }},
		{"aio_dataflow_messages_dropped_processing_errors", "messages that operators refused or failed on, and that nobody takes",
			func(s schedule.Stats) int64 { return int64(s.Dropped + s.Undeliverable) }},
		{"aio_dataflow_graph_module_exit", "operators that trapped or reached a limit, and were replaced", func(s schedule.Stats) int64 { return int64(s.Faults) }},
		{"graphd_messages_dead_letters", "dropped messages that the dead-letter destination has confirmed", func(s schedule.Stats) int64 { return int64(s.DeadLetters) }},
		{"graphd_messages_late", "messages older than the graph's time when they came", func(s schedule.Stats) int64 { return int64(s.Late) }},
		{"graphd_messages_drifted", "messages stamped too far in the future", func(s schedule.Stats) int64 { return int64(s.Drifted) }},
		{"graphd_messages_malformed_stamp", "messages whose stamp can't be read", func(s schedule.Stats) int64 { return int64(s.Malformed) }},
	}
}

// metrics are the instruments of all graphs.
type metrics struct {
	meter     metric.Meter
	counters  []metric.Int64ObservableCounter // by place in countedMetrics
	unsettled metric.Int64ObservableGauge
	latency   metric.Float64Histogram
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	m := &metrics{meter: meter}
	var errs []error
	for _, c := range countedMetrics() {
		counter, err := meter.Int64ObservableCounter(c.name, metric.WithDescription(c.description))
		errs = append(errs, err)
		m.counters = append(m.counters, counter)
	}
	var err error
	m.unsettled, err = meter.Int64ObservableGauge("graphd_messages_unsettled", metric.WithDescription("messages taken from the source and not yet acknowledged"))
	errs = append(errs, err)
	m.latency, err = meter.Float64Histogram("aio_dataflow_processing_latency",
		metric.WithDescription("milliseconds from taking a message to everything that came of it being safe"),
		metric.WithExplicitBucketBoundaries(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 10_000))
	return m, errors.Join(append(errs, err)...)
}

// label says which graph a measurement is about.
func label(graph string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("dataflow_id", graph)))
}

// settled returns what measures how long messages were in the graph.
func (m *metrics) settled(graph string) func(time.Duration) {
	option := label(graph)
	return func(d time.Duration) {
		m.latency.Record(context.Background(), float64(d)/float64(time.Millisecond), option)
	}
}

// observe reads a graph's counts whenever metrics are collected, until the returned
// function is called.
func (m *metrics) observe(graph string, stats func() schedule.Stats) (unobserve func(), err error) {
	instruments := []metric.Observable{m.unsettled}
	for _, c := range m.counters {
		instruments = append(instruments, c)
	}
	option := label(graph)
	registration, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := stats()
		for i, c := range countedMetrics() {
			o.ObserveInt64(m.counters[i], c.read(s), option)
		}
		o.ObserveInt64(m.unsettled, int64(s.Unsettled), option)
		return nil
	}, instruments...)
	if err != nil {
		return nil, fmt.Errorf("deploy: observe graph %s: %w", graph, err)
	}
	return func() {
		// It fails only where the provider is gone, and nobody reads any more.
		_ = registration.Unregister()
	}, nil
}
