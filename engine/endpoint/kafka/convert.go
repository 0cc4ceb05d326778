// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasm-graph/graphd/engine/cloudevent"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// What an MQTT message says about itself, as headers.
const (
	payloadFormat  = "Payload Format Indicator"
	responseTopic  = "Response Topic"
	messageExpiry  = "Message Expiry Interval"
	correlation    = "Correlation Data"
	contentType    = "Content Type"
	keyProperty    = "Key"       // a record's key as a user property
	timestampField = "Timestamp" // a record's timestamp, in milliseconds since 1970
)

// eventPrefixes are those of CloudEvents attributes. The first is what we write.
var eventPrefixes = [...]string{"ce_", "ce-"}

// errExpired says that a message outlived its expiry inside the graph.
var errExpired = errors.New("message has expired")

// decoder makes messages of records, for one goroutine.
type decoder struct {
	settlers []*settler // empty, with room
	slab     []slot     // for the next messages

	millis int64  // the last timestamp, which many records share
	text   string // of it; empty: there was none
}

// slot is room for a message and for what most have for properties. A few are made at
// once; those that are kept for long keep the others.
type slot struct {
	message    message.Message
	properties [2]message.Property
}

const slabSize = 16

// decode makes a message of a record that arrived at now, and returns how much of it
// could not be kept. It takes over the record's slices.
func (c *decoder) decode(r *kgo.Record, now time.Time) (m *message.Message, omitted int) {
	if len(c.slab) == 0 {
		c.slab = make([]slot, slabSize)
	}
	slot := &c.slab[0]
	c.slab = c.slab[1:]
	m = &slot.message
	*m = message.Message{Kind: message.Data, Topic: r.Topic, Payload: r.Value}
	properties := slot.properties[:0]
	if most := len(r.Headers) + 2; most > cap(properties) {
		properties = make([]message.Property, 0, most)
	}
	add := func(key string, value []byte) {
		text := string(value)
		if !isText(key) || !isText(text) {
			omitted++
			return
		}
		properties = append(properties, message.Property{Key: key, Value: text})
	}
	// First, so that who looks for them finds these and not headers of the same names,
	// which a record has that was another record's copy.
	if r.Key != nil {
		add(keyProperty, r.Key)
	}
	if !r.Timestamp.IsZero() {
		if millis := r.Timestamp.UnixMilli(); c.text == "" || c.millis != millis {
			c.millis, c.text = millis, strconv.FormatInt(millis, 10)
		}
		properties = append(properties, message.Property{Key: timestampField, Value: c.text})
	}
	prefix := eventPrefix(r.Headers)
	var e message.Envelope
	enveloped := false
	for _, h := range r.Headers {
		switch {
		case h.Key == contentType && m.ContentType == "" && isText(string(h.Value)):
			m.ContentType = string(h.Value)
		case readEnvelope(&e, h, now):
			enveloped = true
		case prefix != "":
			add(strings.TrimPrefix(h.Key, prefix), h.Value)
		default:
			add(h.Key, h.Value)
		}
	}
	if len(properties) > 0 {
		m.Properties = properties
	}
	if enveloped {
		m.Envelope = &e
	}
	return m, omitted
}

// readEnvelope takes a header that says something about the message into e. One that
// does not say it as it should is a header like any other.
func readEnvelope(e *message.Envelope, h kgo.RecordHeader, now time.Time) bool {
	value := string(h.Value)
	switch h.Key {
	case payloadFormat:
		e.Text = value == "1"
		return value == "0" || value == "1"
	case responseTopic:
		if e.ResponseTopic != "" || value == "" || !isText(value) || strings.ContainsAny(value, "+#") {
			return false
		}
		e.ResponseTopic = value
		return true
	case correlation:
		if e.Correlation != nil || h.Value == nil || len(h.Value) > math.MaxUint16 {
			return false
		}
		e.Correlation = h.Value
		return true
	case messageExpiry:
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil || !e.Expires.IsZero() {
			return false
		}
		e.Expires = now.Add(time.Duration(seconds) * time.Second)
		return true
	}
	return false
}

// eventPrefix returns the prefix of the headers that are attributes of an event; empty
// where the record is none.
func eventPrefix(headers []kgo.RecordHeader) string {
	for _, h := range headers {
		for _, prefix := range eventPrefixes {
			if h.Key == prefix+"specversion" {
				return prefix
			}
		}
	}
	return ""
}

// isText reports whether s can be part of a user property, which is an MQTT string,
// section 1.5.4.
func isText(s string) bool {
	return len(s) <= math.MaxUint16 && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// encode makes r, which is zero but for room in its headers, a record of m for topic; the
// clock is looked at where something depends on it. Values of headers are put behind text, which is returned. The error is errExpired
// where m is not worth sending any more.
func (c *Config) encode(r *kgo.Record, text []byte, m *message.Message, topic string, clock func() time.Time) ([]byte, error) {
	var now time.Time
	if m.Time.Millis == 0 || m.Envelope != nil || c.CloudEvents == CreateOrRemap {
		now = clock()
	}
	if e := m.Envelope; e != nil && !e.Expires.IsZero() && !now.Before(e.Expires) {
		return text, errExpired
	}
	r.Topic, r.Value, r.Timestamp = topic, m.Payload, now
	if r.Value == nil {
		r.Value = []byte{} // nil would say that the key is deleted
	}
	if m.Time.Millis != 0 {
		r.Timestamp = time.UnixMilli(m.Time.Millis)
	} else if stamp, ok := m.Property(endpoint.StampProperty); ok {
		if stamp, err := hlc.Parse(stamp); err == nil {
			r.Timestamp = time.UnixMilli(stamp.Millis)
		}
	}
	switch c.Partitioning {
	case TopicPartition:
		r.Key = []byte(m.Topic)
	case PropertyPartition:
		if value, ok := m.Property(c.PartitionProperty); ok {
			r.Key = []byte(value)
		}
	}
	if c.OmitProperties {
		return text, nil
	}
	events := cloudevent.Policy{Create: c.CloudEvents == CreateOrRemap, Source: c.EventSource, NewID: c.NewID}
	properties, event := events.Properties(m, topic, now)
	r.Headers = slices.Grow(r.Headers, len(properties)+2)
	add := func(key string, value []byte) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: value})
	}
	addText := func(key, value string) {
		from := len(text)
		text = append(text, value...)
		add(key, text[from:len(text):len(text)])
	}
	if e := m.Envelope; e != nil {
		if e.Text {
			addText(payloadFormat, "1")
		}
		if e.ResponseTopic != "" {
			addText(responseTopic, e.ResponseTopic)
		}
		if !e.Expires.IsZero() { // rounded up: it has not expired yet
			seconds := (e.Expires.Sub(now) + time.Second - 1) / time.Second
			addText(messageExpiry, strconv.FormatInt(int64(seconds), 10))
		}
		if e.Correlation != nil {
			add(correlation, e.Correlation)
		}
	}
	if m.ContentType != "" {
		addText(contentType, m.ContentType)
	}
	for _, p := range properties {
		key := p.Key
		if event && cloudevent.IsAttribute(key) {
			key = eventPrefixes[0] + key
		}
		addText(key, p.Value)
	}
	return text, nil
}
