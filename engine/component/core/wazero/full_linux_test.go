// SPDX-License-Identifier: Apache-2.0

package wazero_test

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// On a full disk folders can be made, and files, with nothing in them. The test is a
// process of its own: go test has files to write, too.
func TestDiskIsFull(t *testing.T) {
	if os.Getenv("DISK_IS_FULL") == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskIsFull$")
		again.Env = append(os.Environ(), "DISK_IS_FULL=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	testUnusable(t, func(string) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 16, Max: 16})
	})
}
