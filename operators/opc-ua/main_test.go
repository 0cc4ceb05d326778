// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func TestMap(t *testing.T) {
	const one = `{"T":{"Value":1,"SourceTimestamp":"now"}}`
	parameter := func(key, value string) sdk.Parameter { return sdk.Parameter{Key: key, Value: value} }
	headers := parameter("headers", "source=src; quality = q ;;=x;y=;none=unset;source=origin")
	for _, tt := range []struct {
		name       string
		parameters []sdk.Parameter
		payload    string
		want       string
	}{
		{"two tags", nil, `{"Temperature":{"Value":23.50,"SourceTimestamp":"2026-01-01T00:00:00Z"},"Pressure":{"Value":101.3,"SourceTimestamp":"2026-01-01T00:00:01Z"}}`,
			`[{"tag":"Pressure","timestamp":"2026-01-01T00:00:01Z","value":101.3},{"tag":"Temperature","timestamp":"2026-01-01T00:00:00Z","value":23.5}]`},
		{"values of any kind", nil, `{"a":{"Value":null,"SourceTimestamp":7},"b":{"Value":{"y":[1],"x":true},"SourceTimestamp":null,"StatusCode":0},"c":{"Value":"<ü>","SourceTimestamp":""}}`,
			`[{"tag":"a","timestamp":7,"value":null},{"tag":"b","timestamp":null,"value":{"x":true,"y":[1]}},{"tag":"c","timestamp":"","value":"<ü>"}]`},
		{"no DataValues", nil, `{"Good":{"Value":1,"SourceTimestamp":"now"},"MissingVal":{"SourceTimestamp":"now"},"MissingTs":{"Value":2},"NotObject":1234}`,
			`[{"tag":"Good","timestamp":"now","value":1}]`},
		{"copy all", []sdk.Parameter{parameter("copy_all", "true")}, `{"T":{"Value":1,"SourceTimestamp":"now"},"U":{"Value":2,"SourceTimestamp":"now"},"Other":{"Value":3},"n":5}`,
			`[{"Other":{"Value":3},"n":5,"tag":"T","timestamp":"now","value":1},{"Other":{"Value":3},"n":5,"tag":"U","timestamp":"now","value":2}]`},
		{"copy all wins over the row", []sdk.Parameter{parameter("copy_all", "true")}, `{"T":{"Value":1,"SourceTimestamp":"now"},"tag":"other"}`,
			`[{"tag":"other","timestamp":"now","value":1}]`},
		{"headers", []sdk.Parameter{headers}, one, `[{"origin":"plant 2","q":"good","tag":"T","timestamp":"now","value":1}]`},
		{"headers win over all", []sdk.Parameter{parameter("headers", "source=value;quality=n"), parameter("copy_all", "true")}, `{"T":{"Value":1,"SourceTimestamp":"now"},"n":5}`,
			`[{"n":"good","tag":"T","timestamp":"now","value":"plant 2"}]`},
		{"no object", nil, `[1,2]`, `[]`},
		{"nothing to flatten", []sdk.Parameter{headers}, `{}`, `[]`},
		{"a tag twice", nil, `{"T":{"Value":1,"SourceTimestamp":"a"},"T":{"Value":2,"SourceTimestamp":"b"}}`, `[{"tag":"T","timestamp":"b","value":2}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			process, err := open(sdktest.New(tt.parameters...).Host())
			if err != nil {
				t.Fatal(err)
			}
			in := sdktest.Message("azure-iot-operations/data/oven", tt.payload)
			in.ContentType = sdk.Text("application/json")
			in.Properties = []sdk.Property{
				{Key: sdk.Text("source"), Value: sdk.Text("plant 1")}, {Key: sdk.Text("quality"), Value: sdk.Text("good")},
				{Key: sdk.Text("source"), Value: sdk.Text("plant 2")},
			}
			out, err := process(in)
			if err != nil {
				t.Fatal(err)
			}
			m := out.(*sdk.Message)
			if got := m.Payload.String(); got != tt.want {
				t.Errorf("got\n%s, want\n%s", got, tt.want)
			}
			if m.Topic.String() != "azure-iot-operations/data/oven" || m.ContentType.String() != "application/json" || len(m.Properties) != 3 {
				t.Errorf("message is %+v", m)
			}
		})
	}
}

func TestSchemaProperty(t *testing.T) {
	process, err := open(sdktest.New(sdk.Parameter{Key: "dataschema", Value: "aio-sr://flat:1"}).Host())
	if err != nil {
		t.Fatal(err)
	}
	m := sdktest.Message("t", "{}")
	if _, err := process(m); err != nil || len(m.Properties) != 0 {
		t.Errorf("a property appeared: %v, %v", m.Properties, err)
	}
	m.Payload = sdk.Text("{}")
	m.Properties = []sdk.Property{{Key: sdk.Text("a"), Value: sdk.Text("1")}, {Key: sdk.Text("dataschema"), Value: sdk.Text("old")}}
	if _, err := process(m); err != nil || m.Properties[1].Value.String() != "aio-sr://flat:1" || m.Properties[0].Value.String() != "1" {
		t.Errorf("properties are %v, %v", m.Properties, err)
	}
}

func TestErrors(t *testing.T) {
	if _, err := open(sdktest.New(sdk.Parameter{Key: "copy_all", Value: "yes"}).Host()); err == nil || err.Error() != `parameter "copy_all" is "yes": want true or false` {
		t.Errorf("a copy_all that is neither true nor false: %v", err)
	}
	process, err := open(sdktest.New().Host())
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{
		"":                             "Failed to deserialize json object. Reason: json: offset 0: want a value",
		`{"T":`:                        "Failed to deserialize json object. Reason: json: offset 5: want a value",
		strings.Repeat(`{"a":`, 1000):  "Failed to deserialize json object. Reason: json: offset 641: nested too deeply",
		"\xff":                         "Failed to deserialize json object. Reason: json: offset 0: invalid UTF-8",
		`{"T":{"Value":1e999}}`:        "Failed to deserialize json object. Reason: json: offset 14: number out of range",
		`{"T":{"Value":1}} {"U":null}`: "Failed to deserialize json object. Reason: json: offset 18: want the end of the text",
	} {
		if _, err := process(sdktest.Message("t", payload)); err == nil || err.Error() != want {
			t.Errorf("%.20s: %v, want %s", payload, err, want)
		}
	}
	for _, in := range []sdk.Data{&sdk.Snapshot{}, sdk.Text("{}")} {
		if _, err := process(in); err == nil || err.Error() != "Unexpected input type" {
			t.Errorf("%T: %v", in, err)
		}
	}
}
