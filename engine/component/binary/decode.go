// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// The limits of Decode, far above what toolchains emit and low enough that a
// hostile file costs memory in proportion to its size, and bounded.
const (
	maxDepth = 100     // of components, and of component and instance types, in one another
	maxItems = 500_000 // definitions, arguments, fields, parameters, declarations together
)

// A preamble is the magic, a version and a layer.
const (
	magic            = "\x00asm"
	componentVersion = "\x0d\x00\x01\x00" // version 0x0d, layer 1
	coreVersion      = "\x01\x00\x00\x00" // version 1, layer 0
	preambleSize     = len(magic) + len(componentVersion)
)

// The section numbers of a component.
const (
	sectionCustom = iota
	sectionCoreModule
	sectionCoreInstance
	sectionCoreType
	sectionComponent
	sectionInstance
	sectionAlias
	sectionType
	sectionCanon
	sectionStart
	sectionImport
	sectionExport
	sectionValue
)

// Decode decodes a component. The result aliases data, which must not change
// afterwards. Any error is a *Error. Parts of the Component Model that are gated
// in its specification and that nothing above this package could make sense of
// (component-level values, shared threads, garbage-collected types, 64-bit
// memories) are recognised and refused with an error that wraps ErrUnsupported and
// names them. The asynchronous parts are decoded.
func Decode(data []byte) (*Component, error) {
	d := &decoder{reader: reader{data: data, end: len(data)}}
	c := d.component()
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

// decoder adds to the reader what the limits and the resolution of core module
// types need. Its methods are named after the productions of Binary.md.
type decoder struct {
	reader
	depth int
	items int
	// coreTypes are the core type index spaces of the enclosing scopes, outermost
	// first: an entry is nil where the type is no function type. A core module type
	// is stored resolved, which is what these are kept for.
	coreTypes [][]*core.FuncType
}

// enter opens a scope that has its own index spaces; it reports false past the
// depth limit. Each true is paired with a leave.
func (d *decoder) enter(reading string) bool {
	if d.depth == maxDepth {
		d.failf(d.pos, reading, "nested more than %d deep: %w", maxDepth, ErrLimit)
		return false
	}
	d.depth++
	d.coreTypes = append(d.coreTypes, nil)
	return true
}

func (d *decoder) leave() {
	d.depth--
	d.coreTypes = d.coreTypes[:len(d.coreTypes)-1]
}

// vec reads a vector: a count, then each element by elem.
func (d *decoder) vec(reading string, elem func()) {
	n := d.length(reading)
	for i := 0; i < n && d.count(reading); i++ {
		elem()
	}
}

// count counts a definition or a part of one; it reports false when there are too
// many, and after an error.
func (d *decoder) count(reading string) bool {
	if d.items++; d.items > maxItems {
		d.failf(d.pos, reading, "more than %d definitions and parts: %w", maxItems, ErrLimit)
	}
	return d.err == nil
}

// vecOf reads a vector into a slice.
func vecOf[T any](d *decoder, reading string, elem func() T) []T {
	var out []T
	d.vec(reading, func() { out = append(out, elem()) })
	return out
}

// preamble checks magic, version and layer.
func (d *decoder) preamble() {
	start := d.pos
	const reading = "component preamble"
	head := string(d.data[start:min(start+preambleSize, d.end)])
	version := strings.TrimPrefix(head, magic)
	switch {
	case head == "":
		d.failf(start, reading, "%w: it is empty", ErrNotWasm)
	case !strings.HasPrefix(head, magic[:min(len(magic), len(head))]):
		d.failf(start, reading, "%w: it starts with %q instead of %q", ErrNotWasm, head, magic)
	case len(head) < preambleSize:
		d.fail(start, reading, ErrTruncated)
	case version == coreVersion:
		d.failf(start, reading, "%w: build it for a component target (wasm32-wasip2), or make it one with graphctl build or wasm-tools component new", ErrCoreModule)
	case version != componentVersion:
		d.failf(start, reading, "version and layer % x, expected % x: %w", version, componentVersion, ErrUnsupported)
	}
	d.bytes(preambleSize, reading)
}

// component reads a component up to the end of the window.
func (d *decoder) component() *Component {
	c := &Component{Offset: d.pos}
	d.preamble()
	if d.err != nil || !d.enter("component") {
		return c
	}
	defer d.leave()
	for d.more() {
		d.section(c)
	}
	return c
}

func (d *decoder) section(c *Component) {
	start := d.pos
	id := d.byte("section number")
	if int(id) >= len(sectionNames) {
		d.failf(start, "section number", "unknown section %d", id)
		return
	}
	name := sectionNames[id]
	if !d.count(name) {
		return
	}
	d.window(name, func() {
		switch id {
		case sectionCustom:
			d.custom(c)
		case sectionCoreModule:
			c.Defs = append(c.Defs, d.coreModule())
		case sectionComponent:
			at := d.pos
			c.Defs = append(c.Defs, &Nested{Offset: at, Component: d.component()})
		case sectionStart:
			c.Defs = append(c.Defs, d.start())
		case sectionValue:
			d.unsupported(start, name, "component-level values")
		default:
			d.vec(name, func() { c.Defs = append(c.Defs, d.definition(id)) })
		}
	})
}

var sectionNames = [...]string{
	sectionCustom: "custom section", sectionCoreModule: "core module section",
	sectionCoreInstance: "core instance section", sectionCoreType: "core type section",
	sectionComponent: "component section", sectionInstance: "instance section",
	sectionAlias: "alias section", sectionType: "type section", sectionCanon: "canon section",
	sectionStart: "start section", sectionImport: "import section", sectionExport: "export section",
	sectionValue: "value section",
}

// definition reads one element of a section that is a vector.
func (d *decoder) definition(section byte) Def {
	switch section {
	case sectionCoreInstance:
		return d.coreInstance()
	case sectionCoreType:
		return d.coreType()
	case sectionInstance:
		return d.instance()
	case sectionAlias:
		return d.alias()
	case sectionType:
		return d.typeDef()
	case sectionCanon:
		return d.canon()
	case sectionImport:
		return d.importDef()
	default:
		return d.export()
	}
}

// custom reads a custom section. Of the component-name section it takes the
// component's own name; that section need not be valid.
func (d *decoder) custom(c *Component) {
	name := d.name("custom section name")
	rest := d.bytes(d.left(), "custom section")
	if name != "component-name" {
		return
	}
	r := reader{data: rest, end: len(rest)}
	if r.byte("") != 0 {
		return
	}
	r.window("", func() {
		if own := r.name(""); r.err == nil {
			c.Name = own
		}
	})
}

func (d *decoder) coreModule() *CoreModule {
	start := d.pos
	m := &CoreModule{Offset: start, Bytes: d.bytes(d.left(), "core module")}
	if !bytes.HasPrefix(m.Bytes, []byte(magic+coreVersion)) {
		d.fail(start, "core module", errors.New("does not start with a core module's preamble"))
	}
	return m
}

func (d *decoder) coreInstance() *CoreInstance {
	in := &CoreInstance{Offset: d.pos}
	switch b := d.byte("core instance"); b {
	case 0x00:
		in.Instantiate = true
		in.Module = d.u32("core module index")
		in.Args = vecOf(d, "core instantiation argument", func() CoreArg {
			name := d.name("core instantiation argument name")
			if b := d.byte("core instantiation argument sort"); b != 0x12 {
				d.invalid(b, "core instantiation argument sort")
			}
			return CoreArg{Name: name, Instance: d.u32("core instance index")}
		})
	case 0x01:
		in.Exports = vecOf(d, "core inline export", func() CoreExport {
			return CoreExport{Name: d.name("core inline export name"), Sort: d.coreItemSort("core inline export sort"), Index: d.u32("core inline export index")}
		})
	default:
		d.invalid(b, "core instance")
	}
	return in
}

func (d *decoder) instance() *Instance {
	in := &Instance{Offset: d.pos}
	switch b := d.byte("instance"); b {
	case 0x00:
		in.Instantiate = true
		in.Component = d.u32("component index")
		in.Args = vecOf(d, "instantiation argument", func() Arg {
			return Arg{Name: d.name("instantiation argument name"), Sort: d.sort("instantiation argument sort"), Index: d.u32("instantiation argument index")}
		})
	case 0x01:
		in.Exports = vecOf(d, "inline export", func() Export {
			at := d.pos
			return Export{Offset: at, ExternName: d.externName("inline export name"), Sort: d.sort("inline export sort"), Index: d.u32("inline export index")}
		})
	default:
		d.invalid(b, "instance")
	}
	return in
}

// sort reads a component-level sort.
func (d *decoder) sort(reading string) Sort {
	switch b := d.byte(reading); b {
	case 0x00:
		return d.coreSort(reading)
	case 0x01:
		return Func
	case 0x02:
		d.unsupported(d.pos-1, reading, "component-level values")
	case 0x03:
		return Type
	case 0x04:
		return ComponentSort
	case 0x05:
		return InstanceSort
	default:
		d.invalid(b, reading)
	}
	return 0
}

// coreSort reads a core sort.
func (d *decoder) coreSort(reading string) Sort {
	switch b := d.byte(reading); b {
	case 0x00:
		return CoreFunc
	case 0x01:
		return CoreTable
	case 0x02:
		return CoreMemory
	case 0x03:
		return CoreGlobal
	case 0x04:
		return CoreTag
	case 0x10:
		return CoreType
	case 0x11:
		return CoreModuleSort
	case 0x12:
		return CoreInstanceSort
	default:
		d.invalid(b, reading)
	}
	return 0
}

// coreItemSort reads the sort of something that a core instance exports.
func (d *decoder) coreItemSort(reading string) Sort {
	s := d.coreSort(reading)
	if s > CoreTag {
		d.failf(d.pos-1, reading, "core instances export functions, tables, memories, globals and tags only")
	}
	return s
}

func (d *decoder) alias() *Alias {
	a := &Alias{Offset: d.pos}
	a.Sort = d.sort("alias sort")
	if d.err != nil {
		return a
	}
	at := d.pos
	switch b := d.byte("alias target"); b {
	case 0x00:
		a.Target = AliasExport
		a.Instance = d.u32("alias instance index")
		a.Name = d.name("alias name")
		if a.Sort > InstanceSort && a.Sort != CoreModuleSort {
			d.failf(at, "alias target", "instances export no core definitions but modules")
		}
	case 0x01:
		a.Target = AliasCoreExport
		a.Instance = d.u32("alias core instance index")
		a.Name = d.name("alias name")
		if a.Sort < CoreFunc || a.Sort > CoreTag {
			d.failf(at, "alias target", "core instances export functions, tables, memories, globals and tags only")
		}
	case 0x02:
		a.Target = AliasOuter
		a.Outer = d.u32("outer alias count")
		a.Index = d.u32("outer alias index")
		switch a.Sort {
		case CoreType:
			d.defineCoreType(d.outerCoreType(a.Outer, a.Index, at))
		case Type, ComponentSort, CoreModuleSort:
		default:
			d.failf(at, "alias target", "outer aliases are of types, modules and components only")
		}
	default:
		d.invalid(b, "alias target")
	}
	return a
}

func (d *decoder) start() *Start {
	at := d.pos
	return &Start{
		Offset:  at,
		Func:    d.u32("start function index"),
		Args:    vecOf(d, "start argument", func() uint32 { return d.u32("start argument") }),
		Results: d.u32("start result count"),
	}
}

func (d *decoder) importDef() *Import {
	at := d.pos
	return &Import{Offset: at, ExternName: d.externName("import name"), Type: d.externType()}
}

func (d *decoder) export() *Export {
	at := d.pos
	e := &Export{Offset: at, ExternName: d.externName("export name"), Sort: d.sort("export sort"), Index: d.u32("export index")}
	if e.Sort > InstanceSort && e.Sort != CoreModuleSort {
		d.failf(at, "export sort", "components export no core definitions but modules")
	}
	d.optional("export type", func() {
		t := d.externType()
		e.Type = &t
	})
	return e
}

// externName reads the name of an import or export. The first byte is 0; 1 in
// files of 2023; 2 where options follow, each at most once.
func (d *decoder) externName(reading string) (n ExternName) {
	form := d.byte(reading)
	if form > 0x02 {
		d.invalid(form, reading)
		return n
	}
	n.Name = d.name(reading)
	if form < 0x02 {
		return n
	}
	var seen [3]bool
	d.vec(reading+" option", func() {
		at := d.pos
		b := d.byte(reading + " option")
		if int(b) >= len(seen) {
			d.invalid(b, reading+" option")
			return
		}
		if seen[b] {
			d.fail(at, reading+" option", errors.New("given twice"))
		}
		seen[b] = true
		switch b {
		case 0x00:
			n.Implements = d.name("name of the interface implemented")
		case 0x01:
			n.HasSuffix, n.Suffix = true, d.name("version suffix")
		case 0x02:
			d.name("external id")
		}
	})
	switch {
	case seen[0x00] && n.Implements == "":
		d.fail(d.pos, reading, errors.New("implements no interface"))
	case n.Implements != "":
		n.Implements = withVersionSuffix(n.Implements, n.Suffix)
	default:
		n.Name = withVersionSuffix(n.Name, n.Suffix)
	}
	return n
}

// optional reads an optional part by read.
func (d *decoder) optional(reading string, read func()) {
	switch b := d.byte(reading); b {
	case 0x00:
	case 0x01:
		read()
	default:
		d.invalid(b, reading)
	}
}

// externType reads an externdesc.
func (d *decoder) externType() ExternType {
	const reading = "extern type"
	switch b := d.byte(reading); b {
	case 0x00:
		if b := d.byte(reading); b != 0x11 {
			d.invalid(b, reading)
		}
		return ExternType{Sort: CoreModuleSort, Index: d.u32("core type index")}
	case 0x01:
		return ExternType{Sort: Func, Index: d.u32("function type index")}
	case 0x02:
		d.unsupported(d.pos-1, reading, "component-level values")
	case 0x03:
		switch b := d.byte("type bound"); b {
		case 0x00:
			return ExternType{Sort: Type, Index: d.u32("type index")}
		case 0x01:
			return ExternType{Sort: Type, SubResource: true}
		default:
			d.invalid(b, "type bound")
		}
	case 0x04:
		return ExternType{Sort: ComponentSort, Index: d.u32("component type index")}
	case 0x05:
		return ExternType{Sort: InstanceSort, Index: d.u32("instance type index")}
	default:
		d.invalid(b, reading)
	}
	return ExternType{}
}

// outerCoreType resolves an outer alias of a core type.
func (d *decoder) outerCoreType(count, index uint32, at int) *core.FuncType {
	if int64(count) >= int64(len(d.coreTypes)) {
		d.failf(at, "outer alias", "goes %d scopes out of %d", count, len(d.coreTypes))
		return nil
	}
	return d.coreTypeAt(d.coreTypes[len(d.coreTypes)-1-int(count)], index, at)
}

func (d *decoder) coreTypeAt(space []*core.FuncType, index uint32, at int) *core.FuncType {
	if int64(index) >= int64(len(space)) {
		d.fail(at, "core type index", fmt.Errorf("%d of %d", index, len(space)))
		return nil
	}
	return space[index]
}

// defineCoreType adds a core type to the index space of the scope.
func (d *decoder) defineCoreType(f *core.FuncType) {
	top := len(d.coreTypes) - 1
	d.coreTypes[top] = append(d.coreTypes[top], f)
}
