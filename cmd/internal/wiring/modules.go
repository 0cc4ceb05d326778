// SPDX-License-Identifier: Apache-2.0

package wiring

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/engine/state"
	"github.com/wasm-graph/graphd/engine/state/memory"
	"github.com/wasm-graph/graphd/oras"
)

// Modules are the modules of one definition, by reference.
type Modules map[string]*processor.Module

// LoadModules fetches and compiles the modules of d, side by side. What can't be
// fetched or compiled, or lacks what an operation asks of it, is a problem at the place
// where d asks for it.
func LoadModules(ctx context.Context, compiler deploy.Compiler, source oras.Source, d *graph.Definition) (Modules, document.Problems) {
	refs := d.Modules()
	loaded, errs := processor.LoadAll(len(refs), func(n int) (*processor.Module, error) {
		artifact, err := source.Fetch(ctx, refs[n], oras.Component)
		if err != nil {
			return nil, err
		}
		return compiler.Load(ctx, refs[n], artifact.Content)
	})
	modules := Modules{}
	problems := d.CheckModules(func(ref string) ([]graph.Kind, error) {
		n := slices.Index(refs, ref)
		if errs[n] != nil {
			return nil, errs[n]
		}
		modules[ref] = loaded[n]
		var kinds []graph.Kind
		for _, k := range loaded[n].Kinds() {
			kinds = append(kinds, graph.Kind(k))
		}
		return kinds, nil
	})
	return modules, problems
}

// Simulation is the surroundings of a run in virtual time: nothing that operators
// can see comes from the machine, so that equal input gives equal output, but for the
// files and variables that the options allow them.
type Simulation struct {
	Time *schedule.VirtualTime
	// Seed of everything random, beside an operation's name: the definition.
	Seed []byte
	// State is the state store; nil means one of this simulation's own.
	State  state.Store
	NN     nn.Backend
	Logger *slog.Logger
}

// NewSimulatedState returns a state store whose time is what now says, for
// simulations that share one.
func NewSimulatedState(now func() time.Time) state.Store {
	return memory.New(memory.Config{
		Clock: hlc.NewClock(hlc.Config{Node: engine.VirtualNode, Now: now, MaxDrift: -1}),
		Now:   now,
	})
}

// fuelPerSecond is the work that stands for a second of a deadline: about what a guest
// in standard Go is charged in a second. A tight loop in C is charged three times that.
const fuelPerSecond = 5_000_000_000

// Openers returns what opens the operators of p, by place in p.
func (s Simulation) Openers(p *plan.Plan, modules Modules) []operator.Opener {
	store := s.State
	if store == nil {
		store = NewSimulatedState(s.Time.Now)
	}
	openers := make([]operator.Opener, len(p.Nodes))
	for i, n := range p.Nodes {
		if n.Module == "" {
			continue
		}
		clock := &guestClock{time: s.Time, start: s.Time.Now()}
		seed := sha256.Sum256(append(append([]byte(nil), s.Seed...), n.Operation...))
		openers[i] = modules[n.Module].Opener(n.Config, processor.Environment{
			Logger:    s.Logger,
			State:     store,
			NN:        s.NN,
			Now:       s.Time.Now,
			Monotonic: clock.now,
			Wait:      clock.wait,
			Random:    rand.NewChaCha8(seed),
			Memory:    n.Limits.Memory,
			Deadline:  n.Limits.Deadline,
			Allow:     n.Allow,
			Fuel:      uint64(n.Limits.Deadline.Seconds() * fuelPerSecond),
		})
	}
	return openers
}

// guestClock is a monotonic clock in virtual time. Nobody waits: a guest that wants
// to sleep finds that the time has passed.
type guestClock struct {
	time  *schedule.VirtualTime
	start time.Time

	mu    sync.Mutex
	slept uint64 // nanoseconds
}

func (c *guestClock) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed()
}

// elapsed is never 0, which Go's runtime takes for a broken clock.
func (c *guestClock) elapsed() uint64 { return uint64(c.time.Now().Sub(c.start)) + c.slept + 1 }

func (c *guestClock) wait(ctx context.Context, until uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.elapsed(); until > now {
		c.slept += until - now
	}
	return ctx.Err()
}
