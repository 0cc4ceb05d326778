// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"slices"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// ident is a name where it was written.
type ident struct {
	text string
	pos  position
}

// packageName is "namespace:name" and a version, which may be empty.
type packageName struct{ name, version string }

// String returns the name as it is written in a package declaration.
func (p packageName) String() string {
	if p.version == "" {
		return p.name
	}
	return p.name + "@" + p.version
}

// item returns the full name of an interface or world of the package.
func (p packageName) item(name string) string {
	if p.version == "" {
		return p.name + "/" + name
	}
	return p.name + "/" + name + "@" + p.version
}

// pkg is a package: the files that declare it, together.
type pkg struct {
	name  packageName
	items map[string]*topItem
	order []*topItem
}

// topItem is an interface or a world of a package.
type topItem struct {
	name  ident
	iface *iface
	world *world
}

// scope is where the bare names of interfaces and worlds are looked up: a file's
// own uses, then the file's package.
type scope struct {
	pkg      *pkg
	uses     map[string]itemPath
	order    []ident // the names in uses
	declared []ident // by this file
}

// itemPath names an interface or world, of another package where pkg is set.
type itemPath struct {
	pkg  *packageName
	name ident
}

// iface is an interface, or what a world declares besides its imports and
// exports of interfaces: a scope of type names.
type iface struct {
	full  string // "" for an inline interface and for a world's own scope
	pos   position
	scope *scope
	uses  []*useDecl
	types []*typeDecl
	funcs []*funcDecl
}

// named returns the uses that bring in a name.
func (f *iface) named() []*useDecl {
	return slices.DeleteFunc(slices.Clone(f.uses), func(u *useDecl) bool { return u.name.text == "" })
}

// useDecl is one name of a use statement; or none, where the statement has none.
type useDecl struct {
	from itemPath
	name ident // there
	as   ident // here
}

// declKind is what a type declaration declares.
type declKind uint8

const (
	declAlias declKind = iota
	declRecord
	declVariant
	declEnum
	declFlags
	declResource
)

// typeDecl is a type declaration; the functions of a resource are among those of
// the interface.
type typeDecl struct {
	kind   declKind
	name   ident
	alias  *typeExpr
	fields []fieldDecl
}

// fieldDecl is a field, case, flag or parameter; typ is nil where it has none.
type fieldDecl struct {
	name ident
	typ  *typeExpr
}

// typeExpr is a type as written. Which fields have meaning depends on kind, which
// is 0 for a name.
type typeExpr struct {
	pos  position
	kind types.Kind
	name ident       // of a type; of the resource for own and borrow
	args []*typeExpr // result: ok and error, each may be nil
}

// funcDecl is a function; name is the exact name of its extern.
type funcDecl struct {
	name     string
	pos      position
	resource *typeDecl // of a constructor, method or static function
	method   bool
	ctor     bool
	params   []fieldDecl
	result   *typeExpr
}

// world is a world. own holds its uses and types.
type world struct {
	name  ident
	own   *iface
	items []*worldItem
}

// worldItem is an import, an export or an include, of which exactly one of path,
// fn and inline is set.
type worldItem struct {
	export  bool
	include bool
	pos     position
	name    ident // of fn and inline
	path    *itemPath
	fn      *funcDecl
	inline  *iface
	renames []useDecl // of an include; from is unused
}
