// SPDX-License-Identifier: Apache-2.0

// Package delay makes a component's delay operator: it holds each item until a later
// logical time, and so gathers items into windows for an accumulate operator.
// Importing the package exports wasm-graph:processor/delay.
package delay

import (
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
)

// Func returns the logical time to which in moves from its present one, at. Time does
// not go back: an earlier answer counts as at. An error drops the item.
type Func func(in sdk.Data, at sdk.Timestamp) (until sdk.Timestamp, err error)

// operator is the component's one operator of this kind. The ABI's functions are
// global, so it is, too.
var operator = guest.New[Func]("delay")

// Handle makes the component's operator what open returns. It is called once, from an
// init function of the main package, for the runtime expects a component to be
// complete when it has been initialised; package sdk shows how.
func Handle(open func(host *sdk.Host) (Func, error)) { operator.Handle(open) }
