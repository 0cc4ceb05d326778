// SPDX-License-Identifier: Apache-2.0

//go:build services

package complex_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
	"github.com/wasm-graph/graphd/engine/recording"
)

// TestGraphd runs the sample's resources between a real broker and its own clients. The
// messages come without stamps, so which window they fall into is up to the clock: what
// comes out, in one message or two, has to be all of it.
func TestGraphd(t *testing.T) {
	graphctl, graphd := programs.Build(t, "graphctl"), programs.Build(t, "graphd")
	broker := mosquitto.Start(t, mosquitto.Options{})
	results := broker.Subscribe("-q", "1", "-t", "analytics/sensor/processed")
	programs.Graphd(t, graphd, programs.Resources(t, []string{"resources"},
		"file://../../../build/artifacts", "file://"+artifacts(t, graphctl), "localhost:1883", broker.Addr))
	publishInput(t, broker)

	var temperatures, humidities int
	objects := map[string]bool{}
	for temperatures < 3 || humidities < 3 || len(objects) < 5 {
		message := results.Next() // fails the test when nothing comes
		var sums struct {
			Temperature, Humidity []struct{ Count int }
			Object                []struct{ Result string }
		}
		if err := json.Unmarshal(message.Payload, &sums); err != nil {
			t.Fatalf("%s: %s: %v", message.Topic, message.Payload, err)
		}
		for _, s := range sums.Temperature {
			temperatures += s.Count
		}
		for _, s := range sums.Humidity {
			humidities += s.Count
		}
		for _, o := range sums.Object {
			for name := range strings.SplitSeq(o.Result, "; ") {
				objects[name] = true
			}
		}
	}
	if temperatures != 3 || humidities != 3 || len(objects) != 5 {
		t.Errorf("%d temperatures, %d humidities and %v came out, want 3, 3 and 5 signs", temperatures, humidities, objects)
	}
}

// publishInput publishes the sample's input by mosquitto_pub, in order.
func publishInput(t *testing.T, broker *mosquitto.Broker) {
	t.Helper()
	input, err := recording.Open("input.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	for range 13 {
		r, err := input.Read()
		if err != nil {
			t.Fatal(err)
		}
		broker.PublishFrom(bytes.NewReader(r.Payload), "-q", "1", "-s", "-t", r.Topic)
	}
}
