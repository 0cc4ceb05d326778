// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"testing"

	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/memory"
	"github.com/wasm-graph/graphd/engine/window/windowtest"
)

func TestStore(t *testing.T) {
	windowtest.TestStore(t, func(*testing.T) func() (window.Store, error) {
		var s memory.Store
		return func() (window.Store, error) { return &s, nil }
	})
}
