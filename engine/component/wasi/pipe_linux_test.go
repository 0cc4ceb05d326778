// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"syscall"
	"testing"
)

// makePipe makes a named pipe, which nobody writes to.
func makePipe(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o666); err != nil {
		t.Fatal(err)
	}
}
