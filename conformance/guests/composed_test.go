// SPDX-License-Identifier: Apache-2.0

//go:build guests

package guests_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/wit"
	processor "github.com/wasm-graph/graphd/wit"
)

// wrapped returns a component in which the operator of c/wrap.c is composed with
// another one: both within it, each with the interfaces that it imports, the one's map
// being the other's.
func wrapped(t *testing.T, inner []byte) []byte {
	t.Helper()
	files := fstest.MapFS{"wrap.wit": {Data: []byte("world wrap { import logger; import %map; export %map; }")}}
	published, err := fs.Glob(processor.Processor(), "*.wit")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range published {
		data, err := fs.ReadFile(processor.Processor(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	packages, err := wit.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	w, err := packages.World("wrap")
	if err != nil {
		t.Fatal(err)
	}
	outer, err := encode.Component(built(t, "c/wrap.wasm"), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	validate(t, outer)
	return composed(t, outer, inner)
}

// composed returns the component that wasm-tools composes of outer and what it needs.
func composed(t *testing.T, outer, inner []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	outerFile, innerFile, file := filepath.Join(dir, "outer.wasm"), filepath.Join(dir, "inner.wasm"), filepath.Join(dir, "composed.wasm")
	for name, data := range map[string][]byte{outerFile: outer, innerFile: inner} {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := wasmTools(t, nil, "compose", outerFile, "-d", innerFile, "-o", file); err != nil {
		t.Fatalf("wasm-tools compose: %v", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// An operator within another goes through the scenario as it does alone.
func TestComposed(t *testing.T) {
	for _, tt := range []struct {
		file   string
		silent bool
	}{
		{"c/shout.component.wasm", true},
		{"rust/shout-wasip1.component.wasm", false},
		{"js/quickjs.component.wasm", true},
	} {
		t.Run(tt.file, func(t *testing.T) {
			data := wrapped(t, built(t, tt.file))
			validate(t, data)
			c := compile(t, data)
			shout(t, c, tt.silent)
			o := instantiate(t, c, component.InstanceConfig{})
			if o.start(); o.logged[0] != "2 wrap/map: wrapped" {
				t.Errorf("logged %q, want the operator around to begin", o.logged)
			}
		})
	}
}

// So it does within two.
func TestComposedTwice(t *testing.T) {
	inner := wrapped(t, built(t, "c/shout.component.wasm"))
	shout(t, compile(t, wrapped(t, inner)), true)
}
