// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// graphctl runs the program and returns its exit code and what it printed.
func graphctl(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestRegistryServe serves a registry until it is told to stop, and runs a graph from
// it, also once it is gone.
func TestRegistryServe(t *testing.T) {
	dir := t.TempDir()
	modules := filepath.Join(dir, "temperature.wasm")
	if code, _, errs := graphctl(t.Context(), "build", "../../operators/temperature", "-o", modules); code != 0 {
		t.Fatal(errs)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // after building, which would have no cache either
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"registry", "serve", "--dir", filepath.Join(dir, "registry"), "--addr", "127.0.0.1:0"}, strings.NewReader(""), writer, &stderr)
		writer.Close()
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	url := regexp.MustCompile(`^serving .* on (http://127\.0\.0\.1:\d+)\n$`).FindStringSubmatch(line)
	if url == nil {
		t.Fatalf("printed %q", line)
	}

	const name = "/azure-samples/explore-iot-operations/temperature:1.0.0"
	if code, _, errs := graphctl(t.Context(), "push", modules, url[1]+name); code != 0 {
		t.Fatal(errs)
	}
	input := filepath.Join(dir, "in.jsonl")
	if err := os.WriteFile(input, []byte(`{"topic":"t","payload":"{\"temperature\":{\"value\":100.0,\"unit\":\"F\"}}"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	convert := func() {
		t.Helper()
		code, out, errs := graphctl(t.Context(), "run", "../../graphs/simple.yaml", "--modules", url[1], "--input", input)
		if code != 0 || !strings.Contains(out, "37.77777777777778") {
			t.Errorf("exit code %d, output %q, %s", code, out, errs)
		}
	}
	convert()
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("serve: exit code %d: %s", code, stderr.String())
	}
	if _, err := http.Get(url[1] + "/v2/"); err == nil {
		t.Error("the registry still answers")
	}
	convert() // from the cache
	if code, _, errs := graphctl(t.Context(), "resolve", url[1]+name); code != exitFailed || !strings.Contains(errs, "registry unavailable") {
		t.Errorf("resolve: exit code %d, %s", code, errs)
	}
}

// TestRegistryServeWarns of an address that others reach.
func TestRegistryServeWarns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for addr, want := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true} {
		code, _, stderr := graphctl(ctx, "registry", "serve", "--dir", t.TempDir(), "--addr", addr)
		if got := strings.Contains(stderr, "warning: whoever reaches this address"); code != 0 || got != want {
			t.Errorf("serve on %s: exit code %d, %q", addr, code, stderr)
		}
	}
}

// TestServeFails: what can't be served any more ends the program.
func TestServeFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := serveUntilDone(t.Context(), listener, &http.Server{}); err == nil {
		t.Error("no error")
	}
}
