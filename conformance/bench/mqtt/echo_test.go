// SPDX-License-Identifier: Apache-2.0

// Package mqtt_test measures the MQTT path: how many messages go from one topic of
// a real broker to another through our source and sink, beside the least that a
// program on the same client library can do.
package mqtt_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/wasm-graph/graphd/conformance/bench/mqttload"
	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

const (
	in, out = "bench/in", "bench/out"
	rounds  = 5      // of each contender, interleaved
	count   = 40_000 // messages a round
	window  = 1000   // messages on their way
)

// A contender moves messages from in to out until it is stopped.
type contender struct {
	name  string
	start func(b *testing.B, addr string, qos byte) (stop func())
}

// BenchmarkEcho reports, for each QoS, the medians of both and our ratio. The bare
// loop acknowledges at once and forgets; ours acknowledges after the sink's
// acknowledgement, and reconnects, resumes and sends again.
func BenchmarkEcho(b *testing.B) {
	contenders := []contender{{"bare", startBare}, {"ours", startOurs}}
	for _, qos := range []byte{0, 1} {
		b.Run(fmt.Sprintf("QoS%d", qos), func(b *testing.B) {
			broker := mosquitto.Start(b, mosquitto.Options{})
			for b.Loop() {
				rates := make([][]float64, len(contenders))
				for range rounds {
					for i, c := range contenders {
						rates[i] = append(rates[i], measure(b, c, broker.Addr, qos))
					}
				}
				bare, ours := median(rates[0]), median(rates[1])
				b.ReportMetric(bare, "bare-msg/s")
				b.ReportMetric(ours, "ours-msg/s")
				b.ReportMetric(ours/bare, "ours/bare")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func measure(b *testing.B, c contender, addr string, qos byte) float64 {
	b.Helper()
	stop := c.start(b, addr, qos)
	defer stop()
	result, err := mqttload.Run(b.Context(), mqttload.Config{
		Addr: addr, In: in, Out: out, QoS: qos, Count: count, Window: window,
		Payload:  []byte(`{"temperature":{"value":100.0,"unit":"F"},"humidity":{"value":50.5},"pad":"0123456789012345678901"}`),
		Patience: 10 * time.Second,
	})
	if err != nil {
		b.Fatalf("%s: %v", c.name, err)
	}
	if result.Received != count || result.Disordered > 0 || result.Duplicates > 0 {
		b.Errorf("%s at QoS %d: %+v, want %d in order", c.name, qos, result, count)
	}
	b.Logf("%s at QoS %d: %.0f msg/s, p50 %v, p99 %v", c.name, qos, result.PerSecond(), result.P50, result.P99)
	return result.PerSecond()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// startBare echoes with nothing but the client library: what arrives is published
// from the handler, without waiting for its acknowledgement.
func startBare(b *testing.B, addr string, qos byte) func() {
	b.Helper()
	connect := func(id string, received func(paho.PublishReceived) (bool, error)) *paho.Client {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		client := paho.NewClient(paho.ClientConfig{
			Conn:              packets.NewThreadSafeConn(conn),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){received},
		})
		inflight := uint16(100)
		_, err = client.Connect(b.Context(), &paho.Connect{
			ClientID: id, CleanStart: true, KeepAlive: 60,
			Properties: &paho.ConnectProperties{ReceiveMaximum: &inflight},
		})
		if err != nil {
			b.Fatal(err)
		}
		return client
	}
	sink := connect("bare-sink", func(paho.PublishReceived) (bool, error) { return true, nil })
	source := connect("bare-source", func(r paho.PublishReceived) (bool, error) {
		_, err := sink.PublishWithOptions(context.Background(), &paho.Publish{
			Topic: out, QoS: qos, Payload: r.Packet.Payload,
			Properties: &paho.PublishProperties{ContentType: r.Packet.Properties.ContentType, User: r.Packet.Properties.User},
		}, paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
		if err != nil {
			b.Error("publish:", err)
		}
		return true, nil
	})
	if _, err := source.Subscribe(b.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: in, QoS: qos}}}); err != nil {
		b.Fatal(err)
	}
	return func() {
		// Disconnecting fails only where the broker has gone before.
		_ = source.Disconnect(&paho.Disconnect{})
		_ = sink.Disconnect(&paho.Disconnect{})
	}
}

// startOurs echoes through the interfaces of package endpoint.
func startOurs(b *testing.B, addr string, qos byte) func() {
	b.Helper()
	// No session is left behind, for which the broker would keep the next round's
	// messages.
	config := mqtt.Config{Address: addr, ClientID: "our-source", QoS: mqtt.AtLeastOnce, SessionExpiry: -1}
	if qos == 0 {
		config.QoS = mqtt.AtMostOnce
	}
	source, err := mqtt.NewSource(config, in)
	if err != nil {
		b.Fatal(err)
	}
	config.ClientID = "our-sink"
	sink, err := mqtt.NewSink(config, out)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	flush, ended := make(chan struct{}), make(chan error, 2)
	go func() { ended <- sink.Run(ctx) }()
	go func() {
		ended <- source.Run(ctx, func(d endpoint.Delivery) {
			if err := sink.Send(ctx, d.Message, func(err error) {
				if err != nil {
					b.Error("done:", err)
				}
				if d.Settle != nil {
					d.Settle()
				}
			}); err != nil {
				b.Error("send:", err)
			}
		}, flush)
	}()
	for deadline := time.Now().Add(10 * time.Second); !source.Connected() || !sink.Connected(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("not connected")
		}
	}
	return func() {
		cancel()
		close(flush)
		for range 2 {
			if err := <-ended; err != nil {
				b.Error(err)
			}
		}
	}
}
