// SPDX-License-Identifier: Apache-2.0

// Package buildinfo says which build of a program this is, as the Go toolchain
// noted it.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version returns the version of the program, a tag or a pseudo-version; "(devel)"
// where it was built outside of version control.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// Line returns what "program version" prints.
func Line(program string) string {
	return fmt.Sprintf("%s %s %s %s/%s", program, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
