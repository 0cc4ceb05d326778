// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// BenchmarkKernels compares each kernel, rewritten, with the original in the same
// run. The metric "ratio" is what the instrumentation costs: at most 1.5 for each,
// and 1.3 in the geometric mean, is what it was built for.
func BenchmarkKernels(b *testing.B) {
	e := coretest.Open(b)
	original := instantiate(b, e, kernels, &host{})
	rewritten := instantiate(b, e, instrument(b, kernels), &host{})
	product, count := 1.0, 0
	for _, k := range []struct {
		name string
		n    uint64
	}{{"fib", 22}, {"sha256", 2}, {"bytesum", 4}, {"json", 1000}, {"matmul", 2}} {
		b.Run(k.name, func(b *testing.B) {
			stack := make([]uint64, 1)
			run := func(f core.Func) uint64 {
				stack[0] = k.n
				if err := f.Call(b.Context(), stack); err != nil {
					b.Fatal(err)
				}
				return stack[0]
			}
			f, g := original.Func(k.name), rewritten.Func(k.name)
			if got, want := run(g), run(f); got != want {
				b.Fatalf("rewritten %s = %d, want %d", k.name, got, want)
			}
			base, ours := interleave(b, func() { run(f) }, func() { run(g) })
			b.ReportMetric(float64(base.Nanoseconds()), "base-ns")
			b.ReportMetric(float64(ours)/float64(base), "ratio")
			product, count = product*float64(ours)/float64(base), count+1
		})
	}
	if count > 0 {
		b.Logf("geometric mean of the ratios: %.2f", math.Pow(product, 1/float64(count)))
	}
}

// interleave runs f and g in turns, so that both meet the same noise, and returns
// their medians.
func interleave(b *testing.B, f, g func()) (time.Duration, time.Duration) {
	var fs, gs []time.Duration
	measure := func(f func()) time.Duration {
		start := time.Now()
		f()
		return time.Since(start)
	}
	for b.Loop() {
		fs = append(fs, measure(f))
		gs = append(gs, measure(g))
	}
	slices.Sort(fs)
	slices.Sort(gs)
	return fs[len(fs)/2], gs[len(gs)/2]
}

// BenchmarkRewrite decodes and rewrites the kernels' module.
func BenchmarkRewrite(b *testing.B) {
	b.SetBytes(int64(len(kernels)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := rewrite.Decode(kernels, rewrite.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Rewrite(options); err != nil {
			b.Fatal(err)
		}
	}
}
