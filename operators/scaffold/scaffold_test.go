// SPDX-License-Identifier: Apache-2.0

package scaffold_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/operators/scaffold"
)

var update = flag.Bool("update", false, "rewrite sdk.zip from operators/sdk")

// sources returns the files of the SDK in fsys that belong to its copy.
func sources(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSDKIsUpToDate(t *testing.T) {
	want := sources(t, os.DirFS("../sdk"))
	if *update {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			f, err := w.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte(want[name])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("sdk.zip", out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := zip.OpenReader("sdk.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if diff := cmp.Diff(want, sources(t, archive)); diff != "" {
		t.Errorf("sdk.zip is not what operators/sdk is (run \"go test ./operators/scaffold -update\"):\n%s", diff)
	}
	for _, file := range []string{"go.mod", "LICENSE", "sdk.go"} {
		if want[file] == "" {
			t.Errorf("the SDK has no %s", file)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "temperature", "my-operator2", "a_b", strings.Repeat("x", 63)} {
		if err := scaffold.CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":                      "is empty",
		"Temperature":           "has to begin with a lower-case letter",
		"myOperator":            `try "myoperator"`,
		"2nd":                   "has to begin with a lower-case letter",
		"a/b":                   "'/' is not a lower-case letter",
		"../up":                 "has to begin with a lower-case letter",
		"a b":                   "' ' is not a lower-case letter",
		"größe":                 "'ö' is not a lower-case letter",
		"a-":                    "a letter or digit has to follow '-'",
		"a-_b":                  "a letter or digit has to follow '-'",
		"vendor":                "another use",
		"sdk":                   "another use",
		strings.Repeat("x", 64): "63 are the most",
	} {
		if err := scaffold.CheckName(name); !errors.Is(err, scaffold.ErrName) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestOperatorFiles(t *testing.T) {
	for _, kind := range scaffold.Kinds() {
		dir := filepath.Join(t.TempDir(), "new", "folders")
		written, err := scaffold.Operator(dir, "mine", kind)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, name := range []string{"README.md", "go.mod", "main.go", "main_test.go"} {
			want = append(want, filepath.Join(dir, "mine", name))
		}
		if diff := cmp.Diff(want, written); diff != "" {
			t.Errorf("%s: files: %s", kind, diff)
		}
		if _, err := os.Stat(filepath.Join(dir, "mine", "sdk", "go.mod")); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "mine", "main.go")
	if err := os.Mkdir(filepath.Dir(precious), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := scaffold.Operator(dir, "mine", operator.Map)
	if err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("main.go is %q, %v", text, err)
	}
}

func TestUnknownKind(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []operator.Kind{operator.Source, operator.Concatenate, "mapp", ""} {
		if _, err := scaffold.Operator(dir, "mine", kind); err == nil || !strings.Contains(err.Error(), "map, filter, branch, delay, accumulate") {
			t.Errorf("%q: %v", kind, err)
		}
	}
	if left, _ := filepath.Glob(path.Join(dir, "*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
