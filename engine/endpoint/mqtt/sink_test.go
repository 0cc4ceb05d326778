// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/cloudevent"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
)

// result is a call of a done function.
type result struct {
	payload string
	err     error
}

// sendAll sends messages of these payloads and returns the channel that gets their
// results. It fails the test where Send does.
func sendAll(t *testing.T, s *mqtt.Sink, payloads ...string) <-chan result {
	t.Helper()
	results := make(chan result, len(payloads))
	for _, p := range payloads {
		if err := s.Send(t.Context(), text(p), func(err error) { results <- result{p, err} }); err != nil {
			t.Fatalf("Send %q: %v", p, err)
		}
	}
	return results
}

// wantDone checks the next results, which must be successes.
func wantDone(t *testing.T, results <-chan result, payloads ...string) {
	t.Helper()
	for _, want := range payloads {
		if got := receive(t, results); got.payload != want || got.err != nil {
			t.Fatalf("done %q, %v; want %q, nil", got.payload, got.err, want)
		}
	}
}

func wantRefused(t *testing.T, results <-chan result, payload, text string) {
	t.Helper()
	got := receive(t, results)
	if got.payload != payload || got.err == nil || !strings.Contains(got.err.Error(), text) {
		t.Fatalf("done %q, %v; want %q, an error with %q", got.payload, got.err, payload, text)
	}
}

func TestSinkPipelinesInOrder(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.MaxInflight = 3
	sink := newSink(t, config, "out")
	runSink(t, sink)
	c, connect := broker.accept()
	if !connect.CleanStart {
		t.Error("the first connection resumes a session that nobody knows")
	}
	c.connack(0, false)
	results := sendAll(t, sink, "a", "b", "c")
	ids := c.wantPublishes(false, "a", "b", "c") // no answer needed in between

	more := make(chan (<-chan result))
	go func() { more <- sendAll(t, sink, "d") }() // blocked: the window is full
	c.puback(ids[1], 0)
	c.puback(ids[0], packets.PubackNoMatchingSubscribers)
	wantDone(t, results, "a", "b")
	ids = append(ids, c.wantPublishes(false, "d")...)
	c.puback(ids[3], 0)
	c.puback(ids[3], 0) // a second time, which is the broker's mistake
	c.puback(999, 0)
	c.puback(ids[2], 0)
	wantDone(t, results, "c")
	wantDone(t, receive(t, more), "d")
	if got, want := sink.Stats(), (mqtt.SinkStats{Sent: 4, Connections: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

func TestSinkHonoursTheReceiveMaximum(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "out")
	runSink(t, sink)
	c := broker.greet(false, func(p *packets.Properties) { two := uint16(2); p.ReceiveMaximum = &two })
	results := sendAll(t, sink, "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan error)
	go func() { blocked <- sink.Send(ctx, text("never"), func(error) { t.Error("done was called") }) }()
	ids := c.wantPublishes(false, "a", "b")
	cancel()
	if err := receive(t, blocked); err != context.Canceled {
		t.Errorf("Send returned %v, want the context's error", err)
	}
	c.puback(ids[0], 0)
	c.puback(ids[1], 0)
	wantDone(t, results, "a", "b")
}

func TestSinkSendsAgain(t *testing.T) {
	for _, resumed := range []bool{true, false} {
		t.Run(fmt.Sprintf("resumed=%v", resumed), func(t *testing.T) {
			broker := newScript(t)
			sink := newSink(t, testConfig(t, broker.addr()), "out")
			runSink(t, sink)
			c := broker.greet(false)
			results := sendAll(t, sink, "a", "b", "c", "d")
			first := c.wantPublishes(false, "a", "b", "c", "d")
			c.puback(first[0], 0)
			c.puback(first[2], 0) // out of order: "b" holds its confirmation back
			wantDone(t, results, "a")
			c.cut()

			c, connect := broker.accept()
			if connect.CleanStart {
				t.Error("a reconnect asks for a new session")
			}
			c.connack(0, resumed)
			again := c.wantPublishes(resumed, "b", "d")
			if diff := cmp.Diff([]uint16{first[1], first[3]}, again); diff != "" {
				t.Errorf("packet identifiers (-want +got):\n%s", diff)
			}
			more := sendAll(t, sink, "e")
			last := c.wantPublishes(false, "e")
			for _, id := range append(again, last...) {
				c.puback(id, 0)
			}
			wantDone(t, results, "b", "c", "d")
			wantDone(t, more, "e")
			if got, want := sink.Stats(), (mqtt.SinkStats{Sent: 5, Resent: 2, Connections: 2}); got != want {
				t.Errorf("stats are %+v, want %+v", got, want)
			}
		})
	}
}

func TestSinkReasonCodes(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "out")
	runSink(t, sink)
	c := broker.greet(false)
	results := sendAll(t, sink, "a", "b", "c")
	ids := c.wantPublishes(false, "a", "b", "c")
	c.puback(ids[0], packets.PubackNotAuthorized)
	c.puback(ids[1], packets.PubackTopicNameInvalid)
	c.puback(ids[2], 0)
	wantRefused(t, results, "a", "not authorized")
	wantRefused(t, results, "b", "topic name invalid")
	wantDone(t, results, "c")

	// A full broker did not take the message, so it comes again.
	results = sendAll(t, sink, "d", "e")
	ids = c.wantPublishes(false, "d", "e")
	c.puback(ids[0], packets.PubackQuotaExceeded)
	c = broker.greet(true)
	ids = append(c.wantPublishes(false, "d"), c.wantPublishes(true, "e")...)
	c.puback(ids[0], 0)
	c.puback(ids[1], 0)
	wantDone(t, results, "d", "e")
}

// What no broker can take is refused without asking, in its place in the order.
func TestSinkRefusesLocally(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "")
	runSink(t, sink)
	c := broker.greet(false, func(p *packets.Properties) { limit := uint32(30); p.MaximumPacketSize = &limit })
	results := make(chan result, 20)
	send := func(name string, m *message.Message) {
		t.Helper()
		if err := sink.Send(t.Context(), m, func(err error) { results <- result{name, err} }); err != nil {
			t.Fatal(err)
		}
	}
	send("first", &message.Message{Topic: "t", Payload: []byte("0123456789012345678901")}) // 30 bytes
	send("too large", &message.Message{Topic: "t", Payload: []byte("01234567890123456789012")})
	send("no topic", text(""))
	send("wildcard", &message.Message{Topic: "a/+"})
	send("key", &message.Message{Topic: "t", Properties: []message.Property{{Key: "a\x00b"}}})
	send("value", &message.Message{Topic: "t", Properties: []message.Property{{Key: "k", Value: "\xff"}}})
	send("long", &message.Message{Topic: "t", ContentType: strings.Repeat("x", 70_000)})
	send("expired", &message.Message{Topic: "t", Envelope: &message.Envelope{Expires: time.Now()}})
	send("last", &message.Message{Topic: "t", Payload: []byte("last")})
	first := c.wantPublishes(false, "0123456789012345678901")
	last := c.wantPublishes(false, "last")
	c.puback(last[0], 0)
	c.puback(first[0], 0)
	wantDone(t, results, "first")
	wantRefused(t, results, "too large", "packet of 31 bytes: the broker takes 30")
	wantRefused(t, results, "no topic", "empty")
	wantRefused(t, results, "wildcard", `topic "a/+": contains a wildcard`)
	wantRefused(t, results, "key", "null character")
	wantRefused(t, results, "value", "not UTF-8")
	wantRefused(t, results, "long", "70000 bytes, at most 65535")
	wantDone(t, results, "expired", "last")
	if got, want := sink.Stats(), (mqtt.SinkStats{Sent: 2, Refused: 6, Expired: 1, Connections: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

// A message that makes the broker end the connection is found by sending what was
// in flight one at a time, and given up; the others arrive.
func TestSinkFindsTheCulprit(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "out")
	runSink(t, sink)
	c := broker.greet(false)
	results := sendAll(t, sink, "a", "bad", "c", "d")
	c.wantPublishes(false, "a", "bad", "c", "d")
	c.disconnect(packets.DisconnectMalformedPacket)

	c = broker.greet(true)
	c.puback(c.wantPublishes(true, "a")[0], 0)
	wantDone(t, results, "a")
	c.wantPublishes(true, "bad")
	c.disconnect(packets.DisconnectMalformedPacket)
	wantRefused(t, results, "bad", "malformed packet")

	c = broker.greet(true)
	id := c.wantPublishes(true, "c")
	more := sendAll(t, sink, "e")
	c.puback(id[0], 0)
	c.puback(c.wantPublishes(true, "d")[0], 0)
	c.puback(c.wantPublishes(false, "e")[0], 0)
	wantDone(t, results, "c", "d")
	wantDone(t, more, "e")
	if got, want := sink.Stats(), (mqtt.SinkStats{Sent: 5, Resent: 4, Refused: 1, Connections: 3}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

// The same where the broker closes the connection without saying why, which takes
// more evidence.
func TestSinkFindsTheSilentCulprit(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.MinBackoff = config.MaxBackoff // so that ten of them are long
	sink := newSink(t, config, "out")
	runSink(t, sink)
	c := broker.greet(false)
	results := sendAll(t, sink, "bad", "b", "c")
	c.wantPublishes(false, "bad", "b", "c")
	c.cut()
	c = broker.greet(true)
	c.wantPublishes(true, "bad", "b", "c") // once may be the network
	c.cut()
	for range 3 {
		c = broker.greet(true)
		c.wantPublishes(true, "bad")
		c.cut()
	}
	wantRefused(t, results, "bad", "connection lost")
	c = broker.greet(true)
	c.puback(c.wantPublishes(true, "b")[0], 0)
	c.puback(c.wantPublishes(true, "c")[0], 0)
	wantDone(t, results, "b", "c")
	if got, want := sink.Stats(), (mqtt.SinkStats{Sent: 3, Resent: 8, Refused: 1, Connections: 6}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

// A message is not given up for what a broker does that crashes again and again by itself:
// before the message is there, or long after.
func TestSinkAcquits(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	sink := newSink(t, config, "out")
	runSink(t, sink)
	c := broker.greet(false)
	results := sendAll(t, sink, "a")
	c.wantPublishes(false, "a")
	c.cut()
	for range 4 {
		c = broker.greet(true)
		c.wantPublishes(true, "a")
		c.cut()
		c = broker.greet(true) // and the message is kept back
		c.cut()
		c = broker.greet(true)
		c.wantPublishes(true, "a")
		c.cut()
	}
	for trial := range 4 {
		c = broker.greet(true)
		c.wantPublishes(true, "a")
		<-time.After(20 * config.MinBackoff << trial)
		c.cut()
	}
	c = broker.greet(true)
	c.puback(c.wantPublishes(true, "a")[0], 0)
	wantDone(t, results, "a")
	if got := sink.Stats(); got.Refused != 0 {
		t.Errorf("stats are %+v", got)
	}
}

// A broker that says that we are not authorized may mean the message; but with a token, which
// may have expired, it means us, and a message is never given up for that.
func TestSinkNotAuthorized(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		t.Run(fmt.Sprintf("tokens=%v", tokens), func(t *testing.T) {
			broker := newScript(t)
			config := testConfig(t, broker.addr())
			config.MinBackoff = config.MaxBackoff // so that ten of them are long
			if tokens {
				config.Authentication = &mqtt.Authentication{Method: "K8S-SAT", Token: func(context.Context) ([]byte, time.Time, error) {
					return []byte("expired"), time.Time{}, nil
				}}
			}
			sink := newSink(t, config, "out")
			runSink(t, sink)
			c := broker.greet(false)
			results := sendAll(t, sink, "a")
			c.wantPublishes(false, "a")
			c.disconnect(packets.DisconnectNotAuthorized)
			for range 4 {
				c = broker.greet(true)
				c.wantPublishes(true, "a")
				c.disconnect(packets.DisconnectNotAuthorized)
			}
			if !tokens {
				wantRefused(t, results, "a", "not authorized")
				return
			}
			c = broker.greet(true)
			c.puback(c.wantPublishes(true, "a")[0], 0)
			wantDone(t, results, "a")
		})
	}
}

func TestSinkDrains(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "out")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(ctx) }()
	c := broker.greet(false)
	results := sendAll(t, sink, "a", "b")
	ids := c.wantPublishes(false, "a", "b")
	cancel()
	c.cut() // even a new connection is made for what is unconfirmed
	c = broker.greet(true)
	c.wantPublishes(true, "a", "b")
	c.puback(ids[0], 0)
	c.puback(ids[1], 0)
	if bye := read[*packets.Disconnect](c); bye.ReasonCode != 0 {
		t.Errorf("DISCONNECT is %v", bye)
	}
	wantDone(t, results, "a", "b")
	if err := receive(t, ended); err != nil {
		t.Error("Run:", err)
	}
	if err := sink.Send(t.Context(), text("c"), nil); !errors.Is(err, mqtt.ErrClosed) {
		t.Errorf("Send after Run: %v, want ErrClosed", err)
	}
	if sink.Connected() {
		t.Error("connected after Run")
	}
}

func TestSinkGivesUpDraining(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.DrainTimeout = time.Millisecond
	sink := newSink(t, config, "out")
	r := runSink(t, sink)
	c := broker.greet(false)
	if err := sink.Send(t.Context(), text("a"), func(error) { t.Error("done was called") }); err != nil {
		t.Fatal(err)
	}
	c.wantPublishes(false, "a")
	if err := r.stop(); err != nil {
		t.Error("Run:", err)
	}
	read[*packets.Disconnect](c)
}

func TestSinkBlocksWhileDisconnected(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "out")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Send(canceled, text("x"), nil); err != context.Canceled {
		t.Errorf("Send before Run: %v, want context.Canceled", err)
	}
	sent := make(chan (<-chan result))
	go func() { sent <- sendAll(t, sink, "a") }()
	r := runSink(t, sink)
	c := broker.greet(false)
	results := receive(t, sent)
	c.puback(c.wantPublishes(false, "a")[0], 0)
	wantDone(t, results, "a")
	r.stop()
}

func TestSinkQoS0(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.QoS = mqtt.AtMostOnce
	sink := newSink(t, config, "out")
	r := runSink(t, sink)
	c := broker.greet(false, func(p *packets.Properties) { zero := byte(0); p.MaximumQOS = &zero })
	var payloads []string
	for i := range 1000 { // far more than the window, and than the buffers between
		payloads = append(payloads, fmt.Sprint(i, strings.Repeat("x", 10_000)))
	}
	sent := make(chan (<-chan result))
	go func() { sent <- sendAll(t, sink, payloads...) }()
	c.wantPublishes(false, payloads...)
	wantDone(t, receive(t, sent), payloads...)
	if err := r.stop(); err != nil {
		t.Error("Run:", err)
	}
	read[*packets.Disconnect](c)
}

func TestSinkRefused(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		play       func(*scriptConn)
	}{
		{"not authorized", "not authorized (reason 0x87)", func(c *scriptConn) { c.connack(packets.ConnackNotAuthorized, false) }},
		{"QoS 0 only", "the broker offers quality of service 0 at most", func(c *scriptConn) {
			c.connack(0, false, func(p *packets.Properties) { zero := byte(0); p.MaximumQOS = &zero })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := newScript(t)
			sink := newSink(t, testConfig(t, broker.addr()), "out")
			ended, sent := make(chan error, 1), make(chan error, 1)
			go func() { ended <- sink.Run(t.Context()) }()
			go func() { sent <- sink.Send(t.Context(), text("a"), func(error) { t.Error("done was called") }) }()
			c, _ := broker.accept()
			tt.play(c)
			if err := receive(t, ended); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run: %v; want %q in it", err, tt.want)
			}
			if err := receive(t, sent); !errors.Is(err, mqtt.ErrClosed) {
				t.Errorf("Send: %v, want ErrClosed", err)
			}
		})
	}
}

func TestRetain(t *testing.T) {
	unavailable := byte(0)
	for _, tt := range []struct {
		name   string
		retain mqtt.Retain
		edit   func(*packets.Properties)
		want   bool
	}{
		{"keep", mqtt.KeepRetain, func(*packets.Properties) {}, true},
		{"never", mqtt.NeverRetain, func(*packets.Properties) {}, false},
		{"keep, but the broker cannot", mqtt.KeepRetain, func(p *packets.Properties) { p.RetainAvailable = &unavailable }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := newScript(t)
			config := testConfig(t, broker.addr())
			config.Retain = tt.retain
			sink := newSink(t, config, "out")
			runSink(t, sink)
			c := broker.greet(false, tt.edit)
			done := make(chan error, 1)
			m := &message.Message{Envelope: &message.Envelope{Retained: true}}
			if err := sink.Send(t.Context(), m, func(err error) { done <- err }); err != nil {
				t.Fatal(err)
			}
			got := read[*packets.Publish](c)
			if got.Retain != tt.want {
				t.Errorf("retain flag is %v, want %v", got.Retain, tt.want)
			}
			c.puback(got.PacketID, 0)
			if err := receive(t, done); err != nil {
				t.Error(err)
			}
		})
	}
}

// Identifiers wrap around without reuse while in flight.
func TestSinkIdentifiersWrapAround(t *testing.T) {
	broker := newScript(t)
	sink := newSink(t, testConfig(t, broker.addr()), "out")
	runSink(t, sink)
	c := broker.greet(false)
	const count = 70_000
	go func() {
		for range count {
			c.puback(read[*packets.Publish](c).PacketID, 0)
		}
	}()
	done := make(chan int, count)
	for i := range count {
		if err := sink.Send(t.Context(), text("x"), func(error) { done <- i }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range count {
		if got := receive(t, done); got != i {
			t.Fatalf("done %d, want %d", got, i)
		}
	}
}

// TestSinkMakesEvents: what is sent again is the same event.
func TestSinkMakesEvents(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	made := 0
	config.Events = cloudevent.Policy{Create: true, Source: "aio://plant", NewID: func() string {
		made++
		return fmt.Sprint("id-", made)
	}}
	sink := newSink(t, config, "out/${inputTopic.1}")
	runSink(t, sink)
	c := broker.greet(false)
	m := &message.Message{Topic: "in", ContentType: "text/plain"}
	if err := sink.Send(t.Context(), m, func(error) {}); err != nil {
		t.Fatal(err)
	}
	first := read[*packets.Publish](c)
	c.cut()
	again := read[*packets.Publish](broker.greet(true))
	got := map[string]string{}
	for _, u := range first.Properties.User {
		got[u.Key] = u.Value
	}
	if _, err := time.Parse(time.RFC3339, got["time"]); err != nil {
		t.Error(err)
	}
	delete(got, "time")
	want := map[string]string{
		"specversion": "1.0", "type": "ms.aio-dataflow.telemetry", "source": "aio://plant", "id": "id-1",
		"subject": "out/in", "datacontenttype": "text/plain",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first.Properties.User, again.Properties.User); diff != "" {
		t.Errorf("sent again (-first +again):\n%s", diff)
	}
	if len(m.Properties) > 0 {
		t.Errorf("the message was changed: %v", m.Properties)
	}
}
