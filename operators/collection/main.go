// SPDX-License-Identifier: Apache-2.0

// Collection gathers the measurements of a window, of whatever kind, into one
// message: sensor data.
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

const name = "module-collection/accumulate"

var errStaged = errors.New("Unexpected type for result.") //lint:ignore ST1005 the published text

func open(host *sdk.Host) (accumulate.Func, error) {
	requests := host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name})
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		_ = requests.Add(1)
		// Topic and time of the result stay those of what is staged: of the window.
		result, ok := staged.(*sdk.Message)
		if !ok {
			return nil, measurement.ErrInput
		}
		begun, err := measurement.ParseStaged(result.Payload.Bytes())
		if err != nil {
			return nil, err
		}
		if begun == (measurement.Measurement{}) {
			begun.SensorData = &measurement.SensorData{}
		} else if begun.SensorData == nil {
			return nil, errStaged
		}
		for _, in := range batch {
			if err := add(begun.SensorData, in); err != nil {
				return nil, err
			}
		}
		result.Payload = sdk.Raw(begun.Append(nil))
		return result, nil
	}, nil
}

// add adds the measurement in an item: in a message's payload, or in the frame of a
// snapshot, where object detection has left it.
func add(data *measurement.SensorData, in sdk.Data) error {
	var payload sdk.Bytes
	switch in := in.(type) {
	case *sdk.Message:
		payload = in.Payload
	case *sdk.Snapshot:
		payload = in.Frame
	default:
		return measurement.ErrInput
	}
	m, err := measurement.Parse(payload.Bytes())
	switch {
	case err != nil:
		return err
	case m.Temperature != nil:
		data.Temperature = append(data.Temperature, *m.Temperature)
	case m.Humidity != nil:
		data.Humidity = append(data.Humidity, *m.Humidity)
	case m.Object != nil:
		data.Object = append(data.Object, *m.Object)
	default:
		return measurement.ErrType
	}
	return nil
}
