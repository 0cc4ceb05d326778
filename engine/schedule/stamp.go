// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"math"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
)

// Names of the user properties that a worker adds to messages.
const (
	LateProperty = "graphd-late" // the stamp of a message that came too late and was moved

	ReasonProperty    = "graphd-reason"    // on dead letters: why
	OperationProperty = "graphd-operation" // where
	ErrorProperty     = "graphd-error"     // and what was said about it
)

// maxDrift is how far ahead of the local clock a stamp may be, in milliseconds.
const maxDrift = int64(hlc.DefaultMaxDrift / time.Millisecond)

// carried returns the stamp among m's properties. ok is false if there is none, and
// malformed is true if there is one that can't be read.
func carried(m *message.Message) (stamp hlc.Timestamp, ok, malformed bool) {
	for _, p := range m.Properties {
		if p.Key == endpoint.StampProperty {
			stamp, err := hlc.Parse(p.Value)
			if err != nil || !credible(stamp) {
				return hlc.Timestamp{}, false, true
			}
			return stamp, true, false
		}
	}
	return hlc.Timestamp{}, false, false
}

// maxMillis is the latest time that the text form has room for, in the year 33658.
const maxMillis = 999_999_999_999_999

// credible reports whether anybody can go on from t: it is in a time that can be
// written, and its counter can be raised. Any node id will do, none too: it only breaks
// ties.
func credible(t hlc.Timestamp) bool {
	return t.Millis >= 0 && t.Millis <= maxMillis && t.Counter < math.MaxUint64
}

func isStamp(p message.Property) bool { return p.Key == endpoint.StampProperty }

// stamp sets the time of m, which arrived now: the stamp it carried if it can be
// trusted, else the local time, which no stamp moves. It returns why m is to be
// dropped, or nothing. w.mu is held.
func (w *Worker) stamp(m *message.Message, now time.Time, stamp hlc.Timestamp, stamped bool) reason {
	if w.virtual != nil {
		millis := w.virtual.follow(stamp.Millis, stamped)
		if !stamped {
			stamp = hlc.Timestamp{Millis: millis, Node: w.node}
		}
		m.Time = stamp
		return ""
	}
	millis := now.UnixMilli()
	if stamped && stamp.Millis-millis <= maxDrift {
		m.Time = stamp
		return ""
	}
	if millis > w.local.Millis {
		w.local = hlc.Timestamp{Millis: millis, Node: w.node}
	} else {
		w.local.Counter++
	}
	m.Time = w.local
	if !stamped {
		return ""
	}
	w.counters.drifted.Add(1)
	w.counters.lastDrift.Store(millis)
	if w.dropDrift {
		return reasonDrift
	}
	return ""
}

// admit moves a message that is older than the frontier there, or says that it is
// to be dropped. w.mu is held.
func (w *Worker) admit(m *message.Message) (drop reason, moved bool) {
	if progress.Time(m.Time.Millis) >= w.frontier {
		return "", false
	}
	w.counters.late.Add(1)
	if w.dropLate {
		return reasonLate, false
	}
	m.Properties = append(m.Properties, message.Property{Key: LateProperty, Value: m.Time.String()})
	m.Time = hlc.Timestamp{Millis: int64(w.frontier), Node: w.node}
	return "", true
}

// reason says why a message is dropped, as the property graphd-reason.
type reason string

const (
	reasonRefused       reason = "refused"       // the operator returned an error
	reasonFault         reason = "fault"         // the operator trapped, or hit a limit
	reasonDelay         reason = "delay"         // it would be held for too long
	reasonLate          reason = "late"          // older than the frontier
	reasonDrift         reason = "drift"         // stamped too far in the future
	reasonUndeliverable reason = "undeliverable" // the sink's peer refuses it for good
)

// err explains the reasons that come without an error.
func (r reason) err() error {
	if r == reasonLate {
		return errors.New("the message is older than the frontier")
	}
	return errors.New("the message is stamped too far in the future")
}

// delayed is the logical time to which an operator has put off a message that is at
// time now; ok is false if that is more than most milliseconds away.
func delayed(now, until hlc.Timestamp, most int64) (at hlc.Timestamp, ok bool) {
	if until.Millis < now.Millis {
		return now, true
	}
	if now.Millis < math.MaxInt64-most && until.Millis > now.Millis+most {
		return now, false
	}
	until.SubMillis = 0
	return until, until.Millis < math.MaxInt64
}
