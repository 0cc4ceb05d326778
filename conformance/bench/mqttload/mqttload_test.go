// SPDX-License-Identifier: Apache-2.0

package mqttload_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/wasm-graph/graphd/conformance/bench/mqttload"
)

// allow lets everybody in, and turns the broker's flow control off: it deadlocks
// when a client acknowledges a message while another is published to it.
type allow struct{ mochi.HookBase }

func (allow) Provides(event byte) bool {
	return event == mochi.OnConnectAuthenticate || event == mochi.OnACLCheck || event == mochi.OnPacketRead
}
func (allow) OnPacketRead(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if p.FixedHeader.Type == packets.Connect {
		p.Properties.ReceiveMaximum = 0
	}
	return p, nil
}
func (allow) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (allow) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

// newBroker starts a broker that changes what is published on "in" to "out" as
// change says, which gets the messages' order of publishing.
func newBroker(t *testing.T, change func(n int, publish func(packets.Packet), p packets.Packet)) string {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	if err := server.AddHook(new(allow), nil); err != nil {
		t.Fatal(err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := server.AddListener(listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	inline := server.NewClient(nil, mochi.LocalListener, "echo", true)
	n := 0
	err := server.Subscribe("in", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		change(n, func(p packets.Packet) {
			p.TopicName = "out"
			if err := server.InjectPacket(inline, p); err != nil {
				t.Error(err)
			}
		}, p)
		n++
	})
	if err != nil {
		t.Fatal(err)
	}
	return listener.Address()
}

func TestRun(t *testing.T) {
	var held packets.Packet
	for _, tt := range []struct {
		name   string
		change func(int, func(packets.Packet), packets.Packet)
		qos    byte
		rate   int
		want   mqttload.Result
	}{
		{"all of it", func(_ int, publish func(packets.Packet), p packets.Packet) { publish(p) }, 1, 0, mqttload.Result{Received: 100}},
		{"at a rate", func(_ int, publish func(packets.Packet), p packets.Packet) { publish(p) }, 0, 5000, mqttload.Result{Received: 100}},
		{"one lost", func(n int, publish func(packets.Packet), p packets.Packet) {
			if n != 50 {
				publish(p)
			}
		}, 1, 0, mqttload.Result{Received: 99}},
		{"one twice", func(n int, publish func(packets.Packet), p packets.Packet) {
			publish(p)
			if n == 50 {
				publish(p)
			}
		}, 1, 0, mqttload.Result{Received: 100, Duplicates: 1}},
		{"two swapped", func(n int, publish func(packets.Packet), p packets.Packet) {
			switch n {
			case 50:
				held = p
			case 51:
				publish(p)
				publish(held)
			default:
				publish(p)
			}
		}, 1, 0, mqttload.Result{Received: 100, Disordered: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patience := 20 * time.Second
			if tt.want.Received < 100 {
				patience = 200 * time.Millisecond // the end comes by it
			}
			got, err := mqttload.Run(t.Context(), mqttload.Config{
				Addr: newBroker(t, tt.change), In: "in", Out: "out", QoS: tt.qos, Count: 100, Window: 20, Rate: tt.rate,
				Payload: []byte(strings.Repeat("0", 50)), Patience: patience,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.Elapsed <= 0 || got.P50 <= 0 || got.P99 < got.P50 || got.PerSecond() <= 0 {
				t.Errorf("times of %+v are implausible", got)
			}
			if tt.rate > 0 && got.PerSecond() > 1.1*float64(tt.rate) {
				t.Errorf("%.0f messages a second, want %d", got.PerSecond(), tt.rate)
			}
			got.Elapsed, got.P50, got.P99 = 0, 0, 0
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
