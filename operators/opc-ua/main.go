// SPDX-License-Identifier: Apache-2.0

// Opc-ua flattens OPC UA telemetry, an object with a DataValue for each tag, into
// rows for a database: an array with an object for each tag.
//
//	{"Pressure":{"Value":101.3,"SourceTimestamp":"2026-01-01T00:00:00Z"}}
//
// becomes
//
//	[{"tag":"Pressure","timestamp":"2026-01-01T00:00:00Z","value":101.3}]
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations): rows are sorted by tag, and columns by
// name.
package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

func main() {} // never runs, but a main package needs one

func init() { mapper.Handle(open) }

// schemaProperty is the user property that names the schema of the payload.
const schemaProperty = "dataschema"

var errInput = errors.New("Unexpected input type") //lint:ignore ST1005 the published text

// operator is what the configuration says.
type operator struct {
	schema    string // replaces what schemaProperty says
	hasSchema bool
	columns   []column
	copyAll   bool // what is no DataValue goes into every row
}

// column is a user property that goes into every row.
type column struct{ property, name string }

func open(host *sdk.Host) (mapper.Func, error) {
	var o operator
	var err error
	o.schema, o.hasSchema = host.Config.Lookup("dataschema")
	o.columns = parseColumns(host.Config.Text("headers", ""))
	if o.copyAll, err = host.Config.Bool("copy_all", false); err != nil {
		return nil, err
	}
	return o.process, nil
}

// parseColumns reads "property=column;property=column". What is not of that form is
// passed over. Of one property's columns the last counts.
func parseColumns(text string) []column {
	var columns []column
	for pair := range strings.SplitSeq(text, ";") {
		property, name, _ := strings.Cut(pair, "=")
		if property == "" || name == "" {
			continue
		}
		c := column{strings.TrimSpace(property), strings.TrimSpace(name)}
		columns = slices.DeleteFunc(columns, func(other column) bool { return other.property == c.property })
		columns = append(columns, c)
	}
	return columns
}

func (o *operator) process(in sdk.Data) (sdk.Data, error) {
	message, ok := in.(*sdk.Message)
	if !ok {
		return nil, errInput
	}
	payload, err := smalljson.Parse(message.Payload.Bytes())
	if err != nil {
		return nil, errors.New("Failed to deserialize json object. Reason: " + err.Error())
	}
	message.Payload = sdk.Raw(flatten(payload, o.copyAll, o.columnsOf(message)).Append(nil))
	if o.hasSchema {
		replaceFirst(message, schemaProperty, o.schema)
	}
	return message, nil
}

// columnsOf returns the columns that a message's user properties make.
func (o *operator) columnsOf(message *sdk.Message) []smalljson.Member {
	if len(o.columns) == 0 {
		return nil
	}
	var members []smalljson.Member
	for _, p := range message.Properties {
		key := p.Key.String()
		for _, c := range o.columns {
			if c.property == key {
				members = append(members, smalljson.Member{Key: c.name, Value: smalljson.NewText(p.Value.String())})
			}
		}
	}
	return members
}

// replaceFirst gives the first user property of that key, if there is one, a value.
func replaceFirst(message *sdk.Message, key, value string) {
	for i := range message.Properties {
		if message.Properties[i].Key.String() == key {
			message.Properties[i].Value = sdk.Text(value)
			return
		}
	}
}

// flatten makes a row of each DataValue in payload, which is an object with a Value
// and a SourceTimestamp. Other members, if copyAll says so, and columns go into every
// row, where they win over what is called the same.
func flatten(payload smalljson.Value, copyAll bool, columns []smalljson.Member) smalljson.Value {
	var common []smalljson.Member
	rows := smalljson.Value{Kind: smalljson.Array}
	var values []smalljson.Member
	for _, m := range payload.Members {
		_, hasValue := m.Value.Get("Value")
		_, hasTime := m.Value.Get("SourceTimestamp")
		if hasValue && hasTime {
			values = append(values, m)
		} else if copyAll {
			common = append(common, m)
		}
	}
	common = append(common, columns...)
	for _, m := range values {
		value, _ := m.Value.Get("Value")
		timestamp, _ := m.Value.Get("SourceTimestamp")
		row := make([]smalljson.Member, 0, 3+len(common))
		row = append(row,
			smalljson.Member{Key: "tag", Value: smalljson.NewText(m.Key)},
			smalljson.Member{Key: "timestamp", Value: timestamp},
			smalljson.Member{Key: "value", Value: value})
		rows.Items = append(rows.Items, smalljson.NewObject(append(row, common...)))
	}
	return rows
}
