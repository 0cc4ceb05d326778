// SPDX-License-Identifier: Apache-2.0

package build_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/operators/build"
	"github.com/wasm-graph/graphd/operators/scaffold"
)

// program writes a main package and returns its folder.
func program(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.com/p\n\ngo 1.24\n", "main.go": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A component exports what it handles, imports what it uses, and is the same whatever
// the folder.
func TestOperator(t *testing.T) {
	var built [2]*build.Component
	for n := range built {
		dir := t.TempDir()
		if _, err := scaffold.Operator(dir, "mine", operator.Map); err != nil {
			t.Fatal(err)
		}
		var err error
		if built[n], err = build.Operator(t.Context(), filepath.Join(dir, "mine")); err != nil {
			t.Fatal(err)
		}
	}
	c := built[0]
	if c.Name != "mine" || !slices.Equal(c.Kinds, []operator.Kind{operator.Map}) {
		t.Errorf("built %s with %v", c.Name, c.Kinds)
	}
	var imports []string
	for _, x := range c.Type.Imports {
		if strings.HasPrefix(x.Name, "wasm-graph:") {
			imports = append(imports, x.Name)
		} else if !strings.HasPrefix(x.Name, "wasi:") {
			t.Errorf("the component imports %s", x.Name)
		}
	}
	slices.Sort(imports)
	want := []string{
		"wasm-graph:processor/hybrid-logical-clock@1.1.0", "wasm-graph:processor/logger@1.1.0",
		"wasm-graph:processor/metrics@1.1.0", "wasm-graph:processor/types@1.1.0",
	}
	if diff := cmp.Diff(want, imports); diff != "" {
		t.Errorf("imports: %s", diff)
	}
	if !bytes.Equal(built[0].Bytes, built[1].Bytes) {
		t.Error("equal sources in two folders made different components")
	}
	if home, err := os.Getwd(); err != nil || bytes.Contains(c.Bytes, []byte(home)) {
		t.Errorf("the component contains a path of this machine (%v)", err)
	}
}

func TestOperatorErrors(t *testing.T) {
	_, err := build.Operator(t.Context(), program(t, "package main\n\nfunc main() { x }\n"))
	var compile *build.CompileError
	if !errors.As(err, &compile) || !strings.Contains(compile.Output, "undefined: x") {
		t.Errorf("faulty program: %v", err)
	}
	if _, err = build.Operator(t.Context(), program(t, "package main\n\nfunc main() {}\n")); !errors.Is(err, build.ErrNoOperator) {
		t.Errorf("idle program: %v", err)
	}
	if _, err = build.Operator(t.Context(), filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = build.Operator(cancelled, program(t, "package main\n\nfunc main() {}\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err = build.Operator(t.Context(), t.TempDir()); !errors.Is(err, build.ErrNoToolchain) {
		t.Errorf("no toolchain: %v", err)
	}
}

// The world has everything that operators may export, and all imports of a host.
func TestWorld(t *testing.T) {
	w, err := build.World()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range w.Exports {
		names = append(names, x.Name)
	}
	slices.Sort(names)
	var want []string
	for _, k := range []string{"accumulate", "branch", "delay", "filter", "map"} {
		want = append(want, "wasm-graph:processor/"+k+"@1.1.0")
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("exports: %s", diff)
	}
	for _, name := range []string{"state-store", "logger", "metrics", "command-invoker", "schema-registry"} {
		if !slices.ContainsFunc(w.Imports, func(x types.Extern) bool { return x.Name == "wasm-graph:processor/"+name+"@1.1.0" }) {
			t.Errorf("%s is not imported", name)
		}
	}
	if !slices.ContainsFunc(w.Imports, func(x types.Extern) bool { return x.Name == "wasi:nn/graph@0.2.0-rc-2024-10-28" }) {
		t.Error("wasi:nn is not imported")
	}
}
