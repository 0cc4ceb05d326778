// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// made counts the instances that a pool makes, and says which one is which: the guest's
// number starts at a thousand times it.
type made struct {
	count atomic.Uint32
	fails error // of Init, from now on
}

func (m *made) init(ctx context.Context, i *component.Instance) error {
	if m.fails != nil {
		return m.fails
	}
	_, err := i.Func("", "add").Call(ctx, value.U32(1000*m.count.Add(1)))
	return err
}

func newPool(t *testing.T, c *component.Component, config component.PoolConfig) *component.Pool {
	t.Helper()
	p := component.NewPool(c, config)
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func get(t *testing.T, p *component.Pool) *component.Instance {
	t.Helper()
	i, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func put(t *testing.T, p *component.Pool, i *component.Instance) {
	t.Helper()
	if err := p.Put(t.Context(), i); err != nil {
		t.Error(err)
	}
}

// add calls an instance of "counter".
func add(t *testing.T, i *component.Instance, n uint32) uint32 {
	t.Helper()
	sum, err := call(t, i, "", "add", value.U32(n))
	if err != nil {
		t.Fatal(err)
	}
	return sum.U32()
}

// TestPool borrows instances one after the other: what a script says, by letter.
// g borrows one and adds 1, p gives back the one borrowed first, f makes that one trap
// and gives it back. Every borrowing sees its instance's number, in thousands and in the
// order in which they are lent, and what was added to it.
func TestPool(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	for _, tt := range []struct {
		name   string
		config component.PoolConfig
		script string
		sums   []uint32
		made   uint32 // in the end
	}{
		{"lent again, the last one first", component.PoolConfig{Size: 2}, "ggppgg", []uint32{1001, 2001, 2002, 1002}, 2},
		{"poisoned, replaced", component.PoolConfig{Size: 1}, "gpgfgpg", []uint32{1001, 1002, 2001, 2002}, 2},
		{"single use", component.PoolConfig{Size: 1, SingleUse: true}, "gpgpg", []uint32{1001, 2001, 3001}, 4},
		{"single use, several", component.PoolConfig{Size: 2, SingleUse: true}, "gpgp", []uint32{1001, 2001}, 4},
		{"none spare", component.PoolConfig{Size: 2, Spare: -1}, "gpgp", []uint32{1001, 2001}, 2},
		{"more than spare", component.PoolConfig{Size: 3, Spare: 1}, "gggpppg", []uint32{1001, 2001, 3001, 1002}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m made
				tt.config.Init = m.init
				p := newPool(t, c, tt.config)
				if err := p.Fill(t.Context()); err != nil {
					t.Fatal(err)
				}
				var held []*component.Instance
				var sums, lent []uint32
				for _, step := range tt.script {
					switch step {
					case 'g':
						i := get(t, p)
						held = append(held, i)
						sum := add(t, i, 1)
						if !slices.Contains(lent, sum/1000) {
							lent = append(lent, sum/1000)
						}
						sums = append(sums, sum%1000+1000*uint32(1+slices.Index(lent, sum/1000)))
					case 'f':
						if _, err := call(t, held[0], "", "fail"); err == nil {
							t.Fatal("fail did not trap")
						}
						fallthrough
					case 'p':
						put(t, p, held[0])
						held = held[1:]
					}
					synctest.Wait() // for what is made in the background
				}
				if !slices.Equal(sums, tt.sums) {
					t.Errorf("sums are %v, want %v", sums, tt.sums)
				}
				for _, i := range held {
					put(t, p, i)
				}
				synctest.Wait()
				if got := m.count.Load(); tt.made != got {
					t.Errorf("made %d instances, want %d", got, tt.made)
				}
			})
		})
	}
}

// Spare instances are there before anybody asks, whoever made them.
func TestPoolSpare(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	synctest.Test(t, func(t *testing.T) {
		var m made
		p := newPool(t, c, component.PoolConfig{Size: 4, Spare: 2, SingleUse: true, Init: m.init})
		if m.count.Load() != 0 {
			t.Error("NewPool made instances")
		}
		i := get(t, p)
		synctest.Wait()
		if got := m.count.Load(); got != 3 {
			t.Errorf("%d instances made, want 3: one lent, two spare", got)
		}
		put(t, p, i)
		synctest.Wait()
		if got := m.count.Load(); got != 3 {
			t.Errorf("%d instances made, want 3: those that are spare stay", got)
		}
	})
}

// Who finds neither an instance nor room waits, and is served in order.
func TestPoolWait(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	for _, tt := range []struct {
		name   string
		single bool
		trap   bool
		sums   []uint32
	}{
		{"for one that is given back", false, false, []uint32{1001, 1002, 1003}},
		{"for room", true, false, []uint32{1001, 2001, 3001}},
		{"for one in place of another", false, true, []uint32{1001, 2001, 3001}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m made
				p := newPool(t, c, component.PoolConfig{Size: 1, SingleUse: tt.single, Init: m.init})
				first := get(t, p)
				sums := []uint32{add(t, first, 1)}
				var work sync.WaitGroup
				borrow := func() {
					i := get(t, p)
					sums = append(sums, add(t, i, 1))
					if tt.trap {
						_, _ = call(t, i, "", "fail")
					}
					put(t, p, i)
				}
				// One that gives up in between, and doesn't hold up the others.
				given, cancel := context.WithCancelCause(t.Context())
				cause := errors.New("enough")
				work.Go(borrow)
				synctest.Wait()
				work.Go(func() {
					if _, err := p.Get(given); !errors.Is(err, cause) {
						t.Errorf("error is %v, want %v", err, cause)
					}
				})
				synctest.Wait()
				work.Go(borrow)
				synctest.Wait()
				cancel(cause)
				synctest.Wait()
				if len(sums) != 1 {
					t.Error("the pool lent more instances than it has")
				}
				if tt.trap {
					_, _ = call(t, first, "", "fail")
				}
				put(t, p, first)
				work.Wait()
				if !slices.Equal(sums, tt.sums) {
					t.Errorf("sums are %v, want %v", sums, tt.sums)
				}
			})
		})
	}
}

func TestPoolClose(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	synctest.Test(t, func(t *testing.T) {
		p := component.NewPool(c, component.PoolConfig{Size: 2})
		if err := p.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		spare, lent := get(t, p), get(t, p)
		var work sync.WaitGroup
		for range 2 {
			work.Go(func() {
				if _, err := p.Get(context.Background()); !errors.Is(err, component.ErrPoolClosed) {
					t.Errorf("a Get that waits: %v, want %v", err, component.ErrPoolClosed)
				}
			})
		}
		synctest.Wait()
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Close(impatient); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 instances are not given back") {
			t.Errorf("close: %v, want it to say what is missing", err)
		}
		work.Wait()
		add(t, lent, 1) // it is its borrower's
		closed := make(chan error)
		go func() { closed <- p.Close(context.Background()) }()
		put(t, p, lent)
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed before all was given back")
		default:
		}
		put(t, p, spare)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		for _, i := range []*component.Instance{lent, spare} {
			if _, err := call(t, i, "", "add", value.U32(1)); !errors.Is(err, component.ErrPoisoned) {
				t.Errorf("call of an instance given back to a closed pool: %v, want it closed", err)
			}
		}
		if err := p.Fill(t.Context()); !errors.Is(err, component.ErrPoolClosed) {
			t.Errorf("fill: %v, want %v", err, component.ErrPoolClosed)
		}
		if _, err := p.Get(t.Context()); !errors.Is(err, component.ErrPoolClosed) {
			t.Errorf("get: %v, want %v", err, component.ErrPoolClosed)
		}
	})
}

// Instances that are made while the pool is closed are closed with it.
func TestPoolCloseWhileMaking(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	synctest.Test(t, func(t *testing.T) {
		p := component.NewPool(c, component.PoolConfig{
			Size: 3, Spare: 1,
			Init: func(ctx context.Context, _ *component.Instance) error {
				<-ctx.Done() // of Get, or of the pool
				if _, ok := ctx.Deadline(); ok || ctx.Value(made{}) != nil {
					t.Error("the pool's context has more than an end")
				}
				return context.Cause(ctx)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := p.Get(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("get: %v, want it cancelled", err)
			}
		}()
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("closed while an instance is being made")
		default:
		}
		cancel()
		<-done
	})
}

// What can't be made is an error of who needs it, and leaves room for another try.
func TestPoolInitFails(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	synctest.Test(t, func(t *testing.T) {
		m := made{fails: errors.New("no licence")}
		p := newPool(t, c, component.PoolConfig{Size: 1, Init: m.init})
		if err := p.Fill(t.Context()); !errors.Is(err, m.fails) {
			t.Errorf("fill: %v, want %v", err, m.fails)
		}
		if _, err := p.Get(t.Context()); !errors.Is(err, m.fails) || !strings.Contains(err.Error(), "counter") {
			t.Errorf("get: %v, want %v of counter", err, m.fails)
		}
		m.fails = nil
		i := get(t, p)
		m.fails = errors.New("expired")
		failed := make(chan error)
		for range 2 { // each tries for itself
			go func() {
				_, err := p.Get(t.Context())
				failed <- err
			}()
		}
		synctest.Wait()
		_, _ = call(t, i, "", "fail")
		put(t, p, i)
		for range 2 {
			if err := <-failed; !errors.Is(err, m.fails) {
				t.Errorf("get: %v, want %v", err, m.fails)
			}
		}
	})
	// An Init that doesn't look at what it calls.
	p := newPool(t, c, component.PoolConfig{Init: func(ctx context.Context, i *component.Instance) error {
		_, _ = i.Func("", "fail").Call(ctx)
		return nil
	}})
	if _, err := p.Get(t.Context()); !errors.Is(err, component.ErrPoisoned) {
		t.Errorf("get: %v, want %v", err, component.ErrPoisoned)
	}
	// A component that doesn't start.
	endless := newPool(t, compile(t, newRuntime(t), "endless-start"), component.PoolConfig{
		Instance: func() component.InstanceConfig { return component.InstanceConfig{Start: 1} },
	})
	if err := endless.Fill(t.Context()); !errors.Is(err, component.ErrDeadline) {
		t.Errorf("fill: %v, want %v", err, component.ErrDeadline)
	}
}

// What must not be given back is not.
func TestPoolPut(t *testing.T) {
	rt := newRuntime(t)
	c := compile(t, rt, "text")
	var p, other *component.Pool
	var during error
	var lent *component.Instance
	text := &types.Type{Kind: types.String}
	p = newPool(t, c, component.PoolConfig{Size: 1, Instance: func() component.InstanceConfig {
		return component.InstanceConfig{Imports: []*component.Interface{{
			Name: "test:host/env@1.2.0",
			Type: &types.Instance{Exports: []types.Extern{{Name: "log", Sort: types.SortFunc, Func: &types.Func{Params: []types.Field{{Name: "text", Type: text}}}}}},
			Funcs: map[string]component.HostFunc{
				"log": func(*component.Call, []value.Value) (value.Value, error) {
					during = p.Put(context.Background(), lent)
					return value.Value{}, nil
				},
			},
		}}}
	}})
	other = newPool(t, c, component.PoolConfig{Size: 1})
	lent = get(t, p)
	if _, err := call(t, lent, "test:text/api@0.1.0", "greet", value.String("x")); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(during, component.ErrBusy) {
		t.Errorf("put during a call: %v, want %v", during, component.ErrBusy)
	}
	if err := other.Put(t.Context(), lent); err == nil {
		t.Error("a pool took another's instance")
	}
	put(t, p, lent)
	if err := p.Put(t.Context(), lent); err == nil {
		t.Error("a pool took an instance twice")
	}
}

// Many goroutines share few instances: none is lent to two at a time, and those that
// trap are replaced.
func TestPoolShared(t *testing.T) {
	c := compile(t, newRuntime(t), "counter")
	for _, single := range []bool{false, true} {
		const size = 3
		p := newPool(t, c, component.PoolConfig{Size: size, Spare: 2, SingleUse: single})
		var out, most atomic.Int32
		var work sync.WaitGroup
		for n := range 8 {
			work.Go(func() {
				for round := range 25 {
					i, err := p.Get(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					now := out.Add(1)
					for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
					}
					before, err := call(t, i, "", "add", value.U32(1))
					runtime.Gosched()
					after, err2 := call(t, i, "", "add", value.U32(1))
					if err := errors.Join(err, err2); err != nil || after.U32() != before.U32()+1 {
						t.Errorf("added 1 to %d: %d, %v", before.U32(), after.U32(), err)
					}
					if (n+round)%5 == 0 {
						_, _ = call(t, i, "", "fail")
					}
					out.Add(-1)
					put(t, p, i)
				}
			})
		}
		work.Wait()
		if got := most.Load(); got > size {
			t.Errorf("%d instances were lent at a time, want %d at most", got, size)
		}
	}
}
