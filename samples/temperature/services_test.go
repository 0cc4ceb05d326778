// SPDX-License-Identifier: Apache-2.0

//go:build services

package temperature_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
)

// patience is how long the test waits for what must happen.
const patience = 30 * time.Second

// TestGraphd runs the sample's resources between a real broker and its own clients,
// over plain TCP and over TLS.
func TestGraphd(t *testing.T) {
	graphctl, graphd := program(t, "graphctl"), program(t, "graphd")
	modules := artifacts(t, graphctl)
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "TCP", true: "TLS"}[secure]
		t.Run(name, func(t *testing.T) {
			broker := mosquitto.Start(t, mosquitto.Options{TLS: secure})
			results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed")
			run(t, graphd, resources(t, broker, modules, secure), func() {
				publishInput(t, broker)
				for _, want := range expected(t) {
					if got := results.Next(); string(got.Payload) != want {
						t.Errorf("%s: %s, want %s", got.Topic, got.Payload, want)
					}
				}
			})
		})
	}
}

// TestGraphdGoesOnWhereItStopped stops graphd while messages are published: its
// session keeps them until it is back.
func TestGraphdGoesOnWhereItStopped(t *testing.T) {
	graphctl, graphd := program(t, "graphctl"), program(t, "graphd")
	broker := mosquitto.Start(t, mosquitto.Options{})
	results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed")
	dir := resources(t, broker, artifacts(t, graphctl), false)
	run(t, graphd, dir, func() {})
	publishInput(t, broker)
	run(t, graphd, dir, func() {
		for _, want := range expected(t) {
			if got := results.Next(); string(got.Payload) != want {
				t.Errorf("%s: %s, want %s", got.Topic, got.Payload, want)
			}
		}
	})
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

// resources copies the sample's resources, with the broker and the artifacts of
// this test in them.
func resources(t *testing.T, broker *mosquitto.Broker, modules string, secure bool) string {
	t.Helper()
	dir := t.TempDir()
	files := []string{"resources/artifacts.yaml", "resources/temperature.yaml", "resources/broker.yaml"}
	changes := []string{"file://../../../build/artifacts", "file://" + modules, "localhost:1883", broker.Addr}
	if secure {
		files[2] = "resources-tls/broker.yaml"
		authority, err := os.ReadFile(broker.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, "localhost:8883", broker.TLSAddr,
			"put the authority's certificate here", strings.ReplaceAll(strings.TrimSpace(string(authority)), "\n", "\n    "))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.NewReplacer(changes...).Replace(string(text)))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run runs graphd, calls meanwhile once it is ready, and stops it.
func run(t *testing.T, graphd, dir string, meanwhile func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(graphd, "run", "-f", dir, "--addr", addr, "--data-dir", filepath.Join(dir, "data"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("graphd: %v", err)
		}
		if t.Failed() {
			t.Logf("graphd said:\n%s", log.Bytes())
		}
	}()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); ; <-look.C {
		response, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("graphd is not ready after %v", patience)
			return
		}
	}
	meanwhile()
}
