// SPDX-License-Identifier: Apache-2.0

package measurement

import (
	"errors"
	"math"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// What else keeps operators from their work. The first two have the published texts.
var (
	ErrInput = errors.New("Unexpected input type")        //lint:ignore ST1005 the published text
	ErrType  = errors.New("Unexpected measurement type.") //lint:ignore ST1005 the published text
	ErrEmpty = errors.New("there is nothing in an empty batch")
	ErrRange = errors.New("the average is out of range")
)

// Fold summarises the readings of one window, batch after batch: each call of an
// accumulate operator begins with what the last one made, adds its batch, and
// finishes.
type Fold struct {
	summary Summary
	sum     float64
	topic   sdk.Bytes      // of the reading that was added last
	latest  *sdk.Timestamp // of the latest reading; nil: none yet
}

// NewFold begins with s, or with nothing where that is nil.
func NewFold(s *Summary) *Fold {
	if s == nil {
		s = &Summary{Max: -math.MaxFloat64, Min: math.MaxFloat64}
	}
	return &Fold{summary: *s, sum: s.Average * float64(s.Count)}
}

// Add adds the reading value, which m brought.
func (f *Fold) Add(m *sdk.Message, value float64) {
	f.sum += value
	f.summary.Count++
	f.summary.Max = max(f.summary.Max, value)
	f.summary.Min = min(f.summary.Min, value)
	// What is latest goes by seconds; of one second, by order.
	if f.latest == nil || m.Timestamp.Secs >= f.latest.Secs {
		f.latest = &m.Timestamp
		f.summary.Last = value
	}
	f.topic = m.Topic
}

// Finish returns the summary and gives result, which is what the operator has
// staged, the wall time of the latest reading and the topic of the last one. It fails
// with ErrEmpty where nothing was added, and ErrRange where the readings are too
// large to add up.
func (f *Fold) Finish(result *sdk.Message) (Summary, error) {
	if f.latest == nil {
		return Summary{}, ErrEmpty
	}
	f.summary.Average = f.sum / float64(f.summary.Count)
	if math.IsInf(f.summary.Average, 0) {
		return Summary{}, ErrRange
	}
	result.Timestamp.Secs, result.Timestamp.Nanos = f.latest.Secs, f.latest.Nanos
	result.Topic = f.topic
	return f.summary, nil
}
