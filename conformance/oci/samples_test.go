// SPDX-License-Identifier: Apache-2.0

//go:build interop

package oci_test

import (
	"bytes"
	"encoding/json"
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

// published is where the definitions look for their modules.
const published = "azure-samples/explore-iot-operations/"

// TestTemperatureSample runs the sample's resources with its artifacts in a layout, in
// docker-registry and in our registry: only the registry's host differs.
func TestTemperatureSample(t *testing.T) {
	places := map[string]func(*testing.T) string{
		"layout":          func(t *testing.T) string { return "oci-layout:" + t.TempDir() },
		"docker-registry": func(t *testing.T) string { return "http://" + dockerRegistry(t) },
		"our registry":    func(t *testing.T) string { return "http://" + ourRegistry(t) },
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			host := place(t)
			separator := "/"
			if strings.HasPrefix(host, "oci-layout:") {
				separator = ":"
			}
			command(t, graphctl, "push", write(t, "temperature.wasm", compiled(t)), host+separator+published+"temperature:1.0.0")
			command(t, graphctl, "push", "../../graphs/simple.yaml", host+separator+published+"graph-simple:1.0.0")

			broker := mosquitto.Start(t, mosquitto.Options{})
			results := broker.Subscribe("-q", "1", "-t", "sensor/temperature/processed")
			sample := "../../samples/temperature"
			dir := resources(t, sample+"/resources", "file://../../../build/artifacts", host, "localhost:1883", broker.Addr)
			whileRunning(t, dir, func() {
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
		})
	}
}

// resources copies a folder of resources with some text replaced: pairs of old and new.
func resources(t *testing.T, from string, changes ...string) string {
	t.Helper()
	files, err := filepath.Glob(from + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	dir := t.TempDir()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// whileRunning runs graphd with the resources in dir, calls meanwhile once it is ready,
// and stops it.
func whileRunning(t *testing.T, dir string, meanwhile func()) {
	t.Helper()
	addr := freeAddress(t)
	var out bytes.Buffer
	cmd := exec.Command(graphd, "run", "-f", dir, "--addr", addr, "--data-dir", filepath.Join(dir, "data"))
	cmd.Stderr = &out
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
			t.Logf("graphd said:\n%s", out.Bytes())
		}
	}()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); ; <-look.C {
		if response, err := http.Get("http://" + addr + "/readyz"); err == nil {
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
