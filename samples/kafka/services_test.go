// SPDX-License-Identifier: Apache-2.0

//go:build services

package kafka_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/kafka"
	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
	"github.com/wasm-graph/graphd/operators/build"
)

// messages is how many temperatures are sent: 0, 1, 2 ... degrees Fahrenheit.
const messages = 2000

// TestThroughKafka sends temperatures from MQTT through Kafka to MQTT, by graphs on both
// sides, while graphd and Kafka are killed.
func TestThroughKafka(t *testing.T) {
	broker := mosquitto.Start(t, mosquitto.Options{Persistence: true, Config: []string{"max_queued_messages 0", "set_tcp_nodelay true"}})
	log := kafka.Start(t)
	dir := resources(t, broker.Addr, log.Addr)
	graphd := programs.Build(t, "graphd")
	results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed", "-c", "-x", "3600")

	kill := run(t, graphd, dir)
	publish(broker, 0, messages/2)
	for want := range messages / 2 { // exactly the same, in order
		m := results.Next()
		if got := fahrenheit(t, m.Payload); got != want {
			t.Fatalf("message %d is %d", want, got)
		}
		stamped := false
		for _, p := range m.UserProperties {
			stamped = stamped || p[0] == "Timestamp"
		}
		if !stamped || m.ContentType != "" {
			t.Fatalf("message %d has the properties %v and the content type %q", want, m.UserProperties, m.ContentType)
		}
	}

	publish(broker, messages/2, messages)
	next := messages / 2
	first := func(until int) { // what comes first is in order; some may come twice
		t.Helper()
		for next < until {
			switch got := fahrenheit(t, results.Next().Payload); {
			case got == next:
				next++
			case got > next || got < messages/4:
				t.Fatalf("message %d after %d", got, next-1)
			}
		}
	}
	first(messages/2 + 10)
	kill()
	kill = run(t, graphd, dir)
	first(messages/2 + 300)
	log.Restart()
	first(messages)
	kill()
}

func resources(t *testing.T, broker, log string) string {
	t.Helper()
	artifacts := t.TempDir()
	c, err := build.Operator(t.Context(), "../../operators/temperature")
	if err != nil {
		t.Fatal(err)
	}
	definition, err := os.ReadFile("../../graphs/simple.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"temperature.wasm": c.Bytes, "graph-simple.yaml": definition} {
		if err := os.WriteFile(filepath.Join(artifacts, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return programs.Resources(t, []string{"resources"},
		"../../../build/artifacts", artifacts, "localhost:1883", broker, "localhost:9092", log)
}

// publish sends temperatures, one after another.
func publish(broker *mosquitto.Broker, from, to int) {
	var lines strings.Builder
	for n := from; n < to; n++ {
		fmt.Fprintf(&lines, `{"temperature":{"value":%d.0,"unit":"F"}}`+"\n", n)
	}
	broker.PublishFrom(strings.NewReader(lines.String()), "-q", "1", "-t", "sensor/temperature/raw", "-l")
}

// fahrenheit returns which temperature a message in Celsius was.
func fahrenheit(t *testing.T, payload []byte) int {
	t.Helper()
	var m struct {
		Temperature struct {
			Value float64
			Unit  string
		}
	}
	if err := json.Unmarshal(payload, &m); err != nil || m.Temperature.Unit != "C" {
		t.Fatalf("%s: %v", payload, err)
	}
	return int(math.Round(m.Temperature.Value*9/5 + 32))
}

// run runs graphd, waits until it is ready, and returns what kills it.
func run(t *testing.T, graphd, dir string) (kill func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	addr := programs.FreeAddress(t)
	cmd := exec.Command(graphd, "run", "-f", dir, "--addr", addr, "--data-dir", filepath.Join(dir, "data"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("kill graphd: %v", err)
		}
		_ = cmd.Wait() // it was killed
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("graphd said:\n%s", text)
		}
		log.Close()
	}
	t.Cleanup(kill)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if response, err := http.Get("http://" + addr + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return kill
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("graphd is not ready")
		}
	}
}
