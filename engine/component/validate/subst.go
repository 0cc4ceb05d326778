// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"slices"

	"github.com/wasm-graph/graphd/engine/component/binary"
)

// subst puts resource types in place of others, and names of types in place of
// others. What nothing changes in stays the same, and keeps its name.
type subst struct {
	v         *validator
	resources map[resourceID]resourceID
	types     map[anyType]anyType // given, and found so far
}

func newSubst(v *validator) *subst {
	return &subst{v, map[resourceID]resourceID{}, map[anyType]anyType{}}
}

func (m *subst) id(id resourceID) resourceID {
	if to, ok := m.resources[id]; ok {
		return to
	}
	return id
}

// known returns what t becomes, if that is known; it is t itself once there was too
// much work.
func (m *subst) known(t anyType) (anyType, bool) {
	if to, ok := m.types[t]; ok {
		return to, true
	}
	return t, !m.v.spend(1)
}

func (m *subst) any(t anyType) anyType {
	switch t := t.(type) {
	case *valType:
		return m.value(t)
	case *funcType:
		return m.fn(t)
	case *resource:
		return m.resource(t)
	case *instanceType:
		return m.instance(t)
	case *componentType:
		return m.component(t)
	}
	return t
}

func (m *subst) resource(t *resource) *resource {
	if to, ok := m.known(t); ok {
		return to.(*resource)
	}
	to := t
	if id := m.id(t.id); id != t.id {
		to = &resource{id}
	}
	m.types[t] = to
	return to
}

func (m *subst) value(t *valType) *valType {
	if t == nil {
		return nil
	}
	if to, ok := m.known(t); ok {
		return to.(*valType)
	}
	to := *t
	to.fields = m.fields(t.fields)
	to.elem, to.err = m.value(t.elem), m.value(t.err)
	changed := to.elem != t.elem || to.err != t.err || !slices.Equal(to.fields, t.fields)
	if t.resource != nil {
		to.resource = m.resource(t.resource)
		changed = changed || to.resource != t.resource
	}
	result := t
	if changed {
		result = &to
	}
	m.types[t] = result
	return result
}

func (m *subst) fields(in []field) []field {
	out := slices.Clone(in)
	for i := range out {
		out[i].typ = m.value(out[i].typ)
	}
	return out
}

func (m *subst) fn(t *funcType) *funcType {
	if to, ok := m.known(t); ok {
		return to.(*funcType)
	}
	to := *t
	to.params, to.result = m.fields(t.params), m.value(t.result)
	result := t
	if to.result != t.result || !slices.Equal(to.params, t.params) {
		result = &to
	}
	m.types[t] = result
	return result
}

func (m *subst) instance(t *instanceType) *instanceType {
	if to, ok := m.known(t); ok {
		return to.(*instanceType)
	}
	to := &instanceType{exports: m.externs(&t.exports), defined: t.defined}
	if slices.Equal(to.exports.list, t.exports.list) {
		to = t
	}
	m.types[t] = to
	return to
}

// component substitutes within a component type. Its own resources are in nobody
// else's types, so none of them is ever replaced.
func (m *subst) component(t *componentType) *componentType {
	if to, ok := m.known(t); ok {
		return to.(*componentType)
	}
	to := *t
	to.imports, to.exports = m.externs(&t.imports), m.externs(&t.exports)
	result := t
	if !slices.Equal(to.imports.list, t.imports.list) || !slices.Equal(to.exports.list, t.exports.list) {
		result = &to
	}
	m.types[t] = result
	return result
}

func (m *subst) externs(x *externs) externs {
	list := slices.Clone(x.list)
	for i := range list {
		list[i].entity = m.entity(list[i].entity)
	}
	return x.with(list)
}

func (m *subst) entity(e entity) entity {
	m.v.spend(1)
	switch e.sort {
	case binary.Func:
		e.fn = m.fn(e.fn)
	case binary.Type:
		of := m.any(e.of)
		if e.typ == e.of {
			e.typ = of
		} else {
			e.typ = m.any(e.typ)
		}
		e.of = of
	case binary.InstanceSort:
		e.instance = m.instance(e.instance)
	case binary.ComponentSort:
		e.component = m.component(e.component)
	}
	return e
}

// rename makes the names that want gives to types those that got, which has been
// found to match, gives to them.
func (m *subst) rename(want, got entity) {
	if !m.v.spend(1) {
		return
	}
	switch {
	case want.sort != got.sort:
	case want.sort == binary.Type:
		m.types[want.typ] = got.typ
	case want.sort == binary.InstanceSort:
		for _, x := range want.instance.exports.list {
			if e, ok := got.instance.exports.find(x.name); ok {
				m.rename(x.entity, e)
			}
		}
	}
}

// paths finds where resources are exported, in the order of ids; those that are not
// exported are left out.
func (v *validator) paths(x *externs, ids []resourceID) []resourcePath {
	if len(ids) == 0 {
		return nil
	}
	found := make(map[resourceID][]int, len(ids))
	wanted := make(map[resourceID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	seen := map[*instanceType]bool{}
	var path []int
	var walk func(x *externs)
	walk = func(x *externs) {
		for i, e := range x.list {
			if len(wanted) == 0 || !v.spend(1) {
				return
			}
			path = append(path, i)
			if r, ok := e.typ.(*resource); ok && wanted[r.id] {
				delete(wanted, r.id)
				found[r.id] = slices.Clone(path)
			} else if e.sort == binary.InstanceSort && !seen[e.instance] {
				seen[e.instance] = true
				walk(&e.instance.exports)
			}
			path = path[:len(path)-1]
		}
	}
	walk(x)
	out := make([]resourcePath, 0, len(found))
	for _, id := range ids {
		if p, ok := found[id]; ok {
			out = append(out, resourcePath{id, p})
		}
	}
	return out
}

// follow returns the resource that got has where path leads in want; nil where got
// differs so much that there is none.
func follow(want, got *externs, path []int) *resource {
	for n, i := range path {
		step := want.list[i]
		e, ok := got.find(step.name)
		switch {
		case !ok:
			return nil
		case n == len(path)-1:
			r, _ := e.typ.(*resource)
			return r
		case e.sort != binary.InstanceSort:
			return nil
		}
		want, got = &step.instance.exports, &e.instance.exports
	}
	return nil
}

// freeIn returns the resources that externs mention and that belong to something
// around them.
func (v *validator) freeIn(x *externs) map[resourceID]bool {
	f := &free{v, map[anyType]bool{}, map[resourceID]bool{}}
	f.externs(x)
	return f.ids
}

// isClosed reports whether t mentions no resource that it doesn't declare itself.
func (v *validator) isClosed(t anyType) bool {
	f := &free{v, map[anyType]bool{}, map[resourceID]bool{}}
	f.any(t)
	return len(f.ids) == 0
}

// free collects the free resources of types.
type free struct {
	v    *validator
	seen map[anyType]bool
	ids  map[resourceID]bool
}

func (f *free) any(t anyType) {
	if f.seen[t] || !f.v.spend(1) {
		return
	}
	f.seen[t] = true
	switch t := t.(type) {
	case *valType:
		if t.resource != nil {
			f.ids[t.resource.id] = true
		}
		f.fields(t.fields)
		f.value(t.elem)
		f.value(t.err)
	case *funcType:
		f.fields(t.params)
		f.value(t.result)
	case *resource:
		f.ids[t.id] = true
	case *instanceType:
		f.externs(&t.exports)
		for _, id := range t.defined {
			delete(f.ids, id)
		}
	case *componentType:
		f.externs(&t.imports)
		f.externs(&t.exports)
		for _, p := range slices.Concat(t.imported, t.defined) {
			delete(f.ids, p.id)
		}
	}
}

func (f *free) value(t *valType) {
	if t != nil {
		f.any(t)
	}
}

func (f *free) fields(fields []field) {
	for _, x := range fields {
		f.value(x.typ)
	}
}

func (f *free) externs(x *externs) {
	for _, e := range x.list {
		switch e.sort {
		case binary.Func:
			f.any(e.fn)
		case binary.Type:
			f.any(e.typ)
		case binary.InstanceSort:
			f.any(e.instance)
		case binary.ComponentSort:
			f.any(e.component)
		}
	}
}
