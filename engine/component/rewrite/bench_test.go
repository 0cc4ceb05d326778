// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"context"
	_ "embed"
	"math"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

//go:embed testdata/kernels.wasm
var kernels []byte

// host gives rewritten modules their tick and overflow.
type host struct {
	tick func(remaining int64) int64
}

const quantum = 1_000_000

var options = rewrite.Options{
	Tick:     rewrite.Name{Module: "host", Field: "tick"},
	Overflow: rewrite.Name{Module: "host", Field: "overflow"},
}

func (h *host) funcs() []core.HostFunc {
	return []core.HostFunc{
		{
			Name: "tick",
			Type: core.FuncType{Params: []core.ValueType{core.I64}, Results: []core.ValueType{core.I64}},
			Call: func(_ context.Context, stack []uint64) { stack[0] = uint64(h.tick(int64(stack[0]))) },
		},
		{
			Name: "overflow",
			Call: func(context.Context, []uint64) { panic(core.ErrExhausted) },
		},
	}
}

func newEngine(tb testing.TB) core.Engine {
	tb.Helper()
	e, err := wazero.New(tb.Context(), wazero.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

// instantiate compiles and instantiates a module whose only imports are the host's.
func instantiate(tb testing.TB, e core.Engine, wasm []byte, h *host) core.Instance {
	tb.Helper()
	ctx := tb.Context()
	hostModule, err := e.CompileHost(ctx, h.funcs())
	if err != nil {
		tb.Fatal(err)
	}
	hostInstance, err := e.Instantiate(ctx, hostModule, nil, core.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	m, err := e.Compile(ctx, wasm)
	if err != nil {
		tb.Fatal(err)
	}
	i, err := e.Instantiate(ctx, m, func(string) core.Instance { return hostInstance }, core.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

func instrument(tb testing.TB, wasm []byte) []byte {
	tb.Helper()
	m, err := rewrite.Decode(wasm, rewrite.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	out, err := m.Rewrite(options)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// BenchmarkKernels compares each kernel, rewritten, with the original in the same
// run. "ratio" is the cost of the instrumentation.
func BenchmarkKernels(b *testing.B) {
	e := newEngine(b)
	h := &host{tick: func(int64) int64 { return quantum }}
	original := instantiate(b, e, kernels, h)
	rewritten := instantiate(b, e, instrument(b, kernels), h)
	product, count := 1.0, 0
	for _, k := range []struct {
		name string
		n    uint64
	}{{"fib", 22}, {"sha256", 2}, {"bytesum", 4}, {"json", 1000}, {"matmul", 2}} {
		b.Run(k.name, func(b *testing.B) {
			stack := make([]uint64, 1)
			run := func(f core.Func) {
				stack[0] = k.n
				if err := f.Call(b.Context(), stack); err != nil {
					b.Fatal(err)
				}
			}
			f, g := original.Func(k.name), rewritten.Func(k.name)
			run(f)
			want := stack[0]
			run(g)
			if stack[0] != want {
				b.Fatalf("rewritten %s = %d, want %d", k.name, stack[0], want)
			}
			ratio := interleave(b, func() { run(f) }, func() { run(g) })
			b.ReportMetric(ratio, "ratio")
			product, count = product*ratio, count+1
		})
	}
	if count > 0 {
		b.Logf("geometric mean: %.2f", math.Pow(product, 1/float64(count)))
	}
}
