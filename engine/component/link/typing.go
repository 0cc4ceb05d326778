// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// typeDef evaluates a type definition.
func (l *linker) typeDef(s *scope, d binary.DefType) (*typ, error) {
	switch d := d.(type) {
	case *binary.ValueType:
		t, err := l.valueType(s, d)
		return &typ{value: t}, err
	case *binary.FuncType:
		f, err := l.funcType(s, d)
		return &typ{fn: f}, err
	case *binary.InstanceType:
		return &typ{instance: &closure{d.Decls, s}}, nil
	case *binary.ComponentType:
		return &typ{component: &closure{d.Decls, s}}, nil
	case *binary.ResourceType:
		r := Resource{Type: &types.Resource{}, Instance: s.instance}
		if d.HasDtor {
			ref, err := index(s.coreFuncs, d.Dtor, "core function")
			if err != nil {
				return nil, fmt.Errorf("destructor: %w", err)
			}
			ref = l.guarded(ref)
			r.Dtor = &ref
		}
		l.plan.Steps = append(l.plan.Steps, BindResource(l.number(r)))
		return &typ{resource: r.Type}, nil
	}
	return nil, fmt.Errorf("type definition %T", d)
}

func (l *linker) valType(s *scope, v *binary.ValType) (*types.Type, error) {
	if v == nil {
		return nil, nil
	}
	if v.Prim != 0 {
		return &types.Type{Kind: v.Prim}, nil
	}
	t, err := index(s.types, v.Index, "type")
	if err != nil {
		return nil, err
	}
	if t.value == nil {
		return nil, fmt.Errorf("type %d is not a value type", v.Index)
	}
	return t.value, nil
}

func (l *linker) named(s *scope, in []binary.NamedVal) ([]types.Field, error) {
	l.definitions += len(in)
	out := make([]types.Field, len(in))
	for i, f := range in {
		t, err := l.valType(s, f.Type)
		if err != nil {
			return nil, err
		}
		out[i] = types.Field{Name: f.Name, Type: t}
	}
	return out, nil
}

func (l *linker) valueType(s *scope, d *binary.ValueType) (t *types.Type, err error) {
	t = &types.Type{Kind: d.Kind, Len: d.Len}
	if t.Fields, err = l.named(s, d.Fields); err != nil {
		return nil, err
	}
	if t.Elem, err = l.valType(s, d.Elem); err != nil {
		return nil, err
	}
	if t.Err, err = l.valType(s, d.Err); err != nil {
		return nil, err
	}
	if d.Kind == types.Own || d.Kind == types.Borrow {
		r, err := index(s.types, d.Resource, "type")
		if err != nil {
			return nil, err
		}
		if r.resource == nil {
			return nil, fmt.Errorf("type %d is not a resource", d.Resource)
		}
		t.Resource = r.resource
	}
	return t, nil
}

func (l *linker) funcType(s *scope, d *binary.FuncType) (f *types.Func, err error) {
	f = &types.Func{Async: d.Async}
	if f.Params, err = l.named(s, d.Params); err != nil {
		return nil, err
	}
	f.Result, err = l.valType(s, d.Result)
	return f, err
}

// abstract makes the entity that an import of the outermost component stands for.
// path is where it is imported from.
func (l *linker) abstract(s *scope, t binary.ExternType, path Import) (entity, error) {
	switch t.Sort {
	case binary.Func:
		ft, err := s.funcTypeAt(t.Index)
		if err != nil {
			return entity{}, err
		}
		return entity{fn: &function{ft, Callee{Import: &path}}}, nil
	case binary.Type:
		if !t.SubResource {
			at, err := index(s.types, t.Index, "type")
			return entity{typ: at}, err
		}
		r := &types.Resource{Name: path.Name}
		l.number(Resource{Type: r, Import: &path})
		return entity{typ: &typ{resource: r}}, nil
	case binary.InstanceSort:
		at, err := index(s.types, t.Index, "type")
		if err != nil {
			return entity{}, err
		}
		iface := path.String()
		inst, err := l.unfold(at.instance, func(inner *scope, e *binary.ExportDecl) (entity, error) {
			return l.abstract(inner, e.Type, Import{iface, e.Name})
		})
		return entity{instance: inst}, err
	case binary.CoreModuleSort:
		t, err := index(s.coreTypes, t.Index, "core type")
		if err != nil {
			return entity{}, err
		}
		return entity{module: &module{from: &path, typ: t.Module}}, nil
	}
	return entity{}, errors.New("the outermost component can't import components; only nested ones can")
}

func (s *scope) funcTypeAt(i uint32) (*types.Func, error) {
	t, err := index(s.types, i, "type")
	if err != nil {
		return nil, err
	}
	if t.fn == nil {
		return nil, fmt.Errorf("type %d is not a function type", i)
	}
	return t.fn, nil
}

// unfold evaluates an instance type: each export becomes what bind makes of it.
func (l *linker) unfold(c *closure, bind func(*scope, *binary.ExportDecl) (entity, error)) (*instance, error) {
	s := &scope{parent: c.scope, instance: c.scope.instance}
	inst := newInstance()
	for _, d := range c.decls {
		if l.definitions++; l.definitions > maxDefinitions {
			return nil, fmt.Errorf("the component unfolds to more than %d definitions", maxDefinitions)
		}
		switch d := d.(type) {
		case *binary.ExportDecl:
			ent, err := bind(s, d)
			if err != nil {
				return nil, fmt.Errorf("export %q: %w", d.Name, err)
			}
			s.define(ent)
			if err := inst.add(d.Name, ent); err != nil {
				return nil, err
			}
		case *binary.CoreTypeDef, *binary.TypeDef, *binary.Alias:
			if err := l.definition(s, d, nil, nil); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("declaration %T is not allowed in an instance type", d)
		}
	}
	return inst, nil
}

// narrow returns ent as it looks through its declared type t, written in s: an
// instance has the exports that are declared, a function the names. That ent is of
// that type is known.
func (l *linker) narrow(s *scope, t binary.ExternType, ent entity) (entity, error) {
	switch t.Sort {
	case binary.Func:
		ft, err := s.funcTypeAt(t.Index)
		return entity{fn: &function{ft, ent.fn.callee}}, err
	case binary.InstanceSort:
		at, err := index(s.types, t.Index, "type")
		if err != nil {
			return entity{}, err
		}
		inst, err := l.unfold(at.instance, func(inner *scope, e *binary.ExportDecl) (entity, error) {
			return l.narrow(inner, e.Type, ent.instance.exports[e.Name])
		})
		return entity{instance: inst}, err
	}
	return ent, nil
}

// externOf describes an entity as a type.
func externOf(name string, e entity) types.Extern {
	x := types.Extern{Name: name}
	switch {
	case e.fn != nil:
		x.Sort, x.Func = types.SortFunc, e.fn.typ
	case e.typ != nil:
		x.Sort, x.Type, x.Resource = types.SortType, e.typ.value, e.typ.resource
	case e.instance != nil:
		x.Sort, x.Instance = types.SortInstance, &types.Instance{}
		for _, n := range e.instance.names {
			x.Instance.Exports = append(x.Instance.Exports, externOf(n, e.instance.exports[n]))
		}
	case e.component != nil:
		x.Sort, x.Component = types.SortComponent, &types.Component{}
	default:
		x.Sort = types.SortCoreModule
	}
	return x
}
