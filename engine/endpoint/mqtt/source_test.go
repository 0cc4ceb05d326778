// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/cloudevent"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

var (
	_ endpoint.Source = (*mqtt.Source)(nil)
	_ endpoint.Sink   = (*mqtt.Sink)(nil)
)

// collect returns an emit function and the channel that it fills.
func collect() (func(endpoint.Delivery), chan endpoint.Delivery) {
	deliveries := make(chan endpoint.Delivery, 10_000)
	return func(d endpoint.Delivery) { deliveries <- d }, deliveries
}

func wantDeliveries(t *testing.T, from <-chan endpoint.Delivery, payloads ...string) []endpoint.Delivery {
	t.Helper()
	var got []endpoint.Delivery
	for _, want := range payloads {
		d := receive(t, from)
		if string(d.Message.Payload) != want {
			t.Fatalf("delivery %d is %q, want %q", len(got), d.Message.Payload, want)
		}
		got = append(got, d)
	}
	return got
}

func TestSourceSubscribes(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.MaxInflight = 7
	config.Username, config.Password = "user", []byte("secret")
	source := newSource(t, config, "a/+/b", "$shared/group/c/#", "$share/g/d")
	emit, _ := collect()
	runSource(t, source, emit)

	c, connect := broker.accept()
	if connect.CleanStart || connect.ClientID != t.Name() || connect.KeepAlive != 60 ||
		*connect.Properties.SessionExpiryInterval != 600 || *connect.Properties.ReceiveMaximum != 7 ||
		connect.Username != "user" || string(connect.Password) != "secret" {
		t.Errorf("CONNECT is %v", connect)
	}
	c.connack(0, false)
	request := read[*packets.Subscribe](c)
	options := packets.SubOptions{QoS: 1, RetainHandling: packets.RetainSendOnSubscribeIfNew, RetainAsPublished: true}
	want := []packets.SubOptions{options, options, options}
	want[0].Topic, want[1].Topic, want[2].Topic = "a/+/b", "$share/group/c/#", "$share/g/d"
	if diff := cmp.Diff(want, request.Subscriptions); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
	if source.Connected() {
		t.Error("connected before subscribed")
	}
	c.suback(request, 1, 1, 1)
}

func TestSourceAcknowledgesInOrder(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	c := broker.subscribed(false)
	c.publish(7, "a")
	c.publish(9, "b")
	c.publish(0, "q")
	c.publish(4, "c")
	got := wantDeliveries(t, deliveries, "a", "b", "q", "c")
	if got[2].Settle != nil {
		t.Error("a QoS 0 delivery can be settled")
	}
	got[3].Settle()
	got[1].Settle()
	got[0].Settle()
	c.wantPubacks(7, 9, 4)
	waitUntil(t, "it says that it is connected", source.Connected) // messages may come before it knows
}

func TestSourceVoidsAcknowledgementsOfALostConnection(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	c := broker.subscribed(false)
	c.publish(1, "a")
	c.publish(2, "b")
	old := wantDeliveries(t, deliveries, "a", "b")
	c.cut()

	c = broker.subscribed(true)
	c.publish(8, "other")
	c.write(&packets.Publish{PacketID: 1, QoS: 1, Duplicate: true, Topic: "t", Payload: []byte("a"), Properties: &packets.Properties{}})
	again := wantDeliveries(t, deliveries, "other", "a")
	old[0].Settle() // its packet identifier 1 would acknowledge the redelivery
	old[1].Settle()
	again[0].Settle()
	again[1].Settle()
	c.wantPubacks(8, 1)
	want := mqtt.SourceStats{Received: 4, Redelivered: 1, Connections: 2}
	if diff := cmp.Diff(want, source.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// What arrived and was not emitted when the connection broke is emitted once: as
// the redelivery if the session goes on, else as it is, for nobody has it but us.
func TestSourceQueueAcrossConnections(t *testing.T) {
	for _, resumed := range []bool{true, false} {
		t.Run(fmt.Sprintf("resumed=%v", resumed), func(t *testing.T) {
			broker := newScript(t)
			source := newSource(t, testConfig(t, broker.addr()), "t")
			emitted, proceed := make(chan endpoint.Delivery), make(chan struct{})
			runSource(t, source, func(d endpoint.Delivery) {
				emitted <- d
				<-proceed
			})
			c := broker.subscribed(false)
			c.publish(1, "a")
			wantDeliveries(t, emitted, "a")
			c.publish(2, "b") // stays queued behind the blocked engine
			c.publish(0, "q")
			c.publish(3, "c")
			c.cut()

			want := []string{"b", "q", "c", "new"}
			c = broker.subscribed(resumed)
			if resumed {
				want = []string{"q", "a", "b", "c", "new"}
				c.publish(1, "a")
				c.publish(2, "b")
				c.publish(3, "c")
			}
			c.publish(4, "new")
			close(proceed)
			got := wantDeliveries(t, emitted, want...)
			for _, d := range got {
				if d.Settle != nil {
					d.Settle()
				}
			}
			if resumed {
				c.wantPubacks(1, 2, 3)
			}
			c.wantPubacks(4)
		})
	}
}

func TestSourceDropsQoS0WhenBusy(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.Queue = 2
	source := newSource(t, config, "t")
	emitted, proceed := make(chan endpoint.Delivery), make(chan struct{})
	runSource(t, source, func(d endpoint.Delivery) {
		emitted <- d
		<-proceed
	})
	c := broker.subscribed(false)
	c.publish(0, "0")
	wantDeliveries(t, emitted, "0") // and is blocked now
	for i := 1; i <= 5; i++ {
		c.publish(0, fmt.Sprint(i))
	}
	c.publish(1, "never dropped")
	waitUntil(t, "all has arrived", func() bool { s := source.Stats(); return s.Received == 7 && s.Dropped == 3 })
	close(proceed)
	wantDeliveries(t, emitted, "1", "2", "never dropped")
	want := mqtt.SourceStats{Received: 7, Dropped: 3, Connections: 1}
	if diff := cmp.Diff(want, source.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestSourceBoundsTheBytesOfQoS0(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.QueueBytes = 10
	source := newSource(t, config, "t")
	emitted, proceed := make(chan endpoint.Delivery), make(chan struct{})
	runSource(t, source, func(d endpoint.Delivery) {
		emitted <- d
		<-proceed
	})
	c := broker.subscribed(false)
	c.publish(0, "first")
	wantDeliveries(t, emitted, "first")
	c.publish(0, "0123456789 is over the limit")
	c.publish(0, "dropped")
	c.publish(1, "last")
	waitUntil(t, "all has arrived", func() bool { return source.Stats().Received == 4 })
	close(proceed)
	wantDeliveries(t, emitted, "0123456789 is over the limit", "last")
}

// The reader goes on while the engine is busy: the broker's pings and its other
// packets are read although nothing is emitted.
func TestSourceReadsWhileBusy(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.MaxInflight = 1000
	source := newSource(t, config, "t")
	emitted, proceed := make(chan endpoint.Delivery, 1000), make(chan struct{})
	runSource(t, source, func(d endpoint.Delivery) {
		<-proceed
		emitted <- d
	})
	c := broker.subscribed(false)
	for i := range 1000 {
		c.publish(uint16(i+1), strings.Repeat("x", 10_000)) // far over all buffers between
	}
	close(proceed)
	for range 1000 {
		receive(t, emitted).Settle()
	}
	for i := range 1000 {
		c.wantPubacks(uint16(i + 1))
	}
}

// After its context has ended a source emits nothing more, but acknowledges what
// the engine drains, until flush.
func TestSourceFlushes(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t")
	emit, deliveries := collect()
	ctx, cancel := context.WithCancel(t.Context())
	flush, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- source.Run(ctx, emit, flush) }()
	c := broker.subscribed(false)
	c.publish(1, "a")
	d := wantDeliveries(t, deliveries, "a")
	cancel()
	c.publish(2, "left for the next run")
	d[0].Settle()
	c.wantPubacks(1)
	close(flush)
	if bye := read[*packets.Disconnect](c); bye.ReasonCode != 0 {
		t.Errorf("DISCONNECT is %v", bye)
	}
	if err := receive(t, ended); err != nil {
		t.Error("Run:", err)
	}
	if source.Connected() {
		t.Error("connected after Run")
	}
}

func TestSourceWaitsForTheBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close() // nobody there
	logged := make(chan string, 1000)
	config := testConfig(t, addr)
	config.Logger = slog.New(logTo(logged))
	source := newSource(t, config, "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	for range 3 {
		if got := receive(t, logged); got != "mqtt: not connected" {
			t.Fatalf("logged %q", got)
		}
	}
	if err := endpoint.Trouble(source); err == nil || !strings.Contains(err.Error(), "mqtt: connect "+addr+": dial tcp") {
		t.Errorf("trouble is %v", err)
	}
	if listener, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	broker := &script{t: t, listener: listener}
	c := broker.greet(false)
	c.cut() // in the middle of the handshake
	c, _ = broker.accept()
	c.connack(packets.ConnackServerUnavailable, false)
	c = broker.subscribed(false)
	c.publish(1, "at last")
	wantDeliveries(t, deliveries, "at last")
	waitUntil(t, "connected", source.Connected)
	if err := endpoint.Trouble(source); err != nil {
		t.Errorf("trouble while connected: %v", err)
	}
}

func TestSourceRefused(t *testing.T) {
	unavailable := byte(0)
	for _, tt := range []struct {
		name string
		play func(*scriptConn)
		code byte
		text string
	}{
		{"bad password", func(c *scriptConn) {
			c.connack(packets.ConnackBadUsernameOrPassword, false, func(p *packets.Properties) { p.ReasonString = "who are you" })
		}, 0x86, "bad user name or password (reason 0x86): who are you"},
		{"not authorized to connect", func(c *scriptConn) { c.connack(packets.ConnackNotAuthorized, false) }, 0x87, "not authorized"},
		{"not authorized to subscribe", func(c *scriptConn) {
			c.connack(0, false)
			c.suback(read[*packets.Subscribe](c), 1, packets.SubackNotauthorized)
		}, 0x87, "to secret/#: subscription refused: not authorized"},
		{"no wildcards", func(c *scriptConn) {
			c.connack(0, false, func(p *packets.Properties) { p.WildcardSubAvailable = &unavailable })
		}, 0, "the broker does not support wildcards"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := newScript(t)
			source := newSource(t, testConfig(t, broker.addr()), "t", "secret/#")
			ended := make(chan error, 1)
			go func() { ended <- source.Run(t.Context(), func(endpoint.Delivery) {}, nil) }()
			c, _ := broker.accept()
			tt.play(c)
			err := receive(t, ended)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Run: %v; want %q in it", err, tt.text)
			}
			var reason *mqtt.ReasonError
			if got := errors.As(err, &reason); got != (tt.code != 0) || got && reason.Code != tt.code {
				t.Errorf("Run: %v; want reason 0x%02x", err, tt.code)
			}
		})
	}
}

func TestSourceRetriesASubscription(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	c := broker.greet(false)
	c.suback(read[*packets.Subscribe](c), packets.SubackQuotaexceeded)
	read[*packets.Disconnect](c)
	c = broker.subscribed(false)
	c.publish(1, "a")
	wantDeliveries(t, deliveries, "a")
}

func TestNewSourceRefuses(t *testing.T) {
	good := mqtt.Config{Address: "127.0.0.1:1", ClientID: "c"}
	for _, tt := range []struct {
		name    string
		config  mqtt.Config
		filters []string
		want    string
	}{
		{"no filter", good, nil, "no topic filter"},
		{"empty filter", good, []string{""}, "empty"},
		{"# in the middle", good, []string{"a/#/b"}, "# must be the last level"},
		{"partial wildcard", good, []string{"a/b+"}, "a wildcard must fill its level"},
		{"shared without filter", good, []string{"$shared/group"}, "$share/GROUP/FILTER"},
		{"no address", mqtt.Config{ClientID: "c"}, []string{"t"}, "address is empty"},
		{"no client id", mqtt.Config{Address: "a"}, []string{"t"}, "client id is empty"},
		{"window", mqtt.Config{Address: "a", ClientID: "c", MaxInflight: 70_000}, []string{"t"}, "max inflight 70000"},
		{"path", mqtt.Config{Address: "a", ClientID: "c", WebSocket: "mqtt"}, []string{"t"}, `path "mqtt" of the web socket does not begin with /`},
		{"authentication", mqtt.Config{Address: "a", ClientID: "c", Authentication: &mqtt.Authentication{Method: "m"}}, []string{"t"}, "needs a method and a source of tokens"},
		{"events", mqtt.Config{Address: "a", ClientID: "c", Events: cloudevent.Policy{Create: true}}, []string{"t"}, "creating events needs a source and ids"},
		{"backoff", mqtt.Config{Address: "a", ClientID: "c", MinBackoff: 2, MaxBackoff: 1}, []string{"t"}, "minimum backoff 2ns is over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := mqtt.NewSource(tt.config, tt.filters...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewSource: %v; want %q in it", err, tt.want)
			}
		})
	}
}

// logErrors returns a logger that sends the error of each record.
func logErrors(to chan string) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "error" {
			logTo(to).note(a.Value.String())
		}
		return a
	}}))
}

// logTo is a slog.Handler that sends each record's message.
type logTo chan string

func (logTo) Enabled(context.Context, slog.Level) bool { return true }
func (h logTo) Handle(_ context.Context, r slog.Record) error {
	h.note(r.Message)
	return nil
}
func (h logTo) note(text string) {
	select {
	case h <- text:
	default:
	}
}
func (h logTo) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h logTo) WithGroup(string) slog.Handler      { return h }
