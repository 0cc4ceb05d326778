// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"slices"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/resource"
)

// headerSink is a sink that does header actions to the user properties of each
// message.
type headerSink struct {
	endpoint.Sink
	actions []resource.HeaderAction
}

// withHeaders returns sink behind actions, or sink itself where there are none.
func withHeaders(sink endpoint.Sink, actions []resource.HeaderAction) endpoint.Sink {
	if len(actions) == 0 {
		return sink
	}
	return &headerSink{sink, actions}
}

// Trouble implements endpoint.Explainer.
func (s *headerSink) Trouble() error { return endpoint.Trouble(s.Sink) }

// Traffic implements endpoint.Counter.
func (s *headerSink) Traffic() endpoint.Traffic { return endpoint.Counted(s.Sink) }

// OmitsStamp implements endpoint.Unstamped.
func (s *headerSink) OmitsStamp() bool { return endpoint.OmitsStamp(s.Sink) }

// Send implements endpoint.Sink.
func (s *headerSink) Send(ctx context.Context, m *message.Message, done func(error)) error {
	changed := *m // m is not ours to change
	changed.Properties = slices.Clone(m.Properties)
	for _, a := range s.actions {
		changed.Properties = act(changed.Properties, a)
	}
	return s.Sink.Send(ctx, &changed, done)
}

// act does one action to properties, which it may change. What it replaces keeps the
// place of the first of that key.
func act(properties []message.Property, a resource.HeaderAction) []message.Property {
	at := slices.IndexFunc(properties, func(p message.Property) bool { return p.Key == a.Key })
	if a.Action == resource.AddHeader && at >= 0 {
		return properties
	}
	kept := properties[:0]
	for i, p := range properties {
		switch {
		case p.Key != a.Key:
			kept = append(kept, p)
		case i == at && a.Action == resource.ReplaceHeader:
			kept = append(kept, message.Property{Key: a.Key, Value: a.Value})
		}
	}
	if at < 0 && a.Action != resource.RemoveHeader {
		kept = append(kept, message.Property{Key: a.Key, Value: a.Value})
	}
	return kept
}
