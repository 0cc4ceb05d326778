// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/wasm-graph/graphd/engine/message"
)

// errExpired says that a message outlived its expiry inside the graph.
var errExpired = errors.New("message has expired")

// decode makes a message of a PUBLISH that arrived at now. It takes over the
// packet's slices.
func decode(p *paho.Publish, now time.Time) *message.Message {
	m := &message.Message{Kind: message.Data, Topic: p.Topic, Payload: p.Payload}
	props := p.Properties
	m.ContentType = props.ContentType
	if len(props.User) > 0 {
		m.Properties = make([]message.Property, len(props.User))
		for i, u := range props.User {
			m.Properties[i] = message.Property{Key: u.Key, Value: u.Value}
		}
	}
	e := message.Envelope{
		Retained:      p.Retain,
		Text:          props.PayloadFormat != nil && *props.PayloadFormat == 1,
		ResponseTopic: props.ResponseTopic,
		Correlation:   props.CorrelationData,
	}
	if props.MessageExpiry != nil {
		e.Expires = now.Add(time.Duration(*props.MessageExpiry) * time.Second)
	}
	if e.Retained || e.Text || e.ResponseTopic != "" || e.Correlation != nil || !e.Expires.IsZero() {
		m.Envelope = &e
	}
	return m
}

// checkPublish reports what no broker may send at all.
func checkPublish(p *paho.Publish) *violation {
	switch {
	case p.QoS > 0 && p.PacketID == 0:
		return protocolError("a PUBLISH with packet identifier 0")
	case p.Properties.TopicAlias != nil:
		return &violation{packets.DisconnectTopicAliasInvalid, "a topic alias, and none was allowed"}
	}
	return nil
}

// checkText reports why a message is none, and the reason code to refuse it with. A
// broker should not have taken it from whoever published it, but some look at less than
// others.
func checkText(p *paho.Publish) (reason byte, err error) {
	if err := checkTopic(p.Topic); err != nil {
		return packets.PubackTopicNameInvalid, fmt.Errorf("topic: %w", err)
	}
	reason = packets.PubackImplementationSpecificError
	if err := checkString(p.Properties.ContentType); err != nil {
		return reason, fmt.Errorf("content type: %w", err)
	}
	if err := checkString(p.Properties.ResponseTopic); err != nil {
		return reason, fmt.Errorf("response topic: %w", err)
	}
	for _, u := range p.Properties.User {
		if err := errors.Join(checkString(u.Key), checkString(u.Value)); err != nil {
			return reason, fmt.Errorf("user property %q: %w", u.Key, err)
		}
	}
	return 0, nil
}

// size returns about how many bytes of memory m needs.
func size(m *message.Message) int {
	const property = 32
	n := len(m.Topic) + len(m.Payload) + len(m.ContentType) + property*len(m.Properties)
	for _, p := range m.Properties {
		n += len(p.Key) + len(p.Value)
	}
	if e := m.Envelope; e != nil {
		n += len(e.ResponseTopic) + len(e.Correlation)
	}
	return n
}

// encode makes a PUBLISH of m for topic at now. It fails where no broker could
// accept the result: malformed strings are a protocol error, which would cost the
// connection, and the packet encoder cuts long ones without a word. The error is
// errExpired where m is not worth sending any more.
func encode(m *message.Message, topic string, now time.Time) (*packets.Publish, error) {
	if err := checkTopic(topic); err != nil {
		return nil, fmt.Errorf("topic %q: %w", topic, err)
	}
	props := &packets.Properties{ContentType: m.ContentType}
	if err := checkString(m.ContentType); err != nil {
		return nil, fmt.Errorf("content type %q: %w", m.ContentType, err)
	}
	if len(m.Properties) > 0 {
		props.User = make([]packets.User, len(m.Properties))
		for i, p := range m.Properties {
			if err := errors.Join(checkString(p.Key), checkString(p.Value)); err != nil {
				return nil, fmt.Errorf("user property %q: %w", p.Key, err)
			}
			props.User[i] = packets.User{Key: p.Key, Value: p.Value}
		}
	}
	publish := &packets.Publish{Topic: topic, Payload: m.Payload, Properties: props}
	if e := m.Envelope; e != nil {
		if err := encodeEnvelope(publish, e, now); err != nil {
			return nil, err
		}
	}
	return publish, nil
}

func encodeEnvelope(p *packets.Publish, e *message.Envelope, now time.Time) error {
	p.Retain = e.Retained
	if e.Text && utf8.Valid(p.Payload) {
		// Checked, because an operator may have replaced the payload.
		text := byte(1)
		p.Properties.PayloadFormat = &text
	}
	if e.ResponseTopic != "" {
		if err := checkTopic(e.ResponseTopic); err != nil {
			return fmt.Errorf("response topic %q: %w", e.ResponseTopic, err)
		}
		p.Properties.ResponseTopic = e.ResponseTopic
	}
	if len(e.Correlation) > math.MaxUint16 {
		return fmt.Errorf("correlation data has %d bytes, at most %d can be sent", len(e.Correlation), math.MaxUint16)
	}
	p.Properties.CorrelationData = e.Correlation
	if !e.Expires.IsZero() {
		left := e.Expires.Sub(now)
		if left <= 0 {
			return errExpired
		}
		// Rounded up: zero would mean gone, and the broker counts in seconds.
		seconds := uint32(min((left+time.Second-1)/time.Second, math.MaxUint32))
		p.Properties.MessageExpiry = &seconds
	}
	return nil
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
