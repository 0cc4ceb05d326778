// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"github.com/wasm-graph/graphd/engine/component/types"
)

// maxTypeDepth bounds how deeply type expressions nest.
const maxTypeDepth = 100

// parser turns the tokens of one file into declarations. Its methods are named
// after the productions of WIT.md; each returns at the first fault.
type parser struct {
	lex   lexer
	tok   token // the next one
	depth int   // of the type expression being read
}

// failure carries an error out of nested productions; see (*parser).run.
type failure struct{ err error }

func (p *parser) fail(err error) { panic(failure{err}) }

func (p *parser) failf(pos position, hint, format string, args ...any) {
	p.fail(pos.errorf(hint, format, args...))
}

// run calls f, made of productions, and returns the fault that ended it.
func (p *parser) run(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.err
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

func (p *parser) advance() token {
	last := p.tok
	tok, err := p.lex.next()
	if err != nil {
		p.fail(err)
	}
	p.tok = tok
	return last
}

// is reports whether the next token is the mark k.
func (p *parser) is(k kind) bool { return p.tok.kind == k }

// isWord reports whether the next token is that keyword.
func (p *parser) isWord(word string) bool {
	return p.tok.kind == tokName && !p.tok.escaped && p.tok.text == word
}

// accept takes the mark k if it is next.
func (p *parser) accept(k kind) bool {
	if !p.is(k) {
		return false
	}
	p.advance()
	return true
}

// acceptWord takes that keyword if it is next.
func (p *parser) acceptWord(word string) bool {
	if !p.isWord(word) {
		return false
	}
	p.advance()
	return true
}

// need fails if the mark k is not next.
func (p *parser) need(k kind) {
	if !p.is(k) {
		p.failf(p.tok.pos, "", "expected %q, found %s", string(rune(k)), p.tok.describe())
	}
}

// expect takes the mark k.
func (p *parser) expect(k kind) {
	p.need(k)
	p.advance()
}

func (p *parser) expectWord(word string) {
	if !p.acceptWord(word) {
		p.failf(p.tok.pos, "", "expected %q, found %s", word, p.tok.describe())
	}
}

// reserved reports whether a word can't be a name unless it is escaped. The word
// map is not among them: it became one only after packages that use it as a name
// had been published.
func reserved(word string) bool {
	switch word {
	case "use", "type", "func", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char",
		"resource", "own", "borrow", "record", "flags", "variant", "enum", "bool", "string", "option", "result",
		"future", "stream", "list", "error-context", "as", "from", "static", "interface", "tuple", "import",
		"export", "world", "package", "constructor", "include", "async":
		return true
	}
	return false
}

// ident takes a name.
func (p *parser) ident(what string) ident {
	if !p.is(tokName) {
		p.failf(p.tok.pos, "", "expected %s, found %s", what, p.tok.describe())
	}
	if !p.tok.escaped && reserved(p.tok.text) {
		p.failf(p.tok.pos, "a keyword is a name when written %"+p.tok.text, "expected %s, found the keyword %q", what, p.tok.text)
	}
	t := p.advance()
	return ident{t.text, t.pos}
}

// list takes elements separated by commas, the last of which may be followed by
// one, up to the mark end.
func (p *parser) list(end kind, elem func()) {
	for !p.is(end) {
		elem()
		if !p.accept(',') {
			break
		}
	}
	p.expect(end)
}

// version takes an '@' and a version; empty where there is no '@'.
func (p *parser) version() string {
	if !p.is('@') {
		return ""
	}
	v, err := p.lex.version() // the lexer is behind the '@'
	if err != nil {
		p.fail(err)
	}
	p.advance()
	return v
}

// packageName takes "namespace:name" and a version.
func (p *parser) packageName() packageName {
	namespace := p.ident("a package namespace")
	p.expect(':')
	name := p.ident("a package name")
	return packageName{name: namespace.text + ":" + name.text, version: p.version()}
}

// path takes "name" or "namespace:package/name@version".
func (p *parser) path(what string) itemPath {
	first := p.ident(what)
	if !p.accept(':') {
		return itemPath{name: first}
	}
	name := p.ident("a package name")
	p.expect('/')
	item := p.ident(what)
	return itemPath{pkg: &packageName{first.text + ":" + name.text, p.version()}, name: item}
}

// gates takes the annotations before an item and reports whether the item counts:
// what is unstable is left out, as without its feature it does not exist yet.
func (p *parser) gates() bool {
	stable := true
	for p.is('@') {
		p.advance()
		gate := p.ident("since, unstable or deprecated")
		p.expect('(')
		switch gate.text {
		case "since", "deprecated":
			p.expectWord("version")
			p.gateVersion()
			if p.accept(',') { // the feature it was behind
				p.expectWord("feature")
				p.expect('=')
				p.ident("a feature name")
			}
		case "unstable":
			p.expectWord("feature")
			p.expect('=')
			p.ident("a feature name")
			stable = false
		default:
			p.failf(gate.pos, "since, unstable or deprecated", "unknown annotation @%s", gate.text)
		}
		p.expect(')')
	}
	return stable
}

// gateVersion takes "= version".
func (p *parser) gateVersion() {
	p.need('=')
	if _, err := p.lex.version(); err != nil {
		p.fail(err)
	}
	p.advance()
}

// typeParams takes "<" and types.
func (p *parser) typeParams(n int) []*typeExpr {
	p.expect('<')
	var args []*typeExpr
	for len(args) < n {
		if len(args) > 0 {
			p.expect(',')
		}
		args = append(args, p.typeExpr())
	}
	if n == 1 && p.is(',') {
		p.failf(p.tok.pos, "use list<T>", "lists of fixed length are not supported")
	}
	p.expect('>')
	return args
}

// typeExpr takes a type.
func (p *parser) typeExpr() *typeExpr {
	if p.depth++; p.depth > maxTypeDepth {
		p.failf(p.tok.pos, "name the inner type", "type nests more than %d deep", maxTypeDepth)
	}
	defer func() { p.depth-- }()
	t := &typeExpr{pos: p.tok.pos}
	if !p.is(tokName) {
		p.failf(p.tok.pos, "", "expected a type, found %s", p.tok.describe())
	}
	if p.tok.escaped {
		t.name = p.ident("a type")
		return t
	}
	word := p.tok.text
	if k := primitive(word); k != 0 {
		p.advance()
		t.kind = k
		return t
	}
	switch word {
	case "list", "option":
		p.advance()
		t.kind = types.List
		if word == "option" {
			t.kind = types.Option
		}
		t.args = p.typeParams(1)
	case "tuple":
		p.advance()
		t.kind = types.Tuple
		p.expect('<')
		p.list('>', func() { t.args = append(t.args, p.typeExpr()) })
		if len(t.args) == 0 {
			p.failf(t.pos, "", "tuple has no types")
		}
	case "result":
		p.advance()
		t.kind = types.Result
		t.args = p.resultParams()
	case "own", "borrow":
		p.advance()
		t.kind = types.Own
		if word == "borrow" {
			t.kind = types.Borrow
		}
		p.expect('<')
		t.name = p.ident("a resource")
		p.expect('>')
	case "future", "stream", "error-context":
		p.failf(t.pos, "", "asynchronous type %s is not supported", word)
	default:
		t.name = p.ident("a type")
		if p.is('<') {
			p.failf(t.pos, "", "type %s<...> is not supported", word)
		}
	}
	return t
}

// resultParams takes the parameters of a result: the ok type and the error type.
func (p *parser) resultParams() []*typeExpr {
	args := []*typeExpr{nil, nil}
	if !p.accept('<') {
		return args
	}
	if !p.accept('_') {
		args[0] = p.typeExpr()
		if p.accept('>') {
			return args
		}
	}
	p.expect(',')
	args[1] = p.typeExpr()
	p.expect('>')
	return args
}

// primitive returns the primitive type of that name, 0 if it is none.
func primitive(word string) types.Kind {
	for k := types.Bool; k.Primitive(); k++ {
		if k.String() == word {
			return k
		}
	}
	return 0
}

// typeDecl takes a type declaration, if one is next, into f.
func (p *parser) typeDecl(f *iface, keep bool) bool {
	if !p.is(tokName) || p.tok.escaped {
		return false
	}
	d := &typeDecl{}
	switch p.tok.text {
	case "type":
		p.advance()
		d.name = p.ident("a type name")
		p.expect('=')
		d.alias = p.typeExpr()
		p.expect(';')
	case "record":
		d.kind = declRecord
		p.fields(d, "a field", func() *typeExpr { p.expect(':'); return p.typeExpr() })
	case "variant":
		d.kind = declVariant
		p.fields(d, "a case", func() *typeExpr {
			if !p.accept('(') {
				return nil
			}
			t := p.typeExpr()
			p.expect(')')
			return t
		})
	case "enum":
		d.kind = declEnum
		p.fields(d, "a case", func() *typeExpr { return nil })
	case "flags":
		d.kind = declFlags
		p.fields(d, "a flag", func() *typeExpr { return nil })
		if len(d.fields) > 32 {
			p.failf(d.name.pos, "split them up", "flags %s has %d flags, the most is 32", d.name.text, len(d.fields))
		}
	case "resource":
		p.resource(d, f, keep)
	default:
		return false
	}
	if keep {
		f.types = append(f.types, d)
	}
	return true
}

// fields takes a keyword, a name and the parts in braces.
func (p *parser) fields(d *typeDecl, what string, typ func() *typeExpr) {
	p.advance()
	d.name = p.ident("a type name")
	p.expect('{')
	p.list('}', func() {
		d.fields = append(d.fields, fieldDecl{p.ident(what), nil})
		d.fields[len(d.fields)-1].typ = typ()
	})
	if len(d.fields) == 0 {
		p.failf(d.name.pos, "", "%s has nothing in it", d.name.text)
	}
}

// resource takes a resource, and its functions into f.
func (p *parser) resource(d *typeDecl, f *iface, keep bool) {
	p.advance()
	d.kind = declResource
	d.name = p.ident("a resource name")
	if p.accept(';') {
		return
	}
	p.expect('{')
	for !p.accept('}') {
		keep := p.gates() && keep
		fn := &funcDecl{pos: p.tok.pos, resource: d}
		if p.acceptWord("constructor") {
			fn.ctor = true
			fn.name = "[constructor]" + d.name.text
			p.params(fn)
			p.result(fn)
		} else {
			name := p.ident("a method")
			p.expect(':')
			if p.acceptWord("static") {
				fn.name = "[static]" + d.name.text + "." + name.text
			} else {
				fn.method = true
				fn.name = "[method]" + d.name.text + "." + name.text
			}
			p.funcType(fn)
		}
		p.expect(';')
		if keep {
			f.funcs = append(f.funcs, fn)
		}
	}
}

// funcType takes "func" with parameters and a result.
func (p *parser) funcType(fn *funcDecl) {
	if p.isWord("async") {
		p.failf(p.tok.pos, "", "async functions are not supported")
	}
	p.expectWord("func")
	p.params(fn)
	p.result(fn)
}

func (p *parser) params(fn *funcDecl) {
	p.expect('(')
	p.list(')', func() {
		name := p.ident("a parameter")
		p.expect(':')
		fn.params = append(fn.params, fieldDecl{name, p.typeExpr()})
	})
}

func (p *parser) result(fn *funcDecl) {
	if !p.is(tokArrow) {
		return
	}
	p.advance()
	if p.is('(') {
		p.failf(p.tok.pos, "return a tuple or a record", "named results are not supported")
	}
	fn.result = p.typeExpr()
}

// use takes the rest of a use statement in an interface or world.
func (p *parser) use(f *iface, keep bool) {
	from := p.path("an interface")
	p.expect('.')
	p.expect('{')
	if p.is('}') && keep {
		f.uses = append(f.uses, &useDecl{from: from})
	}
	p.list('}', func() {
		u := &useDecl{from: from, name: p.ident("a type")}
		u.as = u.name
		if p.acceptWord("as") {
			u.as = p.ident("a type name")
		}
		if keep {
			f.uses = append(f.uses, u)
		}
	})
	p.expect(';')
}

// interfaceBody takes the braces of an interface and what is in them.
func (p *parser) interfaceBody(f *iface) {
	p.expect('{')
	for !p.accept('}') {
		keep := p.gates()
		switch {
		case p.acceptWord("use"):
			p.use(f, keep)
		case p.typeDecl(f, keep):
		default:
			name := p.ident("a type or a function")
			fn := &funcDecl{name: name.text, pos: name.pos}
			p.expect(':')
			p.funcType(fn)
			p.expect(';')
			if keep {
				f.funcs = append(f.funcs, fn)
			}
		}
	}
}

// worldBody takes the braces of a world and what is in them.
func (p *parser) worldBody(w *world) {
	p.expect('{')
	for !p.accept('}') {
		keep := p.gates()
		var it *worldItem
		switch pos := p.tok.pos; {
		case p.acceptWord("use"):
			p.use(w.own, keep)
		case p.acceptWord("import"):
			it = p.worldItem(w, pos, false)
		case p.acceptWord("export"):
			it = p.worldItem(w, pos, true)
		case p.acceptWord("include"):
			it = p.include(pos)
		case p.typeDecl(w.own, keep):
		default:
			p.failf(pos, "", "expected import, export, include, use or a type, found %s", p.tok.describe())
		}
		if it != nil && keep {
			w.items = append(w.items, it)
		}
	}
}

// worldItem takes what follows import or export.
func (p *parser) worldItem(w *world, pos position, export bool) *worldItem {
	it := &worldItem{export: export, pos: pos}
	first := p.ident("a name or an interface")
	if !p.is(':') {
		it.path = &itemPath{name: first}
		p.expect(';')
		return it
	}
	p.advance()
	switch {
	case p.acceptWord("interface"):
		it.name = first
		it.inline = &iface{pos: first.pos, scope: w.own.scope}
		p.interfaceBody(it.inline)
		return it
	case p.isWord("func") || p.isWord("async"):
		it.name = first
		it.fn = &funcDecl{name: first.text, pos: first.pos}
		p.funcType(it.fn)
	default:
		name := p.ident("func, interface or a package name")
		p.expect('/')
		item := p.ident("an interface")
		it.path = &itemPath{&packageName{first.text + ":" + name.text, p.version()}, item}
	}
	p.expect(';')
	return it
}

// include takes what follows include.
func (p *parser) include(pos position) *worldItem {
	from := p.path("a world")
	it := &worldItem{include: true, pos: pos, path: &from}
	if p.acceptWord("with") {
		p.expect('{')
		p.list('}', func() {
			name := p.ident("a name")
			p.expectWord("as")
			it.renames = append(it.renames, useDecl{name: name, as: p.ident("a name")})
		})
		p.accept(';')
		return it
	}
	p.expect(';')
	return it
}

// items takes interfaces, worlds and uses up to the mark end, into sc. Where
// nested is not nil, it takes packages in braces, too; nested declares them.
func (p *parser) items(sc *scope, end kind, nested func(packageName, position) *scope) {
	for !p.is(end) {
		keep := p.gates()
		pos := p.tok.pos
		switch {
		case p.acceptWord("interface"):
			name := p.ident("an interface name")
			f := &iface{full: sc.pkg.name.item(name.text), pos: name.pos, scope: sc}
			p.interfaceBody(f)
			if keep {
				p.add(sc, &topItem{name: name, iface: f})
			}
		case p.acceptWord("world"):
			name := p.ident("a world name")
			w := &world{name: name, own: &iface{pos: name.pos, scope: sc}}
			p.worldBody(w)
			if keep {
				p.add(sc, &topItem{name: name, world: w})
			}
		case p.acceptWord("use"):
			from := p.path("an interface")
			as := from.name
			if p.acceptWord("as") {
				as = p.ident("a name")
			}
			p.expect(';')
			if _, ok := sc.uses[as.text]; ok {
				p.failf(as.pos, "", "%s is used twice", as.text)
			}
			sc.uses[as.text] = from
			sc.order = append(sc.order, as)
		case nested != nil && p.acceptWord("package"):
			p.braced(nested, p.packageName(), pos)
		default:
			p.failf(pos, "", "expected interface, world or use, found %s", p.tok.describe())
		}
	}
}

// braced takes the braces of package name and what is in them.
func (p *parser) braced(declare func(packageName, position) *scope, name packageName, pos position) {
	sc := declare(name, pos)
	p.expect('{')
	p.items(sc, '}', nil)
	p.expect('}')
}

// add adds an interface or world to its package.
func (p *parser) add(sc *scope, it *topItem) {
	to := sc.pkg
	if other, ok := to.items[it.name.text]; ok {
		at := other.name.pos.errorf("", "")
		p.failf(it.name.pos, "", "%s is declared twice, first at %s:%d:%d", it.name.text, at.File, at.Line, at.Col)
	}
	to.items[it.name.text] = it
	to.order = append(to.order, it)
	sc.declared = append(sc.declared, it.name)
}
