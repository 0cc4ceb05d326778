// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

// config makes parameters of keys and values.
func config(pairs ...string) []sdk.Parameter {
	var parameters []sdk.Parameter
	for i := 0; i < len(pairs); i += 2 {
		parameters = append(parameters, sdk.Parameter{Key: pairs[i], Value: pairs[i+1]})
	}
	return parameters
}

func TestMap(t *testing.T) {
	const payload = `{"machine":"m1","temperature":{"value":21.5,"at":"2026-01-01T01:00:00.000000007+01:00","n":7,"unit":"C"},"far":"9999-01-01T00:00:00Z","a.b":1}`
	for _, tt := range []struct {
		name       string
		parameters []sdk.Parameter
		payload    string
		properties []sdk.Property
		want       string
	}{
		{"everything", config("metricName", "temp", "metricValuePath", "temperature.value", "metricType", "f64_gauge", "metricTimestampPath", "temperature.at", "metricUnits", "C"), payload,
			[]sdk.Property{{Key: sdk.Text("otel/factoryId"), Value: sdk.Text("a\"b")}, {Key: sdk.Text("other"), Value: sdk.Text("x")}, {Key: sdk.Text("otel/otel/m"), Value: sdk.Text("")}},
			`{"metrics":[{"name":"temp","value":21.5,"metric_type":"f64_gauge","unit":"C","timestamp":1767225600000000007,"attributes":[{"key":"factoryId","value":"a\"b"},{"key":"m","value":""}]}]}`},
		{"as little as can be", config("metricName", "n", "metricValuePath", "temperature.n"), payload, nil,
			`{"metrics":[{"name":"n","value":7.0,"metric_type":"type-placeholder","unit":null,"timestamp":1577836800000000005,"attributes":null}]}`},
		{"the path of the name wins", config("metricName", "n", "metricNamePath", "machine", "metricValuePath", "temperature.n", "metricTimestampPath", "no.such"), payload, nil,
			`{"metrics":[{"name":"m1","value":7.0,"metric_type":"type-placeholder","unit":null,"timestamp":null,"attributes":null}]}`},
		{"what isn't there, or isn't that", config("metricNamePath", "temperature", "metricValuePath", "machine", "metricTimestampPath", "temperature.n"), payload, nil,
			`{"metrics":[{"name":"wasm-placeholder","value":0.0,"metric_type":"type-placeholder","unit":null,"timestamp":null,"attributes":null}]}`},
		{"a time that is none", config("metricName", "n", "metricValuePath", "a.b", "metricTimestampPath", "machine"), payload, nil,
			`{"metrics":[{"name":"n","value":0.0,"metric_type":"type-placeholder","unit":null,"timestamp":0,"attributes":null}]}`},
		{"a time that is too late", config("metricName", "n", "metricValuePath", "temperature.n", "metricTimestampPath", "far"), payload, nil,
			`{"metrics":[{"name":"n","value":7.0,"metric_type":"type-placeholder","unit":null,"timestamp":0,"attributes":null}]}`},
		{"no object", config("metricName", "n", "metricValuePath", "v"), `[1]`, nil,
			`{"metrics":[{"name":"n","value":0.0,"metric_type":"type-placeholder","unit":null,"timestamp":1577836800000000005,"attributes":null}]}`},
		{"no JSON", config("metricName", "n", "metricValuePath", "v"), `21.5 C`, nil, `21.5 C`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := configure(sdktest.New(tt.parameters...).Host())
			if err != nil {
				t.Fatal(err)
			}
			o.now = func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 5, time.UTC) }
			in := sdktest.Message("probe/1", tt.payload)
			in.Properties = tt.properties
			out, err := o.process(in)
			if err != nil {
				t.Fatal(err)
			}
			m := out.(*sdk.Message)
			if got := m.Payload.String(); got != tt.want {
				t.Errorf("got\n%s, want\n%s", got, tt.want)
			}
			if m.Topic.String() != "probe/1" || len(m.Properties) != len(tt.properties) {
				t.Errorf("message is %+v", m)
			}
		})
	}
}

func TestTimeIsNow(t *testing.T) {
	o, err := configure(sdktest.New(config("metricName", "n", "metricValuePath", "v")...).Host())
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(o.now()); age < 0 || age > time.Minute {
		t.Errorf("its clock is %v behind", age)
	}
}

func TestErrors(t *testing.T) {
	for want, parameters := range map[string][]sdk.Parameter{
		`parameter "metricValuePath" is missing: want the path of the metric's value in the payload, such as temperature.value`: config("metricName", "n"),
		`parameter "metricName" is missing: want the metric's name; or metricNamePath, the path of the name in the payload`:     config("metricValuePath", "v"),
	} {
		if _, err := open(sdktest.New(parameters...).Host()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	process, err := open(sdktest.New(config("metricName", "n", "metricValuePath", "v")...).Host())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []sdk.Data{&sdk.Snapshot{}, sdk.Text("{}")} {
		if _, err := process(in); err == nil || err.Error() != "Unexpected input type" {
			t.Errorf("%T: %v", in, err)
		}
	}
}
