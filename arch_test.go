// SPDX-License-Identifier: Apache-2.0

// Package graphd_test holds the rules of the house: what ARCHITECTURE.md,
// CONTRIBUTING.md and the licence ask of every package, checked.
package graphd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/wasm-graph/graphd"

// room is a row of the table in ARCHITECTURE.md: a folder, or a tree of them.
type room struct {
	path    string
	tree    bool     // the folders below too
	tier    int      // may import rooms of lower tiers
	own     []string // where given, only these of our rooms
	modules []string // third-party modules that the room may import
}

// rooms reads the table.
func rooms(t *testing.T) []room {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var table []room
	inside := false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case strings.HasPrefix(line, "| Room |"):
			inside = true
		case inside && !strings.HasPrefix(line, "|"):
			inside = false
		case inside && !strings.HasPrefix(line, "|--"):
			if len(cells) != 5 {
				t.Fatalf("ARCHITECTURE.md: %d cells, want 5: %s", len(cells), line)
			}
			r := room{path: words(cells[0])[0], modules: words(cells[3])}
			r.path, r.tree = strings.CutSuffix(r.path, "/...")
			if r.tier, err = strconv.Atoi(cells[1]); err != nil {
				t.Fatalf("ARCHITECTURE.md: tier of %s: %v", r.path, err)
			}
			if cells[2] != "lower" {
				r.own = append(words(cells[2]), "")
			}
			table = append(table, r)
		}
	}
	if len(table) < 10 {
		t.Fatalf("ARCHITECTURE.md: found %d rooms", len(table))
	}
	return table
}

// words returns what stands in backquotes.
func words(cell string) []string {
	var out []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}

// find returns the room of a folder: the one with the longest path.
func find(table []room, folder string) *room {
	var best *room
	for i, r := range table {
		within := r.path == folder || r.tree && strings.HasPrefix(folder, r.path+"/")
		if within && (best == nil || len(r.path) > len(best.path)) {
			best = &table[i]
		}
	}
	return best
}

// goPackage is what "go list -json" says about a package.
type goPackage struct {
	ImportPath string
	Name       string
	Standard   bool
	Imports    []string
}

// goPackages lists this module's packages, with the files that only a build with
// cgo and the tags wasmtime and onnxruntime has.
func goPackages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-tags=wasmtime,onnxruntime", "-json=ImportPath,Name,Standard,Imports", "./...")
	list.Env = append(list.Environ(), "CGO_ENABLED=1")
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []goPackage
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// folderOf is a package's folder, "" for another module's.
func folderOf(importPath string) string {
	folder, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return folder
}

// TestImports compares what packages import with the table: our own packages by
// tier, and other people's modules by room.
func TestImports(t *testing.T) {
	table := rooms(t)
	used := map[string]bool{}
	compared := 0
	for _, p := range goPackages(t) {
		folder := folderOf(p.ImportPath)
		if folder == "" {
			continue // the root has tests only
		}
		r := find(table, folder)
		if r == nil {
			t.Errorf("%s stands in no row of the table in ARCHITECTURE.md", folder)
			continue
		}
		used[r.path] = true
		for _, imported := range p.Imports {
			compared++
			if to := folderOf(imported); to != "" {
				target := find(table, to)
				switch {
				case target == nil || target.path == r.path:
				case r.own != nil && !slices.Contains(r.own, target.path):
					t.Errorf("%s imports %s; its row allows only %s", folder, to, strings.Join(r.own, " "))
				case target.tier >= r.tier:
					t.Errorf("%s (tier %d) imports %s (tier %d); arrows point to lower tiers", folder, r.tier, to, target.tier)
				}
				continue
			}
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				continue // the standard library, or C
			}
			if !slices.ContainsFunc(r.modules, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") }) {
				t.Errorf("%s imports %s, which its row in ARCHITECTURE.md doesn't allow", folder, imported)
			}
		}
	}
	if compared == 0 {
		t.Error("go list names no imports")
	}
	for _, r := range table {
		if !used[r.path] {
			t.Errorf("ARCHITECTURE.md has a row for %s, and there is no such package", r.path)
		}
	}
}

// TestGraphdIsLight: what only graphctl needs stays out of graphd, whatever the
// packages between them import.
func TestGraphdIsLight(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/graphd").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"github.com/distribution/distribution", "google.golang.org/grpc", module + "/cmd/internal/registry"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("graphd depends on %s", dep)
			}
		}
	}
}

// sources calls visit with the path of each of our files, in this module and the
// nested ones.
func sources(t *testing.T, visit func(name string)) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not committed
		}
		visit(name)
	}
}

// libraries are the blank imports that other people's libraries ask for, by the one
// file that may: a C library with its linker flags, and the registry's storage.
var libraries = map[string]string{
	"cmd/internal/registry/registry.go":        `"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"`,
	"engine/component/core/wasmtime/engine.go": `"github.com/bytecodealliance/wasmtime-go/v39"`,
}

// TestGoFiles checks what holds for every Go file: the licence line, and that
// nothing happens by being imported.
func TestGoFiles(t *testing.T) {
	fset := token.NewFileSet()
	sources(t, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("// SPDX-License-Identifier: Apache-2.0\n")) {
			t.Errorf("%s: the first line must be // SPDX-License-Identifier: Apache-2.0", name)
		}
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			if !strings.Contains(name, "/testdata/") {
				t.Error(err)
			}
			return
		}
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, spec := range file.Imports {
			if spec.Name != nil && spec.Name.Name == "_" && spec.Path.Value != `"embed"` && spec.Path.Value != libraries[name] {
				t.Errorf("%s: blank import of %s; wire it in cmd/internal/wiring", fset.Position(spec.Pos()), spec.Path.Value)
			}
		}
		// A guest exports its operator from init: a component has no main to do it in.
		if strings.HasPrefix(name, "operators/") || strings.HasPrefix(name, "conformance/guests/") || strings.HasPrefix(name, "conformance/durability/testdata/") {
			return
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init; make it explicit", fset.Position(f.Pos()))
			}
		}
	})
}

// TestFolderNames refuses names that say nothing. engine/component/types is the
// Component Model's own word: its type vocabulary.
func TestFolderNames(t *testing.T) {
	forbidden := []string{"util", "utils", "common", "types", "manager", "helper", "helpers", "misc", "base", "shared", "lib"}
	seen := map[string]bool{}
	sources(t, func(name string) {
		for dir := path.Dir(name); dir != "." && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			if slices.Contains(forbidden, path.Base(dir)) && dir != "engine/component/types" && !strings.Contains(dir, "testdata") {
				t.Errorf("%s: call it by what it holds", dir)
			}
		}
	})
}

// TestMainsAreShort: what a program does belongs into packages that tests reach.
func TestMainsAreShort(t *testing.T) {
	mains, err := filepath.Glob("cmd/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range mains {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines >= 100 {
			t.Errorf("%s has %d lines, want fewer than 100", name, lines)
		}
	}
}

// TestNoBinaries: guests are built, not committed; a small one may be where its
// source is.
func TestNoBinaries(t *testing.T) {
	sources(t, func(name string) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes; files over 1 MiB don't belong into a repository", name, info.Size())
		}
		if path.Ext(name) != ".wasm" {
			return
		}
		if info.Size() > 100<<10 {
			t.Errorf("%s has %d bytes, want at most 100 KiB: build it where it is needed", name, info.Size())
		}
		stem := strings.TrimSuffix(path.Base(name), ".wasm")
		folder := path.Dir(name)
		if _, err := os.Stat(folder + ".wast"); err == nil {
			return // a suite and the binaries that it holds
		}
		for _, dir := range []string{folder, strings.TrimSuffix(folder, "/testdata")} {
			for _, ext := range []string{".go", ".c", ".rs", ".js", ".py", ".wat"} {
				if _, err := os.Stat(path.Join(dir, stem+ext)); err == nil {
					return
				}
			}
		}
		t.Errorf("%s has no source of the same name beside it", name)
	})
}

// TestLinks: what our documents link to is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	sources(t, func(name string) {
		if path.Ext(name) != ".md" {
			return
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			}
		}
	})
}
