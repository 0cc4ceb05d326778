// SPDX-License-Identifier: Apache-2.0

// Package accumulate makes a component's accumulate operator: it folds all items of
// one logical time into one. Importing the package exports
// wasm-graph:processor/accumulate.
package accumulate

import (
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

// Func folds batch into staged and returns the result. For each logical time it is
// called as often as the runtime needs to hand over all items: staged is what the
// last call for that time returned, and at first a *sdk.Message with an empty payload
// and the time as its timestamp. An error drops the items that cause it.
type Func func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error)

// operator is the component's one operator of this kind. The ABI's functions are
// global, so it is, too.
var operator = guest.New[Func]("accumulate")

// Handle makes the component's operator what open returns. It is called once, from an
// init function of the main package, for the runtime expects a component to be
// complete when it has been initialised; package sdk shows how.
func Handle(open func(host *sdk.Host) (Func, error)) { operator.Handle(open) }
