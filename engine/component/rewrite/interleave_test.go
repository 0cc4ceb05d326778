// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"slices"
	"testing"
	"time"
)

// interleave runs base and f in turns, so that both meet the same noise, and
// returns the ratio of their medians.
func interleave(b *testing.B, base, f func()) float64 {
	var bases, fs []time.Duration
	measure := func(f func()) time.Duration {
		start := time.Now()
		f()
		return time.Since(start)
	}
	for b.Loop() {
		bases = append(bases, measure(base))
		fs = append(fs, measure(f))
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2])
	}
	b.ReportMetric(median(bases), "base-ns")
	return median(fs) / median(bases)
}
