// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/cmd/internal/identity"
)

// TestServiceAccountFile: a token is read anew each time.
func TestServiceAccountFile(t *testing.T) {
	t.Setenv("AIO_SAT_FILE", "")
	if _, err := identity.ServiceAccountFile().Token(); err == nil || !strings.Contains(err.Error(), identity.DefaultServiceAccountFile) {
		t.Errorf("without a file: got %v", err)
	}
	path := filepath.Join(t.TempDir(), "token")
	t.Setenv("AIO_SAT_FILE", path)
	file := identity.ServiceAccountFile()
	if _, err := file.Token(); err == nil || !strings.Contains(err.Error(), "name another file in AIO_SAT_FILE") {
		t.Errorf("without a file: got %v", err)
	}
	for _, text := range []string{"one\n", "two"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := file.Token(); err != nil || token != strings.TrimSpace(text) {
			t.Errorf("got %q and %v, want %q", token, err, text)
		}
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Token(); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("empty: got %v", err)
	}
}
