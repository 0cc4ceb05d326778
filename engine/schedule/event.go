// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
)

// EventKind says what has happened in an Event.
type EventKind uint8

// The kinds of events, in the order in which they happen to a message.
const (
	Arrived  EventKind = iota + 1 // a message came out of the inbox; Received and Moved are set
	Reached                       // a message has come to an operation
	Called                        // the operator was called: Result, Output and Until, or Err
	Filtered                      // a filter stopped it, or nothing is connected where it went
	Held                          // a delay or an accumulate holds it until At
	Released                      // a delay lets it out
	Folding                       // an accumulate is about to be called for its window of time At
	Folded                        // the message is in what the window has come to, which is Result
	Closed                        // the window of time At has closed with Message; nil: nothing is left of it
	Sent                          // the sink was given it
	Dropped                       // it was given up: Reason and Err
	Buried                        // the origin was given to the dead-letter sink: Reason and Err
	Advanced                      // the graph's frontier has moved: Frontier
)

// String returns the kind in a word.
func (k EventKind) String() string {
	names := [...]string{"unknown", "arrived", "reached", "called", "filtered", "held", "released", "folding", "folded", "closed",
		"sent", "dropped", "buried", "advanced"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// Event is something that a worker has done: what taps and traces are made of. The
// messages in it are as immutable as all others, and may be kept. A field that says
// nothing in an event of its kind is zero.
type Event struct {
	Kind      EventKind
	Operation string
	// At is the logical time of the message or, of a window or what a delay holds, the
	// time for which that is.
	At hlc.Timestamp
	// Origin is what the worker works on: the message as it came from its source or, of
	// all that comes of a window, the window's result. Its pointer tells messages apart,
	// as long as no accumulate returns a message that it was given.
	Origin  *message.Message
	Message *message.Message
	Result  *message.Message // of a map or accumulate
	Output  int              // of a filter or branch: 1 for true, and the arm True
	Until   hlc.Timestamp    // what a delay has answered
	Reason  string           // as in the property graphd-reason
	Err     error

	Received time.Time     // when the message came, by the worker's clock
	Moved    bool          // it came late, and was moved to the frontier; its stamp is its last property
	Frontier progress.Time // end of what has passed
}
