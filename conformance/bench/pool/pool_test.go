// SPDX-License-Identifier: Apache-2.0

// Package pool measures what it costs to borrow an instance from a component.Pool for
// one call, next to making an instance for it.
package pool_test

import (
	"context"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wasi"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/operators/build"
	"github.com/wasm-graph/graphd/wit"
)

// BenchmarkPool makes one call of the same function in turns: on an instance that is made
// for it, on one that is there anyway, on one that a pool lends again, and on one that a pool has made ahead for a
// single use. What is counted of the last is what the borrower waits for; while there is
// time between two calls, it isn't the making.
func BenchmarkPool(b *testing.B) {
	ctx := b.Context()
	small, err := bench.Component(guests.Map())
	if err != nil {
		b.Fatal(err)
	}
	large, err := build.Operator(ctx, "../../../operators/temperature")
	if err != nil {
		b.Fatal(err)
	}
	rt, err := bench.Runtime(ctx, "")
	if err != nil {
		b.Fatal(err)
	}
	logger := mute(b)
	for name, wasm := range map[string][]byte{"C": small, "Go": large.Bytes} {
		b.Run(name, func(b *testing.B) {
			c, err := rt.Compile(ctx, name, wasm)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close(context.Background())
			config := component.PoolConfig{Size: 1, Instance: func() component.InstanceConfig {
				return component.InstanceConfig{Imports: append(wasi.New(wasi.Config{}).Interfaces(), logger)}
			}}
			lending := component.NewPool(c, config)
			defer lending.Close(context.Background())
			config.SingleUse = true
			fresh := component.NewPool(c, config)
			defer fresh.Close(context.Background())
			kept, err := c.Instantiate(ctx, config.Instance())
			if err != nil {
				b.Fatal(err)
			}
			defer kept.Close(context.Background())
			borrow := func(p *component.Pool) func() {
				return func() {
					i, err := p.Get(ctx)
					if err != nil {
						b.Fatal(err)
					}
					call(b, i)
					if err := p.Put(ctx, i); err != nil {
						b.Fatal(err)
					}
				}
			}
			routes := []struct {
				name   string
				before func() // not measured
				use    func()
				took   []float64
			}{
				{name: "instantiated", use: func() {
					i, err := c.Instantiate(ctx, config.Instance())
					if err != nil {
						b.Fatal(err)
					}
					call(b, i)
					if err := i.Close(ctx); err != nil {
						b.Fatal(err)
					}
				}},
				{name: "kept", use: func() { call(b, kept) }},
				{name: "lent", use: borrow(lending)},
				{name: "single-use", use: borrow(fresh), before: func() {
					if err := fresh.Fill(ctx); err != nil {
						b.Fatal(err)
					}
				}},
			}
			for b.Loop() {
				for n := range routes {
					r := &routes[n]
					if r.before != nil {
						r.before()
					}
					start := time.Now()
					r.use()
					r.took = append(r.took, float64(time.Since(start).Nanoseconds()))
				}
			}
			b.ReportMetric(0, "ns/op")
			for _, r := range routes {
				b.ReportMetric(bench.Median(r.took)/1e3, r.name+"-µs")
			}
		})
	}
}

// mute returns a logger for operators, which they need, and which keeps nothing.
func mute(b *testing.B) *component.Interface {
	packages, err := witparser.Parse(wit.Processor())
	if err != nil {
		b.Fatal(err)
	}
	const name = "wasm-graph:processor/logger@1.1.0"
	logger, err := packages.Interface(name)
	if err != nil {
		b.Fatal(err)
	}
	return &component.Interface{Name: name, Type: logger, Funcs: map[string]component.HostFunc{
		"log": func(*component.Call, []value.Value) (value.Value, error) { return value.Value{}, nil },
	}}
}

// call makes the call: the configuration of an operator, which is empty.
func call(b *testing.B, i *component.Instance) {
	init := i.Func("wasm-graph:processor/map@1.1.0", "init")
	if _, err := init.Call(b.Context(), value.Record(value.List(nil), value.List(nil))); err != nil {
		b.Fatal(err)
	}
}
