// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"io/fs"
	"syscall"
	"time"
)

// systemStats is what a FileInfo does not say by itself.
type systemStats struct {
	links          uint64
	access, change time.Time
	identity       [2]uint64 // tells files apart
}

func systemStat(info fs.FileInfo) systemStats {
	s := info.Sys().(*syscall.Stat_t)
	return systemStats{
		links:    uint64(s.Nlink), // narrower on other processors
		access:   time.Unix(s.Atim.Unix()),
		change:   time.Unix(s.Ctim.Unix()),
		identity: [2]uint64{s.Ino, uint64(s.Dev)},
	}
}
