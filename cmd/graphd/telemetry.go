// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/wasm-graph/graphd/engine/deploy"
)

// telemetry is where measurements go, and where they can be read.
type telemetry struct {
	provider *sdkmetric.MeterProvider
	meter    metric.Meter
	registry *prometheus.Registry
}

func newTelemetry() (*telemetry, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Names stay as they are: operators choose their own, and some are public.
	reader, err := exporter.New(exporter.WithRegisterer(registry),
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithoutSuffixes),
		exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	return &telemetry{provider: provider, meter: provider.Meter("graphd"), registry: registry}, nil
}

// handler serves what others want to know about this process.
//
//	/healthz  200 while the process is alive
//	/readyz   200 while every graph runs and is connected, else 503
//	/status   how each resource is, and why resources are not taken over, as JSON
//	/metrics  measurements, for Prometheus
//	/tap      a recording of what flows through a graph, to this machine; see taps
//
// refused says what is wrong with the resources that were read last; nil: nothing.
func (t *telemetry) handler(d *deploy.Deployment, refused *atomic.Pointer[string], logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := d.Ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// A reader that has gone away is its own affair.
		_ = json.NewEncoder(w).Encode(struct {
			Resources []deploy.Status `json:"resources"`
			Refused   *string         `json:"refusedResources,omitempty"`
		}{append([]deploy.Status{}, d.Status()...), refused.Load()})
	})
	mux.Handle("GET /tap", &taps{deployment: d, logger: logger})
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{}))
	return mux
}
