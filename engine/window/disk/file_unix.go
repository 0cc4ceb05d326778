// SPDX-License-Identifier: Apache-2.0

//go:build unix

package disk

import (
	"os"
	"syscall"
)

// unlock gives up the lock on a file that was mapped and can't be unmapped, which
// would keep the lock after Close.
func unlock(file *os.File) error { return syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }
