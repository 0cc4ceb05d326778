// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/resource"
)

// lookEvery is how often the files of resources are looked at. What is written takes
// effect two looks later at most.
const lookEvery = time.Second

// watch notices that files of resources have changed. It compares what is there with
// what was taken last, so that nothing that happens in between can be missed. Files are
// told apart by name, size, time of change and what the system calls the same file; they
// aren't read.
type watch struct {
	paths []string
	taken sight // as they were when they were taken
	last  sight // as they were at the last look
}

// sight is how files are.
type sight struct {
	text  string // names, sizes, times, and errors
	files []os.FileInfo
}

// same reports whether nothing has changed between two looks.
func (s sight) same(other sight) bool {
	return s.text == other.text && slices.EqualFunc(s.files, other.files, os.SameFile)
}

// newWatch returns a watch of files and folders that are taken now.
func newWatch(paths []string) *watch {
	w := &watch{paths: paths}
	w.take()
	return w
}

// take says that the files are about to be read.
func (w *watch) take() {
	w.taken = w.look()
	w.last = w.taken
}

// changed reports whether the files differ from those taken, and are as they were at
// the last call: who writes several files, or one in several steps, is done. They count
// as taken then.
func (w *watch) changed() bool {
	now := w.look()
	settled := now.same(w.last)
	w.last = now
	if now.same(w.taken) || !settled {
		return false
	}
	w.taken = now
	return true
}

// look describes the files as they are.
func (w *watch) look() sight {
	var s sight
	var b strings.Builder
	for _, path := range w.paths {
		files, err := resource.Files(path)
		if err != nil {
			fmt.Fprintln(&b, path, err)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				fmt.Fprintln(&b, file, err)
				continue
			}
			fmt.Fprintln(&b, file, info.Size(), info.ModTime().UnixNano())
			s.files = append(s.files, info)
		}
	}
	s.text = b.String()
	return s
}
