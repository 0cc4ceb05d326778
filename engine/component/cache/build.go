// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"crypto/rand"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// Build identifies the code of a module in this program, for keys: by its version or,
// where it has none because it is a working copy, by the program: equal text means equal code.
func Build(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Replace == nil && strings.HasPrefix(m.Version, "v") && !strings.Contains(m.Version, "+dirty") {
				return m.Version
			}
		}
	}
	if program, err := os.Executable(); err == nil {
		if file, err := os.Stat(program); err == nil {
			return fmt.Sprintf("%s %d %d", program, file.Size(), file.ModTime().UnixNano())
		}
	}
	return rand.Text() // of another process, nothing is known
}
