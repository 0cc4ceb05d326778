// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// externName is the name of an import or export, taken apart: a plain name, which
// may say that it is a function of a resource or an accessor, or the name of an
// interface.
type parsedName struct {
	iface    bool
	version  string // of an interface, "" where it has none
	role     role
	accessor accessor
	resource string // with a role
	label    string // the last part of a plain name
}

// role says what a function is to a resource.
type role uint8

const (
	noRole role = iota
	constructor
	method
	static
)

// accessor says that a function reads or writes a property.
type accessor uint8

const (
	noAccessor accessor = iota
	getter
	setter
)

const (
	constructorMark = "[constructor]"
	methodMark      = "[method]"
	staticMark      = "[static]"
	getMark         = "[get]"
	setMark         = "[set]"
)

// parseName parses the name of an import or export. Versions are not checked.
func parseName(s string) (n parsedName, err error) {
	if strings.Contains(s, ":") {
		return parseInterface(s)
	}
	rest := s
	cut := func(mark string) bool {
		var found bool
		rest, found = strings.CutPrefix(rest, mark)
		return found
	}
	switch {
	case cut(constructorMark):
		n.role = constructor
	case cut(methodMark):
		n.role = method
	case cut(staticMark):
		n.role = static
	}
	switch {
	case cut(getMark):
		n.accessor = getter
	case cut(setMark):
		n.accessor = setter
	}
	n.label = rest
	switch n.role {
	case constructor:
		if n.accessor != noAccessor {
			return n, errors.New("a constructor is no accessor")
		}
		n.resource = rest
	case method, static:
		var ok bool
		if n.resource, n.label, ok = strings.Cut(rest, "."); !ok {
			return n, fmt.Errorf("want a resource and a name, joined by a dot, after the mark in %q", s)
		}
		if !binary.IsLabel(n.resource) {
			return n, notLabel(n.resource)
		}
	}
	if !binary.IsLabel(n.label) {
		return n, notLabel(n.label)
	}
	return n, nil
}

func notLabel(s string) error { return fmt.Errorf("%q is not in kebab-case", s) }

// parseInterface parses the name of an interface: a namespace and a package in lower
// case, joined by a colon, then the interface after a slash. Nested namespaces and
// packages, which the specification gates, are refused.
func parseInterface(s string) (n parsedName, err error) {
	n.iface = true
	path, version, _ := strings.Cut(s, "@")
	n.version = version
	pkg, projection, ok := strings.Cut(path, "/")
	if !ok {
		return n, fmt.Errorf("%q names no interface of its package", s)
	}
	if strings.Count(pkg, ":") != 1 || strings.Contains(projection, "/") {
		return n, fmt.Errorf("%q is not of the form namespace:package/interface", s)
	}
	for _, label := range strings.Split(pkg, ":") {
		if !binary.IsLabel(label) || strings.ToLower(label) != label {
			return n, fmt.Errorf("%q is not in kebab-case of lower case", label)
		}
	}
	if !binary.IsLabel(projection) {
		return n, notLabel(projection)
	}
	return n, nil
}

// fold returns what the names of two imports, or of two exports, must not have in
// common, so that languages can tell them apart.
func (n parsedName) fold(s string) string {
	if n.iface {
		path, version, _ := strings.Cut(s, "@")
		return binary.FoldLabel(path) + "@" + version
	}
	resource, label := binary.FoldLabel(n.resource), binary.FoldLabel(n.label)
	switch {
	case n.role == constructor:
		return constructorMark + label
	case n.role != noRole && resource == label:
		return label // as a constructor is written in some languages
	case n.role != noRole:
		label = resource + "." + label
	}
	if n.accessor == setter {
		return setMark + label
	}
	return label
}

// getterOf returns the name of the getter that a setter belongs to.
func getterOf(s string) string { return strings.Replace(s, setMark, getMark, 1) }

// externName checks the name of an import or export of type e, and adds it to the
// scope's.
func (v *validator) externName(s *scope, dir direction, name binary.ExternName, e entity) error {
	n, err := parseName(name.Name)
	if err != nil {
		return fmt.Errorf("invalid name: %w", err)
	}
	if err := checkInterface(n, name, e); err != nil {
		return err
	}
	names, folds, items := s.importNames, &s.importFolds, &s.imports
	if dir == exporting {
		names, folds, items = s.exportNames, &s.exportFolds, &s.exports
	}
	if err := names.check(n, e); err != nil {
		return err
	}
	folded := n.fold(written(name))
	if other, ok := (*folds)[folded]; ok {
		return fmt.Errorf("conflicts with %q", other)
	}
	if *folds == nil {
		*folds = map[string]string{}
	}
	(*folds)[folded] = name.Name
	if n.accessor == setter {
		g, ok := items.find(getterOf(name.Name))
		if !ok {
			return fmt.Errorf("a setter needs a getter %q before it", getterOf(name.Name))
		}
		param := e.fn.params[len(e.fn.params)-1].typ
		if err := v.matchValue(param, property(g.fn.result)); err != nil {
			return fmt.Errorf("a setter takes what its getter returns: %w", err)
		}
	}
	return items.add(name.Name, e)
}

// written returns a name without the version suffix that was put to it, so that
// compatible versions of one interface count as one.
func written(name binary.ExternName) string {
	if name.Implements != "" {
		return name.Name
	}
	return strings.TrimSuffix(name.Name, name.Suffix)
}

// property returns the type of what a getter with that result reads.
func property(result *valType) *valType {
	if result.kind == types.Result {
		return result.elem
	}
	return result
}

// checkInterface checks what concerns the names of interfaces: their versions, and
// what plain names say about the interfaces they implement.
func checkInterface(n parsedName, name binary.ExternName, e entity) error {
	version, versioned := n.version, n.iface && strings.Contains(name.Name, "@")
	if (name.HasSuffix || name.Implements != "") && e.sort != binary.InstanceSort {
		return fmt.Errorf("names the interface of a %v; only instances have one", e.sort)
	}
	if name.Implements != "" {
		if n.iface || n.role != noRole || n.accessor != noAccessor {
			return errors.New("only a plain name implements an interface")
		}
		i, err := parseName(name.Implements)
		if err == nil && !i.iface {
			err = errors.New("not the name of an interface")
		}
		if err != nil {
			return fmt.Errorf("implements %q: %w", name.Implements, err)
		}
		version, versioned = i.version, strings.Contains(name.Implements, "@")
	} else if name.HasSuffix && !n.iface {
		return errors.New("has a version suffix, but names no interface")
	}
	if !versioned {
		if name.HasSuffix {
			return errors.New("has a version suffix, but no version")
		}
		return nil
	}
	canonical, ok := canonicalVersion(version)
	switch {
	case !ok:
		return fmt.Errorf("%q is no semantic version", version)
	case name.HasSuffix && name.Suffix == "":
		return errors.New("has an empty version suffix")
	case name.HasSuffix && version != canonical+name.Suffix:
		return fmt.Errorf("version %q is split before %q, want it split after %q", version, name.Suffix, canonical)
	}
	return nil
}

// canonicalVersion checks a semantic version and returns the part of it that all
// compatible versions share.
func canonicalVersion(version string) (canonical string, ok bool) {
	release, build, hasBuild := strings.Cut(version, "+")
	if hasBuild && !identifiers(build, false) {
		return "", false
	}
	numbers, pre, hasPre := strings.Cut(release, "-")
	if hasPre && !identifiers(pre, true) {
		return "", false
	}
	parts := strings.Split(numbers, ".")
	if len(parts) != 3 {
		return "", false
	}
	for _, p := range parts {
		if !isNumber(p) || len(p) > 20 || len(p) == 20 && p > "18446744073709551615" {
			return "", false
		}
	}
	switch {
	case hasPre:
	case parts[0] != "0":
		return parts[0], true
	case parts[1] != "0":
		return "0." + parts[1], true
	}
	return release, true
}

// identifiers checks identifiers joined by dots. In a pre-release, a number must not
// start with a zero.
func identifiers(s string, pre bool) bool {
	for _, id := range strings.Split(s, ".") {
		digits := true
		for _, c := range []byte(id) {
			switch {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
				digits = false
			default:
				return false
			}
		}
		if id == "" || pre && digits && !isNumber(id) {
			return false
		}
	}
	return true
}

func isNumber(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s == "0" || s != "" && s[0] != '0'
}

// resourceNames are the resources that a scope imports, or exports, by name.
type resourceNames struct {
	of    map[*resource]string
	known map[string]bool
}

func (r *resourceNames) add(name string, t *resource) {
	if r.of == nil {
		r.of, r.known = map[*resource]string{}, map[string]bool{}
	}
	r.of[t], r.known[name] = name, true
}

// check checks that e is what its name says: that the function of a resource has the
// resource where it belongs, that an accessor reads or writes one value.
func (r *resourceNames) check(n parsedName, e entity) error {
	if n.role == noRole && n.accessor == noAccessor {
		return nil
	}
	if e.sort != binary.Func {
		return fmt.Errorf("is a %v, but its name says function", e.sort)
	}
	f := e.fn
	switch n.role {
	case constructor:
		if f.async {
			return errors.New("a constructor is not async")
		}
		made := f.result
		if made != nil && made.kind == types.Result {
			made = made.elem
		}
		if made == nil || made.kind != types.Own {
			return errors.New("a constructor returns its resource, owned, or a result with it")
		}
		if err := r.is(made.resource, n.resource); err != nil {
			return err
		}
	case method:
		if len(f.params) == 0 || f.params[0].name != "self" || f.params[0].typ.kind != types.Borrow {
			return errors.New(`a method's first parameter is "self", a borrow of its resource`)
		}
		if err := r.is(f.params[0].typ.resource, n.resource); err != nil {
			return err
		}
	case static:
		if !r.known[n.resource] {
			return fmt.Errorf("resource %q is not known here", n.resource)
		}
	}
	return n.checkAccessor(f)
}

// is checks that a resource goes by that name.
func (r *resourceNames) is(t *resource, name string) error {
	switch known, ok := r.of[t]; {
	case !ok:
		return fmt.Errorf("its resource has no name here, want %q", name)
	case known != name:
		return fmt.Errorf("its resource is %q, want %q", known, name)
	}
	return nil
}

// checkAccessor checks the type of a getter or setter.
func (n parsedName) checkAccessor(f *funcType) error {
	if n.accessor == noAccessor {
		return nil
	}
	params := len(f.params)
	if n.role == method {
		params--
	}
	switch {
	case f.async:
		return errors.New("an accessor is not async")
	case n.accessor == getter && (params != 0 || f.result == nil || property(f.result) == nil):
		return errors.New("a getter has no parameters and returns a value, or a result with one")
	case n.accessor == setter && (params != 1 || f.result != nil && (f.result.kind != types.Result || f.result.elem != nil)):
		return errors.New("a setter has one parameter and returns nothing, or a result without value")
	}
	return nil
}
