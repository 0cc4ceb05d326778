// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// scope holds the index spaces of one component instantiation, or of one
// component or instance type while it is evaluated.
type scope struct {
	parent   *scope // lexically enclosing
	instance int    // number of the component instance being made

	coreFuncs     []Ref
	coreTables    []Ref
	coreMemories  []Ref
	coreGlobals   []Ref
	coreTags      []Ref
	coreTypes     []*binary.CoreTypeDef
	coreModules   []*module
	coreInstances []coreInstance
	funcs         []*function
	types         []*typ
	components    []*component
	instances     []*instance
}

// module is a core module of the file or, where from is set, one that the host gives.
type module struct {
	decoded *rewrite.Module
	offset  int
	size    int // in bytes
	from    *Import
	typ     *binary.CoreModuleType // of one that the host gives
}

// coreInstance is an instantiated slot, or a bundle of exports of such.
type coreInstance struct {
	slot  int // where items is nil
	items map[string]Ref
	moved map[string]Ref // exports of slot that are in other slots
}

func (c coreInstance) item(name string) (Ref, bool) {
	if r, ok := c.moved[name]; ok {
		return r, true
	}
	if c.items == nil {
		return Ref{c.slot, name}, true
	}
	r, ok := c.items[name]
	return r, ok
}

// function is a component function.
type function struct {
	typ    *types.Func
	callee Callee
}

// typ is a component-level type: exactly one field is set.
type typ struct {
	value     *types.Type
	fn        *types.Func
	resource  *types.Resource
	instance  *closure
	component *closure
}

// closure is an instance or component type, evaluated anew for each use because
// the resources in it are: declarations and the scope they were written in.
type closure struct {
	decls []binary.Def
	scope *scope
}

// component is a component of the file and the scope it was defined in.
type component struct {
	def   *binary.Component
	scope *scope
}

// entity is what an import or export names: exactly one field is set.
type entity struct {
	fn        *function
	typ       *typ
	instance  *instance
	component *component
	module    *module
}

func (e entity) sort() string {
	switch {
	case e.fn != nil:
		return "function"
	case e.typ != nil:
		return "type"
	case e.instance != nil:
		return "instance"
	case e.component != nil:
		return "component"
	}
	return "core module"
}

// instance is a component instance: its exports, in order.
type instance struct {
	names   []string
	exports map[string]entity
}

func newInstance() *instance { return &instance{exports: map[string]entity{}} }

func (i *instance) add(name string, e entity) error {
	if _, ok := i.exports[name]; ok {
		return fmt.Errorf("export %q is defined twice", name)
	}
	i.names = append(i.names, name)
	i.exports[name] = e
	return nil
}

// index returns element i of an index space.
func index[T any](space []T, i uint32, what string) (T, error) {
	if uint64(i) >= uint64(len(space)) {
		var zero T
		return zero, fmt.Errorf("%s index %d out of bounds: %d are defined", what, i, len(space))
	}
	return space[i], nil
}

// outer returns the scope n levels out.
func (s *scope) outer(n uint32) (*scope, error) {
	for ; n > 0; n-- {
		if s = s.parent; s == nil {
			return nil, fmt.Errorf("alias reaches out of the outermost component")
		}
	}
	return s, nil
}

// entity looks a definition up by sort and index.
func (s *scope) entity(sort binary.Sort, i uint32) (e entity, err error) {
	switch sort {
	case binary.Func:
		e.fn, err = index(s.funcs, i, "function")
	case binary.Type:
		e.typ, err = index(s.types, i, "type")
	case binary.InstanceSort:
		e.instance, err = index(s.instances, i, "instance")
	case binary.ComponentSort:
		e.component, err = index(s.components, i, "component")
	case binary.CoreModuleSort:
		e.module, err = index(s.coreModules, i, "core module")
	default:
		err = fmt.Errorf("sort %d can't be imported or exported", sort)
	}
	return e, err
}

// define appends e to the index space of its sort.
func (s *scope) define(e entity) {
	switch {
	case e.fn != nil:
		s.funcs = append(s.funcs, e.fn)
	case e.typ != nil:
		s.types = append(s.types, e.typ)
	case e.instance != nil:
		s.instances = append(s.instances, e.instance)
	case e.component != nil:
		s.components = append(s.components, e.component)
	case e.module != nil:
		s.coreModules = append(s.coreModules, e.module)
	}
}

// coreSpace returns the index space of a core sort.
func (s *scope) coreSpace(sort binary.Sort) (*[]Ref, string, error) {
	switch sort {
	case binary.CoreFunc:
		return &s.coreFuncs, "core function", nil
	case binary.CoreTable:
		return &s.coreTables, "core table", nil
	case binary.CoreMemory:
		return &s.coreMemories, "core memory", nil
	case binary.CoreGlobal:
		return &s.coreGlobals, "core global", nil
	case binary.CoreTag:
		return &s.coreTags, "core tag", nil
	}
	return nil, "", fmt.Errorf("sort %d is no core definition", sort)
}
