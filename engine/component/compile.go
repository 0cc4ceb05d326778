// SPDX-License-Identifier: Apache-2.0

package component

import (
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
func (r *Runtime) Compile(ctx context.Context, name string, data []byte) (*Component, error) {
	c, err := r.compile(ctx, name, data)
	if err != nil {
		return nil, fmt.Errorf("component: compile %s: %w", name, err)
	}
	return c, nil
}

func (r *Runtime) compile(ctx context.Context, name string, data []byte) (*Component, error) {
	decoded, err := binary.Decode(data)
	if err != nil {
		return nil, err
	}
	key := r.key(data)
	if kept, ok := r.config.Cache.Get(key); ok {
		if c := r.load(ctx, name, decoded, decodeEntry(kept)); c != nil {
			return c, nil
		}
	}
	plan, err := link.Link(decoded, r.config.Limits)
	if err != nil {
		return nil, err
	}
	c := r.component(name, plan)
	steps := c.compiled()
	digests := make([][32]byte, len(steps))
	err = c.compileAll(ctx, len(steps)+len(plan.Unused), func(n int) (offset int, err error) {
		if n >= len(steps) {
			u := plan.Unused[n-len(steps)]
			return u.Offset, c.checkCore(ctx, u.Module)
		}
		s := plan.Steps[steps[n]].(*link.Instantiate)
		wasm, err := c.rewriteCore(s, s.Module)
		s.Module = nil // the caller's bytes are not needed any more
		if err == nil {
			digests[n] = sha256.Sum256(wasm)
			c.modules[steps[n]], err = c.engine.Compile(ctx, wasm)
		}
		return s.Offset, err
	})
	plan.Unused = nil
	if err != nil {
		return nil, err
	}
	if plan.Relinkable() {
		r.config.Cache.Put(key, entry{throws: plan.Exceptions != 0, digests: digests}.encode())
	}
	return c, nil
}

// load makes a Component of one that was compiled before, or returns nil if the engine
// has not kept all of its code.
func (r *Runtime) load(ctx context.Context, name string, decoded *binary.Component, kept entry) *Component {
	plan, err := link.Relink(decoded, kept.throws)
	if err != nil {
		return nil
	}
	c := r.component(name, plan)
	steps := c.compiled()
	if len(kept.digests) != len(steps) {
		return nil
	}
	err = c.compileAll(ctx, len(steps), func(n int) (offset int, err error) {
		if m := c.engine.Load(ctx, kept.digests[n]); m != nil {
			c.modules[steps[n]] = m
			return 0, nil
		}
		return 0, errors.New("not kept")
	})
	if err != nil {
		return nil
	}
	return c
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
func (c *Component) compiled() (steps []int) {
	for n, step := range c.plan.Steps {
		if s, ok := step.(*link.Instantiate); ok && s.From == nil {
			steps = append(steps, n)
		}
	}
	return steps
}

// compileAll makes the component's code: compile is called with each number below n,
// side by side, and returns where in the component its module is. If it fails, nothing
// is left.
func (c *Component) compileAll(ctx context.Context, n int, compile func(n int) (offset int, err error)) (err error) {
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
				if offset, err := compile(int(i)); err != nil {
					errs[i] = fmt.Errorf("core module at offset %#x: %w", offset, err)
					for first := failed.Load(); i < first && !failed.CompareAndSwap(first, i); first = failed.Load() {
					}
				}
			}
		})
	}
	work.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		err = errs[i]
	} else {
		c.host, err = c.engine.CompileHost(ctx, trampolines(c.plan))
	}
	if err != nil {
		err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}
	return err
}

// rewriteCore rewrites a core module that s is to instantiate: its imports are named
// after slots.
func (c *Component) rewriteCore(s *link.Instantiate, m *rewrite.Module) ([]byte, error) {
	options := rewrite.Options{
		Rename: func(i rewrite.Import) (rewrite.Name, error) {
			ref, err := s.Resolve(i.Module, i.Name)
			return rewrite.Name{Module: link.SlotName(ref.Slot), Field: ref.Name}, err
		},
		Memory:        func(memory uint32) string { return link.SlotName(s.Memories[memory-1]) },
		Batch:         s.Reallocs,
		TableElements: c.plan.TableElements,
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
