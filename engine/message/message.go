// SPDX-License-Identifier: Apache-2.0

// Package message is the vocabulary of what flows through a graph: plain data,
// shared by endpoints, the engine and operators.
//
// A Message is immutable once it has been handed on: a branch or a fan-out gives
// the same *Message to several takers. Who wants to change one copies the struct
// first (Clone); the slices in it stay shared and are replaced, never written.
package message

import "github.com/wasm-graph/graphd/engine/hlc"

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
