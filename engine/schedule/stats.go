// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"time"

	"github.com/wasm-graph/graphd/engine/operator"
)

// Stats are a worker's counts since it was made. Each is exact; together they are
// taken one after another while the worker runs.
type Stats struct {
	Received      uint64 // messages taken from sources
	Sent          uint64 // messages that sinks have confirmed
	Filtered      uint64 // messages that a filter stopped or that came to an open end
	Dropped       uint64 // messages dropped: refused, lost by faults, late, drifted
	Undeliverable uint64 // messages that a sink's peer refused for good
	DeadLetters   uint64 // messages that the dead-letter sink has confirmed
	Faults        uint64 // traps, limits and panics of operators
	Malformed     uint64 // messages whose stamp can't be read
	Drifted       uint64 // messages stamped too far in the future
	Late          uint64 // messages older than the frontier when they came
	Unsettled     int    // messages taken and not yet settled
	Operations    []OperationStats
}

// OperationStats are the counts of one operation.
type OperationStats struct {
	Operation string
	Kind      operator.Kind
	In        uint64 // messages that reached it
	Sent      uint64 // of a sink: messages confirmed
	Filtered  uint64 // stopped here, or come to an open end behind it
	Refused   uint64 // refused by the operator
	Lost      uint64 // dropped for another reason
	Faults    uint64
	Held      int64  // messages in open windows and delays
	Bytes     uint64 // of an accumulate: payloads that reached it
}

// Stats returns the counts so far.
func (w *Worker) Stats() Stats {
	s := Stats{
		Received: w.counters.received.Load(), Sent: w.counters.sent.Load(),
		Undeliverable: w.counters.undeliverable.Load(), DeadLetters: w.counters.buried.Load(),
		Malformed: w.counters.malformed.Load(), Drifted: w.counters.drifted.Load(), Late: w.counters.late.Load(),
		Operations: make([]OperationStats, len(w.nodes)),
	}
	for i := range w.nodes {
		n := &w.nodes[i]
		o := OperationStats{
			Operation: n.name, Kind: n.kind, In: n.in.Load(), Sent: n.sent.Load(), Filtered: n.filtered.Load(),
			Refused: n.refused.Load(), Lost: n.lost.Load(), Faults: n.faults.Load(), Held: n.holds.Load(), Bytes: n.bytes.Load(),
		}
		s.Operations[i] = o
		s.Filtered += o.Filtered
		s.Dropped += o.Refused + o.Lost
		s.Faults += o.Faults
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sources {
		s.Unsettled += w.sources[i].ledger.Len()
	}
	return s
}

// Drifting reports whether a message came within the last minute that was stamped
// too far in the future.
func (w *Worker) Drifting() bool {
	last := w.counters.lastDrift.Load()
	return last != 0 && w.clock.Now().UnixMilli()-last < time.Minute.Milliseconds()
}

// Unwell returns the operations that have faulted five times within the last ten
// seconds, or of which no instance can be had.
func (w *Worker) Unwell() []string {
	now := w.clock.Now()
	var names []string
	for i := range w.nodes {
		if n := &w.nodes[i]; n.down.Load() || n.crowded(now) {
			names = append(names, n.name)
		}
	}
	return names
}
