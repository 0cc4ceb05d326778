// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

// TestConnectSettings: what the broker is told about a connection, and what isn't said when
// it is off.
func TestConnectSettings(t *testing.T) {
	type told struct {
		KeepAlive      uint16
		SessionExpiry  uint32
		ReceiveMaximum uint16
		MaxPacket      uint32
	}
	for _, tt := range []struct {
		name string
		edit func(*mqtt.Config)
		want told
	}{
		{"defaults", func(*mqtt.Config) {}, told{60, 600, 100, 64 << 20}},
		{"off", func(c *mqtt.Config) { c.KeepAlive, c.SessionExpiry = -1, -1 }, told{0, 0, 100, 64 << 20}},
		{"set", func(c *mqtt.Config) {
			c.KeepAlive, c.SessionExpiry, c.MaxInflight, c.MaxPacket = 7*time.Second, time.Hour, 65535, 1<<20
		}, told{7, 3600, 65535, 1 << 20}},
		{"for ever", func(c *mqtt.Config) { c.SessionExpiry = 1<<63 - 1 }, told{60, 1<<32 - 1, 100, 64 << 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := newScript(t)
			config := testConfig(t, broker.addr())
			tt.edit(&config)
			emit, _ := collect()
			runSource(t, newSource(t, named(config, "-source"), "t"), emit)
			_, source := broker.accept()
			runSink(t, newSink(t, named(config, "-sink"), "t"))
			_, sink := broker.accept()
			for _, connect := range []*packets.Connect{source, sink} {
				p := connect.Properties
				got := told{connect.KeepAlive, *p.SessionExpiryInterval, *p.ReceiveMaximum, *p.MaximumPacketSize}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", connect.ClientID, diff)
				}
			}
		})
	}
}

// TestExpiryCountsDown: a message leaves with what is left of its expiry, and not at all when
// nothing is.
func TestExpiryCountsDown(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, named(testConfig(t, broker.addr()), "-source"), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	in := broker.subscribed(false)
	for i, seconds := range []uint32{1000, 10, 0} {
		in.write(&packets.Publish{PacketID: uint16(i + 1), QoS: 1, Topic: "t", Payload: fmt.Append(nil, seconds), Properties: &packets.Properties{MessageExpiry: &seconds}})
	}
	got := wantDeliveries(t, deliveries, "1000", "10", "0")
	sink := newSink(t, named(testConfig(t, broker.addr()), "-sink"), "out")
	runSink(t, sink)
	out := broker.greet(false)
	results := make(chan result, 3)
	send := func(d endpoint.Delivery, held time.Duration) {
		d.Message.Envelope.Expires = d.Message.Envelope.Expires.Add(-held)
		payload := string(d.Message.Payload)
		if err := sink.Send(t.Context(), d.Message, func(err error) { results <- result{payload, err} }); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range got {
		send(d, 20*time.Second) // as if the graph had kept it for so long
	}
	left := read[*packets.Publish](out)
	if e := left.Properties.MessageExpiry; e == nil || *e < 970 || *e > 980 {
		t.Errorf("%s leaves with %v, want 980 s or a little less", left.Payload, e)
	}
	out.puback(left.PacketID, 0)
	wantDone(t, results, "1000", "10", "0") // what has expired is settled, too
	if want := (mqtt.SinkStats{Sent: 1, Expired: 2, Connections: 1}); sink.Stats() != want {
		t.Errorf("stats are %+v, want %+v", sink.Stats(), want)
	}
}
