// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// TestFrames: packets of all kinds and sizes pass, in whatever pieces they come; those that
// are a byte too large don't.
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
			for _, piece := range []int{1, 3, stream.Len()} {
				f := frames{max: limit}
				code := byte(0)
				for rest := stream.Bytes(); len(rest) > 0 && code == 0; rest = rest[min(piece, len(rest)):] {
					if v := f.follow(rest[:min(piece, len(rest))]); v != nil {
						code = v.code
					}
				}
				if code != tt.code {
					t.Errorf("in pieces of %d: got code 0x%02x, want 0x%02x", piece, code, tt.code)
				}
				if code == 0 && f.part != atType {
					t.Errorf("in pieces of %d: at part %d behind a packet", piece, f.part)
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
		whole, pieces := frames{max: limit}, frames{max: limit}
		all := whole.follow(stream)
		good := 0
		var one *violation
		for good < len(stream) && one == nil {
			if one = pieces.follow(stream[good : good+1]); one == nil {
				good++
			}
		}
		if (all == nil) != (one == nil) || all != nil && *all != *one {
			t.Fatalf("got %v at once, %v byte for byte", all, one)
		}
		if one == nil && whole != pieces {
			t.Errorf("got %+v at once, %+v byte for byte", whole, pieces)
		}
		r := bytes.NewReader(stream[:good])
		for r.Len() > 0 {
			before := r.Len()
			head := stream[good-before:]
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
