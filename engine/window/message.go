// SPDX-License-Identifier: Apache-2.0

package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// The binary form of a message. Integers are varints, as of encoding/binary; a
// string is its length and its bytes.
//
//	version   1 byte: 1
//	kind      1 byte
//	present   1 byte of flags: payload, schema, envelope; and of the latter retained,
//	          text, expires, correlation
//	time      milliseconds (signed), counter, sub-milliseconds, node (string)
//	topic     string
//	content type, format  strings
//	width, height         of a snapshot
//	payload   string, if present
//	properties            their number, then key and value of each: strings
//	schema    reference, name, content: strings, if present
//	envelope  response topic (string); expires: seconds (signed), nanoseconds;
//	          correlation (string), each if present
const version = 1

// Flags of what is present.
const (
	hasPayload = 1 << iota
	hasSchema
	hasEnvelope
	isRetained
	isText
	hasExpiry
	hasCorrelation
)

// errShort says that a message ends before its end.
var errShort = errors.New("unexpected end")

// AppendMessage appends the binary form of m to b.
func AppendMessage(b []byte, m *message.Message) []byte {
	var flags byte
	set := func(flag byte, present bool) {
		if present {
			flags |= flag
		}
	}
	set(hasPayload, m.Payload != nil)
	set(hasSchema, m.Schema != nil)
	if e := m.Envelope; e != nil {
		set(hasEnvelope, true)
		set(isRetained, e.Retained)
		set(isText, e.Text)
		set(hasExpiry, !e.Expires.IsZero())
		set(hasCorrelation, e.Correlation != nil)
	}
	b = append(b, version, byte(m.Kind), flags)
	b = AppendTime(b, m.Time)
	for _, text := range []string{m.Topic, m.ContentType, m.Format} {
		b = AppendText(b, text)
	}
	b = binary.AppendUvarint(b, uint64(m.Width))
	b = binary.AppendUvarint(b, uint64(m.Height))
	if m.Payload != nil {
		b = AppendText(b, m.Payload)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Properties)))
	for _, p := range m.Properties {
		b = AppendText(AppendText(b, p.Key), p.Value)
	}
	if s := m.Schema; s != nil {
		b = AppendText(AppendText(AppendText(b, s.Reference), s.Name), s.Content)
	}
	if e := m.Envelope; e != nil {
		b = AppendText(b, e.ResponseTopic)
		if !e.Expires.IsZero() {
			b = binary.AppendVarint(b, e.Expires.Unix())
			b = binary.AppendUvarint(b, uint64(e.Expires.Nanosecond()))
		}
		if e.Correlation != nil {
			b = AppendText(b, e.Correlation)
		}
	}
	return b
}

// AppendTime appends the binary form of a timestamp, which is part of a message's.
func AppendTime(b []byte, t hlc.Timestamp) []byte {
	b = binary.AppendVarint(b, t.Millis)
	b = binary.AppendUvarint(b, t.Counter)
	b = binary.AppendUvarint(b, uint64(t.SubMillis))
	return AppendText(b, t.Node)
}

// AppendText appends a string, as Decoder.Text takes it off.
func AppendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// DecodeMessage takes a message off the front of b and returns it, with copies of
// its bytes, and what follows it.
func DecodeMessage(b []byte) (*message.Message, []byte, error) {
	d := Decoder{b: b}
	m := d.Message()
	return m, d.b, d.Err()
}

// Decoder takes values off the front of bytes. After the first that can't be had,
// Err says why, and all others are zero.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder returns a Decoder of b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err returns why a value could not be had, or nil.
func (d *Decoder) Err() error { return d.err }

// Rest returns what is not decoded yet.
func (d *Decoder) Rest() []byte { return d.b }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("window: decode: %w", err)
	}
	d.b = nil
}

// Byte returns the next byte.
func (d *Decoder) Byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// Unsigned returns the next unsigned varint.
func (d *Decoder) Unsigned() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return x
}

// Signed returns the next signed varint.
func (d *Decoder) Signed() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return x
}

// raw returns the next string without copying it; nil after an error.
func (d *Decoder) raw() []byte {
	n := d.Unsigned()
	if n > uint64(len(d.b)) {
		d.fail(errShort)
	}
	if d.err != nil {
		return nil
	}
	text := d.b[:n]
	d.b = d.b[n:]
	return text
}

// Text returns the next string.
func (d *Decoder) Text() string { return string(d.raw()) }

// Time returns the next timestamp.
func (d *Decoder) Time() hlc.Timestamp {
	t := hlc.Timestamp{Millis: d.Signed(), Counter: d.Unsigned(), SubMillis: uint32(d.Unsigned())}
	t.Node = d.Text()
	return t
}

// Message returns the next message, nil if it can't be had.
func (d *Decoder) Message() *message.Message {
	if v := d.Byte(); v != version && d.err == nil {
		d.fail(fmt.Errorf("message of version %d, want %d", v, version))
	}
	m := &message.Message{Kind: message.Kind(d.Byte())}
	flags := d.Byte()
	m.Time = d.Time()
	m.Topic, m.ContentType, m.Format = d.Text(), d.Text(), d.Text()
	m.Width, m.Height = uint32(d.Unsigned()), uint32(d.Unsigned())
	if flags&hasPayload != 0 {
		m.Payload = append([]byte{}, d.raw()...)
	}
	// A property takes two bytes at least, so no number makes us reserve much more
	// than there is.
	n := d.Unsigned()
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return nil
	}
	for range n {
		m.Properties = append(m.Properties, message.Property{Key: d.Text(), Value: d.Text()})
	}
	if flags&hasSchema != 0 {
		m.Schema = &message.Schema{Reference: d.Text(), Name: d.Text(), Content: d.Text()}
	}
	if flags&hasEnvelope != 0 {
		e := &message.Envelope{Retained: flags&isRetained != 0, Text: flags&isText != 0, ResponseTopic: d.Text()}
		if flags&hasExpiry != 0 {
			e.Expires = time.Unix(d.Signed(), int64(d.Unsigned()))
		}
		if flags&hasCorrelation != 0 {
			e.Correlation = append([]byte{}, d.raw()...)
		}
		m.Envelope = e
	}
	if d.err != nil {
		return nil
	}
	return m
}
