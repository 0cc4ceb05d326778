// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/topic"
)

// What a session is subscribed to of before is acknowledged and dropped, and unsubscribed,
// whatever the filter was; what is asked for stays.
func TestStrays(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t", "old/#", "$share/group/shared/+")
	emit, deliveries := collect()
	runSource(t, source, emit)
	c := broker.greet(true)
	c.suback(read[*packets.Subscribe](c), 1, 1, 1)
	for id, name := range []string{"older/a", "old", "shared/x"} {
		c.write(&packets.Publish{PacketID: uint16(id + 1), QoS: 1, Topic: name, Payload: []byte(name), Properties: &packets.Properties{}})
	}
	wantDeliveries(t, deliveries, "old", "shared/x")

	var gone []string
	for !slices.Contains(gone, "+/+/#") { // the last of them
		switch p := read[packets.Packet](c).(type) {
		case *packets.Unsubscribe:
			if len(p.Topics) > 8 {
				t.Errorf("%d filters in a packet", len(p.Topics))
			}
			gone = append(gone, p.Topics...)
			c.write(&packets.Unsuback{PacketID: p.PacketID, Reasons: make([]byte, len(p.Topics)), Properties: &packets.Properties{}})
		case *packets.Puback:
			if p.ReasonCode != 0 {
				t.Errorf("message %d is answered by %d", p.PacketID, p.ReasonCode)
			}
		}
	}
	for _, filter := range []string{"older/a", "older/+", "+/a", "+/+", "older/#", "+/#", "#", "older/a/#", "+/+/#"} {
		if !slices.Contains(gone, filter) {
			t.Errorf("%s stays", filter)
		}
	}
	for _, filter := range gone {
		if !topic.Matches(filter, "older/a") {
			t.Errorf("%s is unsubscribed", filter)
		}
	}
	if got, want := source.Stats(), (mqtt.SourceStats{Received: 3, Stray: 1, Connections: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

// A filter of a kind that only the broker knows may select anything.
func TestNoStrays(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "$queue/other")
	emit, deliveries := collect()
	runSource(t, source, emit)
	broker.subscribed(true).publish(1, "a")
	wantDeliveries(t, deliveries, "a")
	if got, want := source.Stats(), (mqtt.SourceStats{Received: 1, Connections: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}
