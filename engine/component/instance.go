// SPDX-License-Identifier: Apache-2.0

package component

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/validate"
)

// InstanceConfig configures one instance. The zero value gives a component no
// imports and the default limits.
type InstanceConfig struct {
	// Imports are the interfaces given to the component, matched by name and, as
	// semver allows, version. Those it does not import are ignored; a function that
	// it imports and nobody gives traps when it is called.
	Imports []*Interface
	// Memory bounds the linear memories together, in bytes; default 256 MiB. A guest
	// that asks for more is told no.
	Memory uint64
	// Handles bounds the handles that the component may hold, with all components
	// in it; default 65,536.
	Handles int
	// Deadline bounds each call of an export, default 1 s; Start bounds the
	// instantiation, default 10 s. Negative: no bound.
	Deadline, Start time.Duration
	// Fuel, when not 0, bounds each call in units of guest work (about one
	// instruction each) instead of time, so that where a call is stopped does not
	// depend on the machine. Calls of the host cost a guest by what they pass.
	Fuel uint64
	// Now reads the clock that deadlines are measured with; default time.Now. It is
	// only read when a guest has worked for about a quarter of a millisecond.
	Now func() time.Time
}

func (c InstanceConfig) withDefaults() InstanceConfig {
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Handles == 0 {
		c.Handles = 1 << 16
	}
	if c.Deadline == 0 {
		c.Deadline = time.Second
	}
	if c.Start == 0 {
		c.Start = 10 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Instance is an instantiated component. It serves one call at a time: a call made
// during another fails with ErrBusy. Close it when done, also after a trap.
type Instance struct {
	component *Component
	config    InstanceConfig
	store     core.Store
	slots     []core.Instance
	parts     []part
	handles   abi.Quota
	heaps     []abi.Heap
	resources []*abi.Resource
	lifts     []lifted
	imports   []HostFunc    // by trampoline; nil where the callee is no import
	given     []core.Module // that the host gave
	context   callContext
	meter     meter
	dynamic   dynamic // of the call from outside
	busy      atomic.Bool
	poison    error
}

// part is one component instance of the plan: the outermost component's, or a
// nested one's. A part can't be entered while it is in a call, and can't be left
// while it allocates or cleans up.
type part struct {
	table   abi.Table
	entered bool
	stuck   bool // may not call out
	task    task // the call that the part is in
	// backpressure counts by how much the part asked not to be entered by further
	// async calls.
	backpressure int
	// activations are reused; the first depth of them are in use.
	activations []*activation
	depth       int
}

// activation is one call's working memory.
type activation struct {
	frame abi.Frame
	stack []uint64
	call  Call
	codec dynamic
}

// lifted is a lift, resolved.
type lifted struct {
	fn, post core.Func
}

// callContext is the context that calls into the core engine carry: the caller's,
// and the way from a trampoline back to the instance.
type callContext struct {
	context.Context
	instance *Instance
}

// Value returns nil: an engine would ask the whole chain of the caller's contexts in
// each call for settings that nobody makes there. Host functions get the caller's.
func (*callContext) Value(any) any { return nil }

func instanceOf(ctx context.Context) *Instance { return ctx.(*callContext).instance }

// Instantiate makes an instance: core modules are instantiated in order and their
// start functions run, with ctx and the Start deadline. An import whose type the
// given interface contradicts is an error. Of a component that is compiled lazily, the
// code is waited for first, and why there is none is an error.
func (c *Component) Instantiate(ctx context.Context, config InstanceConfig) (*Instance, error) {
	if err := c.Wait(ctx); err != nil {
		return nil, err
	}
	i := &Instance{
		component: c,
		config:    config.withDefaults(),
		slots:     make([]core.Instance, c.plan.Slots),
		parts:     make([]part, c.plan.Instances),
		heaps:     make([]abi.Heap, len(c.plan.Heaps)),
		resources: make([]*abi.Resource, len(c.plan.Resources)),
		lifts:     make([]lifted, len(c.plan.Lifts)),
		imports:   make([]HostFunc, len(c.plan.Trampolines)),
	}
	i.handles.Limit = i.config.Handles
	i.context.instance = i
	for p := range i.parts {
		i.parts[p].table.Quota = &i.handles
	}
	if err := i.bind(); err != nil {
		return nil, fmt.Errorf("component: instantiate %s: %w", c.name, err)
	}
	i.busy.Store(true)
	defer i.busy.Store(false)
	if err := i.start(ctx); err != nil {
		t := i.trap("instantiation", err)
		return nil, errors.Join(fmt.Errorf("component: instantiate: %w", t), i.close(context.WithoutCancel(ctx)))
	}
	return i, nil
}

// start carries out the plan's steps.
func (i *Instance) start(ctx context.Context) (err error) {
	c := i.component
	i.enter(ctx, i.config.Start)
	defer i.leave()
	resolve := func(slot string) core.Instance { return i.slots[slotNumber(slot)] }
	i.store = c.engine.NewStore(core.Limits{MemoryBytes: i.config.Memory})
	if i.slots[0], err = i.store.Instantiate(&i.context, c.host, resolve); err != nil {
		return err
	}
	for n, step := range c.plan.Steps {
		switch s := step.(type) {
		case *link.Instantiate:
			m := c.modules[n]
			if s.From != nil {
				m, err = i.compileGiven(s)
			}
			if err == nil {
				i.slots[s.Slot], err = i.store.Instantiate(&i.context, m, resolve)
			}
		case link.BindHeap:
			err = i.bindHeap(int(s))
		case link.BindResource:
			err = i.bindResource(int(s))
		case link.BindLift:
			err = i.bindLift(int(s))
		case link.Start:
			err = i.slots[s.Slot].Func(s.Name).Call(&i.context, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compileGiven compiles a core module that the host gives.
func (i *Instance) compileGiven(s *link.Instantiate) (core.Module, error) {
	given := find(i.config.Imports, s.From.Interface)
	if given == nil || given.Modules[s.From.Name] == nil {
		return nil, fmt.Errorf("import %v: the host gives no such core module", s.From)
	}
	decoded, err := rewrite.Decode(given.Modules[s.From.Name], i.component.limits)
	if err == nil {
		err = validate.Module(decoded, s.Type)
	}
	if err == nil {
		err = i.component.checkGiven(decoded)
	}
	if err != nil {
		return nil, fmt.Errorf("import %v: %w", s.From, err)
	}
	wasm, err := i.component.rewriteCore(s, decoded, i.component.plan.TableElements)
	if err != nil {
		return nil, fmt.Errorf("import %v: %w", s.From, err)
	}
	m, err := i.component.engine.Compile(i.context.Context, wasm)
	if err != nil {
		return nil, fmt.Errorf("import %v: %w", s.From, err)
	}
	i.given = append(i.given, m)
	return m, nil
}

// checkGiven refuses what must be known when a component is linked.
func (c *Component) checkGiven(m *rewrite.Module) error {
	if n := len(m.Parts()); n > 0 {
		return fmt.Errorf("a core module that the host gives may have one memory, this one has %d", n+1)
	}
	if m.Throws() && c.plan.Exceptions == 0 {
		return errors.New("a core module that the host gives may throw exceptions only if one of the component's own does")
	}
	return nil
}

// slotNumber reverses link.SlotName, for names that the rewriter wrote.
func slotNumber(slot string) int {
	n := 0
	for _, d := range []byte(slot) {
		n = 10*n + int(d-'0')
	}
	return n
}

func (i *Instance) coreFunc(ref *link.Ref) (core.Func, error) {
	if ref == nil {
		return nil, nil
	}
	if f := i.slots[ref.Slot].Func(ref.Name); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("core instance %d exports no function %q", ref.Slot, ref.Name)
}

func (i *Instance) bindHeap(n int) (err error) {
	h := &i.component.plan.Heaps[n]
	heap := abi.Heap{Encoding: h.Encoding}
	if h.Memory != nil {
		if heap.Memory = i.slots[h.Memory.Slot].Memory(h.Memory.Name); heap.Memory == nil {
			return fmt.Errorf("core instance %d exports no memory %q", h.Memory.Slot, h.Memory.Name)
		}
	}
	if heap.Realloc, err = i.coreFunc(h.Realloc); heap.Realloc != nil {
		batch := i.slots[h.Realloc.Slot].Func(rewrite.BatchName(h.Realloc.Name))
		if batch != nil && batch.Type().Equal(rewrite.BatchType()) { // or the guest's own
			heap.Batch = batch
		}
	}
	i.heaps[n] = heap
	return err
}

func (i *Instance) bindLift(n int) (err error) {
	l := &i.component.plan.Lifts[n]
	if i.lifts[n].fn, err = i.coreFunc(&l.Core); err != nil {
		return err
	}
	i.lifts[n].post, err = i.coreFunc(l.PostReturn)
	return err
}

// bindResource makes the resource type n, which the component defines.
func (i *Instance) bindResource(n int) error {
	r := &i.component.plan.Resources[n]
	owner := &i.parts[r.Instance]
	res := &abi.Resource{Name: r.Type.Name, Owner: &owner.table}
	i.resources[n] = res
	dtor, err := i.coreFunc(r.Dtor)
	if err != nil || dtor == nil {
		return err
	}
	res.Destroy = func(ctx context.Context, rep abi.Rep) error {
		var stack [1]uint64
		stack[0] = uint64(rep.Num)
		if err := dtor.Call(ctx, stack[:]); err != nil {
			return fmt.Errorf("destructor of %s: %w", res.Name, err)
		}
		return nil
	}
	return nil
}

// bind finds what the component's imports are given.
func (i *Instance) bind() error {
	plan := i.component.plan
	known := map[string]*Interface{}
	given := func(iface string) *Interface {
		g, ok := known[iface]
		if !ok {
			g = find(i.config.Imports, iface)
			known[iface] = g
		}
		return g
	}
	// Resources first: types are compared with the host's in place of the imports'.
	same := map[*types.Resource]*types.Resource{}
	hosts := map[*types.Resource]*abi.Resource{}
	for n, r := range plan.Resources {
		if r.Import == nil {
			continue
		}
		key := r.Type
		res := &abi.Resource{Name: r.Import.Name}
		if g := given(r.Import.Interface); g != nil {
			if x := types.Find(g.Type.Exports, r.Import.Name); x != nil && x.Resource != nil {
				same[r.Type], key = x.Resource, x.Resource
				if drop := g.Drop[r.Import.Name]; drop != nil {
					res.Destroy = func(_ context.Context, rep abi.Rep) error { drop(rep.Object); return nil }
				}
			}
		}
		if known := hosts[key]; known != nil {
			res = known
		}
		hosts[key], i.resources[n] = res, res
	}
	m := &types.Matcher{Resource: same}
	for n := range plan.Trampolines {
		t := &plan.Trampolines[n]
		if t.Callee.Import == nil {
			continue
		}
		fn, err := lookup(given(t.Callee.Import.Interface), t, m)
		if err != nil {
			return err
		}
		i.imports[n] = fn
	}
	return nil
}

// lookup returns the host function for a trampoline, or one that traps.
func lookup(g *Interface, t *link.Trampoline, m *types.Matcher) (HostFunc, error) {
	path := t.Callee.Import
	if g != nil {
		if x := types.Find(g.Type.Exports, path.Name); x != nil && x.Func != nil {
			if err := m.Func(x.Func, t.Signature.Type()); err != nil {
				return nil, fmt.Errorf("import %s: the host's type differs: %w", path, err)
			}
			if fn := g.Funcs[path.Name]; fn != nil {
				return fn, nil
			}
		}
	}
	return missing, nil
}

// Close frees the instance: host objects that it still owns are dropped, its
// memory is given back. Close must not be called during a call.
func (i *Instance) Close(ctx context.Context) error {
	if !i.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("component %s: close: %w", i.component.name, ErrBusy)
	}
	defer i.busy.Store(false)
	return i.close(ctx)
}

func (i *Instance) close(ctx context.Context) error {
	i.poison = errors.New("instance is closed")
	var errs []error
	for p := range i.parts {
		i.parts[p].table.Each(func(r *abi.Resource, rep abi.Rep) {
			if r.Owner == nil && r.Destroy != nil {
				errs = append(errs, r.Destroy(ctx, rep))
			}
		})
		i.parts[p] = part{}
	}
	clear(i.slots)
	errs = append(errs, i.store.Close(ctx))
	for _, m := range i.given {
		errs = append(errs, m.Close(ctx))
	}
	i.given = nil
	return errors.Join(errs...)
}

// refusals returns how often the guest was refused memory.
func (i *Instance) refusals() (n uint64) {
	for h := range i.heaps {
		if m := i.heaps[h].Memory; m != nil {
			n += m.Refusals()
		}
	}
	return n
}
