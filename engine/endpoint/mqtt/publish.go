// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/engine/message"
)

// errExpired says that a message outlived its expiry inside the graph.
var errExpired = errors.New("message has expired")

// publish is a PUBLISH that arrived.
type publish struct {
	message   *message.Message
	id        uint16 // 0 at QoS 0
	duplicate bool
}

// parsePublish reads a PUBLISH of which body is what follows the length. It keeps
// nothing of body.
func parsePublish(first byte, body []byte) (publish, error) {
	p := publish{duplicate: first&8 != 0}
	qos := first >> 1 & 3
	// Where the payload begins: what is before it becomes one string, of which the
	// message's text is parts.
	end, err := payloadAt(qos, body)
	if err != nil {
		return publish{}, err
	}
	f := fields{rest: string(body[:end])}
	m := &message.Message{Kind: message.Data, Topic: f.string()}
	if qos > 0 {
		if p.id = f.uint16(); p.id == 0 {
			return publish{}, protocolError("a PUBLISH with packet identifier 0")
		}
	}
	f.varint()
	e := message.Envelope{Retained: first&1 != 0}
	if err := parseProperties(f, m, &e); err != nil {
		return publish{}, err
	}
	if e.Retained || e.Text || e.ResponseTopic != "" || e.Correlation != nil || !e.Expires.IsZero() {
		m.Envelope = &e
	}
	m.Payload = append([]byte{}, body[end:]...)
	p.message = m
	return p, nil
}

// payloadAt returns where the payload of a PUBLISH begins.
func payloadAt(qos byte, body []byte) (int, error) {
	at := 2
	if len(body) >= at {
		at += int(binary.BigEndian.Uint16(body))
	}
	if qos > 0 {
		at += 2
	}
	length := 0
	for i := range 4 {
		if at >= len(body) {
			return 0, malformed("a PUBLISH that ends before its properties")
		}
		b := body[at]
		at++
		if length |= int(b&0x7f) << (7 * i); b < 0x80 {
			break
		}
		if i == 3 {
			return 0, malformed("a length of more than four bytes")
		}
	}
	switch {
	case length > len(body)-at:
		return 0, malformed("properties of %d bytes, with %d left", length, len(body)-at)
	case length > maxProperties:
		return 0, &violation{packets.DisconnectPacketTooLarge, fmt.Sprintf("properties of %d bytes, at most %d are taken", length, maxProperties)}
	}
	return at + length, nil
}

// The properties of a PUBLISH, section 3.3.2.3.
const (
	payloadFormat   = 0x01
	messageExpiry   = 0x02
	contentType     = 0x03
	responseTopic   = 0x08
	correlationData = 0x09
	subscriptionID  = 0x0b
	topicAlias      = 0x23
	userProperty    = 0x26
)

// parseProperties reads the properties of a PUBLISH into m and e.
func parseProperties(f fields, m *message.Message, e *message.Envelope) error {
	users := 0
	for count := f; count.rest != ""; {
		id := count.byte()
		switch {
		case id == userProperty:
			users++
		case id == topicAlias:
			return &violation{packets.DisconnectTopicAliasInvalid, "a topic alias, and none was allowed"}
		}
		if !skipProperty(&count, id) {
			return malformed("property 0x%02x in a PUBLISH", id)
		}
		if count.bad {
			return malformed("a PUBLISH that ends within a property")
		}
	}
	if users > 0 {
		m.Properties = make([]message.Property, 0, users)
	}
	for f.rest != "" {
		switch id := f.byte(); id {
		case payloadFormat:
			e.Text = f.byte() == 1
		case messageExpiry:
			e.Expires = time.Now().Add(time.Duration(f.uint32()) * time.Second)
		case contentType:
			m.ContentType = f.string()
		case responseTopic:
			e.ResponseTopic = f.string()
		case correlationData:
			e.Correlation = append([]byte{}, f.string()...)
		case userProperty:
			m.Properties = append(m.Properties, message.Property{Key: f.string(), Value: f.string()})
		default: // what a broker says about the subscription
			skipProperty(&f, id)
		}
	}
	return nil
}

// skipProperty takes the value of a property. It reports false where a PUBLISH has no
// such property.
func skipProperty(f *fields, id byte) bool {
	switch id {
	case payloadFormat:
		f.byte()
	case messageExpiry:
		f.uint32()
	case subscriptionID:
		f.varint()
	case contentType, responseTopic, correlationData:
		f.string()
	case userProperty:
		f.string()
		f.string()
	default:
		return false
	}
	return true
}

// checkText reports why a message is none, and the reason code to refuse it with. A
// broker should not have taken it from whoever published it, but some look at less than
// others.
func checkText(m *message.Message) (reason byte, err error) {
	if err := checkTopic(m.Topic); err != nil {
		return packets.PubackTopicNameInvalid, fmt.Errorf("topic: %w", err)
	}
	reason = packets.PubackImplementationSpecificError
	if err := checkString(m.ContentType); err != nil {
		return reason, fmt.Errorf("content type: %w", err)
	}
	if e := m.Envelope; e != nil {
		if err := checkString(e.ResponseTopic); err != nil {
			return reason, fmt.Errorf("response topic: %w", err)
		}
	}
	for i := range m.Properties {
		if err := checkProperty(&m.Properties[i]); err != nil {
			return reason, err
		}
	}
	return 0, nil
}

func checkProperty(p *message.Property) error {
	err := checkString(p.Key)
	if err == nil {
		err = checkString(p.Value)
	}
	if err != nil {
		return fmt.Errorf("user property %q: %w", p.Key, err)
	}
	return nil
}

// size returns about how many bytes of memory m needs.
func size(m *message.Message) int {
	const property = 32
	n := len(m.Topic) + len(m.Payload) + len(m.ContentType) + property*len(m.Properties)
	for i := range m.Properties {
		n += len(m.Properties[i].Key) + len(m.Properties[i].Value)
	}
	if e := m.Envelope; e != nil {
		n += len(e.ResponseTopic) + len(e.Correlation)
	}
	return n
}

// outgoing is how a message is published.
type outgoing struct {
	topic     string
	qos       byte
	id        uint16 // at QoS 1
	duplicate bool
	retain    bool // the retain flag may be set
}

// appendPublish adds the PUBLISH of m, sent at now, to b. It fails where no broker could
// accept the result: malformed strings are a protocol error, which would cost the
// connection. The error is errExpired where m is not worth sending any more.
func appendPublish(b []byte, m *message.Message, o outgoing, now time.Time) ([]byte, error) {
	if err := checkTopic(o.topic); err != nil {
		return b, fmt.Errorf("topic %q: %w", o.topic, err)
	}
	var expiry uint32
	var e message.Envelope
	if m.Envelope != nil {
		e = *m.Envelope
		var err error
		if expiry, err = checkEnvelope(&e, now); err != nil {
			return b, err
		}
		e.Text = e.Text && utf8.Valid(m.Payload) // an operator may have replaced the payload
	}
	size, err := propertiesSize(m, &e)
	if err != nil {
		return b, err
	}
	length := 2 + len(o.topic) + varintSize(size) + size + len(m.Payload)
	first := byte(packets.PUBLISH<<4) | o.qos<<1
	if o.qos > 0 {
		length += 2
		if o.duplicate {
			first |= 8
		}
	}
	if length > maxLength {
		return b, fmt.Errorf("packet of %d bytes: the protocol has room for %d", length, maxLength)
	}
	if e.Retained && o.retain {
		first |= 1
	}
	b = appendVarint(append(b, first), length)
	b = appendString(b, o.topic)
	if o.qos > 0 {
		b = append(b, byte(o.id>>8), byte(o.id))
	}
	b = appendVarint(b, size)
	b = appendProperties(b, m, &e, expiry)
	return append(b, m.Payload...), nil
}

// checkEnvelope checks e, and returns the seconds until it expires, 0 for never.
func checkEnvelope(e *message.Envelope, now time.Time) (uint32, error) {
	if e.ResponseTopic != "" {
		if err := checkTopic(e.ResponseTopic); err != nil {
			return 0, fmt.Errorf("response topic %q: %w", e.ResponseTopic, err)
		}
	}
	if len(e.Correlation) > math.MaxUint16 {
		return 0, fmt.Errorf("correlation data has %d bytes, at most %d can be sent", len(e.Correlation), math.MaxUint16)
	}
	if e.Expires.IsZero() {
		return 0, nil
	}
	left := e.Expires.Sub(now)
	if left <= 0 {
		return 0, errExpired
	}
	// Rounded up: zero would mean gone, and the broker counts in seconds.
	return uint32(min((left+time.Second-1)/time.Second, math.MaxUint32)), nil
}

// propertiesSize checks the properties of the PUBLISH of m, and returns how many bytes
// appendProperties makes of them.
func propertiesSize(m *message.Message, e *message.Envelope) (int, error) {
	size := 0
	if m.ContentType != "" {
		if err := checkString(m.ContentType); err != nil {
			return 0, fmt.Errorf("content type %q: %w", m.ContentType, err)
		}
		size += 3 + len(m.ContentType)
	}
	for i := range m.Properties {
		p := &m.Properties[i]
		if err := checkProperty(p); err != nil {
			return 0, err
		}
		size += 5 + len(p.Key) + len(p.Value)
	}
	if e.Text {
		size += 2
	}
	if !e.Expires.IsZero() {
		size += 5
	}
	if e.ResponseTopic != "" {
		size += 3 + len(e.ResponseTopic)
	}
	if len(e.Correlation) > 0 {
		size += 3 + len(e.Correlation)
	}
	return size, nil
}

func appendProperties(b []byte, m *message.Message, e *message.Envelope, expiry uint32) []byte {
	if e.Text {
		b = append(b, payloadFormat, 1)
	}
	if !e.Expires.IsZero() {
		b = binary.BigEndian.AppendUint32(append(b, messageExpiry), expiry)
	}
	if m.ContentType != "" {
		b = appendString(append(b, contentType), m.ContentType)
	}
	if e.ResponseTopic != "" {
		b = appendString(append(b, responseTopic), e.ResponseTopic)
	}
	if len(e.Correlation) > 0 {
		b = appendString(append(b, correlationData), e.Correlation)
	}
	for i := range m.Properties {
		p := &m.Properties[i]
		b = appendString(append(b, userProperty), p.Key)
		b = appendString(b, p.Value)
	}
	return b
}

// checkString reports why s cannot be an MQTT string, section 1.5.4.
func checkString(s string) error {
	switch {
	case len(s) > math.MaxUint16:
		return fmt.Errorf("%d bytes, at most %d can be sent", len(s), math.MaxUint16)
	case !utf8.ValidString(s):
		return errors.New("not UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		return errors.New("contains a null character")
	}
	return nil
}

// checkTopic reports why s cannot be the topic of a message.
func checkTopic(s string) error {
	if s == "" {
		return errors.New("empty")
	}
	if strings.ContainsAny(s, "+#") {
		return errors.New("contains a wildcard")
	}
	return checkString(s)
}

// filter returns the subscription for a topic filter as users write it: the
// "$shared" of Azure IoT Operations becomes MQTT's "$share".
func filter(s string) (string, error) {
	if rest, ok := strings.CutPrefix(s, "$shared/"); ok {
		s = "$share/" + rest
	}
	if err := checkString(s); err != nil {
		return "", err
	}
	levels := s
	if rest, ok := strings.CutPrefix(s, "$share/"); ok {
		group, shared, ok := strings.Cut(rest, "/")
		if !ok || group == "" || strings.ContainsAny(group, "+#") {
			return "", errors.New("a shared subscription is written $share/GROUP/FILTER")
		}
		levels = shared
	}
	if levels == "" {
		return "", errors.New("empty")
	}
	parts := strings.Split(levels, "/")
	for i, part := range parts {
		switch {
		case part == "#" && i < len(parts)-1:
			return "", errors.New("# must be the last level")
		case len(part) > 1 && strings.ContainsAny(part, "+#"):
			return "", errors.New("a wildcard must fill its level")
		}
	}
	return s, nil
}
