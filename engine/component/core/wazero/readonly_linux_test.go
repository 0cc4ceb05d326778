// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"crypto/sha256"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/cache/cachetest"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

// Code is loaded from a cache that can't be written to; what isn't there is compiled.
func TestReadOnlyCache(t *testing.T) {
	dir := t.TempDir()
	filling := open(t, wazero.Config{Cache: newCache(t, dir)})
	if _, err := filling.Compile(t.Context(), opModule(add)); err != nil {
		t.Fatal(err)
	}
	if err := filling.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	cachetest.Protect(t, dir)
	e := open(t, wazero.Config{Cache: newCache(t, dir)})
	kept := e.Load(t.Context(), sha256.Sum256(opModule(add)))
	if kept == nil {
		t.Fatal("the code that is there was not found")
	}
	if got, err := do(e, kept, 40, 2); err != nil || got != 42 {
		t.Errorf("40 + 2 = %d, %v", got, err)
	}
	made, err := e.Compile(t.Context(), opModule(sub))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := do(e, made, 44, 2); err != nil || got != 42 {
		t.Errorf("44 - 2 = %d, %v", got, err)
	}
	if e.Load(t.Context(), sha256.Sum256(opModule(sub))) != nil {
		t.Error("the cache keeps what it can't")
	}
}
