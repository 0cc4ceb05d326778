// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/state"
)

// The cases of state-store-error.
const (
	stateRequestError = iota
	stateTimeout
	_ // protocol
	stateInternal
)

// conditions are the cases of set-conditions.
var conditions = [...]state.Condition{state.IfAbsent, state.IfAbsentEqual, state.Always}

var errNoStateStore = &state.RequestError{Text: "no state store is configured"}

// stateStore is the state-store interface over the environment's store. The WIT
// orders timeout and fencing token differently from function to function.
func (h *host) stateStore() map[string]component.HostFunc {
	store := h.env.State
	return map[string]component.HostFunc{
		"get": func(c *component.Call, args []value.Value) (value.Value, error) {
			return request(c, store, args[1], value.None(), func(ctx context.Context, _ *hlc.Timestamp) (value.Value, error) {
				v, version, found, err := store.Get(ctx, args[0].Bytes())
				if err != nil || !found {
					return value.Record(value.None(), value.None()), err
				}
				return value.Record(value.Some(value.Bytes(v)), versionValue(version)), nil
			})
		},
		"set": func(c *component.Call, args []value.Value) (value.Value, error) {
			return request(c, store, args[2], args[3], func(ctx context.Context, fencing *hlc.Timestamp) (value.Value, error) {
				opts := state.SetOptions{
					Condition: conditions[args[4].Field(0).Case()],
					Expires:   durationOf(args[4].Field(1)),
					Fencing:   fencing,
				}
				applied, version, err := store.Set(ctx, copied(args[0]), copied(args[1]), opts)
				return value.Record(value.Bool(applied), versionValue(version)), err
			})
		},
		"del": func(c *component.Call, args []value.Value) (value.Value, error) {
			return request(c, store, args[2], args[1], func(ctx context.Context, fencing *hlc.Timestamp) (value.Value, error) {
				return deleted(store.Delete(ctx, args[0].Bytes(), nil, fencing))
			})
		},
		"vdel": func(c *component.Call, args []value.Value) (value.Value, error) {
			return request(c, store, args[3], args[2], func(ctx context.Context, fencing *hlc.Timestamp) (value.Value, error) {
				return deleted(store.Delete(ctx, args[0].Bytes(), copied(args[1]), fencing))
			})
		},
	}
}

func deleted(n int64, version hlc.Timestamp, err error) (value.Value, error) {
	return value.Record(value.S64(n), versionValue(version)), err
}

// copied returns the bytes of v, which are the guest's, as our own; never nil.
func copied(v value.Value) []byte { return append([]byte{}, v.Bytes()...) }

func versionValue(t hlc.Timestamp) value.Value {
	if t == (hlc.Timestamp{}) {
		return value.None()
	}
	return value.Some(clockValue(t))
}

// request runs one request against the store and makes its outcome a result value.
func request(c *component.Call, store state.Store, timeout, fencing value.Value,
	do func(context.Context, *hlc.Timestamp) (value.Value, error)) (value.Value, error) {
	if store == nil {
		return stateError(errNoStateStore), nil
	}
	ctx := c.Context()
	if d := durationOf(timeout); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, state.ErrTimeout)
		defer cancel()
	}
	var token *hlc.Timestamp
	if !fencing.Payload().IsZero() {
		t, err := clockOf(fencing.Payload())
		if err != nil {
			return stateError(&state.RequestError{Text: "malformed timestamp"}), nil
		}
		token = &t
	}
	v, err := do(ctx, token)
	if err != nil {
		return stateError(err), nil
	}
	return value.Ok(v), nil
}

func stateError(err error) value.Value {
	if e := (*state.RequestError)(nil); errors.As(err, &e) {
		text := value.String(e.Text)
		return value.Err(value.Variant(stateRequestError, &text))
	}
	if errors.Is(err, state.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return value.Err(value.Variant(stateTimeout, nil))
	}
	return value.Err(value.Variant(stateInternal, nil))
}

// durationOf returns an option<duration>, 0 where it is none; the longest Go knows
// where it is longer.
func durationOf(v value.Value) time.Duration {
	d := v.Payload()
	if d.IsZero() {
		return 0
	}
	secs, nanos := d.Field(0).U64(), d.Field(1).U32()
	if secs >= math.MaxInt64/uint64(time.Second)-4 {
		return math.MaxInt64
	}
	return time.Duration(secs)*time.Second + time.Duration(nanos)
}
