// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package cachetest makes folders that a test can't write to, even if root runs it.
package cachetest

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Protect keeps the test's goroutine from writing to folder dir until the test ends.
func Protect(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() != 0 {
		return
	}
	// Root may write anywhere by a capability, which is that of a thread.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	runtime.LockOSThread()
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	before := data
	data[0].Effective &^= 1 << unix.CAP_DAC_OVERRIDE
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Capset(&header, &before[0]); err != nil {
			t.Fatal(err) // with the thread, which is not to be used again
		}
		runtime.UnlockOSThread()
	})
}
