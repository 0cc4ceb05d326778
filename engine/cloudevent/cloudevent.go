// SPDX-License-Identifier: Apache-2.0

// Package cloudevent gives messages the context attributes of CloudEvents 1.0
// (https://github.com/cloudevents/spec), as user properties without a prefix, as the
// MQTT binding has them. What prefix another protocol wants is its driver's business.
//
// An endpoint does one of two things about them, as Azure IoT Operations documents it
// for cloudEventAttributes. It propagates: a message that has every required attribute
// is an event, and is told the content type that it leaves with; any other message goes
// as it is. Or it creates: whatever a message lacks is added, which makes an event of
// everything.
package cloudevent

import (
	"slices"
	"time"

	"github.com/wasm-graph/graphd/engine/message"
)

// The attributes that are read or written here.
const (
	specVersion     = "specversion"
	eventType       = "type"
	source          = "source"
	id              = "id"
	subject         = "subject"
	eventTime       = "time"
	dataContentType = "datacontenttype"
	dataSchema      = "dataschema"
)

// Telemetry is the type of the events that are created.
const Telemetry = "ms.aio-dataflow.telemetry"

// Policy is what an endpoint does about the attributes. Its zero value propagates. It
// is immutable and safe for concurrent use.
type Policy struct {
	// Create adds what messages lack.
	Create bool
	// Source is the attribute "source" of events that are created, and NewID returns
	// their "id", a different one each time. Both are required with Create.
	Source string
	NewID  func() string
}

// Properties returns the user properties of m, which leaves for a topic at a time, with
// the attributes of the event that it is, and whether it is one. It doesn't change m;
// what it returns may share memory with m.
func (p Policy) Properties(m *message.Message, topic string, now time.Time) ([]message.Property, bool) {
	has := func(key string) bool { _, ok := m.Property(key); return ok }
	if !p.Create && !(has(specVersion) && has(eventType) && has(source) && has(id)) {
		return m.Properties, false
	}
	properties := slices.Clip(m.Properties) // appending copies
	add := func(key string, value func() string) {
		if !has(key) {
			properties = append(properties, message.Property{Key: key, Value: value()})
		}
	}
	if p.Create {
		text := func(s string) func() string { return func() string { return s } }
		add(specVersion, text("1.0"))
		add(eventType, text(Telemetry))
		add(source, text(p.Source))
		add(id, p.NewID)
		add(subject, text(topic))
		add(eventTime, func() string { return now.UTC().Format(time.RFC3339Nano) })
	}
	if m.ContentType == "" {
		return properties, true
	}
	at := slices.IndexFunc(properties, func(q message.Property) bool { return q.Key == dataContentType })
	switch {
	case at < 0:
		properties = append(properties, message.Property{Key: dataContentType, Value: m.ContentType})
	case properties[at].Value != m.ContentType:
		properties = slices.Clone(properties)
		properties[at].Value = m.ContentType
	}
	return properties, true
}

// IsAttribute reports whether CloudEvents 1.0 defines an attribute of that name.
func IsAttribute(key string) bool {
	switch key {
	case specVersion, eventType, source, id, subject, eventTime, dataContentType, dataSchema:
		return true
	}
	return false
}
