// SPDX-License-Identifier: Apache-2.0

package coretest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// variable is the environment variable that names the engine that Open opens.
const variable = "GRAPHD_ENGINE"

// opener opens an engine.
type opener struct {
	name string
	open func(context.Context) (core.Engine, error)
}

// Open opens an engine for the time of a test: the one that the environment
// variable GRAPHD_ENGINE names, or wazero.
func Open(tb testing.TB) core.Engine {
	tb.Helper()
	name := os.Getenv(variable)
	for _, o := range openers() {
		if name != o.name && name != "" {
			continue
		}
		e, err := o.open(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := e.Close(context.Background()); err != nil {
				tb.Error(err)
			}
		})
		return e
	}
	tb.Fatalf("%s=%s: no such engine in this build", variable, name)
	return nil
}

// EveryEngine makes the tests of a package, which Open their engine, run once on
// each engine of this build: wazero, and Wasmtime with the build tag wasmtime. It is
// for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(coretest.EveryEngine{M: m}.Run()) }
//
// GRAPHD_ENGINE picks one. Fuzzing uses the first.
type EveryEngine struct{ M *testing.M }

// Run runs the tests and returns an exit code.
func (e EveryEngine) Run() int {
	flag.Parse()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	if os.Getenv(variable) != "" || len(openers()) == 1 || fuzzing {
		return e.M.Run()
	}
	for _, o := range openers() {
		if err := os.Setenv(variable, o.name); err != nil {
			panic(err)
		}
		if testing.Verbose() {
			fmt.Printf("=== on %s\n", o.name)
		}
		if code := e.M.Run(); code != 0 {
			fmt.Printf("%s=%s\n", variable, o.name)
			return code
		}
	}
	return 0
}
