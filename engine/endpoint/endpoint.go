// SPDX-License-Identifier: Apache-2.0

// Package endpoint is the contract between the engine and the places that
// messages come from and go to. Drivers are its sub-packages; memory is the one
// without I/O, and endpointtest is the suite that every driver passes.
//
// A driver moves bytes and knows the delivery rules of its protocol. It stamps
// nothing and orders nothing: it reports what it received in the order it
// received it, and confirms what it sent in the order it sent it.
package endpoint

import (
	"context"
	"errors"

	"github.com/wasm-graph/graphd/engine/message"
)

// StampProperty is the user property that carries a message's time, in the text
// form of package hlc, on the way in and on the way out.
const StampProperty = "__ts"

// ErrSubscription is wrapped by the error with which a source ends whose peer lets it
// connect and not receive.
var ErrSubscription = errors.New("subscription refused")

// ErrConfiguration is wrapped by the error of a sink whose peer has no place of the name
// that messages are sent to, or lets nobody like us write there.
var ErrConfiguration = errors.New("no such place for what is sent")

// ErrSend is wrapped by the error with which a sink ends whose peer was connected and
// takes no messages.
var ErrSend = errors.New("sending failed")

// Delivery is one message received from a source, with the duty to settle it.
type Delivery struct {
	// Message is the received message, its Time left zero; a stamp that it carried
	// is still the user property StampProperty. The receiver owns it.
	Message *message.Message
	// Settle tells the source that everything that came of the message is safe:
	// the source acknowledges it. Called at most once, from any goroutine; it does
	// not block. Nil where the protocol knows no acknowledgement (QoS 0). The
	// source keeps its protocol's order of acknowledgements by itself.
	Settle func()
	// Position names the message for as long as the source may deliver it again. Its
	// zero value says that the source can't, or can't name it.
	Position Position
	// Redelivered says that the source has, or may have, delivered the message before,
	// in this run or in one of an earlier process, by the same Position.
	Redelivered bool
}

// Position is a message's place at its source, by which a redelivery is recognised
// after a restart. A source has finitely many slots; it gives a slot to another
// message only once the one before is acknowledged and will never be delivered
// again, so that one position for each slot is all that there is to remember.
type Position struct {
	Slot   uint64 // from 1
	Digest uint64 // tells the messages apart that have the slot one after another
}

// Source is where messages come from.
type Source interface {
	// Run connects, receives, and calls emit with each delivery, in order and from
	// one goroutine, until ctx ends; it reconnects by itself and returns nil when
	// ctx ended, an error only when going on is pointless (bad credentials, a
	// configuration that the peer refuses). A source whose input is finite returns
	// nil at its end, at once, and then takes settlements after it returned: the
	// graph ends when all its sources have. emit may block: that is back-pressure,
	// which the source turns into its protocol's own (a driver whose reader must
	// not block queues as many as its peer may send unacknowledged). Deliveries
	// that are not settled when Run returns will be redelivered by the peer where
	// the protocol can. Settle may be called after ctx ended, until Run returns:
	// Run first stops receiving, then waits for flush to close before it
	// disconnects, so that what the engine drained is acknowledged.
	Run(ctx context.Context, emit func(Delivery), flush <-chan struct{}) error
	// Connected reports whether the source is connected and subscribed.
	Connected() bool
}

// Retirer is a Source that may be one of several among which a peer divides messages, and
// that can leave them for good.
type Retirer interface {
	// Retire makes the source give up its share of what is to come, and deliver what the
	// peer keeps for it alone. Once all of that is settled, nothing of the source is left
	// at the peer, and Run returns nil. It may be called from any goroutine, also before
	// Run; a second call does nothing.
	Retire()
}

// Sink is where messages go. It takes their properties as they are: the message
// time is in there already, as the user property StampProperty, which the engine
// has put in before Send, unless the sink is Unstamped. What is sent is Payload, whatever the message's Kind.
type Sink interface {
	// Run connects and keeps connected until ctx ends, then waits for outstanding
	// confirmations (bounded by the driver's grace), disconnects, and returns nil;
	// an error only when going on is pointless.
	Run(ctx context.Context) error
	// Send hands m over. It blocks while the sink's window is full or it is
	// disconnected, until ctx ends, whose error it then returns; done is not called
	// then. Otherwise done is called exactly once, from any goroutine, with nil when
	// the delivery is confirmed (QoS 0: written), or with an error when m can never
	// be delivered (too large, refused by the peer for good). Only for what is still
	// unconfirmed when Run returns it is never called: nobody knows, and the source
	// must not acknowledge it. done does not call Send. Sends by one caller
	// are delivered in order; done calls come in that order too. m is immutable and
	// not retained after done, nor are the slices in it but for Payload.
	Send(ctx context.Context, m *message.Message, done func(error)) error
	// Connected reports whether the sink is connected.
	Connected() bool
}

// Explainer is a Source or a Sink that can say why it is not connected.
type Explainer interface {
	// Trouble returns why the last attempt to connect failed, or what ended the last
	// connection; nil while it is connected, and before an attempt has failed. It may be
	// called from any goroutine.
	Trouble() error
}

// Trouble returns what a Source or a Sink says of itself; nil where it says nothing.
func Trouble(end any) error {
	if e, ok := end.(Explainer); ok {
		return e.Trouble()
	}
	return nil
}

// Unstamped is a Sink that may have no use for StampProperty.
type Unstamped interface {
	// OmitsStamp reports that the sink writes no properties, so that the engine need not
	// put StampProperty in. It always returns the same.
	OmitsStamp() bool
}

// OmitsStamp returns what a Sink says of itself; false where it says nothing.
func OmitsStamp(s Sink) bool {
	u, ok := s.(Unstamped)
	return ok && u.OmitsStamp()
}

// Traffic is what a Source or a Sink has counted since it was made.
type Traffic struct {
	Bytes     uint64 // payloads: received, or sent for the first time
	Retried   uint64 // messages sent again
	Expired   uint64 // messages not sent, since their expiry had passed
	Busy      uint64 // messages dropped, for want of room, that need no acknowledgement
	Malformed uint64 // messages refused that no peer may pass on, as with text that isn't UTF-8
}

// Counter is a Source or a Sink that counts.
type Counter interface {
	// Traffic returns the counts so far. It may be called from any goroutine.
	Traffic() Traffic
}

// Counted returns what a Source or a Sink has counted; nothing where it doesn't.
func Counted(end any) Traffic {
	if c, ok := end.(Counter); ok {
		return c.Traffic()
	}
	return Traffic{}
}
