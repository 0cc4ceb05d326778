// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/validate"
)

// Bounds on what one component may unfold to: nested components that instantiate
// one another grow exponentially with the size of the file, and each instance of a core
// module is compiled and has tables of its own.
const (
	maxDefinitions = 1 << 20
	maxSlots       = 1 << 10
	maxInstances   = 1 << 12   // of components: a call may go through all of them, on the host's stack
	maxRepeated    = 64 << 20  // bytes of core modules, each time they are instantiated but the first
	maxElements    = 1_000_000 // of all tables together; or of one, where Limits allow it more
)

// maxReallocs is how many allocators of one core instance are told to the rewriter.
const maxReallocs = 8

// Error is a component that can't be linked: a definition at Offset is wrong.
type Error struct {
	Offset int // byte offset in the component
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("link: offset %#x: %v", e.Offset, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Link checks a decoded component and makes its plan. limits bound the core modules,
// which alias the bytes that c was decoded from.
func Link(c *binary.Component, limits rewrite.Limits) (*Plan, error) {
	modules := map[*binary.CoreModule]*rewrite.Module{}
	defs, err := decodeModules(c, limits, modules)
	if err != nil {
		return nil, err
	}
	if err := validate.Component(c, modules); err != nil {
		return nil, err
	}
	l := newLinker(limits, modules)
	if slices.ContainsFunc(defs, func(d *binary.CoreModule) bool { return modules[d].Throws() }) {
		if l.plan.Exceptions, err = l.add(rewrite.ExceptionState(), nil); err != nil {
			return nil, err
		}
	}
	if err := l.link(c); err != nil {
		return nil, err
	}
	if l.tables > 1 {
		l.plan.TableElements = uint32(max(1, l.maxElements()/uint64(l.tables)))
	}
	for _, d := range defs {
		if m := modules[d]; !l.used[m] {
			l.plan.Unused = append(l.plan.Unused, Unused{m, d.Offset})
		}
	}
	return l.plan, nil
}

// Relinkable reports whether Relink makes this plan, too. It doesn't where a core module
// has several memories: what stands for them depends on what is in the module.
func (p *Plan) Relinkable() bool {
	return !slices.ContainsFunc(p.Steps, func(step Step) bool {
		s, ok := step.(*Instantiate)
		return ok && len(s.Memories) > 0
	})
}

// Relink makes the plan of a component that Link has accepted before, perhaps in
// another process; throws is whether the plan had Exceptions. Nothing is checked again
// and no core module is decoded: the plan is the one that Link made, but for what
// compilation needs, the fields Module, Unused and TableElements, which are empty.
func Relink(c *binary.Component, throws bool) (_ *Plan, err error) {
	l := newLinker(rewrite.Limits{}, nil)
	if throws {
		if l.plan.Exceptions, err = l.step(&Instantiate{Size: len(rewrite.ExceptionState()), Added: true}); err != nil {
			return nil, err
		}
	}
	if err := l.link(c); err != nil {
		return nil, err
	}
	return l.plan, nil
}

// decodeModules decodes the core modules of c and of the components in it, and
// returns their definitions in the order of the file.
func decodeModules(c *binary.Component, limits rewrite.Limits, into map[*binary.CoreModule]*rewrite.Module) (defs []*binary.CoreModule, err error) {
	for _, d := range c.Defs {
		switch d := d.(type) {
		case *binary.CoreModule:
			m, err := rewrite.Decode(d.Bytes, limits)
			if err != nil {
				return nil, &Error{d.Offset, fmt.Errorf("core module: %w", err)}
			}
			into[d] = m
			defs = append(defs, d)
		case *binary.Nested:
			inner, err := decodeModules(d.Component, limits, into)
			if err != nil {
				return nil, err
			}
			defs = append(defs, inner...)
		}
	}
	return defs, nil
}

type linker struct {
	limits      rewrite.Limits
	plan        *Plan
	modules     map[*binary.CoreModule]*rewrite.Module
	used        map[*rewrite.Module]bool // instantiated
	resources   map[*types.Resource]int
	heaps       map[heapKey]int
	slots       []*Instantiate // those behind slot 0
	definitions int            // carried out, and parts of types made
	repeated    int            // bytes of modules that are instantiated again
	tables      int            // of all core instances
	elements    uint64         // that those tables start with
}

func newLinker(limits rewrite.Limits, modules map[*binary.CoreModule]*rewrite.Module) *linker {
	return &linker{
		limits:    limits,
		plan:      &Plan{Type: &types.Component{}, Slots: 1, Instances: 1},
		modules:   modules,
		used:      map[*rewrite.Module]bool{},
		heaps:     map[heapKey]int{},
		resources: map[*types.Resource]int{},
	}
}

// link makes the plan of c, all but Unused.
func (l *linker) link(c *binary.Component) error {
	exports, err := l.evaluate(&scope{}, c, nil)
	if err != nil {
		return err
	}
	l.export(exports)
	return nil
}

// evaluate carries out the definitions of c in s and returns its exports. args
// binds the imports; it is nil for the outermost component.
func (l *linker) evaluate(s *scope, c *binary.Component, args map[string]entity) (*instance, error) {
	exports := newInstance()
	for _, d := range c.Defs {
		if l.definitions++; l.definitions > maxDefinitions {
			return nil, &Error{binary.Offset(d), fmt.Errorf("the component unfolds to more than %d definitions", maxDefinitions)}
		}
		if err := l.definition(s, d, args, exports); err != nil {
			if e := (*Error)(nil); errors.As(err, &e) {
				return nil, err
			}
			return nil, &Error{binary.Offset(d), err}
		}
	}
	return exports, nil
}

func (l *linker) definition(s *scope, d binary.Def, args map[string]entity, exports *instance) error {
	switch d := d.(type) {
	case *binary.CoreModule:
		s.coreModules = append(s.coreModules, &module{decoded: l.modules[d], offset: d.Offset, size: len(d.Bytes)})
	case *binary.CoreInstance:
		return l.coreInstance(s, d)
	case *binary.CoreTypeDef:
		s.coreTypes = append(s.coreTypes, d)
	case *binary.Nested:
		s.components = append(s.components, &component{d.Component, s})
	case *binary.Instance:
		return l.instance(s, d)
	case *binary.Alias:
		return l.alias(s, d)
	case *binary.TypeDef:
		t, err := l.typeDef(s, d.Type)
		if err != nil {
			return err
		}
		s.types = append(s.types, t)
	case *binary.Canon:
		return l.canon(s, d)
	case *binary.Import:
		return l.importDef(s, d, args)
	case *binary.Export:
		return l.exportDef(s, d, exports)
	case *binary.Start:
		return l.start(s, d)
	default:
		return fmt.Errorf("definition %T is not allowed here", d)
	}
	return nil
}

func (l *linker) coreInstance(s *scope, d *binary.CoreInstance) error {
	if !d.Instantiate {
		items := map[string]Ref{}
		for _, e := range d.Exports {
			space, what, err := s.coreSpace(e.Sort)
			if err != nil {
				return err
			}
			ref, err := index(*space, e.Index, what)
			if err != nil {
				return err
			}
			if _, ok := items[e.Name]; ok {
				return fmt.Errorf("core export %q is defined twice", e.Name)
			}
			items[e.Name] = ref
		}
		s.coreInstances = append(s.coreInstances, coreInstance{items: items})
		return nil
	}
	m, err := index(s.coreModules, d.Module, "core module")
	if err != nil {
		return err
	}
	step := &Instantiate{
		Module: m.decoded, Offset: m.offset, Size: m.size,
		From: m.from, Type: m.typ, args: map[string]coreInstance{},
	}
	for _, a := range d.Args {
		inst, err := index(s.coreInstances, a.Instance, "core instance")
		if err != nil {
			return err
		}
		if _, ok := step.args[a.Name]; ok {
			return fmt.Errorf("argument %q is given twice", a.Name)
		}
		step.args[a.Name] = inst
	}
	inst := coreInstance{}
	if m.decoded != nil {
		if err := l.count(m); err != nil {
			return err
		}
		if inst.moved, err = l.parts(step); err != nil {
			return err
		}
	}
	if inst.slot, err = l.step(step); err != nil {
		return err
	}
	s.coreInstances = append(s.coreInstances, inst)
	return nil
}

// count counts what an instance of m takes.
func (l *linker) count(m *module) error {
	if l.used[m.decoded] {
		if l.repeated += m.size; l.repeated > maxRepeated {
			return fmt.Errorf("the component instantiates core modules again and again, with more than %d bytes together", maxRepeated)
		}
	}
	l.used[m.decoded] = true
	tables, elements := m.decoded.Tables()
	l.tables += tables
	if l.elements += elements; elements > 0 && l.elements > l.maxElements() {
		return fmt.Errorf("the component's tables start with more than %d elements together", l.maxElements())
	}
	return nil
}

func (l *linker) maxElements() uint64 { return uint64(max(l.limits.TableElements, maxElements)) }

// step adds an instantiation to the plan and returns its slot.
func (l *linker) step(step *Instantiate) (int, error) {
	step.Slot = l.plan.Slots
	if l.plan.Slots++; l.plan.Slots > maxSlots {
		return 0, fmt.Errorf("the component unfolds to more than %d core instances", maxSlots)
	}
	l.plan.Steps = append(l.plan.Steps, step)
	l.slots = append(l.slots, step)
	return step.Slot, nil
}

// add instantiates a core module that the component doesn't have.
func (l *linker) add(wasm []byte, args map[string]coreInstance) (int, error) {
	m, err := rewrite.Decode(wasm, l.limits)
	if err != nil {
		return 0, err
	}
	return l.step(&Instantiate{Module: m, Size: len(wasm), Added: true, args: args})
}

// parts instantiates what stands for the memories of a module but the first. It
// returns where memories are that the module exports.
func (l *linker) parts(step *Instantiate) (moved map[string]Ref, err error) {
	for _, p := range step.Module.Parts() {
		var args map[string]coreInstance
		if p.Import >= 0 {
			im := step.Module.Imports[p.Import]
			ref, err := step.Resolve(im.Module, im.Name)
			if err != nil {
				return nil, err
			}
			args = map[string]coreInstance{"": {items: map[string]Ref{rewrite.PartMemory: ref}}}
		}
		slot, err := l.add(p.Wasm, args)
		if err != nil {
			return nil, err
		}
		step.Memories = append(step.Memories, slot)
		for _, e := range step.Module.Exports {
			if e.Kind != rewrite.Memory || e.Index != p.Memory {
				continue
			}
			if moved == nil {
				moved = map[string]Ref{}
			}
			moved[e.Name] = Ref{slot, rewrite.PartMemory}
		}
	}
	return moved, nil
}

// guarded returns the function by which a core function is called from outside: one
// that lets no exception through.
func (l *linker) guarded(fn Ref) Ref {
	if l.plan.Exceptions != 0 && fn.Slot != 0 {
		fn.Name = rewrite.GuardedName(fn.Name)
	}
	return fn
}

func (l *linker) instance(s *scope, d *binary.Instance) error {
	if !d.Instantiate {
		inst := newInstance()
		for _, e := range d.Exports {
			ent, err := s.entity(e.Sort, e.Index)
			if err != nil {
				return err
			}
			if err := inst.add(e.Name, ent); err != nil {
				return err
			}
		}
		s.instances = append(s.instances, inst)
		return nil
	}
	c, err := index(s.components, d.Component, "component")
	if err != nil {
		return err
	}
	args := map[string]entity{}
	for _, a := range d.Args {
		ent, err := s.entity(a.Sort, a.Index)
		if err != nil {
			return fmt.Errorf("argument %q: %w", a.Name, err)
		}
		if _, ok := args[a.Name]; ok {
			return fmt.Errorf("argument %q is given twice", a.Name)
		}
		args[a.Name] = ent
	}
	inner := &scope{parent: c.scope, instance: l.plan.Instances}
	if l.plan.Instances++; l.plan.Instances > maxInstances {
		return fmt.Errorf("the component unfolds to more than %d component instances", maxInstances)
	}
	exports, err := l.evaluate(inner, c.def, args)
	if err != nil {
		return err
	}
	s.instances = append(s.instances, exports)
	return nil
}

func (l *linker) alias(s *scope, d *binary.Alias) error {
	switch d.Target {
	case binary.AliasCoreExport:
		inst, err := index(s.coreInstances, d.Instance, "core instance")
		if err != nil {
			return err
		}
		ref, ok := inst.item(d.Name)
		if !ok {
			return fmt.Errorf("core instance %d has no export %q", d.Instance, d.Name)
		}
		space, _, err := s.coreSpace(d.Sort)
		if err != nil {
			return err
		}
		*space = append(*space, ref)
		return nil
	case binary.AliasExport:
		inst, err := index(s.instances, d.Instance, "instance")
		if err != nil {
			return err
		}
		ent, ok := inst.exports[d.Name]
		if !ok {
			return fmt.Errorf("instance %d has no export %q", d.Instance, d.Name)
		}
		if got, want := ent.sort(), sortName(d.Sort); got != want {
			return fmt.Errorf("export %q is a %s, want a %s", d.Name, got, want)
		}
		s.define(ent)
		return nil
	}
	out, err := s.outer(d.Outer)
	if err != nil {
		return err
	}
	if d.Sort == binary.CoreType {
		t, err := index(out.coreTypes, d.Index, "core type")
		if err != nil {
			return err
		}
		s.coreTypes = append(s.coreTypes, t)
		return nil
	}
	ent, err := out.entity(d.Sort, d.Index)
	if err != nil {
		return err
	}
	s.define(ent)
	return nil
}

func sortName(s binary.Sort) string {
	switch s {
	case binary.Func:
		return "function"
	case binary.Type:
		return "type"
	case binary.InstanceSort:
		return "instance"
	case binary.ComponentSort:
		return "component"
	case binary.CoreModuleSort:
		return "core module"
	}
	return "core definition"
}

func (l *linker) importDef(s *scope, d *binary.Import, args map[string]entity) error {
	if args == nil {
		ent, err := l.abstract(s, d.Type, Import{Name: d.Name})
		if err != nil {
			return fmt.Errorf("import %q: %w", d.Name, err)
		}
		s.define(ent)
		extern := externOf(d.Name, ent)
		l.plan.Type.Imports = append(l.plan.Type.Imports, extern)
		return nil
	}
	arg, ok := args[d.Name]
	if !ok {
		return fmt.Errorf("import %q: no argument of that name is given", d.Name)
	}
	arg, err := l.narrow(s, d.Type, arg)
	if err != nil {
		return fmt.Errorf("import %q: %w", d.Name, err)
	}
	s.define(arg)
	return nil
}

func (l *linker) exportDef(s *scope, d *binary.Export, exports *instance) error {
	ent, err := s.entity(d.Sort, d.Index)
	if err != nil {
		return fmt.Errorf("export %q: %w", d.Name, err)
	}
	if d.Type != nil {
		if ent, err = l.narrow(s, *d.Type, ent); err != nil {
			return fmt.Errorf("export %q: %w", d.Name, err)
		}
	}
	if ent.typ != nil && ent.typ.resource != nil && ent.typ.resource.Name == "" {
		ent.typ.resource.Name = d.Name
	}
	s.define(ent)
	return exports.add(d.Name, ent)
}

// number gives a resource type a number.
func (l *linker) number(r Resource) int {
	n := len(l.plan.Resources)
	l.plan.Resources = append(l.plan.Resources, r)
	l.resources[r.Type] = n
	return n
}

func (l *linker) resource(r *types.Resource) (int, error) {
	n, ok := l.resources[r]
	if !ok {
		return 0, fmt.Errorf("resource %s is only a bound of a type, not a resource of this component", r.Name)
	}
	return n, nil
}

func (l *linker) canon(s *scope, d *binary.Canon) error {
	switch d.Op {
	case binary.Lift:
		return l.lift(s, d)
	case binary.Lower:
		return l.lower(s, d)
	}
	tr := Trampoline{Op: d.Op, Instance: s.instance}
	tr.Type, _ = d.Op.CoreType()
	switch d.Op {
	case binary.ResourceNew, binary.ResourceDrop, binary.ResourceRep:
		t, err := index(s.types, d.Type, "type")
		if err != nil {
			return err
		}
		if t.resource == nil {
			return fmt.Errorf("type %d is not a resource", d.Type)
		}
		if tr.Resource, err = l.resource(t.resource); err != nil {
			return err
		}
	case binary.TaskReturn:
		result, err := l.valType(s, d.Result)
		if err != nil {
			return err
		}
		f := &types.Func{}
		if result != nil {
			f.Params = []types.Field{{Name: "result", Type: result}}
		}
		if tr.Signature, err = abi.Compile(f, l.resource); err != nil {
			return err
		}
		if tr.Heap, err = l.heap(s, d.Options); err != nil {
			return err
		}
		tr.Type = tr.Signature.LowerType()
	case binary.ContextGet:
		tr.Slot, tr.Type.Results = int(d.Index), []core.ValueType{d.Context}
	case binary.ContextSet:
		tr.Slot, tr.Type.Params = int(d.Index), []core.ValueType{d.Context}
	}
	s.coreFuncs = append(s.coreFuncs, l.trampoline(tr))
	return nil
}

// trampoline adds a trampoline to the plan.
func (l *linker) trampoline(t Trampoline) Ref {
	t.Name = SlotName(len(l.plan.Trampolines))
	l.plan.Trampolines = append(l.plan.Trampolines, t)
	return Ref{0, t.Name}
}

// start makes the step that calls a start function: through a trampoline, as if a
// core module without memory called it.
func (l *linker) start(s *scope, d *binary.Start) error {
	fn, err := index(s.funcs, d.Func, "function")
	if err != nil {
		return err
	}
	sig, err := abi.Compile(fn.typ, l.resource)
	if err != nil {
		return err
	}
	h, err := l.heap(s, binary.CanonOptions{})
	if err != nil {
		return err
	}
	ref := l.trampoline(Trampoline{Op: binary.Lower, Type: sig.LowerType(), Instance: s.instance, Signature: sig, Heap: h, Callee: fn.callee})
	l.plan.Steps = append(l.plan.Steps, Start(ref))
	return nil
}

func (l *linker) lift(s *scope, d *binary.Canon) error {
	fn, err := index(s.coreFuncs, d.Func, "core function")
	if err != nil {
		return err
	}
	t, err := index(s.types, d.Type, "type")
	if err != nil {
		return err
	}
	if t.fn == nil {
		return fmt.Errorf("type %d is not a function type", d.Type)
	}
	l.definitions += len(t.fn.Params)
	sig, err := abi.Compile(t.fn, l.resource)
	if err != nil {
		return err
	}
	lift := Lift{
		Name: fn.Name, Core: l.guarded(fn), Signature: sig, Instance: s.instance,
		Async: d.Options.Async, Callback: d.Options.HasCallback,
	}
	if lift.Heap, err = l.heap(s, d.Options); err != nil {
		return err
	}
	if d.Options.HasPostReturn {
		ref, err := index(s.coreFuncs, d.Options.PostReturn, "core function")
		if err != nil {
			return fmt.Errorf("post-return: %w", err)
		}
		ref = l.guarded(ref)
		lift.PostReturn = &ref
	}
	n := len(l.plan.Lifts)
	l.plan.Lifts = append(l.plan.Lifts, lift)
	l.plan.Steps = append(l.plan.Steps, BindLift(n))
	s.funcs = append(s.funcs, &function{t.fn, Callee{Lift: n}})
	return nil
}

func (l *linker) lower(s *scope, d *binary.Canon) error {
	fn, err := index(s.funcs, d.Func, "function")
	if err != nil {
		return err
	}
	compile := abi.Compile
	if d.Options.Async {
		compile = abi.CompileAsync
	}
	l.definitions += len(fn.typ.Params)
	sig, err := compile(fn.typ, l.resource)
	if err != nil {
		return err
	}
	t := sig.LowerType()
	if d.Options.Async {
		t.Results = []core.ValueType{core.I32}
	}
	h, err := l.heap(s, d.Options)
	if err != nil {
		return err
	}
	s.coreFuncs = append(s.coreFuncs, l.trampoline(Trampoline{
		Type: t, Op: binary.Lower, Instance: s.instance,
		Signature: sig, Heap: h, Callee: fn.callee, Async: d.Options.Async,
	}))
	return nil
}

// heap returns the number of the heap that options name.
func (l *linker) heap(s *scope, o binary.CanonOptions) (int, error) {
	h := Heap{Encoding: abi.Encoding(o.Encoding), Instance: s.instance}
	if o.HasMemory {
		ref, err := index(s.coreMemories, o.Memory, "core memory")
		if err != nil {
			return 0, err
		}
		h.Memory = &ref
	}
	if o.HasRealloc {
		ref, err := index(s.coreFuncs, o.Realloc, "core function")
		if err != nil {
			return 0, fmt.Errorf("realloc: %w", err)
		}
		ref = l.guarded(ref)
		h.Realloc = &ref
	}
	key := h.key()
	if n, ok := l.heaps[key]; ok {
		return n, nil
	}
	if h.Realloc != nil {
		l.allocates(*h.Realloc)
	}
	n := len(l.plan.Heaps)
	l.heaps[key] = n
	l.plan.Heaps = append(l.plan.Heaps, h)
	l.plan.Steps = append(l.plan.Steps, BindHeap(n))
	return n, nil
}

// allocates notes that a core function is the realloc of a heap. Slot 0 has none.
func (l *linker) allocates(f Ref) {
	if f.Slot == 0 {
		return
	}
	if s := l.slots[f.Slot-1]; len(s.Reallocs) < maxReallocs && !slices.Contains(s.Reallocs, f.Name) {
		s.Reallocs = append(s.Reallocs, f.Name)
	}
}

// heapKey tells heaps apart. No slot is negative.
type heapKey struct {
	encoding        abi.Encoding
	instance        int
	memory, realloc Ref
}

func (h Heap) key() heapKey {
	k := heapKey{h.Encoding, h.Instance, Ref{Slot: -1}, Ref{Slot: -1}}
	if h.Memory != nil {
		k.memory = *h.Memory
	}
	if h.Realloc != nil {
		k.realloc = *h.Realloc
	}
	return k
}

// export records the outermost component's exports in the plan.
func (l *linker) export(exports *instance) {
	for _, name := range exports.names {
		l.plan.Type.Exports = append(l.plan.Type.Exports, externOf(name, exports.exports[name]))
	}
	l.exportFuncs("", exports)
}

// exportFuncs records the functions that an instance exports, and those of the
// instances that it exports.
func (l *linker) exportFuncs(iface string, inst *instance) {
	for _, name := range inst.names {
		switch ent := inst.exports[name]; {
		case ent.fn != nil:
			l.exportFunc(iface, name, ent.fn)
		case ent.instance != nil:
			l.exportFuncs(Import{iface, name}.String(), ent.instance)
		}
	}
}

func (l *linker) exportFunc(iface, name string, fn *function) {
	e := Export{iface, name, fn.typ, fn.callee}
	l.plan.Exports = append(l.plan.Exports, e)
	if fn.callee.Import == nil {
		l.plan.Lifts[fn.callee.Lift].Name = Import{iface, name}.String()
	}
}
