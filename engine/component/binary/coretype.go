// SPDX-License-Identifier: Apache-2.0

package binary

import "github.com/wasm-graph/graphd/engine/component/core"

// The codes of core types.
const (
	coreFuncCode   = 0x60
	coreModuleCode = 0x50 // in a component; in a core module, a sub type
	coreFinalCode  = 0x4f // a sub type without subtypes of its own: no other than a plain type
)

// coreType reads a core:type and adds it to the scope's index space.
func (d *decoder) coreType() *CoreTypeDef {
	def := &CoreTypeDef{Offset: d.pos}
	switch b := d.byte("core type"); b {
	case coreModuleCode:
		def.Module = d.coreModuleType()
	case 0x00: // before a sub type, whose code is that of a module type
		if b := d.byte("core type"); b != coreModuleCode {
			d.invalid(b, "core type")
		}
		d.noSupertypes()
		d.coreFuncType(d.byte("core type"))
	case coreFinalCode:
		d.noSupertypes()
		def.Func = d.coreFuncType(d.byte("core type"))
	default:
		def.Func = d.coreFuncType(b)
	}
	d.defineCoreType(def.Func)
	return def
}

// noSupertypes reads the empty list of supertypes of a sub type.
func (d *decoder) noSupertypes() {
	at := d.pos
	if d.u32("core supertype count") != 0 {
		d.unsupported(at, "core type", "garbage-collected core types")
	}
}

// coreFuncType reads the rest of a core function type, whose code is b.
func (d *decoder) coreFuncType(b byte) *core.FuncType {
	switch b {
	case coreFuncCode:
		return &core.FuncType{
			Params:  vecOf(d, "core parameter", d.coreValType),
			Results: vecOf(d, "core result", d.coreValType),
		}
	case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
		d.unsupported(d.pos-1, "core type", "garbage-collected core types")
	default:
		d.invalid(b, "core type")
	}
	return nil
}

func (d *decoder) coreValType() core.ValueType {
	const reading = "core value type"
	b := d.byte(reading)
	switch t := core.ValueType(b); t {
	case core.I32, core.I64, core.F32, core.F64, core.V128, core.FuncRef, core.ExternRef:
		return t
	}
	if b >= 0x63 && b <= 0x74 {
		d.unsupported(d.pos-1, reading, "reference type other than funcref and externref")
	} else {
		d.invalid(b, reading)
	}
	return 0
}

// coreModuleType reads the rest of a core:moduletype. Its declarations define
// and alias function types, by which imports and exports name their types; they
// are resolved here.
func (d *decoder) coreModuleType() *CoreModuleType {
	m := &CoreModuleType{}
	if !d.enter("core module type") {
		return m
	}
	defer d.leave()
	const reading = "core module type declaration"
	d.vec(reading, func() {
		switch b := d.byte(reading); b {
		case 0x00:
			m.Imports = append(m.Imports, CoreModuleImport{
				Module: d.name("core import module"), Name: d.name("core import name"), Type: d.coreExternType(),
			})
		case 0x01:
			d.defineCoreType(d.coreFuncType(d.byte("core type")))
		case 0x02:
			d.coreTypeAlias()
		case 0x03:
			m.Exports = append(m.Exports, CoreModuleExport{Name: d.name("core export name"), Type: d.coreExternType()})
		default:
			d.invalid(b, reading)
		}
	})
	return m
}

// coreTypeAlias reads an alias within a module type: always outer, of a type.
func (d *decoder) coreTypeAlias() {
	at := d.pos
	const reading = "core type alias"
	if b := d.byte(reading); b != 0x10 {
		d.invalid(b, reading)
	}
	if b := d.byte(reading); b != 0x01 {
		d.invalid(b, reading)
	}
	count, index := d.u32("outer alias count"), d.u32("outer alias index")
	if d.err != nil {
		return
	}
	f := d.outerCoreType(count, index, at)
	if f == nil {
		d.failf(at, reading, "is not of a plain function type")
		return
	}
	d.defineCoreType(f)
}

// coreExternType reads a core:importdesc.
func (d *decoder) coreExternType() CoreExternType {
	const reading = "core extern type"
	switch b := d.byte(reading); b {
	case 0x00:
		return CoreExternType{Sort: CoreFunc, Func: d.coreTypeUse()}
	case 0x01:
		t := CoreExternType{Sort: CoreTable, Value: d.coreValType()}
		if t.Value != core.FuncRef && t.Value != core.ExternRef {
			d.failf(d.pos-1, "table element type", "not a reference type")
		}
		d.coreLimits(&t)
		return t
	case 0x02:
		t := CoreExternType{Sort: CoreMemory}
		d.coreLimits(&t)
		return t
	case 0x03:
		t := CoreExternType{Sort: CoreGlobal, Value: d.coreValType()}
		switch b := d.byte("global mutability"); b {
		case 0x00:
		case 0x01:
			t.Mutable = true
		default:
			d.invalid(b, "global mutability")
		}
		return t
	case 0x04:
		if b := d.byte("tag attribute"); b != 0x00 {
			d.invalid(b, "tag attribute")
		}
		return CoreExternType{Sort: CoreTag, Func: d.coreTypeUse()}
	default:
		d.invalid(b, reading)
	}
	return CoreExternType{}
}

// coreTypeUse reads the index of a function type of this module type.
func (d *decoder) coreTypeUse() *core.FuncType {
	at := d.pos
	index := d.u32("core type index")
	if d.err != nil {
		return nil
	}
	return d.coreTypeAt(d.coreTypes[len(d.coreTypes)-1], index, at)
}

func (d *decoder) coreLimits(t *CoreExternType) {
	const reading = "limits"
	switch b := d.byte(reading); {
	case b <= 0x01:
		t.HasMax = b == 0x01
	case b < 0x10:
		d.unsupported(d.pos-1, reading, "shared or 64-bit memory, or a custom page size")
		return
	default:
		d.invalid(b, reading)
		return
	}
	t.Min = uint64(d.u32("minimum size"))
	if t.HasMax {
		t.Max = uint64(d.u32("maximum size"))
	}
}
