// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
)

var errWork = fmt.Errorf("the types of the component are too large to compare: %w", ErrLimit)

// match checks that something of type got may stand where want is wanted.
func (v *validator) match(got, want entity) error {
	if !v.spend(1) {
		return errWork
	}
	if got.sort != want.sort {
		return fmt.Errorf("got a %v, want a %v", got.sort, want.sort)
	}
	switch want.sort {
	case binary.Func:
		return v.matchFunc(got.fn, want.fn)
	case binary.Type:
		return v.matchType(got.of, want.of)
	case binary.InstanceSort:
		return v.matchInstance(got.instance, want.instance)
	case binary.ComponentSort:
		return v.matchComponent(got.component, want.component)
	}
	return v.matchModule(got.module, want.module)
}

func (v *validator) matchType(got, want anyType) error {
	switch got := got.(type) {
	case *valType:
		if want, ok := want.(*valType); ok {
			return v.matchValue(got, want)
		}
	case *funcType:
		if want, ok := want.(*funcType); ok {
			return v.matchFunc(got, want)
		}
	case *resource:
		if want, ok := want.(*resource); ok {
			if got.id != want.id {
				return errResource
			}
			return nil
		}
	case *instanceType:
		if want, ok := want.(*instanceType); ok {
			return v.matchInstance(got, want)
		}
	case *componentType:
		if want, ok := want.(*componentType); ok {
			return v.matchComponent(got, want)
		}
	}
	return fmt.Errorf("got a %s, want a %s", got.described(), want.described())
}

var errResource = errors.New("the resource types differ")

// matchFunc checks that function types are equal, names of parameters included.
func (v *validator) matchFunc(got, want *funcType) error {
	switch {
	case got == want:
		return nil
	case got.async != want.async:
		return fmt.Errorf("got async = %t, want %t", got.async, want.async)
	case len(got.params) != len(want.params):
		return fmt.Errorf("got %d parameters, want %d", len(got.params), len(want.params))
	}
	if err := v.matchFields(got.params, want.params); err != nil {
		return fmt.Errorf("parameter %w", err)
	}
	if err := v.matchValue(got.result, want.result); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// matchValue checks that value types are equal; nil is no type.
func (v *validator) matchValue(got, want *valType) error {
	switch {
	case got == want:
		return nil
	case got == nil || want == nil:
		return fmt.Errorf("got %s, want %s", orNone(got), orNone(want))
	case !v.spend(1):
		return errWork
	case got.kind != want.kind:
		return fmt.Errorf("got %v, want %v", got.kind, want.kind)
	case got.length != want.length:
		return fmt.Errorf("%v: got length %d, want %d", got.kind, got.length, want.length)
	case len(got.fields) != len(want.fields):
		return fmt.Errorf("%v: got %d parts, want %d", got.kind, len(got.fields), len(want.fields))
	case got.resource != nil && got.resource.id != want.resource.id:
		return fmt.Errorf("%v: %w", got.kind, errResource)
	}
	if err := v.matchFields(got.fields, want.fields); err != nil {
		return fmt.Errorf("%v: %w", got.kind, err)
	}
	if err := v.matchValue(got.elem, want.elem); err != nil {
		return fmt.Errorf("%v: %w", got.kind, err)
	}
	if err := v.matchValue(got.err, want.err); err != nil {
		return fmt.Errorf("%v: error: %w", got.kind, err)
	}
	return nil
}

func orNone(t *valType) string {
	if t == nil {
		return "none"
	}
	return t.kind.String()
}

func (v *validator) matchFields(got, want []field) error {
	for i := range got {
		if got[i].name != want[i].name {
			return fmt.Errorf("%d: got name %q, want %q", i, got[i].name, want[i].name)
		}
		if err := v.matchValue(got[i].typ, want[i].typ); err != nil {
			return fmt.Errorf("%d %q: %w", i, got[i].name, err)
		}
	}
	return nil
}

// matchInstance checks that an instance exports all that is wanted; it may export
// more.
func (v *validator) matchInstance(got, want *instanceType) error {
	if got == want {
		return nil
	}
	return v.matchExterns(&got.exports, want.exports.list)
}

func (v *validator) matchExterns(got *externs, want []extern) error {
	for _, w := range want {
		g, ok := got.find(w.name)
		if !ok {
			return fmt.Errorf("%q is missing", w.name)
		}
		if err := v.match(g, w.entity); err != nil {
			return fmt.Errorf("%q: %w", w.name, err)
		}
	}
	return nil
}

// matchComponent checks that a component can be used as one of another type: what
// the other type imports must be enough for it, and what it then exports enough for
// the other type.
func (v *validator) matchComponent(got, want *componentType) error {
	if got == want {
		return nil
	}
	m, err := v.open(&want.imports, &got.imports, got.imported)
	if err != nil {
		return fmt.Errorf("import %w", err)
	}
	m.types = map[anyType]anyType{}
	exports := m.externs(&got.exports)
	if _, err := v.open(&exports, &want.exports, want.defined); err != nil {
		return fmt.Errorf("export %w", err)
	}
	return nil
}

// open checks that given has all that is wanted, where the resources of want stand
// for whatever given has in their place, and returns the substitution that puts what
// was given in the place of what was wanted.
func (v *validator) open(given, wanted *externs, resources []resourcePath) (*subst, error) {
	m := newSubst(v)
	for _, p := range resources {
		if r := follow(wanted, given, p.path); r != nil {
			m.resources[p.id] = r.id
		}
	}
	if err := v.matchExterns(given, m.externs(wanted).list); err != nil {
		return nil, err
	}
	m.types = map[anyType]anyType{}
	for _, w := range wanted.list {
		g, _ := given.find(w.name)
		m.rename(w.entity, g)
	}
	return m, nil
}
