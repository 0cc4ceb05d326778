// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// FuzzModule rewrites anything: it never panics, and what it rewrites is valid if
// the original is, and the same each time.
func FuzzModule(f *testing.F) {
	others, err := filepath.Glob("../core/coretest/testdata/*.wasm")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range others {
		wasm, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm)
	}
	f.Add(kernels)
	f.Add(semantics)
	f.Add(endless)
	for seed := range uint64(20) {
		f.Add(generate(seed))
	}
	e, err := wazero.New(context.Background(), wazero.Config{Interpreter: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, wasm []byte) {
		decoded, err := rewrite.Decode(wasm, rewrite.Limits{Locals: 1000, TableElements: 1000})
		if err != nil {
			return
		}
		out, err := decoded.Rewrite(options)
		if err != nil {
			return
		}
		if again, err := decoded.Rewrite(options); err != nil || !bytes.Equal(out, again) {
			t.Errorf("rewriting again gives something else (%v)", err)
		}
		if _, err := rewrite.Decode(out, rewrite.Limits{}); err != nil {
			t.Errorf("decode the output: %v", err)
		}
		original, err := e.Compile(t.Context(), withoutCustom(wasm))
		if err != nil {
			return
		}
		defer original.Close(t.Context())
		rewritten, err := e.Compile(t.Context(), out)
		if err != nil {
			t.Fatalf("the original is valid, the rewritten module is not: %v", err)
		}
		defer rewritten.Close(t.Context())
	})
}

// withoutCustom returns a module, which Decode took, without its custom sections:
// the rewriter drops most of them, and wazero allocates what a name section claims.
func withoutCustom(wasm []byte) []byte {
	kept := wasm[:8:8]
	for at := 8; at < len(wasm); {
		start, id := at, wasm[at]
		at++
		size, n := binary.Uvarint(wasm[at:])
		at += n + int(size)
		if id != 0 {
			kept = append(kept, wasm[start:at]...)
		}
	}
	return kept
}
