// SPDX-License-Identifier: Apache-2.0

package wiring_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
)

// A start that finds no room for the node's id leaves none, so that the next one makes it.
// The test is a process of its own: go test has files to write, too.
func TestNodeFindsNoRoom(t *testing.T) {
	if dir := os.Getenv("DISK_IS_FULL"); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 16, Max: 16}); err != nil {
			t.Fatal(err)
		}
		if id, err := wiring.Node(dir); err == nil {
			t.Errorf("Node() = %s", id)
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNodeFindsNoRoom$")
	again.Env = append(os.Environ(), "DISK_IS_FULL="+dir)
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := wiring.Node(dir); err != nil {
		t.Error("with room again:", err)
	}
}
