// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// straight is a graph without any module.
const straight = `metadata: {$schema: s, name: straight, version: "1"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations:
  - {operationType: source, name: a}
  - {operationType: source, name: b}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: a}, to: {name: sink}}
  - {from: {name: b}, to: {name: sink}}
`

// TestRun runs a graph with two sources in this process: what goes where, and the
// exit code.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	graph := file("straight.yaml", straight)
	records := file("a=1.jsonl", `{"topic":"t","payload":"1"}`)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name           string
		ctx            context.Context
		args           []string
		code           int
		stdout, stderr string // what is contained
	}{
		{"two sources", t.Context(), []string{"run", graph, "--input", "b=" + records, "--input", "a=-"}, exitOK,
			`{"topic":"t","payload":"0","timestamp":"001577836800001:00000:graphd-run"}` + "\n" +
				`{"topic":"t","payload":"1","timestamp":"001577836800002:00000:graphd-run"}` + "\n", "read 2, sent 2, filtered 0, failed 0"},
		{"a source without input", t.Context(), []string{"run", graph, "--input", "b=" + records}, exitUsage, "", `--input for source "a" is missing`},
		{"input without a source", t.Context(), []string{"run", graph, "--input", "c=x"}, exitUsage, "", "where SOURCE is one of a, b"},
		{"unknown flag", t.Context(), []string{"run", graph, "--inptu", "x"}, exitUsage, "", "unknown flag"},
		{"output that can't be", t.Context(), []string{"run", graph, "--input", "a=-", "--input", "b=" + records, "--output", dir}, exitFailed, "", "is a directory"},
		{"interrupted", cancelled, []string{"run", graph, "--input", "a=-", "--input", "b=" + records}, exitFailed, "", "interrupted"},
		{"valid", t.Context(), []string{"validate", graph}, exitOK, "valid, 3 operations", ""},
		{"not valid", t.Context(), []string{"validate", records}, exitFailed, "unknown property payload", "is not valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(tt.ctx, tt.args, strings.NewReader(`{"topic":"t","payload":"0"}`), &stdout, &stderr)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stdout %q, want %q in it; stderr %q, want %q in it", &stdout, tt.stdout, &stderr, tt.stderr)
			}
		})
	}
}
