// SPDX-License-Identifier: Apache-2.0

//go:build services

package temperature_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
)

// TestGraphd runs the sample's resources between a real broker and its own clients,
// over plain TCP and over TLS.
func TestGraphd(t *testing.T) {
	graphctl, graphd := programs.Build(t, "graphctl"), programs.Build(t, "graphd")
	modules := artifacts(t, graphctl)
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "TCP", true: "TLS"}[secure]
		t.Run(name, func(t *testing.T) {
			broker := mosquitto.Start(t, mosquitto.Options{TLS: secure})
			results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed")
			programs.Graphd(t, graphd, resources(t, broker, modules, secure))
			publishInput(t, broker)
			for _, want := range expected(t) {
				if got := results.Next(); string(got.Payload) != want {
					t.Errorf("%s: %s, want %s", got.Topic, got.Payload, want)
				}
			}
		})
	}
}

// TestGraphdGoesOnWhereItStopped stops graphd while messages are published: its
// session keeps them until it is back.
func TestGraphdGoesOnWhereItStopped(t *testing.T) {
	graphctl, graphd := programs.Build(t, "graphctl"), programs.Build(t, "graphd")
	broker := mosquitto.Start(t, mosquitto.Options{})
	results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed")
	dir := resources(t, broker, artifacts(t, graphctl), false)
	programs.Graphd(t, graphd, dir)()
	publishInput(t, broker)
	programs.Graphd(t, graphd, dir)
	for _, want := range expected(t) {
		if got := results.Next(); string(got.Payload) != want {
			t.Errorf("%s: %s, want %s", got.Topic, got.Payload, want)
		}
	}
}

// publishInput publishes the sample's input by mosquitto_pub, in order.
func publishInput(t *testing.T, broker *mosquitto.Broker) {
	t.Helper()
	files, err := filepath.Glob("input/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		broker.PublishFrom(bytes.NewReader(payload), "-q", "1", "-s", "-t", "sensor/temperature/raw")
	}
}

// expected is the payloads in expected.jsonl.
func expected(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("expected.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var payloads []string
	for line := range strings.Lines(string(text)) {
		var record struct{ Payload string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, record.Payload)
	}
	return payloads
}

// resources are the sample's, with the broker and the artifacts of this test in them.
func resources(t *testing.T, broker *mosquitto.Broker, modules string, secure bool) string {
	t.Helper()
	folders := []string{"resources"}
	changes := []string{"file://../../../build/artifacts", "file://" + modules, "localhost:1883", broker.Addr}
	if secure {
		folders = append(folders, "resources-tls")
		authority, err := os.ReadFile(broker.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, "localhost:8883", broker.TLSAddr, "put the authority's certificate here", programs.Indented(authority))
	}
	return programs.Resources(t, folders, changes...)
}
