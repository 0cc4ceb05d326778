// SPDX-License-Identifier: Apache-2.0

package component

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// Compile decodes, checks, links and compiles a component. name is for messages:
// traps and errors carry it. data is not retained.
//
// Core modules are compiled side by side, on all processors. Of several errors the one
// that comes first in the component is returned. With a cache, a component that was
// compiled before is only decoded and linked.
//
// Where Config.Lazy is set, Compile returns when the component is linked: see there.
func (r *Runtime) Compile(ctx context.Context, name string, data []byte) (*Component, error) {
	c, err := r.compile(ctx, name, data)
	if err != nil {
		return nil, compileError(name, err)
	}
	return c, nil
}

func compileError(name string, err error) error {
	return fmt.Errorf("component: compile %s: %w", name, err)
}

func (r *Runtime) compile(ctx context.Context, name string, data []byte) (*Component, error) {
	if r.config.Lazy {
		data = bytes.Clone(data) // which is needed after this
	}
	decoded, err := binary.Decode(data)
	if err != nil {
		return nil, err
	}
	t := translation{runtime: r, key: r.key(data), decoded: decoded}
	plan := t.known()
	if plan == nil {
		if plan, err = link.Link(decoded, r.config.Limits); err != nil {
			return nil, err
		}
	}
	c := r.component(name, plan)
	if !r.config.Lazy {
		if err := t.translate(ctx, c); err != nil {
			return nil, err
		}
		return c, nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := &making{cancel: cancel, done: make(chan struct{})}
	c.making = m
	go func() {
		defer cancel()
		defer close(m.done)
		m.err = t.translate(ctx, c)
	}()
	return c, nil
}

// making is the work on a component's code that goes on after Compile.
type making struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set
	err    error
}

// Wait waits until the component's code is there, and returns why it can't be made, or
// that ctx has ended before. It returns at once where the component isn't compiled
// lazily.
func (c *Component) Wait(ctx context.Context) error {
	if c.making == nil {
		return nil
	}
	select {
	case <-c.making.done:
	default:
		select {
		case <-c.making.done:
		case <-ctx.Done():
			return fmt.Errorf("component: wait for the code of %s: %w", c.name, context.Cause(ctx))
		}
	}
	if c.making.err != nil {
		return compileError(c.name, c.making.err)
	}
	return nil
}

// translation makes the code of a linked component.
type translation struct {
	runtime *Runtime
	key     cache.Key
	decoded *binary.Component
	kept    entry // of a component that was compiled before; otherwise the zero entry
}

// known returns the plan of a component that was compiled before, and sets t.kept; or
// nil.
func (t *translation) known() *link.Plan {
	text, ok := t.runtime.config.Cache.Get(t.key)
	if !ok {
		return nil
	}
	kept := decodeEntry(text)
	plan, err := link.Relink(t.decoded, kept.throws)
	if err != nil || len(kept.digests) == 0 || len(kept.digests) != len(compiled(plan)) {
		return nil
	}
	t.kept = kept
	return plan
}

// translate loads the code of c or makes it. If it fails, nothing is left.
func (t *translation) translate(ctx context.Context, c *Component) (err error) {
	if !t.load(ctx, c) {
		plan := c.plan
		if t.kept.digests != nil { // the plan was made without what compilation needs
			if plan, err = link.Link(t.decoded, t.runtime.config.Limits); err != nil {
				return err
			}
		}
		if err := t.make(ctx, c, plan); err != nil {
			return err
		}
	}
	if c.host, err = c.engine.CompileHost(ctx, trampolines(c.plan)); err != nil {
		return errors.Join(err, c.free(context.WithoutCancel(ctx)))
	}
	return nil
}

// load has the engine load what it has kept, and reports whether that was all of it.
func (t *translation) load(ctx context.Context, c *Component) bool {
	if t.kept.digests == nil {
		return false
	}
	steps := compiled(c.plan)
	return c.compileAll(ctx, len(steps), func(n int) error {
		if m := c.engine.Load(ctx, t.kept.digests[n]); m != nil {
			c.modules[steps[n]] = m
			return nil
		}
		return errors.New("not kept")
	}) == nil
}

// make rewrites and compiles what a plan of c, which Link made, has it instantiate.
func (t *translation) make(ctx context.Context, c *Component, plan *link.Plan) error {
	steps := compiled(plan)
	digests := make([][32]byte, len(steps))
	err := c.compileAll(ctx, len(steps)+len(plan.Unused), func(n int) error {
		if n >= len(steps) {
			u := plan.Unused[n-len(steps)]
			return moduleError(u.Module.Name, u.Offset, c.checkCore(ctx, u.Module))
		}
		s := plan.Steps[steps[n]].(*link.Instantiate)
		m := s.Module
		s.Module = nil // the caller's bytes are not needed any more
		wasm, err := c.rewriteCore(s, m, plan.TableElements)
		if err == nil {
			digests[n] = sha256.Sum256(wasm)
			c.modules[steps[n]], err = c.engine.Compile(ctx, wasm)
		}
		return moduleError(m.Name, s.Offset, err)
	})
	plan.Unused = nil
	if err == nil && plan.Relinkable() {
		t.runtime.config.Cache.Put(t.key, entry{throws: plan.Exceptions != 0, digests: digests}.encode())
	}
	return err
}

// moduleError says which core module err is about, if it is an error.
func moduleError(name string, offset int, err error) error {
	switch {
	case err == nil:
		return nil
	case name == "":
		return fmt.Errorf("core module at offset %#x: %w", offset, err)
	}
	return fmt.Errorf("core module %s at offset %#x: %w", name, offset, err)
}

// component returns a Component without code.
func (r *Runtime) component(name string, plan *link.Plan) *Component {
	c := &Component{
		name: name, engine: r.config.Engine, limits: r.config.Limits, plan: plan,
		modules: make([]core.Module, len(plan.Steps)),
		exports: make(map[exportKey]int, len(plan.Exports)),
	}
	for i, e := range plan.Exports {
		c.exports[exportKey{e.Interface, e.Name}] = i
	}
	return c
}

// compiled returns the positions of the steps whose module is compiled with the
// component, and not given with an instance's imports.
func compiled(plan *link.Plan) (steps []int) {
	for n, step := range plan.Steps {
		if s, ok := step.(*link.Instantiate); ok && s.From == nil {
			steps = append(steps, n)
		}
	}
	return steps
}

// compileAll makes core modules: compile is called with each number below n, side by
// side. If it fails, nothing is left.
func (c *Component) compileAll(ctx context.Context, n int, compile func(n int) error) error {
	var (
		work   sync.WaitGroup
		next   atomic.Int64
		failed atomic.Int64 // the first module that did
		errs   = make([]error, n)
	)
	failed.Store(int64(n))
	for range min(n, runtime.GOMAXPROCS(0)) {
		work.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= failed.Load() { // i is at least n, or its error would not be returned
					return
				}
				if errs[i] = compile(int(i)); errs[i] != nil {
					for first := failed.Load(); i < first && !failed.CompareAndSwap(first, i); first = failed.Load() {
					}
				}
			}
		})
	}
	work.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errors.Join(errs[i], c.free(context.WithoutCancel(ctx)))
	}
	return nil
}

// rewriteCore rewrites a core module that s is to instantiate: its imports are named
// after slots, and its tables bounded.
func (c *Component) rewriteCore(s *link.Instantiate, m *rewrite.Module, tableElements uint32) ([]byte, error) {
	options := rewrite.Options{
		Rename: func(i rewrite.Import) (rewrite.Name, error) {
			ref, err := s.Resolve(i.Module, i.Name)
			return rewrite.Name{Module: link.SlotName(ref.Slot), Field: ref.Name}, err
		},
		Memory:        func(memory uint32) string { return link.SlotName(s.Memories[memory-1]) },
		Batch:         s.Reallocs,
		TableElements: tableElements,
	}
	if c.plan.Exceptions != s.Slot {
		options.Exceptions = c.exceptions()
	}
	return rewriteModule(m, options)
}

// exceptions is Options.Exceptions of the component's core modules.
func (c *Component) exceptions() string {
	if c.plan.Exceptions == 0 {
		return ""
	}
	return link.SlotName(c.plan.Exceptions)
}

// checkCore compiles a core module that nothing instantiates, to see whether it is
// valid.
func (c *Component) checkCore(ctx context.Context, m *rewrite.Module) error {
	options := rewrite.Options{
		Rename: func(i rewrite.Import) (rewrite.Name, error) {
			return rewrite.Name{Module: "unused " + i.Module, Field: i.Name}, nil
		},
		Memory:     func(memory uint32) string { return "memory" },
		Exceptions: c.exceptions(),
	}
	for _, p := range m.Parts() {
		part, err := rewrite.Decode(p.Wasm, c.limits)
		if err != nil {
			return err
		}
		if err := c.checkCore(ctx, part); err != nil {
			return fmt.Errorf("memory %d: %w", p.Memory, err)
		}
	}
	wasm, err := rewriteModule(m, options)
	if err != nil {
		return err
	}
	compiled, err := c.engine.Compile(ctx, wasm)
	if err != nil {
		return err
	}
	return compiled.Close(ctx)
}

func rewriteModule(m *rewrite.Module, options rewrite.Options) ([]byte, error) {
	options.Tick = rewrite.Name{Module: link.SlotName(0), Field: tickName}
	options.Overflow = rewrite.Name{Module: link.SlotName(0), Field: overflowName}
	options.Uncaught = rewrite.Name{Module: link.SlotName(0), Field: uncaughtName}
	return m.Rewrite(options)
}

// entry is what a cache keeps of a component: the digests of its rewritten core
// modules, by which the engine finds their code, in the order of their instantiation.
// That there is an entry says that the component is valid. The plan is made anew: it
// takes less than a millisecond.
type entry struct {
	throws  bool // as in link.Relink
	digests [][32]byte
}

// encode writes an entry: a byte that is 1 where the component throws, and the digests.
func (e entry) encode() []byte {
	text := []byte{0}
	if e.throws {
		text[0] = 1
	}
	for _, d := range e.digests {
		text = append(text, d[:]...)
	}
	return text
}

// decodeEntry reverses encode. What was never encoded has no digests.
func decodeEntry(text []byte) (e entry) {
	if len(text)%32 != 1 || text[0] > 1 {
		return entry{}
	}
	e.throws = text[0] == 1
	for d := range slices.Chunk(text[1:], 32) {
		e.digests = append(e.digests, [32]byte(d))
	}
	return e
}

// key names what is kept of a component. It depends on this package and those below it,
// on the engine, whose judgement of the modules isn't asked for again, and on the limits.
func (r *Runtime) key(data []byte) cache.Key {
	if r.config.Cache == nil {
		return cache.Key{}
	}
	sum := sha256.Sum256(data)
	return sha256.Sum256(fmt.Appendf(nil, "component %s %s %s %v %x", r.build, rewrite.Version, r.config.Engine.Name(), r.config.Limits, sum))
}

// modulePath is the path of the module that this package is in.
const modulePath = "github.com/wasm-graph/graphd"
