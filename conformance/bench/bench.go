// SPDX-License-Identifier: Apache-2.0

// Package bench holds what the benchmarks below it share: a runtime as graphd has
// it, guests loaded into it, and medians, since the machines that this runs on drift.
package bench

import (
	"context"
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/engines"
	"github.com/wasm-graph/graphd/engine/component/encode"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/wit"
)

// Component makes a component of a core module that fits world map-impl.
func Component(core []byte) ([]byte, error) {
	packages, err := witparser.Parse(wit.Processor())
	if err != nil {
		return nil, err
	}
	world, err := packages.World("map-impl")
	if err != nil {
		return nil, err
	}
	return encode.Component(core, world, encode.Options{})
}

// Runtime returns a component runtime on a core engine ("" is the default one). What
// it takes lives as long as the process.
func Runtime(ctx context.Context, engineName string) (*component.Runtime, error) {
	engine, err := engines.Open(ctx, engineName)
	if err != nil {
		return nil, err
	}
	return component.New(component.Config{Engine: engine})
}

// Load compiles a component as graphd does, instrumented, on a core engine ("" is
// the default one). What it takes lives as long as the process.
func Load(ctx context.Context, engineName, name string, wasm []byte) (*processor.Module, error) {
	rt, err := Runtime(ctx, engineName)
	if err != nil {
		return nil, err
	}
	m, err := processor.Load(ctx, rt, name, wasm)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return m, nil
}

// Median returns the median of v, which must not be empty.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
