// SPDX-License-Identifier: Apache-2.0

// Package engines chooses among the core engines that are in this build: wazero
// always, Wasmtime with cgo and the build tag wasmtime. It is for programs with a
// flag for it, and for tests that run on each.
package engines

import (
	"context"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// Names returns the engines of this build, the default one first.
func Names() []string {
	var names []string
	for _, e := range all() {
		names = append(names, e.name)
	}
	return names
}

// Open opens an engine by its name; "" is the default one. Its Close must be called.
func Open(ctx context.Context, name string) (core.Engine, error) {
	for _, e := range all() {
		if name == e.name || name == "" {
			return e.open(ctx)
		}
	}
	return nil, fmt.Errorf("engines: open %q: there is no such engine in this build, only %q", name, Names())
}

// engine is an engine that can be opened.
type engine struct {
	name string
	open func(context.Context) (core.Engine, error)
}
