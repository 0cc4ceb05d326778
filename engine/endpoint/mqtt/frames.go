// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"fmt"

	"github.com/eclipse/paho.golang/packets"
)

// maxProperties bounds the properties of one packet, in bytes, and all of a packet that
// has nothing but them. An empty user property has five bytes here and a hundred in
// memory.
const maxProperties = 4 << 20

// violation is what a broker did that MQTT does not allow. It ends the connection, and
// the broker is told why by code.
type violation struct {
	code byte // of our DISCONNECT
	what string
}

// Error implements error.
func (v *violation) Error() string { return "the broker broke the protocol: " + v.what }

func malformed(format string, args ...any) *violation {
	return &violation{packets.DisconnectMalformedPacket, fmt.Sprintf(format, args...)}
}

func protocolError(format string, args ...any) *violation {
	return &violation{packets.DisconnectProtocolError, fmt.Sprintf(format, args...)}
}

// frames follows the frames in what a broker sends (section 2.1), and in a PUBLISH those
// of the topic and the properties, before anybody makes room for what they announce: the
// client library believes every length.
type frames struct {
	max int // most bytes of a packet

	part   framePart
	first  byte // of the packet
	length int  // being read, by its digits or bytes
	shift  int  // of the next digit or byte
	rest   int  // bytes of the packet that are left
	skip   int  // bytes of the part that are left, all of them in rest
}

// framePart is a part of a packet.
type framePart uint8

const (
	atType       framePart = iota // the first byte
	atLength                      // a variable byte integer
	atTopic                       // a PUBLISH's topic's length, two bytes
	inTopic                       // and the packet identifier behind it
	atProperties                  // a PUBLISH's properties' length, a variable byte integer
	inBody                        // what is left
)

// follow takes the next bytes of the stream. It fails at the byte that no broker may send.
func (f *frames) follow(p []byte) *violation {
	for len(p) > 0 {
		switch f.part {
		case atType:
			f.first = p[0]
			if v := checkType(p[0]); v != nil {
				return v
			}
			f.begin(atLength)
			p = p[1:]
		case inTopic, inBody:
			n := min(len(p), f.skip)
			f.skip -= n
			f.rest -= n
			p = p[n:]
			if f.skip == 0 {
				f.leave()
			}
		default:
			b := p[0]
			p = p[1:]
			if f.part != atLength {
				f.rest-- // there is one, see sized and digit
			}
			if v := f.digit(b); v != nil {
				return v
			}
		}
	}
	return nil
}

// begin begins a length.
func (f *frames) begin(part framePart) { f.part, f.length, f.shift = part, 0, 0 }

// leave ends a part that was skipped.
func (f *frames) leave() {
	if f.part == inTopic {
		f.begin(atProperties)
		return
	}
	f.part = atType
}

// digit takes the next byte of a length.
func (f *frames) digit(b byte) *violation {
	if f.part == atTopic {
		f.length = f.length<<8 | int(b)
		if f.shift++; f.shift < 2 {
			return nil
		}
		if f.skip = f.length; f.first>>1&3 > 0 {
			f.skip += 2 // the packet identifier
		}
		if f.skip >= f.rest {
			return malformed("a PUBLISH that ends before its properties")
		}
		f.part = inTopic
		if f.skip == 0 {
			f.leave()
		}
		return nil
	}
	f.length |= int(b&0x7f) << f.shift
	f.shift += 7
	if b&0x80 != 0 {
		switch {
		case f.shift == 28:
			return malformed("a length of more than four bytes")
		case f.part == atProperties && f.rest == 0:
			return malformed("a PUBLISH that ends before its properties")
		}
		return nil
	}
	if f.part == atLength {
		return f.sized()
	}
	switch {
	case f.length > f.rest:
		return malformed("properties of %d bytes, with %d left", f.length, f.rest)
	case f.length > maxProperties:
		return &violation{packets.DisconnectPacketTooLarge, fmt.Sprintf("properties of %d bytes, at most %d are taken", f.length, maxProperties)}
	}
	f.body(f.rest)
	return nil
}

// sized goes on behind a packet's length.
func (f *frames) sized() *violation {
	publish := f.first>>4 == packets.PUBLISH
	size, limit := f.length+1+f.shift/7, f.max
	if !publish {
		limit = min(limit, maxProperties)
	}
	if size > limit {
		return &violation{packets.DisconnectPacketTooLarge, fmt.Sprintf("a packet of %d bytes, at most %d are taken", size, limit)}
	}
	f.rest = f.length
	switch {
	case !publish:
		f.body(f.rest)
	case f.length < 3:
		return malformed("a PUBLISH that ends before its properties")
	default:
		f.begin(atTopic)
	}
	return nil
}

// body skips n bytes, to the end of the packet.
func (f *frames) body(n int) {
	f.part, f.skip = inBody, n
	if n == 0 {
		f.leave()
	}
}

// checkType checks the first byte of a packet: its type, and flags.
func checkType(first byte) *violation {
	switch kind, flags := first>>4, first&0xf; kind {
	case packets.PUBLISH:
		switch qos := flags >> 1 & 3; {
		case qos == 3:
			return malformed("a PUBLISH of quality of service 3")
		case qos == 2:
			return &violation{packets.DisconnectQoSNotSupported, "a PUBLISH of quality of service 2, which nobody subscribed to"}
		}
	case packets.CONNACK, packets.PUBACK, packets.SUBACK, packets.PINGRESP, packets.DISCONNECT, packets.AUTH:
		if flags != 0 {
			return malformed("flags 0x%x in a packet of type %d", flags, kind)
		}
	default:
		return protocolError("a packet of type %d", kind)
	}
	return nil
}
