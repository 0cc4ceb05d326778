// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/measurement"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

// requests returns the counter of an operator's requests, with further labels.
func requests(env *sdktest.Env, kind string, labels ...sdk.Label) uint64 {
	return env.Counter("requests", append(labels, sdk.Label{Key: "module", Value: "module-temperature/" + kind})...)
}

var notMessages = []sdk.Data{&sdk.Snapshot{}, sdk.Text(`{"temperature":{"unit":"C"}}`)}

func TestMap(t *testing.T) {
	for _, tt := range []struct{ name, payload, want string }{
		{"published test", `{"temperature":{"value":1209,"unit":"F"}}`,
			`{"temperature":{"value":653.8888888888889,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`},
		{"boiling hot", `{"temperature":{"value":100.0,"unit":"F"}}`,
			`{"temperature":{"value":37.77777777777778,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`},
		{"everything", `{"temperature":{"overtemp":true,"unit":"F","last":1e16,"average":0.5,"min":-3,"max":7,"count":9,"value":32}}`,
			`{"temperature":{"value":0.0,"count":9,"max":7.0,"min":-3.0,"average":0.5,"last":1e16,"unit":"C","overtemp":true}}`},
		{"too large to convert", `{"temperature":{"value":1e308,"unit":"F"}}`,
			`{"temperature":{"value":null,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`},
		{"celsius", ` {"temperature": {"value":20, "unit":"C"}}`, ` {"temperature": {"value":20, "unit":"C"}}`},
		{"celsius without value", `{"temperature":{"unit":"C"}}`, `{"temperature":{"unit":"C"}}`},
		{"humidity", `{"humidity":{"value":50}}`, `{"humidity":{"value":50}}`},
	} {
		env := sdktest.New()
		process, err := openMap(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		in := sdktest.Message("sensor/1", tt.payload)
		in.Timestamp = sdk.Timestamp{Secs: 7}
		out, err := process(in)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		m := out.(*sdk.Message)
		if got := m.Payload.String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if m.Topic.String() != "sensor/1" || m.Timestamp.Secs != 7 {
			t.Errorf("%s: topic %s, time %v", tt.name, m.Topic, m.Timestamp)
		}
	}
}

func TestMapErrors(t *testing.T) {
	env := sdktest.New()
	process, err := openMap(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{
		`{"temperature":{"unit":"F"}}`:              "the temperature has no value",
		`{"temperature":{"value":null,"unit":"F"}}`: "the temperature has no value",
		`{"temperature":{"value":1}}`:               "Failed to parse payload as JSON",
		``:                                          "Failed to parse payload as JSON",
		"\xff\xfe":                                  "Failed to parse payload as JSON",
	} {
		if _, err := process(sdktest.Message("t", payload)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", payload, err, want)
		}
	}
	if !env.Logged(sdk.LevelDebug, "Failed to parse payload as JSON: json: offset 0: want an object") {
		t.Errorf("the cause was not logged: %v", env.Logs())
	}
	for _, in := range notMessages {
		if _, err := process(in); !errors.Is(err, measurement.ErrInput) || err.Error() != "Unexpected input type" {
			t.Errorf("%T: %v", in, err)
		}
	}
}

func TestMapProperties(t *testing.T) {
	process, err := openMap(sdktest.New().Host())
	if err != nil {
		t.Fatal(err)
	}
	m := sdktest.Message("t", `{"temperature":{"value":1,"unit":"C"}}`)
	key, _ := sdktest.Buffer("test_property_key")
	other, wasRead := sdktest.Buffer("old")
	m.Properties = []sdk.Property{
		{Key: key, Value: sdk.Text("old")}, {Key: sdk.Text("other"), Value: other}, {Key: sdk.Text("test_property_key"), Value: sdk.Text("old")},
	}
	if _, err := process(m); err != nil {
		t.Fatal(err)
	}
	if a, b := m.Properties[0].Value.String(), m.Properties[2].Value.String(); a != "new_value" || b != "new_value" {
		t.Errorf("test_property_key is %q, %q", a, b)
	}
	if wasRead() {
		t.Error("another property's value was read")
	}
	plain := sdktest.Message("t", `{"temperature":{"value":1,"unit":"C"}}`)
	if _, err := process(plain); err != nil || len(plain.Properties) != 0 {
		t.Errorf("properties appeared: %v, %v", plain.Properties, err)
	}
}

func TestCounters(t *testing.T) {
	env := sdktest.New()
	mapper, _ := openMap(env.Host())
	branch, _ := openBranch(env.Host())
	filter, _ := openFilter(env.Host())
	accumulate, _ := openAccumulate(env.Host())
	for _, payload := range []string{`{"temperature":{"value":1,"unit":"F"}}`, `{"temperature":{"value":1,"unit":"C"}}`, `{"humidity":{}}`, `no JSON`} {
		in := func() sdk.Data { return sdktest.Message("t", payload) }
		_, _ = mapper(in())
		_, _ = branch(sdk.Timestamp{}, in())
		_, _ = filter(in())
		_, _ = accumulate(sdktest.Message("", ""), []sdk.Data{in()})
	}
	for _, kind := range []string{"map", "branch", "filter", "accumulate"} {
		if got := requests(env, kind); got != 4 {
			t.Errorf("%s counted %d requests, want 4", kind, got)
		}
	}
	for _, unit := range []string{"Fahrenheit", "Celsius"} {
		if got := requests(env, "map", sdk.Label{Key: "unit", Value: unit}); got != 1 {
			t.Errorf("map counted %d requests in %s, want 1", got, unit)
		}
	}
}

func TestInitLogs(t *testing.T) {
	for kind, open := range map[string]func(*sdk.Host) error{
		"map":        func(h *sdk.Host) error { _, err := openMap(h); return err },
		"branch":     func(h *sdk.Host) error { _, err := openBranch(h); return err },
		"filter":     func(h *sdk.Host) error { _, err := openFilter(h); return err },
		"accumulate": func(h *sdk.Host) error { _, err := openAccumulate(h); return err },
	} {
		env := sdktest.New(sdk.Parameter{Key: "k", Value: "v"})
		if err := open(env.Host()); err != nil {
			t.Fatal(err)
		}
		want := []sdktest.LogEntry{
			{Level: sdk.LevelInfo, Context: "module-temperature/" + kind, Message: "Initialization function invoked"},
			{Level: sdk.LevelInfo, Context: "module-temperature/" + kind, Message: "Initialization received the property (key='k', value='v')."},
		}
		if got := env.Logs(); got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s logged %v, want %v", kind, got, want)
		}
	}
}

func TestBranch(t *testing.T) {
	process, err := openBranch(sdktest.New().Host())
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]bool{
		`{"temperature":{"unit":"C"}}`: true, `{"humidity":{}}`: false, `{"object":{"result":"cat"}}`: false, `{"sensor_data":{}}`: false,
	} {
		if arm, err := process(sdk.Timestamp{}, sdktest.Message("t", payload)); err != nil || arm != want {
			t.Errorf("%s: %t, %v; want %t", payload, arm, err, want)
		}
	}
	if arm, err := process(sdk.Timestamp{}, sdktest.Message("t", "?")); arm || !errors.Is(err, errPayload) {
		t.Errorf("no JSON: %t, %v", arm, err)
	}
	for _, in := range notMessages {
		if _, err := process(sdk.Timestamp{}, in); !errors.Is(err, measurement.ErrInput) {
			t.Errorf("%T: %v", in, err)
		}
	}
}

func TestFilter(t *testing.T) {
	bounds := func(lower, upper string) []sdk.Parameter {
		return []sdk.Parameter{{Key: "temperature_lower_bound", Value: lower}, {Key: "temperature_upper_bound", Value: upper}}
	}
	for _, tt := range []struct {
		name, payload string
		parameters    []sdk.Parameter
		want          bool
	}{
		{"inside", `{"temperature":{"value":20,"unit":"C"}}`, nil, true},
		{"at the lower bound", `{"temperature":{"value":-40,"unit":"C"}}`, nil, false},
		{"above the lower bound", `{"temperature":{"value":-39.9,"unit":"C"}}`, nil, true},
		{"at the upper bound", `{"temperature":{"value":3422,"unit":"C"}}`, nil, false},
		{"below the upper bound", `{"temperature":{"value":3421.9,"unit":"C"}}`, nil, true},
		{"configured, inside", `{"temperature":{"value":-50,"unit":"C"}}`, bounds("-273.15", "5000.0"), true},
		{"configured, outside", `{"temperature":{"value":20,"unit":"C"}}`, bounds("30", "40"), false},
		{"fahrenheit", `{"temperature":{"value":20,"unit":"F"}}`, nil, false},
		{"fahrenheit without value", `{"temperature":{"unit":"F"}}`, nil, false},
		{"humidity", `{"humidity":{"value":20}}`, nil, false},
	} {
		process, err := openFilter(sdktest.New(tt.parameters...).Host())
		if err != nil {
			t.Fatal(err)
		}
		if pass, err := process(sdktest.Message("t", tt.payload)); err != nil || pass != tt.want {
			t.Errorf("%s: %t, %v; want %t", tt.name, pass, err, tt.want)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	env := sdktest.New(sdk.Parameter{Key: "temperature_lower_bound", Value: "cold"}, sdk.Parameter{Key: "temperature_upper_bound", Value: "hot"})
	process, err := openFilter(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`Failed to parse lower bound value: parameter "temperature_lower_bound" is "cold"`, "Failed to parse upper bound value"} {
		if !env.Logged(sdk.LevelError, text) {
			t.Errorf("%q was not logged: %v", text, env.Logs())
		}
	}
	if !env.Logged(sdk.LevelInfo, "Filter bounds: lower=-40, upper=3422") {
		t.Errorf("bounds were not logged: %v", env.Logs())
	}
	for payload, want := range map[string]error{`{"temperature":{"unit":"C"}}`: errNoValue, `no JSON`: errPayload} {
		if pass, err := process(sdktest.Message("t", payload)); pass || !errors.Is(err, want) {
			t.Errorf("%s: %t, %v; want %v", payload, pass, err, want)
		}
	}
	for _, in := range notMessages {
		if _, err := process(in); !errors.Is(err, measurement.ErrInput) {
			t.Errorf("%T: %v", in, err)
		}
	}
}

// reading is a message with a temperature, at some time.
func reading(topic, value string, secs uint64) sdk.Data {
	m := sdktest.Message(topic, `{"temperature":{"value":`+value+`,"unit":"C"}}`)
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
		{"first batch", "", []sdk.Data{reading("a", "10", 1), reading("b", "20.5", 2), reading("c", "-4", 2)},
			`{"temperature":{"count":3,"max":20.5,"min":-4,"average":8.833333333333334,"last":-4,"unit":"C"}}`, "c", 2},
		{"next batch", `{"temperature":{"count":2,"max":10,"min":4,"average":7,"last":4,"unit":"C"}}`, []sdk.Data{reading("d", "1", 5)},
			`{"temperature":{"count":3,"max":10,"min":1,"average":5,"last":1,"unit":"C"}}`, "d", 5},
		{"out of order", "", []sdk.Data{reading("a", "1", 9), reading("b", "2", 3)},
			`{"temperature":{"count":2,"max":2,"min":1,"average":1.5,"last":1,"unit":"C"}}`, "b", 9},
		{"staged is something else", `{"humidity":{"count":7}}`, []sdk.Data{reading("a", "1", 1)},
			`{"temperature":{"count":1,"max":1,"min":1,"average":1,"last":1,"unit":"C"}}`, "a", 1},
		{"large and small", "", []sdk.Data{reading("a", "1e21", 1), reading("a", "1e-7", 1)},
			`{"temperature":{"count":2,"max":1000000000000000000000,"min":0.0000001,"average":500000000000000000000,"last":0.0000001,"unit":"C"}}`, "a", 1},
		{"fahrenheit", "", []sdk.Data{sdktest.Message("f", `{"temperature":{"value":1,"unit":"F"}}`)},
			`{"temperature":{"count":1,"max":1,"min":1,"average":1,"last":1,"unit":"F"}}`, "f", 0},
	} {
		process, err := openAccumulate(sdktest.New().Host())
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
	}
}

func TestAccumulateErrors(t *testing.T) {
	good := []sdk.Data{reading("a", "1", 1)}
	for _, tt := range []struct {
		name   string
		staged sdk.Data
		batch  []sdk.Data
		want   string
	}{
		{"staged is no message", sdk.Text(""), good, "Unexpected input type"},
		{"staged is no JSON", sdktest.Message("", "?"), good, "the staged result is not a measurement: json: offset 0"},
		{"input is no message", sdktest.Message("", ""), []sdk.Data{&sdk.Snapshot{}}, "Unexpected input type"},
		{"input is no JSON", sdktest.Message("", ""), []sdk.Data{sdktest.Message("", "?")}, "Failed to parse payload as JSON"},
		{"input is no temperature", sdktest.Message("", ""), []sdk.Data{sdktest.Message("", `{"humidity":{}}`)}, "Unexpected measurement type."},
		{"input has no value", sdktest.Message("", ""), []sdk.Data{sdktest.Message("", `{"temperature":{"unit":"C"}}`)}, "the temperature has no value"},
		{"no input", sdktest.Message("", ""), nil, "there is nothing in an empty batch"},
		{"out of range", sdktest.Message("", ""), []sdk.Data{reading("a", "1.7e308", 1), reading("a", "1.7e308", 1)}, "the average is out of range"},
	} {
		process, err := openAccumulate(sdktest.New().Host())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process(tt.staged, tt.batch); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
