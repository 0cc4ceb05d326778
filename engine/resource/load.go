// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
)

// MaxSize is the size in bytes of the largest file that is read.
const MaxSize = 8 << 20

// Load reads the objects in files and folders and checks them. Of a folder it
// reads every *.yaml, *.yml and *.json file in it, not those in folders below. A file
// without a byte in it is an error. The set may be used if the problems' Err is nil. The error is one of reading.
func Load(paths ...string) (*Set, document.Problems, error) {
	files, err := ReadFiles(paths...)
	if err != nil {
		return nil, nil, err
	}
	set, problems := ParseFiles(files...)
	return set, problems, nil
}

// File is text that declares objects.
type File struct {
	Name string // what problems call it
	Data []byte
	Dir  string // what relative paths in it are relative to
}

// ReadFiles reads what Load reads.
func ReadFiles(paths ...string) ([]File, error) {
	var all []File
	for _, path := range paths {
		files, err := Files(path)
		if err != nil {
			return nil, fmt.Errorf("resource: load %s: %w", path, err)
		}
		for _, file := range files {
			data, err := readFile(file)
			if err != nil {
				return nil, fmt.Errorf("resource: load %s: %w", file, err)
			}
			all = append(all, File{Name: file, Data: data, Dir: filepath.Dir(file)})
		}
	}
	return all, nil
}

// ParseFiles is Load for files whose content is at hand.
func ParseFiles(files ...File) (*Set, document.Problems) {
	d := newDecoder()
	for _, f := range files {
		d.file(f)
	}
	return d.finish()
}

// Parse is ParseFiles for one.
func Parse(file string, data []byte) (*Set, document.Problems) {
	return ParseFiles(File{Name: file, Data: data, Dir: filepath.Dir(file)})
}

// Files returns path or, if it is a folder, the files in it that Load reads.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		// A mounted ConfigMap is a folder of links.
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(name); err != nil {
				continue // it has just gone
			}
			return nil, fmt.Errorf("%s is a link to nothing", name)
		}
		if err != nil {
			return nil, err
		}
		// It may stand where a file was, whose objects are not to vanish because of that.
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file; rename it, if it is none of resources", name)
		}
		files = append(files, name)
	}
	if len(files) == 0 {
		return nil, errors.New("the folder has no *.yaml, *.yml or *.json file")
	}
	return files, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("more than %d bytes", MaxSize)
	}
	if len(data) == 0 { // so is what a full disk leaves, and what is about to be written
		return nil, errors.New("it is empty; remove it, or write a comment into it")
	}
	return data, nil
}
