// SPDX-License-Identifier: Apache-2.0

// Snapshot is about images of cameras: it tells them from other messages (branch),
// finds out what they show (map), by a neural network that the host runs, and gathers
// what was seen in those of a window (accumulate).
//
// It behaves like the sample operators of the same names that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations). Where the originals stop with a panic,
// these drop the message and say why.
package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/operators/measurement"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/accumulate"
	"github.com/wasm-graph/graphd/operators/sdk/branch"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() {
	branch.Handle(openBranch)
	mapper.Handle(openMap)
	accumulate.Handle(openAccumulate)
}

var errInput = errors.New("Unexpected input type") //lint:ignore ST1005 the published text

// separator stands between the objects of a window.
const separator = "; "

// requests returns the counter of an operator's requests.
func requests(host *sdk.Host, kind string) *sdk.Counter {
	return host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: "module-snapshot/" + kind})
}

func openBranch(host *sdk.Host) (branch.Func, error) {
	count := requests(host, "branch")
	topic, configured := host.Config.Lookup("snapshot_topic")
	return func(_ sdk.Timestamp, in sdk.Data) (bool, error) {
		_ = count.Add(1)
		switch in := in.(type) {
		case *sdk.Snapshot:
			return true, nil
		case *sdk.Message:
			return configured && bytes.Equal(in.Topic.Bytes(), []byte(topic)), nil
		}
		return false, errInput
	}, nil
}

func openAccumulate(host *sdk.Host) (accumulate.Func, error) {
	count := requests(host, "accumulate")
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		_ = count.Add(1)
		result, ok := staged.(*sdk.Message)
		if !ok {
			return nil, errInput
		}
		begun, err := measurement.ParseStaged(result.Payload.Bytes())
		if err != nil {
			return nil, err
		}
		var seen []string
		if begun.Object != nil {
			seen = strings.Split(begun.Object.Result, separator)
		}
		for _, in := range batch {
			object, err := detected(in)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(seen, object) {
				seen = append(seen, object)
			}
		}
		result.Payload = sdk.Raw(measurement.Measurement{Object: &measurement.Object{Result: strings.Join(seen, separator)}}.Append(nil))
		return result, nil
	}, nil
}

// detected is the object that detection has left in the frame of a snapshot.
func detected(in sdk.Data) (string, error) {
	snapshot, ok := in.(*sdk.Snapshot)
	if !ok {
		return "", errInput
	}
	m, err := measurement.Parse(snapshot.Frame.Bytes())
	if err != nil {
		return "", err
	}
	if m.Object == nil {
		return "", measurement.ErrType
	}
	return m.Object.Result, nil
}
