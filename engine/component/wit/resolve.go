// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// entity is what a type name stands for: a value type or a resource.
type entity struct {
	typ *types.Type
	res *types.Resource
}

// extern returns the extern that exports the entity under name.
func (e entity) extern(name string) types.Extern {
	return types.Extern{Name: name, Sort: types.SortType, Type: e.typ, Resource: e.res}
}

// resolved is an interface with its names resolved.
type resolved struct {
	names    map[string]entity
	instance *types.Instance
}

// resolver resolves the names of parsed packages. An interface is resolved once,
// on first use, so that everybody who uses its types gets the same pointers.
type resolver struct {
	pkgs map[packageName]*pkg
	done map[*iface]*resolved
	busy map[*iface]bool // being resolved: to find interfaces that use each other
}

// find returns what a path names in a scope.
func (r *resolver) find(sc *scope, p itemPath) (*topItem, error) {
	in := sc.pkg
	if p.pkg == nil {
		if used, ok := sc.uses[p.name.text]; ok {
			return r.findIn(used, sc.pkg)
		}
	}
	return r.findIn(p, in)
}

// findIn returns what a path names, bare names in package in.
func (r *resolver) findIn(p itemPath, in *pkg) (*topItem, error) {
	if p.pkg != nil {
		in = r.pkgs[*p.pkg]
		if in == nil {
			var names []string
			for name := range r.pkgs {
				names = append(names, name.String())
			}
			slices.Sort(names)
			return nil, p.name.pos.errorf(nearest(p.pkg.String(), names), "package %s is not among the given files", p.pkg)
		}
	}
	it := in.items[p.name.text]
	if it == nil {
		var names []string
		for _, it := range in.order {
			names = append(names, it.name.text)
		}
		return nil, p.name.pos.errorf(nearest(p.name.text, names), "package %s has no %s", in.name, p.name.text)
	}
	return it, nil
}

// checkUses checks what a file uses by another name.
func (r *resolver) checkUses(sc *scope) error {
	for _, as := range sc.order {
		from := sc.uses[as.text]
		if _, err := r.findIn(from, sc.pkg); err != nil {
			return err
		}
		if slices.ContainsFunc(sc.declared, func(d ident) bool { return d.text == as.text }) {
			return as.pos.errorf("give it another name with \"as\"", "%s is declared in this file already", as.text)
		}
	}
	return nil
}

// iface returns the interface that a path names.
func (r *resolver) iface(sc *scope, p itemPath) (*iface, error) {
	it, err := r.find(sc, p)
	if err != nil {
		return nil, err
	}
	if it.iface == nil {
		return nil, p.name.pos.errorf("", "%s is a world, not an interface", p.name.text)
	}
	return it.iface, nil
}

// world returns the world that a path names.
func (r *resolver) world(sc *scope, p itemPath) (*world, error) {
	it, err := r.find(sc, p)
	if err != nil {
		return nil, err
	}
	if it.world == nil {
		return nil, p.name.pos.errorf("", "%s is an interface, not a world", p.name.text)
	}
	return it.world, nil
}

// resolve returns f resolved, with every interface it uses.
func (r *resolver) resolve(f *iface) (*resolved, error) {
	if done, ok := r.done[f]; ok {
		return done, nil
	}
	if r.busy[f] {
		return nil, f.pos.errorf("move the shared types to an interface of their own", "interface uses itself through the interfaces it uses")
	}
	r.busy[f] = true
	defer delete(r.busy, f)
	res, err := newBuilder(f, r.resolve, r).build()
	if err != nil {
		return nil, err
	}
	r.done[f] = res
	return res, nil
}

// builder makes the types of one interface. The interfaces it uses come from
// lookup, which lets a world give an exported interface types of its own.
type builder struct {
	f       *iface
	r       *resolver
	lookup  func(*iface) (*resolved, error)
	decls   map[string]*typeDecl
	claimed map[string]bool
	busy    map[*typeDecl]bool
	borrows map[*types.Type]bool // whether there is a borrow in it, as far as known
	out     *resolved
}

func newBuilder(f *iface, lookup func(*iface) (*resolved, error), r *resolver) *builder {
	return &builder{
		f: f, r: r, lookup: lookup, decls: map[string]*typeDecl{}, claimed: map[string]bool{}, busy: map[*typeDecl]bool{},
		borrows: map[*types.Type]bool{},
		out:     &resolved{names: map[string]entity{}, instance: &types.Instance{}},
	}
}

// build makes the types in the order of their dependencies, then the functions.
func (b *builder) build() (*resolved, error) {
	for _, d := range b.f.types {
		if err := b.claim(d.name); err != nil {
			return nil, err
		}
		b.decls[d.name.text] = d
	}
	for _, u := range b.f.uses {
		if err := b.use(u); err != nil {
			return nil, err
		}
	}
	for _, d := range b.f.types {
		if _, err := b.declared(d); err != nil {
			return nil, err
		}
	}
	for _, d := range b.f.funcs {
		if err := b.claim(ident{d.name, d.pos}); err != nil {
			return nil, err
		}
		fn, err := b.function(d)
		if err != nil {
			return nil, err
		}
		b.export(types.Extern{Name: d.name, Sort: types.SortFunc, Func: fn})
	}
	return b.out, nil
}

// claim takes a name in the interface. Upper and lower case count alike, so do the
// methods and static functions of a resource, and "[method]r.r" collides with "r".
func (b *builder) claim(name ident) error {
	key := strings.ToLower(name.text)
	if rest, ok := strings.CutPrefix(key, "[static]"); ok {
		key = "[method]" + rest
	}
	if rest, ok := strings.CutPrefix(key, "[method]"); ok {
		if resource, item, _ := strings.Cut(rest, "."); resource == item {
			key = resource
		}
	}
	if b.claimed[key] {
		return name.pos.errorf("rename one of them", "%s is declared twice", name.text)
	}
	b.claimed[key] = true
	return nil
}

func (b *builder) export(e types.Extern) {
	b.out.instance.Exports = append(b.out.instance.Exports, e)
}

// define gives a name to an entity, and exports it.
func (b *builder) define(name string, e entity) {
	b.out.names[name] = e
	b.export(e.extern(name))
}

// use brings in a name of another interface.
func (b *builder) use(u *useDecl) error {
	from, err := b.r.iface(b.f.scope, u.from)
	if err != nil {
		return err
	}
	there, err := b.lookup(from)
	if err != nil {
		return err
	}
	if u.name.text == "" {
		return nil
	}
	e, ok := there.names[u.name.text]
	if !ok {
		return u.name.pos.errorf(nearest(u.name.text, keys(there.names)), "interface %s has no type %s", u.from.name.text, u.name.text)
	}
	if err := b.claim(u.as); err != nil {
		return err
	}
	b.define(u.as.text, e)
	return nil
}

func keys(m map[string]entity) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// declared makes a declared type, once.
func (b *builder) declared(d *typeDecl) (entity, error) {
	if e, ok := b.out.names[d.name.text]; ok {
		return e, nil
	}
	if b.busy[d] {
		return entity{}, d.name.pos.errorf("types can't be recursive", "type %s contains itself", d.name.text)
	}
	b.busy[d] = true
	defer delete(b.busy, d)
	e, err := b.make(d)
	if err != nil {
		return entity{}, err
	}
	b.define(d.name.text, e)
	return e, nil
}

// make makes the type that d declares.
func (b *builder) make(d *typeDecl) (entity, error) {
	switch d.kind {
	case declResource:
		return entity{res: &types.Resource{Name: d.name.text}}, nil
	case declAlias:
		return b.alias(d)
	}
	fields, err := b.fields(d.fields)
	if err != nil {
		return entity{}, err
	}
	return entity{typ: &types.Type{Kind: d.kind.kind(), Fields: fields}}, nil
}

// kind is the kind of the types that such a declaration declares.
func (k declKind) kind() types.Kind {
	switch k {
	case declRecord:
		return types.Record
	case declVariant:
		return types.Variant
	case declEnum:
		return types.Enum
	case declFlags:
		return types.Flags
	}
	return 0
}

// alias makes another name of a named type or resource, or names a type that had
// no name.
func (b *builder) alias(d *typeDecl) (entity, error) {
	if d.alias.kind == 0 {
		return b.named(d.alias.name)
	}
	t, err := b.typ(d.alias)
	return entity{typ: t}, err
}

// fields makes the fields of a type or the parameters of a function.
func (b *builder) fields(decls []fieldDecl) ([]types.Field, error) {
	var fields []types.Field
	seen := make(map[string]bool, len(decls))
	for _, d := range decls {
		key := strings.ToLower(d.name.text)
		if seen[key] {
			return nil, d.name.pos.errorf("", "%s is declared twice", d.name.text)
		}
		seen[key] = true
		f := types.Field{Name: d.name.text}
		if d.typ != nil {
			t, err := b.typ(d.typ)
			if err != nil {
				return nil, err
			}
			f.Type = t
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// named returns what a name stands for.
func (b *builder) named(name ident) (entity, error) {
	if d := b.decls[name.text]; d != nil {
		return b.declared(d)
	}
	if e, ok := b.out.names[name.text]; ok {
		return e, nil
	}
	candidates := keys(b.out.names)
	for name := range b.decls {
		candidates = append(candidates, name)
	}
	for k := types.Bool; k.Primitive(); k++ {
		candidates = append(candidates, k.String())
	}
	slices.Sort(candidates)
	return entity{}, name.pos.errorf(nearest(name.text, candidates), "unknown type %s", name.text)
}

// resource returns the resource that a name stands for.
func (b *builder) resource(name ident) (*types.Resource, error) {
	e, err := b.named(name)
	if err == nil && e.res == nil {
		err = name.pos.errorf("", "%s is not a resource", name.text)
	}
	return e.res, err
}

// typ makes a type; the name of a resource stands for an owned one.
func (b *builder) typ(x *typeExpr) (*types.Type, error) {
	switch x.kind {
	case 0:
		e, err := b.named(x.name)
		if err == nil && e.res != nil {
			return &types.Type{Kind: types.Own, Resource: e.res}, nil
		}
		return e.typ, err
	case types.Own, types.Borrow:
		res, err := b.resource(x.name)
		return &types.Type{Kind: x.kind, Resource: res}, err
	}
	t := &types.Type{Kind: x.kind}
	args := make([]*types.Type, len(x.args))
	for i, arg := range x.args {
		if arg == nil {
			continue
		}
		a, err := b.typ(arg)
		if err != nil {
			return nil, err
		}
		args[i] = a
	}
	switch x.kind {
	case types.List, types.Option:
		t.Elem = args[0]
	case types.Result:
		t.Elem, t.Err = args[0], args[1]
	case types.Tuple:
		for _, a := range args {
			t.Fields = append(t.Fields, types.Field{Type: a})
		}
	}
	return t, nil
}

// function makes a function type. A method's first parameter is its object; a
// constructor returns one.
func (b *builder) function(d *funcDecl) (*types.Func, error) {
	params, err := b.fields(d.params)
	if err != nil {
		return nil, err
	}
	fn := &types.Func{Params: params}
	if d.result != nil {
		if fn.Result, err = b.typ(d.result); err != nil {
			return nil, err
		}
		if b.holdsBorrow(fn.Result) {
			return nil, d.result.pos.errorf("return own, which moves the object to the caller", "a function can't return a borrow")
		}
	}
	if d.resource == nil {
		return fn, nil
	}
	res := b.out.names[d.resource.name.text].res
	switch {
	case d.method:
		if slices.ContainsFunc(params, func(f types.Field) bool { return f.Name == "self" }) {
			return nil, d.pos.errorf("", "a method has the parameter self without declaring it")
		}
		self := types.Field{Name: "self", Type: &types.Type{Kind: types.Borrow, Resource: res}}
		fn.Params = append([]types.Field{self}, params...)
	case d.ctor && fn.Result == nil:
		fn.Result = &types.Type{Kind: types.Own, Resource: res}
	case d.ctor && !constructs(fn.Result, res):
		return nil, d.result.pos.errorf("leave the result out, or return result<"+d.resource.name.text+", ...>", "a constructor returns what it constructs")
	}
	return fn, nil
}

// constructs reports whether t is what a constructor of res may return.
func constructs(t *types.Type, res *types.Resource) bool {
	if t.Kind == types.Result && t.Elem != nil {
		t = t.Elem
	}
	return t.Kind == types.Own && t.Resource == res
}

// holdsBorrow reports whether there is a borrow in t. It looks at every type once,
// however often others hold it.
func (b *builder) holdsBorrow(t *types.Type) bool {
	if t == nil {
		return false
	}
	if _, ok := b.borrows[t]; !ok {
		b.borrows[t] = t.Kind == types.Borrow || b.holdsBorrow(t.Elem) || b.holdsBorrow(t.Err) ||
			slices.ContainsFunc(t.Fields, func(f types.Field) bool { return b.holdsBorrow(f.Type) })
	}
	return b.borrows[t]
}
