// SPDX-License-Identifier: Apache-2.0

// Window puts messages off to the end of the window they fall into, so that an
// accumulate operator behind it sees the window as a whole. Windows follow one
// another without gaps; one of ten seconds ends at every tenth second of the Unix
// epoch.
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations), whose windows are ten seconds long.
// Here the parameter window_length sets the length.
package main

import (
	"errors"
	"math"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/delay"
)

func main() {} // never runs, but a main package needs one

func init() { delay.Handle(open) }

const (
	name         = "module-window/delay"
	lengthKey    = "window_length"
	publishedLen = 10 * time.Second
)

var errRange = errors.New("the window ends beyond the end of time")

func open(host *sdk.Host) (delay.Func, error) {
	length, err := host.Config.Duration(lengthKey, publishedLen)
	if err != nil {
		return nil, err
	}
	if length < time.Millisecond || length%time.Millisecond != 0 {
		return nil, &sdk.ParameterError{Key: lengthKey, Value: length.String(), Want: "whole milliseconds, at least one"}
	}
	requests := host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name})
	return func(in sdk.Data, at sdk.Timestamp) (sdk.Timestamp, error) {
		_ = requests.Add(1)
		// A message's own time decides; what has none goes by the engine's.
		from := at
		switch in := in.(type) {
		case *sdk.Message:
			from = in.Timestamp
		case *sdk.Snapshot:
			from = in.Timestamp
		}
		var ok bool
		if at.Secs, at.Nanos, ok = end(from.Secs, from.Nanos, uint64(length.Milliseconds())); !ok {
			return at, errRange
		}
		at.Counter = 0
		return at, nil
	}, nil
}

// end returns when the window of length milliseconds ends into which a time falls: a
// multiple of length. A time whose milliseconds are such a multiple is its own end,
// and keeps what it has below a millisecond. ok is false where no time is late enough.
func end(secs uint64, nanos uint32, length uint64) (endSecs uint64, endNanos uint32, ok bool) {
	millis := uint64(nanos) / 1e6
	into := (secs%length*1000 + millis) % length
	if into == 0 {
		return secs, nanos, true
	}
	millis += length - into
	if secs > math.MaxUint64-millis/1000 {
		return secs, nanos, false
	}
	return secs + millis/1000, uint32(millis % 1000 * 1e6), true
}
