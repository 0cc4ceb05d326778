// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/message"
)

// packed is a packet as the client library writes it.
func packed(t testing.TB, p packets.Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// split takes a whole packet apart.
func split(t testing.TB, b []byte) (first byte, body []byte) {
	t.Helper()
	f, ok, err := parseFrame(b)
	if !ok || err != nil || f.header+f.length != len(b) {
		t.Fatalf("packet of %d bytes: frame %+v, %v, %v", len(b), f, ok, err)
	}
	return f.first, b[f.header:]
}

func pointer[T any](v T) *T { return &v }

var (
	now  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	full = message.Message{
		Topic: "a/b", Payload: []byte("23.5 °C"), ContentType: "text/plain",
		Properties: []message.Property{{Key: "k", Value: "v"}, {Key: "k", Value: ""}},
		Envelope:   &message.Envelope{Retained: true, Text: true, Expires: now.Add(89500 * time.Millisecond), ResponseTopic: "r/t", Correlation: []byte{0, 1}},
	}
	fullPacket = packets.Publish{
		Topic: "a/b", Payload: []byte("23.5 °C"), QoS: 1, PacketID: 700, Duplicate: true, Retain: true,
		Properties: &packets.Properties{
			ContentType: "text/plain", User: []packets.User{{Key: "k", Value: "v"}, {Key: "k", Value: ""}},
			PayloadFormat: pointer(byte(1)), MessageExpiry: pointer(uint32(90)), ResponseTopic: "r/t", CorrelationData: []byte{0, 1},
		},
	}
)

// TestPublish: what we write the client library reads as it is meant, and the other way
// round.
func TestPublish(t *testing.T) {
	plain := message.Message{Topic: "t", Payload: []byte{}}
	large := message.Message{Topic: "t", Payload: bytes.Repeat([]byte("x"), 70_000)}
	for _, tt := range []struct {
		name     string
		message  message.Message
		outgoing outgoing
		packet   packets.Publish
	}{
		{"everything", full, outgoing{topic: "a/b", qos: 1, id: 700, duplicate: true, retain: true}, fullPacket},
		{"nothing", plain, outgoing{topic: "t"}, packets.Publish{Topic: "t", Payload: []byte{}, Properties: &packets.Properties{}}},
		{"large", large, outgoing{topic: "t", qos: 1, id: math.MaxUint16}, packets.Publish{Topic: "t", QoS: 1, PacketID: math.MaxUint16, Payload: large.Payload, Properties: &packets.Properties{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bytesOf, err := appendPublish([]byte("before"), &tt.message, tt.outgoing, now)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(bytesOf, []byte("before")) {
				t.Fatalf("what was in the buffer is gone: %q", bytesOf[:6])
			}
			read, err := packets.ReadPacket(bytes.NewReader(bytesOf[6:]))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.packet, read.Content); diff != "" {
				t.Errorf("the client library reads (-want +got):\n%s", diff)
			}

			p, err := parsePublish(split(t, packed(t, &tt.packet)))
			if err != nil {
				t.Fatal(err)
			}
			if p.id != tt.outgoing.id || p.duplicate != tt.outgoing.duplicate {
				t.Errorf("read identifier %d, duplicate %v, want %+v", p.id, p.duplicate, tt.outgoing)
			}
			if e := p.message.Envelope; e != nil {
				if left := time.Until(e.Expires); left > 90*time.Second || left < 60*time.Second {
					t.Errorf("expires in %v, want 90s", left)
				}
				e.Expires = tt.message.Envelope.Expires
			}
			if diff := cmp.Diff(&tt.message, p.message); diff != "" {
				t.Errorf("we read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPublishRefused(t *testing.T) {
	long := strings.Repeat("x", math.MaxUint16+1)
	for _, tt := range []struct {
		name  string
		topic string
		edit  func(*message.Message)
		want  string
	}{
		{"no topic", "", nil, "empty"},
		{"wildcard", "a/+", nil, "wildcard"},
		{"content type", "t", func(m *message.Message) { m.ContentType = "\x00" }, "null character"},
		{"key", "t", func(m *message.Message) { m.Properties = []message.Property{{Key: "\xff"}} }, "not UTF-8"},
		{"value", "t", func(m *message.Message) { m.Properties = []message.Property{{Key: "k", Value: long}} }, "65536 bytes"},
		{"response topic", "t", func(m *message.Message) { m.Envelope = &message.Envelope{ResponseTopic: "#"} }, "response topic"},
		{"correlation", "t", func(m *message.Message) { m.Envelope = &message.Envelope{Correlation: []byte(long)} }, "correlation data"},
		{"expired", "t", func(m *message.Message) { m.Envelope = &message.Envelope{Expires: now} }, errExpired.Error()},
		{"size", "t", func(m *message.Message) { m.Payload = make([]byte, maxLength) }, "the protocol has room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &message.Message{}
			if tt.edit != nil {
				tt.edit(m)
			}
			b, err := appendPublish(nil, m, outgoing{topic: tt.topic}, now)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(b) > 0 {
				t.Errorf("appendPublish = %d bytes, %v; want an error with %q", len(b), err, tt.want)
			}
		})
	}
}

// TestPublishCut: a PUBLISH that ends anywhere before its payload is malformed.
func TestPublishCut(t *testing.T) {
	first, body := split(t, packed(t, &fullPacket))
	for n := range len(body) - len(fullPacket.Payload) {
		if p, err := parsePublish(first, body[:n]); code(err) != packets.DisconnectMalformedPacket {
			t.Errorf("parsePublish of %d bytes = %+v, %v; want a malformed packet", n, p, err)
		}
	}
	for _, tt := range []struct {
		name   string
		packet []byte
		want   byte
	}{
		{"identifier 0", []byte{1 << 1, 0, 1, 't', 0, 0, 0}, packets.DisconnectProtocolError},
		{"property of a CONNACK", []byte{0, 0, 1, 't', 2, 0x24, 1}, packets.DisconnectMalformedPacket},
		{"topic alias", []byte{0, 0, 0, 3, 0x23, 0, 1}, packets.DisconnectTopicAliasInvalid},
		{"properties without end", []byte{0, 0, 1, 't', 0xff, 0xff, 0xff, 0xff, 0xff}, packets.DisconnectMalformedPacket},
		{"large properties", append([]byte{0, 0, 1, 't', 0x80, 0x80, 0x80, 2}, make([]byte, maxProperties+1)...), packets.DisconnectMalformedPacket},
		{"larger properties", append([]byte{0, 0, 1, 't', 0x81, 0x80, 0x80, 2}, make([]byte, maxProperties+1)...), packets.DisconnectPacketTooLarge},
	} {
		if p, err := parsePublish(tt.packet[0], tt.packet[1:]); code(err) != tt.want {
			t.Errorf("%s: parsePublish = %+v, %v; want code 0x%02x", tt.name, p, err, tt.want)
		}
	}
}

// code is that of a violation, 0 of another error.
func code(err error) byte {
	if v := (*violation)(nil); errors.As(err, &v) {
		return v.code
	}
	return 0
}

func TestPuback(t *testing.T) {
	for _, tt := range []struct {
		name   string
		packet packets.Puback
		want   puback
	}{
		{"taken", packets.Puback{PacketID: 513, Properties: &packets.Properties{}}, puback{id: 513}},
		{"nobody listens", packets.Puback{PacketID: 1, ReasonCode: 0x10, Properties: &packets.Properties{}}, puback{id: 1}},
		{"refused", packets.Puback{PacketID: 2, ReasonCode: 0x87, Properties: &packets.Properties{}}, puback{2, &ReasonError{Code: 0x87}}},
		{"explained", packets.Puback{PacketID: 3, ReasonCode: 0x97, Properties: &packets.Properties{ReasonString: "full", User: []packets.User{{Key: "a", Value: "b"}}}},
			puback{3, &ReasonError{Code: 0x97, Reason: "full"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, body := split(t, packed(t, &tt.packet))
			got, err := parsePuback(body)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(puback{})); diff != "" || err != nil {
				t.Errorf("parsePuback: %v (-want +got):\n%s", err, diff)
			}
		})
	}
	if got, err := parsePuback([]byte{0, 1, 0x87}); err != nil || got.reason == nil || got.reason.Code != 0x87 {
		t.Errorf("parsePuback without properties = %+v, %v, want reason 0x87", got, err)
	}
	if p, err := parsePuback([]byte{0, 1, 0xff, 0}); code(err) != packets.DisconnectProtocolError {
		t.Errorf("parsePuback with an unknown reason = %+v, %v", p, err)
	}
	for _, body := range [][]byte{nil, {1}, {0, 1, 0x80, 3, 0x1f, 0, 9}, {0, 1, 0x80, 2, 0x01, 0}, {0, 1, 0, 1}} {
		if p, err := parsePuback(body); code(err) != packets.DisconnectMalformedPacket {
			t.Errorf("parsePuback(% x) = %+v, %v; want a malformed packet", body, p, err)
		}
	}
	for _, reason := range []byte{0, 0x90} {
		got, err := packets.ReadPacket(bytes.NewReader(appendPuback(nil, 513, reason)))
		if err != nil || got.Content.(*packets.Puback).PacketID != 513 || got.Content.(*packets.Puback).ReasonCode != reason {
			t.Errorf("the client library reads %v, %v, want a PUBACK of 513 with reason 0x%02x", got, err, reason)
		}
	}
}

// recorder is a taker that writes down what it is given.
type recorder struct{ got []string }

func (r *recorder) take(first byte, body []byte) error {
	if string(body) == "fail" {
		return malformed("fail")
	}
	r.got = append(r.got, packets.NewControlPacket(first>>4).PacketType()+" "+string(body[:min(len(body), 4)]))
	return nil
}

func (r *recorder) taken() error {
	r.got = append(r.got, "taken")
	return nil
}

// TestServe: the taker gets its packets, and the client library all others, whole and in
// order, however the bytes come in.
func TestServe(t *testing.T) {
	publish := func(text string) []byte {
		return append(appendVarint([]byte{packets.PUBLISH << 4}, len(text)), text...)
	}
	pong := []byte{packets.PINGRESP << 4, 0}
	stream := bytes.Join([][]byte{
		publish("one"), publish("two"), pong, publish(strings.Repeat("big ", mostInput)), {packets.PUBACK << 4, 2, '#', '7'}, pong, publish("last"),
	}, nil)
	want := []string{"PUBLISH one", "PUBLISH two", "PUBLISH big ", "PUBACK #7", "PUBLISH last"}
	for name, from := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"by halves":    iotest.HalfReader(bytes.NewReader(stream)),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			c := &conn{input: input{from: from}, maxPacket: 1 << 20}
			c.serve(r)
			passed, err := io.ReadAll(c)
			if !bytes.Equal(passed, append(pong, pong...)) || err != nil {
				t.Errorf("passed % x, %v, want two PINGRESPs", passed, err)
			}
			if len(r.got) == 0 || r.got[len(r.got)-1] != "taken" {
				t.Errorf("the taker isn't told that there is no more: %q", r.got)
			}
			var got []string
			for _, line := range r.got {
				if line != "taken" {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

// TestServeFaults: what the taker refuses, or is no packet, ends the reading; what came
// before is handed on.
func TestServeFaults(t *testing.T) {
	good := []byte{packets.PUBLISH << 4, 3, 'o', 'n', 'e'}
	for name, bad := range map[string][]byte{
		"refused":          {packets.PUBLISH << 4, 4, 'f', 'a', 'i', 'l'},
		"length of 5":      {packets.PUBLISH << 4, 0xff, 0xff, 0xff, 0xff, 1},
		"length of a ping": {packets.PINGRESP << 4, 0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			c := &conn{input: input{from: bytes.NewReader(append(good, bad...))}, maxPacket: 1 << 20}
			c.serve(r)
			if passed, err := io.ReadAll(c); code(err) != packets.DisconnectMalformedPacket || len(passed) > 0 {
				t.Errorf("passed %q, %v, want a malformed packet", passed, err)
			}
			if diff := cmp.Diff([]string{"PUBLISH one", "taken"}, r.got); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueue(t *testing.T) {
	var q queue[int]
	next, first := 0, 0
	for step := range 1000 {
		for range step % 37 {
			q.push(next)
			next++
		}
		for range min(step%35, q.len()) {
			if got := q.pop(); got != first {
				t.Fatalf("pop = %d, want %d", got, first)
			}
			first++
		}
		for i := range q.len() {
			if got := *q.at(i); got != first+i {
				t.Fatalf("at(%d) = %d, want %d", i, got, first+i)
			}
		}
		if q.len() != next-first {
			t.Fatalf("len = %d, want %d", q.len(), next-first)
		}
	}
}

// FuzzPublish: whatever comes is read or refused, and what is read and may be published
// is the same again.
func FuzzPublish(f *testing.F) {
	for _, p := range []*packets.Publish{&fullPacket, {Topic: "t", Properties: &packets.Properties{}}} {
		first, body := split(f, packed(f, p))
		f.Add(first, body)
	}
	f.Fuzz(func(t *testing.T, first byte, body []byte) {
		p, err := parsePublish(first, body)
		if err != nil {
			return
		}
		m := p.message
		o := outgoing{topic: m.Topic, qos: first >> 1 & 3, id: p.id, duplicate: p.duplicate, retain: true}
		written, err := appendPublish(nil, m, o, time.Now())
		if err != nil {
			return
		}
		again, err := parsePublish(split(t, written))
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if e := m.Envelope; e != nil {
			// Time passes; text and nothing are not told from what they say.
			text := again.message.Envelope != nil && again.message.Envelope.Text
			e.Expires, e.Text = time.Time{}, e.Text && text
			if len(e.Correlation) == 0 {
				e.Correlation = nil
			}
		}
		if e := again.message.Envelope; e != nil {
			e.Expires = time.Time{}
		}
		none := &message.Envelope{}
		if m.Envelope != nil && cmp.Equal(m.Envelope, none) {
			m.Envelope = nil
		}
		if e := again.message.Envelope; e != nil && cmp.Equal(e, none) {
			again.message.Envelope = nil
		}
		if diff := cmp.Diff(p, again, cmp.AllowUnexported(publish{})); first>>1&3 > 0 && diff != "" {
			t.Errorf("read again (-want +got):\n%s", diff)
		}
	})
}

// FuzzServe: a connection takes whatever comes.
func FuzzServe(f *testing.F) {
	f.Add(packed(f, &fullPacket))
	f.Add([]byte{packets.PUBACK << 4, 2, 0, 1, packets.PINGRESP << 4, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := &conn{input: input{from: iotest.HalfReader(bytes.NewReader(stream))}, maxPacket: 1 << 20}
		c.serve(&parser{})
		passed, err := io.ReadAll(c)
		if len(passed) > len(stream) {
			t.Errorf("%d bytes passed of %d, %v", len(passed), len(stream), err)
		}
	})
}

// parser is a taker that reads what it is given.
type parser struct{}

func (parser) take(first byte, body []byte) error {
	if first>>4 == packets.PUBACK {
		_, err := parsePuback(body)
		return err
	}
	_, err := parsePublish(first, body)
	return err
}

func (parser) taken() error { return nil }
