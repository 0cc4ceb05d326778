// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// maxFlags is the number of flags a type may have: they travel in one i32.
const maxFlags = 32

// The codes of types, downwards from 0x7f as SLEB128 -1.
const (
	codeBool         = 0x7f
	codeString       = 0x73
	codeRecord       = 0x72
	codeVariant      = 0x71
	codeList         = 0x70
	codeTuple        = 0x6f
	codeFlags        = 0x6e
	codeEnum         = 0x6d
	codeOption       = 0x6b
	codeResult       = 0x6a
	codeOwn          = 0x69
	codeBorrow       = 0x68
	codeFixedList    = 0x67
	codeStream       = 0x66
	codeFuture       = 0x65
	codeErrorContext = 0x64
	codeMap          = 0x63
	codeAsyncFunc    = 0x43
	codeInstance     = 0x42
	codeComponent    = 0x41
	codeFunc         = 0x40
	codeResource     = 0x3f
)

// prims are the primitive types, downwards from codeBool.
var prims = [...]types.Kind{
	types.Bool, types.S8, types.U8, types.S16, types.U16, types.S32, types.U32, types.S64, types.U64,
	types.F32, types.F64, types.Char, types.String,
}

// primitive returns the primitive type of that code, 0 if it is none.
func primitive(code byte) types.Kind {
	switch {
	case code == codeErrorContext:
		return types.ErrorContext
	case code < codeString || code > codeBool:
		return 0
	}
	return prims[codeBool-code]
}

func (d *decoder) typeDef() *TypeDef {
	at := d.pos
	return &TypeDef{Offset: at, Type: d.defType()}
}

// defType reads a deftype.
func (d *decoder) defType() DefType {
	switch code := d.byte("type"); code {
	case codeFunc, codeAsyncFunc:
		f := d.funcType()
		f.Async = code == codeAsyncFunc
		return f
	case codeComponent:
		return &ComponentType{Decls: d.decls("component type", true)}
	case codeInstance:
		return &InstanceType{Decls: d.decls("instance type", false)}
	case codeResource:
		return d.resourceType()
	default:
		return d.valueType(code)
	}
}

// valueType reads the rest of a defvaltype.
func (d *decoder) valueType(code byte) *ValueType {
	at := d.pos - 1
	if p := primitive(code); p != 0 {
		return &ValueType{Kind: p}
	}
	t := &ValueType{}
	switch code {
	case codeRecord:
		t.Kind = types.Record
		t.Fields = d.labelled("record field")
	case codeVariant:
		t.Kind = types.Variant
		t.Fields = vecOf(d, "variant case", d.variantCase)
	case codeList:
		t.Kind, t.Elem = types.List, d.valType("list element type")
	case codeTuple:
		t.Kind = types.Tuple
		t.Fields = vecOf(d, "tuple element", func() NamedVal { return NamedVal{Type: d.valType("tuple element type")} })
	case codeFlags:
		t.Kind = types.Flags
		t.Fields = d.labels("flag")
		if len(t.Fields) > maxFlags {
			d.failf(at, "flags type", "%d flags, the most is %d", len(t.Fields), maxFlags)
		}
	case codeEnum:
		t.Kind = types.Enum
		t.Fields = d.labels("enum case")
	case codeOption:
		t.Kind, t.Elem = types.Option, d.valType("option type")
	case codeResult:
		t.Kind = types.Result
		d.optional("result ok type", func() { t.Elem = d.valType("result ok type") })
		d.optional("result error type", func() { t.Err = d.valType("result error type") })
	case codeMap:
		t.Kind = types.Map
		t.Fields = []NamedVal{{Type: d.valType("map key type")}, {Type: d.valType("map value type")}}
	case codeFixedList:
		t.Kind, t.Elem, t.Len = types.FixedList, d.valType("list element type"), d.u32("list length")
	case codeStream:
		t.Kind = types.Stream
		d.optional("stream element type", func() { t.Elem = d.valType("stream element type") })
	case codeFuture:
		t.Kind = types.Future
		d.optional("future type", func() { t.Elem = d.valType("future type") })
	case codeOwn:
		t.Kind, t.Resource = types.Own, d.u32("own resource index")
	case codeBorrow:
		t.Kind, t.Resource = types.Borrow, d.u32("borrow resource index")
	default:
		d.failf(at, "type", "unknown code %#02x", code)
		return t
	}
	d.checkFields(at, t)
	return t
}

// checkFields checks what is required of the parts of a type: that there are
// some, and that their names are unique.
func (d *decoder) checkFields(at int, t *ValueType) {
	switch t.Kind {
	case types.Record, types.Variant, types.Tuple, types.Flags, types.Enum:
		if len(t.Fields) == 0 {
			d.failf(at, t.Kind.String()+" type", "is empty")
		}
	}
	if t.Kind != types.Tuple && t.Kind != types.Map {
		d.checkUnique(at, t.Kind.String()+" type", t.Fields)
	}
}

// checkUnique checks that names are unique; see FoldLabel.
func (d *decoder) checkUnique(at int, reading string, vals []NamedVal) {
	if d.err != nil || len(vals) < 2 {
		return
	}
	seen := make(map[string]bool, len(vals))
	for _, v := range vals {
		folded := FoldLabel(v.Name)
		if seen[folded] {
			d.failf(at, reading, "has %q twice", v.Name)
			return
		}
		seen[folded] = true
	}
}

// labels reads a vector of labels.
func (d *decoder) labels(reading string) []NamedVal {
	return vecOf(d, reading, func() NamedVal { return NamedVal{Name: d.label(reading)} })
}

// labelled reads a vector of labels with types.
func (d *decoder) labelled(reading string) []NamedVal {
	return vecOf(d, reading, func() NamedVal {
		return NamedVal{Name: d.label(reading), Type: d.valType(reading + " type")}
	})
}

func (d *decoder) variantCase() NamedVal {
	c := NamedVal{Name: d.label("variant case")}
	d.optional("variant case type", func() { c.Type = d.valType("variant case type") })
	// What was once the refines clause.
	if b := d.byte("variant case"); b != 0 {
		d.invalid(b, "variant case")
	}
	return c
}

// label reads a label and checks its spelling.
func (d *decoder) label(reading string) string {
	at := d.pos
	s := d.name(reading + " name")
	if !IsLabel(s) {
		d.fail(at, reading+" name", fmt.Errorf("%q is not in kebab-case", s))
	}
	return s
}

// valType reads a valtype: a primitive, or the index of a type.
func (d *decoder) valType(reading string) *ValType {
	at := d.pos
	switch b := d.peek(); {
	case primitive(b) != 0:
		d.pos++
		return &ValType{Prim: primitive(b)}
	case b >= 0x40 && b < 0x80:
		d.failf(at, reading, "unknown code %#02x", b)
		return nil
	}
	// An index is a non-negative SLEB128 of 33 bits, whose last byte has its sign
	// bit clear; read as unsigned it has the same value.
	v := d.uleb(33, reading)
	if d.err != nil {
		return nil
	}
	if d.data[d.pos-1]&0x40 != 0 && d.pos-at < 5 || v > 1<<32-1 {
		d.failf(at, reading, "negative type index")
		return nil
	}
	return &ValType{Index: uint32(v)}
}

// funcType reads the rest of a functype.
func (d *decoder) funcType() *FuncType {
	at := d.pos - 1
	f := &FuncType{Params: d.labelled("parameter")}
	d.checkUnique(at, "function type", f.Params)
	f.Result = d.result("function result")
	return f
}

// result reads a result list: one type, or none.
func (d *decoder) result(reading string) *ValType {
	switch b := d.byte(reading); b {
	case 0x00:
		return d.valType(reading + " type")
	case 0x01:
		at := d.pos
		if n := d.u32(reading + " count"); n != 0 {
			d.unsupported(at, reading+" count", "named results")
		}
	default:
		d.invalid(b, reading)
	}
	return nil
}

// resourceType reads the rest of a resourcetype.
func (d *decoder) resourceType() *ResourceType {
	const reading = "resource representation"
	t := &ResourceType{}
	switch b := d.byte(reading); {
	case b == 0x7f || d.err != nil:
	case b == 0x7e:
		d.unsupported(d.pos-1, reading, "resource represented by i64")
	default:
		d.invalid(b, reading)
	}
	d.optional("resource destructor", func() {
		t.HasDtor = true
		t.Dtor = d.u32("resource destructor index")
	})
	return t
}

// decls reads the declarations of a component type or an instance type.
func (d *decoder) decls(reading string, imports bool) []Def {
	if !d.enter(reading) {
		return nil
	}
	defer d.leave()
	return vecOf(d, reading+" declaration", func() Def {
		at := d.pos
		switch b := d.byte(reading + " declaration"); {
		case b == 0x00:
			return d.coreType()
		case b == 0x01:
			def := d.typeDef()
			if _, ok := def.Type.(*ResourceType); ok {
				d.failf(at, reading+" declaration", "defines a resource; types only import or export one")
			}
			return def
		case b == 0x02:
			return d.alias()
		case b == 0x03 && imports:
			return d.importDef()
		case b == 0x04:
			return &ExportDecl{Offset: at, ExternName: d.externName("export name"), Type: d.externType()}
		default:
			d.invalid(b, reading+" declaration")
			return nil
		}
	})
}
