// SPDX-License-Identifier: Apache-2.0

// Package branch makes a component's branch operator: it sends each item along one
// of two ways. Importing the package exports wasm-graph:processor/branch.
package branch

import (
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

// Func picks the way of in, whose logical time is at: false is the connection with
// arm "False", true the one with arm "True". An error drops the item.
type Func func(at sdk.Timestamp, in sdk.Data) (arm bool, err error)

// operator is the component's one operator of this kind. The ABI's functions are
// global, so it is, too.
var operator = guest.New[Func]("branch")

// Handle makes the component's operator what open returns. It is called once, from an
// init function of the main package, for the runtime expects a component to be
// complete when it has been initialised; package sdk shows how.
func Handle(open func(host *sdk.Host) (Func, error)) { operator.Handle(open) }
