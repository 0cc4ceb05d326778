// SPDX-License-Identifier: Apache-2.0

package coretest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/core/engines"
)

// variable is the environment variable that names the engine that Open opens.
const variable = "GRAPHD_ENGINE"

// Open opens an engine for the time of a test: the one that the environment
// variable GRAPHD_ENGINE names, or the default one.
func Open(tb testing.TB) core.Engine {
	tb.Helper()
	e, err := engines.Open(tb.Context(), os.Getenv(variable))
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

// EveryEngine makes the tests of a package, which Open their engine, run once on
// each engine of this build. It is for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(coretest.EveryEngine{M: m}.Run()) }
//
// GRAPHD_ENGINE picks one. Fuzzing uses the default one.
type EveryEngine struct{ M *testing.M }

// Run runs the tests and returns an exit code.
func (e EveryEngine) Run() int {
	flag.Parse()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	names := engines.Names()
	if os.Getenv(variable) != "" || len(names) == 1 || fuzzing {
		return e.M.Run()
	}
	for _, name := range names {
		if err := os.Setenv(variable, name); err != nil {
			panic(err)
		}
		if testing.Verbose() {
			fmt.Printf("=== on %s\n", name)
		}
		if code := e.M.Run(); code != 0 {
			fmt.Printf("%s=%s\n", variable, name)
			return code
		}
	}
	return 0
}
