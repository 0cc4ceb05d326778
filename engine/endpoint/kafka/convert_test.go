// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

var now = time.UnixMilli(1_700_000_000_000)

// headers makes a list of pairs of keys and values.
func headers(pairs ...string) []kgo.RecordHeader {
	list := []kgo.RecordHeader{}
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return list
}

func properties(pairs ...string) []message.Property {
	var list []message.Property
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, message.Property{Key: pairs[i], Value: pairs[i+1]})
	}
	return list
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name    string
		record  kgo.Record
		want    message.Message
		omitted int
	}{
		{"nothing", kgo.Record{}, message.Message{}, 0},
		{"key and timestamp", kgo.Record{Key: []byte("k"), Timestamp: now, Value: []byte{0xff}, Headers: headers("a", "1", "a", "2")},
			message.Message{Payload: []byte{0xff}, Properties: properties("Key", "k", "Timestamp", "1700000000000", "a", "1", "a", "2")}, 0},
		{"key that is no text", kgo.Record{Key: []byte{0xa1, 3}}, message.Message{Properties: properties()}, 1},
		{"headers that are no text", kgo.Record{Headers: headers("amqp", "\xa1\x03bar", "\xff", "x", "nul", "a\x00b", "long", strings.Repeat("x", 65536), "most", strings.Repeat("x", 65535), "b", "")},
			message.Message{Properties: properties("most", strings.Repeat("x", 65535), "b", "")}, 4},
		{"what MQTT says", kgo.Record{Headers: headers("Payload Format Indicator", "1", "Response Topic", "a/b", "Message Expiry Interval", "60",
			"Correlation Data", "\xff\x00", "Content Type", "text/plain", "user", "u")},
			message.Message{ContentType: "text/plain", Properties: properties("user", "u"),
				Envelope: &message.Envelope{Text: true, ResponseTopic: "a/b", Expires: now.Add(time.Minute), Correlation: []byte{0xff, 0}}}, 0},
		{"what it doesn't", kgo.Record{Headers: headers("Payload Format Indicator", "yes", "Response Topic", "a/#", "Message Expiry Interval", "-1",
			"Content Type", "a", "Content Type", "b")},
			message.Message{ContentType: "a", Properties: properties("Payload Format Indicator", "yes", "Response Topic", "a/#", "Message Expiry Interval", "-1", "Content Type", "b")}, 0},
		{"event", kgo.Record{Headers: headers("ce_specversion", "1.0", "ce_id", "7", "other", "x")},
			message.Message{Properties: properties("specversion", "1.0", "id", "7", "other", "x")}, 0},
		{"event of the service", kgo.Record{Headers: headers("ce-specversion", "1.0", "ce_id", "7")},
			message.Message{Properties: properties("specversion", "1.0", "ce_id", "7")}, 0},
		{"no event", kgo.Record{Headers: headers("ce_id", "7")}, message.Message{Properties: properties("ce_id", "7")}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, omitted := new(decoder).decode(&tt.record, now)
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if omitted != tt.omitted {
				t.Errorf("%d are omitted, want %d", omitted, tt.omitted)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	stamped := properties("__ts", "1600000000000:00001:node")
	full := message.Message{
		Topic: "a/b", Payload: []byte("p"), ContentType: "text/plain", Properties: properties("x", "1", "x", "2"),
		Envelope: &message.Envelope{Text: true, ResponseTopic: "r", Correlation: []byte{0xff}, Expires: now.Add(2600*time.Second - time.Millisecond)},
	}
	event := properties("specversion", "1.0", "type", "t", "source", "s", "id", "7", "datacontenttype", "old", "else", "x")
	for _, tt := range []struct {
		name    string
		config  Config
		message message.Message
		want    kgo.Record
	}{
		{"nothing", Config{}, message.Message{}, kgo.Record{Value: []byte{}, Timestamp: now, Headers: headers()}},
		{"stamp", Config{}, message.Message{Properties: stamped}, kgo.Record{Value: []byte{}, Timestamp: time.UnixMilli(1_600_000_000_000), Headers: headers("__ts", "1600000000000:00001:node")}},
		{"stamp, without headers", Config{OmitProperties: true}, message.Message{Properties: stamped}, kgo.Record{Value: []byte{}, Timestamp: time.UnixMilli(1_600_000_000_000), Headers: headers()}},
		{"stamp that is read", Config{OmitProperties: true}, message.Message{Time: hlc.Timestamp{Millis: 1_600_000_000_000}, Properties: stamped},
			kgo.Record{Value: []byte{}, Timestamp: time.UnixMilli(1_600_000_000_000), Headers: headers()}},
		{"everything", Config{Partitioning: TopicPartition}, full, kgo.Record{Key: []byte("a/b"), Value: []byte("p"), Timestamp: now,
			Headers: headers("Payload Format Indicator", "1", "Response Topic", "r", "Message Expiry Interval", "2600", "Correlation Data", "\xff", "Content Type", "text/plain", "x", "1", "x", "2")}},
		{"everything, without headers", Config{OmitProperties: true, Partitioning: PropertyPartition, PartitionProperty: "x"}, full,
			kgo.Record{Key: []byte("1"), Value: []byte("p"), Timestamp: now, Headers: headers()}},
		{"event", Config{}, message.Message{ContentType: "json", Properties: event}, kgo.Record{Value: []byte{}, Timestamp: now,
			Headers: headers("Content Type", "json", "ce_specversion", "1.0", "ce_type", "t", "ce_source", "s", "ce_id", "7", "ce_datacontenttype", "json", "else", "x")}},
		{"half an event", Config{}, message.Message{ContentType: "json", Properties: event[1:]}, kgo.Record{Value: []byte{}, Timestamp: now,
			Headers: headers("Content Type", "json", "type", "t", "source", "s", "id", "7", "datacontenttype", "old", "else", "x")}},
		{"event that is made", Config{CloudEvents: CreateOrRemap, EventSource: "aio://hub", NewID: func() string { return "new" }}, message.Message{Properties: properties("type", "mine")},
			kgo.Record{Value: []byte{}, Timestamp: now, Headers: headers("ce_type", "mine", "ce_specversion", "1.0", "ce_source", "aio://hub", "ce_id", "new", "ce_subject", "to", "ce_time", "2023-11-14T22:13:20Z")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := fmt.Sprint(tt.message)
			got := &kgo.Record{Headers: headers()}
			if _, err := tt.config.encode(got, nil, &tt.message, "to", func() time.Time { return now }); err != nil {
				t.Fatal(err)
			}
			tt.want.Topic = "to"
			if diff := cmp.Diff(&tt.want, got, cmp.AllowUnexported(kgo.RecordAttrs{}), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Context" }, cmp.Ignore())); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			if after := fmt.Sprint(tt.message); after != before {
				t.Errorf("the message has changed from %s to %s", before, after)
			}
		})
	}
	m := message.Message{Envelope: &message.Envelope{Expires: now}}
	if _, err := (&Config{}).encode(new(kgo.Record), nil, &m, "to", func() time.Time { return now }); !errors.Is(err, errExpired) {
		t.Errorf("an expired message: %v", err)
	}
}

// TestConfig: what can't work is refused.
func TestConfig(t *testing.T) {
	good := Config{Address: "a", ClientID: "c", Group: "g"}
	for _, tt := range []struct {
		want   string
		change func(*Config)
	}{
		{"address is empty", func(c *Config) { c.Address = "" }},
		{"client id is empty", func(c *Config) { c.ClientID = "" }},
		{"unknown mechanism", func(c *Config) { c.SASL.Mechanism = 9 }},
		{"unknown acknowledgement", func(c *Config) { c.Acks = 9 }},
		{"no property to partition by", func(c *Config) { c.Partitioning = PropertyPartition }},
		{"events can't be made", func(c *Config) { c.CloudEvents = CreateOrRemap }},
		{"batching of -1ns", func(c *Config) { c.Batching.Latency = -1 }},
		{"negative duration", func(c *Config) { c.DrainTimeout = -1 }},
		{"no consumer group", func(c *Config) { c.Group = "" }},
	} {
		c := good
		tt.change(&c)
		if _, err := NewSource(c, "t"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	for _, name := range []string{"", "..", "a/b", "ä", strings.Repeat("x", 250)} {
		if _, err := NewSource(good, name); err == nil {
			t.Errorf("a source of %q", name)
		}
	}
	if _, err := NewSource(good); err == nil {
		t.Error("a source of nothing")
	}
	if _, err := NewSink(good, "a b"); err == nil {
		t.Error("a sink to a topic with a blank")
	}
	c := Config{Address: "a, b:1,[::1]:2"}
	if diff := cmp.Diff([]string{"a:9092", "b:1", "[::1]:2"}, c.brokers()); diff != "" {
		t.Errorf("brokers (-want +got):\n%s", diff)
	}
}

// FuzzDecode: whatever a record says, the message can be sent by MQTT, and nothing is
// lost but what is counted.
func FuzzDecode(f *testing.F) {
	f.Add("Content Type", []byte("x"), []byte("key"), []byte("value"))
	f.Add("Message Expiry Interval", []byte("4294967295"), []byte{0xff}, []byte(nil))
	f.Add("ce_specversion", []byte("1.0\x00"), []byte(nil), []byte{})
	f.Fuzz(func(t *testing.T, header string, text, key, value []byte) {
		m, omitted := new(decoder).decode(&kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: header, Value: text}}}, now)
		if !bytes.Equal(m.Payload, value) {
			t.Errorf("the payload is %q", m.Payload)
		}
		kept := len(m.Properties)
		for _, p := range m.Properties {
			if !utf8.ValidString(p.Key+p.Value) || strings.ContainsRune(p.Key+p.Value, 0) || len(p.Key) > 65535 || len(p.Value) > 65535 {
				t.Errorf("property %q", p)
			}
		}
		if m.ContentType != "" || m.Envelope != nil || header == contentType && len(text) == 0 && isText(string(text)) {
			kept++
		}
		want := 1
		if key != nil {
			want++
		}
		if kept+omitted != want {
			t.Errorf("of %d, %d are kept and %d omitted: %+v", want, kept, omitted, m)
		}
	})
}

// A stamp is made only for a sink that writes it, as a header or as a key.
func TestOmitsStamp(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   bool
	}{
		{Config{}, false},
		{Config{OmitProperties: true}, true},
		{Config{OmitProperties: true, Partitioning: PropertyPartition, PartitionProperty: "k"}, true},
		{Config{OmitProperties: true, Partitioning: PropertyPartition, PartitionProperty: endpoint.StampProperty}, false},
	} {
		tt.config.Address, tt.config.ClientID = "localhost", "c"
		s, err := NewSink(tt.config, "t")
		if err != nil {
			t.Fatal(err)
		}
		if got := endpoint.OmitsStamp(s); got != tt.want {
			t.Errorf("%+v: OmitsStamp = %t, want %t", tt.config, got, tt.want)
		}
	}
}
