// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func TestBranch(t *testing.T) {
	topic := func(value string) []sdk.Parameter { return []sdk.Parameter{{Key: "snapshot_topic", Value: value}} }
	for _, tt := range []struct {
		name       string
		parameters []sdk.Parameter
		in         sdk.Data
		want       bool
	}{
		{"the topic", topic("cam/1"), sdktest.Message("cam/1", ""), true},
		{"another topic", topic("cam/1"), sdktest.Message("cam/10", ""), false},
		{"no topic configured", nil, sdktest.Message("cam/1", ""), false},
		{"no topic configured, and none there", nil, sdktest.Message("", ""), false},
		{"the empty topic", topic(""), sdktest.Message("", ""), true},
		{"a snapshot", topic("cam/1"), &sdk.Snapshot{}, true},
		{"a snapshot, no topic configured", nil, &sdk.Snapshot{}, true},
	} {
		env := sdktest.New(tt.parameters...)
		process, err := openBranch(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := process(sdk.Timestamp{}, tt.in); err != nil || got != tt.want {
			t.Errorf("%s: %t, %v; want %t", tt.name, got, err, tt.want)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-snapshot/branch"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
		if _, err := process(sdk.Timestamp{}, sdk.Text("")); err == nil || err.Error() != "Unexpected input type" {
			t.Errorf("%s: bytes: %v", tt.name, err)
		}
	}
}

func snapshot(frame string) sdk.Data { return &sdk.Snapshot{Frame: sdk.Text(frame)} }

func TestAccumulate(t *testing.T) {
	bear, cat := snapshot(`{"object":{"result":"brown bear, bruin"}}`), snapshot(`{"object":{"result":"cat"}}`)
	for _, tt := range []struct {
		name, staged string
		batch        []sdk.Data
		want         string
	}{
		{"one", "", []sdk.Data{bear}, `{"object":{"result":"brown bear, bruin"}}`},
		{"each once, in the order of the first", "", []sdk.Data{cat, bear, cat, bear}, `{"object":{"result":"cat; brown bear, bruin"}}`},
		{"next batch", `{"object":{"result":"cat"}}`, []sdk.Data{bear}, `{"object":{"result":"cat; brown bear, bruin"}}`},
		{"next batch, all known", `{"object":{"result":"cat; brown bear, bruin"}}`, []sdk.Data{bear, cat}, `{"object":{"result":"cat; brown bear, bruin"}}`},
		{"staged is something else", `{"humidity":{}}`, []sdk.Data{cat}, `{"object":{"result":"cat"}}`},
	} {
		env := sdktest.New()
		process, err := openAccumulate(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		staged := sdktest.Message("", tt.staged)
		staged.Timestamp.Secs = 10
		out, err := process(staged, tt.batch)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if m := out.(*sdk.Message); m.Payload.String() != tt.want || m.Timestamp.Secs != 10 {
			t.Errorf("%s: got %s at %v, want %s", tt.name, m.Payload, m.Timestamp, tt.want)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-snapshot/accumulate"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
	}
}

func TestAccumulateErrors(t *testing.T) {
	empty := sdktest.Message("", "")
	for _, tt := range []struct {
		name          string
		staged, input sdk.Data
		want          string
	}{
		{"staged is a snapshot", &sdk.Snapshot{}, snapshot(`{"object":{"result":"cat"}}`), "Unexpected input type"},
		{"staged is no JSON", sdktest.Message("", "cat"), snapshot(`{"object":{"result":"cat"}}`), "the staged result is not a measurement: "},
		{"input is a message", empty, sdktest.Message("", `{"object":{"result":"cat"}}`), "Unexpected input type"},
		{"input is an image", empty, snapshot("\x00\x00"), "Failed to parse payload as JSON: "},
		{"input is a temperature", empty, snapshot(`{"temperature":{"unit":"C"}}`), "Unexpected measurement type."},
	} {
		process, err := openAccumulate(sdktest.New().Host())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process(tt.staged, []sdk.Data{tt.input}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
