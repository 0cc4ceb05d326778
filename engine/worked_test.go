// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator/native"
)

// TestWorked: of the first message, and of each sixteenth after it, it is told how long all
// operators took that it came to, in whatever way they are asked.
func TestWorked(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name, topology string
		parallelism    int
		want           []time.Duration // of the messages 0, 16 and 32
	}{
		{"none", "in>out", 1, nil},
		{"one, asked ahead", "in>m:map>out", 1, []time.Duration{0, 16 * ms, 32 * ms}},
		{"two", "in>m:map>n:map>out", 1, []time.Duration{0, 32 * ms, 64 * ms}},
		{"on two arms", "in>m:map>out in>n:map>out2", 1, []time.Duration{0, 32 * ms, 64 * ms}},
		{"several instances", "in>m:map>n:map>out", 3, []time.Duration{0, 32 * ms, 64 * ms}},
		{"up to a refusal", "in>r:map>n:map>out", 1, []time.Duration{0, 16 * ms, 32 * ms}},
		{"until it is held", "in>m:map>d:delay>n:map>out", 1, []time.Duration{0, 32 * ms, 64 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The message n takes n milliseconds.
				work := func(m *message.Message) {
					var n int
					if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(n) * ms)
				}
				pass := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
					work(m)
					return m, nil
				}}
				deny := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
					work(m)
					return nil, refuse("no")
				}}
				wait := &native.Operator{Delay: func(_ context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
					work(m)
					return at, nil
				}}
				r := newRig(t, tt.topology, map[string]*native.Operator{"m": pass, "n": pass, "r": deny, "d": wait})
				widen(r.config.Plan, tt.parallelism)
				var got []time.Duration // by the worker only
				r.config.Worked = func(d time.Duration) { got = append(got, d) }
				r.start()
				for n := range 40 {
					r.publish(fmt.Sprint(n))
				}
				time.Sleep(time.Minute)
				r.finish()
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}
