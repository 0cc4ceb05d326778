// SPDX-License-Identifier: Apache-2.0

package component

import (
	"context"
	"errors"
	"strconv"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// Config configures a Runtime.
type Config struct {
	// Engine runs the core modules. Required; the Runtime does not close it.
	Engine core.Engine
	// Limits bound what may be compiled. The zero value means the defaults of
	// package rewrite.
	Limits rewrite.Limits
	// Cache keeps what a component was compiled to, so that next time it is neither
	// checked nor rewritten; nil means that nothing is kept. The code itself is for the
	// engine to keep: give it the same cache.
	Cache *cache.Cache
	// Lazy has Compile return when a component is decoded, checked and linked: its Type
	// is known, its core modules are rewritten and compiled in the background, side by
	// side. Instantiate waits for them, and so does Wait; both return the error where one
	// can't be compiled, which Compile would otherwise. Who compiles lazily closes every
	// Component, which ends the work on it, before the engine.
	Lazy bool
}

// Runtime compiles components. It is safe for concurrent use.
type Runtime struct {
	config Config
	build  string
}

// New returns a Runtime.
func New(config Config) (*Runtime, error) {
	if config.Engine == nil {
		return nil, errors.New("component: new runtime: no engine given")
	}
	return &Runtime{config: config, build: cache.Build(modulePath)}, nil
}

// Component is a compiled component. It is immutable and safe for concurrent use.
type Component struct {
	name    string
	engine  core.Engine
	limits  rewrite.Limits
	plan    *link.Plan
	modules []core.Module // by position in plan.Steps; nil where a step compiles nothing
	host    core.Module   // slot 0
	exports map[exportKey]int
	making  *making // nil where Compile has made modules and host
}

type exportKey struct{ iface, name string }

// Name returns the name given to Compile.
func (c *Component) Name() string { return c.name }

// Type returns the component's imports and exports. The caller must not change it.
func (c *Component) Type() *types.Component { return c.plan.Type }

// Close frees the compiled code, or gives up making it: who waits for it gets an error.
// Instances must be closed first.
func (c *Component) Close(ctx context.Context) error {
	if c.making != nil {
		c.making.cancel()
		<-c.making.done
	}
	return c.free(ctx)
}

// free frees the compiled code.
func (c *Component) free(ctx context.Context) error {
	var errs []error
	for n, m := range c.modules {
		if m != nil {
			errs = append(errs, m.Close(ctx))
			c.modules[n] = nil
		}
	}
	if c.host != nil {
		errs = append(errs, c.host.Close(ctx))
		c.host = nil
	}
	return errors.Join(errs...)
}

// Names of the functions that rewritten modules import from slot 0.
const (
	tickName     = "tick"
	overflowName = "overflow"
	uncaughtName = "uncaught"
)

// trampolines makes the host functions of slot 0. They belong to the component,
// not to an instance: each finds its instance through the context of the call.
func trampolines(plan *link.Plan) []core.HostFunc {
	funcs := make([]core.HostFunc, 0, len(plan.Trampolines)+3)
	i64 := []core.ValueType{core.I64}
	funcs = append(funcs,
		core.HostFunc{Name: tickName, Type: core.FuncType{Params: i64, Results: i64}, Call: tick, Yield: long},
		core.HostFunc{Name: overflowName, Call: overflow},
		core.HostFunc{Name: uncaughtName, Call: uncaught})
	for n := range plan.Trampolines {
		t := &plan.Trampolines[n]
		f := core.HostFunc{Name: strconv.Itoa(n), Type: t.Type}
		switch t.Op {
		case binary.Lower:
			if t.Callee.Import != nil {
				f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).callImport(ctx, n, t, stack) }
			} else {
				f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).callAcross(t, stack) }
			}
		case binary.ResourceNew:
			f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).resourceNew(t, stack) }
		case binary.ResourceRep:
			f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).resourceRep(t, stack) }
		case binary.ResourceDrop:
			f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).resourceDrop(t, stack) }
		case binary.TaskReturn:
			f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).taskReturn(t, stack) }
		case binary.ContextGet:
			f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).contextGet(t, stack) }
		case binary.ContextSet:
			f.Call = func(ctx context.Context, stack []uint64) { instanceOf(ctx).contextSet(t, stack) }
		case binary.BackpressureInc:
			f.Call = func(ctx context.Context, _ []uint64) { instanceOf(ctx).backpressure(t, +1) }
		case binary.BackpressureDec:
			f.Call = func(ctx context.Context, _ []uint64) { instanceOf(ctx).backpressure(t, -1) }
		default:
			f.Call = func(ctx context.Context, _ []uint64) { instanceOf(ctx).unsupported(t) }
		}
		funcs = append(funcs, f)
	}
	return funcs
}

// Resource returns the number, as in abi.Frame.Resources, of the resource that the
// component imports as name from interface iface; ok is false where it does not.
// Versions must be equal. A Codec needs it to pass handles.
func (c *Component) Resource(iface, name string) (number int, ok bool) {
	for n, r := range c.plan.Resources {
		if r.Import != nil && r.Import.Interface == iface && r.Import.Name == name {
			return n, true
		}
	}
	return 0, false
}
