// SPDX-License-Identifier: Apache-2.0

// Package mapper makes a component's map operator: it turns each item into
// another one. Importing the package exports wasm-graph:processor/map.
package mapper

import (
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

// Func returns what goes on in place of in: in itself, changed or not, or something
// else. An error drops the item.
type Func func(in sdk.Data) (sdk.Data, error)

// operator is the component's one operator of this kind. The ABI's functions are
// global, so it is, too.
var operator = guest.New[Func]("map")

// Handle makes the component's operator what open returns. It is called once, from an
// init function of the main package, for the runtime expects a component to be
// complete when it has been initialised; package sdk shows how.
func Handle(open func(host *sdk.Host) (Func, error)) { operator.Handle(open) }
