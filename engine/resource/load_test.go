// SPDX-License-Identifier: Apache-2.0

package resource_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/resource"
)

// What stands where a file was must not look like nothing: what runs would be stopped.
func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		make       func(file string) error
	}{
		{"empty file", "a.yaml: it is empty; remove it, or write a comment into it", func(file string) error { return os.WriteFile(file, nil, 0o600) }},
		{"large file", "a.yaml: more than 8388608 bytes", func(file string) error { return os.WriteFile(file, make([]byte, resource.MaxSize+1), 0o600) }},
		{"folder", "a.yaml is not a file; rename it, if it is none of resources", func(file string) error { return os.Mkdir(file, 0o700) }},
		{"link to nothing", "a.yaml is a link to nothing", func(file string) error { return os.Symlink("nothing", file) }},
		{"link to itself", "a.yaml: too many levels", func(file string) error { return os.Symlink("a.yaml", file) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "b.yaml"), []byte("# nothing"), 0o600), tt.make(filepath.Join(dir, "a.yaml"))); err != nil {
				t.Fatal(err)
			}
			if _, _, err := resource.Load(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load: %v; want %q in it", err, tt.want)
			}
		})
	}
}
