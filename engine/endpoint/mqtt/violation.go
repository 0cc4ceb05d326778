// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"fmt"

	"github.com/eclipse/paho.golang/packets"
)

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
	case packets.CONNACK, packets.PUBACK, packets.SUBACK, packets.UNSUBACK, packets.PINGRESP, packets.DISCONNECT, packets.AUTH:
		if flags != 0 {
			return malformed("flags 0x%x in a packet of type %d", flags, kind)
		}
	default:
		return protocolError("a packet of type %d", kind)
	}
	return nil
}
