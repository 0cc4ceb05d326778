// SPDX-License-Identifier: Apache-2.0

package component

import (
	"context"
	"os"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core/coretest"
)

// The allocators of an instance can be called for several allocations at once.
func TestHeapsHaveBatches(t *testing.T) {
	rt, err := New(Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/text.wasm")
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.Compile(t.Context(), "text", data)
	if err != nil {
		t.Fatal(err)
	}
	i, err := c.Instantiate(t.Context(), InstanceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close(context.Background())
	allocators := 0
	for n, h := range i.heaps {
		if h.Realloc == nil {
			continue
		}
		allocators++
		if h.Batch == nil {
			t.Errorf("heap %d allocates one by one", n)
		}
	}
	if allocators == 0 {
		t.Error("no heap has an allocator")
	}
}
