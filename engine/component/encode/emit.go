// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// emitter writes down what an encoder decided.
type emitter struct {
	*encoder
	*builder
	top     *scope
	indexes map[*types.Extern]uint32 // of imports, and of exports, once written
	open    map[*types.Extern]bool   // imports that are being written
	owned   map[*types.Resource]uint32
	err     error // the first fault; what is written afterwards has no meaning

	shimInst, mainInst, adapterInst uint32
	memoryIndex, reallocIndex       *uint32 // nil where nothing needs them
}

// encode writes the component: imports, core modules, their instances from the
// shim to the fixup, and exports.
func (enc *encoder) encode() ([]byte, error) {
	e := &emitter{
		encoder: enc,
		builder: newBuilder(),
		top:     newScope(enc.world),
		indexes: map[*types.Extern]uint32{},
		open:    map[*types.Extern]bool{},
		owned:   map[*types.Resource]uint32{},
	}
	e.top.define = func(d []byte) { e.add(secType, d) }
	e.top.bring = e.bring

	e.writeImports()
	e.writeCore()
	for i := range e.exports {
		e.writeExport(&e.exports[i])
	}
	if e.err != nil {
		return nil, e.err
	}
	return e.bytes(), nil
}

func (e *emitter) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

// ---- imports ----

// writeImports writes the imports that are used, in the world's order, and those
// that only types of the exports come from. What an import itself refers to
// comes before it.
func (e *emitter) writeImports() {
	for _, x := range e.world.imports {
		if e.used[x] != nil {
			e.importExtern(x)
		}
	}
	for _, x := range e.exports {
		if x.extern.Sort != types.SortInstance {
			e.importTypesOf(x.extern)
			continue
		}
		for i := range x.extern.Instance.Exports {
			e.importTypesOf(&x.extern.Instance.Exports[i])
		}
	}
}

// importTypesOf writes the imports that an exported function or type refers to.
func (e *emitter) importTypesOf(x *types.Extern) {
	if x.Sort == types.SortType {
		e.importNamed(x.Resource)
		e.importTypes(x.Type)
		return
	}
	for _, p := range x.Func.Params {
		e.importTypes(p.Type)
	}
	e.importTypes(x.Func.Result)
}

func (e *emitter) importTypes(t *types.Type) {
	if t == nil || e.importNamed(t) {
		return
	}
	for _, f := range t.Fields {
		e.importTypes(f.Type)
	}
	e.importTypes(t.Elem)
	e.importTypes(t.Err)
	e.importNamed(t.Resource)
}

// importNamed writes the import where a type is at home, if it is one.
func (e *emitter) importNamed(key any) bool {
	home, ok := e.world.home[key]
	if !ok || home.exported {
		return false
	}
	e.importExtern(home.outer)
	return true
}

// importExtern writes an import, once, and returns its index.
func (e *emitter) importExtern(x *types.Extern) uint32 {
	if i, ok := e.indexes[x]; ok {
		return i
	}
	if e.open[x] {
		e.fail("world: import %q uses types of itself through another import", x.Name)
		return 0
	}
	e.open[x] = true
	var i uint32
	switch x.Sort {
	case types.SortFunc:
		i = e.importFunc(x.Name, e.top.function(x.Func))
	case types.SortType:
		i = e.importWorldType(x)
	case types.SortInstance:
		t := e.top.fresh(e.instanceType(x))
		i = e.importInstance(x.Name, t)
	}
	e.indexes[x] = i
	return i
}

// importWorldType imports a type that is declared, or used, by the world itself.
func (e *emitter) importWorldType(x *types.Extern) uint32 {
	k := key(x)
	home := e.world.home[k]
	switch {
	case home.outer != x:
		e.importType(x.Name, equalTo(nil, e.top.index(k)))
	case x.Resource != nil:
		e.importType(x.Name, subResource(nil))
	default:
		e.importType(x.Name, equalTo(nil, e.top.fresh(e.top.definition(x.Type))))
	}
	i := e.top.next()
	if home.outer == x || home.outer.Sort == types.SortInstance {
		e.top.named[k] = i
	}
	return i
}

// instanceType returns the type of an imported instance: all its types, and those
// of its functions that are used.
func (e *emitter) instanceType(x *types.Extern) []byte {
	const (
		declType   = 1
		declAlias  = 2
		declExport = 4
	)
	var decls vector
	s := newScope(e.world)
	s.define = func(d []byte) { decls.add(append([]byte{declType}, d...)) }
	exportType := func(name string, bound []byte) uint32 {
		d := append(appendExternName([]byte{declExport}, name), externType)
		decls.add(append(d, bound...))
		return s.next()
	}
	s.bring = func(key any) uint32 {
		home := e.world.home[key]
		if home.outer != x {
			outer := e.top.index(key)
			decls.add(appendUint([]byte{declAlias, externType, 2, 1}, outer))
			return s.next()
		}
		if t, ok := key.(*types.Type); ok {
			return exportType(home.name, equalTo(nil, s.fresh(s.definition(t))))
		}
		return exportType(home.name, subResource(nil))
	}
	for i := range x.Instance.Exports {
		t := &x.Instance.Exports[i]
		if t.Sort != types.SortType {
			continue
		}
		k := key(t)
		index := s.index(k)
		if home := e.world.home[k]; home.outer != x || home.name != t.Name {
			if alias := exportType(t.Name, equalTo(nil, index)); home.outer != x {
				s.named[k] = alias // an own type goes by its own name, which methods have
			}
		}
	}
	for _, f := range x.Instance.Exports {
		if f.Sort == types.SortFunc && e.used[x][f.Name] {
			index := s.function(f.Func)
			decls.add(appendUint(append(appendExternName([]byte{declExport}, f.Name), externFunc), index))
		}
	}
	return decls.append([]byte{opInstance})
}

// bring gives the component's own scope the index of a named type: an alias of
// what the import, or the export, exports where the type is at home; or, while
// that export is not written yet, the type itself.
func (e *emitter) bring(key any) uint32 {
	home := e.world.home[key]
	index, written := e.indexes[home.outer]
	if !written && !home.exported {
		index = e.importExtern(home.outer)
	}
	switch t, isType := key.(*types.Type); {
	case home.outer.Sort == types.SortType:
		return index
	case written || !home.exported:
		e.alias(externType, index, home.name)
		return e.top.next()
	case isType:
		return e.top.fresh(e.top.definition(t))
	}
	e.fail("resource %q belongs to the world's export %q, which comes later or is left out", home.name, home.outer.Name)
	return 0
}

// ---- core modules and instances ----

func (e *emitter) writeCore() {
	mainModule := e.coreModule(e.main.bytes)
	var adapterModule, shim, fixup uint32
	if e.adapter != nil {
		adapterModule = e.coreModule(e.adapter.bytes)
	}
	if len(e.slots) > 0 {
		shim = e.coreModule(shimModule(e.slots, e.adapter != nil))
	}
	start, hasStart := e.main.function(initialize)
	hasFixup := len(e.fillings) > 0 || hasStart
	if hasFixup {
		var init *filling
		if hasStart {
			init = &filling{mainInstance, initialize, start}
		}
		fixup = e.coreModule(fixupModule(e.fillings, len(e.slots), init))
	}

	if len(e.slots) > 0 {
		e.shimInst = e.instantiate(shim, nil)
	}
	e.writeResources()
	e.mainInst = e.instantiate(mainModule, e.arguments(e.bindings))
	if e.memoryUser != "" || e.adapter != nil {
		i := e.aliasCoreMemory(e.mainInst, memory)
		e.memoryIndex = &i
	}
	if e.adapter != nil {
		args := e.arguments(e.adapterBindings)
		args = append(args, coreArg{mainInstance, e.mainInst}, coreArg{shimInstance, e.shimInst})
		e.adapterInst = e.instantiate(adapterModule, args)
	}
	if e.reallocUser != "" {
		var i uint32
		if e.reallocSlot >= 0 {
			i = e.aliasCoreFunc(e.shimInst, slotName(e.reallocSlot))
		} else {
			i = e.aliasCoreFunc(e.mainInst, realloc)
		}
		e.reallocIndex = &i
	}
	if hasFixup {
		e.instantiate(fixup, e.fixupArguments(hasStart))
	}
}

// writeResources defines the resources that the component exports.
func (e *emitter) writeResources() {
	for _, d := range e.dtors {
		definition := []byte{opResource, 0x7f} // represented by an i32
		if d.slot < 0 {
			definition = append(definition, 0)
		} else {
			definition = appendUint(append(definition, 1), e.aliasCoreFunc(e.shimInst, slotName(d.slot)))
		}
		i := e.top.fresh(definition)
		e.top.named[d.resource], e.owned[d.resource] = i, i
	}
}

// arguments makes the instances that a module with these imports is given, one for
// each module name.
func (e *emitter) arguments(bindings []binding) []coreArg {
	var order []string
	bundles := map[string][]coreFunc{}
	for _, b := range bindings {
		if _, ok := bundles[b.module]; !ok {
			order = append(order, b.module)
		}
		bundles[b.module] = append(bundles[b.module], coreFunc{b.alias, e.bound(b)})
	}
	args := make([]coreArg, len(order))
	for i, m := range order {
		args[i] = coreArg{m, e.bundle(bundles[m])}
	}
	return args
}

// bound returns the core function that an import is bound to.
func (e *emitter) bound(b binding) uint32 {
	switch {
	case b.slot >= 0:
		return e.aliasCoreFunc(e.shimInst, slotName(b.slot))
	case b.kind == toBuiltin:
		i, ok := e.owned[b.resource]
		if !ok {
			i = e.top.index(b.resource)
		}
		return e.canonResource(b.op, i)
	}
	return e.lowered(b)
}

// lowered lowers an imported function.
func (e *emitter) lowered(b binding) uint32 {
	f := e.importExtern(b.outer)
	if b.outer.Sort == types.SortInstance {
		f = e.aliasFunc(f, b.name)
	}
	var o canonOptions
	if b.memory {
		o.memory = e.memoryIndex
	}
	if pointers(b.function.Result) {
		o.realloc = e.reallocIndex
	}
	return e.lower(f, o)
}

// fixupArguments makes what the fixup imports: what fills the shim's table.
func (e *emitter) fixupArguments(hasStart bool) []coreArg {
	var host []coreFunc
	done := map[int]bool{}
	for _, b := range e.bindings {
		if b.kind == toLowered && b.slot >= 0 && !done[b.slot] {
			done[b.slot] = true
			host = append(host, coreFunc{slotName(b.slot), e.lowered(b)})
		}
	}
	var args []coreArg
	if len(host) > 0 {
		args = append(args, coreArg{hostInstance, e.bundle(host)})
	}
	fromMain := hasStart
	for _, f := range e.fillings {
		fromMain = fromMain || f.module == mainInstance
	}
	if fromMain {
		args = append(args, coreArg{mainInstance, e.mainInst})
	}
	if e.adapter != nil {
		args = append(args, coreArg{adapterInstance, e.adapterInst})
	}
	if len(e.slots) > 0 {
		args = append(args, coreArg{shimInstance, e.shimInst})
	}
	return args
}

// ---- exports ----

func (e *emitter) writeExport(x *export) {
	switch x.extern.Sort {
	case types.SortFunc:
		for _, f := range x.funcs {
			e.exportFunc(f.name, e.lifted(f), nil)
		}
		return
	case types.SortType:
		k := key(x.extern)
		var index uint32
		if t := x.extern.Type; t != nil && e.world.home[k].outer == x.extern {
			index = e.top.fresh(e.top.definition(t))
		} else {
			index = e.top.index(k)
		}
		e.exportType(x.extern.Name, index)
		e.indexes[x.extern] = e.top.next()
		e.top.named[k] = e.indexes[x.extern]
		return
	}
	e.indexes[x.extern] = e.exportInstance(x.extern.Name, e.exportedInstance(x))
	for key, home := range e.world.home {
		if home.outer == x.extern {
			delete(e.top.named, key) // from now on an alias of the export
		}
	}
}

// lifted lifts an exported function.
func (e *emitter) lifted(f exportFunc) uint32 {
	core := e.aliasCoreFunc(e.mainInst, f.coreName)
	var o canonOptions
	if f.memory {
		o.memory = e.memoryIndex
	}
	if f.realloc {
		o.realloc = e.reallocIndex
	}
	if f.post != "" {
		var post uint32
		if f.postSlot >= 0 {
			post = e.aliasCoreFunc(e.shimInst, slotName(f.postSlot))
		} else {
			post = e.aliasCoreFunc(e.mainInst, f.post)
		}
		o.postReturn = &post
	}
	return e.lift(core, o, e.top.function(f.function))
}

// exportedInstance makes the instance of an exported interface. An instance that
// is put together of a component's own definitions would show types without
// names; so a nested component imports the types and functions and exports them
// again under the names that the interface has for them.
func (e *emitter) exportedInstance(x *export) uint32 {
	b := newBuilder()
	s := newScope(e.world)
	s.define = func(d []byte) { b.add(secType, d) }
	var args []externArg
	taken := map[string]bool{}
	importName := func(prefix, name string) string {
		n := prefix + strings.NewReplacer("[", "", "]", "-", ".", "-").Replace(name)
		for k, plain := 2, n; taken[n]; k++ {
			n = plain + strconv.Itoa(k)
		}
		taken[n] = true
		return n
	}
	// An import may mention what is imported only, and not what is exported meanwhile.
	imported := s.named
	var importType func(key any) uint32
	importType = func(key any) uint32 {
		if i, ok := imported[key]; ok {
			return i
		}
		named, bring := s.named, s.bring
		s.named, s.bring = imported, importType
		bound := subResource(nil)
		if t, ok := key.(*types.Type); ok {
			bound = equalTo(nil, s.fresh(s.definition(t)))
		}
		s.named, s.bring = named, bring
		name := importName("import-type-", e.world.home[key].name)
		b.importType(name, bound)
		args = append(args, externArg{name, externType, e.top.index(key)})
		imported[key] = s.next()
		return imported[key]
	}

	s.bring = importType
	funcs := make([]uint32, len(x.funcs))
	for i, f := range x.funcs {
		t := s.function(f.function)
		name := importName("import-func-", f.name)
		funcs[i] = b.importFunc(name, t)
		args = append(args, externArg{name, externFunc, e.lifted(f)})
	}

	// What is exported refers to what is exported, so the interface's own types are
	// defined once more, and exported the moment they are.
	s.named = maps.Clone(imported)
	maps.DeleteFunc(s.named, func(key any, _ uint32) bool { return e.world.home[key].outer == x.extern })
	s.bring = func(key any) uint32 {
		home := e.world.home[key]
		if home.outer != x.extern {
			return importType(key)
		}
		var index uint32
		if t, ok := key.(*types.Type); ok {
			index = s.fresh(s.definition(t))
		} else {
			index = importType(key)
		}
		b.exportType(home.name, index)
		return s.next()
	}
	for i := range x.extern.Instance.Exports {
		t := &x.extern.Instance.Exports[i]
		if t.Sort != types.SortType {
			continue
		}
		k := key(t)
		index := s.index(k)
		if home := e.world.home[k]; home.outer != x.extern || home.name != t.Name {
			b.exportType(t.Name, index)
			if alias := s.next(); home.outer != x.extern {
				s.named[k] = alias // an own type goes by its own name, which methods have
			}
		}
	}
	for i, f := range x.funcs {
		t := s.function(f.function)
		b.exportFunc(f.name, funcs[i], &t)
	}
	return e.instantiateComponent(e.component(b.bytes()), args)
}
