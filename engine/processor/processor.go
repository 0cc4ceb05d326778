// SPDX-License-Identifier: Apache-2.0

// Package processor makes operators of components that implement the worlds of
// wasm-graph:processor@1.1.0: it is where data flow graphs and the Component
// Model meet.
//
// A Module is a compiled component with the kinds of operators it exports. An
// operation of a graph opens an instance of it with its own configuration, and
// never shares it: instances of one component differ by what their init was told.
// Each instance gets its own host: the logger with the operation's name, metrics,
// the state store, clocks and randomness, models where it imports wasi:nn (package
// wasinn), and nothing else of the machine it runs on.
//
// Messages cross the boundary through codecs shaped by hand for the world's types
// (codec.go). A payload below Environment.BufferBorder is copied into the guest; a
// larger one stays with the host until the guest reads it.
package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/wasinn"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/state"
)

// The package of the processor worlds, and its predecessor's.
const (
	worldPackage = "wasm-graph:processor/"
	worldVersion = "@1.1.0"
	oldPackage   = "tinykube-graph:processor/"
)

// ErrOldWorld says that a component was made for tinykube-graph:processor, which
// came before wasm-graph:processor and differs in every signature.
var ErrOldWorld = errors.New("component is made for the older world tinykube-graph:processor@1.0.0, which is not supported: " +
	"build it again with an SDK for wasm-graph:processor@1.1.0")

// ErrNoOperator says that a component exports no operator.
var ErrNoOperator = errors.New("component exports no operator of wasm-graph:processor@1.1.0")

// Environment is what the machine gives to an operator. The zero value of each
// field is its default.
type Environment struct {
	Logger *slog.Logger     // where guests log; default: nowhere
	Meter  metric.Meter     // where guests count; default: nowhere
	State  state.Store      // default: every request is an error
	Now    func() time.Time // wall clock, and what deadlines are measured with; default time.Now
	// Monotonic is the guests' monotonic clock, in nanoseconds; Wait blocks until it
	// reaches a time. Default: the machine's.
	Monotonic func() uint64
	Wait      func(ctx context.Context, until uint64) error
	Random    io.Reader      // default: crypto/rand
	NN        nn.Backend     // what runs models; without one, components that import wasi:nn don't open
	Memory    uint64         // bytes; default 256 MiB
	Deadline  time.Duration  // a call; default 1 s
	Fuel      uint64         // instead of the deadline, where time is virtual
	Allow     operator.Grant // what guests may use of the machine; default: nothing
	LogRate   int            // lines a second; default 100, with bursts of ten times that
	// BufferBorder is the payload size in bytes from which on a payload is passed as a
	// buffer handle; default 4096.
	BufferBorder int
}

// Module is a compiled component that exports operators. It is immutable and safe
// for concurrent use.
type Module struct {
	component  *component.Component
	interfaces map[operator.Kind]string // the full name of each exported interface
	buffer     int                      // number of the buffer resource, or -1
	nn         bool                     // imports wasi:nn
}

// ErrNoNN says that a component imports wasi:nn, and that there is nothing to run models.
var ErrNoNN = errors.New("component imports wasi:nn, and this build of graphd has no backend for neural networks")

// Load compiles a component and finds its operators. The error wraps ErrOldWorld
// or ErrNoOperator where the component is for another world, and wasinn.ErrVersion
// where it is for another version of wasi:nn.
func Load(ctx context.Context, rt *component.Runtime, name string, wasm []byte) (*Module, error) {
	c, err := rt.Compile(ctx, name, wasm)
	if err != nil {
		return nil, err
	}
	m, err := newModule(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("processor: load %s: %w", name, err), c.Close(ctx))
	}
	return m, nil
}

// Withheld returns the interfaces that a component imports and its operators aren't
// given, as long as nothing grants them: those that are denied are there and answer
// every request with an error, as files, sockets and HTTP do; those that are unknown
// trap when a function of them is called.
func Withheld(t *types.Component) (denied, unknown []string) {
	for _, x := range t.Imports {
		name, _, _ := strings.Cut(x.Name, "@")
		family, _, _ := strings.Cut(name, "/")
		switch family {
		case "wasi:cli", "wasi:clocks", "wasi:io", "wasi:nn", "wasi:random", strings.TrimSuffix(worldPackage, "/"):
		case "wasi:filesystem", "wasi:http", "wasi:sockets":
			denied = append(denied, x.Name)
		default:
			unknown = append(unknown, x.Name)
		}
	}
	return denied, unknown
}

// LoadAll loads the n modules of a graph: it calls load with each number below n, as
// many at a time as there are processors, but at least two, since some may be waiting
// for a registry. It returns what load returned, by number.
func LoadAll(n int, load func(n int) (*Module, error)) ([]*Module, []error) {
	modules, errs := make([]*Module, n), make([]error, n)
	var work sync.WaitGroup
	var next atomic.Int64
	for range min(n, max(2, runtime.GOMAXPROCS(0))) {
		work.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				modules[i], errs[i] = load(i)
			}
		})
	}
	work.Wait()
	return modules, errs
}

func newModule(c *component.Component) (*Module, error) {
	kinds, err := Kinds(c.Type())
	if err != nil {
		return nil, err
	}
	m := &Module{component: c, interfaces: map[operator.Kind]string{}, buffer: -1}
	if m.nn, err = wasinn.Imported(c.Type()); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		m.interfaces[k] = worldPackage + string(k) + worldVersion
	}
	if err := checkTypes(c.Type()); err != nil {
		return nil, err
	}
	if n, ok := c.Resource(worldPackage+"types"+worldVersion, "buffer"); ok {
		m.buffer = n
	}
	return m, nil
}

// Kinds returns the kinds of operators that a component of type t exports, in
// alphabetical order.
func Kinds(t *types.Component) ([]operator.Kind, error) {
	var kinds []operator.Kind
	var near []string
	for _, x := range slices.Concat(t.Imports, t.Exports) {
		if strings.HasPrefix(x.Name, oldPackage) {
			return nil, ErrOldWorld
		}
	}
	for _, x := range t.Exports {
		rest, ok := strings.CutPrefix(x.Name, worldPackage)
		if !ok {
			continue
		}
		near = append(near, x.Name)
		name, ok := strings.CutSuffix(rest, worldVersion)
		if k := operator.Kind(name); ok && slices.Contains(operatorKinds, k) {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		if len(near) > 0 {
			return nil, fmt.Errorf("%w; it exports %s", ErrNoOperator, strings.Join(near, ", "))
		}
		return nil, ErrNoOperator
	}
	slices.Sort(kinds)
	return kinds, nil
}

// operatorKinds are the kinds that have an interface.
var operatorKinds = []operator.Kind{operator.Accumulate, operator.Branch, operator.Delay, operator.Filter, operator.Map}

// checkTypes checks that each exported operator has the functions of its
// interface, of the published types: the codecs rely on it.
func checkTypes(t *types.Component) error {
	for _, x := range t.Exports {
		want := interfaceType(x.Name)
		if want == nil || x.Instance == nil {
			continue
		}
		m := &types.Matcher{Resource: resourceMap(t)}
		for _, name := range []string{"init", "process"} {
			got := types.Find(x.Instance.Exports, name)
			if got == nil || got.Func == nil {
				return fmt.Errorf("export %s lacks function %q", x.Name, name)
			}
			if err := m.Func(types.Find(want.Exports, name).Func, got.Func); err != nil {
				return fmt.Errorf("export %s, function %q: %w", x.Name, name, err)
			}
		}
	}
	return nil
}

// resourceMap maps the resources that a component imports from the processor
// package to our own.
func resourceMap(t *types.Component) map[*types.Resource]*types.Resource {
	same := map[*types.Resource]*types.Resource{}
	for _, x := range t.Imports {
		ours := interfaceType(x.Name)
		if ours == nil || x.Instance == nil {
			continue
		}
		for _, e := range x.Instance.Exports {
			if o := types.Find(ours.Exports, e.Name); e.Resource != nil && o != nil && o.Resource != nil {
				same[e.Resource] = o.Resource
			}
		}
	}
	return same
}

// Name returns the name given to Load.
func (m *Module) Name() string { return m.component.Name() }

// Kinds returns the kinds of operators that the module exports, in alphabetical
// order.
func (m *Module) Kinds() []operator.Kind {
	kinds := make([]operator.Kind, 0, len(m.interfaces))
	for k := range m.interfaces {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	return kinds
}

// Component returns the compiled component.
func (m *Module) Component() *component.Component { return m.component }

// Close frees the compiled code; every instance must be closed first.
func (m *Module) Close(ctx context.Context) error { return m.component.Close(ctx) }

// Opener returns an opener of instances for one operation.
func (m *Module) Opener(config operator.Config, env Environment) operator.Opener {
	return opener{m, config, env.withDefaults()}
}

type opener struct {
	module *Module
	config operator.Config
	env    Environment
}

// Open implements operator.Opener.
func (o opener) Open(ctx context.Context) (operator.Instance, error) {
	i, err := open(ctx, o.module, o.config, o.env)
	if err != nil {
		return nil, err
	}
	return i, nil
}
