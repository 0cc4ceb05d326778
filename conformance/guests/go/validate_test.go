// SPDX-License-Identifier: Apache-2.0

//go:build guests

package goguests_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wasm-graph/graphd/operators/build"
)

// validate asks wasm-tools, the reference, for its opinion of a component. It must be
// in PATH, or where WASM_TOOLS says: without it the test fails.
func validate(t *testing.T, component []byte) (string, error) {
	t.Helper()
	tool, err := exec.LookPath(cmp.Or(os.Getenv("WASM_TOOLS"), "wasm-tools"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "component.wasm")
	if err := os.WriteFile(file, component, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, "validate", "--features", "all", file).CombinedOutput()
	return string(out), err
}

// What graphctl build makes is valid, and the reference notices when it is not.
func TestValid(t *testing.T) {
	for _, dir := range []string{"standard", "../../../operators/temperature"} {
		c, err := build.Operator(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := validate(t, c.Bytes); err != nil {
			t.Errorf("%s: %v: %s", c.Name, err, out)
		}
		if out, err := validate(t, c.Bytes[:len(c.Bytes)-1]); err == nil {
			t.Errorf("%s: valid without its last byte: %s", c.Name, out)
		}
		corrupt := append([]byte(nil), c.Bytes...)
		corrupt[len(corrupt)-3] ^= 0xff
		if out, err := validate(t, corrupt); err == nil {
			t.Errorf("%s: valid with a byte changed: %s", c.Name, out)
		}
	}
}
