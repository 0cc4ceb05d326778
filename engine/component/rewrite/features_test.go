// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"os"
	"slices"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

func TestFeatures(t *testing.T) {
	wasm, err := os.ReadFile("../../../conformance/guests/c/testdata/hostile.wasm")
	if err != nil {
		t.Fatal(err)
	}
	m, err := rewrite.Decode(wasm, rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Features(), []string{"bulk-memory"}; !slices.Equal(got, want) {
		t.Errorf("Features = %v, want %v", got, want)
	}
}
