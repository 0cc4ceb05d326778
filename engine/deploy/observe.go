// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/resource"
)

// fault is why a graph failed or got worse.
type fault struct {
	graph  resource.Key
	reason Reason
}

// code is the fault as an error code of public metrics.
func (f fault) code() string {
	switch f.reason {
	case ConfigurationFailed, KafkaTargetConfiguration:
		return "ConfigError"
	case RuntimeFault, ProcessingFailed, InstantiationFailed:
		return "InternalError"
	}
	return string(f.reason)
}

// errorsDescription is that of flowErrors, which has two parts: faults of graphs, counted
// here, and of messages, counted by what runs.
const errorsDescription = "times that a graph failed or got worse; PayloadError: messages refused for what is in them"

// count counts a fault.
func (d *Deployment) count(i instance, reason Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errors[fault{i.Key, reason}]++
}

// Observe has what the deployment knows of itself measured for as long as meter is read.
// It is called once.
func (d *Deployment) Observe(meter metric.Meter) error {
	flows, err1 := meter.Int64ObservableGauge("aio_dataflow_active_dataflows", metric.WithDescription("Dataflows that run"))
	graphs, err2 := meter.Int64ObservableGauge("aio_dataflow_active_dataflow_graphs", metric.WithDescription("DataflowGraphs that run"))
	failing, err3 := meter.Int64ObservableGauge("aio_dataflow_reconcile_errors", metric.WithDescription("1 while something that is wanted can't be had, else 0"))
	faults, err4 := meter.Int64ObservableCounter(flowErrors, metric.WithDescription(errorsDescription))
	broken, err5 := meter.Int64ObservableCounter("aio_dataflow_graph_errors", metric.WithDescription("artifacts that could not be had or used"))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		active, wrong := map[bool]int64{}, int64(0)
		for _, s := range d.survey() {
			switch {
			case !s.Runs() || s.Disabled:
				continue
			case s.Health.State == engine.Available || s.Health.State == engine.Degraded:
				active[s.Kind == DataflowKind]++
			}
			switch s.Health.Reason {
			case ConfigurationFailed, ModuleDownloadFailed, InstantiationFailed:
				wrong = 1
			}
		}
		o.ObserveInt64(flows, active[true])
		o.ObserveInt64(graphs, active[false])
		o.ObserveInt64(failing, wrong)
		for f, n := range d.errors {
			id := f.graph.String()
			if f.graph.Namespace == resource.DefaultNamespace {
				id = f.graph.Name
			}
			of := metric.WithAttributeSet(attribute.NewSet(attribute.String("dataflow_id", id), attribute.String("error_code", f.code()), attribute.String("reason_code", string(f.reason))))
			o.ObserveInt64(faults, n, of)
			switch f.reason {
			case ConfigurationFailed, ModuleDownloadFailed, InstantiationFailed:
				o.ObserveInt64(broken, n, of)
			}
		}
		return nil
	}, flows, graphs, failing, faults, broken)
	return err
}
