// SPDX-License-Identifier: Apache-2.0

// Package scaffold writes new operators: a Go module with an operator of some kind,
// a unit test and a README, and beside them the SDK, so that the module builds
// anywhere and without a network.
//
// The SDK comes from sdk.zip, a copy of operators/sdk without its tests. It is a copy
// because the SDK is a module of its own, which go:embed can't reach into, and which
// this module does not require: with a replace directive for it in go.mod, "go install
// .../graphctl@version" would refuse to work. A test compares copy and original;
//
//	go test ./operators/scaffold -update
//
// brings the copy up to date.
package scaffold

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/wasm-graph/graphd/engine/operator"
)

//go:embed files
var files embed.FS

//go:embed sdk.zip
var sdk string

// Kinds are the kinds of operators that can be written.
func Kinds() []operator.Kind {
	return []operator.Kind{operator.Map, operator.Filter, operator.Branch, operator.Delay, operator.Accumulate}
}

// ErrName says that something is no name for an operator.
var ErrName = errors.New("bad operator name")

// CheckName returns an error that wraps ErrName and gives the reason, if name can't be
// that of an operator: it becomes a folder, a Go module and part of an artifact's
// reference.
func CheckName(name string) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w %q: %s", ErrName, name, fmt.Sprintf(format, args...))
	}
	switch {
	case name == "":
		return fault("it is empty")
	case len(name) > 63:
		return fault("it has %d characters, and 63 are the most", len(name))
	case name == "vendor" || name == "testdata" || name == "sdk":
		return fault("Go, or the operator itself, has another use for a folder of that name")
	case name[0] < 'a' || name[0] > 'z':
		return fault("it has to begin with a lower-case letter")
	}
	for i, c := range name {
		separator := c == '-' || c == '_'
		switch {
		case c >= 'A' && c <= 'Z':
			return fault("artifact references are in lower case; try %q", strings.ToLower(name))
		case !separator && (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			return fault("%q is not a lower-case letter, digit, '-' or '_'", c)
		case separator && (i+1 == len(name) || name[i+1] == '-' || name[i+1] == '_'):
			return fault("a letter or digit has to follow %q", c)
		}
	}
	return nil
}

// Operator writes a new operator of that kind to the folder dir/name, which must not
// exist, and returns the files that are meant to be edited. After an error nothing of
// it is left.
func Operator(dir, name string, kind operator.Kind) (written []string, err error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if !slices.Contains(Kinds(), kind) {
		return nil, fmt.Errorf("scaffold: no operator of kind %q; there are %s", kind, kindList())
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("scaffold: %w", err)
	}
	target := filepath.Join(dir, name)
	if err := os.Mkdir(target, 0o777); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("scaffold: %s exists, and nothing is overwritten", target)
	} else if err != nil {
		return nil, fmt.Errorf("scaffold: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("scaffold: write %s: %w", target, err), os.RemoveAll(target))
		}
	}()
	archive, err := zip.NewReader(strings.NewReader(sdk), int64(len(sdk)))
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(filepath.Join(target, "sdk"), archive); err != nil {
		return nil, err
	}
	return render(target, name, kind)
}

func kindList() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// render writes the operator's own files: those for all kinds, and those of kind.
func render(target, name string, kind operator.Kind) (written []string, err error) {
	all, err := template.ParseFS(files, "files/*.tmpl", path.Join("files", string(kind), "*.tmpl"))
	if err != nil {
		return nil, err
	}
	for _, t := range all.Templates() {
		var text bytes.Buffer
		if err := t.Execute(&text, struct{ Name, Kind string }{name, string(kind)}); err != nil {
			return nil, err
		}
		file := filepath.Join(target, strings.TrimSuffix(t.Name(), ".tmpl"))
		if err := os.WriteFile(file, text.Bytes(), 0o666); err != nil {
			return nil, err
		}
		written = append(written, file)
	}
	slices.Sort(written)
	return written, nil
}
