// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component"
)

// A description lists the core modules that the file has: neither those that are made
// to express further memories, nor those that the host gives.
func TestDescribeCoreModules(t *testing.T) {
	for _, tt := range []struct {
		file string
		want []int // memories defined
	}{
		{"memories/memories.0.wasm", []int{1, 1, 2, 0}},
		{"run/run.5.wasm", []int{0}}, // instantiates a core module that it imports
	} {
		data, err := os.ReadFile("../../conformance/component/testdata/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := component.Describe(data)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, m := range d.CoreModules {
			got = append(got, len(m.Memories))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: memories of core modules (-want +got):\n%s", tt.file, diff)
		}
	}
}
