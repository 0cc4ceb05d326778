// SPDX-License-Identifier: Apache-2.0

package types

import "fmt"

// Same reports, as an error that says where they differ, whether two value types
// are structurally equal. Resources must be identical.
func Same(got, want *Type) error { return (&Matcher{}).Value(got, want) }

// SameFunc is Same for function types; parameter names count.
func SameFunc(got, want *Func) error { return (&Matcher{}).Func(got, want) }

// Matcher compares types in which one side's resources stand for other ones: the
// type that a component imports, say, with the one that a host declares. The zero
// Matcher wants resources to be identical.
type Matcher struct {
	// Resource maps a resource of the wanted side to the one of the given side. Nil,
	// or a missing entry, means the resource itself.
	Resource map[*Resource]*Resource

	equal map[[2]*Type]bool // pairs found equal, so that shared types are compared once
}

// Func compares function types.
func (m *Matcher) Func(got, want *Func) error {
	if got.Async != want.Async {
		return fmt.Errorf("got %s function, want %s", asyncness(got), asyncness(want))
	}
	if len(got.Params) != len(want.Params) {
		return fmt.Errorf("got %d parameters, want %d", len(got.Params), len(want.Params))
	}
	if err := m.fields(got.Params, want.Params); err != nil {
		return fmt.Errorf("parameter %w", err)
	}
	if err := m.Value(got.Result, want.Result); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// Value compares value types; nil is no type, and equal to nil only.
func (m *Matcher) Value(got, want *Type) error {
	if got == nil || want == nil {
		if got == want {
			return nil
		}
		return fmt.Errorf("got %s, want %s", describe(got), describe(want))
	}
	pair := [2]*Type{got, want}
	if got == want && m.Resource == nil || m.equal[pair] {
		return nil
	}
	if got.Kind != want.Kind {
		return fmt.Errorf("got %v, want %v", got.Kind, want.Kind)
	}
	if got.Len != want.Len {
		return fmt.Errorf("%v: got length %d, want %d", got.Kind, got.Len, want.Len)
	}
	if len(got.Fields) != len(want.Fields) {
		return fmt.Errorf("%v: got %d parts, want %d", got.Kind, len(got.Fields), len(want.Fields))
	}
	if err := m.fields(got.Fields, want.Fields); err != nil {
		return fmt.Errorf("%v: %w", got.Kind, err)
	}
	if err := m.Value(got.Elem, want.Elem); err != nil {
		return fmt.Errorf("%v: %w", got.Kind, err)
	}
	if err := m.Value(got.Err, want.Err); err != nil {
		return fmt.Errorf("%v: error: %w", got.Kind, err)
	}
	if w := want.Resource; w != nil {
		if r, ok := m.Resource[w]; ok {
			w = r
		}
		if got.Resource != w {
			return fmt.Errorf("%v: resource types differ: got %s, want %s", got.Kind, got.Resource.Name, want.Resource.Name)
		}
	}
	if m.equal == nil {
		m.equal = map[[2]*Type]bool{}
	}
	m.equal[pair] = true
	return nil
}

func (m *Matcher) fields(got, want []Field) error {
	for i := range got {
		if got[i].Name != want[i].Name {
			return fmt.Errorf("%d: got name %q, want %q", i, got[i].Name, want[i].Name)
		}
		if err := m.Value(got[i].Type, want[i].Type); err != nil {
			return fmt.Errorf("%q: %w", want[i].Name, err)
		}
	}
	return nil
}

func describe(t *Type) string {
	if t == nil {
		return "none"
	}
	return t.Kind.String()
}

func asyncness(f *Func) string {
	if f.Async {
		return "an async"
	}
	return "a sync"
}
