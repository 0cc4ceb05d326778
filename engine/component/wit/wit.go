// SPDX-License-Identifier: Apache-2.0

// Package wit reads WIT, the text in which interfaces and worlds are written,
// into the vocabulary of package types, and writes it back. The language is that
// of WebAssembly/component-model, design/mvp/WIT.md, without its asynchronous
// parts, maps and lists of fixed length; what is marked unstable is left out.
//
// A package is a folder of files. Parse reads a package and those it depends on,
// resolves every name, and makes every interface and world, so that a fault is
// found at once and has a place. After that, Interface and World only look up.
//
// Pointers mean identity, as package types says: an interface that uses a type of
// another one exports the same *types.Type, and a resource is the same
// *types.Resource wherever it is used. One case needs a second set: where a world
// exports an interface that it also imports, the exported one has types of its own.
//
// Type names that are aliases of another named type share its pointer; a name for
// a type without one (type seconds = u64) has its own.
package wit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// maxText is how many bytes of WIT are read at once, far more than all of WASI.
// It bounds what hostile text can cost.
const maxText = 2 << 20

// Packages is a set of parsed packages. It never changes and is safe for
// concurrent use, like all types it returns.
type Packages struct {
	main       packageName
	interfaces map[string]*types.Instance
	worlds     map[string]*types.Component
	ifaceNames []string
	worldNames []string
}

// Parse reads every file of fsys whose name ends in .wit. Each folder is one
// package, which at least one of its files names; a folder called deps holds
// packages of a file each. A file may hold further packages, in braces. The
// package of the topmost folder is the main one. A fault in a file is an *Error
// with its place; the first one found is returned.
func Parse(fsys fs.FS) (*Packages, error) {
	var files []source
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".wit" {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		files = append(files, source{name, string(text)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("wit: read files: %w", err)
	}
	return parse(files)
}

// ParseText reads one file. name is for messages.
func ParseText(name, text string) (*Packages, error) {
	return parse([]source{{name, text}})
}

// parse reads files, those of one folder next to each other.
func parse(files []source) (*Packages, error) {
	if len(files) == 0 {
		return nil, errors.New("wit: read files: none is named *.wit")
	}
	size := 0
	for _, f := range files {
		if size += len(f.text); size > maxText {
			return nil, fmt.Errorf("wit: read %s: more than %d bytes of WIT", f.name, maxText)
		}
	}
	// Topmost folder first, so that the main package is the first one.
	slices.SortStableFunc(files, func(a, b source) int {
		da, db := path.Dir(a.name), path.Dir(b.name)
		if n := strings.Count(a.name, "/") - strings.Count(b.name, "/"); n != 0 {
			return n
		}
		return strings.Compare(da, db)
	})
	l := &loader{pkgs: map[packageName]*pkg{}}
	for len(files) > 0 {
		n, dir := 1, path.Dir(files[0].name)
		for path.Base(dir) != "deps" && n < len(files) && path.Dir(files[n].name) == dir {
			n++
		}
		if err := l.folder(files[:n]); err != nil {
			return nil, fmt.Errorf("wit: %w", err)
		}
		files = files[n:]
	}
	p, err := l.resolve()
	if err != nil {
		return nil, fmt.Errorf("wit: %w", err)
	}
	return p, nil
}

// loader gathers packages from files.
type loader struct {
	pkgs   map[packageName]*pkg
	order  []*pkg
	scopes []*scope
	fail   error // the first fault outside a parser
}

// declare returns a scope in a new package.
func (l *loader) declare(name packageName, pos position) *scope {
	if l.pkgs[name] != nil && l.fail == nil {
		l.fail = pos.errorf("a package is one folder, or one pair of braces", "package %s is declared twice", name)
	}
	p := &pkg{name: name, items: map[string]*topItem{}}
	l.pkgs[name] = p
	l.order = append(l.order, p)
	return l.scope(p)
}

// scope returns a scope in p.
func (l *loader) scope(p *pkg) *scope {
	sc := &scope{pkg: p, uses: map[string]itemPath{}}
	l.scopes = append(l.scopes, sc)
	return sc
}

// header is a file whose package declaration has been read.
type header struct {
	parser *parser
	name   *packageName
	pos    position
	braced bool // the file starts with a package in braces, whose name is taken
}

// folder reads the files of one folder.
func (l *loader) folder(files []source) error {
	var heads []header
	var name *packageName
	for i := range files {
		h := header{parser: &parser{lex: lexer{src: &files[i]}}}
		if err := h.parser.run(func() { h.read() }); err != nil {
			return err
		}
		heads = append(heads, h)
		if h.name == nil || h.braced {
			continue
		}
		if name != nil && *name != *h.name {
			return h.pos.errorf("give each package a folder of its own", "package %s, but another file of this folder says %s", h.name, name)
		}
		name = h.name
	}
	var own *pkg
	for _, h := range heads {
		if name != nil && own == nil {
			own = l.declare(*name, h.pos).pkg
		}
		if err := h.parser.run(func() { l.file(h, own) }); err != nil {
			return err
		}
	}
	return l.fail
}

// read takes the package declaration, if there is one.
func (h *header) read() {
	p := h.parser
	p.advance()
	h.pos = p.tok.pos
	if !p.acceptWord("package") {
		return
	}
	name := p.packageName()
	h.name = &name
	if p.is('{') {
		h.braced = true
		return
	}
	p.expect(';')
}

// file takes the rest of a file of package own, which is nil where no file of the
// folder names one: then only packages in braces may follow.
func (l *loader) file(h header, own *pkg) {
	p := h.parser
	if h.braced {
		p.braced(l.declare, *h.name, h.pos)
	}
	if own != nil {
		p.items(l.scope(own), tokEOF, l.declare)
		return
	}
	for !p.is(tokEOF) {
		pos := p.tok.pos
		if !p.acceptWord("package") {
			p.failf(pos, "start a file of the folder with package namespace:name@version;", "no file says which package this is")
		}
		p.braced(l.declare, p.packageName(), pos)
	}
}

// resolve makes every interface and world.
func (l *loader) resolve() (*Packages, error) {
	if len(l.order) == 0 {
		return nil, errors.New("no package is declared")
	}
	out := &Packages{main: l.order[0].name, interfaces: map[string]*types.Instance{}, worlds: map[string]*types.Component{}}
	r := &resolver{pkgs: l.pkgs, done: map[*iface]*resolved{}, busy: map[*iface]bool{}}
	for _, sc := range l.scopes {
		if err := r.checkUses(sc); err != nil {
			return nil, err
		}
	}
	for _, p := range l.order {
		for _, it := range p.order {
			full := p.name.item(it.name.text)
			if it.iface != nil {
				res, err := r.resolve(it.iface)
				if err != nil {
					return nil, err
				}
				out.interfaces[full] = res.instance
				out.ifaceNames = append(out.ifaceNames, full)
				continue
			}
			w, err := r.elaborate(it.world)
			if err != nil {
				return nil, err
			}
			out.worlds[full] = w
			out.worldNames = append(out.worldNames, full)
		}
	}
	return out, nil
}

// Package returns the name and version of the main package.
func (p *Packages) Package() string { return p.main.String() }

// Interfaces returns the full names of all interfaces, those of the main package
// first, in the order of their files.
func (p *Packages) Interfaces() []string { return slices.Clone(p.ifaceNames) }

// Worlds returns the full names of all worlds, as Interfaces does.
func (p *Packages) Worlds() []string { return slices.Clone(p.worldNames) }

// Interface returns an interface by its name in the main package, or by its full
// name, "wasi:io/streams@0.2.0". Its exports are its types, those it uses of
// others included, then its functions, by their exact names in a binary
// ("[method]buffer.read").
func (p *Packages) Interface(name string) (*types.Instance, error) {
	if i, ok := p.interfaces[p.full(name)]; ok {
		return i, nil
	}
	return nil, notFound("interface", name, p.ifaceNames)
}

// World returns a world as the type of a component, by its name as Interface
// takes it. Imports and exports have their full names; the interfaces that they
// use are among the imports, each before the one that uses it.
func (p *Packages) World(name string) (*types.Component, error) {
	if w, ok := p.worlds[p.full(name)]; ok {
		return w, nil
	}
	return nil, notFound("world", name, p.worldNames)
}

func (p *Packages) full(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return p.main.item(name)
}

func notFound(what, name string, names []string) error {
	if hint := nearest(name, names); hint != "" {
		return fmt.Errorf("wit: find %s %s: not found (%s)", what, name, hint)
	}
	return fmt.Errorf("wit: find %s %s: not found", what, name)
}
