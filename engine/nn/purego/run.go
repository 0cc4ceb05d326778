// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/nn"
)

// Compute implements nn.Model.
func (m *model) Compute(ctx context.Context, inputs []nn.Named) ([]nn.Named, error) {
	bound, err := nn.Bind(m.program.in, inputs)
	if err != nil {
		return nil, err
	}
	dims := make([][]int, len(bound))
	for i, t := range bound {
		dims[i] = make([]int, len(t.Dims))
		for k, d := range t.Dims {
			dims[i][k] = int(d)
		}
	}
	pl, err := m.plan(ctx, dims)
	if err != nil {
		return nil, classify(nn.InvalidArgument, fmt.Errorf("compute: %w", err))
	}
	a := pl.arena()
	defer pl.arenas.Put(a)
	for i, n := range m.program.inputs {
		a.values[n].set(bound[i].Data)
	}
	w := newWork(ctx, m.config.Threads)
	for _, s := range pl.steps {
		if err := nn.Done(ctx); err != nil {
			return nil, err
		}
		s.kernel.run(w, a.pick(s.in), a.pick(s.out))
	}
	if err := nn.Done(ctx); err != nil {
		return nil, err // what is there may be incomplete
	}
	out := make([]nn.Named, len(m.program.out))
	for i, port := range m.program.out {
		out[i] = nn.Named{Name: port.Name, Tensor: a.values[m.program.outputs[i]].tensor(port.Type)}
	}
	return out, nil
}

func (a *arena) pick(numbers []int) []*value {
	out := make([]*value, len(numbers))
	for i, n := range numbers {
		if n != absent {
			out[i] = a.values[n]
		}
	}
	return out
}

// work is what the kernels of one run share their work with.
type work struct {
	threads int
	stopped func() bool // the run's context is done
	buffers sync.Pool   // of *[]float32
}

func newWork(ctx context.Context, threads int) *work {
	return &work{threads: threads, stopped: func() bool { return ctx.Err() != nil }}
}

// scratch returns a buffer of n floats of any value, until release.
func (w *work) scratch(n int) *[]float32 {
	b, _ := w.buffers.Get().(*[]float32)
	if b == nil || cap(*b) < n {
		fresh := make([]float32, n)
		return &fresh
	}
	*b = (*b)[:n]
	return b
}

func (w *work) release(b *[]float32) { w.buffers.Put(b) }

// grain is about how many elements are worth a goroutine's attention.
const grain = 1 << 14

// each calls do for 0 to n-1, on several goroutines, in no particular order. It
// returns when all calls have, or early when the context is done: then some were not
// made.
func (w *work) each(n int, do func(i int)) {
	threads := min(w.threads, n)
	var next atomic.Int64
	loop := func() {
		for !w.stopped() {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			do(i)
		}
	}
	var all sync.WaitGroup
	for range threads - 1 {
		all.Go(loop)
	}
	loop()
	all.Wait()
}

// ranges calls do for consecutive ranges that together are 0 to n, as each does.
func (w *work) ranges(n int, do func(from, to int)) {
	if n <= grain {
		do(0, n)
		return
	}
	w.each((n+grain-1)/grain, func(i int) { do(i*grain, min((i+1)*grain, n)) })
}
