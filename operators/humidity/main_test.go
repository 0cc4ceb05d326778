// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

// reading is a message with a humidity, at some time.
func reading(topic, value string, secs uint64) sdk.Data {
	m := sdktest.Message(topic, `{"humidity":{"value":`+value+`}}`)
	m.Timestamp = sdk.Timestamp{Secs: secs, Nanos: uint32(secs), Counter: 1, Node: sdk.Text("sensor")}
	return m
}

func TestAccumulate(t *testing.T) {
	for _, tt := range []struct {
		name      string
		staged    string
		batch     []sdk.Data
		want      string
		wantTopic string
		wantSecs  uint64
	}{
		{"one", "", []sdk.Data{reading("a", "85", 1)},
			`{"humidity":{"count":1,"max":85,"min":85,"average":85,"last":85}}`, "a", 1},
		{"first batch", "", []sdk.Data{reading("a", "10", 1), reading("b", "20.5", 2), reading("c", "-4", 2)},
			`{"humidity":{"count":3,"max":20.5,"min":-4,"average":8.833333333333334,"last":-4}}`, "c", 2},
		{"next batch", `{"humidity":{"count":2,"max":10,"min":4,"average":7,"last":4}}`, []sdk.Data{reading("d", "1", 5)},
			`{"humidity":{"count":3,"max":10,"min":1,"average":5,"last":1}}`, "d", 5},
		{"out of order", "", []sdk.Data{reading("a", "1", 9), reading("b", "2", 3)},
			`{"humidity":{"count":2,"max":2,"min":1,"average":1.5,"last":1}}`, "b", 9},
		{"staged is something else", `{"temperature":{"count":7,"unit":"C"}}`, []sdk.Data{reading("a", "1", 1)},
			`{"humidity":{"count":1,"max":1,"min":1,"average":1,"last":1}}`, "a", 1},
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
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if ts := m.Timestamp; m.Topic.String() != tt.wantTopic || ts.Secs != tt.wantSecs || ts.Nanos != uint32(tt.wantSecs) || ts.Counter != 5 || ts.Node.String() != "engine" {
			t.Errorf("%s: topic %s, time %v; want %s, second %d of node engine", tt.name, m.Topic, ts, tt.wantTopic, tt.wantSecs)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-humidity/accumulate"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	good := []sdk.Data{reading("a", "1", 1)}
	empty := sdktest.Message("", "")
	for _, tt := range []struct {
		name   string
		staged sdk.Data
		batch  []sdk.Data
		want   string
	}{
		{"staged is no message", sdk.Text(""), good, "Unexpected input type."},
		{"staged is no JSON", sdktest.Message("", "?"), good, "the staged result is not a measurement: json: offset 0"},
		{"input is no message", empty, []sdk.Data{&sdk.Snapshot{}}, "Unexpected input type."},
		{"input is empty", empty, []sdk.Data{sdktest.Message("", "")}, "Failed to parse payload as JSON: json: offset 0: want an object"},
		{"input is no JSON", empty, []sdk.Data{sdktest.Message("", "\xff")}, "Failed to parse payload as JSON: json: offset 0: invalid UTF-8"},
		{"input is no humidity", empty, []sdk.Data{sdktest.Message("", `{"temperature":{"unit":"C"}}`)}, "Unexpected measurement type."},
		{"input has no value", empty, []sdk.Data{sdktest.Message("", `{"humidity":{"value":null}}`)}, "the humidity has no value"},
		{"no input", empty, nil, "there is nothing in an empty batch"},
		{"out of range", empty, []sdk.Data{reading("a", "1.7e308", 1), reading("a", "1.7e308", 1)}, "the average is out of range"},
	} {
		process, err := open(sdktest.New().Host())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process(tt.staged, tt.batch); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
