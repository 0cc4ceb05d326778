// SPDX-License-Identifier: Apache-2.0

// Package wasinn gives wasi:nn to component instances: the interfaces tensor, graph,
// inference and errors of wasi:nn@0.2.0-rc-2024-10-28 (wit/nn), over a backend of
// package nn. A guest brings its models along; the host has none that could be loaded
// by name.
//
// A [Host] serves one instance and bounds what that may hold. Like WASI's, its
// resources are Go values: a tensor is given back when the guest drops it or hands it
// to a computation, a model when the guest has dropped the graph and every context that
// was made of it.
package wasinn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/wit"
)

// What the names of all versions of the interfaces begin with, and of ours end with.
const (
	prefix  = "wasi:nn/"
	version = "@0.2.0-rc-2024-10-28"
)

// ErrVersion says that a component imports another version of wasi:nn.
var ErrVersion = errors.New("this version of wasi:nn is not supported; wasi:nn" + version + " is")

// Imported reports whether a component of type t imports wasi:nn. The error wraps
// ErrVersion, or says which import no version of it has.
func Imported(t *types.Component) (bool, error) {
	imported := false
	for _, x := range t.Imports {
		if !strings.HasPrefix(x.Name, prefix) {
			continue
		}
		imported = true
		if declarations()[x.Name] == nil {
			return true, fmt.Errorf("component imports %s: %w", x.Name, ErrVersion)
		}
	}
	return imported, nil
}

// declarations are the interfaces of wasi:nn by full name, read at the first call.
var declarations = sync.OnceValue(func() map[string]*types.Instance {
	set, err := witparser.Parse(wit.NN())
	if err != nil {
		panic(err) // the embedded WIT is wrong: no test of this package would pass
	}
	all := map[string]*types.Instance{}
	for _, name := range set.Interfaces() {
		if all[name], err = set.Interface(name); err != nil {
			panic(err)
		}
	}
	return all
})

// Config is what one instance gets. The zero value of each field but Backend is its
// default.
type Config struct {
	// Backend runs the models.
	Backend nn.Backend

	// Failed is told of every error that a guest is given, since few guests pass on
	// what they are told; nil: nobody is.
	Failed func(error)

	// How much a guest may hold at a time: models (default 8), tensors and errors
	// (1024), and bytes of tensors (256 MiB).
	Models      int
	Objects     int
	TensorBytes uint64
}

// Host is wasi:nn for one instance. Like the instance it is not safe for concurrent
// use.
type Host struct {
	config  Config
	models  int
	objects int
	bytes   uint64
}

// New returns the host side of one instance.
func New(config Config) *Host {
	if config.Failed == nil {
		config.Failed = func(error) {}
	}
	if config.Models == 0 {
		config.Models = 8
	}
	if config.Objects == 0 {
		config.Objects = 1024
	}
	if config.TensorBytes == 0 {
		config.TensorBytes = 256 << 20
	}
	return &Host{config: config}
}

// model is an nn.Model with the number of objects that need it.
type model struct {
	nn.Model
	users int
}

// The objects of the resources; that of resource error is *nn.Error.
type (
	graph            struct{ model *model }
	executionContext struct{ model *model }
	tensor           struct{ nn.Tensor }
)

// Interfaces returns the interfaces for the instance, in no particular order.
func (h *Host) Interfaces() []*component.Interface {
	given := map[string]*component.Interface{
		"tensor": {
			Funcs: map[string]component.HostFunc{
				"[constructor]tensor":       h.newTensor,
				"[method]tensor.dimensions": dimensions,
				"[method]tensor.ty":         elementType,
				"[method]tensor.data":       data,
			},
			Drop: map[string]func(any){"tensor": func(o any) { h.release(o.(*tensor)) }},
		},
		"graph": {
			Funcs: map[string]component.HostFunc{
				"load": func(c *component.Call, args []value.Value) (value.Value, error) {
					return h.load(c.Context(), args)
				},
				"load-by-name":                         h.loadByName,
				"[method]graph.init-execution-context": h.newContext,
			},
			Drop: map[string]func(any){"graph": func(o any) { h.leave(o.(*graph).model) }},
		},
		"inference": {
			Funcs: map[string]component.HostFunc{
				"[method]graph-execution-context.compute": func(c *component.Call, args []value.Value) (value.Value, error) {
					return h.compute(c.Context(), args)
				},
			},
			Drop: map[string]func(any){"graph-execution-context": func(o any) { h.leave(o.(*executionContext).model) }},
		},
		"errors": {
			Funcs: map[string]component.HostFunc{"[method]error.code": errorCode, "[method]error.data": errorData},
			Drop:  map[string]func(any){"error": func(any) { h.objects-- }},
		},
	}
	var interfaces []*component.Interface
	for name, i := range given {
		i.Name = prefix + name + version
		i.Type = declarations()[i.Name]
		interfaces = append(interfaces, i)
	}
	return interfaces
}

// hold counts one more object. A guest that holds too many has lost count of them: it
// traps.
func (h *Host) hold() error {
	if h.objects == h.config.Objects {
		return fmt.Errorf("wasi:nn: more than %d tensors and errors are held", h.config.Objects)
	}
	h.objects++
	return nil
}

// failed returns err as the error of a result.
func (h *Host) failed(err error) (value.Value, error) {
	if err := h.hold(); err != nil {
		return value.Value{}, err
	}
	h.config.Failed(err)
	return value.Err(value.Own(nn.AsError(err))), nil
}

// keep counts a tensor, which release takes back.
func (h *Host) keep(t *nn.Tensor) (*tensor, error) {
	if h.bytes += uint64(len(t.Data)); h.bytes > h.config.TensorBytes {
		h.bytes -= uint64(len(t.Data))
		return nil, fmt.Errorf("wasi:nn: more than %d bytes of tensors are held", h.config.TensorBytes)
	}
	if err := h.hold(); err != nil {
		return nil, err
	}
	return &tensor{*t}, nil
}

func (h *Host) release(t *tensor) {
	h.bytes -= uint64(len(t.Data))
	h.objects--
}

func (h *Host) newTensor(_ *component.Call, args []value.Value) (value.Value, error) {
	dims := args[0].Elems()
	if len(dims) > nn.MaxRank {
		return value.Value{}, fmt.Errorf("wasi:nn: tensor of %d dimensions; %d are the most", len(dims), nn.MaxRank)
	}
	t := nn.Tensor{Type: nn.Type(args[1].Case()), Data: append([]byte(nil), args[2].Bytes()...)}
	for _, d := range dims {
		t.Dims = append(t.Dims, d.U32())
	}
	kept, err := h.keep(&t)
	return value.Own(kept), err
}

func dimensions(_ *component.Call, args []value.Value) (value.Value, error) {
	var dims []value.Value
	for _, d := range args[0].Object().(*tensor).Dims {
		dims = append(dims, value.U32(d))
	}
	return value.List(dims), nil
}

func elementType(_ *component.Call, args []value.Value) (value.Value, error) {
	return value.Enum(uint32(args[0].Object().(*tensor).Type)), nil
}

func data(_ *component.Call, args []value.Value) (value.Value, error) {
	return value.Bytes(args[0].Object().(*tensor).Data), nil
}

func errorCode(_ *component.Call, args []value.Value) (value.Value, error) {
	return value.Enum(uint32(args[0].Object().(*nn.Error).Code)), nil
}

func errorData(_ *component.Call, args []value.Value) (value.Value, error) {
	return value.String(args[0].Object().(*nn.Error).Error()), nil
}

func (h *Host) load(ctx context.Context, args []value.Value) (value.Value, error) {
	if h.models == h.config.Models {
		return h.failed(nn.Errorf(nn.TooLarge, "%d models are loaded, which are the most", h.models))
	}
	var parts [][]byte
	for _, p := range args[0].Elems() {
		parts = append(parts, p.Bytes())
	}
	loaded, err := h.config.Backend.Load(ctx, parts, nn.Encoding(args[1].Case()), nn.Target(args[2].Case()))
	if err != nil {
		return h.failed(err)
	}
	h.models++
	return value.Ok(value.Own(&graph{&model{Model: loaded, users: 1}})), nil
}

func (h *Host) loadByName(_ *component.Call, args []value.Value) (value.Value, error) {
	name := args[0].Str()
	return h.failed(nn.Errorf(nn.NotFound, "no model is called %.100q here; a component brings its models along", name))
}

func (h *Host) newContext(_ *component.Call, args []value.Value) (value.Value, error) {
	m := args[0].Object().(*graph).model
	m.users++
	return value.Ok(value.Own(&executionContext{m})), nil
}

// leave says that an object does not need m any more.
func (h *Host) leave(m *model) {
	if m.users--; m.users > 0 {
		return
	}
	h.models--
	if err := m.Close(); err != nil {
		h.config.Failed(err)
	}
}

func (h *Host) compute(ctx context.Context, args []value.Value) (value.Value, error) {
	m := args[0].Object().(*executionContext).model
	var inputs []nn.Named
	for _, in := range args[1].Elems() {
		t := in.Field(1).Object().(*tensor)
		defer h.release(t) // it was handed over
		inputs = append(inputs, nn.Named{Name: in.Field(0).Str(), Tensor: &t.Tensor})
	}
	outputs, err := m.Compute(ctx, inputs)
	if err != nil {
		return h.failed(err)
	}
	results := make([]value.Value, len(outputs))
	for i, out := range outputs {
		kept, err := h.keep(out.Tensor)
		if err != nil {
			return value.Value{}, err
		}
		results[i] = value.Tuple(value.String(out.Name), value.Own(kept))
	}
	return value.Ok(value.List(results)), nil
}
