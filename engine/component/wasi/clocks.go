// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"context"
	"math"
	"time"

	"github.com/wasm-graph/graphd/engine/component/value"
)

func (h *Host) monotonicClock() map[string]function {
	return map[string]function{
		"now": func(caller, []value.Value) (value.Value, error) {
			return value.U64(h.cfg.Monotonic()), nil
		},
		"resolution": answer(value.U64(1)),
		"subscribe-instant": func(_ caller, args []value.Value) (value.Value, error) {
			return value.Own(&pollable{when: args[0].U64()}), nil
		},
		"subscribe-duration": func(_ caller, args []value.Value) (value.Value, error) {
			when := h.cfg.Monotonic() + args[0].U64()
			if when < args[0].U64() {
				when = math.MaxUint64 // later than the clock can count: never
			}
			return value.Own(&pollable{when: when}), nil
		},
	}
}

func (h *Host) wallClock() map[string]function {
	return map[string]function{
		"now": func(caller, []value.Value) (value.Value, error) {
			now := h.cfg.WallClock()
			if now.Unix() < 0 {
				return datetime(0, 0), nil
			}
			return datetime(uint64(now.Unix()), uint32(now.Nanosecond())), nil
		},
		"resolution": answer(datetime(0, 1)),
	}
}

// datetime returns a record datetime.
func datetime(seconds uint64, nanoseconds uint32) value.Value {
	return value.Record(value.U64(seconds), value.U32(nanoseconds))
}

// sleep returns a wait for a clock that goes as fast as the system's.
func sleep(monotonic func() uint64) func(context.Context, uint64) error {
	return func(ctx context.Context, until uint64) error {
		for {
			now := monotonic()
			if now >= until {
				return nil
			}
			timer := time.NewTimer(time.Duration(min(until-now, math.MaxInt64)))
			select {
			case <-ctx.Done():
				timer.Stop()
				return context.Cause(ctx)
			case <-timer.C:
			}
		}
	}
}
