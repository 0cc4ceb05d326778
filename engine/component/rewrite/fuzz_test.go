// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	component "github.com/wasm-graph/graphd/engine/component/binary"
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
	for _, suite := range []string{"memories", "exceptions"} {
		for _, wasm := range suiteModules(f, suite) {
			f.Add(wasm)
		}
	}
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
		options := options
		if decoded.Throws() {
			options.Exceptions = "exceptions"
		}
		out, err := decoded.Rewrite(options)
		if err != nil {
			return
		}
		for _, p := range decoded.Parts() {
			part, err := rewrite.Decode(p.Wasm, rewrite.Limits{})
			if err != nil {
				t.Fatalf("memory %d: %v", p.Memory, err)
			}
			if _, err := part.Rewrite(options); err != nil {
				t.Errorf("memory %d: %v", p.Memory, err)
			}
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

// suiteModules returns the core modules in the components of a conformance suite.
func suiteModules(tb testing.TB, suite string) (modules [][]byte) {
	tb.Helper()
	files, err := filepath.Glob("../../../conformance/component/testdata/" + suite + "/*.wasm")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no components of suite %s: %v", suite, err)
	}
	var find func(c *component.Component)
	find = func(c *component.Component) {
		for _, d := range c.Defs {
			switch d := d.(type) {
			case *component.CoreModule:
				modules = append(modules, d.Bytes)
			case *component.Nested:
				find(d.Component)
			}
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		if c, err := component.Decode(data); err == nil {
			find(c)
		}
	}
	return modules
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
