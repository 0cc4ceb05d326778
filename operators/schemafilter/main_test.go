// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func withSchemas(contents ...string) *sdktest.Env {
	env := sdktest.New()
	for _, content := range contents {
		env.AddSchema(sdk.ModuleSchema{Name: "readings", ContentType: "application/schema+json", Content: content})
	}
	return env
}

const readings = `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"humidity":{"type":"integer"},"temperature":{"type":"number"}}}`

func TestFilter(t *testing.T) {
	for payload, reason := range map[string]string{
		`{"humidity":175,"temperature":12.5}`:   "",
		` { "humidity" : 175.0, "other": [] } `: "",
		`{}`:                                    "",
		`{"humidity":175.1,"temperature":12}`:   "not valid by the schema: /humidity: must be integer, is number",
		`{"temperature":"12"}`:                  "not valid by the schema: /temperature: must be number, is string",
		`[]`:                                    "not valid by the schema: must be object, is array",
		``:                                      "not valid by the schema: json: offset 0: want a value",
		"\xff":                                  "not valid by the schema: json: offset 0: invalid UTF-8",
	} {
		env := withSchemas(readings)
		process, err := open(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		pass, err := process(sdktest.Message("probe/1", payload))
		if want := reason == ""; err != nil || pass != want {
			t.Errorf("%s: %t, %v; want %t", payload, pass, err, want)
		}
		if reason != "" && !env.Logged(sdk.LevelInfo, reason) {
			t.Errorf("%s: log is %v, want %s", payload, env.Logs(), reason)
		}
	}
}

func TestSeveralSchemas(t *testing.T) {
	env := withSchemas(`true`, `false`)
	process, err := open(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	if pass, err := process(sdktest.Message("t", "1")); err != nil || !pass || !env.Logged(sdk.LevelWarn, "2 schemas, of which only the first, readings, is used") {
		t.Errorf("%t, %v, log %v", pass, err, env.Logs())
	}
}

func TestErrors(t *testing.T) {
	for want, env := range map[string]*sdktest.Env{
		`the graph hands over no schema: list one under schemas in its definition`:                         withSchemas(),
		`schema "readings" can't be used: json: offset 0: want a value`:                                    withSchemas(""),
		`schema "readings" can't be used: schema: #/properties/a/type: unknown type "int"`:                 withSchemas(`{"properties":{"a":{"type":"int"}}}`),
		`schema "readings" can't be used: schema: #/$schema: want http://json-schema.org/draft-07/schema#`: withSchemas(`{"$schema":"https://json-schema.org/draft/2020-12/schema"}`),
	} {
		if _, err := open(env.Host()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	process, err := open(withSchemas(readings).Host())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []sdk.Data{&sdk.Snapshot{}, sdk.Text("{}")} {
		if _, err := process(in); err == nil || err.Error() != "Unexpected input type." {
			t.Errorf("%T: %v", in, err)
		}
	}
}
