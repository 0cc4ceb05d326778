// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// Union returns a world that imports and exports what any of the given ones does.
// Of externs with one name it takes the first, so the worlds should come from one
// set of packages, in which a name has one meaning. With Options.Subset it is the
// world for a module that may implement any of them.
func Union(worlds ...*types.Component) *types.Component {
	u := &types.Component{}
	for _, w := range worlds {
		for _, x := range w.Imports {
			if types.Find(u.Imports, x.Name) == nil {
				u.Imports = append(u.Imports, x)
			}
		}
		for _, x := range w.Exports {
			if types.Find(u.Exports, x.Name) == nil {
				u.Exports = append(u.Exports, x)
			}
		}
	}
	return u
}

// world is what a component is made to fit: the imports it may have and the
// exports it will have, and where every named type is at home.
type world struct {
	imports []*types.Extern
	exports []*types.Extern
	// home holds, by *types.Type or *types.Resource, the import or export that
	// declares a named type first. Every other mention is an alias of that one.
	home map[any]place
}

// place is where a named type is at home: an import or export of the world, which
// is an instance that exports the type under name, or is the type itself.
type place struct {
	outer    *types.Extern
	name     string
	exported bool // outer is an export of the world
}

// key is a type's identity: two externs name the same type if their keys are equal.
func key(e *types.Extern) any {
	if e.Resource != nil {
		return e.Resource
	}
	return e.Type
}

// newWorld checks w and finds the homes of its types. Interfaces in extra that w
// imports already are merged into it: their types become those of w.
func newWorld(w *types.Component, extra []types.Extern) (*world, error) {
	r := &world{home: map[any]place{}}
	if w == nil {
		return nil, errors.New("no world")
	}
	c := &checker{state: map[*types.Type]bool{}}
	for _, side := range [][]types.Extern{w.Imports, w.Exports, extra} {
		if err := c.externs(side); err != nil {
			return nil, err
		}
	}
	for i := range w.Imports {
		r.addImport(&w.Imports[i])
	}
	for i := range extra {
		r.addImport(&extra[i])
	}
	for i := range w.Exports {
		e := &w.Exports[i]
		r.exports = append(r.exports, e)
		switch e.Sort {
		case types.SortInstance:
			r.settle(e, e, true)
		case types.SortType:
			if _, ok := r.home[key(e)]; ok {
				break
			}
			if e.Resource != nil {
				return nil, fmt.Errorf("export %q: a resource of the world itself is not supported, only one of an interface", e.Name)
			}
			r.home[e.Type] = place{e, e.Name, true}
		}
	}
	if err := r.sortExports(); err != nil {
		return nil, err
	}
	for _, m := range c.resources {
		if _, ok := r.home[m]; !ok {
			return nil, fmt.Errorf("world: resource %q belongs to none of the world's interfaces", m.Name)
		}
	}
	return r, nil
}

func (w *world) addImport(e *types.Extern) {
	if have := w.findImport(e.Name); have != nil {
		if have.Sort == types.SortInstance && e.Sort == types.SortInstance {
			w.settle(have, e, false)
		}
		return
	}
	w.imports = append(w.imports, e)
	switch e.Sort {
	case types.SortInstance:
		w.settle(e, e, false)
	case types.SortType:
		if _, ok := w.home[key(e)]; !ok {
			w.home[key(e)] = place{e, e.Name, false}
		}
	}
}

// sortExports puts an export after those that the types which it mentions are at
// home in, and otherwise leaves the order as it is.
func (w *world) sortExports() error {
	sorted := make([]*types.Extern, 0, len(w.exports))
	state := map[*types.Extern]int{} // 1 while what it needs is visited, then 2
	var err error
	var visit func(x *types.Extern)
	var mention func(user *types.Extern, t *types.Type)
	need := func(user *types.Extern, key any) bool {
		home, ok := w.home[key]
		if ok && home.exported && home.outer != user {
			visit(home.outer)
		}
		return ok && home.outer != user
	}
	mention = func(user *types.Extern, t *types.Type) {
		if t == nil || need(user, t) {
			return
		}
		for _, f := range t.Fields {
			mention(user, f.Type)
		}
		mention(user, t.Elem)
		mention(user, t.Err)
		if t.Resource != nil {
			need(user, t.Resource)
		}
	}
	one := func(user, x *types.Extern) {
		switch {
		case x.Func != nil:
			for _, p := range x.Func.Params {
				mention(user, p.Type)
			}
			mention(user, x.Func.Result)
		case x.Resource != nil:
			need(user, x.Resource)
		case x.Type != nil:
			mention(user, x.Type)
		}
	}
	visit = func(x *types.Extern) {
		switch state[x] {
		case 1:
			if err == nil {
				err = fmt.Errorf("export %q uses types of itself through another export", x.Name)
			}
			return
		case 2:
			return
		}
		state[x] = 1
		if x.Instance != nil {
			for i := range x.Instance.Exports {
				one(x, &x.Instance.Exports[i])
			}
		} else {
			one(x, x)
		}
		state[x] = 2
		sorted = append(sorted, x)
	}
	for _, x := range w.exports {
		visit(x)
	}
	w.exports = sorted
	return err
}

// settle gives the types that from declares and nobody did before a home in e.
func (w *world) settle(e, from *types.Extern, exported bool) {
	for i := range from.Instance.Exports {
		t := &from.Instance.Exports[i]
		if t.Sort != types.SortType {
			continue
		}
		if _, ok := w.home[key(t)]; !ok {
			w.home[key(t)] = place{e, t.Name, exported}
		}
	}
}

func (w *world) findImport(name string) *types.Extern {
	for _, e := range w.imports {
		if e.Name == name {
			return e
		}
	}
	return nil
}

func (w *world) findExport(name string) *types.Extern {
	for _, e := range w.exports {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// function finds the function that a core import names: a function of an
// imported instance, or of the world itself under rootModule. It returns the
// import that has it, and nil twice if there is none.
func (w *world) function(module, name string) (*types.Extern, *types.Func) {
	if module == rootModule {
		if e := w.findImport(name); e != nil && e.Sort == types.SortFunc {
			return e, e.Func
		}
		return nil, nil
	}
	e := w.findImport(module)
	if e == nil || e.Sort != types.SortInstance {
		return nil, nil
	}
	if f := types.Find(e.Instance.Exports, name); f != nil && f.Sort == types.SortFunc {
		return e, f.Func
	}
	return nil, nil
}

// resource finds the resource that an imported or exported instance names.
func resource(e *types.Extern, name string) *types.Resource {
	if e == nil || e.Sort != types.SortInstance {
		return nil
	}
	t := types.Find(e.Instance.Exports, name)
	if t == nil || t.Sort != types.SortType {
		return nil
	}
	return t.Resource
}

// checker checks that externs are well-formed, so that nothing later needs to:
// every sort has what it names, and no type contains itself.
type checker struct {
	state     map[*types.Type]bool // true once checked, false meanwhile
	resources []*types.Resource    // that types refer to
}

func (c *checker) externs(externs []types.Extern) error {
	for i := range externs {
		e := &externs[i]
		if err := c.extern(e); err != nil {
			return fmt.Errorf("world: %q: %w", e.Name, err)
		}
	}
	return nil
}

func (c *checker) extern(e *types.Extern) error {
	switch {
	case e.Sort == types.SortFunc && e.Func != nil:
		if e.Func.Async {
			return errors.New("an async function is not supported")
		}
		for _, p := range e.Func.Params {
			if p.Type == nil {
				return fmt.Errorf("parameter %q without type", p.Name)
			}
			if err := c.valueType(p.Type); err != nil {
				return fmt.Errorf("parameter %q: %w", p.Name, err)
			}
		}
		return c.valueType(e.Func.Result)
	case e.Sort == types.SortType && e.Resource != nil:
		return nil
	case e.Sort == types.SortType && e.Type != nil:
		return c.valueType(e.Type)
	case e.Sort == types.SortInstance && e.Instance != nil:
		for i := range e.Instance.Exports {
			m := &e.Instance.Exports[i]
			if m.Sort != types.SortFunc && m.Sort != types.SortType {
				return fmt.Errorf("%q: an interface holds functions and types only", m.Name)
			}
			if err := c.extern(m); err != nil {
				return fmt.Errorf("%q: %w", m.Name, err)
			}
		}
		return nil
	case e.Sort == types.SortComponent || e.Sort == types.SortCoreModule:
		return errors.New("components and core modules in a world are not supported")
	}
	return errors.New("extern without the definition that its sort promises")
}

// valueType checks t; nil, a missing payload or result, is fine.
func (c *checker) valueType(t *types.Type) error {
	switch {
	case t == nil:
		return nil
	case t.Kind == types.ErrorContext || t.Kind == types.Stream || t.Kind == types.Future:
		return fmt.Errorf("%s: the asynchronous types are not supported", t.Kind)
	case t.Kind.Primitive():
		return nil
	}
	if done, seen := c.state[t]; done {
		return nil
	} else if seen {
		return fmt.Errorf("%s contains itself", t.Kind)
	}
	c.state[t] = false
	for _, f := range t.Fields {
		if f.Type == nil && (t.Kind == types.Record || t.Kind == types.Tuple || t.Kind == types.Map) {
			return fmt.Errorf("%s: field %q without type", t.Kind, f.Name)
		}
		if err := c.valueType(f.Type); err != nil {
			return err
		}
	}
	for _, e := range []*types.Type{t.Elem, t.Err} {
		if err := c.valueType(e); err != nil {
			return err
		}
	}
	n := len(t.Fields)
	switch t.Kind {
	case types.Record, types.Tuple, types.Variant, types.Enum:
		if n == 0 {
			return fmt.Errorf("empty %s", t.Kind)
		}
	case types.Flags:
		if n == 0 || n > 32 {
			return fmt.Errorf("flags with %d labels, want 1 to 32", n)
		}
	case types.Map:
		if n != 2 {
			return fmt.Errorf("%s with %d types, want those of key and value", t.Kind, n)
		}
	case types.List, types.Option, types.FixedList:
		if t.Elem == nil {
			return fmt.Errorf("%s without element", t.Kind)
		}
		if t.Kind == types.FixedList && t.Len == 0 {
			return fmt.Errorf("empty %s", t.Kind)
		}
	case types.Own, types.Borrow:
		if t.Resource == nil {
			return fmt.Errorf("%s without resource", t.Kind)
		}
		c.resources = append(c.resources, t.Resource)
	case types.Result:
	default:
		return fmt.Errorf("type of unknown kind %d", t.Kind)
	}
	c.state[t] = true
	return nil
}

// pointers reports whether a value of type t holds pointers into memory when it
// is passed flat.
func pointers(t *types.Type) bool {
	if t == nil {
		return false
	}
	if t.Kind == types.String || t.Kind == types.List || t.Kind == types.Map || pointers(t.Elem) || pointers(t.Err) {
		return true
	}
	for _, f := range t.Fields {
		if pointers(f.Type) {
			return true
		}
	}
	return false
}

// sameButVersion returns the extern whose name differs from name only after the
// '@', or nil.
func sameButVersion(externs []*types.Extern, name string) *types.Extern {
	base, _, _ := strings.Cut(name, "@")
	for _, e := range externs {
		if b, _, _ := strings.Cut(e.Name, "@"); b == base && e.Name != name {
			return e
		}
	}
	return nil
}
