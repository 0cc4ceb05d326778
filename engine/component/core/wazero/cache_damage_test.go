// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/core/wazero"
)

// TestDamagedCache overwrites what the cache holds, and compiles all the same.
func TestDamagedCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	module := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x05\x01\x01f\x00\x00\x0a\x04\x01\x02\x00\x0b")
	compile := func() error {
		e, err := wazero.New(t.Context(), wazero.Config{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(context.Background())
		_, err = e.Compile(t.Context(), module)
		return err
	}
	if err := compile(); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{"", "WAZ", "no code at all, but more than a few bytes of it, so that a header can be read"} {
		files := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			return os.WriteFile(path, []byte(damage), 0o600)
		})
		if err != nil || files == 0 {
			t.Fatalf("%d files overwritten, %v", files, err)
		}
		if err := compile(); err != nil {
			t.Errorf("Compile with %q in the cache: %v", damage, err)
		}
	}
}
