// SPDX-License-Identifier: Apache-2.0

// Tally lists what came in a window: "window" and the payloads, in their order, with
// blanks between them.
package main

import (
	"errors"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/accumulate"
)

func main() {} // never runs, but a main package needs one

func init() { accumulate.Handle(open) }

var errInput = errors.New("not a message")

func open(*sdk.Host) (accumulate.Func, error) {
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		result, ok := staged.(*sdk.Message)
		if !ok {
			return nil, errInput
		}
		list := append([]byte(nil), result.Payload.Bytes()...)
		if len(list) == 0 {
			list = append(list, "window"...)
		}
		for _, in := range batch {
			m, ok := in.(*sdk.Message)
			if !ok {
				return nil, errInput
			}
			list = append(append(list, ' '), m.Payload.Bytes()...)
		}
		result.Payload = sdk.Raw(list)
		return result, nil
	}, nil
}
