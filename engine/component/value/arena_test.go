// SPDX-License-Identifier: Apache-2.0

package value_test

import (
	"testing"

	"github.com/wasm-graph/graphd/engine/component/value"
)

func TestArena(t *testing.T) {
	var a value.Arena
	build := func() value.Value {
		return a.Record(
			a.Some(value.U32(1)), a.Variant(2, value.String("two")), a.Ok(value.Value{}), a.Err(value.U8(3)),
			a.Tuple(value.Bytes(append(a.Bytes(4)[:0], "four"...)), value.List(a.Values(5))))
	}
	check := func(v value.Value) {
		t.Helper()
		list := v.Field(4)
		switch {
		case v.Field(0).Payload().U32() != 1,
			v.Field(1).Case() != 2 || v.Field(1).Payload().Str() != "two",
			v.Field(2).Case() != 0 || !v.Field(2).Payload().IsZero(),
			v.Field(3).Case() != 1 || v.Field(3).Payload().U8() != 3,
			string(list.Field(0).Bytes()) != "four",
			list.Field(1).Len() != 5 || !list.Field(1).Elems()[4].IsZero():
			t.Errorf("record is %v", v)
		}
	}
	first := build()
	second := build()
	check(first)
	check(second)

	a.Release() // both are ours now
	for range 3 {
		check(build())
		a.Reset()
	}
	check(first)
	check(second)
	if n := testing.AllocsPerRun(100, func() { build(); a.Reset() }); n != 0 {
		t.Errorf("%v allocations in an arena that has seen as much, want none", n)
	}
}

// An arena doesn't hold on to what one large value needed.
func TestArenaLetsGo(t *testing.T) {
	var a value.Arena
	one := a.Values(1 << 17)
	a.Reset()
	if two := a.Values(1); &one[0] == &two[0] {
		t.Error("the arena kept room for 131,072 values")
	}
}
