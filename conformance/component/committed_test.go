// SPDX-License-Identifier: Apache-2.0

//go:build guests

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCommitted sees that the scripts and binaries in testdata are what their sources
// make, and that the reference agrees with what the sources say. wasm-tools must be in
// PATH.
func TestCommitted(t *testing.T) {
	tool, err := exec.LookPath("wasm-tools")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("testdata/*.wast")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no suites: %v", err)
	}
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".wast")
		t.Run(name, func(t *testing.T) {
			made := t.TempDir()
			cmd := exec.CommandContext(t.Context(), tool, "json-from-wast", name+".wast", "-o", filepath.Join(made, name+".json"), "--wasm-dir", made)
			cmd.Dir = "testdata"
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if diff := cmp.Diff(files(t, made), files(t, filepath.Join("testdata", name))); diff != "" {
				t.Errorf("testdata/%s is not what %s makes (-made +committed):\n%s", name, source, diff)
			}
			cmd = exec.CommandContext(t.Context(), tool, "wast", "--ignore-error-messages", "--features", "all,-cm-nested-names", name+".wast")
			cmd.Dir = "testdata"
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("the reference disagrees: %v\n%s", err, out)
			}
		})
	}
}

// files returns the content of the files in dir by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string, len(entries))
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}
