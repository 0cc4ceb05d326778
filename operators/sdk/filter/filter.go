// SPDX-License-Identifier: Apache-2.0

// Package filter makes a component's filter operator: it lets items pass or drops
// them. Importing the package exports wasm-graph:processor/filter.
package filter

import (
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

// Func reports whether in passes. An error drops the item, too, but counts as one.
type Func func(in sdk.Data) (pass bool, err error)

// operator is the component's one operator of this kind. The ABI's functions are
// global, so it is, too.
var operator = guest.New[Func]("filter")

// Handle makes the component's operator what open returns. It is called once, from an
// init function of the main package, for the runtime expects a component to be
// complete when it has been initialised; package sdk shows how.
func Handle(open func(host *sdk.Host) (Func, error)) { operator.Handle(open) }
