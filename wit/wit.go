// SPDX-License-Identifier: Apache-2.0

// Package wit holds the WIT packages that this project implements or calls, as
// they are published; only the comments are ours. It holds nothing else: package
// engine/component/wit reads WIT.
package wit

import (
	"embed"
	"io/fs"
)

//go:embed processor/*.wit
var files embed.FS

// Processor returns the files of package wasm-graph:processor@1.1.0: the worlds
// of the operators, and what a host offers to them.
func Processor() fs.FS {
	dir, err := fs.Sub(files, "processor")
	if err != nil {
		panic(err) // the name is valid, whatever was embedded
	}
	return dir
}
