// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"context"
	"errors"
	"os"
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

// TestSameBytes sees that a guest can't make the host copy, or read, much more than the
// guest has itself, by naming the same bytes again and again: not in one call, and not
// for long in many.
func TestSameBytes(t *testing.T) {
	texts := &types.Type{Kind: types.List, Elem: &types.Type{Kind: types.String}}
	taken := 0
	config := component.InstanceConfig{Fuel: 2_000_000, Imports: []*component.Interface{{
		Type: &types.Instance{Exports: []types.Extern{{Name: "take", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "l", Type: texts}}}}}},
		Funcs: map[string]component.HostFunc{
			"take": func(*component.Call, []value.Value) (value.Value, error) { taken++; return value.Value{}, nil },
		},
	}}}
	c := compile(t, newRuntime(t), "same")
	const often = "one call passes the same bytes too often"
	for _, tt := range []struct {
		name     string
		args     []value.Value
		want     string // in the error; none if empty
		min, max int    // calls of the host
	}{
		{"get", []value.Value{value.U32(10)}, "", 0, 0}, // 30 MB of a memory of 4
		{"get", []value.Value{value.U32(100)}, often, 0, 0},
		{"give", []value.Value{value.U32(100), value.U32(1)}, often, 0, 0},
		{"give", []value.Value{value.U32(1), value.U32(3)}, "", 3, 3}, // 400,000 units each
		{"give", []value.Value{value.U32(1), value.U32(1_000)}, component.ErrDeadline.Error(), 4, 6},
	} {
		taken = 0
		v, err := call(t, instantiate(t, c, config), "", tt.name, tt.args...)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s(%v): %v, want %q", tt.name, tt.args, err, tt.want)
		}
		if taken < tt.min || taken > tt.max {
			t.Errorf("%s(%v): %d calls of the host, want %d to %d", tt.name, tt.args, taken, tt.min, tt.max)
		}
		if tt.name == "get" && err == nil && v.Len() != 10 {
			t.Errorf("%s(%v): %d texts", tt.name, tt.args, v.Len())
		}
	}
}

// TestTurns sees how much fuel a guest gets at a time: a gigabyte of memory.fill, at
// four bytes a unit, takes a thousand turns.
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

// TestGivenCoreModules gives a component core modules that it could have itself, but
// that come too late: when it has been linked.
func TestGivenCoreModules(t *testing.T) {
	data, err := os.ReadFile("../../conformance/component/testdata/run/run.5.wasm")
	if err != nil {
		t.Fatal(err)
	}
	c, err := newRuntime(t).Compile(t.Context(), "given", data)
	if err != nil {
		t.Fatal(err)
	}
	const (
		header      = "\x00asm\x01\x00\x00\x00"
		typeSection = "\x01\x08\x02\x60\x00\x01\x7f\x60\x00\x00" // (func (result i32)), (func)
		f           = "\x03\x02\x01\x00"
		global      = "\x06\x06\x01\x7f\x00\x41\x07\x0b"
		exports     = "\x07\x09\x02\x01f\x00\x00\x01g\x03\x00"
		code        = "\x0a\x06\x01\x04\x00\x41\x07\x0b"
	)
	for _, tt := range []struct{ name, wasm, error string }{
		{"none", "", "the host gives no such core module"},
		{"no module", "text", "not a core module"},
		{"another type", header + typeSection + f + code, "has no export"},
		{"two memories", header + typeSection + f + "\x05\x05\x02\x00\x01\x00\x01" + global + exports + code, "may have one memory, this one has 2"},
		{"exceptions", header + typeSection + f + "\x0d\x03\x01\x00\x01" + global + exports + code, "may throw exceptions only if"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := &component.Interface{Name: "host", Type: &types.Instance{}, Modules: map[string][]byte{}}
			if tt.wasm != "" {
				host.Modules["simple-module"] = []byte(tt.wasm)
			}
			_, err := c.Instantiate(t.Context(), component.InstanceConfig{Imports: []*component.Interface{host}})
			if err == nil || !strings.Contains(err.Error(), tt.error) {
				t.Errorf("Instantiate = %v, want an error with %q", err, tt.error)
			}
		})
	}
}
