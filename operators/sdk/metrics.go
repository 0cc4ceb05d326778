// SPDX-License-Identifier: Apache-2.0

package sdk

import "slices"

// Metrics are the runtime's metrics. A metric exists from its first use on.
type Metrics struct{ imports Imports }

// Label tells apart the series of one metric.
type Label struct{ Key, Value string }

// Counter is a number that only grows.
type Counter struct {
	imports Imports
	name    string
	labels  []Label
}

// Counter returns the counter of that name with those labels.
func (m *Metrics) Counter(name string, labels ...Label) *Counter {
	return &Counter{m.imports, name, labels}
}

// With returns the same counter with further labels.
func (c *Counter) With(labels ...Label) *Counter {
	return &Counter{c.imports, c.name, slices.Concat(c.labels, labels)}
}

// Add adds n. An error, a *MetricsError, says that the runtime did not count; an
// operator can rarely do better than to ignore it.
func (c *Counter) Add(n uint64) error { return c.imports.AddToCounter(c.name, n, c.labels) }

// Histogram is a distribution of values.
type Histogram struct {
	imports Imports
	name    string
	labels  []Label
}

// Histogram returns the histogram of that name with those labels.
func (m *Metrics) Histogram(name string, labels ...Label) *Histogram {
	return &Histogram{m.imports, name, labels}
}

// With returns the same histogram with further labels.
func (h *Histogram) With(labels ...Label) *Histogram {
	return &Histogram{h.imports, h.name, slices.Concat(h.labels, labels)}
}

// Record records v. A histogram is either of floats or of integers: its first
// value decides. See Counter.Add for errors.
func (h *Histogram) Record(v float64) error { return h.imports.RecordFloat(h.name, v, h.labels) }

// RecordUint records v in a histogram of integers. See Record.
func (h *Histogram) RecordUint(v uint64) error { return h.imports.RecordUint(h.name, v, h.labels) }

// MetricsError is the runtime's refusal to count or to record.
type MetricsError struct {
	Incompatible bool   // the name is in use for a metric of another type
	Text         string // the runtime's words
}

func (e *MetricsError) Error() string {
	if e.Incompatible {
		return "metrics: incompatible type: " + e.Text
	}
	return "metrics: lock: " + e.Text
}
