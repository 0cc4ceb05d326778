// SPDX-License-Identifier: Apache-2.0

// Package validate checks a decoded component against the rules of the Component
// Model: that indexes exist, that types agree, that names are well formed and
// unique, that resources stay abstract where they should. What it accepts can be
// linked and instantiated without further checks of types.
//
// It reads every component once, whether or not anything instantiates it, and works
// on types alone: an import stands for anything of its type, and an instantiation
// yields the type of the component's exports, with the types of the arguments put in
// place of those of the imports. Package link does the same with what the types
// stand for.
//
// Two notions carry most of the rules. A resource type is an identity: every
// definition, every import and every instantiation of a component that exports one
// makes a new one, and types that mention it are copied with the new identity in
// place of the old (subst.go). And a type has a name: an import or an export of it
// makes a copy that is equal to it, but another name, and what a component imports
// or exports may only mention types by the names that it imported or exported
// (extern.go).
//
// The rules are those of WebAssembly/component-model, design/mvp/Explainer.md.
// Subtyping of value and function types is equality, as in the other
// implementations.
package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// Error is a definition that breaks a rule.
type Error struct {
	Offset int // of the definition, in bytes from the start of the component
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("validate: at offset %#x: %v", e.Offset, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrLimit says that a component's types are larger than this package handles.
var ErrLimit = errors.New("limit exceeded")

// The limits. Types grow exponentially with their text where one is used twice in
// the next: maxWeight and maxDepth bound one type, and maxWork all that is done with
// them.
const (
	maxWeight = 1_000_000
	maxDepth  = 100
	maxWork   = 50_000_000
	maxBytes  = 1 << 28 // of one value in linear memory, but for what it points to
)

// Component checks c. modules holds every core module of c and of the components in
// it, decoded. An error is a *Error.
func Component(c *binary.Component, modules map[*binary.CoreModule]*rewrite.Module) error {
	v := &validator{modules: modules}
	_, err := v.component(&scope{}, c)
	return err
}

type validator struct {
	modules   map[*binary.CoreModule]*rewrite.Module
	resources resourceID // the latest
	work      int        // nodes of types visited so far
}

func (v *validator) newResource() resourceID {
	v.resources++
	return v.resources
}

// spend counts work; it reports false once there is too much, which ends the check
// at the latest with the definition that is being checked.
func (v *validator) spend(n int) bool {
	v.work += n
	return v.work <= maxWork
}

// scope holds the index spaces of a component, or of a component or instance type,
// while it is read.
type scope struct {
	parent *scope // lexically enclosing
	kind   scopeKind

	coreFuncs     []core.FuncType
	coreTables    []binary.CoreExternType
	coreMemories  []binary.CoreExternType
	coreGlobals   []binary.CoreExternType
	coreTags      []binary.CoreExternType
	coreTypes     []*binary.CoreTypeDef
	coreModules   []*moduleType
	coreInstances []coreInstance
	funcs         []*funcType
	types         []anyType
	components    []*componentType
	instances     []*instanceType

	imports, exports         externs
	importFolds, exportFolds map[string]string // names by their folded form
	importNames, exportNames resourceNames

	imported []resourcePath      // resources, as imported
	defined  []resourceID        // resources of this scope, or of its instances
	local    map[resourceID]bool // those with a representation known here

	importedTypes, exportedTypes map[anyType]bool // the names of types

	started bool
}

// scopeKind says what a scope is of.
type scopeKind uint8

const (
	ofComponent scopeKind = iota
	ofComponentType
	ofInstanceType
)

func (k scopeKind) String() string {
	switch k {
	case ofComponentType:
		return "a component type"
	case ofInstanceType:
		return "an instance type"
	}
	return "a component"
}

// newScope returns the scope of something defined in s.
func (s *scope) newScope(kind scopeKind) *scope { return &scope{parent: s, kind: kind} }

// component checks a component in scope s, which is empty but for its parent, and
// returns its type.
func (v *validator) component(s *scope, c *binary.Component) (*componentType, error) {
	if err := v.definitions(s, c.Defs); err != nil {
		return nil, err
	}
	t, err := v.close(s)
	if err != nil {
		return nil, &Error{c.Offset, err}
	}
	return t, nil
}

// definitions checks definitions in order.
func (v *validator) definitions(s *scope, defs []binary.Def) error {
	for _, d := range defs {
		err := v.definition(s, d)
		if err == nil && !v.spend(1) {
			err = fmt.Errorf("the types of the component are too large to check: %w", ErrLimit)
		}
		if err == nil {
			continue
		}
		if e := (*Error)(nil); errors.As(err, &e) {
			return err
		}
		return &Error{binary.Offset(d), err}
	}
	return nil
}

func (v *validator) definition(s *scope, d binary.Def) error {
	switch d := d.(type) {
	case *binary.CoreModule:
		return v.coreModule(s, d)
	case *binary.CoreInstance:
		return v.coreInstance(s, d)
	case *binary.CoreTypeDef:
		return v.coreType(s, d)
	case *binary.Nested:
		t, err := v.component(s.newScope(ofComponent), d.Component)
		s.components = append(s.components, t)
		return err
	case *binary.Instance:
		return v.instance(s, d)
	case *binary.Alias:
		return v.alias(s, d)
	case *binary.TypeDef:
		t, err := v.typeDef(s, d.Type)
		s.types = append(s.types, t)
		return err
	case *binary.Canon:
		return v.canon(s, d)
	case *binary.Import:
		return v.importDef(s, d)
	case *binary.Export:
		return v.exportDef(s, d)
	case *binary.ExportDecl:
		return v.exportDecl(s, d)
	case *binary.Start:
		return v.start(s, d)
	}
	return fmt.Errorf("definition %T is not allowed here", d)
}

// start checks a start function. Without component-level values there is nothing
// that could be passed to it.
func (v *validator) start(s *scope, d *binary.Start) error {
	f, err := index(s.funcs, d.Func, "function")
	switch {
	case err != nil:
		return fmt.Errorf("start: %w", err)
	case s.started:
		return errors.New("start: the component has a start function already")
	case len(d.Args) != len(f.params):
		return fmt.Errorf("start: %d arguments for %d parameters", len(d.Args), len(f.params))
	case len(d.Args) > 0:
		return fmt.Errorf("start: value index %d out of bounds: 0 are defined", d.Args[0])
	case d.Results > 1 || d.Results == 1 != (f.result != nil):
		return fmt.Errorf("start: result count %d does not agree with the function's type", d.Results)
	case d.Results > 0:
		return errors.New("start: nothing uses the value that the function returns")
	}
	s.started = true
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

// enclosing returns the scope n levels out, and the one within it on the way.
func (s *scope) enclosing(n uint32) (out, within *scope, err error) {
	out = s
	for ; n > 0; n-- {
		if out.parent == nil {
			return nil, nil, errors.New("outer alias reaches out of the outermost component")
		}
		within, out = out, out.parent
	}
	return out, within, nil
}
