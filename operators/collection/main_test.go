// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

const (
	temperature = `{"temperature":{"count":1,"max":1695,"min":1695,"average":1695,"last":1695,"unit":"C"}}`
	humidity    = `{"humidity":{"count":2,"max":85,"min":84.5,"average":84.75,"last":85}}`
	object      = `{"object":{"result":"brown bear; teddy"}}`

	temperatureOut = `{"count":1,"max":1695.0,"min":1695.0,"average":1695.0,"last":1695.0,"unit":"C","overtemp":false}`
	humidityOut    = `{"count":2,"max":85.0,"min":84.5,"average":84.75,"last":85.0}`
	objectOut      = `{"result":"brown bear; teddy"}`
)

func TestAccumulate(t *testing.T) {
	message := func(payload string) sdk.Data { return sdktest.Message("probe/1", payload) }
	for _, tt := range []struct {
		name   string
		staged string
		batch  []sdk.Data
		want   string
	}{
		{"nothing", "", nil, `{"sensor_data":{"temperature":[],"humidity":[],"object":[]}}`},
		{"one of each", "", []sdk.Data{message(object), message(temperature), message(humidity)},
			`{"sensor_data":{"temperature":[` + temperatureOut + `],"humidity":[` + humidityOut + `],"object":[` + objectOut + `]}}`},
		{"of a snapshot", "", []sdk.Data{&sdk.Snapshot{Format: sdk.Text("rgb24"), Frame: sdk.Text(object)}},
			`{"sensor_data":{"temperature":[],"humidity":[],"object":[` + objectOut + `]}}`},
		{"next batch, in the order of arrival", `{"sensor_data":{"humidity":[{"count":7}]}}`, []sdk.Data{message(humidity), message(`{"humidity":{"value":1}}`)},
			`{"sensor_data":{"temperature":[],"humidity":[{"count":7,"max":0.0,"min":0.0,"average":0.0,"last":0.0},` + humidityOut +
				`,{"value":1.0,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0}],"object":[]}}`},
	} {
		env := sdktest.New()
		process, err := open(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		staged := sdktest.Message("", tt.staged)
		staged.Timestamp = sdk.Timestamp{Secs: 100, Counter: 5, Node: sdk.Text("engine")}
		out, err := process(staged, tt.batch)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		m := out.(*sdk.Message)
		if got := m.Payload.String(); got != tt.want {
			t.Errorf("%s: got\n%s, want\n%s", tt.name, got, tt.want)
		}
		if m.Topic.String() != "" || m.Timestamp.Secs != 100 || m.Timestamp.Counter != 5 {
			t.Errorf("%s: topic %q, time %v; want those of what was staged", tt.name, m.Topic, m.Timestamp)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-collection/accumulate"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	empty := sdktest.Message("", "")
	for _, tt := range []struct {
		name          string
		staged, input sdk.Data
		want          string
	}{
		{"staged is no message", &sdk.Snapshot{}, sdktest.Message("", humidity), "Unexpected input type"},
		{"staged is no JSON", sdktest.Message("", "?"), sdktest.Message("", humidity), "the staged result is not a measurement: json: offset 0"},
		{"staged is no sensor data", sdktest.Message("", humidity), sdktest.Message("", humidity), "Unexpected type for result."},
		{"input is bytes", empty, sdk.Text(humidity), "Unexpected input type"},
		{"input is an image", empty, &sdk.Snapshot{Frame: sdk.Raw(make([]byte, 100))}, "Failed to parse payload as JSON: json: offset 0"},
		{"input is no JSON", empty, sdktest.Message("", `{"humidity"`), "Failed to parse payload as JSON: json: offset 11: want ':'"},
		{"input is sensor data", empty, sdktest.Message("", `{"sensor_data":{}}`), "Unexpected measurement type."},
	} {
		process, err := open(sdktest.New().Host())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process(tt.staged, []sdk.Data{tt.input}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
