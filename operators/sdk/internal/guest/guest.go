// SPDX-License-Identifier: Apache-2.0

// Package guest holds what the five kinds of operators have in common: it opens an
// operator when the runtime says init, and turns what goes wrong in the author's
// code into errors.
package guest

import (
	"errors"
	"runtime"
	"strconv"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// Operator is the operator of one kind in this component. F is the type of its
// process function.
type Operator[F any] struct {
	kind string
	open func(*sdk.Host) (F, error)
	f    F
	host *sdk.Host // nil until the operator is open
}

// New returns an Operator that nothing handles yet.
func New[F any](kind string) *Operator[F] { return &Operator[F]{kind: kind} }

// Handle says how the operator is opened. It panics where something has already
// said so: a component has one operator of a kind.
func (o *Operator[F]) Handle(open func(*sdk.Host) (F, error)) {
	switch {
	case open == nil:
		panic("sdk: Handle of a nil function for " + o.kind)
	case o.open != nil:
		panic("sdk: Handle was called twice for " + o.kind)
	}
	o.open = open
}

// Init opens the operator and reports whether it accepted its configuration. Opened
// once more, it begins anew.
func (o *Operator[F]) Init(imports sdk.Imports, config sdk.Config) bool {
	host := sdk.NewHost(imports, config, o.kind)
	if o.open == nil {
		host.Log.Error("init: the component exports " + o.kind + ", but no init function called Handle for it")
		return false
	}
	f, err := protect(host, o.open, host)
	if err != nil {
		host.Log.Error("init: " + err.Error())
		return false
	}
	o.f, o.host = f, host
	return true
}

// Process runs call with the operator's process function. A panic in it is returned
// as an error, and its stack is logged.
func Process[F, R any](o *Operator[F], call func(F) (R, error)) (R, error) {
	if o.host == nil {
		var none R
		return none, errors.New("sdk: process was called before init succeeded")
	}
	return protect(o.host, call, o.f)
}

func protect[A, R any](host *sdk.Host, f func(A) (R, error), argument A) (result R, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("panic: " + describe(cause))
			host.Log.Error(err.Error() + "\n" + stack())
		}
	}()
	return f(argument)
}

// describe returns a panic's value as text. It does without package fmt, which is
// large.
func describe(cause any) string {
	switch v := cause.(type) {
	case error:
		return v.Error()
	case interface{ String() string }:
		return v.String()
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	default:
		return "a value that is neither an error nor text"
	}
}

// stack returns the functions between the panic and protect.
func stack() string {
	var pcs [32]uintptr
	// Skipped: Callers, stack, the deferred function and the runtime's gopanic.
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	var text []byte
	for {
		frame, more := frames.Next()
		if !more {
			return string(text)
		}
		text = append(text, frame.Function...)
		text = append(text, "\n\t"...)
		text = append(text, frame.File...)
		text = append(text, ':')
		text = strconv.AppendInt(text, int64(frame.Line), 10)
		text = append(text, '\n')
	}
}
