// SPDX-License-Identifier: Apache-2.0

package wiring_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

var _ deploy.Counts = (*wiring.Counts)(nil)

func TestCounts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	counts, err := wiring.NewCounts(dir).Load()
	if len(counts) != 0 || err != nil {
		t.Errorf("Load of nothing = %v, %v", counts, err)
	}
	want := map[resource.Key]int{{Namespace: "plant", Name: "a"}: 3, {Namespace: "plant", Name: "b"}: 1}
	for range 2 {
		if err := wiring.NewCounts(dir).Store(want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := wiring.NewCounts(dir).Load()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; -want +got\n%s", err, diff)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the folder has %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, files[0].Name()), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wiring.NewCounts(dir).Load(); err == nil {
		t.Error("a broken file is read without an error")
	}
}
