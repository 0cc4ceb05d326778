// SPDX-License-Identifier: Apache-2.0

// Package graphtest is tests of graphs: files that name a graph, the messages that
// go in and what is to come out. It reads them, compares, and reports; running the
// graph is its caller's business.
//
// A test is a file *.test.yaml:
//
//	name: "Fahrenheit becomes Celsius"
//	graph: "../graphs/simple.yaml"       # paths are relative to the file
//	input: "./input"                     # *.json goes to topic probe/1, *.raw to snapshot_simulation
//	expected: "./expected.json"
//	timeout: 60000                       # milliseconds; this is the default
//	select: ["topic", "payload"]         # compare only these ...
//	ignores: ["properties.user-properties.__ts"]   # ... and not those
//
// What comes out is compared as JSON that looks like a line of mosquitto_sub -F %j;
// see Output. The expected file holds an object, to which the last message is
// compared; or an array, to which all messages are, in order, so that [] asks for
// none. Payloads that are JSON are compared without the white space in them, but byte
// for byte otherwise; of the objects around them the order of members has no meaning.
// Paths in select and ignores are keys joined by dots, indexes for arrays, and lead
// into a payload that is JSON. An item that is not compared is null, so that the others
// keep their indexes.
//
// These are the tests of Azure's dataflow-dev tool, whose README describes them.
package graphtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
)

// DefaultTimeout is how long a test may take that says nothing about it.
const DefaultTimeout = 60 * time.Second

// Extension is what the names of test files end with.
const Extension = ".test.yaml"

// Case is one test.
type Case struct {
	File     string
	Name     string
	Graph    Path
	Input    Path
	Expected Path
	Timeout  time.Duration
	TimePos  document.Position // of the timeout; of the beginning where there is none
	Select   []string          // empty: everything
	Ignores  []string
}

// Path is a path that a test names, relative to the working directory as the test's
// own is.
type Path struct {
	Name string
	Pos  document.Position // in the test's file
}

// Problemf returns a problem of c at a place in its file.
func (c *Case) Problemf(pos document.Position, hint, format string, args ...any) *document.Problem {
	return &document.Problem{Severity: document.Error, File: c.File, Position: pos, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Find returns the files of the tests at path, which is such a file or a folder with
// some, in it or below, sorted.
func Find(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(name, Extension) {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no file *%s", path, Extension)
	}
	slices.Sort(files)
	return files, nil
}

// Load reads a test. The error lists document.Problems where there are some.
func Load(file string) (*Case, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := document.NewReader(file)
	documents := r.Documents(text)
	if err := r.Problems().Err(); err != nil {
		return nil, err
	}
	top := document.Position{Line: 1, Column: 1}
	if len(documents) == 0 {
		r.Errorf(top, "", "the document is empty")
		return nil, r.Problems().Err()
	}
	for _, more := range documents[1:] {
		more.Errorf("keep one test per file", "a second YAML document begins here")
	}
	o := documents[0].Object("name", "graph", "input", "expected", "timeout", "select", "ignores")
	path := func(name, hint string) Path {
		n := o.Required(name, hint)
		return Path{Name: filepath.Join(filepath.Dir(file), filepath.FromSlash(n.Text())), Pos: n.Position()}
	}
	c := &Case{
		File:     file,
		Name:     o.Required("name", "add name: with words that say what is tested").Text(),
		Graph:    path("graph", "add graph: with the path of a definition"),
		Input:    path("input", "add input: with the path of a folder of messages"),
		Expected: path("expected", "add expected: with the path of a JSON file; graphctl test --update writes it"),
		Timeout:  DefaultTimeout,
		TimePos:  top,
		Select:   texts(o.Optional("select")),
		Ignores:  texts(o.Optional("ignores")),
	}
	if n := o.Optional("timeout"); n.Present() {
		const day = 24 * 60 * 60 * 1000
		milliseconds, _ := n.Int(1, day)
		c.Timeout, c.TimePos = time.Duration(milliseconds)*time.Millisecond, n.Position()
	}
	return c, r.Problems().Err()
}

func texts(list document.Node) []string {
	var all []string
	for _, n := range list.List() {
		if text := n.Text(); text == "" {
			n.Errorf("", "%s is empty", n.Path())
		} else {
			all = append(all, text)
		}
	}
	return all
}

// errMissing says that there is no expected file.
var errMissing = errors.New("no such file")

// ReadJSON reads a file that must be JSON, and returns its text.
func ReadJSON(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, err = parse(file, text)
	return text, err
}

// ReadStore reads the keys and values that a state store begins with from a file:
// an array of objects, each member of which is a key with its value.
func ReadStore(file string) ([][2]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	root, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	want := func(n *node) error {
		return &document.Problem{Severity: document.Error, File: file, Position: n.at, Message: "want an array of objects whose members are strings",
			Hint: `as in [{"key": "value"}]`}
	}
	if root.kind != array {
		return nil, want(root)
	}
	var pairs [][2]string
	for _, item := range root.items {
		if item.kind != object {
			return nil, want(item)
		}
		for i, value := range item.items {
			if value.kind != str {
				return nil, want(value)
			}
			pairs = append(pairs, [2]string{item.keys[i], value.text})
		}
	}
	return pairs, nil
}
