// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// entity is the type of what an import or export names: the field of its sort is
// set.
type entity struct {
	sort      binary.Sort
	module    *moduleType
	fn        *funcType
	typ       anyType // the name that the import or export gives it
	of        anyType // the type that typ names anew; typ itself for a new resource
	instance  *instanceType
	component *componentType
}

func (e entity) measure() extent {
	switch e.sort {
	case binary.Func:
		return e.fn.extent
	case binary.Type:
		return e.typ.measure()
	case binary.InstanceSort:
		return e.instance.measure()
	case binary.ComponentSort:
		return e.component.extent
	}
	return extent{e.module.weight, 1}
}

// externs are imports or exports, in order.
type externs struct {
	list  []extern
	at    map[string]int
	parts extent // of the list
}

// measure returns the extent of a type that has these externs.
func (x *externs) measure() extent { return extent{x.parts.weight + 1, max(x.parts.depth, 1)} }

type extern struct {
	name string
	entity
}

func (x *externs) add(name string, e entity) error {
	if _, ok := x.at[name]; ok {
		return errors.New("another one has that name already")
	}
	if x.at == nil {
		x.at = map[string]int{}
	}
	x.at[name] = len(x.list)
	x.list = append(x.list, extern{name, e})
	x.parts = x.parts.with(e.measure())
	return x.measure().check()
}

func (x *externs) find(name string) (entity, bool) {
	i, ok := x.at[name]
	if !ok {
		return entity{}, false
	}
	return x.list[i].entity, true
}

// with returns the externs with other types under the same names.
func (x *externs) with(list []extern) externs {
	y := externs{list: list, at: x.at}
	for _, e := range list {
		y.parts = y.parts.with(e.measure())
	}
	return y
}

// direction tells imports from exports.
type direction uint8

const (
	importing direction = iota
	exporting
)

func (d direction) String() string {
	if d == importing {
		return "import"
	}
	return "export"
}

func (v *validator) importDef(s *scope, d *binary.Import) error {
	e, err := v.declared(s, d.Type)
	if err == nil {
		err = v.extern(s, importing, d.ExternName, e)
	}
	if err != nil {
		return fmt.Errorf("import %q: %w", d.Name, err)
	}
	return nil
}

func (v *validator) exportDecl(s *scope, d *binary.ExportDecl) error {
	e, err := v.declared(s, d.Type)
	if err == nil {
		err = v.extern(s, exporting, d.ExternName, e)
	}
	if err != nil {
		return fmt.Errorf("export %q: %w", d.Name, err)
	}
	return nil
}

func (v *validator) exportDef(s *scope, d *binary.Export) error {
	e, err := s.entity(d.Sort, d.Index)
	if err == nil && e.sort == binary.Type {
		e.typ = e.of.renamed()
	}
	if err == nil && d.Type != nil {
		e, err = v.ascribe(s, e, *d.Type)
	}
	if err == nil {
		err = v.extern(s, exporting, d.ExternName, e)
	}
	if err != nil {
		return fmt.Errorf("export %q: %w", d.Name, err)
	}
	return nil
}

// ascribe checks that actual may be exported as what is declared, and returns the
// type it has from then on. Resources that the declaration leaves abstract become
// new ones.
func (v *validator) ascribe(s *scope, actual entity, d binary.ExternType) (entity, error) {
	want, err := v.declared(s, d)
	if err != nil {
		return want, err
	}
	if want.sort == actual.sort {
		m := newSubst(v)
		switch {
		case d.SubResource:
			if r, ok := actual.typ.(*resource); ok {
				m.resources[want.typ.(*resource).id] = r.id
			}
		case want.sort == binary.InstanceSort:
			for _, p := range v.paths(&want.instance.exports, want.instance.defined) {
				if r := follow(&want.instance.exports, &actual.instance.exports, p.path); r != nil {
					m.resources[p.id] = r.id
				}
			}
		}
		if err := v.match(actual, m.entity(want)); err != nil {
			return want, fmt.Errorf("ascribed type: %w", err)
		}
		return want, nil
	}
	return want, fmt.Errorf("ascribed type: got a %v, want a %v", actual.sort, want.sort)
}

// declared returns the type that an import, an export declaration or an ascription
// names.
func (v *validator) declared(s *scope, d binary.ExternType) (e entity, err error) {
	e.sort = d.Sort
	if d.SubResource {
		r := &resource{v.newResource()}
		e.typ, e.of = r, r
		return e, nil
	}
	if d.Sort == binary.CoreModuleSort {
		t, err := index(s.coreTypes, d.Index, "core type")
		if err != nil {
			return e, err
		}
		if t.Module == nil {
			return e, fmt.Errorf("core type %d is not a module type", d.Index)
		}
		e.module, err = v.moduleTypeOf(t.Module)
		return e, err
	}
	t, err := index(s.types, d.Index, "type")
	if err != nil {
		return e, err
	}
	ok := true
	switch d.Sort {
	case binary.Func:
		e.fn, ok = t.(*funcType)
	case binary.InstanceSort:
		e.instance, ok = t.(*instanceType)
	case binary.ComponentSort:
		e.component, ok = t.(*componentType)
	case binary.Type:
		e.typ, e.of = t.renamed(), t
	}
	if !ok {
		return e, fmt.Errorf("type %d is a %s, want the type of a %v", d.Index, t.described(), d.Sort)
	}
	return e, nil
}

// entity looks a definition up by sort and index.
func (s *scope) entity(sort binary.Sort, i uint32) (e entity, err error) {
	e.sort = sort
	switch sort {
	case binary.Func:
		e.fn, err = index(s.funcs, i, "function")
	case binary.Type:
		e.of, err = index(s.types, i, "type")
		e.typ = e.of
	case binary.InstanceSort:
		e.instance, err = index(s.instances, i, "instance")
	case binary.ComponentSort:
		e.component, err = index(s.components, i, "component")
	case binary.CoreModuleSort:
		e.module, err = index(s.coreModules, i, "core module")
	default:
		err = fmt.Errorf("a %v can't be imported or exported", sort)
	}
	return e, err
}

// extern adds an import or export to the scope: to its names and, since an export
// is a definition as well, to the index space of its sort.
func (v *validator) extern(s *scope, dir direction, name binary.ExternName, e entity) error {
	if e.sort == binary.InstanceSort {
		e.instance = v.fresh(s, dir, e.instance)
	}
	if r, ok := e.typ.(*resource); ok && e.typ == e.of {
		if dir == importing {
			s.imported = append(s.imported, resourcePath{r.id, []int{len(s.imports.list)}})
		} else {
			s.define(r.id)
		}
	}
	s.add(e)
	if err := v.nameTypes(s, dir, name.Name, e); err != nil {
		return err
	}
	return v.externName(s, dir, name, e)
}

// add appends e to the index space of its sort.
func (s *scope) add(e entity) {
	switch e.sort {
	case binary.Func:
		s.funcs = append(s.funcs, e.fn)
	case binary.Type:
		s.types = append(s.types, e.typ)
	case binary.InstanceSort:
		s.instances = append(s.instances, e.instance)
	case binary.ComponentSort:
		s.components = append(s.components, e.component)
	case binary.CoreModuleSort:
		s.coreModules = append(s.coreModules, e.module)
	}
}

// fresh returns the type of an instance that is imported, or declared to be
// exported, as being of type t: the resources that every instance of t has of its
// own become resources of the scope.
func (v *validator) fresh(s *scope, dir direction, t *instanceType) *instanceType {
	if len(t.defined) == 0 {
		return t
	}
	m := newSubst(v)
	for _, p := range v.paths(&t.exports, t.defined) {
		id := v.newResource()
		m.resources[p.id] = id
		if dir == importing {
			path := append([]int{len(s.imports.list)}, p.path...)
			s.imported = append(s.imported, resourcePath{id, path})
		} else {
			s.define(id)
		}
	}
	return &instanceType{exports: m.externs(&t.exports)}
}

var errUnnamed = errors.New("mentions a type that is not itself imported or exported before")

// nameTypes checks that e mentions no types but those that have an external name
// already, and registers the ones that it names.
func (v *validator) nameTypes(s *scope, dir direction, name string, e entity) error {
	if r, ok := e.typ.(*resource); ok && name != "" {
		names := &s.importNames
		if dir == exporting {
			names = &s.exportNames
		}
		names.add(name, r)
	}
	if s.kind == ofInstanceType {
		return nil // checked where the instance type is used
	}
	if s.importedTypes == nil {
		s.importedTypes, s.exportedTypes = map[anyType]bool{}, map[anyType]bool{}
	}
	set := named{v, s.importedTypes, map[anyType]bool{}}
	if dir == exporting {
		set.scope = s.exportedTypes
	}
	switch e.sort {
	case binary.Func:
		if !set.parts(e.fn) {
			return errUnnamed
		}
	case binary.InstanceSort:
		for _, x := range e.instance.exports.list {
			if err := v.nameTypes(s, dir, "", x.entity); err != nil {
				return fmt.Errorf("%q: %w", x.name, err)
			}
		}
	case binary.Type:
		if dir == importing && s.exportedTypes[e.of] && !s.importedTypes[e.of] {
			return errors.New("is a type by a name that only an export gave it")
		}
		if !set.parts(e.of) {
			return errUnnamed
		}
		// What is imported may be mentioned by exports, too.
		s.exportedTypes[e.typ] = true
		if dir == importing {
			s.importedTypes[e.typ] = true
		}
	}
	return nil
}

// named tells whether types have external names: those of the scope and, within
// instance types, those that they export.
type named struct {
	v             *validator
	scope, within map[anyType]bool
}

func (n *named) has(t anyType) bool { return n.scope[t] || n.within[t] }

// parts reports whether all types that t is made of are named; t itself need not be.
func (n *named) parts(t anyType) bool {
	if !n.v.spend(1) {
		return true
	}
	switch t := t.(type) {
	case *funcType:
		return n.fields(t.params) && n.value(t.result)
	case *valType:
		if t.resource != nil && !n.has(t.resource) {
			return false
		}
		return n.fields(t.fields) && n.value(t.elem) && n.value(t.err)
	case *instanceType:
		return n.instance(t)
	}
	return true
}

// instance reports whether the exports of an instance type mention only types that
// are named, or that it names itself.
func (n *named) instance(t *instanceType) bool {
	var added []anyType
	defer func() {
		for _, t := range added {
			delete(n.within, t)
		}
	}()
	for _, x := range t.exports.list {
		switch x.sort {
		case binary.Func:
			if !n.parts(x.fn) {
				return false
			}
		case binary.Type:
			if !n.parts(x.typ) {
				return false
			}
			if !n.within[x.typ] {
				n.within[x.typ] = true
				added = append(added, x.typ)
			}
		case binary.InstanceSort:
			if !n.instance(x.instance) {
				return false
			}
		}
	}
	return true
}

func (n *named) fields(fields []field) bool {
	for _, f := range fields {
		if !n.value(f.typ) {
			return false
		}
	}
	return true
}

// value reports whether t, used as a part, is named or need not be: types without
// field or case names need only be made of named types.
func (n *named) value(t *valType) bool {
	if t == nil || t.kind.Primitive() {
		return true
	}
	switch t.kind {
	case types.Record, types.Variant, types.Enum, types.Flags:
		return n.has(t)
	}
	return n.parts(t)
}

// close ends a component or component type and returns its type.
func (v *validator) close(s *scope) (*componentType, error) {
	t := &componentType{imports: s.imports, exports: s.exports, imported: s.imported}
	in, out := t.imports.measure(), t.exports.measure()
	t.extent = extent{in.weight + out.weight, max(in.depth, out.depth)}
	if err := t.extent.check(); err != nil {
		return nil, err
	}
	own := make(map[resourceID]bool, len(s.defined))
	for _, id := range s.defined {
		own[id] = true
	}
	free := v.freeIn(&s.imports)
	for id := range free {
		if own[id] {
			return nil, errors.New("an import mentions a resource that the component defines")
		}
	}
	free = v.freeIn(&s.exports)
	var used []resourceID
	for _, id := range s.defined {
		if free[id] {
			used = append(used, id)
		}
	}
	t.defined = v.paths(&s.exports, used)
	if len(t.defined) != len(used) {
		return nil, errors.New("an export mentions a resource that the component defines and does not export")
	}
	return t, nil
}
