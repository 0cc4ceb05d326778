// SPDX-License-Identifier: Apache-2.0

// Package tests_test does what the README says, with the program as it is built.
package tests_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestGraphctlTest(t *testing.T) {
	graphctl := filepath.Join(t.TempDir(), "graphctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", graphctl, "../../cmd/graphctl")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, output)
	}
	test := exec.CommandContext(t.Context(), graphctl, "test", ".", "-o", "json")
	output, err := test.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", test, err, output)
	}
	var report struct {
		Tests []struct{ Name, Status string }
	}
	if err := json.Unmarshal(output, &report); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*/*/*.test.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	if got, want := len(report.Tests), len(files)+1; got != want { // fahrenheit is one level up
		t.Errorf("%d tests ran, want %d", got, want)
	}
	for _, test := range report.Tests {
		if test.Status != "passed" {
			t.Errorf("%s %s", test.Name, test.Status)
		}
	}
}
