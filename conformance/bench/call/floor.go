// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// floor is what a call can cost at best on wazero: one core module as its compiler
// left it, without fuel, limits or linking, and a Canonical ABI written by hand for
// the one type at hand, which trusts the guest and checks nothing.
type floor struct {
	runtime wazero.Runtime
	memory  api.Memory
	view    []byte
	realloc api.Function
	process api.Function
	post    api.Function
	empty   api.Function
	stack   [4]uint64
}

// tick and overflow are what an instrumented guest imports, for the route that tells
// what the instrumentation alone costs.
var (
	tick     = rewrite.Name{Module: "bench", Field: "tick"}
	overflow = rewrite.Name{Module: "bench", Field: "overflow"}
)

// instrument returns core as our runtime compiles it.
func instrument(core []byte) ([]byte, error) {
	m, err := rewrite.Decode(core, rewrite.Limits{})
	if err != nil {
		return nil, err
	}
	return m.Rewrite(rewrite.Options{Tick: tick, Overflow: overflow})
}

const mapInterface = "wasm-graph:processor/map@1.1.0#"

func newFloor(ctx context.Context, core []byte) (*floor, error) {
	f := &floor{runtime: wazero.NewRuntime(ctx)}
	compiled, err := f.runtime.CompileModule(ctx, core)
	if err != nil {
		return nil, err
	}
	// The guest's imports are never called here: its payload comes as bytes.
	hosts := map[string]wazero.HostModuleBuilder{}
	for _, d := range compiled.ImportedFunctions() {
		module, name, _ := d.Import()
		if hosts[module] == nil {
			hosts[module] = f.runtime.NewHostModuleBuilder(module)
		}
		do := func(context.Context, api.Module, []uint64) {}
		if module == tick.Module && name == tick.Field {
			do = func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = 1 << 20 }
		}
		hosts[module].NewFunctionBuilder().
			WithGoModuleFunction(api.GoModuleFunc(do), d.ParamTypes(), d.ResultTypes()).
			Export(name)
	}
	for module, host := range hosts {
		if _, err := host.Instantiate(ctx); err != nil {
			return nil, fmt.Errorf("host module %s: %w", module, err)
		}
	}
	m, err := f.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		return nil, err
	}
	f.memory = m.Memory()
	f.realloc = m.ExportedFunction("cabi_realloc")
	f.process = m.ExportedFunction(mapInterface + "process")
	f.post = m.ExportedFunction("cabi_post_" + mapInterface + "process")
	empty, err := f.runtime.Instantiate(ctx, emptyModule)
	if err != nil {
		return nil, err
	}
	f.empty = empty.ExportedFunction("f")
	_, err = m.ExportedFunction(mapInterface+"init").Call(ctx, 0, 0, 0, 0)
	return f, err
}

// emptyModule is (module (func (export "f"))).
var emptyModule = []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x05\x01\x01f\x00\x00\x0a\x04\x01\x02\x00\x0b")

// callEmpty is one call of a function that does nothing.
func (f *floor) callEmpty(ctx context.Context) error { return f.empty.CallWithStack(ctx, f.stack[:0]) }

func (f *floor) bytes() []byte {
	if uint32(len(f.view)) != f.memory.Size() {
		f.view, _ = f.memory.Read(0, f.memory.Size())
	}
	return f.view
}

func (f *floor) alloc(ctx context.Context, align, n uint32) (uint32, error) {
	f.stack = [4]uint64{0, 0, uint64(align), uint64(n)}
	err := f.realloc.CallWithStack(ctx, f.stack[:])
	return uint32(f.stack[0]), err
}

// call is one process(message).
func (f *floor) call(ctx context.Context, m *message.Message) (*message.Message, error) {
	p, err := f.lower(ctx, m)
	if err != nil {
		return nil, err
	}
	f.stack[0] = uint64(p)
	if err := f.process.CallWithStack(ctx, f.stack[:1]); err != nil {
		return nil, err
	}
	r := f.stack[0]
	out, err := f.lift(uint32(r))
	if err != nil {
		return nil, err
	}
	return out, f.post.CallWithStack(ctx, f.stack[:1])
}

var le = binary.LittleEndian

func (f *floor) text(ctx context.Context, s string, at uint32) error {
	p, err := f.alloc(ctx, 1, uint32(len(s)))
	if err != nil {
		return err
	}
	m := f.bytes()
	copy(m[p:], s)
	m[at] = 1
	le.PutUint32(m[at+4:], p)
	le.PutUint32(m[at+8:], uint32(len(s)))
	return nil
}

func (f *floor) lower(ctx context.Context, m *message.Message) (uint32, error) {
	p, err := f.alloc(ctx, 8, 128)
	if err != nil {
		return 0, err
	}
	x := f.bytes()[p:]
	x[0] = 1
	le.PutUint64(x[8:], uint64(m.Time.Millis/1000))
	le.PutUint32(x[16:], uint32(m.Time.Millis%1000)*1e6)
	le.PutUint64(x[24:], m.Time.Counter)
	x[60], x[96] = 1, 0
	for _, s := range [...]struct {
		at   uint32
		text string
	}{{32, m.Time.Node}, {48, m.Topic}, {64, m.ContentType}} {
		if err := f.text(ctx, s.text, p+s.at); err != nil {
			return 0, err
		}
	}
	q, err := f.alloc(ctx, 1, uint32(len(m.Payload)))
	if err != nil {
		return 0, err
	}
	x = f.bytes()
	copy(x[q:], m.Payload)
	x[p+76] = 1
	le.PutUint32(x[p+80:], q)
	le.PutUint32(x[p+84:], uint32(len(m.Payload)))
	l, err := f.alloc(ctx, 4, uint32(24*len(m.Properties)))
	if err != nil {
		return 0, err
	}
	x = f.bytes()
	le.PutUint32(x[p+88:], l)
	le.PutUint32(x[p+92:], uint32(len(m.Properties)))
	for _, kv := range m.Properties {
		if err := f.text(ctx, kv.Key, l); err != nil {
			return 0, err
		}
		if err := f.text(ctx, kv.Value, l+12); err != nil {
			return 0, err
		}
		l += 24
	}
	return p, nil
}

func (f *floor) lift(r uint32) (*message.Message, error) {
	m := f.bytes()
	if m[r] != 0 || m[r+8] != 1 {
		return nil, fmt.Errorf("unexpected case %d.%d", m[r], m[r+8])
	}
	x := m[r+8:]
	view := func(x []byte) []byte { return m[le.Uint32(x[4:]):][:le.Uint32(x[8:])] }
	out := &message.Message{
		Time: hlc.Timestamp{
			Millis:  int64(le.Uint64(x[8:]))*1000 + int64(le.Uint32(x[16:])/1e6),
			Counter: le.Uint64(x[24:]),
			Node:    string(view(x[32:])),
		},
		Topic:       string(view(x[48:])),
		ContentType: string(view(x[64:])),
		Payload:     append([]byte(nil), view(x[76:])...),
		Properties:  make([]message.Property, le.Uint32(x[92:])),
	}
	list := m[le.Uint32(x[88:]):]
	for i := range out.Properties {
		out.Properties[i] = message.Property{Key: string(view(list)), Value: string(view(list[12:]))}
		list = list[24:]
	}
	return out, nil
}
