// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"encoding/binary"
	"fmt"

	"github.com/eclipse/paho.golang/packets"
)

// The packets that come and go with every message, PUBLISH and PUBACK, are read and
// written here, sections 3.3 and 3.4 of MQTT 5: with few allocations, and straight from
// and into the connection's buffers. All others are the client library's.

// maxLength is the most that the length of a packet can say, in bytes.
const maxLength = 1<<28 - 1

// frame is what a packet begins with: its type and flags, and its length.
type frame struct {
	first  byte
	header int // bytes of type, flags and length
	length int // bytes of the rest
}

// kind returns the packet's type.
func (f frame) kind() byte { return f.first >> 4 }

// parseFrame reads what a packet begins with. ok is false if b is too short for it.
func parseFrame(b []byte) (f frame, ok bool, err error) {
	for i := 1; i < len(b); i++ {
		f.length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			f.first, f.header = b[0], i+1
			return f, true, nil
		}
		if i == 4 {
			return frame{}, false, malformed("a length of more than four bytes")
		}
	}
	return frame{}, false, nil
}

// maxProperties bounds the properties of one packet, in bytes, and all of a packet that
// has nothing but them. An empty user property has five bytes here and a hundred in
// memory.
const maxProperties = 4 << 20

// check reports what no broker may send, or nobody takes, before room is made for it.
// most is the most bytes that a packet may have, if it doesn't pass to the client library.
func (f frame) check(most int, passes bool) error {
	if v := checkType(f.first); v != nil {
		return v
	}
	if passes {
		most = min(most, maxProperties)
	}
	if size := f.header + f.length; size > most {
		return &violation{packets.DisconnectPacketTooLarge, fmt.Sprintf("a packet of %d bytes, at most %d are taken", size, most)}
	}
	return nil
}

// fields takes a packet's fields off its front. Once something is missing, bad is set,
// and all that follows is empty.
type fields struct {
	rest string
	bad  bool
}

func (f *fields) take(n int) string {
	if n > len(f.rest) {
		f.rest, f.bad = "", true
		return ""
	}
	text := f.rest[:n]
	f.rest = f.rest[n:]
	return text
}

func (f *fields) byte() byte {
	if b := f.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 { return uint16(f.byte())<<8 | uint16(f.byte()) }
func (f *fields) uint32() uint32 { return uint32(f.uint16())<<16 | uint32(f.uint16()) }
func (f *fields) string() string { return f.take(int(f.uint16())) }

// varint takes a variable byte integer.
func (f *fields) varint() int {
	value := 0
	for shift := 0; shift < 28; shift += 7 {
		b := f.byte()
		value |= int(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	f.rest, f.bad = "", true
	return 0
}

// puback is a PUBACK that arrived.
type puback struct {
	id     uint16
	reason *ReasonError // why the message was not taken; nil: it was
}

// parsePuback reads a PUBACK of which body is what follows the length.
func parsePuback(body []byte) (puback, error) {
	if len(body) < 2 {
		return puback{}, malformed("a PUBACK of %d bytes", len(body))
	}
	p := puback{id: binary.BigEndian.Uint16(body)}
	if len(body) == 2 {
		return p, nil
	}
	if code := body[2]; !isPubackReason(code) {
		return puback{}, protocolError("a PUBACK with reason 0x%02x", code)
	} else if code >= 0x80 {
		p.reason = &ReasonError{Code: code}
	}
	const reasonString = 0x1f
	f := fields{rest: string(body[3:])}
	if f.rest != "" { // there need not be properties
		f.bad = f.varint() != len(f.rest)
	}
	for f.rest != "" {
		switch f.byte() {
		case reasonString:
			if text := f.string(); p.reason != nil {
				p.reason.Reason = text
			}
		case userProperty:
			f.string()
			f.string()
		default:
			f.rest, f.bad = "", true
		}
	}
	if f.bad {
		return puback{}, malformed("a PUBACK with properties that cannot be read")
	}
	return p, nil
}

// appendPuback adds a PUBACK to b, with the reason for which a message is refused, or 0.
func appendPuback(b []byte, id uint16, reason byte) []byte {
	if reason == 0 {
		return append(b, packets.PUBACK<<4, 2, byte(id>>8), byte(id))
	}
	return append(b, packets.PUBACK<<4, 3, byte(id>>8), byte(id), reason)
}

func appendVarint(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// varintSize returns how many bytes appendVarint adds.
func varintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, byte(len(s)>>8), byte(len(s)))
	return append(b, s...)
}
