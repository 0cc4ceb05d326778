// SPDX-License-Identifier: Apache-2.0

package wiring_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/resource"
)

func TestNodeKeepsItsID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := wiring.Node(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uuid.Parse(first); err != nil {
		t.Errorf("node id %q: %v", first, err)
	}
	if again, err := wiring.Node(dir); err != nil || again != first {
		t.Errorf("Node() = %q, %v; the first time %q", again, err, first)
	}
	if other, err := wiring.Node(t.TempDir()); err != nil || other == first {
		t.Errorf("Node() of another folder = %q, %v", other, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte("me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wiring.Node(dir); err == nil || !strings.Contains(err.Error(), "remove it for a new one") {
		t.Errorf("a damaged id: %v", err)
	}
}

func TestArtifactsAreRelativeToTheirEndpoint(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"simple.yaml": "graph", "temperature.wasm": "component"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	endpoint := &resource.RegistryEndpoint{Meta: resource.Meta{File: filepath.Join(dir, "sub", "registry.yaml")}, Host: "file://.."}
	artifacts, err := wiring.Artifacts(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	definition, _, err := artifacts.Definition(t.Context(), "simple:1.0.0")
	if err != nil || string(definition) != "graph" {
		t.Errorf("Definition() = %q, %v", definition, err)
	}
	component, digest, err := artifacts.Component(t.Context(), "temperature:1.0.0")
	if err != nil || string(component) != "component" || !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("Component() = %q, %q, %v", component, digest, err)
	}
	if _, _, err := artifacts.Definition(t.Context(), "temperature:1.0.0"); err == nil {
		t.Error("a component was taken for a definition")
	}
	if _, _, err := artifacts.Component(t.Context(), "simple:1.0.0"); err == nil {
		t.Error("a definition was taken for a component")
	}
	if _, err := wiring.Artifacts(&resource.RegistryEndpoint{Host: "ftp://x"}); err == nil {
		t.Error("an endpoint of an unknown scheme was opened")
	}
}
