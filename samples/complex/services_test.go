// SPDX-License-Identifier: Apache-2.0

//go:build services

package complex_test

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
	"github.com/wasm-graph/graphd/engine/recording"
)

// patience is how long the test waits for what must happen.
const patience = 60 * time.Second

// TestGraphd runs the sample's resources between a real broker and its own clients. The
// messages come without stamps, so which window they fall into is up to the clock: what
// comes out, in one message or two, has to be all of it.
func TestGraphd(t *testing.T) {
	graphctl, graphd := program(t, "graphctl"), program(t, "graphd")
	broker := mosquitto.Start(t, mosquitto.Options{})
	results := broker.Subscribe("-q", "1", "-t", "analytics/sensor/processed")
	dir := resources(t, broker, artifacts(t, graphctl))
	stop := run(t, graphd, dir)
	defer stop()
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

// resources copies the sample's resources, with the broker and the artifacts of this
// test in them.
func resources(t *testing.T, broker *mosquitto.Broker, modules string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("resources/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: %v", files, err)
	}
	change := strings.NewReplacer("file://../../../build/artifacts", "file://"+modules, "localhost:1883", broker.Addr)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(change.Replace(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run starts graphd, waits until it is ready, and returns what stops it.
func run(t *testing.T, graphd, dir string) (stop func()) {
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
	stop = func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("graphd: %v", err)
		}
		if t.Failed() {
			t.Logf("graphd said:\n%s", log.Bytes())
		}
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); ; <-look.C {
		response, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return stop
			}
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("graphd is not ready after %v:\n%s", patience, log.Bytes())
		}
	}
}
