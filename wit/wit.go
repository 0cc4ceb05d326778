// SPDX-License-Identifier: Apache-2.0

// Package wit holds the WIT packages that this project implements or calls, as
// they are published; only the comments are ours. It holds nothing else: package
// engine/component/wit reads WIT.
package wit

import (
	"embed"
	"io/fs"
)

//go:embed processor/*.wit nn/*.wit
var files embed.FS

// Processor returns the files of package wasm-graph:processor@1.1.0: the worlds
// of the operators, and what a host offers to them.
func Processor() fs.FS { return folder("processor") }

// NN returns the file of package wasi:nn@0.2.0-rc-2024-10-28, inference with neural
// networks.
func NN() fs.FS { return folder("nn") }

func folder(name string) fs.FS {
	dir, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the name is valid, whatever was embedded
	}
	return dir
}
