// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"errors"
	"fmt"

	"github.com/eclipse/paho.golang/packets"
)

// ReasonError is the broker's reason to refuse a packet or to end a connection,
// MQTT 5.0 section 2.4.
type ReasonError struct {
	Code   byte   // reason code, 0x80 and up
	Reason string // the broker's own words, often empty
}

// Error names the code.
func (e *ReasonError) Error() string {
	text := fmt.Sprintf("%s (reason 0x%02x)", reasonText(e.Code), e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// refusedForGood wraps a refusal that no retry can cure.
type refusedForGood struct{ error }

func (e refusedForGood) Unwrap() error { return e.error }

// isFinal reports whether err, of an attempt to connect or subscribe, makes
// another attempt pointless: the broker understood us and said no. A broken
// transport, an overloaded or restarting broker and a DISCONNECT are retried.
func isFinal(err error) bool {
	return errors.As(err, new(refusedForGood))
}

// connectionRefused marks a CONNACK's refusal as final where it is. What a broker has against
// a token it may not have against the next one.
func connectionRefused(err *ReasonError, tokens bool) error {
	switch err.Code {
	case packets.ConnackBadUsernameOrPassword, packets.ConnackNotAuthorized:
		if tokens {
			return fmt.Errorf("the broker refuses the token: %w", err)
		}
	case packets.ConnackUnspecifiedError, packets.ConnackImplementationSpecificError,
		packets.ConnackServerUnavailable, packets.ConnackServerBusy, packets.ConnackQuotaExceeded,
		packets.ConnackUseAnotherServer, packets.ConnackConnectionRateExceeded:
		return err
	}
	return refusedForGood{err}
}

// subscriptionRefused marks a SUBACK's refusal as final where it is.
func subscriptionRefused(err *ReasonError) error {
	switch err.Code {
	case packets.SubackUnspecifiederror, packets.SubackImplementationspecificerror,
		packets.SubackPacketIdentifierinuse, packets.SubackQuotaexceeded:
		return err
	}
	return refusedForGood{err}
}

// isPubackReason reports whether a PUBACK may have that code. Success has more of them
// than it should have: mochi gives the quality of service.
func isPubackReason(code byte) bool {
	switch code {
	case packets.PubackUnspecifiedError, packets.PubackImplementationSpecificError, packets.PubackNotAuthorized,
		packets.PubackTopicNameInvalid, packets.PubackPacketIdentifierInUse, packets.PubackQuotaExceeded,
		packets.PubackPayloadFormatInvalid:
		return true
	}
	return code < 0x80
}

// blamesPacket reports whether a DISCONNECT with that code was caused by what we
// sent, rather than by the state of the broker or of the network.
func blamesPacket(code byte) bool {
	switch code {
	case packets.DisconnectMalformedPacket, packets.DisconnectProtocolError, packets.DisconnectImplementationSpecificError,
		packets.DisconnectTopicNameInvalid, packets.DisconnectPacketTooLarge, packets.DisconnectPayloadFormatInvalid,
		packets.DisconnectRetainNotSupported, packets.DisconnectQoSNotSupported:
		return true
	}
	return false
}

// reasonText names a reason code.
func reasonText(code byte) string {
	switch code {
	case 0x00:
		return "normal end"
	case 0x80:
		return "unspecified error"
	case 0x81:
		return "malformed packet"
	case 0x82:
		return "protocol error"
	case 0x83:
		return "implementation specific error"
	case 0x84:
		return "unsupported protocol version"
	case 0x85:
		return "client identifier not valid"
	case 0x86:
		return "bad user name or password"
	case 0x87:
		return "not authorized"
	case 0x88:
		return "server unavailable"
	case 0x89:
		return "server busy"
	case 0x8a:
		return "banned"
	case 0x8b:
		return "server shutting down"
	case 0x8c:
		return "bad authentication method"
	case 0x8d:
		return "keep alive timeout"
	case 0x8e:
		return "session taken over by another client of the same id"
	case 0x8f:
		return "topic filter invalid"
	case 0x90:
		return "topic name invalid"
	case 0x91:
		return "packet identifier in use"
	case 0x93:
		return "receive maximum exceeded"
	case 0x95:
		return "packet too large"
	case 0x96:
		return "message rate too high"
	case 0x97:
		return "quota exceeded"
	case 0x98:
		return "administrative action"
	case 0x99:
		return "payload format invalid"
	case 0x9a:
		return "retain not supported"
	case 0x9b:
		return "quality of service not supported"
	case 0x9c:
		return "use another server"
	case 0x9d:
		return "server moved"
	case 0x9e:
		return "shared subscriptions not supported"
	case 0x9f:
		return "connection rate exceeded"
	case 0xa0:
		return "maximum connect time"
	case 0xa1:
		return "subscription identifiers not supported"
	case 0xa2:
		return "wildcard subscriptions not supported"
	}
	return "refused"
}
