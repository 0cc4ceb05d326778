// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// Print returns c as WIT text: world root of package root:component, and every
// interface that it imports or exports, by package. ParseText reads it back as an
// equal type, provided that c lists an interface before those that use it.
//
// What WIT has no words for (core modules, nested components, names that are
// neither an interface's nor a label) becomes a comment. A record, variant, enum,
// flags or resource that an interface uses without exporting it under a name is
// an error. An interface that c imports and exports is written once, with what
// either side has.
func Print(c *types.Component) (string, error) {
	p := &printer{owners: map[any]owner{}}
	p.gather(c.Imports)
	p.gather(c.Exports)
	p.line("package root:component;")
	p.line("")
	p.names = map[any]string{}
	p.open("world root")
	p.scope(owner{}, c.Imports, func(e types.Extern) { p.worldItem("import", e) })
	for _, e := range c.Exports {
		p.worldItem("export", e)
	}
	p.close()
	for _, pkg := range p.packages {
		p.line("")
		p.open("package %s", pkg.name)
		for i, it := range pkg.interfaces {
			if i > 0 {
				p.line("")
			}
			p.names, p.twins = map[any]string{}, it.twins
			p.open("interface %s", escape(it.at.name))
			p.scope(it.at, it.exports, p.function)
			p.close()
		}
		p.close()
	}
	if p.err != nil {
		return "", fmt.Errorf("wit: print: %w", p.err)
	}
	return p.out.String(), nil
}

// printer writes indented lines. A type or resource is known by its pointer,
// *types.Type or *types.Resource.
type printer struct {
	out      strings.Builder
	depth    int
	err      error
	packages []*printPackage
	owners   map[any]owner    // who declares it, for those that an interface does
	names    map[any]string   // its name in the scope being written, so far
	ahead    map[any]string   // and in what is yet to be written: a resource's methods may need it
	twins    map[string][]any // the twins of what the scope declares, by name
	declared bool             // whether the scope has declared a type of its own yet
}

type printPackage struct {
	name       packageName
	interfaces []*printInterface
}

// printInterface is an interface with what it is known to export. Where it is both
// imported and exported, that may be different parts of it, and the types of one
// side have twins on the other.
type printInterface struct {
	at      owner
	exports []types.Extern
	twins   map[string][]any // by name
}

// merge adds the other side.
func (it *printInterface) merge(exports []types.Extern) {
	for _, x := range exports {
		if types.Find(it.exports, x.Name) == nil {
			it.exports = append(it.exports, x)
		} else if x.Sort == types.SortType {
			it.twins[x.Name] = append(it.twins[x.Name], entityOf(x))
		}
	}
}

// owner is an interface, and the name of something in it. The zero owner is the
// world.
type owner struct {
	pkg        packageName
	name, item string
}

func (o owner) sameInterface(as owner) bool { return o.pkg == as.pkg && o.name == as.name }

func (p *printer) line(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		p.out.WriteString(strings.Repeat("  ", p.depth))
		p.out.WriteString(text)
	}
	p.out.WriteByte('\n')
}

func (p *printer) open(format string, args ...any) {
	p.line(format+" {", args...)
	p.depth++
}

func (p *printer) close() {
	p.depth--
	p.line("}")
}

func (p *printer) failf(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// gather notes the interfaces among externs, and what they declare.
func (p *printer) gather(externs []types.Extern) {
	for _, e := range externs {
		at, ok := interfaceName(e.Name)
		if e.Sort != types.SortInstance || !ok {
			continue
		}
		for _, x := range e.Instance.Exports {
			if _, known := p.owners[entityOf(x)]; x.Sort == types.SortType && !known {
				at.item = x.Name
				p.owners[entityOf(x)] = at
			}
		}
		at.item = ""
		pkg := p.pkg(at.pkg)
		i := slices.IndexFunc(pkg.interfaces, func(it *printInterface) bool { return it.at == at })
		if i < 0 {
			i = len(pkg.interfaces)
			pkg.interfaces = append(pkg.interfaces, &printInterface{at: at, twins: map[string][]any{}})
		}
		pkg.interfaces[i].merge(e.Instance.Exports)
	}
}

func (p *printer) pkg(name packageName) *printPackage {
	for _, pkg := range p.packages {
		if pkg.name == name {
			return pkg
		}
	}
	pkg := &printPackage{name: name}
	p.packages = append(p.packages, pkg)
	return pkg
}

// entityOf returns the pointer by which a type extern is known.
func entityOf(e types.Extern) any {
	if e.Resource != nil {
		return e.Resource
	}
	return e.Type
}

// scope writes what is in an interface or the world: its types, then the other
// externs, by rest. The names of its types go to p.names.
func (p *printer) scope(at owner, externs []types.Extern, rest func(types.Extern)) {
	p.declared = false
	p.ahead = map[any]string{}
	for _, e := range slices.Backward(externs) {
		if e.Sort == types.SortType {
			p.ahead[entityOf(e)] = e.Name
		}
	}
	for i := 0; i < len(externs); i++ {
		if externs[i].Sort != types.SortType {
			continue
		}
		if from, ok := p.used(at, externs[i]); ok {
			i = p.use(at, from, externs, i)
			continue
		}
		p.declare(externs[i], externs)
	}
	for _, e := range externs {
		if e.Sort != types.SortType && !strings.HasPrefix(e.Name, "[") {
			rest(e)
		}
	}
}

// used returns who declares a type, if not the scope at.
func (p *printer) used(at owner, e types.Extern) (owner, bool) {
	from, ok := p.owners[entityOf(e)]
	if p.declared { // an alias keeps its place; a use would be read before
		_, again := p.names[entityOf(e)]
		ok = ok && !again
	}
	return from, ok && !from.sameInterface(at)
}

// use writes one use statement for the type externs from number i on that come
// from the same interface, and returns the number of the last one.
func (p *printer) use(at, from owner, externs []types.Extern, i int) int {
	var items []string
	last := i
	for ; i < len(externs); i++ {
		if externs[i].Sort != types.SortType {
			break
		}
		next, ok := p.used(at, externs[i])
		if !ok || !next.sameInterface(from) {
			break
		}
		item := escape(next.item)
		if externs[i].Name != next.item {
			item += " as " + escape(externs[i].Name)
		}
		items = append(items, item)
		p.name(entityOf(externs[i]), externs[i].Name)
		last = i
	}
	p.line("use %s.{%s};", from.path(at), strings.Join(items, ", "))
	return last
}

// path returns how the interface is named within the package of at.
func (o owner) path(at owner) string {
	if o.pkg == at.pkg {
		return escape(o.name)
	}
	namespace, name, _ := strings.Cut(o.pkg.name, ":")
	s := escape(namespace) + ":" + escape(name) + "/" + escape(o.name)
	if o.pkg.version != "" {
		s += "@" + o.pkg.version
	}
	return s
}

// declare writes the declaration of a type.
func (p *printer) declare(e types.Extern, among []types.Extern) {
	p.declared = true
	entity := entityOf(e)
	if other, ok := p.names[entity]; ok {
		p.line("type %s = %s;", escape(e.Name), escape(other))
		return
	}
	switch {
	case e.Resource != nil:
		p.name(entity, e.Name)
		p.resource(e, among)
		return
	case e.Type.Kind == types.Record, e.Type.Kind == types.Variant, e.Type.Kind == types.Enum, e.Type.Kind == types.Flags:
		p.open("%s %s", e.Type.Kind, escape(e.Name))
		for _, f := range e.Type.Fields {
			p.line("%s,", p.field(e.Type.Kind, f))
		}
		p.close()
	case e.Type.Kind == types.Own: // without own it would name the resource
		p.line("type %s = own<%s>;", escape(e.Name), p.structure(e.Type))
	default:
		p.line("type %s = %s;", escape(e.Name), p.structure(e.Type))
	}
	p.name(entity, e.Name)
}

// name notes the name of a type in the scope, for its twins as well.
func (p *printer) name(entity any, name string) {
	p.names[entity] = name
	for _, twin := range p.twins[name] {
		p.names[twin] = name
	}
}

// field returns a field of a record, a case or a flag.
func (p *printer) field(k types.Kind, f types.Field) string {
	switch {
	case k == types.Record:
		return escape(f.Name) + ": " + p.typ(f.Type)
	case f.Type != nil:
		return escape(f.Name) + "(" + p.typ(f.Type) + ")"
	}
	return escape(f.Name)
}

// resource writes a resource with its functions.
func (p *printer) resource(e types.Extern, among []types.Extern) {
	var funcs []types.Extern
	for _, x := range among {
		if name, ok := resourceOf(x.Name); ok && name == e.Name && x.Sort == types.SortFunc {
			funcs = append(funcs, x)
		}
	}
	if len(funcs) == 0 {
		p.line("resource %s;", escape(e.Name))
		return
	}
	p.open("resource %s", escape(e.Name))
	for _, x := range funcs {
		_, item, _ := strings.Cut(x.Name, ".")
		switch {
		case strings.HasPrefix(x.Name, "[constructor]"):
			result := ""
			if x.Func.Result != nil && x.Func.Result.Kind != types.Own {
				result = " -> " + p.typ(x.Func.Result)
			}
			p.line("constructor(%s)%s;", p.params(x.Func.Params), result)
		case strings.HasPrefix(x.Name, "[method]"):
			if len(x.Func.Params) == 0 {
				p.failf("%s lacks its self parameter", x.Name)
				continue
			}
			p.line("%s: %s;", escape(item), p.signature(&types.Func{Params: x.Func.Params[1:], Result: x.Func.Result}))
		default:
			p.line("%s: static %s;", escape(item), p.signature(x.Func))
		}
	}
	p.close()
}

// resourceOf returns the resource that a function's name belongs to.
func resourceOf(name string) (string, bool) {
	for _, prefix := range []string{"[constructor]", "[method]", "[static]"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			resource, _, _ := strings.Cut(rest, ".")
			return resource, true
		}
	}
	return "", false
}

// function writes a function of an interface.
func (p *printer) function(e types.Extern) {
	if e.Sort != types.SortFunc || !isLabel(e.Name) {
		p.line("// %q: %s", e.Name, sortName(e.Sort))
		return
	}
	p.line("%s: %s;", escape(e.Name), p.signature(e.Func))
}

// worldItem writes an import or export that is no type.
func (p *printer) worldItem(verb string, e types.Extern) {
	at, isInterface := interfaceName(e.Name)
	switch {
	case e.Sort == types.SortInstance && isInterface:
		p.line("%s %s;", verb, at.path(owner{}))
	case e.Sort == types.SortInstance && isLabel(e.Name):
		outer := p.names
		p.names = map[any]string{}
		p.open("%s %s: interface", verb, escape(e.Name))
		p.scope(owner{name: e.Name}, e.Instance.Exports, p.function)
		p.close()
		p.names = outer
	case e.Sort == types.SortFunc && isLabel(e.Name):
		p.line("%s %s: %s;", verb, escape(e.Name), p.signature(e.Func))
	default:
		p.line("// %s %q: %s", verb, e.Name, sortName(e.Sort))
	}
}

func sortName(s types.Sort) string {
	switch s {
	case types.SortFunc:
		return "func"
	case types.SortType:
		return "type"
	case types.SortInstance:
		return "interface"
	case types.SortComponent:
		return "component"
	}
	return "core module"
}

// signature returns a function type.
func (p *printer) signature(f *types.Func) string {
	s := "func(" + p.params(f.Params) + ")"
	if f.Result != nil {
		s += " -> " + p.typ(f.Result)
	}
	return s
}

func (p *printer) params(params []types.Field) string {
	var parts []string
	for _, f := range params {
		parts = append(parts, escape(f.Name)+": "+p.typ(f.Type))
	}
	return strings.Join(parts, ", ")
}

// typ returns a type by its name in the scope, or else its structure.
func (p *printer) typ(t *types.Type) string {
	if name, ok := p.nameOf(t); ok {
		return escape(name)
	}
	return p.structure(t)
}

// nameOf returns the name of a type or resource in the scope.
func (p *printer) nameOf(entity any) (string, bool) {
	if name, ok := p.names[entity]; ok {
		return name, true
	}
	name, ok := p.ahead[entity]
	return name, ok
}

// structure returns a type as it is made of others.
func (p *printer) structure(t *types.Type) string {
	switch t.Kind {
	case types.List, types.Option:
		return t.Kind.String() + "<" + p.typ(t.Elem) + ">"
	case types.Tuple:
		var parts []string
		for _, f := range t.Fields {
			parts = append(parts, p.typ(f.Type))
		}
		return "tuple<" + strings.Join(parts, ", ") + ">"
	case types.Result:
		switch {
		case t.Elem == nil && t.Err == nil:
			return "result"
		case t.Err == nil:
			return "result<" + p.typ(t.Elem) + ">"
		case t.Elem == nil:
			return "result<_, " + p.typ(t.Err) + ">"
		}
		return "result<" + p.typ(t.Elem) + ", " + p.typ(t.Err) + ">"
	case types.Own, types.Borrow:
		name, ok := p.nameOf(t.Resource)
		if !ok {
			p.failf("resource %s has no name where it is used", t.Resource.Name)
		}
		if t.Kind == types.Own {
			return escape(name)
		}
		return "borrow<" + escape(name) + ">"
	}
	if !t.Kind.Primitive() {
		p.failf("a %s has no name where it is used", t.Kind)
	}
	return t.Kind.String()
}

// interfaceName takes an interface's full name apart.
func interfaceName(s string) (owner, bool) {
	pkg, rest, ok := strings.Cut(s, "/")
	name, version, _ := strings.Cut(rest, "@")
	namespace, pkgName, colon := strings.Cut(pkg, ":")
	if !ok || !colon || !isLabel(namespace) || !isLabel(pkgName) || !isLabel(name) {
		return owner{}, false
	}
	return owner{pkg: packageName{pkg, version}, name: name}, true
}

// escape returns a name as it is written where a keyword would be one. The word
// map is escaped for parsers that have maps.
func escape(name string) string {
	if reserved(name) || name == "map" {
		return "%" + name
	}
	return name
}
