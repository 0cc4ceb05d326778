// SPDX-License-Identifier: Apache-2.0

// Schemafilter lets messages pass whose payload is valid by a JSON schema (draft-07):
// the first of those that the graph hands to its operators.
//
// It behaves like the sample operator of the schema registry scenario that Azure
// publishes in Rust (Azure-Samples/explore-iot-operations). Where the original stops
// with a panic, because the schema is broken, this one refuses to start and says why.
package main

import (
	"errors"
	"strconv"

	"github.com/wasm-graph/graphd/operators/schemafilter/jsonschema"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/filter"
	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

func main() {} // never runs, but a main package needs one

func init() { filter.Handle(open) }

var (
	errNoSchema = errors.New("the graph hands over no schema: list one under schemas in its definition")
	errInput    = errors.New("Unexpected input type.") //lint:ignore ST1005 the published text
)

func open(host *sdk.Host) (filter.Func, error) {
	schemas := host.Config.Schemas
	if len(schemas) == 0 {
		return nil, errNoSchema
	}
	if len(schemas) > 1 {
		host.Log.Warn("the graph hands over " + strconv.Itoa(len(schemas)) + " schemas, of which only the first, " + schemas[0].Name + ", is used")
	}
	schema, err := jsonschema.Compile([]byte(schemas[0].Content))
	if err != nil {
		return nil, errors.New("schema " + strconv.Quote(schemas[0].Name) + " can't be used: " + err.Error())
	}
	return func(in sdk.Data) (bool, error) {
		message, ok := in.(*sdk.Message)
		if !ok {
			return false, errInput
		}
		payload, err := smalljson.Parse(message.Payload.Bytes())
		if err == nil {
			err = schema.Validate(payload)
		}
		if err != nil {
			host.Log.Info("not valid by the schema: " + err.Error())
		}
		return err == nil, nil
	}, nil
}
