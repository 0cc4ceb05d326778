// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/wasm-graph/graphd/engine/nn"
)

// plan is a program for inputs of certain sizes: every shape is known, and where
// every value is kept. It is immutable, apart from the pool.
type plan struct {
	dims   [][]int  // of the inputs
	values []*value // by number; those that a run computes have no data
	places []place  // by number
	steps  []*step
	slots  []int // sizes of the arena's parts, in elements
	arenas sync.Pool
}

// place is where a value is kept during a run: at the beginning of a part of the
// arena that nothing else uses while the value is needed.
type place struct {
	slot int // or none
}

const none = -1

// newPlan plans p for inputs of dims.
func newPlan(ctx context.Context, p *program, dims [][]int, config Config) (*plan, error) {
	w := newWork(ctx, config.Threads)
	pl := &plan{dims: dims, values: slices.Clone(p.constants), places: make([]place, len(p.constants))}
	for i := range pl.places {
		pl.places[i] = place{none}
	}
	for i, n := range p.inputs {
		if err := checkDims(dims[i]); err != nil {
			return nil, fmt.Errorf("input %q: %w", p.in[i].Name, err)
		}
		pl.values[n] = &value{typ: p.types[i], dims: dims[i]}
	}
	var memory, spent uint64 // of constants that depend on sizes; multiplications
	spend := func(v *value) error {
		if memory += v.bytes(v.size()); memory > config.Memory {
			return fmt.Errorf("%w: tensors take more than %d bytes", errTooLarge, config.Memory)
		}
		return nil
	}
	for _, s := range p.steps {
		if err := nn.Done(ctx); err != nil {
			return nil, err
		}
		in := pl.pick(s.in)
		if !slices.ContainsFunc(in, func(v *value) bool { return v != nil && !v.constant }) {
			out, err := evaluate(ctx, w, s, in, config, spend)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.label, err)
			}
			for i, n := range s.out {
				pl.values[n] = out[i]
			}
			continue
		}
		inferred, err := infer(s, in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.label, err)
		}
		if len(inferred) != len(s.out) {
			return nil, fmt.Errorf("%s: %w: %d outputs, want %d", s.label, errUnsupported, len(s.out), len(inferred))
		}
		if s.op == "Shape" { // needs sizes only, which are known
			inferred[0].allocate()
			inferred[0].constant = true
			s.kernel.run(w, in, []*value{&inferred[0]})
			pl.values[s.out[0]] = &inferred[0]
			continue
		}
		for i, n := range s.out {
			pl.values[n] = &inferred[i]
		}
		if spent += s.kernel.work(in, pl.pick(s.out)); spent > config.Work {
			return nil, fmt.Errorf("%s: %w", s.label, tooMuchWork(config))
		}
		pl.steps = append(pl.steps, s)
	}
	if err := pl.arrange(p, config.Memory-memory); err != nil {
		return nil, err
	}
	for i, n := range p.outputs {
		if err := checkOutput(p.out[i], pl.values[n]); err != nil {
			return nil, err
		}
	}
	return pl, nil
}

// checkOutput compares what an output is with what the model says.
func checkOutput(port nn.Port, v *value) error {
	t, err := portType(v.typ)
	if err != nil {
		return fmt.Errorf("output %q: %w", port.Name, err)
	}
	same := t == port.Type && len(v.dims) == len(port.Dims)
	for i := 0; same && i < len(v.dims); i++ {
		same = port.Dims[i] < 0 || int(port.Dims[i]) == v.dims[i]
	}
	if !same {
		return fmt.Errorf("output %s: the model computes %s %v", port, t, v.dims)
	}
	return nil
}

// pick returns the values of those numbers, nil for what is absent.
func (pl *plan) pick(numbers []int) []*value {
	out := make([]*value, len(numbers))
	for i, n := range numbers {
		if n != absent {
			out[i] = pl.values[n]
		}
	}
	return out
}

// arrange gives each float that a run computes a place in the arena, such that no two
// that are needed at a time share one. Integers, which are few, have no place.
func (pl *plan) arrange(p *program, limit uint64) error {
	last := make([]int, len(pl.values)) // the step that needs a value last
	for i, s := range pl.steps {
		for _, n := range append(slices.Clone(s.in), s.out...) {
			if n != absent {
				last[n] = i
			}
		}
	}
	for _, n := range p.outputs {
		last[n] = len(pl.steps)
	}
	var free []int
	var total uint64
	take := func(n int) error {
		v := pl.values[n]
		if !v.isFloat() {
			total += v.bytes(v.size())
		} else {
			// The smallest that is large enough, or else the largest, made larger.
			need, best := v.size(), none
			for i, slot := range free {
				if best == none || betterSlot(pl.slots[slot], pl.slots[free[best]], need) {
					best = i
				}
			}
			var slot int
			if best == none {
				slot = len(pl.slots)
				pl.slots = append(pl.slots, 0)
			} else {
				slot = free[best]
				free = slices.Delete(free, best, best+1)
			}
			if need > pl.slots[slot] {
				total += v.bytes(need - pl.slots[slot])
				pl.slots[slot] = need
			}
			pl.places[n] = place{slot}
		}
		if total > limit {
			return fmt.Errorf("%w: tensors take more than %d bytes", errTooLarge, limit)
		}
		return nil
	}
	give := func(n, step int) {
		if n != absent && last[n] == step && pl.places[n].slot != none {
			free = append(free, pl.places[n].slot)
			last[n] = none // once
		}
	}
	for _, n := range p.inputs {
		if err := take(n); err != nil {
			return err
		}
	}
	for i, s := range pl.steps {
		for _, n := range s.out {
			if err := take(n); err != nil {
				return fmt.Errorf("%s: %w", s.label, err)
			}
		}
		for _, n := range append(slices.Clone(s.in), s.out...) {
			give(n, i)
		}
	}
	return nil
}

// betterSlot reports whether a part of size a is a better place for need elements than
// one of size b.
func betterSlot(a, b, need int) bool {
	if (a >= need) != (b >= need) {
		return a >= need
	}
	if a >= need {
		return a < b
	}
	return a > b
}

// arena is the memory of one run.
type arena struct {
	values []*value // by number, with data
}

// arena returns memory for a run, which has to be given back to the pool.
func (pl *plan) arena() *arena {
	if a, ok := pl.arenas.Get().(*arena); ok {
		return a
	}
	slots := make([][]float32, len(pl.slots))
	for i, size := range pl.slots {
		slots[i] = make([]float32, size)
	}
	a := &arena{values: make([]*value, len(pl.values))}
	for n, v := range pl.values {
		switch {
		case v == nil || v.constant:
			a.values[n] = v
		case pl.places[n].slot != none:
			a.values[n] = &value{typ: v.typ, dims: v.dims, f: slots[pl.places[n].slot][:v.size()]}
		default:
			a.values[n] = &value{typ: v.typ, dims: v.dims}
			a.values[n].allocate()
		}
	}
	return a
}

// model is an nn.Model.
type model struct {
	config  Config
	program *program

	mu     sync.Mutex
	latest *plan // of the sizes that came last; guarded by mu
}

// plan returns the plan for inputs of dims.
func (m *model) plan(ctx context.Context, dims [][]int) (*plan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest != nil && slices.EqualFunc(m.latest.dims, dims, slices.Equal[[]int]) {
		return m.latest, nil
	}
	pl, err := newPlan(ctx, m.program, dims, m.config)
	if err != nil {
		return nil, err
	}
	m.latest = pl
	return pl, nil
}

// Inputs implements nn.Model.
func (m *model) Inputs() []nn.Port { return m.program.in }

// Outputs implements nn.Model.
func (m *model) Outputs() []nn.Port { return m.program.out }

// Close implements nn.Model.
func (m *model) Close() error { return nil }
