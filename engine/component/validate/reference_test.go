// SPDX-License-Identifier: Apache-2.0

//go:build guests

package validate_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// features are what the reference is to know of: all but what the specification
// gates and this project refuses.
const features = "all,-cm-nested-names,-cm64,-cm-gc,-memory64,-shared-everything-threads," +
	"-custom-page-sizes,-custom-descriptors"

// agreed are verdicts of the reference that this project does not share.
var agreed = []string{
	// A flag of early asynchronous built-ins, which later ones call reserved.
	"historically accepted as `cancellable`",
	// The code of core modules is for the engine to check.
	"failed to validate",
	// The reference has no ascription that makes a resource abstract yet.
	"ascribed type of export is not compatible",
}

// TestReference compares this project's verdict with that of wasm-tools, the
// reference, on components with a few bytes changed. wasm-tools must be in PATH.
func TestReference(t *testing.T) {
	const mutants = 40 // of each component
	tool, err := exec.LookPath("wasm-tools")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	file := filepath.Join(t.TempDir(), "mutant.wasm")
	compared, accepted := 0, 0
	for _, name := range components(t) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		places := outside(data)
		for n := range mutants {
			mutant := data
			if n > 0 {
				mutant = mutate(random, data, places)
			}
			ours := verdict(mutant)
			linking := (*link.Error)(nil)
			if errors.Is(ours, binary.ErrUnsupported) || errors.As(ours, &linking) {
				continue // refused for what this project does not support
			}
			if err := os.WriteFile(file, mutant, 0o600); err != nil {
				t.Fatal(err)
			}
			text, err := exec.CommandContext(t.Context(), tool, "validate", "--features", features, file).CombinedOutput()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			compared++
			if ours == nil {
				accepted++
			}
			known := func(words string) bool { return strings.Contains(string(text), words) }
			if (ours == nil) != (err == nil) && !slices.ContainsFunc(agreed, known) {
				t.Errorf("%s, mutant %d: we say %v, the reference says %v: %s\n%x", name, n, ours, err, text, mutant)
			}
		}
	}
	t.Logf("compared %d components, of which %d are valid", compared, accepted)
}

// components are the files to start from.
func components(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"../testdata/*.wasm", "../binary/testdata/*.wasm", "../../../conformance/component/testdata/*/*.wasm"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no components to start from")
	}
	return files
}

func verdict(data []byte) error {
	c, err := binary.Decode(data)
	if err != nil {
		return err
	}
	_, err = link.Link(c, rewrite.Limits{})
	return err
}

// outside returns the offsets of bytes that are in no core module: code is not this
// project's to check. It is empty for what is no component.
func outside(data []byte) []int {
	c, err := binary.Decode(data)
	if err != nil {
		c = &binary.Component{}
	}
	inside := make([]bool, len(data))
	var mark func(c *binary.Component)
	mark = func(c *binary.Component) {
		for _, d := range c.Defs {
			switch d := d.(type) {
			case *binary.CoreModule:
				for i := range d.Bytes {
					inside[d.Offset+i] = true
				}
			case *binary.Nested:
				mark(d.Component)
			}
		}
	}
	mark(c)
	var places []int
	for i := 8; i < len(data); i++ {
		if !inside[i] {
			places = append(places, i)
		}
	}
	return places
}

// mutate changes one or two bytes at the given places: mostly to small numbers,
// which are indexes, or to what another place has.
func mutate(random *rand.Rand, data []byte, places []int) []byte {
	out := slices.Clone(data)
	if len(places) == 0 {
		return out
	}
	for range 1 + random.IntN(2) {
		at := places[random.IntN(len(places))]
		switch random.IntN(4) {
		case 0:
			out[at] = byte(random.IntN(8))
		case 1:
			out[at]++
		case 2:
			out[at]--
		default:
			out[at] = data[places[random.IntN(len(places))]]
		}
	}
	return out
}
