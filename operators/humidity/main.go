// SPDX-License-Identifier: Apache-2.0

// Humidity summarises the humidities of a window: how many, the largest, the
// smallest, their average and the last.
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations). Where the original stops with a panic,
// this one drops the message and says why.
package main

import (
	"errors"

	"github.com/wasm-graph/graphd/operators/measurement"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/accumulate"
)

func main() {} // never runs, but a main package needs one

func init() { accumulate.Handle(open) }

const name = "module-humidity/accumulate"

var (
	errInput   = errors.New("Unexpected input type.") //lint:ignore ST1005 the published text
	errNoValue = errors.New("the humidity has no value")
)

func open(host *sdk.Host) (accumulate.Func, error) {
	requests := host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name})
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		_ = requests.Add(1)
		result, ok := staged.(*sdk.Message)
		if !ok {
			return nil, errInput
		}
		begun, err := measurement.ParseStaged(result.Payload.Bytes())
		if err != nil {
			return nil, err
		}
		fold := measurement.NewFold(begun.Humidity)
		for _, in := range batch {
			if err := add(fold, in); err != nil {
				return nil, err
			}
		}
		total, err := fold.Finish(result)
		if err != nil {
			return nil, err
		}
		result.Payload = sdk.Raw(total.AppendWindow(nil))
		return result, nil
	}, nil
}

// add adds the humidity in a message.
func add(fold *measurement.Fold, in sdk.Data) error {
	message, ok := in.(*sdk.Message)
	if !ok {
		return errInput
	}
	reading, err := measurement.Parse(message.Payload.Bytes())
	switch {
	case err != nil:
		return err
	case reading.Humidity == nil:
		return measurement.ErrType
	case reading.Humidity.Value == nil:
		return errNoValue
	}
	fold.Add(message, *reading.Humidity.Value)
	return nil
}
