// SPDX-License-Identifier: Apache-2.0

// Package message is the vocabulary of what flows through a graph: plain data,
// shared by endpoints, the engine and operators.
//
// A Message is immutable once it has been handed on: a branch or a fan-out gives
// the same *Message to several takers. Who wants to change one copies the struct
// first (Clone); the slices in it stay shared and are replaced, never written.
package message

import (
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
)

// Kind is the case of the processor world's data-model variant.
type Kind uint8

// The kinds of messages.
const (
	Data     Kind = iota // a message: topic, payload, properties
	Snapshot             // an image: format, width, height; the frame is Payload
	Raw                  // bare bytes: only Payload and Time have meaning
)

// Message is one message. Absent strings are empty.
type Message struct {
	Kind        Kind
	Time        hlc.Timestamp // message time: what guests see and set
	Topic       string
	Payload     []byte
	ContentType string
	Properties  []Property // in order; keys may repeat
	Schema      *Schema

	Format        string // Snapshot only
	Width, Height uint32 // Snapshot only, in pixels

	Envelope *Envelope // nil where the transport said nothing more
}

// Envelope is what a transport says about a message beside what guests see and
// set. It travels with the message from source to sink, unread by operators; a
// sink uses what its own protocol can express.
type Envelope struct {
	Retained      bool      // the publisher asked the broker to keep it
	Text          bool      // the publisher declared the payload to be UTF-8
	Expires       time.Time // from then on not worth delivering; zero: never
	ResponseTopic string    // where the publisher expects an answer
	Correlation   []byte    // what that answer has to repeat
}

// Property is a user property.
type Property struct{ Key, Value string }

// Schema is a message's schema: a reference into a registry, or inline.
type Schema struct {
	Reference string // registry reference; empty where inline
	Name      string // inline schema's name
	Content   string // inline schema's text
}

// Property returns the value of the first user property of that key.
func (m *Message) Property(key string) (string, bool) {
	for _, p := range m.Properties {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Clone returns a shallow copy, for an owner that wants to replace fields.
func (m *Message) Clone() *Message {
	c := *m
	return &c
}
