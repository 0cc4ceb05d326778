// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Reason is a reason code of a resource's status: a public name, for programs.
type Reason string

// The reasons for which a graph could not be started, or ended. A running graph has
// others as well, see engine.Health.
const (
	ConfigurationFailed  Reason = "DataflowGraphConfigurationFailed"  // the definition, or what the resource asks of it
	ModuleDownloadFailed Reason = "DataflowGraphModuleDownloadFailed" // an artifact
	InstantiationFailed  Reason = "DataflowGraphInstantiationFailed"  // a component: it doesn't fit, or refused to start
	RuntimeFault         Reason = "DataflowGraphModuleRuntimeFault"   // a component that makes nothing of a window that it finds
	ProcessingFailed     Reason = "DataflowGraphProcessingFailed"     // everything later

	// A broker is not there, or has refused us.
	MQTTSourceConnectionFailed   Reason = "DataflowMqttSourceConnectionFailed"
	MQTTSourceSubscriptionFailed Reason = "DataflowMqttSourceSubscriptionFailed"
	MQTTTargetConnectionFailed   Reason = "DataflowMqttTargetConnectionFailed"
	KafkaSourceConnectionFailed  Reason = "DataflowKafkaSourceConnectionFailed"
	KafkaTargetConnectionFailed  Reason = "DataflowKafkaTargetConnectionFailed"
	KafkaTargetUnreachable       Reason = "DataflowKafkaTargetEndpointUnreachable" // nobody answers
	KafkaTargetConfiguration     Reason = "DataflowKafkaTargetConfigurationError"  // no such topic, for one
	KafkaTargetSendFailed        Reason = "DataflowKafkaTargetSendFailed"          // it was connected
	SourceChannelClosed          Reason = "DataflowGraphSourceChannelClosed"       // of unknown cause
	SinkChannelClosed            Reason = "DataflowGraphSinkChannelClosed"         // of unknown cause
)

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
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.Is(err, operator.ErrInit):
		return &Failure{InstantiationFailed, err}
	case errors.As(err, &carry):
		return &Failure{RuntimeFault, err}
	}
	return &Failure{ProcessingFailed, err}
}

// failureOf returns the reason code of the error that ended the graph with it.
func (b *bound) failureOf(err error) *Failure {
	var end *engine.EndError
	if errors.As(err, &end) {
		return &Failure{reasonOf(b.set, b.graph, end.EndName, end.Err), err}
	}
	return failureOf(err)
}

// unconnected reports whether it is the reason of a graph that has no connection.
func (r Reason) unconnected() bool {
	switch r {
	case MQTTSourceConnectionFailed, MQTTSourceSubscriptionFailed, MQTTTargetConnectionFailed,
		KafkaSourceConnectionFailed, KafkaTargetConnectionFailed, KafkaTargetUnreachable, KafkaTargetConfiguration, KafkaTargetSendFailed,
		SourceChannelClosed, SinkChannelClosed:
		return true
	}
	return false
}

// reasonOf is why an end of a graph isn't connected: by what it is, and by what it says
// of itself, if anything.
func reasonOf(set *resource.Set, g *resource.DataflowGraph, end engine.EndName, trouble error) Reason {
	kafka := kafkaEnd(set, g, end)
	var network net.Error
	var alert tls.AlertError // comes as an error of the network, from somebody who was reached
	switch {
	case !end.Sink && kafka:
		return KafkaSourceConnectionFailed
	case !end.Sink && errors.Is(trouble, endpoint.ErrSubscription):
		return MQTTSourceSubscriptionFailed
	case !end.Sink:
		return MQTTSourceConnectionFailed
	case !kafka:
		return MQTTTargetConnectionFailed
	case errors.Is(trouble, endpoint.ErrConfiguration):
		return KafkaTargetConfiguration
	case errors.Is(trouble, endpoint.ErrSend):
		return KafkaTargetSendFailed
	case errors.As(trouble, &alert):
	case errors.As(trouble, &network), errors.Is(trouble, context.DeadlineExceeded):
		return KafkaTargetUnreachable
	}
	return KafkaTargetConnectionFailed
}

// kafkaEnd reports whether an end of a graph is Kafka's.
func kafkaEnd(set *resource.Set, g *resource.DataflowGraph, end engine.EndName) bool {
	of := func(name string) bool {
		e := set.Endpoints[resource.Key{Namespace: g.Namespace, Name: name}]
		return e != nil && e.Kafka != nil
	}
	for _, s := range g.Sources {
		if !end.Sink && s.Name == end.Operation {
			return of(s.Endpoint)
		}
	}
	for _, t := range g.Destinations {
		if end.Sink && t.Name == end.Operation {
			return of(t.Endpoint)
		}
	}
	for _, o := range g.Options {
		if name, _, _ := strings.Cut(o.Value, "/"); o.Name == "dead-letter" && end.Operation == "" {
			return of(name)
		}
	}
	return false
}
