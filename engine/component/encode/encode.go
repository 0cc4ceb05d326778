// SPDX-License-Identifier: Apache-2.0

// Package encode makes a component of a core module: it wraps what a compiler
// produced, whose imports and exports follow the naming of the Component Model's
// toolchains, into a component that fits a world.
//
// The module imports a function of interface I as ("I", "f"), one of the world
// itself as ("$root", "f"), and gives up a handle with ("I", "[resource-drop]r").
// It exports a function of interface I as "I#f", one of the world itself as "f",
// what cleans up after it as "cabi_post_I#f" or "cabi_post_f", its memory as
// "memory" and its allocator as "cabi_realloc". The resources of an interface
// that it exports itself are managed through ("[export]I", "[resource-new]r"),
// "[resource-rep]r" and "[resource-drop]r", and "I#[dtor]r" is their destructor.
// "_initialize", where it is exported, runs when the component is instantiated,
// before anything else is called.
//
// A module that imports wasi_snapshot_preview1, as standard Go's do, is given an
// adapter that answers it on top of WASI 0.2 (package preview1).
//
// The component imports only what the module imports, what the adapter needs to
// answer it, and the types of the exports. Equal input gives equal output, byte
// for byte. Code is not validated: that is the business of who compiles it.
//
// The format is that of WebAssembly/component-model, design/mvp/Binary.md, the
// calling convention that of design/mvp/CanonicalABI.md.
package encode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/encode/preview1"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// Options say how a component is made. The zero value is the default.
type Options struct {
	// Subset lets a module export any of the world's exports, at least one; by
	// default it must export all. An interface of which a module exports one
	// function must be there with all of them either way.
	Subset bool
}

// ErrNoExport says that a module exports nothing that the world exports.
var ErrNoExport = errors.New("module exports nothing that the world exports")

// Component returns a component that wraps the core module and fits world. The
// result shares nothing with module.
//
// A module that imports what the world does not offer, exports a function that
// no interface of the world has or lacks one that its interface has, or whose
// functions differ in type from what the world says, is an error that names all
// such functions. Worlds that have a resource among their own exports, an async function,
// a component or a core module are not supported.
func Component(module []byte, world *types.Component, options Options) ([]byte, error) {
	e, err := newEncoder(module, world, options)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	out, err := e.encode()
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out, nil
}

// Names that modules and worlds agree on.
const (
	rootModule   = "$root"
	exportModule = "[export]"
	resourceDrop = "[resource-drop]"
	resourceNew  = "[resource-new]"
	resourceRep  = "[resource-rep]"
	destructor   = "[dtor]"
	postReturn   = "cabi_post_"
	realloc      = "cabi_realloc"
	memory       = "memory"
	initialize   = "_initialize"
)

// Names under which the instances of a component are given to each other.
const (
	mainInstance    = "main"
	shimInstance    = "shim"
	adapterInstance = "adapter"
	hostInstance    = "host"
)

var (
	reallocType    = core.FuncType{Params: []core.ValueType{core.I32, core.I32, core.I32, core.I32}, Results: []core.ValueType{core.I32}}
	initializeType = core.FuncType{}
	handleToNone   = core.FuncType{Params: []core.ValueType{core.I32}}
	handleToHandle = core.FuncType{Params: []core.ValueType{core.I32}, Results: []core.ValueType{core.I32}}
)

// encoder makes one component. newEncoder decides everything: what each import
// of the module is bound to, what is exported, and which functions go through the
// shim. encode then writes it down.
type encoder struct {
	main    *module
	adapter *module // nil where the module does not import preview1
	world   *world

	bindings        []binding // of main's imports, one each
	adapterBindings []binding // of the adapter's imports of functions
	exports         []export
	dtors           []dtor
	used            map[*types.Extern]map[string]bool // imports, and which functions of them
	reallocUser     string                            // a function that needs cabi_realloc, or empty
	memoryUser      string                            // a function that needs the memory, or empty

	slots       []slot
	fillings    []filling // of the first slots; the rest stay empty and trap
	reallocSlot int       // or -1
}

// binding is what an import of a core module is bound to.
type binding struct {
	coreImport
	kind bindingKind
	slot int // in the shim's table, or -1 where there is no need to go through it

	outer    *types.Extern   // lowered: the instance that has the function, or the function itself
	function *types.Func     // lowered
	memory   bool            // lowered: memory is needed to pass its values
	op       byte            // builtin
	resource *types.Resource // builtin
}

type bindingKind uint8

const (
	toNothing bindingKind = iota // never called
	toLowered                    // an imported component function
	toBuiltin                    // a canonical built-in on a resource
	toAdapter                    // a function of the adapter
)

// export is an export of the component: of an instance, or of one function of the
// world itself.
type export struct {
	extern *types.Extern
	funcs  []exportFunc
}

type exportFunc struct {
	name, coreName string
	function       *types.Func
	memory         bool   // memory is needed to pass its values
	realloc        bool   // the allocator is needed to pass its parameters
	post           string // the core export that cleans up, or empty
	postSlot       int    // in the shim's table, or -1
}

// dtor is a resource that the component exports.
type dtor struct {
	resource *types.Resource
	slot     int // of its destructor in the shim's table, or -1
}

func newEncoder(moduleBytes []byte, w *types.Component, options Options) (*encoder, error) {
	m, err := readModule(moduleBytes)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	e := &encoder{main: m, used: map[*types.Extern]map[string]bool{}, reallocSlot: -1}
	var extra []types.Extern
	if slices.ContainsFunc(m.imports, func(i coreImport) bool { return i.module == preview1.Module }) {
		if e.adapter, err = readModule(preview1.Adapter()); err != nil {
			return nil, fmt.Errorf("read preview1 adapter: %w", err)
		}
		extra = preview1.Interfaces()
	}
	if e.world, err = newWorld(w, extra); err != nil {
		return nil, err
	}
	if err := errors.Join(e.selectExports(options.Subset), e.bindMain()); err != nil {
		return nil, err
	}
	if err := e.bindAdapter(); err != nil {
		return nil, err
	}
	if err := e.checkMain(); err != nil {
		return nil, err
	}
	e.useWorldTypes()
	e.finishSlots()
	return e, nil
}

// selectExports decides what is exported, by the names of the module's exports.
func (e *encoder) selectExports(subset bool) error {
	var faults []error
	for _, x := range e.world.exports {
		prefix := x.Name + "#"
		there := func(name string) bool { return name == x.Name }
		if x.Sort == types.SortInstance {
			there = func(name string) bool { return strings.HasPrefix(name, prefix) }
		}
		if subset && x.Sort != types.SortType && !slices.ContainsFunc(e.main.names, there) {
			continue
		}
		out := export{extern: x}
		if x.Sort == types.SortFunc {
			faults = append(faults, e.addExport(&out, x.Name, x.Name, x.Func))
		} else if x.Sort == types.SortInstance {
			for _, f := range x.Instance.Exports {
				if f.Sort == types.SortFunc {
					faults = append(faults, e.addExport(&out, f.Name, prefix+f.Name, f.Func))
				}
			}
			for _, t := range x.Instance.Exports {
				if home := e.world.home[key(&t)]; t.Resource != nil && home.outer == x && home.name == t.Name {
					e.dtors = append(e.dtors, dtor{t.Resource, e.destructorSlot(x, t.Name)})
				}
			}
		}
		e.exports = append(e.exports, out)
	}
	for _, name := range e.main.names {
		faults = append(faults, e.checkExportName(name))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if len(e.exports) == 0 && len(e.world.exports) > 0 {
		if _, command := e.main.exports["_start"]; command {
			return fmt.Errorf("%w: it is a program, with _start; build it as a library (Go: -buildmode=c-shared)", ErrNoExport)
		}
		return fmt.Errorf("%w; it could export %s", ErrNoExport, names(e.world.exports))
	}
	return nil
}

// addExport adds a function to out, having checked that the module has it.
func (e *encoder) addExport(out *export, name, coreName string, f *types.Func) error {
	got, ok := e.main.function(coreName)
	if !ok {
		return fmt.Errorf("module does not export function %q, which the world's export %q needs", coreName, out.extern.Name)
	}
	sig, err := signature(f)
	if err != nil {
		return fmt.Errorf("export %q: %w", coreName, err)
	}
	want := sig.LiftType()
	if !sameType(got, want) {
		return fmt.Errorf("module exports %q as %s, want %s", coreName, typeText(got), typeText(want))
	}
	params, err := signature(&types.Func{Params: f.Params})
	if err != nil {
		return fmt.Errorf("export %q: %w", coreName, err)
	}
	x := exportFunc{
		name: name, coreName: coreName, function: f, postSlot: -1,
		memory: sig.NeedsMemory(), realloc: params.NeedsMemory(),
	}
	e.needs(coreName, x.memory, x.realloc)
	if got, ok := e.main.function(postReturn + coreName); ok {
		want := core.FuncType{Params: want.Results}
		if !sameType(got, want) {
			return fmt.Errorf("module exports %q as %s, want %s", postReturn+coreName, typeText(got), typeText(want))
		}
		x.post = postReturn + coreName
		if e.adapter != nil {
			x.postSlot = e.addSlot(slot{"post-return " + coreName, want, true}, filling{mainInstance, x.post, want})
		}
	}
	out.funcs = append(out.funcs, x)
	return nil
}

// destructorSlot returns the slot of a resource's destructor, or -1 if it has none.
func (e *encoder) destructorSlot(x *types.Extern, name string) int {
	coreName := x.Name + "#" + destructor + name
	if _, ok := e.main.function(coreName); !ok {
		return -1
	}
	return e.addSlot(slot{"destructor " + coreName, handleToNone, false}, filling{mainInstance, coreName, handleToNone})
}

// checkExportName reports an export that follows the naming of interfaces and
// has no counterpart in the world: a typing error, or another version.
func (e *encoder) checkExportName(coreName string) error {
	name := strings.TrimPrefix(coreName, postReturn)
	outer, function, ok := strings.Cut(name, "#")
	if !ok {
		return nil
	}
	x := e.world.findExport(outer)
	if x == nil || x.Sort != types.SortInstance {
		if other := sameButVersion(e.world.exports, outer); other != nil {
			return fmt.Errorf("module exports %q, but the world exports %q", coreName, other.Name)
		}
		return fmt.Errorf("module exports %q, but the world exports no %q; it exports %s", coreName, outer, names(e.world.exports))
	}
	if r, ok := strings.CutPrefix(function, destructor); ok && resource(x, r) != nil {
		got, _ := e.main.function(coreName)
		if !sameType(got, handleToNone) {
			return fmt.Errorf("module exports %q as %s, want %s", coreName, typeText(got), typeText(handleToNone))
		}
		return nil
	}
	if f := types.Find(x.Instance.Exports, function); f == nil || f.Sort != types.SortFunc {
		return fmt.Errorf("module exports %q, but interface %q has no function %q", coreName, outer, function)
	}
	return nil
}

// bindMain binds the imports of the main module.
func (e *encoder) bindMain() error {
	var faults []error
	type nameOf struct{ module, name string }
	slots := map[nameOf]int{} // an import that occurs twice shares its slot
	for _, i := range e.main.imports {
		b, err := e.bind(i)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if b.kind == toAdapter || b.memory {
			n, ok := slots[nameOf{i.module, i.name}]
			if !ok {
				by := filling{hostInstance, slotName(len(e.slots)), i.typ}
				if b.kind == toAdapter {
					by = filling{adapterInstance, i.name, i.typ}
				}
				n = e.addSlot(slot{"import " + i.module + "#" + i.name, i.typ, false}, by)
				slots[nameOf{i.module, i.name}] = n
			}
			b.slot = n
		}
		e.bindings = append(e.bindings, b)
	}
	return errors.Join(faults...)
}

func (e *encoder) bind(i coreImport) (binding, error) {
	b := binding{coreImport: i, slot: -1}
	fault := func(format string, args ...any) (binding, error) {
		return b, fmt.Errorf("module imports %q from %q: "+format, append([]any{i.name, i.module}, args...)...)
	}
	if i.sort != sortFunc {
		return fault("it is a %s, and a component gives functions only", sortName(i.sort))
	}
	check := func(want core.FuncType) (binding, error) {
		if !sameType(i.typ, want) {
			return fault("its type is %s, want %s", typeText(i.typ), typeText(want))
		}
		return b, nil
	}
	if i.module == preview1.Module {
		want, ok := e.adapter.function(i.name)
		if !ok {
			return fault("preview1 has no such function")
		}
		b.kind = toAdapter
		return check(want)
	}
	if outer, ok := strings.CutPrefix(i.module, exportModule); ok {
		for _, op := range exportBuiltins {
			name, ok := strings.CutPrefix(i.name, op.prefix)
			if !ok {
				continue
			}
			r := resource(e.world.findExport(outer), name)
			if r == nil || !e.isExported(r) {
				return fault("the component exports no such resource")
			}
			b.kind, b.op, b.resource = toBuiltin, op.op, r
			return check(op.typ)
		}
		return fault("want [resource-new], [resource-rep] or [resource-drop] and a resource")
	}
	if name, ok := strings.CutPrefix(i.name, resourceDrop); ok {
		r := resource(e.world.findImport(i.module), name)
		if i.module == rootModule {
			if x := e.world.findImport(name); x != nil {
				r = x.Resource
			}
		}
		if r == nil {
			return fault("%s", e.hint(i))
		}
		b.kind, b.op, b.resource = toBuiltin, canonResourceDrop, r
		e.use(e.world.home[r].outer, "")
		return check(handleToNone)
	}
	outer, f := e.world.function(i.module, i.name)
	if f == nil {
		return fault("%s", e.hint(i))
	}
	sig, err := signature(f)
	if err != nil {
		return fault("%w", err)
	}
	e.use(outer, i.name)
	b.kind, b.outer, b.function, b.memory = toLowered, outer, f, sig.NeedsMemory()
	e.needs(i.module+"#"+i.name, b.memory, pointers(f.Result))
	return check(sig.LowerType())
}

// exportBuiltins are the built-ins on resources that the component exports.
var exportBuiltins = [...]struct {
	prefix string
	op     byte
	typ    core.FuncType
}{
	{resourceNew, canonResourceNew, handleToHandle},
	{resourceRep, canonResourceRep, handleToHandle},
	{resourceDrop, canonResourceDrop, handleToNone},
}

func (e *encoder) isExported(r *types.Resource) bool {
	return slices.ContainsFunc(e.dtors, func(d dtor) bool { return d.resource == r })
}

// useWorldTypes notes the types that the world itself declares or uses, so far as
// its functions that the component has mention them.
func (e *encoder) useWorldTypes() {
	var visit func(t *types.Type)
	named := func(k any) *types.Extern {
		for _, x := range e.world.imports {
			if x.Sort == types.SortType && key(x) == k {
				e.use(x, "")
			}
		}
		return e.world.home[k].outer
	}
	visit = func(t *types.Type) {
		if t == nil {
			return
		}
		if outer := named(t); outer != nil && outer.Sort == types.SortInstance {
			return // the rest is the interface's
		}
		for _, f := range t.Fields {
			visit(f.Type)
		}
		visit(t.Elem)
		visit(t.Err)
		if t.Resource != nil {
			named(t.Resource)
		}
	}
	function := func(x *types.Extern) {
		if x.Sort == types.SortFunc {
			for _, p := range x.Func.Params {
				visit(p.Type)
			}
			visit(x.Func.Result)
		}
	}
	for _, x := range e.world.imports {
		if e.used[x] != nil {
			function(x)
		}
	}
	for _, x := range e.exports {
		function(x.extern)
	}
}

// needs notes that a function needs the module's memory or allocator.
func (e *encoder) needs(function string, memory, realloc bool) {
	if memory {
		e.memoryUser = function
	}
	if realloc {
		e.reallocUser = function
	}
}

// use notes that an import is used, and the function name of it.
func (e *encoder) use(outer *types.Extern, name string) {
	if e.used[outer] == nil {
		e.used[outer] = map[string]bool{}
	}
	e.used[outer][name] = true
}

// hint says why nobody gives what i asks for, and what may help.
func (e *encoder) hint(i coreImport) string {
	switch i.module {
	case "env":
		return "the world offers no such import; it is a symbol that the linker did not find"
	case "go", "gojs":
		return "the world offers no such import; it is one of JavaScript's: build with GOOS=wasip1"
	case "wasi_unstable":
		return "the world offers no such import; it is of a WASI before preview1: use a newer toolchain"
	case rootModule:
		return "the world imports no such function"
	}
	if x := e.world.findImport(i.module); x != nil {
		if strings.HasPrefix(i.name, resourceDrop) {
			return "the interface has no such resource"
		}
		var have []string
		if x.Sort == types.SortInstance {
			for _, f := range x.Instance.Exports {
				if f.Sort == types.SortFunc {
					have = append(have, f.Name)
				}
			}
		}
		return fmt.Sprintf("the interface has no such function; it has %s", list(have))
	}
	if x := sameButVersion(e.world.imports, i.module); x != nil {
		return fmt.Sprintf("the world offers %q", x.Name)
	}
	return "the world offers no such import; it offers " + names(e.world.imports)
}

// bindAdapter binds the imports of the adapter. Those that nothing the module
// imports leads to are bound to nothing, so that the component need not have them.
func (e *encoder) bindAdapter() error {
	if e.adapter == nil {
		return nil
	}
	needed := map[preview1.Import]bool{}
	for _, b := range e.bindings {
		if b.kind == toAdapter {
			for _, u := range preview1.Uses(b.name) {
				needed[u] = true
			}
		}
	}
	for _, i := range e.adapter.imports {
		if i.sort != sortFunc {
			continue // the memory and the quiet flag
		}
		b := binding{coreImport: i, slot: -1}
		if needed[preview1.Import{Interface: i.module, Name: i.name}] {
			var err error
			if b, err = e.bind(i); err != nil {
				return fmt.Errorf("preview1 adapter: %w", err)
			}
		}
		e.adapterBindings = append(e.adapterBindings, b)
	}
	return nil
}

// addSlot adds a function to the shim, and what fills its entry of the table.
func (e *encoder) addSlot(s slot, f filling) int {
	e.slots = append(e.slots, s)
	e.fillings = append(e.fillings, f)
	return len(e.slots) - 1
}

// checkMain checks that the main module exports what others need of it.
func (e *encoder) checkMain() error {
	if x, ok := e.main.exports[memory]; e.memoryUser != "" || e.adapter != nil {
		user := e.memoryUser
		if user == "" {
			user = preview1.Module
		}
		if !ok || x.sort != sortMemory {
			return fmt.Errorf("module does not export its memory as %q, which %q needs", memory, user)
		}
	}
	for _, f := range []struct {
		name, user string
		want       core.FuncType
	}{{realloc, e.reallocUser, reallocType}, {initialize, "", initializeType}} {
		x, ok := e.main.exports[f.name]
		if !ok && f.user != "" {
			return fmt.Errorf("module does not export %q, which %q needs to pass its values", f.name, f.user)
		}
		if ok && (x.sort != sortFunc || !sameType(x.typ, f.want)) {
			return fmt.Errorf("module exports %q as %s, want %s", f.name, exportText(x), typeText(f.want))
		}
	}
	return nil
}

// finishSlots adds the slots that stand for no import: the allocator, through
// which a module with an adapter is told to be quiet, and empty ones for what the
// adapter imports and never calls.
func (e *encoder) finishSlots() {
	if e.adapter == nil {
		return
	}
	if e.reallocUser != "" {
		e.reallocSlot = e.addSlot(slot{realloc, reallocType, true}, filling{mainInstance, realloc, reallocType})
	}
	for k := range e.adapterBindings {
		b := &e.adapterBindings[k]
		if b.kind == toNothing {
			b.slot = len(e.slots)
			e.slots = append(e.slots, slot{"unused " + b.module + "#" + b.name, b.typ, false})
		}
	}
}

// signature makes the signature plan of f, for its core types.
func signature(f *types.Func) (*abi.Signature, error) {
	return abi.Compile(f, func(*types.Resource) (int, error) { return 0, nil })
}

func sameType(a, b core.FuncType) bool {
	return slices.Equal(a.Params, b.Params) && slices.Equal(a.Results, b.Results)
}

func exportText(x coreExport) string {
	if x.sort == sortFunc {
		return typeText(x.typ)
	}
	return "a " + sortName(x.sort)
}

// typeText writes a core function type as "(i32, i64) -> (i32)".
func typeText(t core.FuncType) string {
	write := func(list []core.ValueType) string {
		texts := make([]string, len(list))
		for i, v := range list {
			switch v {
			case core.I32:
				texts[i] = "i32"
			case core.I64:
				texts[i] = "i64"
			case core.F32:
				texts[i] = "f32"
			case core.F64:
				texts[i] = "f64"
			case core.V128:
				texts[i] = "v128"
			case core.FuncRef:
				texts[i] = "funcref"
			case core.ExternRef:
				texts[i] = "externref"
			}
		}
		return "(" + strings.Join(texts, ", ") + ")"
	}
	return write(t.Params) + " -> " + write(t.Results)
}

func names(externs []*types.Extern) string {
	all := make([]string, len(externs))
	for i, x := range externs {
		all[i] = x.Name
	}
	return list(all)
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
