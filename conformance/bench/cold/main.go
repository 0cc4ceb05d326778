// SPDX-License-Identifier: Apache-2.0

// Command cold measures a cold start: from the bytes of an operator's component, where
// nothing is in memory yet, to compiled code, and from there to an instance. The baseline is what wazero's own cache takes to
// load the component's core modules as their toolchain made them: without fuel, limits,
// checks or a component model. Rounds are interleaved and medians compared.
//
//	go run ./conformance/bench/cold [-rounds 9] [-o json] [FILE.wasm ...]
//
// Without files it takes one operator in Go. A JavaScript one, made of a whole engine,
// is at build/guests/js after "make -C conformance/guests js".
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/cache"
	ours "github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/operators/build"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cold:", err)
		os.Exit(1)
	}
}

// result is what one component's start takes, in milliseconds.
type result struct {
	Component   string  `json:"component"`
	Megabytes   float64 `json:"megabytes"`
	First       float64 `json:"first"`    // nothing is cached
	Linked      float64 `json:"linked"`   // nothing is cached, and what can go on in the background isn't waited for
	Baseline    float64 `json:"baseline"` // wazero's own cache, the bare core modules
	Cached      float64 `json:"cached"`
	Ratio       float64 `json:"ratio"`       // Cached / Baseline
	Instantiate float64 `json:"instantiate"` // and init
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cold", flag.ContinueOnError)
	rounds := flags.Int("rounds", 9, "interleaved rounds")
	operators := flags.String("operators", "operators", "folder of the Go operators")
	format := flags.String("o", "text", "output: text or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cold-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	components := map[string][]byte{}
	names := flags.Args()
	for _, name := range names {
		if components[name], err = os.ReadFile(name); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		built, err := build.Operator(ctx, filepath.Join(*operators, "temperature"))
		if err != nil {
			return err
		}
		names = []string{"Go, temperature"}
		components[names[0]] = built.Bytes
	}
	var results []result
	for n, name := range names {
		r, err := measure(ctx, filepath.Join(dir, fmt.Sprint(n)), components[name], *rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Component = filepath.Base(name)
		results = append(results, *r)
	}
	if *format == "json" {
		return json.NewEncoder(out).Encode(results)
	}
	fmt.Fprintf(out, "%s/%s, %d CPUs; ms, medians of %d interleaved rounds\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "component\tMB\tfirst\tlinked\tbaseline\tcached\tratio\tinstantiate\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.1f\t%.0f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t\n", r.Component, r.Megabytes, r.First, r.Linked, r.Baseline, r.Cached, r.Ratio, r.Instantiate)
	}
	return w.Flush()
}

func measure(ctx context.Context, dir string, wasm []byte, rounds int) (*result, error) {
	description, err := component.Describe(wasm)
	if err != nil {
		return nil, err
	}
	var modules [][]byte
	for _, m := range description.CoreModules {
		modules = append(modules, wasm[m.Offset:m.Offset+m.Size])
	}
	r := &result{Megabytes: float64(len(wasm)) / 1e6}
	if _, err := loadBare(ctx, dir+"-bare", modules); err != nil { // fills the cache
		return nil, err
	}
	if r.First, _, err = load(ctx, dir, wasm); err != nil {
		return nil, err
	}
	var linked, bare, cached, instantiate []float64
	for range rounds {
		l, err := linkOnly(ctx, wasm)
		if err != nil {
			return nil, err
		}
		b, err := loadBare(ctx, dir+"-bare", modules)
		if err != nil {
			return nil, err
		}
		c, i, err := load(ctx, dir, wasm)
		if err != nil {
			return nil, err
		}
		linked, bare, cached, instantiate = append(linked, l), append(bare, b), append(cached, c), append(instantiate, i)
	}
	r.Linked, r.Baseline, r.Cached, r.Instantiate = bench.Median(linked), bench.Median(bare), bench.Median(cached), bench.Median(instantiate)
	r.Ratio = r.Cached / r.Baseline
	return r, nil
}

// load starts from nothing but the cache in dir.
func load(ctx context.Context, dir string, wasm []byte) (compile, instantiate float64, err error) {
	runtime.GC() // what the round before left
	begin := time.Now()
	code, err := cache.Open(dir, cache.Config{})
	if err != nil {
		return 0, 0, err
	}
	engine, err := ours.New(ctx, ours.Config{Cache: code})
	if err != nil {
		return 0, 0, err
	}
	defer engine.Close(ctx)
	rt, err := component.New(component.Config{Engine: engine, Cache: code})
	if err != nil {
		return 0, 0, err
	}
	m, err := processor.Load(ctx, rt, "cold", wasm)
	if err != nil {
		return 0, 0, err
	}
	compile = since(begin)
	begin = time.Now()
	i, err := m.Opener(operator.Config{Graph: "bench", Operation: "cold", Kind: operator.Map}, processor.Environment{}).Open(ctx)
	if err != nil {
		return 0, 0, err
	}
	instantiate = since(begin)
	i.Close()
	return compile, instantiate, nil
}

// linkOnly compiles lazily, and gives up when the types are known.
func linkOnly(ctx context.Context, wasm []byte) (float64, error) {
	runtime.GC()
	engine, err := ours.New(ctx, ours.Config{})
	if err != nil {
		return 0, err
	}
	defer engine.Close(ctx)
	rt, err := component.New(component.Config{Engine: engine, Lazy: true})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	c, err := rt.Compile(ctx, "cold", wasm)
	if err != nil {
		return 0, err
	}
	linked := since(begin)
	return linked, c.Close(ctx)
}

// features are the core features that our engine accepts.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

// loadBare has wazero load core modules through its own cache in dir.
func loadBare(ctx context.Context, dir string, modules [][]byte) (float64, error) {
	runtime.GC()
	begin := time.Now()
	code, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return 0, err
	}
	defer code.Close(ctx)
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features).WithDebugInfoEnabled(false).WithCompilationCache(code))
	defer rt.Close(ctx)
	for _, m := range modules {
		if _, err := rt.CompileModule(ctx, m); err != nil {
			return 0, err
		}
	}
	return since(begin), nil
}

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1e3 }
