// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func keys(list string) []sdk.Parameter { return []sdk.Parameter{{Key: "enrichKeys", Value: list}} }

func TestMap(t *testing.T) {
	for _, tt := range []struct {
		name       string
		parameters []sdk.Parameter
		topic      string
		properties string
	}{
		{"two keys", keys("factoryId, machineId"), "sensors", "old=1 otel/factoryId=factoryA otel/machineId=machineA "},
		{"one that is missing, and empty ones", keys(",nothing,,machineId ,"), "sensors", "old=1 otel/machineId=machineA "},
		{"bytes that are no text", keys("binary"), "sensors", "old=1 otel/binary=a\ufffdz "},
		{"no keys", keys(""), "sensors", "old=1 "},
		{"not configured", nil, "probe/1", "old=1 "},
	} {
		env := sdktest.New(tt.parameters...)
		host := env.Host()
		for key, value := range map[string]string{"factoryId": "factoryA", "machineId": "machineA", "binary": "a\xff\xfez"} {
			if _, err := host.Store.Set(key, []byte(value), sdk.SetOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		process, err := open(host)
		if err != nil {
			t.Fatal(err)
		}
		in := sdktest.Message("probe/1", "")
		payload, wasRead := sdktest.Buffer("payload")
		in.Payload = payload
		in.SetProperty("old", "1")
		out, err := process(in)
		if err != nil {
			t.Fatal(err)
		}
		m := out.(*sdk.Message)
		var properties string
		for _, p := range m.Properties {
			properties += p.Key.String() + "=" + p.Value.String() + " "
		}
		if m.Topic.String() != tt.topic || properties != tt.properties {
			t.Errorf("%s: topic %s, properties %q; want %s, %q", tt.name, m.Topic, properties, tt.topic, tt.properties)
		}
		if wasRead() {
			t.Errorf("%s: the payload was read", tt.name)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-otel-enrich/map"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
	}
}

func TestFaults(t *testing.T) {
	env := sdktest.New(keys("a")...)
	process, err := open(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	env.FailStore(sdk.ErrTimeout)
	out, err := process(sdktest.Message("t", "x"))
	if err != nil || len(out.(*sdk.Message).Properties) != 0 || !env.Logged(sdk.LevelError, "failed to get value for key 'a': state store: timeout") {
		t.Errorf("store fails: %v, %v, log %v", out, err, env.Logs())
	}
	for _, in := range []sdk.Data{&sdk.Snapshot{}, sdk.Text("{}")} {
		if _, err := process(in); err == nil || err.Error() != "Unexpected input type" {
			t.Errorf("%T: %v", in, err)
		}
	}
}
