// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/value"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/message"
)

// callsWIT is a world in which a guest calls the host, again and again, with a small
// record.
const callsWIT = `package bench:calls@1.0.0;

interface host {
  record reading { id: u32, value: f64, name: string }
  take: func(r: reading) -> u32;
}

world calls {
  import host;
  export run: func(times: u32) -> u32;
}
`

// callsModule fits it:
//
//	(module
//	  (import "bench:calls/host@1.0.0" "take" (func $take (param i32 f64 i32 i32) (result i32)))
//	  (memory (export "memory") 1)
//	  (data (i32.const 16) "temperature")
//	  (func (export "run") (param i32) (result i32)
//	    (local i32)
//	    loop
//	      (local.set 1 (i32.add (local.get 1)
//	        (call $take (local.get 0) (f64.const 21.5) (i32.const 16) (i32.const 11))))
//	      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))
//	    end
//	    (local.get 1)))
var callsModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0e\x02\x60\x04\x7f\x7c\x7f\x7f\x01\x7f\x60\x01\x7f\x01\x7f" +
	"\x02\x1f\x01\x16bench:calls/host@1.0.0\x04take\x00\x00" +
	"\x03\x02\x01\x01\x05\x03\x01\x00\x01" +
	"\x07\x10\x02\x06memory\x02\x00\x03run\x00\x01" +
	"\x0a\x2a\x01\x28\x01\x01\x7f\x03\x40\x20\x01\x20\x00\x44\x00\x00\x00\x00\x00\x80\x35\x40\x41\x10\x41\x0b\x10\x00\x6a\x21\x01" +
	"\x20\x00\x41\x01\x6b\x22\x00\x0d\x00\x0b\x20\x01\x0b" +
	"\x0b\x11\x01\x00\x41\x10\x0b\x0btemperature")

// times is how often the guest calls the host in one call of its own.
const times = 100

// sum is what the guest returns when every call reached the host.
const sum = times*(times+1)/2 + times*len("temperature")

// openImports prepares the routes from a guest to a function of the host; a plain
// function of wazero's comes first.
func openImports(ctx context.Context, engineNames []string) ([]route, error) {
	rt := wazero.NewRuntime(ctx)
	_, err := rt.NewHostModuleBuilder("bench:calls/host@1.0.0").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			stack[0] += stack[3]
		}), []api.ValueType{api.ValueTypeI32, api.ValueTypeF64, api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).
		Export("take").Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	m, err := rt.Instantiate(ctx, callsModule)
	if err != nil {
		return nil, err
	}
	raw, stack := m.ExportedFunction("run"), make([]uint64, 1)
	routes := []route{{name: "host call, raw", per: times, call: func(ctx context.Context, _ *message.Message) error {
		stack[0] = times
		if err := raw.CallWithStack(ctx, stack); err != nil {
			return err
		}
		return checkSum(uint32(stack[0]))
	}}}
	for _, name := range engineNames {
		run, err := openImportsOn(ctx, name)
		if err != nil {
			return nil, err
		}
		arg := value.U32(times)
		routes = append(routes, route{name: "host call, " + name, per: times, call: func(ctx context.Context, _ *message.Message) error {
			v, err := run.Call(ctx, arg)
			if err != nil {
				return err
			}
			return checkSum(v.U32())
		}})
	}
	return routes, nil
}

func openImportsOn(ctx context.Context, engineName string) (*component.Func, error) {
	packages, err := witparser.ParseText("calls.wit", callsWIT)
	if err != nil {
		return nil, err
	}
	world, err := packages.World("calls")
	if err != nil {
		return nil, err
	}
	wasm, err := encode.Component(callsModule, world, encode.Options{})
	if err != nil {
		return nil, err
	}
	rt, err := bench.Runtime(ctx, engineName)
	if err != nil {
		return nil, err
	}
	c, err := rt.Compile(ctx, "calls", wasm)
	if err != nil {
		return nil, err
	}
	host, err := packages.Interface("bench:calls/host@1.0.0")
	if err != nil {
		return nil, err
	}
	take := func(_ *component.Call, args []value.Value) (value.Value, error) {
		reading := args[0]
		return value.U32(reading.Field(0).U32() + uint32(reading.Field(2).Len())), nil
	}
	i, err := c.Instantiate(ctx, component.InstanceConfig{Imports: []*component.Interface{
		{Name: "bench:calls/host@1.0.0", Type: host, Funcs: map[string]component.HostFunc{"take": take}},
	}})
	if err != nil {
		return nil, err
	}
	return i.Func("", "run"), nil
}

func checkSum(got uint32) error {
	if got != uint32(sum) {
		return fmt.Errorf("the guest returned %d, want %d", got, sum)
	}
	return nil
}
