// SPDX-License-Identifier: Apache-2.0

package wasinn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/nn"
)

// backend loads models that return what they are given.
type backend struct{ open int }

func (b *backend) Load(ctx context.Context, parts [][]byte, encoding nn.Encoding, target nn.Target) (nn.Model, error) {
	if string(slices.Concat(parts...)) != "echo" || encoding != nn.ONNX || target != nn.CPU {
		return nil, nn.Errorf(nn.InvalidEncoding, "not an echo")
	}
	b.open++
	return &echo{b}, nn.Done(ctx)
}

type echo struct{ *backend }

func (echo) Inputs() []nn.Port  { return nil }
func (echo) Outputs() []nn.Port { return nil }
func (e *echo) Close() error    { e.open--; return nil }
func (echo) Compute(_ context.Context, inputs []nn.Named) ([]nn.Named, error) {
	for _, in := range inputs {
		if err := in.Tensor.Check(); err != nil {
			return nil, err
		}
	}
	return inputs, nil
}

// guest calls a host as the runtime does on behalf of a guest.
type guest struct {
	*testing.T
	host   *Host
	failed []error
}

func newGuest(t *testing.T, config Config) *guest {
	g := &guest{T: t}
	config.Failed = func(err error) { g.failed = append(g.failed, err) }
	g.host = New(config)
	return g
}

// drop drops an object of the resource of that name.
func (g *guest) drop(resource string, object value.Value) {
	g.Helper()
	for _, i := range g.host.Interfaces() {
		if f := i.Drop[resource]; f != nil {
			f(object.Object())
			return
		}
	}
	g.Fatalf("nothing drops %s", resource)
}

func (g *guest) tensor(t nn.Type, data []byte, dims ...uint32) value.Value {
	g.Helper()
	v, err := g.host.newTensor(nil, tensorArgs(t, data, dims...))
	if err != nil {
		g.Fatal(err)
	}
	return v
}

func tensorArgs(t nn.Type, data []byte, dims ...uint32) []value.Value {
	var list []value.Value
	for _, d := range dims {
		list = append(list, value.U32(d))
	}
	return []value.Value{value.List(list), value.Enum(uint32(t)), value.Bytes(data)}
}

func (g *guest) load(model string) value.Value {
	g.Helper()
	v, err := g.host.load(g.Context(), []value.Value{value.List([]value.Value{value.Bytes([]byte(model))}), value.Enum(uint32(nn.ONNX)), value.Enum(uint32(nn.CPU))})
	if err != nil {
		g.Fatal(err)
	}
	return v
}

// code returns the code of a result's error, and fails if it is none.
func (g *guest) code(result value.Value) nn.Code {
	g.Helper()
	if result.Case() != 1 {
		g.Fatal("succeeded")
	}
	v, err := errorCode(nil, []value.Value{result.Payload()})
	if err != nil {
		g.Fatal(err)
	}
	return nn.Code(v.Case())
}

func TestComputing(t *testing.T) {
	b := &backend{}
	g := newGuest(t, Config{Backend: b})
	graph := g.load("echo").Payload()
	made, err := g.host.newContext(nil, []value.Value{graph})
	if err != nil {
		t.Fatal(err)
	}
	context := made.Payload()
	g.drop("graph", graph)
	if b.open != 1 {
		t.Errorf("%d models are open while a context needs one", b.open)
	}
	in := g.tensor(nn.U8, []byte{1, 2, 3}, 3, 1)
	result, err := g.host.compute(t.Context(), []value.Value{context, value.List([]value.Value{value.Tuple(value.String("x"), in)})})
	if err != nil || result.Case() != 0 {
		t.Fatalf("compute = %v, %v", result, err)
	}
	out := result.Payload().Field(0)
	tensor := []value.Value{out.Field(1)}
	size, _ := dimensions(nil, tensor)
	kind, _ := elementType(nil, tensor)
	bytes, _ := data(nil, tensor)
	if out.Field(0).Str() != "x" || size.Len() != 2 || size.Field(0).U32() != 3 || nn.Type(kind.Case()) != nn.U8 || !slices.Equal(bytes.Bytes(), []byte{1, 2, 3}) {
		t.Errorf("x came back as %q: %v of %v: %v", out.Field(0).Str(), size, kind, bytes)
	}
	g.drop("tensor", out.Field(1))
	g.drop("graph-execution-context", context)
	if b.open != 0 || g.host.models != 0 || g.host.objects != 0 || g.host.bytes != 0 {
		t.Errorf("when all is dropped, %d models are open, and the host holds %d objects of %d bytes", b.open, g.host.objects, g.host.bytes)
	}
}

func TestErrors(t *testing.T) {
	g := newGuest(t, Config{Backend: &backend{}, Models: 1})
	refused := g.load("noise")
	if code := g.code(refused); code != nn.InvalidEncoding {
		t.Errorf("noise: %v", code)
	}
	text, err := errorData(nil, []value.Value{refused.Payload()})
	if err != nil || text.Str() != "nn: invalid encoding: not an echo" {
		t.Errorf("the error says %q, %v", text.Str(), err)
	}
	g.drop("error", refused.Payload())
	named, err := g.host.loadByName(nil, []value.Value{value.String("mobilenet")})
	if err != nil || g.code(named) != nn.NotFound {
		t.Errorf("by name: %v", err)
	}
	graph := g.load("echo").Payload()
	if code := g.code(g.load("echo")); code != nn.TooLarge {
		t.Errorf("one model too many: %v", code)
	}
	made, err := g.host.newContext(nil, []value.Value{graph})
	if err != nil {
		t.Fatal(err)
	}
	short := g.tensor(nn.FP32, []byte{1}, 5)
	result, err := g.host.compute(t.Context(), []value.Value{made.Payload(), value.List([]value.Value{value.Tuple(value.String("x"), short)})})
	if err != nil || g.code(result) != nn.InvalidArgument {
		t.Errorf("a tensor that is too short: %v", err)
	}
	if len(g.failed) != 4 || !strings.Contains(g.failed[1].Error(), `no model is called "mobilenet"`) {
		t.Errorf("the host was told of %v", g.failed)
	}
}

// TestLimits: a guest that holds too much traps.
func TestLimits(t *testing.T) {
	g := newGuest(t, Config{Backend: &backend{}, Objects: 2, TensorBytes: 10})
	kept := g.tensor(nn.U8, make([]byte, 8), 8)
	if _, err := g.host.newTensor(nil, tensorArgs(nn.U8, make([]byte, 3), 3)); err == nil || !strings.Contains(err.Error(), "more than 10 bytes") {
		t.Errorf("too many bytes: %v", err)
	}
	g.drop("tensor", kept)
	g.tensor(nn.U8, make([]byte, 3), 3)
	g.load("noise")
	if _, err := g.host.newTensor(nil, tensorArgs(nn.U8, nil, 0)); err == nil || !strings.Contains(err.Error(), "more than 2 tensors and errors") {
		t.Errorf("too many objects: %v", err)
	}
	if _, err := g.host.newTensor(nil, tensorArgs(nn.U8, nil, make([]uint32, 9)...)); err == nil || !strings.Contains(err.Error(), "9 dimensions") {
		t.Errorf("too many dimensions: %v", err)
	}
}

// TestInterfaces: everything that is declared is there.
func TestInterfaces(t *testing.T) {
	for _, i := range New(Config{Backend: &backend{}}).Interfaces() {
		if i.Type == nil {
			t.Fatalf("%s is not declared", i.Name)
		}
		for _, x := range i.Type.Exports {
			if x.Func != nil && i.Funcs[x.Name] == nil {
				t.Errorf("%s: %s is declared and not there", i.Name, x.Name)
			}
		}
		for name := range i.Funcs {
			if types.Find(i.Type.Exports, name) == nil {
				t.Errorf("%s: %s is there and not declared", i.Name, name)
			}
		}
	}
}

func TestImported(t *testing.T) {
	component := func(name string) *types.Component {
		return &types.Component{Imports: []types.Extern{{Name: "wasi:io/streams@0.2.0"}, {Name: name}}}
	}
	for name, want := range map[string]bool{"wasi:nn/graph@0.2.0-rc-2024-10-28": true, "wasi:http/types@0.2.0": false} {
		if got, err := Imported(component(name)); got != want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if _, err := Imported(component("wasi:nn/graph@0.2.0-rc-2024-06-25")); !errors.Is(err, ErrVersion) {
		t.Errorf("another version: %v", err)
	}
}
