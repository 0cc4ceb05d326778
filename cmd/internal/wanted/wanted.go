// SPDX-License-Identifier: Apache-2.0

// Package wanted keeps what is wanted: the objects in the files that graphd was started
// with, and those that were applied while it ran.
//
// A Store has one answer to what is wanted, a resource.Set that has passed all checks.
// Every change, be it of a file or applied, is checked as the whole that it would lead
// to, and comes as a whole or not at all: what has faults changes nothing. An object
// belongs to where it came from. One that is in a file is changed in that file, and one
// that was applied by applying it again.
//
// What is applied is kept in one file, so that one rename makes a change of many objects.
// It is multi-document YAML: each document as it was given, after a line that says when and
// from where:
//
//	# applied 2026-01-02T15:04:05Z from /home/me/graph.yaml
//	---
//	apiVersion: ...
//
// Secrets are among them, so the file is its owner's only. The store doesn't run anything,
// and doesn't watch the files: it is told when to read them again.
package wanted

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
)

// Ref names an object.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Key returns the name without the kind.
func (r Ref) Key() resource.Key { return resource.Key{Namespace: r.Namespace, Name: r.Name} }

// String names the object for people; the usual namespace goes without saying.
func (r Ref) String() string {
	if r.Namespace == resource.DefaultNamespace {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Object is an object that is wanted. Nobody changes it.
type Object struct {
	Ref
	File    string    // where it was declared; of an applied one, by who applied it
	Applied bool      // not in a file that graphd reads
	Since   time.Time // when it was applied, or the file written
	JSON    []byte    // all of it, a Secret's data included

	text string // of an applied one: its document
	line int    // of an applied one: the lines before text in the file of all
}

// Document is text that is to be applied.
type Document struct {
	Name string // what problems call it
	Path string // of the file, absolute: relative paths in it are relative to its folder
	Text []byte
}

// Action is what applying or deleting does to an object.
type Action string

// The actions.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Deleted    Action = "deleted"
)

// Change is what happened to an object.
type Change struct {
	Ref
	Action Action `json:"action"`
}

// FaultError is faults of the whole that a change would lead to.
type FaultError struct{ Problems document.Problems }

func (e *FaultError) Error() string { return e.Problems.Err().Error() }

// Unwrap returns the problems.
func (e *FaultError) Unwrap() error { return e.Problems.Err() }

// FileError says that an object can't be changed because it is in a file.
type FileError struct {
	Ref
	File string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s is declared in %s, which graphd reads: change it there", e.Ref, e.File)
}

// NotFoundError says that there is no such object.
type NotFoundError struct{ Ref }

func (e *NotFoundError) Error() string { return "there is no " + e.String() }

// ErrPath says that a document's path is of no use.
var ErrPath = errors.New("the path of what is to be applied is not absolute")

// ErrEmpty says that there was nothing to apply.
var ErrEmpty = errors.New("there is no object in what was given")

// Config is what a Store needs.
type Config struct {
	// Paths are the files and folders with objects. They may be none.
	Paths []string
	// File is where applied objects are kept. It, and its folder, are made when needed.
	File string
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Store keeps what is wanted. It is safe for concurrent use.
type Store struct {
	config  Config
	changed chan struct{} // has room for one signal

	mu      sync.Mutex
	files   []resource.File // guarded by mu; as they were taken last
	objects []*Object       // guarded by mu; of files and applied, in the order of their refs
	set     *resource.Set   // guarded by mu
	refused error           // guarded by mu; why the files are not taken
}

// Open reads what is wanted. Warnings leave it usable.
func Open(config Config) (s *Store, warnings document.Problems, err error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	s = &Store{config: config, changed: make(chan struct{}, 1)}
	applied, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	files, declared, err := s.readFiles()
	if err != nil {
		return nil, nil, err
	}
	set, problems := check(config.File, files, applied)
	if err := faults(set, problems); err != nil {
		return nil, nil, fmt.Errorf("the resources have faults:\n%w", err)
	}
	s.take(files, append(declared, applied...), set)
	<-s.changed // nobody waits for what is there from the beginning
	return s, problems.Warnings(), nil
}

// Changed receives after what is wanted has changed, once for all changes before.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Set returns what is wanted. Nobody changes it.
func (s *Store) Set() *resource.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set
}

// Objects returns the objects that are wanted, in the order of their refs.
func (s *Store) Objects() []*Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects
}

// Refused returns why the files, as they are now, are not taken; nil: they are.
func (s *Store) Refused() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Reload reads the files again. If it fails, what was wanted stays wanted, and Refused
// says why.
func (s *Store) Reload() (warnings document.Problems, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.refused = err }()
	files, declared, err := s.readFiles()
	if err != nil {
		return nil, err
	}
	applied := s.applied()
	set, problems := check(s.config.File, files, applied)
	if err := faults(set, problems); err != nil {
		return nil, fmt.Errorf("the resources have faults:\n%w", err)
	}
	s.take(files, append(declared, applied...), set)
	return problems.Warnings(), nil
}

// Apply adds the objects in documents, or puts them in place of those of the same name.
// With dry set it only says what it would do. The error may be a *FaultError or a
// *FileError, ErrPath or ErrEmpty.
func (s *Store) Apply(documents []Document, dry bool) (changes []Change, warnings document.Problems, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var given []*Object
	var files []resource.File
	for _, d := range documents {
		if !filepath.IsAbs(d.Path) || strings.ContainsFunc(d.Path, func(r rune) bool { return r < ' ' }) {
			return nil, nil, fmt.Errorf("%w: %q", ErrPath, d.Path)
		}
		objects, err := split(d)
		if err != nil {
			return nil, nil, err
		}
		given = append(given, objects...)
		files = append(files, resource.File{Name: d.Name, Data: d.Text, Dir: filepath.Dir(d.Path)})
	}
	before := map[Ref]*Object{}
	for _, o := range s.objects {
		before[o.Ref] = o
	}
	now := s.config.Now().UTC().Truncate(time.Second)
	after := map[Ref]*Object{}
	for _, o := range given {
		old, action := before[o.Ref], Created
		switch {
		case old == nil:
		case !old.Applied:
			return nil, nil, &FileError{o.Ref, old.File}
		case old.text == o.text && filepath.Dir(old.File) == filepath.Dir(o.File):
			o, action = old, Unchanged
		default:
			action = Configured
		}
		if o != old {
			o.Since = now
		}
		after[o.Ref] = o
		changes = append(changes, Change{o.Ref, action})
	}
	// The documents themselves are checked, and not what became of them: problems are to
	// have the places that who wrote them knows.
	kept := slices.DeleteFunc(s.applied(), func(o *Object) bool { return after[o.Ref] != nil })
	set, problems := check(s.config.File, slices.Concat(s.files, files), kept)
	if err := faults(set, problems); err != nil {
		return nil, nil, err
	}
	if len(given) == 0 {
		return nil, nil, ErrEmpty
	}
	for _, w := range problems.Warnings() {
		if slices.ContainsFunc(documents, func(d Document) bool { return d.Name == w.File }) {
			warnings = append(warnings, w)
		}
	}
	if dry || !slices.ContainsFunc(changes, func(c Change) bool { return c.Action != Unchanged }) {
		return changes, warnings, nil
	}
	for _, o := range after {
		kept = append(kept, o)
	}
	return changes, warnings, s.keep(kept)
}

// Delete removes applied objects, all or none. With dry set it only says what it would do.
// The error may be a *FaultError, if something still refers to one, a *FileError or a
// *NotFoundError.
func (s *Store) Delete(refs []Ref, dry bool) ([]Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.applied()
	var changes []Change
	for _, ref := range refs {
		i := slices.IndexFunc(s.objects, func(o *Object) bool { return o.Ref == ref })
		if i < 0 {
			return nil, &NotFoundError{ref}
		}
		if o := s.objects[i]; !o.Applied {
			return nil, &FileError{ref, o.File}
		}
		kept = slices.DeleteFunc(kept, func(o *Object) bool { return o.Ref == ref })
		changes = append(changes, Change{ref, Deleted})
	}
	set, problems := check(s.config.File, s.files, kept)
	if err := faults(set, problems); err != nil {
		return nil, s.needed(err, kept)
	}
	if dry {
		return changes, nil
	}
	return changes, s.keep(kept)
}

// needed says of the faults that deleting objects would make, in the file of those that are
// kept, whose they are: the file is ours, and its places say little to who deletes. What an
// object refers to in several places is said once.
func (s *Store) needed(err error, kept []*Object) error {
	var found *FaultError
	if !errors.As(err, &found) {
		return err
	}
	said := map[string]bool{}
	var problems document.Problems
	for _, p := range found.Problems {
		var of *Object
		for _, o := range kept {
			if p.File == s.config.File && o.line < p.Line && (of == nil || o.line > of.line) {
				of = o
			}
		}
		if of != nil {
			p = &document.Problem{
				Severity: p.Severity, File: p.File, Position: p.Position,
				Message: fmt.Sprintf("%s would be left with a fault: %s", of.Ref, p.Message), Hint: "delete that, too, or change it first",
			}
		}
		if !said[p.Message] {
			problems = append(problems, p)
		}
		said[p.Message] = true
	}
	return &FaultError{problems}
}

// keep writes the applied objects down, and takes them.
func (s *Store) keep(applied []*Object) error {
	applied = slices.Clone(applied)
	for i, o := range applied {
		o := *o // its line changes
		applied[i] = &o
	}
	sortObjects(applied)
	if err := s.write(applied); err != nil {
		return err
	}
	declared := slices.DeleteFunc(slices.Clone(s.objects), func(o *Object) bool { return o.Applied })
	// Once more, for what is kept is what will be read after a restart.
	set, problems := check(s.config.File, s.files, applied)
	if err := faults(set, problems); err != nil {
		return fmt.Errorf("wanted: what was kept is not what was applied: %w", err)
	}
	s.take(s.files, append(declared, applied...), set)
	return nil
}

// take makes something else what is wanted.
func (s *Store) take(files []resource.File, objects []*Object, set *resource.Set) {
	sortObjects(objects)
	s.files, s.objects, s.set = files, objects, set
	select {
	case s.changed <- struct{}{}:
	default: // it will be seen
	}
}

// applied returns the applied objects.
func (s *Store) applied() []*Object {
	return slices.DeleteFunc(slices.Clone(s.objects), func(o *Object) bool { return !o.Applied })
}

// readFiles reads the files, and returns what they declare.
func (s *Store) readFiles() ([]resource.File, []*Object, error) {
	files, err := resource.ReadFiles(s.config.Paths...)
	if err != nil {
		return nil, nil, err
	}
	var declared []*Object
	for _, f := range files {
		var written time.Time
		if info, err := os.Stat(f.Name); err == nil {
			written = info.ModTime()
		}
		for _, n := range objectsOf(document.NewReader(f.Name).Documents(f.Data)) {
			if o, ok := objectOf(n); ok {
				o.File, o.Since = f.Name, written
				declared = append(declared, o)
			}
		}
	}
	return files, declared, nil
}

// check checks what files and applied objects together want.
func check(file string, files []resource.File, applied []*Object) (*resource.Set, document.Problems) {
	files = slices.Clone(files)
	for _, o := range applied {
		files = append(files, resource.File{
			Name: file, Dir: filepath.Dir(o.File),
			Data: []byte(strings.Repeat("\n", o.line) + o.text), // for the places of problems
		})
	}
	return resource.ParseFiles(files...)
}

// faults returns a *FaultError, or nil where set may be run.
func faults(set *resource.Set, problems document.Problems) error {
	errors := func(ps document.Problems) document.Problems {
		return slices.DeleteFunc(slices.Clone(ps), func(p *document.Problem) bool { return p.Severity != document.Error })
	}
	found := errors(problems)
	if len(found) == 0 {
		found = errors(deploy.CheckOptions(set))
	}
	if len(found) == 0 {
		return nil
	}
	return &FaultError{found}
}

func sortObjects(objects []*Object) {
	slices.SortFunc(objects, func(a, b *Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}
