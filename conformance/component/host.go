// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// host is what scripts may import: a few functions, and an instance named "host" with
// functions, resources, a core module and another instance. It counts how many of its
// resources were dropped, for as long as a script runs.
type host struct {
	drops, last uint32
}

// simpleModule is a core module that exports a function "f", which returns 101, and a
// global "g" of 100.
const simpleModule = "\x00asm\x01\x00\x00\x00" +
	"\x01\x05\x01\x60\x00\x01\x7f" + // type 0: () -> i32
	"\x03\x02\x01\x00" + // function 0 of type 0
	"\x06\x07\x01\x7f\x00\x41\xe4\x00\x0b" + // global 0: i32.const 100
	"\x07\x09\x02\x01f\x00\x00\x01g\x03\x00" + // exports
	"\x0a\x07\x01\x05\x00\x41\xe5\x00\x0b" // code: i32.const 101

// interfaces returns what scripts may import, a declaration with each function.
func (h *host) interfaces() []*component.Interface {
	u32 := &types.Type{Kind: types.U32}
	one, two := &types.Resource{Name: "resource1"}, &types.Resource{Name: "resource2"}
	own := &types.Type{Kind: types.Own, Resource: one}
	borrow := &types.Type{Kind: types.Borrow, Resource: one}
	param := func(name string, t *types.Type) types.Field { return types.Field{Name: name, Type: t} }

	root := newInterface("")
	root.function("host-echo-u32", u32, func(args []value.Value) (value.Value, error) { return args[0], nil }, param("v", u32))
	root.function("host-return-two", u32, returning(2))

	nested := newInterface("host#nested")
	nested.function("return-four", u32, returning(4))

	inst := newInterface("host")
	inst.function("return-three", u32, returning(3))
	inst.Type.Exports = append(inst.Type.Exports,
		types.Extern{Name: "nested", Sort: types.SortInstance, Instance: nested.Type},
		types.Extern{Name: "simple-module", Sort: types.SortCoreModule},
		types.Extern{Name: "resource1", Sort: types.SortType, Resource: one},
		types.Extern{Name: "resource2", Sort: types.SortType, Resource: two},
		types.Extern{Name: "resource1-again", Sort: types.SortType, Resource: one})
	inst.Modules = map[string][]byte{"simple-module": []byte(simpleModule)}
	drop := func(object any) {
		h.drops++
		h.last = object.(uint32)
	}
	inst.Drop = map[string]func(any){"resource1": drop, "resource1-again": drop}
	inst.function("[constructor]resource1", own, func(args []value.Value) (value.Value, error) {
		return value.Own(args[0].U32()), nil
	}, param("r", u32))
	inst.function("[static]resource1.assert", nil, isResource, param("r", own), param("rep", u32))
	inst.function("[static]resource1.last-drop", u32, func([]value.Value) (value.Value, error) { return value.U32(h.last), nil })
	inst.function("[static]resource1.drops", u32, func([]value.Value) (value.Value, error) { return value.U32(h.drops), nil })
	inst.function("[method]resource1.simple", nil, isResource, param("self", borrow), param("rep", u32))
	inst.function("[method]resource1.take-borrow", nil, nothing, param("self", borrow), param("b", borrow))
	inst.function("[method]resource1.take-own", nil, nothing, param("self", borrow), param("b", own))
	return []*component.Interface{root.Interface, inst.Interface, nested.Interface}
}

// declaration is an interface in the making.
type declaration struct{ *component.Interface }

func newInterface(name string) declaration {
	return declaration{&component.Interface{Name: name, Type: &types.Instance{}, Funcs: map[string]component.HostFunc{}}}
}

func (d declaration) function(name string, result *types.Type, f func([]value.Value) (value.Value, error), params ...types.Field) {
	d.Type.Exports = append(d.Type.Exports, types.Extern{
		Name: name, Sort: types.SortFunc, Func: &types.Func{Params: params, Result: result},
	})
	d.Funcs[name] = func(_ *component.Call, args []value.Value) (value.Value, error) { return f(args) }
}

func returning(n uint32) func([]value.Value) (value.Value, error) {
	return func([]value.Value) (value.Value, error) { return value.U32(n), nil }
}

func nothing([]value.Value) (value.Value, error) { return value.Value{}, nil }

// isResource checks that a handle stands for the number given with it.
func isResource(args []value.Value) (value.Value, error) {
	if got, want := args[0].Object(), args[1].U32(); got != any(want) {
		return value.Value{}, fmt.Errorf("got resource %v, want %d", got, want)
	}
	return value.Value{}, nil
}

// satisfies checks that the host gives all that a component imports: a script expects
// a component to be refused for what is missing, which the runtime would only notice
// when it is called.
func satisfies(imports []types.Extern, given []*component.Interface) error {
	return provided("", imports, given, &types.Matcher{Resource: map[*types.Resource]*types.Resource{}})
}

func provided(iface string, imports []types.Extern, given []*component.Interface, m *types.Matcher) error {
	exports := &types.Instance{}
	for _, g := range given {
		if g.Name == iface {
			exports = g.Type
		}
	}
	for _, want := range imports {
		got := types.Find(exports.Exports, want.Name)
		var err error
		switch want.Sort {
		case types.SortInstance:
			if got != nil && got.Sort != types.SortInstance {
				err = errors.New("is no instance")
				break
			}
			name := want.Name
			if iface != "" {
				name = iface + "#" + want.Name
			}
			err = provided(name, want.Instance.Exports, given, m)
		case types.SortType:
			if want.Resource == nil || m.Resource[want.Resource] != nil {
				break // a type made of others, or a second name for a resource
			}
			if got == nil || got.Resource == nil {
				err = errors.New("is no resource of the host")
				break
			}
			m.Resource[want.Resource] = got.Resource
		case types.SortFunc:
			if got == nil || got.Func == nil {
				err = errors.New("is no function of the host")
				break
			}
			err = m.Func(got.Func, want.Func)
		case types.SortCoreModule:
			if got == nil || got.Sort != types.SortCoreModule {
				err = errors.New("is no core module of the host")
			}
		}
		if err != nil {
			return fmt.Errorf("import %q: %w", want.Name, err)
		}
	}
	return nil
}
