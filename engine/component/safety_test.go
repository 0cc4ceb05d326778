// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// TestFaults sees what the error of a guest that broke a rule says, that its instance
// is of no use any more, and that other instances of the component are.
func TestFaults(t *testing.T) {
	text := &types.Type{Kind: types.String}
	config := component.InstanceConfig{Imports: []*component.Interface{{
		Type: &types.Instance{Exports: []types.Extern{{Name: "log", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "text", Type: text}}}}}},
		Funcs: map[string]component.HostFunc{
			"log": func(*component.Call, []value.Value) (value.Value, error) { return value.Value{}, nil },
		},
	}}}
	c := compile(t, newRuntime(t), "faults")
	for _, tt := range []struct {
		name      string
		error     string
		backtrace []string // innermost first
	}{
		{"reenter", "cannot enter component instance", nil},
		{"use-after-move", "call of resource.rep of counter: unknown handle index", nil},
		{"drop-after-move", "call of resource.drop of counter: unknown handle index", nil},
		{"move-twice", "call of another component instance: parameter \"r\": unknown handle index", nil},
		{"double-drop", "call of resource.drop of counter: unknown handle index", nil},
		{"log-beyond", "call of log: parameter \"text\": string: pointer 0xfffa out of bounds", nil},
		{"log-overflow", "call of log: parameter \"text\": string: pointer 0xfffffff8 out of bounds", nil},
		{"log-endless", "call of log: parameter \"text\": string of 4294967295 bytes, longer than", nil},
		{"trap-inside", "unreachable", []string{"inner", "middle", "outer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := instantiate(t, c, config)
			_, err := call(t, i, "", tt.name)
			trap := (*component.Trap)(nil)
			if !errors.As(err, &trap) || !strings.Contains(err.Error(), tt.error) {
				t.Fatalf("%s: %v, want a trap with %q", tt.name, err, tt.error)
			}
			if trap.Component != "faults" || trap.Function != tt.name || !strings.HasPrefix(err.Error(), "component faults: "+tt.name+": ") {
				t.Errorf("%v: does not name %s of faults", err, tt.name)
			}
			if tt.backtrace != nil {
				if got := guestNames(trap.Backtrace); !slices.Equal(got, tt.backtrace) {
					t.Errorf("backtrace %q, want %q", trap.Backtrace, tt.backtrace)
				}
				if !strings.Contains(err.Error(), tt.backtrace[0]) {
					t.Errorf("%v: does not name %s", err, tt.backtrace[0])
				}
			}
			if _, err := call(t, i, "", "fine"); !errors.Is(err, component.ErrPoisoned) {
				t.Errorf("fine after a trap: %v, want ErrPoisoned", err)
			}
			if _, err := call(t, instantiate(t, c, config), "", "fine"); err != nil {
				t.Errorf("another instance: %v", err)
			}
		})
	}
}

// guestNames returns the functions' own names of a backtrace: the rest is the
// engine's.
func guestNames(backtrace []string) []string {
	var names []string
	for _, name := range backtrace {
		names = append(names, name[strings.LastIndexByte(name, '.')+1:])
	}
	return names
}

// TestStopsSoon sees how much a guest does between two times that it asks the host
// whether to go on: that bounds how long a cancellation, or the garbage collector,
// waits. How long that is in milliseconds is measured by conformance/bench/stop.
func TestStopsSoon(t *testing.T) {
	const pages = 1 << 14 // a gigabyte
	for _, tt := range []struct {
		name string
		args []value.Value
	}{
		{"loop", nil},
		{"fill", []value.Value{value.U32(pages - 1)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			asked := 0
			now := func() time.Time {
				if asked++; asked == 3 {
					cancel()
				}
				return time.Unix(0, 0)
			}
			i := hostile(t, component.InstanceConfig{Now: now, Deadline: time.Hour, Memory: pages << 16})
			defer collect()()
			_, err := i.Func("", tt.name).Call(ctx, tt.args...)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v, want context.Canceled", tt.name, err)
			}
			if asked != 3 {
				t.Errorf("the guest went on for %d turns after it was cancelled", asked-3)
			}
		})
	}
}

// TestTurns sees how much fuel a guest gets at a time: a gigabyte of memory.fill, at
// eight bytes a unit, takes five hundred turns.
func TestTurns(t *testing.T) {
	const turn, turns = 1 << 18, 256
	for _, tt := range []struct {
		name string
		args []value.Value
	}{
		{"loop", nil},
		{"fill", []value.Value{value.U32(1023)}}, // again and again
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := &counting{Context: t.Context()}
			i := hostile(t, component.InstanceConfig{Fuel: turns * turn})
			if _, err := i.Func("", tt.name).Call(ctx, tt.args...); !errors.Is(err, component.ErrDeadline) {
				t.Fatalf("%s: %v, want ErrDeadline", tt.name, err)
			}
			if ctx.asked < turns {
				t.Errorf("asked %d times whether to go on in %d units, want every %d", ctx.asked, turns*turn, turn)
			}
		})
	}
}

// counting is a context that counts how often it is asked whether it is done.
type counting struct {
	context.Context
	asked int
}

func (c *counting) Err() error {
	c.asked++
	return c.Context.Err()
}
