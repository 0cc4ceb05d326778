// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
)

// TestSwapUnderLoad moves a tag again and again while messages come over MQTT: each
// comes out once, in order, and every version has its share.
func TestSwapUnderLoad(t *testing.T) {
	dir, artifacts := t.TempDir(), modules(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // after building, which would have no cache either
	b, err := broker.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got := make(chan string, 1<<16)
	if err := b.Subscribe("out", func(_ string, payload []byte) { got <- string(payload) }); err != nil {
		t.Fatal(err)
	}
	converting, err := os.ReadFile(filepath.Join("..", "..", "graphs", "simple.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	definitions := []string{string(converting), `metadata: {$schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json", name: passing, version: "1.0.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations: [{operationType: source, name: source}, {operationType: sink, name: sink}]
connections: [{from: {name: source}, to: {name: sink}}]
`}
	write := func(file, text string) {
		// In one step, as who writes files that are read should.
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(artifacts, "graph.yaml"), definitions[0])
	write(filepath.Join(dir, "all.yaml"), fmt.Sprintf(swapResources, b.Address(), artifacts))
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr strings.Builder
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run", "-f", dir, "--addr", addr, "--data-dir", filepath.Join(dir, "data")}, io.Discard, &stderr)
	}()
	for ready := false; !ready; time.Sleep(10 * time.Millisecond) {
		if response, err := http.Get("http://" + addr + "/readyz"); err == nil {
			ready = response.StatusCode == http.StatusOK
			response.Body.Close()
		}
	}

	// Until both have had their share three times.
	sent, next, swaps := 0, 0, 0
	last, which := "", 0
	deadline := time.Now().Add(patience)
	// On a slow machine, more would only be waited for: a swap shows behind all of them.
	const underWay = 500
	pace := time.NewTicker(500 * time.Microsecond)
	defer pace.Stop()
	check := func(payload string) {
		var reading struct {
			Temperature struct {
				Value, Count float64
				Unit         string
			}
		}
		if err := json.Unmarshal([]byte(payload), &reading); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		value := reading.Temperature.Value
		if reading.Temperature.Unit == "C" {
			value = value*9/5 + 32
		}
		if number := int(value + 0.5); number != next {
			t.Fatalf("message %d came, want %d: %s", number, next, payload)
		}
		next++
		if unit := reading.Temperature.Unit; unit != last {
			last = unit
			swaps++
			which = 1 - which
			write(filepath.Join(artifacts, "graph.yaml"), definitions[which])
		}
	}
	for swaps < 6 {
		select {
		case payload := <-got:
			check(payload)
		case <-pace.C:
			if time.Now().After(deadline) {
				t.Fatalf("%d swaps in %v", swaps, patience)
			}
			if sent-next == underWay {
				break
			}
			if err := b.Publish("in", fmt.Appendf(nil, `{"temperature":{"value":%d.0,"unit":"F"}}`, sent)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	for next < sent {
		check(<-got)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d:\n%s", code, stderr.String())
	}
	if n := strings.Count(stderr.String(), "mqtt: subscribed"); n != 1 {
		t.Errorf("subscribed %d times, want once", n)
	}
	if len(got) > 0 {
		t.Errorf("%d messages came more than once", len(got))
	}
}

const swapResources = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker}
spec: {endpointType: Mqtt, mqttSettings: {host: "%s", authentication: {method: Anonymous}, tls: {mode: Disabled}}}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: RegistryEndpoint
metadata: {name: modules}
spec: {host: "file://%s"}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {name: g, annotations: {graphd.io/follow-interval: 1s}}
spec:
  nodes:
  - {name: s, nodeType: Source, sourceSettings: {endpointRef: broker, dataSources: [in]}}
  - {name: g, nodeType: Graph, graphSettings: {registryEndpointRef: modules, artifact: "graph:1.0.0"}}
  - {name: d, nodeType: Destination, destinationSettings: {endpointRef: broker, dataDestination: out}}
  nodeConnections:
  - {from: {name: s}, to: {name: g}}
  - {from: {name: g}, to: {name: d}}
`
