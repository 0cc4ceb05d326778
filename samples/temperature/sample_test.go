// SPDX-License-Identifier: Apache-2.0

// Package temperature_test does what the sample's README says, with the programs
// as they are built.
package temperature_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/wasm-graph/graphd/conformance/services/programs"
)

// artifacts makes the folder that serves as a registry for this sample.
func artifacts(t *testing.T, graphctl string) string {
	t.Helper()
	return programs.Artifacts(t, graphctl, "simple", "temperature")
}

func TestGraphctlRun(t *testing.T) {
	graphctl := programs.Build(t, "graphctl")
	modules := artifacts(t, graphctl)
	want, err := os.ReadFile("expected.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), graphctl, "run", "../../graphs/simple.yaml", "--modules", modules, "--input", "input")
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.Bytes())
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s printed\n%s\nwant\n%s", cmd, got, want)
	}
	if !bytes.Contains(stderr.Bytes(), []byte("read 5, sent 4, filtered 0, failed 1")) {
		t.Errorf("the summary is missing:\n%s", stderr.Bytes())
	}
}
