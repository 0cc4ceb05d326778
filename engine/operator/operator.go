// SPDX-License-Identifier: Apache-2.0

// Package operator is the contract between the engine and what implements an
// operation: a WebAssembly component (engine/processor) or native Go code.
//
// One Instance serves one operation of one graph, is called by one goroutine at a
// time, and is never shared. Messages handed in are immutable and may be shared
// with other operations; messages handed out become immutable with the return.
//
// A call has three outcomes. A nil error is a result. An error that wraps
// *Refusal is the operator's own Err: the message is dropped and counted, the
// instance goes on. Any other error is a fault (a trap, a deadline, a limit): the
// instance is poisoned, must be closed, and is replaced by a new one.
package operator

import (
	"context"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// Kind is an operation's type, spelled as in a graph definition.
type Kind string

// The operation types of a graph definition. Only Map to Accumulate have an
// implementation; the others are the engine's own.
const (
	Map         Kind = "map"
	Filter      Kind = "filter"
	Branch      Kind = "branch"
	Delay       Kind = "delay"
	Accumulate  Kind = "accumulate"
	Concatenate Kind = "concatenate"
	Source      Kind = "source"
	Sink        Kind = "sink"
)

// Instance is a running operator of one kind. Only the method of its kind may be
// called; the others return an error.
type Instance interface {
	// Map returns what becomes of m.
	Map(ctx context.Context, m *message.Message) (*message.Message, error)
	// Filter reports whether m passes.
	Filter(ctx context.Context, m *message.Message) (bool, error)
	// Branch picks the arm for m, whose logical time is at.
	Branch(ctx context.Context, at hlc.Timestamp, m *message.Message) (bool, error)
	// Delay returns the time until which m, now at logical time at, is held.
	Delay(ctx context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error)
	// Accumulate folds batch, all of one logical time, into staged.
	Accumulate(ctx context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error)
	// Close frees the instance. It is called exactly once, also after a fault.
	Close() error
}

// Opener makes instances of one operation. Open instantiates and initialises;
// the engine calls it again after a fault. An operator that refuses its
// configuration (init returned false) is an error that wraps ErrInit.
type Opener interface {
	Open(ctx context.Context) (Instance, error)
}

// Config is what an operation's definition and its deployment give an operator.
type Config struct {
	Graph      string // the graph's name, for logs and metrics
	Operation  string // the operation's name
	Kind       Kind
	Properties []Property // configuration.properties, in the definition's order
	Schemas    []Schema   // module-schemas
}

// Grant is what an operator may use of the machine, besides messages, clocks,
// randomness and its log: nothing where it is the zero Grant.
type Grant struct {
	Directories []Directory
	Variables   []Variable
}

// Directory is a directory of the machine that an operator may use, with everything
// below it.
type Directory struct {
	Path  string // on the machine, absolute
	Name  string // the path that the operator knows it by
	Write bool   // it may be changed, too
}

// Variable is an environment variable that an operator sees. Where Inherit is set,
// its value is that of the process.
type Variable struct {
	Name, Value string
	Inherit     bool
}

// Property is a configuration parameter.
type Property struct{ Key, Value string }

// Schema is a schema that the definition gives to its modules.
type Schema struct{ Name, ContentType, Content string }
