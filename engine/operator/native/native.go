// SPDX-License-Identifier: Apache-2.0

// Package native makes operators of Go functions, for programs that embed the
// engine and for tests of it.
package native

import (
	"context"
	"fmt"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// Operator is an operator.Opener whose instances call these functions. Those that
// are nil answer every call with an error. All instances share the functions; one
// with state of its own is made by a new Operator for each operation.
type Operator struct {
	Map        func(ctx context.Context, m *message.Message) (*message.Message, error)
	Filter     func(ctx context.Context, m *message.Message) (bool, error)
	Branch     func(ctx context.Context, at hlc.Timestamp, m *message.Message) (bool, error)
	Delay      func(ctx context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error)
	Accumulate func(ctx context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error)

	Init  func(ctx context.Context) error // called for each new instance; nil: nothing to do
	Close func() error                    // called for each instance given up; nil: nothing to do
}

// Open implements operator.Opener.
func (o *Operator) Open(ctx context.Context) (operator.Instance, error) {
	if o.Init != nil {
		if err := o.Init(ctx); err != nil {
			return nil, err
		}
	}
	return &instance{o}, nil
}

type instance struct{ o *Operator }

func missing(kind operator.Kind) error { return fmt.Errorf("native: operator has no %s", kind) }

func (i *instance) Map(ctx context.Context, m *message.Message) (*message.Message, error) {
	if i.o.Map == nil {
		return nil, missing(operator.Map)
	}
	return i.o.Map(ctx, m)
}

func (i *instance) Filter(ctx context.Context, m *message.Message) (bool, error) {
	if i.o.Filter == nil {
		return false, missing(operator.Filter)
	}
	return i.o.Filter(ctx, m)
}

func (i *instance) Branch(ctx context.Context, at hlc.Timestamp, m *message.Message) (bool, error) {
	if i.o.Branch == nil {
		return false, missing(operator.Branch)
	}
	return i.o.Branch(ctx, at, m)
}

func (i *instance) Delay(ctx context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
	if i.o.Delay == nil {
		return hlc.Timestamp{}, missing(operator.Delay)
	}
	return i.o.Delay(ctx, m, at)
}

func (i *instance) Accumulate(ctx context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
	if i.o.Accumulate == nil {
		return nil, missing(operator.Accumulate)
	}
	return i.o.Accumulate(ctx, staged, batch)
}

func (i *instance) Close() error {
	if i.o.Close == nil {
		return nil
	}
	return i.o.Close()
}
