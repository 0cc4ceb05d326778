// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
	"github.com/wasm-graph/graphd/engine/recording"
)

const graphsPath = "/apis/connectivity.iotoperations.azure.com/v1/namespaces/azure-iot-operations/dataflowgraphs/"

// TestTap records what comes to an operation of a graph that runs, until there is
// enough, and what comes from its sources, until it ends.
func TestTap(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	b, err := broker.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir, artifacts := t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		filepath.Join(artifacts, "graph.yaml"): `metadata: {$schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json", name: passing, version: "1.0.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations: [{operationType: source, name: source}, {operationType: concatenate, name: both}, {operationType: sink, name: sink}]
connections: [{from: {name: source}, to: {name: both}}, {from: {name: both}, to: {name: sink}}]
`,
		filepath.Join(dir, "all.yaml"): fmt.Sprintf(swapResources, b.Address(), artifacts),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run", "-f", dir, "--addr", addr, "--data-dir", filepath.Join(dir, "data")}, io.Discard, io.Discard)
	}()
	for ready := false; !ready; time.Sleep(10 * time.Millisecond) {
		if response, err := http.Get("http://" + addr + "/readyz"); err == nil {
			ready = response.StatusCode == http.StatusOK
			response.Body.Close()
		}
	}
	open := func(query string) *recording.Player {
		t.Helper()
		response, err := http.Get("http://" + addr + graphsPath + query)
		if err != nil {
			t.Fatal(err)
		}
		p, err := recording.NewPlayer(query, response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	next := func(p *recording.Player, payload string) {
		t.Helper()
		for {
			m, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Message == nil {
				continue // the frontier
			}
			if got := string(m.Message.Payload); got != payload || !m.Stamped || time.Since(m.At) > time.Minute {
				t.Errorf("%s: got %q at %v", p.Header().Of, got, m.At)
			}
			return
		}
	}
	publish := func(payload string) {
		t.Helper()
		if err := b.Publish("in", []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	sources := open("g/tap")
	operation := open("g/tap?node=g/both")
	publish("1")
	next(sources, "1")
	next(operation, "1")
	if err := operation.Close(); err != nil {
		t.Fatal(err)
	}
	publish("2")
	next(sources, "2")
	for query, want := range map[string]string{
		"h/tap":              "there is no DataflowGraph h",
		"g/tap?node=g/botch": `did you mean \"g/both\"?`,
	} {
		response, err := http.Get("http://" + addr + graphsPath + query)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if response.Body.Close(); err != nil || response.StatusCode != http.StatusNotFound || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s %s (%v), want %s", query, response.Status, text, err, want)
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	for err = nil; err == nil; {
		_, err = sources.Next()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the recording of a graph that has ended: %v, want its end", err)
	}
}
