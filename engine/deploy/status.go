// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"errors"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Reason is a reason code of a resource's status: a public name, for programs.
type Reason string

// The reasons for which a graph could not be started, or ended. A running graph has
// others, see engine.Health.
const (
	ConfigurationFailed  Reason = "DataflowGraphConfigurationFailed"  // the definition, or what the resource asks of it
	ModuleDownloadFailed Reason = "DataflowGraphModuleDownloadFailed" // an artifact
	InstantiationFailed  Reason = "DataflowGraphInstantiationFailed"  // a component: it doesn't fit, or refused to start
	RuntimeFault         Reason = "DataflowGraphModuleRuntimeFault"   // a component that makes nothing of a window that it finds
	ProcessingFailed     Reason = "DataflowGraphProcessingFailed"     // everything later

	// A broker has refused us for good: wrong credentials, for one.
	MQTTSourceConnectionFailed   Reason = "DataflowMqttSourceConnectionFailed"
	MQTTSourceSubscriptionFailed Reason = "DataflowMqttSourceSubscriptionFailed"
	MQTTTargetConnectionFailed   Reason = "DataflowMqttTargetConnectionFailed"
	KafkaSourceConnectionFailed  Reason = "DataflowKafkaSourceConnectionFailed"
	KafkaTargetConnectionFailed  Reason = "DataflowKafkaTargetConnectionFailed"
)

// Status is how a graph is, and since when.
type Status struct {
	Graph   resource.Key `json:"graph"`
	Health  engine.State `json:"status"`
	Reason  Reason       `json:"reasonCode,omitempty"`
	Message string       `json:"message,omitempty"`
	Since   time.Time    `json:"lastTransitionTime"` // of Health, as far as anybody looked
}

// Works reports whether the graph does its work. One that is degraded does, unless
// it isn't connected.
func (s Status) Works() bool {
	switch s.Health {
	case engine.Available:
		return true
	case engine.Degraded:
		return !strings.HasSuffix(string(s.Reason), "ChannelClosed")
	}
	return false
}

// Failure is an error with a reason code.
type Failure struct {
	Reason Reason
	Err    error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// failureOf returns the reason code of an error with it; nil where there is none.
func failureOf(err error) *Failure {
	var f *Failure
	var carry *schedule.CarryError
	var end *engine.EndError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.Is(err, operator.ErrInit):
		return &Failure{InstantiationFailed, err}
	case errors.As(err, &end) && end.Sink:
		return &Failure{MQTTTargetConnectionFailed, err}
	case errors.As(err, &end) && errors.Is(err, endpoint.ErrSubscription):
		return &Failure{MQTTSourceSubscriptionFailed, err}
	case errors.As(err, &end):
		return &Failure{MQTTSourceConnectionFailed, err}
	case errors.As(err, &carry):
		return &Failure{RuntimeFault, err}
	}
	return &Failure{ProcessingFailed, err}
}

// failureOf returns the reason code of the error that ended the graph with it.
func (b *bound) failureOf(err error) *Failure {
	f := failureOf(err)
	var end *engine.EndError
	switch {
	case !errors.As(err, &end) || !b.kafka(end):
	case end.Sink:
		f.Reason = KafkaTargetConnectionFailed
	default:
		f.Reason = KafkaSourceConnectionFailed
	}
	return f
}

// kafka reports whether the end that has failed is Kafka's.
func (b *bound) kafka(end *engine.EndError) bool {
	of := func(name string) bool {
		e := b.set.Endpoints[b.key(name)]
		return e != nil && e.Kafka != nil
	}
	for _, s := range b.graph.Sources {
		if !end.Sink && s.Name == end.Operation {
			return of(s.Endpoint)
		}
	}
	for _, t := range b.graph.Destinations {
		if end.Sink && t.Name == end.Operation {
			return of(t.Endpoint)
		}
	}
	return false
}
