// SPDX-License-Identifier: Apache-2.0

// Package wazero runs core modules on wazero: pure Go, compiled to native code
// where wazero can (amd64, arm64), interpreted elsewhere.
//
// One Engine serves a whole process. It knows nothing of deadlines: a guest is
// stopped by what the rewriter puts into its modules. Modules that were not
// rewritten run too, but a loop in them blocks the garbage collector, and with it
// the process, until it ends.
package wazero

import (
	"context"
	"fmt"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
)

// Config says how to run. The zero value is the default.
type Config struct {
	// Cache keeps native code across processes; nil means that nothing is kept.
	Cache *cache.Cache
	// CompileWorkers is how many goroutines compile one module. 0 means GOMAXPROCS,
	// but at least two, since with one alone wazero doesn't watch the context.
	CompileWorkers int
	// Interpreter interprets where code could be compiled.
	Interpreter bool
}

// features are the core features that are accepted, and that the rewriter knows.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

// Engine is a core.Engine on one wazero runtime.
type Engine struct {
	runtime wazero.Runtime
	code    *codeCache // that runtime belongs to; or nil
	workers int
}

var _ core.Engine = (*Engine)(nil)

// New returns an engine. Its Close must be called. A cache that can't be used is told
// so, and not used.
func New(ctx context.Context, config Config) (*Engine, error) {
	rc := wazero.NewRuntimeConfig()
	if config.Interpreter {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	rc = rc.WithCoreFeatures(features).WithDebugInfoEnabled(false)
	e := &Engine{workers: config.CompileWorkers}
	if e.workers <= 0 {
		e.workers = max(2, runtime.GOMAXPROCS(0))
	}
	if config.Cache != nil && !config.Interpreter {
		var err error
		if e.code, err = openCodeCache(ctx, config.Cache, rc); err == nil {
			e.runtime = e.code.runtime
			return e, nil
		}
		config.Cache.Warn(fmt.Errorf("wazero: open code cache: %w", err))
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	return e, nil
}

// Name returns "wazero".
func (e *Engine) Name() string { return "wazero" }

// Close releases the engine with everything compiled and instantiated by it.
func (e *Engine) Close(ctx context.Context) error {
	closing := e.runtime.Close
	if e.code != nil {
		closing = e.code.close
	}
	err := closing(ctx)
	if err != nil {
		return fmt.Errorf("wazero: close engine: %w", err)
	}
	return nil
}

// module is a core.Module.
type module struct {
	code wazero.CompiledModule
}

func (m *module) Close(ctx context.Context) error { return m.code.Close(ctx) }

// Compile compiles a module. It stops early when ctx is done.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (core.Module, error) {
	ctx = experimental.WithCompilationWorkers(ctx, e.workers)
	compile := e.runtime.CompileModule
	if e.code != nil {
		compile = e.code.compile
	}
	code, err := compile(ctx, wasm)
	if err != nil {
		return nil, fmt.Errorf("wazero: compile core module: %w", err)
	}
	return &module{code}, nil
}

// Load returns a module of which the cache has the code.
func (e *Engine) Load(ctx context.Context, digest [32]byte) core.Module {
	if e.code != nil {
		if code := e.code.load(ctx, digest); code != nil {
			return &module{code}
		}
	}
	return nil
}

// hostModule is what backtraces call the host, in package core/wasmtime as well;
// rewritten modules have helpers of that name, too.
const hostModule = "graphd"

// CompileHost makes a module of host functions.
func (e *Engine) CompileHost(ctx context.Context, funcs []core.HostFunc) (core.Module, error) {
	builder := e.runtime.NewHostModuleBuilder(hostModule)
	seen := make(map[string]bool, len(funcs))
	for _, f := range funcs {
		if seen[f.Name] {
			return nil, fmt.Errorf("wazero: compile host module: function %q is given twice", f.Name)
		}
		seen[f.Name] = true
		builder.NewFunctionBuilder().
			WithGoModuleFunction(hostFunc(f), valueTypes(f.Type.Params), valueTypes(f.Type.Results)).
			Export(f.Name)
	}
	code, err := builder.Compile(ctx)
	if err != nil {
		return nil, fmt.Errorf("wazero: compile host module: %w", err)
	}
	return &module{code}, nil
}

// hostFunc gives a host function the context of the guest call that led to it.
//
// To yield, it goes to the end of the scheduler's queue. A guest is a goroutine that
// never waits, and would have its processor for ten milliseconds otherwise, whoever waits
// for that: of the steps of a garbage collection each.
func hostFunc(f core.HostFunc) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		if link, ok := ctx.(*linkContext); ok {
			ctx = link.caller
		}
		if f.Yield != nil && f.Yield(ctx) {
			runtime.Gosched()
		}
		f.Call(ctx, stack)
	}
}

func valueTypes(list []core.ValueType) []api.ValueType {
	types := make([]api.ValueType, len(list))
	for i, t := range list {
		types[i] = api.ValueType(t)
	}
	return types
}
