// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
)

func TestMain(m *testing.M) { os.Exit(coretest.EveryEngine{M: m}.Run()) }

// TestSuites runs the suites in testdata, which are the project's own.
func TestSuites(t *testing.T) {
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no suites: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".json"), func(t *testing.T) {
			outcomes, err := runScript(t.Context(), rt, script)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range outcomes {
				if !o.OK {
					t.Errorf("%s:%d: %s: %s", o.File, o.Line, o.Type, o.Error)
				}
			}
		})
	}
}

// TestFailures sees that what is not as a script says comes out as a failure.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/run/run.json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Source   string           `json:"source_filename"`
		Commands []map[string]any `json:"commands"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	wasm, err := filepath.Glob("testdata/run/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range wasm {
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The first component, one value that it returns, another value, and a trap that
	// does not come.
	module, call := s.Commands[0], s.Commands[1]
	module["line"], call["line"] = 1, 2
	wrong := map[string]any{"type": "assert_return", "line": 3, "action": call["action"],
		"expected": []any{map[string]any{"type": "u32", "value": "7"}}}
	trap := map[string]any{"type": "assert_trap", "line": 4, "action": call["action"]}
	invalid := map[string]any{"type": "assert_invalid", "line": 5, "filename": module["filename"], "module_type": "binary"}
	unlinkable := map[string]any{"type": "assert_unlinkable", "line": 6, "filename": module["filename"], "module_type": "binary"}
	unknown := map[string]any{"type": "assert_nothing", "line": 7}
	s.Commands = []map[string]any{module, call, wrong, trap, invalid, unlinkable, unknown}
	if data, err = json.Marshal(s); err == nil {
		err = os.WriteFile(filepath.Join(dir, "suite.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer
	failed, err := run(t.Context(), []string{"-dir", dir, "-v"}, &out)
	if err != nil || failed != 5 {
		t.Fatalf("run = %d failures, %v; want 5", failed, err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line)[:min(3, len(strings.Fields(line)))], " "))
	}
	want := []string{
		"ok run.wast:1: module", "ok run.wast:2: assert_return", "FAIL run.wast:3: assert_return:", "FAIL run.wast:4: assert_trap:",
		"FAIL run.wast:5: assert_invalid:", "FAIL run.wast:6: assert_unlinkable:", "FAIL run.wast:7: assert_nothing:", "2 passed, 5",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output (-want +got):\n%s\n%s", diff, out.String())
	}

	out.Reset()
	if _, err := run(t.Context(), []string{"-dir", dir, "-o", "json"}, &out); err != nil {
		t.Fatal(err)
	}
	var outcomes []outcome
	if err := json.Unmarshal(out.Bytes(), &outcomes); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(outcomes, func(o outcome) bool { return o.OK })); n != 5 {
		t.Errorf("JSON output has %d failures, want 5", n)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"-dir", t.TempDir()}, {"-dir", "testdata", "-engine", "none"}, {"-what"}} {
		if _, err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("run(%q) succeeded", args)
		}
	}
}
