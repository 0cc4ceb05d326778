// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// The sizes that memories, in pages of 64 KiB, and tables may declare.
const (
	maxPages    = 1 << 16
	maxElements = 10_000_000
)

// moduleType is the type of a core module.
type moduleType struct {
	imports []binary.CoreModuleImport
	exports coreInstance
	weight  int
}

// coreInstance is the type of a core instance: its exports.
type coreInstance map[string]binary.CoreExternType

func (t *moduleType) addImport(i binary.CoreModuleImport, seen map[[2]string]bool) error {
	key := [2]string{i.Module, i.Name}
	if seen[key] {
		return fmt.Errorf("imports %q %q twice", i.Module, i.Name)
	}
	seen[key] = true
	t.imports = append(t.imports, i)
	t.weight++
	return nil
}

func (t *moduleType) addExport(name string, e binary.CoreExternType) error {
	if _, ok := t.exports[name]; ok {
		return fmt.Errorf("exports %q twice", name)
	}
	t.exports[name] = e
	t.weight++
	return nil
}

func (v *validator) coreModule(s *scope, d *binary.CoreModule) error {
	m := v.modules[d]
	if m == nil {
		return errors.New("core module has not been decoded")
	}
	t, err := typeOfModule(m)
	if err != nil {
		return fmt.Errorf("core module: %w", err)
	}
	s.coreModules = append(s.coreModules, t)
	return nil
}

// Module checks that a decoded core module may be given where one of type want is
// imported; want is of a component that Component accepts.
func Module(m *rewrite.Module, want *binary.CoreModuleType) error {
	v := &validator{}
	got, err := typeOfModule(m)
	if err != nil {
		return fmt.Errorf("validate: core module: %w", err)
	}
	wanted, err := v.moduleTypeOf(want)
	if err == nil {
		err = v.matchModule(got, wanted)
	}
	if err != nil {
		return fmt.Errorf("validate: core module given: %w", err)
	}
	return nil
}

// typeOfModule returns the type of a decoded core module.
func typeOfModule(m *rewrite.Module) (*moduleType, error) {
	t := &moduleType{exports: coreInstance{}, weight: 1}
	seen := map[[2]string]bool{}
	for _, i := range m.Imports {
		if err := t.addImport(binary.CoreModuleImport{Module: i.Module, Name: i.Name, Type: coreExtern(i.Extern)}, seen); err != nil {
			return nil, err
		}
	}
	for _, e := range m.Exports {
		if err := t.addExport(e.Name, coreExtern(e.Extern)); err != nil {
			return nil, err
		}
	}
	return t, extent{t.weight, 1}.check()
}

// coreExtern is the type of a core import or export, from that of a decoded module.
func coreExtern(e rewrite.Extern) binary.CoreExternType {
	t := binary.CoreExternType{Value: e.Value, Mutable: e.Mutable}
	switch e.Kind {
	case rewrite.Func:
		t.Sort, t.Func = binary.CoreFunc, &e.Func
	case rewrite.Table:
		t.Sort = binary.CoreTable
	case rewrite.Memory:
		t.Sort = binary.CoreMemory
	case rewrite.Global:
		t.Sort = binary.CoreGlobal
	case rewrite.Tag:
		t.Sort, t.Func = binary.CoreTag, &e.Func
	}
	t.Min, t.Max, t.HasMax = uint64(e.Range.Min), uint64(e.Range.Max), e.Range.HasMax
	return t
}

func (v *validator) coreType(s *scope, d *binary.CoreTypeDef) error {
	if d.Module != nil {
		if _, err := v.moduleTypeOf(d.Module); err != nil {
			return err
		}
	}
	s.coreTypes = append(s.coreTypes, d)
	return nil
}

// moduleTypeOf checks a core module type.
func (v *validator) moduleTypeOf(d *binary.CoreModuleType) (*moduleType, error) {
	v.spend(len(d.Imports) + len(d.Exports))
	t := &moduleType{exports: coreInstance{}, weight: 1}
	seen := map[[2]string]bool{}
	for _, i := range d.Imports {
		err := checkRange(i.Type)
		if err == nil {
			err = t.addImport(i, seen)
		}
		if err != nil {
			return nil, fmt.Errorf("core module type: %w", err)
		}
	}
	for _, e := range d.Exports {
		err := checkRange(e.Type)
		if err == nil {
			err = t.addExport(e.Name, e.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("core module type: %w", err)
		}
	}
	return t, extent{t.weight, 1}.check()
}

// checkRange checks the sizes of a memory or table.
func checkRange(t binary.CoreExternType) error {
	limit := uint64(1<<32 - 1)
	switch t.Sort {
	case binary.CoreMemory:
		limit = maxPages
	case binary.CoreTable:
		if t.Min > maxElements {
			return fmt.Errorf("%v of %d elements, the most is %d", t.Sort, t.Min, maxElements)
		}
	default:
		return nil
	}
	switch {
	case t.HasMax && t.Min > t.Max:
		return fmt.Errorf("%v of at least %d and at most %d", t.Sort, t.Min, t.Max)
	case t.Min > limit || t.HasMax && t.Max > limit:
		return fmt.Errorf("%v of more than %d pages", t.Sort, limit)
	}
	return nil
}

func (v *validator) coreInstance(s *scope, d *binary.CoreInstance) error {
	var inst coreInstance
	var err error
	if d.Instantiate {
		inst, err = v.coreInstantiate(s, d)
	} else {
		inst, err = s.coreExports(d.Exports)
	}
	if err != nil {
		return fmt.Errorf("core instance %d: %w", len(s.coreInstances), err)
	}
	s.coreInstances = append(s.coreInstances, inst)
	return nil
}

// coreExports makes a core instance of core definitions.
func (s *scope) coreExports(exports []binary.CoreExport) (coreInstance, error) {
	inst := coreInstance{}
	for _, e := range exports {
		t, err := s.coreEntity(e.Sort, e.Index)
		if err != nil {
			return nil, fmt.Errorf("export %q: %w", e.Name, err)
		}
		if _, ok := inst[e.Name]; ok {
			return nil, fmt.Errorf("export %q is given twice", e.Name)
		}
		inst[e.Name] = t
	}
	return inst, nil
}

func (v *validator) coreInstantiate(s *scope, d *binary.CoreInstance) (coreInstance, error) {
	m, err := index(s.coreModules, d.Module, "core module")
	if err != nil {
		return nil, err
	}
	args := map[string]coreInstance{}
	for _, a := range d.Args {
		inst, err := index(s.coreInstances, a.Instance, "core instance")
		if err != nil {
			return nil, fmt.Errorf("argument %q: %w", a.Name, err)
		}
		if _, ok := args[a.Name]; ok {
			return nil, fmt.Errorf("argument %q is given twice", a.Name)
		}
		args[a.Name] = inst
	}
	v.spend(m.weight)
	for _, i := range m.imports {
		arg, ok := args[i.Module]
		if !ok {
			return nil, fmt.Errorf("argument %q is missing", i.Module)
		}
		got, ok := arg[i.Name]
		if !ok {
			return nil, fmt.Errorf("argument %q has no export %q", i.Module, i.Name)
		}
		if err := matchCore(got, i.Type); err != nil {
			return nil, fmt.Errorf("argument %q: export %q: %w", i.Module, i.Name, err)
		}
	}
	return m.exports, nil
}

// matchModule checks that a module may stand where one of another type is wanted: it
// may import less and export more.
func (v *validator) matchModule(got, want *moduleType) error {
	v.spend(got.weight + want.weight)
	given := make(map[[2]string]binary.CoreExternType, len(want.imports))
	for _, i := range want.imports {
		given[[2]string{i.Module, i.Name}] = i.Type
	}
	for _, i := range got.imports {
		w, ok := given[[2]string{i.Module, i.Name}]
		if !ok {
			return fmt.Errorf("core module imports %q %q, which is not expected", i.Module, i.Name)
		}
		if err := matchCore(w, i.Type); err != nil {
			return fmt.Errorf("core module import %q %q: %w", i.Module, i.Name, err)
		}
	}
	for name, w := range want.exports {
		g, ok := got.exports[name]
		if !ok {
			return fmt.Errorf("core module has no export %q", name)
		}
		if err := matchCore(g, w); err != nil {
			return fmt.Errorf("core module export %q: %w", name, err)
		}
	}
	return nil
}

// matchCore checks that a core definition may be given for an import.
func matchCore(got, want binary.CoreExternType) error {
	if got.Sort != want.Sort {
		return fmt.Errorf("got a %v, want a %v", got.Sort, want.Sort)
	}
	switch want.Sort {
	case binary.CoreFunc, binary.CoreTag:
		if !got.Func.Equal(*want.Func) {
			return fmt.Errorf("got a %v of type %v, want %v", got.Sort, *got.Func, *want.Func)
		}
	case binary.CoreGlobal:
		if got.Value != want.Value || got.Mutable != want.Mutable {
			return fmt.Errorf("got a core global of %v (mutable %t), want %v (mutable %t)", got.Value, got.Mutable, want.Value, want.Mutable)
		}
	case binary.CoreTable:
		if got.Value != want.Value {
			return fmt.Errorf("got a core table of %v, want %v", got.Value, want.Value)
		}
		return matchRange(got, want)
	case binary.CoreMemory:
		return matchRange(got, want)
	}
	return nil
}

func matchRange(got, want binary.CoreExternType) error {
	if got.Min < want.Min || want.HasMax && (!got.HasMax || got.Max > want.Max) {
		return fmt.Errorf("got a %v of %s, want %s", got.Sort, describeRange(got), describeRange(want))
	}
	return nil
}

func describeRange(t binary.CoreExternType) string {
	if t.HasMax {
		return fmt.Sprintf("%d to %d", t.Min, t.Max)
	}
	return fmt.Sprintf("%d or more", t.Min)
}

// coreEntity looks a core definition up by sort and index.
func (s *scope) coreEntity(sort binary.Sort, i uint32) (t binary.CoreExternType, err error) {
	switch sort {
	case binary.CoreFunc:
		f, err := index(s.coreFuncs, i, "core function")
		return binary.CoreExternType{Sort: sort, Func: &f}, err
	case binary.CoreTable:
		return index(s.coreTables, i, "core table")
	case binary.CoreMemory:
		return index(s.coreMemories, i, "core memory")
	case binary.CoreGlobal:
		return index(s.coreGlobals, i, "core global")
	case binary.CoreTag:
		return index(s.coreTags, i, "core tag")
	}
	return t, fmt.Errorf("a %v is no export of a core instance", sort)
}

// addCore appends to the index space of a core sort.
func (s *scope) addCore(t binary.CoreExternType) {
	switch t.Sort {
	case binary.CoreFunc:
		s.coreFuncs = append(s.coreFuncs, *t.Func)
	case binary.CoreTable:
		s.coreTables = append(s.coreTables, t)
	case binary.CoreMemory:
		s.coreMemories = append(s.coreMemories, t)
	case binary.CoreGlobal:
		s.coreGlobals = append(s.coreGlobals, t)
	case binary.CoreTag:
		s.coreTags = append(s.coreTags, t)
	}
}

// coreFunc appends to the index space of core functions.
func (s *scope) coreFunc(t core.FuncType) { s.coreFuncs = append(s.coreFuncs, t) }
