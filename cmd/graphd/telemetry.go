// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/buildinfo"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
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
	meter := provider.Meter("graphd")
	_, err = meter.Int64ObservableCounter("aio_dataflow_version", metric.WithDescription("which build this is"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, metric.WithAttributes(attribute.String("version", buildinfo.Version())))
			return nil
		}))
	if err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return &telemetry{provider: provider, meter: meter, registry: registry}, nil
}

// handler serves what others want to know about this process, and what they tell it.
//
//	/healthz      200 while the process is alive
//	/readyz       200 while every graph runs and is connected, else 503
//	/status       how each resource is, and why resources are not taken over, as JSON
//	/metrics      measurements, for Prometheus
//	/api/, /apis/ what graphctl talks to; see package api
//
// The first two are for anybody: they say nothing but whether all is well. So is /, which names
// them all, for who looks with a browser. Everything else is
// for those whom the guard lets in.
func (n *node) handler(guard *api.Guard, objects *wanted.Store, server *api.Server) http.Handler {
	d := n.deployment
	open, mux := http.NewServeMux(), http.NewServeMux()
	open.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "This is graphd.\n\n"+
			"/healthz  whether it lives\n"+
			"/readyz   whether all graphs run and are connected\n"+
			"/status   how each resource is\n"+
			"/metrics  measurements, for Prometheus\n\n"+
			"graphctl get, describe, logs and tap show more.\n")
	})
	open.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	open.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := d.Ready(); err != nil {
			if guard.Token != nil {
				err = errors.New("not ready; /status says why")
			}
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		var refused *string
		if err := objects.Refused(); err != nil {
			text := err.Error()
			refused = &text
		}
		w.Header().Set("Content-Type", "application/json")
		// A reader that has gone away is its own affair.
		_ = json.NewEncoder(w).Encode(struct {
			Resources []deploy.Status `json:"resources"`
			Refused   *string         `json:"refusedResources,omitempty"`
		}{append([]deploy.Status{}, d.Status()...), refused})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.telemetry.registry, promhttp.HandlerOpts{}))
	mux.Handle("/api/", server)
	mux.Handle("/apis/", server)
	open.Handle("/", guard.Protect(mux))
	return open
}
