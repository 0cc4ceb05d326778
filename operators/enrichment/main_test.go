// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func openIn(t *testing.T, env *sdktest.Env) mapper.Func {
	t.Helper()
	process, err := open(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	return process
}

func sensorData(temperature, humidity string) *sdk.Message {
	return sdktest.Message("probe/1", `{"sensor_data":{"temperature":[`+temperature+`],"humidity":[`+humidity+`]}}`)
}

// stored is what the store has under key, "-" if nothing.
func stored(t *testing.T, env *sdktest.Env, key string) string {
	t.Helper()
	entry, err := env.Host().Store.Get(key, sdk.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !entry.Found {
		return "-"
	}
	return string(entry.Value)
}

func TestMap(t *testing.T) {
	const (
		hot  = `{"value":7,"count":1,"max":653.5,"min":20,"average":100,"last":653.5,"unit":"C"}`
		cold = `{"count":1,"max":20,"min":-1,"average":0,"last":0,"unit":"C","overtemp":true}`
		mild = `{"count":1,"max":100,"min":0,"average":0,"last":0,"unit":"C"}`
		told = `{"max":50,"unit":"C","overtemp":true}`
	)
	// Every row goes on with the store of the one before.
	env := sdktest.New()
	process := openIn(t, env)
	for _, tt := range []struct {
		name, temperature, humidity string
		want                        string // the payload
		overtemp, count, wet        string // in the store
	}{
		{"nothing", "", "", `{"temperature":[],"humidity":[],"object":[]}`, "-", "-", "-"},
		{"mild", mild, "",
			`{"temperature":[{"count":1,"max":100.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}],"humidity":[],"object":[]}`, "-", "-", "-"},
		{"told so", told, "",
			`{"temperature":[{"count":0,"max":50.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":true}],"humidity":[],"object":[]}`, "-", "-", "-"},
		{"hot", hot, "",
			`{"temperature":[{"count":1,"max":653.5,"min":20.0,"average":100.0,"last":653.5,"unit":"C","overtemp":true}],"humidity":[],"object":[]}`, "true", "1", "-"},
		{"mild after hot", mild, "",
			`{"temperature":[{"count":1,"max":100.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":true}],"humidity":[],"object":[]}`, "true", "1", "-"},
		{"hot twice, and wet", hot + "," + hot, `{"value":3,"max":85,"min":79}`,
			`{"temperature":[{"count":1,"max":653.5,"min":20.0,"average":100.0,"last":653.5,"unit":"C","overtemp":true},` +
				`{"count":1,"max":653.5,"min":20.0,"average":100.0,"last":653.5,"unit":"C","overtemp":true}],` +
				`"humidity":[{"value":3.0,"count":0,"max":85.0,"min":79.0,"average":0.0,"last":0.0}],"object":[]}`, "true", "3", "85"},
		{"cold, and neither wet nor dry", cold, `{"max":80,"min":80}`,
			`{"temperature":[{"count":1,"max":20.0,"min":-1.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}],` +
				`"humidity":[{"count":0,"max":80.0,"min":80.0,"average":0.0,"last":0.0}],"object":[]}`, "false", "3", "85"},
		{"mild after cold, and dry", mild, `{"max":50,"min":40.5}`,
			`{"temperature":[{"count":1,"max":100.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}],` +
				`"humidity":[{"count":0,"max":50.0,"min":40.5,"average":0.0,"last":0.0}],"object":[]}`, "false", "3", "-"},
	} {
		in := sensorData(tt.temperature, tt.humidity)
		in.ContentType, in.Schema = sdk.Text("application/json"), &sdk.Schema{Name: sdk.Text("s")}
		in.SetProperty("kept", "yes")
		in.Timestamp.Secs = 7
		out, err := process(in)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		m := out.(*sdk.Message)
		if got := m.Payload.String(); got != tt.want {
			t.Errorf("%s: got\n%s, want\n%s", tt.name, got, tt.want)
		}
		if kept, _ := m.Property("kept"); m.Topic.String() != "sensors" || !m.ContentType.IsZero() || m.Schema != nil || kept != "yes" || m.Timestamp.Secs != 7 {
			t.Errorf("%s: message is %+v", tt.name, m)
		}
		if o, c, w := stored(t, env, "overtemp"), stored(t, env, "overtemp_count"), stored(t, env, "wet_flag"); o != tt.overtemp || c != tt.count || w != tt.wet {
			t.Errorf("%s: store has overtemp %s, overtemp_count %s, wet_flag %s; want %s, %s, %s", tt.name, o, c, w, tt.overtemp, tt.count, tt.wet)
		}
		if lock := stored(t, env, "lock"); lock != "-" {
			t.Errorf("%s: the lock is left to %s", tt.name, lock)
		}
	}
	if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-enrichment/map"}); got != 8 {
		t.Errorf("%d requests were counted", got)
	}
}

const tooHot = `{"max":101,"unit":"C"}`

func TestLockOfAnother(t *testing.T) {
	env := sdktest.New()
	process := openIn(t, env)
	store := env.Host().Store
	if _, err := store.Set("lock", []byte("other"), sdk.SetOptions{Expires: lockLife}); err != nil {
		t.Fatal(err)
	}
	if _, err := process(sensorData(tooHot, "")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"retries left: 2", "retries left: 1", "retries left: 0"} {
		if !env.Logged(sdk.LevelWarn, "failed to acquire lock, "+text) {
			t.Errorf("%q is not in the log: %v", text, env.Logs())
		}
	}
	if !env.Logged(sdk.LevelError, "after multiple attempts") || stored(t, env, "overtemp_count") != "-" {
		t.Error("it counted without the lock")
	}
	env.Advance(lockLife)
	if _, err := process(sensorData(tooHot, "")); err != nil || stored(t, env, "overtemp_count") != "1" {
		t.Errorf("after the lock expired: %v, count %s", err, stored(t, env, "overtemp_count"))
	}
}

// TestNewerToken: the number is protected by a fencing token newer than the one this
// operator gets, so that it has lost the lock without knowing.
func TestNewerToken(t *testing.T) {
	env := sdktest.New()
	process := openIn(t, env)
	newer := sdk.Timestamp{Secs: 1 << 40, Node: sdk.Text("other")}
	if _, err := env.Host().Store.Set("overtemp_count", []byte("41"), sdk.SetOptions{Fencing: &newer}); err != nil {
		t.Fatal(err)
	}
	if _, err := process(sensorData(tooHot, "")); err != nil {
		t.Fatal(err)
	}
	if stored(t, env, "overtemp_count") != "41" || stored(t, env, "lock") != "-" || !env.Logged(sdk.LevelError, "lower version than the fencing token") {
		t.Errorf("count is %s, lock %s, log %v", stored(t, env, "overtemp_count"), stored(t, env, "lock"), env.Logs())
	}
}

// TestStoreFails: a message is not lost because the store can't be reached.
func TestStoreFails(t *testing.T) {
	env := sdktest.New()
	process := openIn(t, env)
	env.FailStore(sdk.ErrTimeout)
	for _, tt := range []struct{ temperature, humidity, log string }{
		{tooHot, "", "failed to set value for over-temperature key 'overtemp': state store: timeout"},
		{tooHot, "", "failed to set lock 'lock': state store: timeout"},
		{`{"min":-1,"unit":"C"}`, "", "failed to set value for over-temperature key 'overtemp': state store: timeout"},
		{`{"unit":"C"}`, "", "failed to get value for over-temperature key 'overtemp': state store: timeout"},
		{"", `{"max":81}`, "failed to set wet flag 'wet_flag': state store: timeout"},
		{"", `{}`, "failed to delete wet flag 'wet_flag': state store: timeout"},
	} {
		if _, err := process(sensorData(tt.temperature, tt.humidity)); err != nil {
			t.Errorf("%s%s: %v", tt.temperature, tt.humidity, err)
		}
		if !env.Logged(sdk.LevelError, tt.log) {
			t.Errorf("%q is not in the log: %v", tt.log, env.Logs())
		}
	}
}

func TestUnexpectedValue(t *testing.T) {
	env := sdktest.New()
	if _, err := env.Host().Store.Set("overtemp", []byte("maybe"), sdk.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	out, err := openIn(t, env)(sensorData(`{"unit":"C"}`, ""))
	if err != nil || !strings.Contains(out.(*sdk.Message).Payload.String(), `"overtemp":false`) || !env.Logged(sdk.LevelWarn, "unexpected value 'maybe'") {
		t.Errorf("%v, %v, log %v", out, err, env.Logs())
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, count string
		in          sdk.Data
		want        string
	}{
		{"bytes", "", sdk.Text("{}"), "Unexpected input type."},
		{"snapshot", "", &sdk.Snapshot{}, "Unexpected input type."},
		{"no JSON", "", sdktest.Message("t", "?"), "Failed to parse payload as JSON: json: offset 0: want an object"},
		{"a single reading", "", sdktest.Message("t", `{"humidity":{"value":1}}`), "Unexpected type for result."},
		{"a count that is none", "many", sensorData(tooHot, ""), `the state store's overtemp_count is "many", which is no count`},
	} {
		env := sdktest.New()
		if tt.count != "" {
			if _, err := env.Host().Store.Set("overtemp_count", []byte(tt.count), sdk.SetOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := openIn(t, env)(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if lock := stored(t, env, "lock"); lock != "-" {
			t.Errorf("%s: the lock is left to %s", tt.name, lock)
		}
	}
}
