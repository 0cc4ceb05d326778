// SPDX-License-Identifier: Apache-2.0

//go:build interop

package oci_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
)

// published is where the definitions look for their modules.
const published = "azure-samples/explore-iot-operations/"

// places are where the artifacts of the samples are; the functions return a registry
// endpoint's host.
var places = map[string]func(*testing.T) string{
	"layout":          func(t *testing.T) string { return "oci-layout:" + t.TempDir() },
	"docker-registry": func(t *testing.T) string { return "http://" + dockerRegistry(t) },
	"our registry":    func(t *testing.T) string { return "http://" + ourRegistry(t) },
}

// everywhere runs a sample's resources with its graph and modules pushed to each of the
// places: only the registry's host differs.
func everywhere(t *testing.T, sample, graph string, modules []string, test func(t *testing.T, broker *mosquitto.Broker)) {
	built := t.TempDir()
	for _, module := range modules {
		programs.Run(t, graphctl, "build", "../../operators/"+module, "-o", filepath.Join(built, module+".wasm"))
	}
	cache := t.TempDir()
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			host := place(t)
			separator := "/"
			if strings.HasPrefix(host, "oci-layout:") {
				separator = ":"
			}
			for _, module := range modules {
				programs.Run(t, graphctl, "push", filepath.Join(built, module+".wasm"), host+separator+published+module+":1.0.0")
			}
			programs.Run(t, graphctl, "push", "../../graphs/"+graph+".yaml", host+separator+published+"graph-"+graph+":1.0.0")
			broker := mosquitto.Start(t, mosquitto.Options{})
			dir := programs.Resources(t, []string{"../../samples/" + sample + "/resources"},
				"file://../../../build/artifacts", host, "localhost:1883", broker.Addr)
			programs.Graphd(t, graphd, dir, "XDG_CACHE_HOME="+cache)
			test(t, broker)
		})
	}
}

func TestTemperatureSample(t *testing.T) {
	const sample = "../../samples/temperature"
	everywhere(t, "temperature", "simple", []string{"temperature"}, func(t *testing.T, broker *mosquitto.Broker) {
		results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed")
		inputs, err := filepath.Glob(sample + "/input/*.json")
		if err != nil || len(inputs) == 0 {
			t.Fatal(inputs, err)
		}
		for _, file := range inputs {
			payload, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			broker.PublishFrom(bytes.NewReader(payload), "-q", "1", "-s", "-t", "sensor/temperature/raw")
		}
		expected, err := os.ReadFile(sample + "/expected.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(expected)) {
			var want struct{ Payload string }
			if err := json.Unmarshal([]byte(line), &want); err != nil {
				t.Fatal(err)
			}
			if got := results.Next(); string(got.Payload) != want.Payload {
				t.Errorf("got %s, want %s", got.Payload, want.Payload)
			}
		}
	})
}

// TestComplexSample waits for a window, ten seconds and five for stragglers.
func TestComplexSample(t *testing.T) {
	modules := []string{"collection", "enrichment", "format", "humidity", "snapshot", "temperature", "window"}
	everywhere(t, "complex", "complex", modules, func(t *testing.T, broker *mosquitto.Broker) {
		results := broker.Subscribe("-q", "1", "-t", "analytics/sensor/processed")
		// At one time, so that no window ends between them.
		now := fmt.Sprintf("%d:0:sensor", time.Now().UnixMilli())
		for topic, payload := range map[string]string{
			"sensor/temperature/raw": `{"temperature":{"value":212.0,"unit":"F"}}`,
			"sensor/humidity/raw":    `{"humidity":{"value":40.0}}`,
		} {
			broker.Publish("-q", "1", "-t", topic, "-m", payload, "-D", "publish", "user-property", "__ts", now)
		}
		const want = `{"temperature":[{"count":1,"max":100.0,"min":100.0,"average":100.0,"last":100.0,"unit":"C","overtemp":false}],` +
			`"humidity":[{"count":1,"max":40.0,"min":40.0,"average":40.0,"last":40.0}],"object":[]}`
		if got := string(results.Next().Payload); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
