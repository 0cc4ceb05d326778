// SPDX-License-Identifier: Apache-2.0

// Otel-enrich adds values of the state store to messages, as user properties that
// the operator otel-transform makes attributes of a metric.
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations).
package main

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() { mapper.Handle(open) }

const name = "module-otel-enrich/map"

// prefix is what the keys of attributes begin with, among the user properties.
const prefix = "otel/"

var errInput = errors.New("Unexpected input type") //lint:ignore ST1005 the published text

func open(host *sdk.Host) (mapper.Func, error) {
	log := host.Log.WithContext(name)
	requests := host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name})
	list, configured := host.Config.Lookup("enrichKeys")
	if !configured {
		log.Warn("enrichKeys is not configured: messages pass as they are")
	}
	var keys []string
	for key := range strings.SplitSeq(list, ",") {
		if key = strings.TrimSpace(key); key != "" {
			keys = append(keys, key)
		}
	}
	return func(in sdk.Data) (sdk.Data, error) {
		_ = requests.Add(1)
		message, ok := in.(*sdk.Message)
		if !ok {
			return nil, errInput
		}
		if !configured {
			return message, nil
		}
		for _, key := range keys {
			// What can't be had is left out; the message goes on.
			entry, err := host.Store.Get(key, sdk.GetOptions{})
			switch {
			case err != nil:
				log.Error("failed to get value for key '" + key + "': " + err.Error())
			case !entry.Found:
				log.Info("'" + key + "' not found in state store, skipping")
			default:
				value := strings.ToValidUTF8(string(entry.Value), string(utf8.RuneError))
				message.Properties = append(message.Properties, sdk.Property{Key: sdk.Text(prefix + key), Value: sdk.Text(value)})
			}
		}
		message.Topic = sdk.Text("sensors")
		return message, nil
	}, nil
}
