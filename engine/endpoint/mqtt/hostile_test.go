// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

// packet is the bytes of a packet, with a good length.
func packet(first byte, parts ...string) string {
	body := strings.Join(parts, "")
	return string(binary.AppendUvarint([]byte{first}, uint64(len(body)))) + body
}

// field is a string or binary data as the protocol writes it.
func field(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// properties is a list of properties with its length.
func properties(list ...string) string {
	all := strings.Join(list, "")
	return string(binary.AppendUvarint(nil, uint64(len(all)))) + all
}

// wire is a packet as the client library writes it.
func wire(p packets.Packet) string {
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// raw writes bytes; the client may have gone by then.
func (c *scriptConn) raw(s string) { _, _ = c.conn.Write([]byte(s)) }

// ending reads until the client ends the connection, and returns the reason code of its
// DISCONNECT, -1 without one.
func (c *scriptConn) ending() int {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		p, err := packets.ReadPacket(c.conn)
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				c.t.Fatal("the connection does not end")
			}
			c.cut()
			return -1
		}
		if bye, ok := p.Content.(*packets.Disconnect); ok {
			c.cut()
			return int(bye.ReasonCode)
		}
	}
}

// The points of a conversation at which a broker misbehaves.
const (
	atConnack   = "instead of a CONNACK"
	atSuback    = "instead of a SUBACK"
	atDelivery  = "to a source"
	atPublisher = "to a sink"
)

// hostilities are what a broker may send once, and what the client says when it leaves.
var hostilities = []struct {
	name, point string
	send        string
	code        int // of our DISCONNECT; -1: there is none
	trouble     string
}{
	{"nothing", atConnack, "", -1, "EOF"},
	{"half a CONNACK", atConnack, "\x20\x03\x00", -1, "EOF"},
	{"PUBLISH", atConnack, packet(0x30, field("t"), properties()), packets.DisconnectProtocolError, "a packet of type 3 where a CONNACK is due"},
	{"CONNECT", atConnack, packet(0x10, field("MQTT"), "\x05\x00\x00\x00\x00"), 0x82, "a packet of type 1"},
	{"type 0", atConnack, packet(0x00), 0x82, "a packet of type 0"},
	{"HTTP", atConnack, "HTTP/1.1 400 Bad Request\r\n\r\n", 0x81, "flags 0x8 in a packet of type 4"},
	{"CONNACK of an older version", atConnack, "\x20\x02\x00\x00", -1, "EOF"},
	{"CONNACK with flags", atConnack, packet(0x21, "\x00\x00", properties()), 0x81, "flags 0x1"},
	{"CONNACK with an unknown success", atConnack, packet(0x20, "\x00\x42", properties()), -1, "a CONNACK with reason 0x42"},
	{"receive maximum of 0", atConnack, packet(0x20, "\x00\x00", properties("\x21\x00\x00")), -1, "a receive maximum of 0"},
	{"packet size of 0", atConnack, packet(0x20, "\x00\x00", properties("\x27\x00\x00\x00\x00")), -1, "a maximum packet size of 0"},
	{"property of another packet", atConnack, packet(0x20, "\x00\x00", properties("\x01\x01")), -1, "invalid Prop type"},
	{"unknown property", atConnack, packet(0x20, "\x00\x00", properties("\x7f\x01")), -1, "invalid Prop type"},
	{"endless length", atConnack, "\x20" + strings.Repeat("\x80", 1000), 0x81, "a length of more than four bytes"},
	{"endless length of properties", atConnack, packet(0x20, "\x00\x00"+strings.Repeat("\x80", 1000)), -1, "EOF"},
	{"CONNACK of 256 MiB", atConnack, "\x20\xff\xff\xff\x7f", 0x95, "a packet of 268435460 bytes, at most 131072 are taken"},

	{"nothing", atSuback, "", -1, "EOF"},
	{"another packet's SUBACK", atSuback, packet(0x90, "\x00\x02", properties(), "\x01"), 0x82, "a SUBACK of packet 2"},
	{"SUBACK without reasons", atSuback, packet(0x90, "\xff\xff", properties()), 0x82, "a SUBACK with 0 reasons for 1 subscriptions"},
	{"SUBACK with a reason too many", atSuback, packet(0x90, "\xff\xff", properties(), "\x01\x01"), 0x82, "a SUBACK with 2 reasons"},
	{"SUBACK with an unknown reason", atSuback, packet(0x90, "\xff\xff", properties(), "\x17"), 0x82, "a SUBACK with reason 0x17"},
	{"UNSUBACK", atSuback, packet(0xb0, "\x00\x01", properties(), "\x00"), 0x82, "an UNSUBACK of packet 1"},
	{"a second CONNACK", atSuback, packet(0x20, "\x00\x00", properties()), packets.DisconnectProtocolError, "a packet of type 2 after the handshake"},
	{"half a SUBACK", atSuback, "\x90\x04\xff\xff", -1, "EOF"},

	{"half a PUBLISH", atDelivery, packet(0x32, field("t"), "\x00\x07", properties(), "payload")[:9], -1, "EOF"},
	{"PUBLISH without a topic", atDelivery, packet(0x30), 0x81, "ends before its properties"},
	{"PUBLISH with half a topic", atDelivery, packet(0x30, "\x00\x05top"), 0x81, "ends before its properties"},
	{"PUBLISH without an identifier", atDelivery, packet(0x32, field("t"), "\x00"), 0x81, "ends before its properties"},
	{"PUBLISH without properties", atDelivery, packet(0x32, field("t"), "\x00\x07"), 0x81, "ends before its properties"},
	{"PUBLISH with half its properties", atDelivery, packet(0x32, field("t"), "\x00\x07", "\x10abc"), 0x81, "properties of 16 bytes, with 3 left"},
	{"PUBLISH with an endless length of properties", atDelivery, packet(0x32, field("t"), "\x00\x07", strings.Repeat("\xff", 100)), 0x81, "a length of more than four bytes"},
	{"PUBLISH with half a property", atDelivery, packet(0x32, field("t"), "\x00\x07", properties("\x02\x00\x00")), 0x81, "ends within a property"},
	{"PUBLISH with a property of another packet", atDelivery, packet(0x32, field("t"), "\x00\x07", properties("\x21\x00\x01")), 0x81, "property 0x21 in a PUBLISH"},
	{"PUBLISH with identifier 0", atDelivery, packet(0x32, field("t"), "\x00\x00", properties(), "x"), 0x82, "packet identifier 0"},
	{"PUBLISH of QoS 2", atDelivery, packet(0x34, field("t"), "\x00\x07", properties(), "x"), 0x9b, "quality of service 2"},
	{"PUBLISH of QoS 3", atDelivery, packet(0x36, field("t"), "\x00\x07", properties(), "x"), 0x81, "quality of service 3"},
	{"PUBLISH with an alias", atDelivery, packet(0x32, field("t"), "\x00\x07", properties("\x23\x00\x01"), "x"), 0x94, "a topic alias"},
	{"PUBLISH with an alias for a topic", atDelivery, packet(0x30, field(""), properties("\x23\xff\xff"), "x"), 0x94, "a topic alias"},
	{"PUBLISH that is too large", atDelivery, "\x32\x81\x80\x08" + field("t"), 0x95, "a packet of 131077 bytes, at most 131072 are taken"},
	{"PUBLISH of 256 MiB", atDelivery, "\x32\xff\xff\xff\x7f" + field("t"), 0x95, "at most 131072 are taken"},
	{"PUBREL", atDelivery, packet(0x62, "\x00\x01"), 0x82, "a packet of type 6"},
	{"SUBSCRIBE", atDelivery, packet(0x82, "\x00\x01", properties(), field("t"), "\x01"), 0x82, "a packet of type 8"},
	{"CONNACK", atDelivery, packet(0x20, "\x00\x00", properties()), packets.DisconnectProtocolError, "a packet of type 2 after the handshake"},
	{"PINGREQ", atDelivery, packet(0xc0), 0x82, "a packet of type 12"},
	{"DISCONNECT with half a property", atDelivery, packet(0xe0, "\x8b", properties("\x1f\x00\x09ab")), -1, "a packet that cannot be read"},
	{"AUTH that asks", atDelivery, packet(0xf0, "\x18", properties("\x15"+field("K8S-SAT"))), -1, "asks for more than a token"},

	{"PUBACK with an unknown reason", atPublisher, packet(0x40, "\x00\x01\xff", properties()), 0x82, "a PUBACK with reason 0xff"},
	{"PUBACK without an identifier", atPublisher, packet(0x40, "\x00"), 0x81, "a PUBACK of 1 bytes"},
	{"PUBACK with flags", atPublisher, packet(0x42, "\x00\x01"), 0x81, "flags 0x2"},
	{"PUBREC", atPublisher, packet(0x50, "\x00\x01"), 0x82, "a packet of type 5"},
	{"PUBCOMP", atPublisher, packet(0x70, "\x00\x01"), 0x82, "a packet of type 7"},
	{"no space for another", atPublisher, packet(0x40, "\x00\x01\x97", properties()), -1, "quota exceeded"},
	{"identifier in use", atPublisher, packet(0x40, "\x00\x01\x91", properties()), -1, "packet identifier in use"},
	{"half a PUBACK", atPublisher, "\x40\x02\x00", -1, "EOF"},
	{"random bytes", atPublisher, "\xba\xad\xf0\x0d", 0x81, "flags 0xa in a packet of type 11"},
}

// TestHostileBroker: whatever a broker sends, once, costs a connection. Nothing is lost, and
// nothing acknowledged that was not delivered.
func TestHostileBroker(t *testing.T) {
	for _, h := range hostilities {
		t.Run(h.name+" "+h.point, func(t *testing.T) {
			broker := newScript(t)
			logged := make(chan string, 100)
			config := testConfig(t, broker.addr())
			config.MaxPacket, config.Logger = 128<<10, logErrors(logged)
			check := func(c *scriptConn) {
				t.Helper()
				if h.code < 0 {
					c.cutIfSilent(h.trouble)
				}
				if got := c.ending(); h.code >= 0 && got != h.code {
					t.Errorf("DISCONNECT has reason 0x%02x, want 0x%02x", got, h.code)
				}
				if got := receive(t, logged); !strings.Contains(got, h.trouble) {
					t.Errorf("the trouble is %q, want %q in it", got, h.trouble)
				}
			}
			if h.point == atPublisher {
				sink := newSink(t, config, "out")
				runSink(t, sink)
				c := broker.greet(false)
				results := sendAll(t, sink, "a", "b")
				c.wantPublishes(false, "a", "b")
				c.raw(h.send)
				check(c)
				if len(results) > 0 {
					t.Errorf("confirmed by that: %v", <-results)
				}
				c = broker.greet(false)
				for _, id := range c.wantPublishes(false, "a", "b") {
					c.puback(id, 0)
				}
				wantDone(t, results, "a", "b")
				return
			}
			source := newSource(t, config, "t")
			emit, deliveries := collect()
			runSource(t, source, emit)
			c, _ := broker.accept()
			if h.point != atConnack {
				c.connack(0, false)
				request := read[*packets.Subscribe](c)
				if h.point == atDelivery {
					c.suback(request, 1)
				}
			}
			c.raw(h.send)
			check(c)
			c = broker.subscribed(true)
			c.publish(7, "good")
			wantDeliveries(t, deliveries, "good")[0].Settle()
			c.wantPubacks(7)
		})
	}
}

// cutIfSilent ends the connection where the client waits for more.
func (c *scriptConn) cutIfSilent(trouble string) {
	if trouble == "EOF" {
		c.conn.(interface{ CloseWrite() error }).CloseWrite()
	}
}

// TestHostileFarewells: the broker ends the connection with each code that a byte has.
func TestHostileFarewells(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.MaxBackoff, config.Logger = time.Millisecond, nil
	source := newSource(t, named(config, "-source"), "t")
	emit, deliveries := collect()
	r := runSource(t, source, emit)
	for code := range 256 {
		c := broker.subscribed(code > 0)
		c.publish(1, "a")
		wantDeliveries(t, deliveries, "a") // not settled
		c.disconnect(byte(code))
	}
	c := broker.subscribed(true)
	c.publish(1, "a")
	wantDeliveries(t, deliveries, "a")[0].Settle()
	c.wantPubacks(1)
	c.cut()
	r.stop()

	sink := newSink(t, named(config, "-sink"), "out")
	runSink(t, sink)
	for code := range 256 {
		c := broker.greet(false)
		results := sendAll(t, sink, "a", "b") // one alone would be blamed for some codes
		c.wantPublishes(false, "a", "b")
		c.disconnect(byte(code))
		c = broker.greet(false)
		for _, payload := range []string{"a", "b"} {
			c.puback(c.wantPublishes(false, payload)[0], 0)
		}
		wantDone(t, results, "a", "b")
		c.cut()
	}
	if got := sink.Stats().Refused; got > 0 {
		t.Errorf("%d messages were given up", got)
	}
}

// TestCutAtEveryByte ends the connection behind each byte of what a broker sends to a source,
// and to a sink.
func TestCutAtEveryByte(t *testing.T) {
	t.Run("source", func(t *testing.T) {
		greeting := wire(&packets.Connack{Properties: &packets.Properties{ReasonString: "hello"}, SessionPresent: true})
		rest := wire(&packets.Suback{PacketID: 0xffff, Reasons: []byte{1}, Properties: &packets.Properties{}})
		var ends []int // of the PUBLISHes
		for i, payload := range []string{"a", "b", "c"} {
			expiry := uint32(100)
			rest += wire(&packets.Publish{PacketID: uint16(i + 1), QoS: 1, Topic: "t", Payload: []byte(payload), Properties: &packets.Properties{
				ContentType: "text/plain", MessageExpiry: &expiry, User: []packets.User{{Key: "k", Value: "v"}},
			}})
			ends = append(ends, len(greeting)+len(rest))
			rest += wire(&packets.Pingresp{})
		}
		broker := newScript(t)
		config := testConfig(t, broker.addr())
		config.MaxBackoff, config.Logger = time.Millisecond, nil
		source := newSource(t, config, "t")
		emit, deliveries := collect()
		runSource(t, source, func(d endpoint.Delivery) {
			if d.Message.Properties[0].Value == "v" {
				d.Settle() // void: its connection is gone, or about to be
				return
			}
			emit(d)
		})
		want := uint64(0)
		for n := range len(greeting) + len(rest) + 1 {
			c, _ := broker.accept()
			c.raw(greeting[:min(n, len(greeting))])
			if n > len(greeting) {
				read[*packets.Subscribe](c)
				c.raw(rest[:n-len(greeting)])
			}
			for _, end := range ends {
				if n >= end {
					want++
				}
			}
			c.conn.(interface{ CloseWrite() error }).CloseWrite()
			c.ending()
		}
		c := broker.subscribed(true)
		for i, payload := range []string{"a", "b", "c"} {
			c.write(&packets.Publish{PacketID: uint16(i + 1), QoS: 1, Topic: "t", Payload: []byte(payload), Properties: &packets.Properties{
				User: []packets.User{{Key: "k", Value: "at last"}},
			}})
		}
		for _, d := range wantDeliveries(t, deliveries, "a", "b", "c") {
			d.Settle()
		}
		c.wantPubacks(1, 2, 3)
		if got := source.Stats().Received; got != want+3 {
			t.Errorf("received %d messages, %d were sent whole", got, want+3)
		}
	})
	t.Run("sink", func(t *testing.T) {
		greeting := wire(&packets.Connack{Properties: &packets.Properties{ReasonString: "hello"}})
		broker := newScript(t)
		config := testConfig(t, broker.addr())
		config.MaxBackoff, config.Logger = time.Millisecond, nil
		sink := newSink(t, config, "out")
		runSink(t, sink)
		results := make(chan (<-chan result), 1)
		go func() { results <- sendAll(t, sink, "a") }()
		for n := range len(greeting) + 4 {
			c, _ := broker.accept()
			c.raw(greeting[:min(n, len(greeting))])
			if n >= len(greeting) {
				id := c.wantPublishes(false, "a")[0]
				c.raw(wire(&packets.Puback{PacketID: id, Properties: &packets.Properties{}})[:n-len(greeting)])
			}
			c.conn.(interface{ CloseWrite() error }).CloseWrite()
			c.ending()
		}
		c := broker.greet(false)
		sent := receive(t, results)
		id := c.wantPublishes(false, "a")[0]
		if len(sent) > 0 {
			t.Error("confirmed by half a PUBACK")
		}
		c.puback(id, 0)
		wantDone(t, sent, "a")
	})
}

// TestMalformedMessages: what only looks like a message is refused in its turn, and what
// comes behind it arrives.
func TestMalformedMessages(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	c := broker.subscribed(false)
	user := func(key, value string) string { return properties("\x26" + field(key) + field(value)) }
	bad := []struct {
		topic, properties string
		code              byte
	}{
		{"", properties(), packets.PubackTopicNameInvalid},
		{"a/#", properties(), packets.PubackTopicNameInvalid},
		{"a\x00b", properties(), packets.PubackTopicNameInvalid},
		{"\xff\xfe", properties(), packets.PubackTopicNameInvalid},
		{"t", user("k\xc3\x28", "v"), packets.PubackImplementationSpecificError},
		{"t", user("k", "\xed\xa0\x80"), packets.PubackImplementationSpecificError},
		{"t", user("k", "\x00"), packets.PubackImplementationSpecificError},
		{"t", properties("\x03" + field("\xf8")), packets.PubackImplementationSpecificError},
		{"t", properties("\x08" + field("\xf8")), packets.PubackImplementationSpecificError},
	}
	c.publish(100, "first")
	for i, b := range bad {
		c.raw(packet(0x32, field(b.topic), string([]byte{0, byte(i + 1)}), b.properties, "x"))
		c.raw(packet(0x30, field(b.topic), b.properties, "x"))
	}
	c.publish(101, "last")
	got := wantDeliveries(t, deliveries, "first", "last")
	got[1].Settle()
	got[0].Settle()
	c.wantPubacks(100)
	for i, b := range bad {
		if got := read[*packets.Puback](c); int(got.PacketID) != i+1 || got.ReasonCode != b.code {
			t.Errorf("got %v, want a PUBACK of %d with reason 0x%02x", got, i+1, b.code)
		}
	}
	c.wantPubacks(101)
	want := mqtt.SourceStats{Received: uint64(2 + 2*len(bad)), Malformed: uint64(2 * len(bad)), Connections: 1}
	if diff := cmp.Diff(want, source.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if got := source.Traffic(); got.Malformed != want.Malformed || got.Busy != 0 {
		t.Errorf("traffic is %+v", got)
	}
}

// TestOddButHarmless: what a broker says too often, or to nobody, changes nothing.
func TestOddButHarmless(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, named(testConfig(t, broker.addr()), "-source"), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	c := broker.subscribed(false)
	c.raw(strings.Repeat(wire(&packets.Pingresp{}), 100_000))
	c.raw(strings.Repeat(packet(0x90, "\xff\xff", properties(), "\x01"), 1000))                        // SUBACK, again
	c.raw(strings.Repeat(packet(0x40, "\x00\x09"), 1000))                                              // PUBACK
	c.raw(strings.Repeat(wire(&packets.Auth{Properties: &packets.Properties{AuthMethod: "x"}}), 1000)) // success
	for range 2 {
		c.raw(packet(0x32, field("t"), "\x00\x05", properties(), "twice")) // one identifier at a time
	}
	for _, d := range wantDeliveries(t, deliveries, "twice", "twice") {
		d.Settle()
	}
	c.wantPubacks(5, 5)

	sink := newSink(t, named(testConfig(t, broker.addr()), "-sink"), "out")
	runSink(t, sink)
	p := broker.greet(false)
	p.raw(packet(0x30, field("t"), properties(), "nobody asked"))
	p.raw(packet(0x32, field("t"), "\x00\x01", properties(), "nobody asked"))
	for id := range 1000 {
		p.puback(uint16(id), 0)
	}
	results := sendAll(t, sink, "a")
	p.puback(p.wantPublishes(false, "a")[0], 0)
	wantDone(t, results, "a")
	if source.Stats().Connections != 1 || sink.Stats().Connections != 1 {
		t.Errorf("connected again: %+v, %+v", source.Stats(), sink.Stats())
	}
}

// TestSentAhead: a broker that ignores the receive maximum is borne until what is held for
// the engine has grown too large.
func TestSentAhead(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.MaxInflight, config.QueueBytes = 10, 100_000
	source := newSource(t, config, "t")
	emitted, proceed := make(chan endpoint.Delivery), make(chan struct{})
	runSource(t, source, func(d endpoint.Delivery) {
		emitted <- d
		<-proceed
	})
	c := broker.subscribed(false)
	c.publish(1, "first")
	wantDeliveries(t, emitted, "first") // and the engine is busy
	for id := 2; id <= 1000; id++ {
		c.raw(packet(0x32, field("t"), string(binary.BigEndian.AppendUint16(nil, uint16(id))), properties(), strings.Repeat("x", 1000)))
	}
	if got := c.ending(); got != int(packets.DisconnectReceiveMaximumExceeded) {
		t.Errorf("DISCONNECT has reason 0x%02x", got)
	}
	if got := source.Stats().Received; got < 90 || got > 135 {
		t.Errorf("%d messages were taken, want about 100", got)
	}
	close(proceed)
	c = broker.subscribed(true)
	c.publish(1, "again")
	for d := receive(t, emitted); ; d = receive(t, emitted) {
		if string(d.Message.Payload) == "again" { // rather than one that was just being handed on
			d.Settle()
			break
		}
	}
	c.wantPubacks(1)
}

// TestPropertiesCount: messages without a payload fill the queue, too.
func TestPropertiesCount(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.QueueBytes = 100_000
	source := newSource(t, config, "t")
	emitted, proceed := make(chan endpoint.Delivery, 1000), make(chan struct{})
	runSource(t, source, func(d endpoint.Delivery) {
		emitted <- d
		<-proceed
	})
	c := broker.subscribed(false)
	c.publish(0, "first")
	wantDeliveries(t, emitted, "first")
	many := properties(slices.Repeat([]string{"\x26" + field("") + field("")}, 1000)...)
	for range 100 {
		c.raw(packet(0x30, field("t"), many))
	}
	c.publish(1, "last")
	waitUntil(t, "all has arrived", func() bool { return source.Stats().Received == 102 })
	if got := source.Stats().Dropped; got < 90 {
		t.Errorf("%d messages were dropped, want more than 90", got)
	}
	close(proceed)
}

// TestSilentBroker: a broker that takes a connection, and does not answer, is given up.
func TestSilentBroker(t *testing.T) {
	t.Run("to CONNECT", func(t *testing.T) {
		broker := newScript(t)
		config := testConfig(t, broker.addr())
		config.ConnectTimeout = 20 * time.Millisecond
		runSink(t, newSink(t, config, "out"))
		for range 3 {
			c, _ := broker.accept()
			c.ending()
		}
	})
	t.Run("to SUBSCRIBE", func(t *testing.T) {
		broker := newScript(t)
		config := testConfig(t, broker.addr())
		config.ConnectTimeout = 100 * time.Millisecond
		emit, _ := collect()
		source := newSource(t, config, "t")
		runSource(t, source, emit)
		for range 2 {
			c := broker.greet(false)
			read[*packets.Subscribe](c)
			c.ending()
		}
		if source.Connected() {
			t.Error("connected")
		}
	})
	t.Run("to PINGREQ", func(t *testing.T) {
		broker := newScript(t)
		config := testConfig(t, broker.addr())
		config.KeepAlive = time.Second
		emit, deliveries := collect()
		source := newSource(t, config, "t")
		runSource(t, source, emit)
		c := broker.subscribed(false)
		c.ending()
		waitUntil(t, "it says so", func() bool { return endpoint.Trouble(source) != nil })
		if err := endpoint.Trouble(source); !strings.Contains(fmt.Sprint(err), "the broker does not answer pings") {
			t.Errorf("trouble is %v", err)
		}
		c = broker.subscribed(true)
		c.publish(1, "a")
		wantDeliveries(t, deliveries, "a")
	})
}
