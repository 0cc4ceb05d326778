// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
)

func (v *validator) instance(s *scope, d *binary.Instance) error {
	var t *instanceType
	var err error
	if d.Instantiate {
		t, err = v.instantiate(s, d)
	} else {
		t, err = v.inline(s, d)
	}
	if err != nil {
		return fmt.Errorf("instance %d: %w", len(s.instances), err)
	}
	s.instances = append(s.instances, t)
	return nil
}

// inline makes an instance of definitions.
func (v *validator) inline(s *scope, d *binary.Instance) (*instanceType, error) {
	// The names of an instance have rules of their own, as those of a scope have.
	names := &scope{}
	for _, e := range d.Exports {
		ent, err := s.entity(e.Sort, e.Index)
		if err == nil {
			err = v.externName(names, exporting, e.ExternName, ent)
		}
		if err != nil {
			return nil, fmt.Errorf("export %q: %w", e.Name, err)
		}
	}
	return &instanceType{exports: names.exports}, nil
}

func (v *validator) instantiate(s *scope, d *binary.Instance) (*instanceType, error) {
	c, err := index(s.components, d.Component, "component")
	if err != nil {
		return nil, err
	}
	var args externs
	for _, a := range d.Args {
		e, err := s.entity(a.Sort, a.Index)
		if err == nil {
			err = args.add(a.Name, e)
		}
		if err != nil {
			return nil, fmt.Errorf("argument %q: %w", a.Name, err)
		}
	}
	m, err := v.open(&args, &c.imports, c.imported)
	if err != nil {
		return nil, fmt.Errorf("argument %w", err)
	}
	for _, p := range c.defined {
		id := v.newResource()
		m.resources[p.id] = id
		s.define(id)
	}
	t := &instanceType{exports: m.externs(&c.exports)}
	return t, t.measure().check()
}

func (v *validator) alias(s *scope, d *binary.Alias) error {
	var err error
	switch {
	case d.Target == binary.AliasExport:
		err = v.aliasExport(s, d)
	case d.Target == binary.AliasCoreExport:
		err = v.aliasCoreExport(s, d)
	default:
		err = v.aliasOuter(s, d)
	}
	if err != nil {
		return fmt.Errorf("alias: %w", err)
	}
	return nil
}

func (v *validator) aliasExport(s *scope, d *binary.Alias) error {
	if s.kind != ofComponent && d.Sort != binary.Type && d.Sort != binary.InstanceSort {
		return fmt.Errorf("%v can't alias a %v", s.kind, d.Sort)
	}
	inst, err := index(s.instances, d.Instance, "instance")
	if err != nil {
		return err
	}
	e, ok := inst.exports.find(d.Name)
	if !ok {
		return fmt.Errorf("instance %d has no export %q", d.Instance, d.Name)
	}
	if e.sort != d.Sort {
		return fmt.Errorf("export %q of instance %d is a %v, want a %v", d.Name, d.Instance, e.sort, d.Sort)
	}
	s.add(e)
	return nil
}

func (v *validator) aliasCoreExport(s *scope, d *binary.Alias) error {
	if s.kind != ofComponent {
		return fmt.Errorf("%v can't alias a %v", s.kind, d.Sort)
	}
	inst, err := index(s.coreInstances, d.Instance, "core instance")
	if err != nil {
		return err
	}
	t, ok := inst[d.Name]
	if !ok {
		return fmt.Errorf("core instance %d has no export %q", d.Instance, d.Name)
	}
	if t.Sort != d.Sort {
		return fmt.Errorf("export %q of core instance %d is a %v, want a %v", d.Name, d.Instance, t.Sort, d.Sort)
	}
	s.addCore(t)
	return nil
}

func (v *validator) aliasOuter(s *scope, d *binary.Alias) error {
	if s.kind != ofComponent && d.Sort != binary.Type && d.Sort != binary.CoreType {
		return fmt.Errorf("%v can't alias a %v", s.kind, d.Sort)
	}
	out, within, err := s.enclosing(d.Outer)
	if err != nil {
		return err
	}
	if d.Sort == binary.CoreType {
		t, err := index(out.coreTypes, d.Index, "core type")
		s.coreTypes = append(s.coreTypes, t)
		return err
	}
	e, err := out.entity(d.Sort, d.Index)
	if err != nil {
		return err
	}
	// A component must make sense wherever it is taken: it may use types from around
	// it, but no resource.
	if d.Sort == binary.Type && within != nil && within.kind == ofComponent && !v.isClosed(e.typ) {
		return errors.New("the type mentions a resource that is defined outside of the component")
	}
	s.add(e)
	return nil
}
