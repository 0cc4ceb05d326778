// SPDX-License-Identifier: Apache-2.0

package engines_test

import (
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core/engines"
)

func TestOpen(t *testing.T) {
	names := engines.Names()
	if len(names) == 0 || names[0] != "wazero" {
		t.Fatalf("engines are %q, want wazero first", names)
	}
	for _, tt := range []struct{ name, want string }{{"", "wazero"}, {names[0], names[0]}, {names[len(names)-1], names[len(names)-1]}} {
		e, err := engines.Open(t.Context(), tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Name(); got != tt.want {
			t.Errorf("Open(%q) opened %s, want %s", tt.name, got, tt.want)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := engines.Open(t.Context(), "another"); err == nil {
		t.Error("opened an engine that doesn't exist")
	}
}
