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
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// Config says how to run. The zero value is the default.
type Config struct {
	// CacheDir is the folder in which compiled code is kept across processes. It is
	// made if it doesn't exist, with mode 0700. What is in it is executed, so a
	// folder that others may write to is refused. Empty means that nothing is kept.
	CacheDir string
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
	runtime  wazero.Runtime
	cache    wazero.CompilationCache // or nil
	cacheDir string
	workers  int
}

var _ core.Engine = (*Engine)(nil)

// New returns an engine. Its Close must be called.
func New(ctx context.Context, config Config) (*Engine, error) {
	rc := wazero.NewRuntimeConfig()
	if config.Interpreter {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	rc = rc.WithCoreFeatures(features).WithDebugInfoEnabled(false)
	e := &Engine{workers: config.CompileWorkers, cacheDir: config.CacheDir}
	if e.workers <= 0 {
		e.workers = max(2, runtime.GOMAXPROCS(0))
	}
	if config.CacheDir != "" {
		if err := prepareCacheDir(config.CacheDir); err != nil {
			return nil, fmt.Errorf("wazero: open cache %s: %w", config.CacheDir, err)
		}
		var err error
		if e.cache, err = wazero.NewCompilationCacheWithDir(config.CacheDir); err != nil {
			return nil, fmt.Errorf("wazero: open cache %s: %w", config.CacheDir, err)
		}
		rc = rc.WithCompilationCache(e.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	return e, nil
}

func prepareCacheDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fs.ErrInvalid
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("mode %#o lets others write code into it; use 0700", info.Mode().Perm())
	}
	return nil
}

// Name returns "wazero".
func (e *Engine) Name() string { return "wazero" }

// Close releases the engine with everything compiled and instantiated by it.
func (e *Engine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(ctx))
	}
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
	code, err := e.runtime.CompileModule(ctx, wasm)
	if err != nil && e.cache != nil && strings.Contains(err.Error(), damagedCache) {
		// What the cache holds is made anew from the module whenever it is missing.
		if err := clearDir(e.cacheDir); err != nil {
			return nil, fmt.Errorf("wazero: clear damaged cache %s: %w", e.cacheDir, err)
		}
		code, err = e.runtime.CompileModule(ctx, wasm)
	}
	if err != nil {
		return nil, fmt.Errorf("wazero: compile core module: %w", err)
	}
	return &module{code}, nil
}

// damagedCache is how wazero's errors about entries of its cache begin.
const damagedCache = "compilationcache:"

// clearDir removes the files below dir; wazero expects its folders to stay.
func clearDir(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Remove(path)
	})
}

// CompileHost makes a module of host functions.
func (e *Engine) CompileHost(ctx context.Context, funcs []core.HostFunc) (core.Module, error) {
	builder := e.runtime.NewHostModuleBuilder("host")
	seen := make(map[string]bool, len(funcs))
	for _, f := range funcs {
		if seen[f.Name] {
			return nil, fmt.Errorf("wazero: compile host module: function %q is given twice", f.Name)
		}
		seen[f.Name] = true
		builder.NewFunctionBuilder().
			WithGoModuleFunction(hostFunc(f.Call), valueTypes(f.Type.Params), valueTypes(f.Type.Results)).
			Export(f.Name)
	}
	code, err := builder.Compile(ctx)
	if err != nil {
		return nil, fmt.Errorf("wazero: compile host module: %w", err)
	}
	return &module{code}, nil
}

// hostFunc gives a host function the context of the guest call that led to it.
func hostFunc(call func(context.Context, []uint64)) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		if link, ok := ctx.(*linkContext); ok {
			ctx = link.caller
		}
		call(ctx, stack)
	}
}

func valueTypes(list []core.ValueType) []api.ValueType {
	types := make([]api.ValueType, len(list))
	for i, t := range list {
		types[i] = api.ValueType(t)
	}
	return types
}
