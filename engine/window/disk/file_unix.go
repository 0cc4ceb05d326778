// SPDX-License-Identifier: Apache-2.0

//go:build unix

package disk

import (
	"errors"
	"os"
	"syscall"
)

// unlock gives up the lock on a file that was mapped and can't be unmapped, which
// would keep the lock after Close.
func unlock(file *os.File) error { return syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }

// syncFolder returns when the names of the files in a folder are on the disk.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
