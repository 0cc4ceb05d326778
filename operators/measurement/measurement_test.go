// SPDX-License-Identifier: Apache-2.0

package measurement_test

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/measurement"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		`{"temperature":{"unit":"C"}}`: `{"temperature":{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`,
		` { "temperature" : { "unit" : "F" , "value" : null , "unknown" : [ { } , null ] } } `:                                             `{"temperature":{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"F","overtemp":false}}`,
		`{"temperature":{"value":-1.5e3,"count":18446744073709551615,"max":1,"min":2,"average":3,"last":4e16,"unit":"C","overtemp":true}}`: `{"temperature":{"value":-1500.0,"count":18446744073709551615,"max":1.0,"min":2.0,"average":3.0,"last":4e16,"unit":"C","overtemp":true}}`,
		`{"t\u0065mperature":{"unit":"\u0043"}}`: `{"temperature":{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`,
		`{"humidity":{}}`:                        `{"humidity":{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0}}`,
		`{"humidity":{"value":1,"unit":"%"}}`:    `{"humidity":{"value":1.0,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0}}`,
		`{"object":{"result":"a \"cat\""}}`:      `{"object":{"result":"a \"cat\""}}`,
		`{"sensor_data":{}}`:                     `{"sensor_data":{"temperature":[],"humidity":[],"object":[]}}`,
		`{"sensor_data":{"temperature":[{"unit":"C"},{"unit":"F"}],"humidity":[{}],"object":[{"result":""}],"more":1}}`: `{"sensor_data":{"temperature":[{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false},` +
			`{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"F","overtemp":false}],"humidity":[{"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0}],"object":[{"result":""}]}}`,
	} {
		m, err := measurement.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := string(m.Append(nil)); got != want {
			t.Errorf("%s: written as\n%s, want\n%s", text, got, want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 "want an object",
		`null`:                             "want an object",
		`{}`:                               "an object with one key",
		`[]`:                               "want an object",
		`{"temperature":null}`:             "want an object",
		`{"temperature":{}}`:               "needs a unit",
		`{"temperature":{"unit":"K"}}`:     "unknown unit",
		`{"temperature":{"unit":null}}`:    "want a string",
		`{"temperature":{"unit":"C"}} x`:   "want the end",
		`{"temperature":{"unit":"C"}`:      "want ','",
		`{"Temperature":{"unit":"C"}}`:     "unknown measurement Temperature",
		`{"pressure":{}}`:                  "unknown measurement pressure",
		`{"humidity":{},"temperature":{}}`: "one thing only",
		`{"temperature":{"unit":"C","unit":"F"}}`:    "duplicate field unit",
		`{"temperature":{"unit":"C","value":"1"}}`:   "want a number",
		`{"temperature":{"unit":"C","value":1e999}}`: "out of range",
		`{"temperature":{"unit":"C","count":1.0}}`:   "want an integer",
		`{"temperature":{"unit":"C","count":-1}}`:    "not negative",
		`{"temperature":{"unit":"C","count":null}}`:  "want a number",
		`{"temperature":{"unit":"C","max":null}}`:    "want a number",
		`{"temperature":{"unit":"C","overtemp":1}}`:  "want a bool",
		`{"humidity":{"min":1,"min":2}}`:             "duplicate field min",
		`{"object":{}}`:                              "needs a result",
		`{"object":{"result":1}}`:                    "want a string",
		`{"object":{"result":"a","result":"b"}}`:     "duplicate field result",
		`{"sensor_data":{"temperature":[{}]}}`:       "needs a unit",
		`{"sensor_data":{"temperature":{}}}`:         "want an array",
		`{"sensor_data":{"object":[],"object":[]}}`:  "duplicate field object",
	} {
		if _, err := measurement.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"temperature":{"value":1,"count":2,"max":3,"min":4,"average":5,"last":6,"unit":"F","overtemp":true}}`))
	f.Add([]byte(`{"sensor_data":{"temperature":[{"unit":"C"}],"humidity":[{}],"object":[{"result":"\u00e9"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := measurement.Parse(text)
		if err != nil {
			return
		}
		// What is written reads back as the same.
		written := m.Append(nil)
		again, err := measurement.Parse(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if rewritten := again.Append(nil); string(rewritten) != string(written) {
			t.Fatalf("%s became %s", written, rewritten)
		}
	})
}
