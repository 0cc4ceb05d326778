// SPDX-License-Identifier: Apache-2.0

// Package recording keeps messages in files: what a graph is fed with outside of any
// broker, what comes out of it, and what was recorded for a replay. It also follows
// single messages through a run (Trace), and compares two runs (Outcomes).
//
// There are two forms. Sample lines are for people, and for messages alone. A
// recording is for machines: it also knows when each message came, from which source,
// and how far the frontier was, so that a replay is the same again.
//
// # Sample lines
//
// Text, one JSON object a line:
//
//	{"topic":"sensor/raw","payload":"{\"t\":1}","contentType":"application/json",
//	 "userProperties":[["key","value"]],"timestamp":"000001700000000000:00003:node"}
//
// (on one line). Payload bytes are kept exactly: as the string "payload" where they
// are UTF-8, else as standard base64 in "payloadBase64". "timestamp" is the message
// time in the text form of package hlc; where it is missing, whoever plays the
// lines stamps the message. All but the payload may be left out. The user
// property "__ts" of a transport is not kept among the others: it is the timestamp.
//
// The package also reads a folder of samples as if it were such lines: each file
// is the payload of one message.
//
// # Recordings
//
// A recording is a sequence of frames behind eight bytes of magic, which end with the
// version of the format:
//
//	89 47 52 45 43 0d 0a 01        "\x89GREC\r\n", version 1
//	frame frame frame ...
//
// Each frame can be checked by itself:
//
//	+-------------+-------------+---------------------+
//	| length of   | CRC-32C of  | body                |
//	| the body    | length and  |                     |
//	| 4 bytes     | body        |                     |
//	|             | 4 bytes     |                     |
//	+-------------+-------------+---------------------+
//
// Both numbers have their lowest byte first. The first byte of a body is its kind. What
// follows are varints as of encoding/binary, signed ones zigzag; a string is its length,
// unsigned, and its bytes:
//
//	1 header    when it began (signed, Unix nanoseconds), what was recorded (string),
//	            the number of sources (unsigned), the name of each (string);
//	            always the first frame, and no other
//	2 message   nanoseconds since the frame before (signed), the place of its source in
//	            the header (unsigned), the message
//	3 frontier  nanoseconds since the frame before (signed), the frontier: nothing
//	            before it comes any more (signed, milliseconds)
//	4 end       nanoseconds since the frame before (signed), the number of messages
//	            (unsigned); always the last frame
//
// A message is in the form that package window keeps messages in:
//
//	version, kind         1 byte each: 1; 0 data, 1 snapshot, 2 raw
//	present               1 byte of flags, from the lowest bit: payload, schema,
//	                      envelope, retained, text, expires, correlation
//	time                  milliseconds (signed), counter, sub-milliseconds, node (string)
//	topic, content type, format     strings
//	width, height         unsigned
//	payload               string, if present
//	properties            their number, then key and value of each: strings
//	schema                if present: reference, name, content: strings
//	envelope              if present: response topic (string); if they are present,
//	                      expires: Unix seconds (signed), nanoseconds (unsigned);
//	                      correlation (string)
//
// A recording without its end frame was broken off, as by a crash; one whose frame
// doesn't fit its checksum is damaged. Both are read up to there, and a Damage says
// where that is.
package recording

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// ErrText says that a message has text that is not UTF-8 where a recording has to
// keep it as text.
var ErrText = errors.New("topic, content type, properties or time are not UTF-8")

// Record is one message of a recording.
type Record struct {
	Topic       string
	Payload     []byte
	ContentType string
	Properties  []message.Property // without the stamp, unless it came without Time and can't be read
	Time        hlc.Timestamp
	Stamped     bool // Time is given
}

// Of returns the record of m, which shares its payload and strings.
func Of(m *message.Message) Record {
	r := Record{Topic: m.Topic, Payload: m.Payload, ContentType: m.ContentType, Time: m.Time, Stamped: true}
	for _, p := range m.Properties {
		if p.Key != endpoint.StampProperty {
			r.Properties = append(r.Properties, p)
		}
	}
	return r
}

// Message returns r as a source delivers it: without a time, but with the stamp
// among the properties.
func (r Record) Message() *message.Message {
	m := &message.Message{Topic: r.Topic, Payload: r.Payload, ContentType: r.ContentType}
	if r.Stamped {
		m.Properties = append(m.Properties, message.Property{Key: endpoint.StampProperty, Value: r.Time.String()})
	}
	m.Properties = append(m.Properties, r.Properties...)
	return m
}

// line is a record as JSON. Its fields are in the order in which they are written.
type line struct {
	Topic         string      `json:"topic"`
	Payload       *string     `json:"payload,omitempty"`
	PayloadBase64 *string     `json:"payloadBase64,omitempty"`
	ContentType   string      `json:"contentType,omitempty"`
	Properties    [][2]string `json:"userProperties,omitempty"`
	Timestamp     string      `json:"timestamp,omitempty"`
}

// Writer writes records. Used by one goroutine.
type Writer struct {
	encoder *json.Encoder
}

// NewWriter returns a Writer to w, to which it makes one Write for each record.
func NewWriter(w io.Writer) *Writer {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &Writer{encoder: e}
}

// Write writes r. Strings that are not UTF-8 can't be kept as they are, but for the
// payload: the error wraps ErrText, and nothing is written.
func (w *Writer) Write(r Record) error {
	l := line{Topic: r.Topic, ContentType: r.ContentType}
	valid := utf8.ValidString(r.Topic) && utf8.ValidString(r.ContentType)
	if utf8.Valid(r.Payload) {
		s := string(r.Payload)
		l.Payload = &s
	} else {
		s := base64.StdEncoding.EncodeToString(r.Payload)
		l.PayloadBase64 = &s
	}
	for _, p := range r.Properties {
		valid = valid && utf8.ValidString(p.Key) && utf8.ValidString(p.Value)
		l.Properties = append(l.Properties, [2]string{p.Key, p.Value})
	}
	if r.Stamped {
		l.Timestamp = r.Time.String()
		valid = valid && utf8.ValidString(l.Timestamp)
	}
	if !valid {
		return fmt.Errorf("recording: write message of topic %q: %w", r.Topic, ErrText)
	}
	if err := w.encoder.Encode(l); err != nil {
		return fmt.Errorf("recording: write: %w", err)
	}
	return nil
}

// parse reads a line.
func parse(text []byte) (Record, error) {
	if !utf8.Valid(text) {
		return Record{}, errors.New("not UTF-8; payloads that are not belong into payloadBase64")
	}
	if hasLoneSurrogate(text) {
		return Record{}, errors.New(`half a surrogate pair (\ud800 to \udfff) stands alone`)
	}
	var l line
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return Record{}, tidy(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("more follows after the object")
	}
	r := Record{Topic: l.Topic, ContentType: l.ContentType}
	switch {
	case l.Payload != nil && l.PayloadBase64 != nil:
		return Record{}, errors.New("both payload and payloadBase64 are given")
	case l.Payload != nil:
		r.Payload = []byte(*l.Payload)
	case l.PayloadBase64 != nil:
		payload, err := base64.StdEncoding.Strict().DecodeString(*l.PayloadBase64)
		if err != nil {
			return Record{}, fmt.Errorf("payloadBase64: %w", err)
		}
		r.Payload = payload
	default:
		return Record{}, errors.New("neither payload nor payloadBase64 is given")
	}
	for _, p := range l.Properties {
		r.Properties = append(r.Properties, message.Property{Key: p[0], Value: p[1]})
	}
	if l.Timestamp != "" {
		t, err := hlc.Parse(l.Timestamp)
		if err != nil {
			return Record{}, fmt.Errorf("timestamp: %w", err)
		}
		r.Time, r.Stamped = t, true
	}
	return r, nil
}

// tidy takes the package's name, which means nothing to readers, out of an error of
// encoding/json.
func tidy(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not valid JSON at byte %d: %w", syntax.Offset, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not valid JSON: the line ends in the middle of the object")
	}
	return err
}

// hasLoneSurrogate reports whether text, which is JSON, escapes half a surrogate
// pair, which stands for no character.
func hasLoneSurrogate(text []byte) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		high, ok := escape(text[i:])
		if !ok || high < 0xd800 || high > 0xdfff {
			i++ // past what is escaped
			continue
		}
		low, ok := escape(text[i+6:])
		if high > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
			return true
		}
		i += 11
	}
	return false
}

// escape returns the code unit of an escape \uXXXX at the beginning of text.
func escape(text []byte) (unit uint16, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		unit <<= 4
		switch {
		case c >= '0' && c <= '9':
			unit |= uint16(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			unit |= uint16(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return unit, true
}
