// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestParseMeasurement(t *testing.T) {
	for _, text := range []string{
		`{"temperature":{"unit":"C"}}`,
		` { "temperature" : { "unit" : "F" , "value" : null , "unknown" : [ { } , null ] } } `,
		`{"temperature":{"value":-1.5e3,"count":18446744073709551615,"max":1,"min":2,"average":3,"last":4,"unit":"C","overtemp":true}}`,
		`{"t\u0065mperature":{"unit":"\u0043"}}`,
		`{"humidity":{}}`, `{"humidity":{"value":1,"unit":"%"}}`,
		`{"object":{"result":"cat"}}`,
		`{"sensor_data":{}}`,
		`{"sensor_data":{"temperature":[{"unit":"C"}],"humidity":[{}],"object":[{"result":""}],"more":1}}`,
	} {
		m, err := ParseMeasurement([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if want := strings.Contains(text, `mperature" :`) || strings.Contains(text, `mperature":{`); want != (m.Temperature != nil) {
			t.Errorf("%s: temperature is %v", text, m.Temperature)
		}
	}
}

func TestParseMeasurementFaults(t *testing.T) {
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
		if _, err := ParseMeasurement([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseMeasurement(f *testing.F) {
	f.Add([]byte(`{"temperature":{"value":1,"count":2,"max":3,"min":4,"average":5,"last":6,"unit":"F","overtemp":true}}`))
	f.Add([]byte(`{"sensor_data":{"temperature":[{"unit":"C"}],"humidity":[{}],"object":[{"result":"\u00e9"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMeasurement(text)
		if err != nil || m.Temperature == nil {
			return
		}
		// What is written reads back as the same.
		written := m.Temperature.Append(nil)
		again, err := ParseMeasurement(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if rewritten := again.Temperature.Append(nil); string(rewritten) != string(written) {
			t.Fatalf("%s became %s", written, rewritten)
		}
	})
}
