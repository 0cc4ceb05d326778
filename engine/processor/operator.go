// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// instance is an operator.Instance made of a component instance.
type instance struct {
	config   operator.Config
	host     *host
	instance *component.Instance
	process  *component.Func
	call     call
}

// open instantiates m for one operation and initialises it.
func open(ctx context.Context, m *Module, config operator.Config, env Environment) (*instance, error) {
	iface, ok := m.interfaces[config.Kind]
	if !ok {
		return nil, fmt.Errorf("processor: operation %s: component %s exports no %s operator; it exports %v",
			config.Operation, m.Name(), config.Kind, m.Kinds())
	}
	if m.nn && env.NN == nil {
		return nil, fmt.Errorf("processor: operation %s: %w", config.Operation, ErrNoNN)
	}
	h, err := newHost(config, env)
	if err != nil {
		return nil, fmt.Errorf("processor: operation %s: %w", config.Operation, err)
	}
	ci, err := m.component.Instantiate(ctx, component.InstanceConfig{
		Imports:  h.interfaces(),
		Memory:   env.Memory,
		Deadline: env.Deadline,
		Fuel:     env.Fuel,
		Now:      env.Now,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("processor: operation %s: %w", config.Operation, fault(err)), h.close())
	}
	i := &instance{config: config, host: h, instance: ci, process: ci.Func(iface, "process")}
	i.call = call{kind: config.Kind, codec: codec{resource: m.buffer, border: env.BufferBorder}}
	if err := i.init(ctx, ci.Func(iface, "init")); err != nil {
		return nil, errors.Join(fmt.Errorf("processor: operation %s: %w", config.Operation, err), i.Close())
	}
	return i, nil
}

// init gives the operator its configuration.
func (i *instance) init(ctx context.Context, f *component.Func) error {
	props := make([]value.Value, len(i.config.Properties))
	for n, p := range i.config.Properties {
		props[n] = value.Tuple(value.String(p.Key), value.String(p.Value))
	}
	schemas := make([]value.Value, len(i.config.Schemas))
	for n, s := range i.config.Schemas {
		schemas[n] = value.Record(value.String(s.Name), value.String(s.ContentType), value.String(s.Content))
	}
	ok, err := f.Call(ctx, value.Record(value.List(props), value.List(schemas)))
	if err != nil {
		return fault(err)
	}
	switch why := i.host.log.fault; {
	case ok.Bool():
		return nil
	case why != "": // few operators have another way to say it
		return fmt.Errorf("%w: the operator refused its configuration: %s", operator.ErrInit, why)
	default:
		return fmt.Errorf("%w: the operator refused its configuration (its log may say why)", operator.ErrInit)
	}
}

// Close implements operator.Instance.
func (i *instance) Close() error {
	return errors.Join(i.instance.Close(context.Background()), i.host.close())
}

// Map implements operator.Instance.
func (i *instance) Map(ctx context.Context, m *message.Message) (*message.Message, error) {
	i.call.message = m
	err := i.do(ctx, operator.Map)
	return i.call.out, err
}

// Filter implements operator.Instance.
func (i *instance) Filter(ctx context.Context, m *message.Message) (bool, error) {
	i.call.message = m
	err := i.do(ctx, operator.Filter)
	return i.call.pass, err
}

// Branch implements operator.Instance.
func (i *instance) Branch(ctx context.Context, at hlc.Timestamp, m *message.Message) (bool, error) {
	i.call.message, i.call.at = m, at
	err := i.do(ctx, operator.Branch)
	return i.call.pass, err
}

// Delay implements operator.Instance.
func (i *instance) Delay(ctx context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
	i.call.message, i.call.at = m, at
	err := i.do(ctx, operator.Delay)
	return i.call.until, err
}

// Accumulate implements operator.Instance.
func (i *instance) Accumulate(ctx context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
	i.call.message, i.call.batch = staged, batch
	err := i.do(ctx, operator.Accumulate)
	return i.call.out, err
}

// do calls process with the arguments in i.call.
func (i *instance) do(ctx context.Context, kind operator.Kind) error {
	c := &i.call
	if kind != c.kind {
		return fmt.Errorf("processor: operation %s is a %s, not a %s", i.config.Operation, c.kind, kind)
	}
	c.out, c.pass, c.until, c.refused = nil, false, hlc.Timestamp{}, false
	err := i.process.Invoke(ctx, c)
	c.message, c.batch = nil, nil
	if err != nil {
		return fault(err)
	}
	if c.refused {
		return &operator.Refusal{Operation: i.config.Operation, Message: c.refusal}
	}
	return nil
}

// fault says what became of a guest in the words of package operator.
func fault(err error) error {
	for cause, word := range map[error]error{
		component.ErrDeadline:  operator.ErrDeadline,
		component.ErrMemory:    operator.ErrMemory,
		component.ErrExhausted: operator.ErrStack,
	} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", word, err)
		}
	}
	return err
}

// call is the codec of one call of process: arguments in, results out. Its
// parameters always spill into memory, and so do its results.
type call struct {
	codec
	kind    operator.Kind
	message *message.Message // staged, of an accumulate
	batch   []*message.Message
	at      hlc.Timestamp

	out     *message.Message
	pass    bool
	until   hlc.Timestamp
	refused bool
	refusal string
}

// LowerParams implements component.Codec.
func (c *call) LowerParams(f *abi.Frame, stack []uint64) error {
	size := uint64(dataModelSize)
	switch c.kind {
	case operator.Branch, operator.Delay:
		size += clockSize
	case operator.Accumulate:
		size += 8
	}
	c.expect(f, size)
	ptr, err := f.Realloc(8, size)
	if err != nil {
		return err
	}
	stack[0] = uint64(ptr)
	switch c.kind {
	case operator.Branch: // the time comes first here, and last for a delay
		if err := lowerClock(f, c.at, ptr); err != nil {
			return err
		}
		return c.lowerMessage(f, c.message, ptr+clockSize)
	case operator.Delay:
		if err := lowerClock(f, c.at, ptr+dataModelSize); err != nil {
			return err
		}
	case operator.Accumulate:
		if err := c.lowerBatch(f, ptr+dataModelSize); err != nil {
			return err
		}
	}
	return c.lowerMessage(f, c.message, ptr)
}

// expect announces the allocations of the arguments, in the order in which
// LowerParams makes them.
func (c *call) expect(f *abi.Frame, size uint64) {
	f.Expect(8, size)
	switch c.kind {
	case operator.Branch, operator.Delay:
		f.ExpectString(c.at.Node)
	case operator.Accumulate:
		f.Expect(8, uint64(len(c.batch))*dataModelSize)
		for _, m := range c.batch {
			c.expectMessage(f, m)
		}
	}
	c.expectMessage(f, c.message)
}

func (c *call) lowerBatch(f *abi.Frame, ptr uint32) error {
	at, err := f.Realloc(8, uint64(len(c.batch))*dataModelSize)
	if err != nil {
		return err
	}
	x := f.Memory()[ptr : ptr+8]
	le.PutUint32(x, at)
	le.PutUint32(x[4:], uint32(len(c.batch)))
	for _, m := range c.batch {
		if err := c.lowerMessage(f, m, at); err != nil {
			return err
		}
		at += dataModelSize
	}
	return nil
}

// LiftResult implements component.Codec.
func (c *call) LiftResult(f *abi.Frame, stack []uint64) (err error) {
	// A result's payload follows its case at its own alignment.
	align, payload, size := uint32(8), uint32(8), uint64(8+dataModelSize)
	switch c.kind {
	case operator.Filter, operator.Branch:
		align, payload, size = 4, 4, 12
	case operator.Delay:
		size = 8 + clockSize
	}
	ptr := uint32(stack[0])
	x, err := f.View(ptr, align, size)
	if err != nil {
		return err
	}
	switch x[0] {
	case 0:
	case 1:
		c.refused = true
		c.refusal, err = f.LiftString(le.Uint32(x[payload:]), le.Uint32(x[payload+4:]))
		return err
	default:
		return fmt.Errorf("invalid result discriminant %d, want less than 2", x[0])
	}
	switch c.kind {
	case operator.Filter, operator.Branch:
		c.pass = x[payload] != 0
	case operator.Delay:
		c.until, err = liftClock(f, x[payload:])
	default:
		c.out, err = c.liftMessage(f, ptr+payload, c.message)
	}
	return err
}
