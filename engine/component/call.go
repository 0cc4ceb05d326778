// SPDX-License-Identifier: Apache-2.0

package component

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// Func is an exported function of an instance. Like its instance, it serves one
// call at a time.
type Func struct {
	instance *Instance
	lift     int
	plan     *link.Lift
}

// Func returns the function that the component exports as name in interface iface
// ("" for one exported by itself), or nil where there is none. An instance within an
// exported one goes by both names, joined by "#".
func (i *Instance) Func(iface, name string) *Func {
	n, ok := i.component.exports[exportKey{iface, name}]
	if !ok {
		return nil
	}
	e := &i.component.plan.Exports[n]
	if e.Callee.Import != nil {
		return nil // the host's own function, handed back
	}
	return &Func{i, e.Callee.Lift, &i.component.plan.Lifts[e.Callee.Lift]}
}

// Type returns the function's type.
func (f *Func) Type() *types.Func { return f.plan.Signature.Type() }

// Call calls the function with one value a parameter, and returns its result, the
// zero Value where it has none. Everything in the result is the caller's. A trap is
// an error of type *Trap.
func (f *Func) Call(ctx context.Context, args ...value.Value) (value.Value, error) {
	return f.CallIn(ctx, nil, args...)
}

// CallIn is Call with a result that lives in a, until its Reset. It allocates nothing
// beyond what a needs to grow.
func (f *Func) CallIn(ctx context.Context, a *value.Arena, args ...value.Value) (value.Value, error) {
	i := f.instance
	if err := f.enter(); err != nil {
		return value.Value{}, err
	}
	defer i.busy.Store(false)
	d := &i.dynamic
	d.signature, d.arena = f.plan.Signature, a
	d.args = append(d.args[:0], args...) // args stays on the caller's stack
	err := f.invoke(ctx, d)
	v := d.result
	clear(d.args)
	d.result, d.arena = value.Value{}, nil
	return v, err
}

// A Codec lowers the arguments and lifts the result of one call by hand: the fast
// way for a caller who knows the function's type. Both methods have a stack as long
// as the function's flat parameters and results. LiftResult must not change it,
// and must copy what it keeps: the guest frees the rest when it returns.
type Codec interface {
	LowerParams(f *abi.Frame, stack []uint64) error
	LiftResult(f *abi.Frame, stack []uint64) error
}

// dynamic is the Codec of dynamic values.
type dynamic struct {
	signature *abi.Signature
	arena     *value.Arena // of the result; nil where it is to be kept
	args      []value.Value
	result    value.Value
}

func (d *dynamic) LowerParams(f *abi.Frame, stack []uint64) error {
	return d.signature.LowerParams(f, d.args, stack)
}

func (d *dynamic) LiftResult(f *abi.Frame, stack []uint64) (err error) {
	if d.arena != nil {
		f.LiftInto(d.arena)
	}
	d.result, err = d.signature.LiftResult(f, stack)
	return err
}

// Invoke calls the function through a codec. It allocates nothing itself.
func (f *Func) Invoke(ctx context.Context, c Codec) error {
	if err := f.enter(); err != nil {
		return err
	}
	defer f.instance.busy.Store(false)
	return f.invoke(ctx, c)
}

// enter takes the instance for one call. Who got it gives it back.
func (f *Func) enter() error {
	i := f.instance
	if !i.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("component %s: %s: %w", i.component.name, f.plan.Name, ErrBusy)
	}
	if i.poison != nil {
		i.busy.Store(false)
		return fmt.Errorf("component %s: %s: %w: %w", i.component.name, f.plan.Name, ErrPoisoned, i.poison)
	}
	return nil
}

func (f *Func) invoke(ctx context.Context, c Codec) error {
	i := f.instance
	i.enter(ctx, i.config.Deadline)
	err := i.invoke(f.lift, c)
	i.leave()
	if err != nil {
		t := i.trap(f.plan.Name, err)
		i.poison = t.Cause
		return t
	}
	return nil
}

var (
	errEnter = errors.New("cannot enter component instance")
	errLeave = errors.New("cannot leave component instance")
)

// invoke calls lift n: lower, call, lift, clean up. An error leaves the parts in an
// undefined state.
func (i *Instance) invoke(n int, c Codec) error {
	l, plan := &i.lifts[n], &i.component.plan.Lifts[n]
	p := &i.parts[plan.Instance]
	if p.entered {
		return errEnter
	}
	if plan.Async && p.backpressure > 0 {
		return errors.New("an async function must wait, which is not supported: the component asked for no further calls (backpressure.inc)")
	}
	p.entered = true
	p.task = task{}
	a := i.push(p)
	f := &a.frame
	f.Export = true
	f.Begin(&i.context, &i.heaps[plan.Heap], abi.Kept)
	stack := a.slots(plan.Signature.StackSize())
	if err := c.LowerParams(f, stack); err != nil {
		return fmt.Errorf("lower parameters: %w", err)
	}
	if err := l.fn.Call(&i.context, stack); err != nil {
		return err
	}
	f.Stale()
	if plan.Async {
		if err := p.finish(plan, c, stack); err != nil {
			return err
		}
	} else if err := c.LiftResult(f, stack); err != nil {
		return fmt.Errorf("lift result: %w", err)
	}
	if l.post != nil {
		p.stuck = true
		if err := l.post.Call(&i.context, stack); err != nil {
			return fmt.Errorf("post-return: %w", err)
		}
		p.stuck = false
	}
	if err := f.Done(); err != nil {
		return err
	}
	p.depth--
	p.entered = false
	return nil
}

// push returns the working memory for one more call in p.
func (i *Instance) push(p *part) *activation {
	if p.depth == len(p.activations) {
		a := &activation{}
		a.call.instance = i
		a.frame.Table, a.frame.Resources = &p.table, i.resources
		a.frame.Stuck = &p.stuck
		p.activations = append(p.activations, a)
	}
	a := p.activations[p.depth]
	p.depth++
	return a
}

// slots returns a stack of n slots, reused between calls.
func (a *activation) slots(n int) []uint64 {
	if cap(a.stack) < n {
		a.stack = make([]uint64, n)
	}
	return a.stack[:n]
}

// The trampolines: what a guest's imports become. They trap by panicking with an
// error, as core.HostFunc wants it.

// callImport calls host function n for the guest.
func (i *Instance) callImport(ctx context.Context, n int, t *link.Trampoline, stack []uint64) {
	p := &i.parts[t.Instance]
	a := i.lowerTo(p, t, abi.Aliased)
	f := &a.frame
	args, err := t.Signature.LiftParams(f, stack)
	i.check(t, err)
	v, err := i.imports[n](&a.call, args)
	i.check(t, err)
	i.lowered(p, t, f, v, stack)
}

// lowered ends a call out of part p: v is its result.
func (i *Instance) lowered(p *part, t *link.Trampoline, f *abi.Frame, v value.Value, stack []uint64) {
	i.check(t, t.Signature.LowerResult(f, v, stack))
	i.check(t, f.Done())
	i.charge(callUnits + f.Work())
	if t.Async {
		stack[0] = returned
	}
	p.depth--
}

// callAcross calls another part of the component for the guest.
func (i *Instance) callAcross(t *link.Trampoline, stack []uint64) {
	p := &i.parts[t.Instance]
	a := i.lowerTo(p, t, abi.Brief) // the callee may move the caller's memory
	f := &a.frame
	args, err := t.Signature.LiftParams(f, stack)
	i.check(t, err)
	lift := &i.component.plan.Lifts[t.Callee.Lift]
	a.codec = dynamic{signature: lift.Signature, arena: f.Own(), args: args}
	err = i.invoke(t.Callee.Lift, &a.codec)
	i.check(t, err)
	f.Stale()
	v := a.codec.result
	a.codec = dynamic{}
	i.lowered(p, t, f, v, stack)
}

// lowerTo begins a call out of part p.
func (i *Instance) lowerTo(p *part, t *link.Trampoline, life abi.Lifetime) *activation {
	if p.stuck {
		i.check(t, errLeave)
	}
	a := i.push(p)
	a.frame.Export = false
	a.frame.Begin(&i.context, &i.heaps[t.Heap], life)
	return a
}

// check panics where err is one, saying which import failed.
func (i *Instance) check(t *link.Trampoline, err error) {
	if err == nil {
		return
	}
	name := "another component instance"
	switch {
	case t.Op == binary.ResourceNew, t.Op == binary.ResourceRep, t.Op == binary.ResourceDrop:
		name = t.Op.String()
		if r := i.resources[t.Resource].Name; r != "" { // it has one if it is exported
			name += " of " + r
		}
	case t.Op != binary.Lower:
		name = t.Op.String()
	case t.Callee.Import != nil:
		name = t.Callee.Import.String()
	}
	panic(fmt.Errorf("call of %s: %w", name, err))
}

func (i *Instance) resourceNew(t *link.Trampoline, stack []uint64) {
	p := i.builtin(t)
	h, err := p.table.New(i.resources[t.Resource], uint32(stack[0]))
	i.check(t, err)
	stack[0] = uint64(h)
}

func (i *Instance) resourceRep(t *link.Trampoline, stack []uint64) {
	rep, err := i.parts[t.Instance].table.Rep(i.resources[t.Resource], uint32(stack[0]))
	i.check(t, err)
	stack[0] = uint64(rep)
}

func (i *Instance) resourceDrop(t *link.Trampoline, stack []uint64) {
	p := i.builtin(t)
	i.check(t, p.table.Drop(&i.context, i.resources[t.Resource], uint32(stack[0])))
}

func (i *Instance) builtin(t *link.Trampoline) *part {
	p := &i.parts[t.Instance]
	if p.stuck {
		i.check(t, errLeave)
	}
	return p
}

// missing is the host function of an import that nobody gives. The trap names the import.
func missing(*Call, []value.Value) (value.Value, error) {
	return value.Value{}, errors.New("the host does not provide it")
}
