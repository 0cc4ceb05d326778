// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.golang/packets"
)

// TestFrames: packets of all kinds and sizes pass, before the handshake's end and after;
// those that are a byte too large don't.
func TestFrames(t *testing.T) {
	const limit = 5 << 20
	user := func(n int) *packets.Properties {
		p := &packets.Properties{}
		for ; n > 0; n -= 5 + min(n-5, 1<<16) {
			p.User = append(p.User, packets.User{Value: strings.Repeat("x", min(max(n-5, 0), 1<<16-1))})
		}
		return p
	}
	publish := func(qos byte, topic string, payload int, p *packets.Properties) packets.Packet {
		return &packets.Publish{QoS: qos, PacketID: 1, Topic: topic, Payload: make([]byte, payload), Properties: p}
	}
	for _, tt := range []struct {
		name   string
		packet packets.Packet
		code   byte // 0: good
	}{
		{"CONNACK", &packets.Connack{Properties: user(100)}, 0},
		{"PUBACK", &packets.Puback{PacketID: 1, Properties: user(0)}, 0},
		{"SUBACK", &packets.Suback{PacketID: 1, Reasons: []byte{1}, Properties: user(200)}, 0},
		{"PINGRESP", &packets.Pingresp{}, 0},
		{"DISCONNECT", &packets.Disconnect{Properties: user(0)}, 0},
		{"AUTH", &packets.Auth{Properties: user(10)}, 0},
		{"empty PUBLISH", publish(0, "", 0, user(0)), 0},
		{"PUBLISH", publish(1, "a/b", 10, user(300)), 0},
		{"PUBLISH without a payload", publish(1, "a/b", 0, user(20_000)), 0},
		{"largest PUBLISH", publish(1, "a", limit-5-3-2-1, user(0)), 0},
		{"larger PUBLISH", publish(1, "a", limit-5-3-2, user(0)), packets.DisconnectPacketTooLarge},
		{"large properties", publish(0, "a", 0, user(maxProperties-1<<10)), 0},
		{"larger properties", publish(0, "a", 0, user(maxProperties+1<<10)), packets.DisconnectPacketTooLarge},
		{"large SUBACK", &packets.Suback{Reasons: make([]byte, maxProperties), Properties: user(0)}, packets.DisconnectPacketTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stream bytes.Buffer
			for range 2 {
				if _, err := tt.packet.WriteTo(&stream); err != nil {
					t.Fatal(err)
				}
			}
			for _, served := range []bool{false, true} {
				c := &conn{input: input{from: bytes.NewReader(stream.Bytes())}, maxPacket: limit}
				if served {
					c.serve(parser{})
				}
				want := tt.code
				if !served && stream.Len()/2 > maxProperties {
					want = packets.DisconnectPacketTooLarge // the client library would believe it
				}
				passed, err := io.ReadAll(c)
				if got := code(err); got != want {
					t.Errorf("served %v: got code 0x%02x, want 0x%02x", served, got, want)
				}
				if !served && err == nil && !bytes.Equal(passed, stream.Bytes()) {
					t.Errorf("%d bytes of %d passed", len(passed), stream.Len())
				}
			}
		})
	}
}

// FuzzFrames: the client library reads nothing larger than the limit from a stream that
// passes, and finds the ends of packets where frames does.
func FuzzFrames(f *testing.F) {
	for _, p := range []packets.Packet{
		&packets.Connack{Properties: &packets.Properties{ReasonString: "hello"}},
		&packets.Publish{QoS: 1, PacketID: 1, Topic: "a/b", Payload: []byte("payload"), Properties: &packets.Properties{ContentType: "c"}},
		&packets.Puback{PacketID: 1, Properties: &packets.Properties{}},
	} {
		var b bytes.Buffer
		if _, err := p.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("\x30\x80\x80\x80\x80"))
	f.Add([]byte("\x20\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 10
		c := &conn{input: input{from: iotest.HalfReader(bytes.NewReader(stream))}, maxPacket: limit}
		passed, _ := io.ReadAll(c)
		if !bytes.HasPrefix(stream, passed) {
			t.Fatalf("passed %q of %q", passed, stream)
		}
		r := bytes.NewReader(passed)
		for r.Len() > 0 {
			before := r.Len()
			head := passed[len(passed)-before:]
			length, digits := binary.Uvarint(head[1:])
			_, err := packets.ReadPacket(r)
			if size := before - r.Len(); err == nil && (size > limit || size != 1+digits+int(length)) {
				t.Errorf("the library read %d bytes, the packet has %d", size, 1+digits+int(length))
			}
			if err != nil {
				return
			}
		}
	})
}
