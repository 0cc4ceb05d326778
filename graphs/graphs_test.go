// SPDX-License-Identifier: Apache-2.0

package graphs_test

import (
	"io/fs"
	"testing"

	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/graphs"
)

// TestDefinitions: what we ship has no fault, not even a warning.
func TestDefinitions(t *testing.T) {
	names, err := fs.Glob(graphs.Files, "*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(graphs.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := graph.Parse(name, content); len(problems) > 0 {
			t.Errorf("%v", problems)
		}
	}
}
