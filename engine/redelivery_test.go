// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator/native"
	windowmemory "github.com/wasm-graph/graphd/engine/window/memory"
)

// tape is a source that delivers what is on it, and counts what is settled.
type tape struct {
	deliveries []endpoint.Delivery
	settled    atomic.Int64
}

// Connected implements endpoint.Source.
func (*tape) Connected() bool { return true }

// Run implements endpoint.Source.
func (s *tape) Run(ctx context.Context, emit func(endpoint.Delivery), flush <-chan struct{}) error {
	for _, d := range s.deliveries {
		d.Settle = func() { s.settled.Add(1) }
		emit(d)
	}
	<-ctx.Done()
	<-flush
	return nil
}

// TestRedelivery: after a restart a message counts as known only if its source says that
// it may have been delivered before, and at its place is what was there.
func TestRedelivery(t *testing.T) {
	at := func(slot, digest uint64, redelivered bool, payload string) endpoint.Delivery {
		return endpoint.Delivery{
			Message: &message.Message{Payload: []byte(payload)}, Position: endpoint.Position{Slot: slot, Digest: digest}, Redelivered: redelivered,
		}
	}
	for _, tt := range []struct {
		name   string
		second endpoint.Delivery
		want   string
	}{
		{"the same", at(1, 10, true, "a"), "a+b"},
		{"another message at its place", at(1, 11, true, "c"), "a+b+c"},
		{"another place", at(3, 10, true, "c"), "a+b+c"},
		{"not delivered before", at(1, 10, false, "c"), "a+b+c"},
		{"no place", at(0, 0, true, "c"), "a+b+c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const topology = "in>w:delay>sum:accumulate>out"
				operators := map[string]*native.Operator{"w": window(), "sum": join()}
				store := &windowmemory.Store{}
				play := func(pause time.Duration, deliveries ...endpoint.Delivery) *rig {
					r := newRig(t, topology, operators)
					r.config.Windows = store
					source := &tape{deliveries: deliveries}
					r.config.Sources = []endpoint.Source{source}
					r.start()
					time.Sleep(pause)
					r.finish()
					if n := int(source.settled.Load()); n != len(deliveries) {
						t.Errorf("%d of %d messages are settled", n, len(deliveries))
					}
					return r
				}
				time.Sleep(time.Second)
				play(time.Second, at(1, 10, false, "a"), at(2, 20, false, "b"))
				r := play(30*time.Second, tt.second)
				if got := r.sinks[0].payloads(); got != tt.want {
					t.Errorf("came out: %q, want %q", got, tt.want)
				}
			})
		})
	}
}
