// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// What the rewriter makes of several memories and of exceptions does what it should:
// that is in the conformance suites of these names. Here is what it is made of.

// A module with several memories becomes as many modules with one.
func TestParts(t *testing.T) {
	parted := 0
	for _, wasm := range suiteModules(t, "memories") {
		m, err := rewrite.Decode(wasm, rewrite.Limits{})
		if err != nil || len(m.Parts()) == 0 {
			continue
		}
		parted++
		if !slices.Contains(m.Features(), "multi-memory") {
			t.Errorf("features are %v, want multi-memory among them", m.Features())
		}
		modules := [][]byte{instrument(t, wasm)}
		for i, p := range m.Parts() {
			if p.Memory != uint32(i+1) {
				t.Errorf("part %d is of memory %d", i, p.Memory)
			}
			part, err := rewrite.Decode(p.Wasm, rewrite.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if imports := len(part.Imports) == 1; imports != (p.Import >= 0) {
				t.Errorf("memory %d is import %d; its part imports %v", p.Memory, p.Import, part.Imports)
			}
			if p.Import >= 0 && m.Imports[p.Import].Kind != rewrite.Memory {
				t.Errorf("memory %d is said to be import %v", p.Memory, m.Imports[p.Import])
			}
			modules = append(modules, instrument(t, p.Wasm))
		}
		for _, wasm := range modules {
			one, err := rewrite.Decode(wasm, rewrite.Limits{Memories: 1})
			if err != nil {
				t.Fatalf("decode what has been rewritten: %v", err)
			}
			if slices.Contains(one.Features(), "multi-memory") {
				t.Error("a module that has been rewritten has several memories")
			}
		}
	}
	if parted < 3 {
		t.Errorf("%d modules of the suite have several memories, want more", parted)
	}
}

// A module that throws needs the state of exceptions, and has no tag when it has been
// rewritten. Its functions are exported twice.
func TestExceptions(t *testing.T) {
	state, err := rewrite.Decode(rewrite.ExceptionState(), rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Rewrite(options); err != nil {
		t.Fatal(err)
	}
	throwing := 0
	for _, wasm := range suiteModules(t, "exceptions") {
		m, err := rewrite.Decode(wasm, rewrite.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Throws() != slices.Contains(m.Features(), "exception-handling") {
			t.Errorf("throws is %t, features are %v", m.Throws(), m.Features())
		}
		if m.Throws() {
			throwing++
			if _, err := m.Rewrite(options); err == nil {
				t.Error("rewritten without a state of exceptions")
			}
		}
		options := options
		options.Exceptions = "exceptions"
		out, err := m.Rewrite(options)
		if err != nil {
			t.Fatal(err)
		}
		r, err := rewrite.Decode(out, rewrite.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Throws() {
			t.Error("a module that has been rewritten throws")
		}
		var want, got []string
		for _, ex := range m.Exports {
			want = append(want, ex.Name)
			if ex.Kind == rewrite.Func {
				want = append(want, rewrite.GuardedName(ex.Name))
			}
		}
		for _, ex := range r.Exports {
			got = append(got, ex.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("exports (-want +got):\n%s", diff)
		}
		options.Uncaught = rewrite.Name{}
		if _, err := m.Rewrite(options); err == nil {
			t.Error("rewritten without a function for uncaught exceptions")
		}
	}
	if throwing < 5 {
		t.Errorf("%d modules of the suite throw, want more", throwing)
	}
}

// Where exceptions are thrown, what calls cost the compiler counts, too.
func TestExceptionLimits(t *testing.T) {
	wasm := module(noTypes, oneFunc, body(0, 0x10, 0, 0x10, 0, 0x0b))
	m, err := rewrite.Decode(wasm, rewrite.Limits{Blocks: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Rewrite(options); err != nil {
		t.Error(err)
	}
	options := options
	options.Exceptions = "exceptions"
	if _, err := m.Rewrite(options); err == nil || !strings.Contains(err.Error(), "2 blocks, branches and calls") {
		t.Errorf("error is %v, want one about 2 blocks, branches and calls", err)
	}
}
