// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// elaboration makes a component type of a world: it follows includes, adds the
// interfaces that the named ones use, and gives exported interfaces types of
// their own where the world imports them too.
type elaboration struct {
	r        *resolver
	out      *types.Component
	imported map[*iface]bool
	exports  map[*iface]bool      // named as exports, by the world or one it includes
	exported map[*iface]*resolved // done
	visiting map[*world]bool
	flat     map[*world][]flatItem // what flatten returned
	through  map[*iface]*iface     // what reached returned
	index    map[string]int        // where a name is among out's imports, or exports
}

// elaborate returns the component type of w.
func (r *resolver) elaborate(w *world) (*types.Component, error) {
	e := &elaboration{
		r: r, out: &types.Component{}, imported: map[*iface]bool{}, exports: map[*iface]bool{},
		exported: map[*iface]*resolved{}, visiting: map[*world]bool{}, flat: map[*world][]flatItem{},
		through: map[*iface]*iface{}, index: map[string]int{},
	}
	items, err := e.flatten(w)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if it.export && it.iface != nil {
			e.exports[it.iface] = true
		}
	}
	// Every import has to be known before the first export is made.
	for _, step := range []func(flatItem) error{e.importItem, e.importUses, e.exportItem} {
		for _, it := range items {
			if err := step(it); err != nil {
				return nil, err
			}
		}
	}
	return e.out, nil
}

// flatItem is an item of a world, after includes: exactly one of iface, inline,
// fn and own is set.
type flatItem struct {
	export   bool
	included bool   // by way of another world
	name     string // of inline and fn
	pos      position
	iface    *iface
	inline   *iface
	fn       *funcDecl
	own      *iface // the types that a world declares
	types    *iface // for fn: where its type names are looked up
}

// flatten returns the items of w and of the worlds it includes.
func (e *elaboration) flatten(w *world) ([]flatItem, error) {
	if items, ok := e.flat[w]; ok {
		return items, nil
	}
	if e.visiting[w] {
		return nil, w.name.pos.errorf("", "world %s includes itself", w.name.text)
	}
	e.visiting[w] = true
	defer delete(e.visiting, w)
	items := []flatItem{{own: w.own, pos: w.name.pos}}
	seen := map[flatItem]bool{}
	for _, it := range w.items {
		if it.include {
			more, err := e.include(w, it)
			if err != nil {
				return nil, err
			}
			for _, m := range more { // once, where several included worlds have it
				if !seen[m] {
					items = append(items, m)
				}
				seen[m] = true
			}
			continue
		}
		flat := flatItem{export: it.export, name: it.name.text, pos: it.pos, inline: it.inline, fn: it.fn, types: w.own}
		if it.path != nil {
			f, err := e.r.iface(w.own.scope, *it.path)
			if err != nil {
				return nil, err
			}
			flat.iface = f
			key := flatItem{iface: f, export: it.export}
			if seen[key] {
				return nil, it.pos.errorf("", "interface %s is named twice", it.path.name.text)
			}
			seen[key] = true
		}
		items = append(items, flat)
	}
	e.flat[w] = items
	return items, nil
}

// include returns the items of an included world, renamed.
func (e *elaboration) include(w *world, it *worldItem) ([]flatItem, error) {
	inner, err := e.r.world(w.own.scope, *it.path)
	if err != nil {
		return nil, err
	}
	items, err := e.flatten(inner)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	for i := range items {
		items[i].included = true
	}
	for _, rename := range it.renames {
		found := false
		for i := range items {
			if items[i].name == rename.name.text {
				items[i].name = rename.as.text
				found = true
			}
		}
		if !found {
			return nil, rename.name.pos.errorf("only functions and inline interfaces can be renamed", "world %s has no %s", inner.name.text, rename.name.text)
		}
	}
	return items, nil
}

// importItem adds an import.
func (e *elaboration) importItem(it flatItem) error {
	switch {
	case it.own != nil:
		return e.importOwn(it.own)
	case it.export:
		return nil
	case it.iface != nil:
		return e.importIface(it.iface)
	case it.inline != nil:
		return e.inline(it, &e.out.Imports)
	}
	return e.function(it, &e.out.Imports)
}

// importIface adds the interfaces that f uses, then f, once.
func (e *elaboration) importIface(f *iface) error {
	if e.imported[f] {
		return nil
	}
	e.imported[f] = true
	if err := e.importUsed(f); err != nil {
		return err
	}
	res, err := e.r.resolve(f)
	if err != nil {
		return err
	}
	return e.add(&e.out.Imports, f.pos, types.Extern{Name: f.full, Sort: types.SortInstance, Instance: res.instance})
}

// importUsed adds the interfaces that f uses.
func (e *elaboration) importUsed(f *iface) error {
	for _, u := range f.named() {
		from, err := e.r.iface(f.scope, u.from)
		if err != nil {
			return err
		}
		if _, err := e.r.resolve(from); err != nil { // finds circles
			return err
		}
		if err := e.importIface(from); err != nil {
			return err
		}
	}
	return nil
}

// importOwn adds the types that a world declares, and the functions of its
// resources.
func (e *elaboration) importOwn(own *iface) error {
	if err := e.importUsed(own); err != nil {
		return err
	}
	res, err := e.r.resolve(own)
	if err != nil {
		return err
	}
	for _, ext := range res.instance.Exports {
		if err := e.add(&e.out.Imports, own.pos, ext); err != nil {
			return err
		}
	}
	return nil
}

// importUses adds the imports that an exported item's types come from: what it
// uses of interfaces that the world does not export.
func (e *elaboration) importUses(it flatItem) error {
	if !it.export || it.fn != nil {
		return nil
	}
	f := it.iface
	if f == nil {
		f = it.inline
	}
	for _, u := range f.named() {
		from, err := e.r.iface(f.scope, u.from)
		if err != nil {
			return err
		}
		if e.exports[from] {
			continue
		}
		if _, err := e.r.resolve(from); err != nil {
			return err
		}
		through, err := e.reached(from)
		if err != nil {
			return err
		}
		if through != nil {
			return u.name.pos.errorf("export "+from.full+", too", "%s has types of %s, which is exported, by way of %s, which is not", it.title(), through.full, from.full)
		}
		if err := e.importIface(from); err != nil {
			return err
		}
	}
	return nil
}

// reachesExport returns an exported interface that f uses, directly or not; nil
// where there is none. Such an f can only be the imported one, with types of the
// import side, while who exports means those of the export side.
func (e *elaboration) reachesExport(f *iface) (*iface, error) {
	for _, u := range f.named() {
		from, err := e.r.iface(f.scope, u.from)
		if err != nil {
			return nil, err
		}
		if !e.exports[from] {
			if from, err = e.reached(from); err != nil {
				return nil, err
			}
		}
		if from != nil {
			return from, nil
		}
	}
	return nil, nil
}

// reached is reachesExport, remembered.
func (e *elaboration) reached(f *iface) (*iface, error) {
	if through, ok := e.through[f]; ok {
		return through, nil
	}
	through, err := e.reachesExport(f)
	e.through[f] = through
	return through, err
}

// title names an item for a message.
func (it flatItem) title() string {
	if it.iface != nil {
		return it.iface.full
	}
	return it.name
}

// exportItem adds an export.
func (e *elaboration) exportItem(it flatItem) error {
	switch {
	case !it.export:
		return nil
	case it.iface != nil:
		_, err := e.exportIface(it.iface)
		return err
	case it.inline != nil:
		return e.inline(it, &e.out.Exports)
	}
	return e.function(it, &e.out.Exports)
}

// exportIface adds the exported interfaces that f uses, then f, once.
func (e *elaboration) exportIface(f *iface) (*resolved, error) {
	if res, ok := e.exported[f]; ok {
		return res, nil
	}
	if _, err := e.r.resolve(f); err != nil { // finds circles and other faults
		return nil, err
	}
	own := e.imported[f]
	for _, u := range f.named() {
		from, err := e.r.iface(f.scope, u.from)
		if err != nil {
			return nil, err
		}
		if !e.exports[from] {
			continue
		}
		res, err := e.exportIface(from)
		if err != nil {
			return nil, err
		}
		own = own || res != e.r.done[from]
	}
	res := e.r.done[f]
	if own {
		var err error
		if res, err = newBuilder(f, e.exportSide, e.r).build(); err != nil {
			return nil, err
		}
	}
	e.exported[f] = res
	return res, e.add(&e.out.Exports, f.pos, types.Extern{Name: f.full, Sort: types.SortInstance, Instance: res.instance})
}

// exportSide returns an interface as an exported one sees it.
func (e *elaboration) exportSide(f *iface) (*resolved, error) {
	if e.exports[f] {
		return e.exportIface(f)
	}
	return e.r.resolve(f)
}

// inline adds an interface that is written where it is imported or exported.
func (e *elaboration) inline(it flatItem, to *[]types.Extern) error {
	lookup := e.r.resolve
	if it.export {
		lookup = e.exportSide
	} else if err := e.importUsed(it.inline); err != nil {
		return err
	}
	res, err := newBuilder(it.inline, lookup, e.r).build()
	if err != nil {
		return err
	}
	return e.add(to, it.pos, types.Extern{Name: it.name, Sort: types.SortInstance, Instance: res.instance})
}

// function adds a function.
func (e *elaboration) function(it flatItem, to *[]types.Extern) error {
	own, err := e.r.resolve(it.types)
	if err != nil {
		return err
	}
	b := newBuilder(it.types, nil, e.r)
	b.out = own
	fn, err := b.function(it.fn)
	if err != nil {
		return err
	}
	return e.add(to, it.pos, types.Extern{Name: it.name, Sort: types.SortFunc, Func: fn})
}

// add adds an extern, whose name must be new.
func (e *elaboration) add(to *[]types.Extern, pos position, ext types.Extern) error {
	key := strings.ToLower(ext.Name)
	if to == &e.out.Exports {
		key = "export " + key
	}
	if i, ok := e.index[key]; ok {
		if same((*to)[i], ext) {
			return nil
		}
		return pos.errorf("", "%s is declared twice", ext.Name)
	}
	e.index[key] = len(*to)
	*to = append(*to, ext)
	return nil
}

// same reports whether two externs are one: that of a world included twice.
func same(a, b types.Extern) bool {
	return a.Func == b.Func && a.Type == b.Type && a.Resource == b.Resource && a.Instance == b.Instance
}
