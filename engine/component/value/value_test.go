// SPDX-License-Identifier: Apache-2.0

package value_test

import (
	"testing"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

func TestString(t *testing.T) {
	one := value.U8(1)
	for _, tt := range []struct {
		value value.Value
		want  string
	}{
		{value.Value{}, "()"},
		{value.Bool(true), "true"},
		{value.S8(-3), "-3"},
		{value.S64(-1 << 63), "-9223372036854775808"},
		{value.U64(1<<64 - 1), "18446744073709551615"},
		{value.F32(0.1), "0.1"},
		{value.F64(-2.5e100), "-2.5e+100"},
		{value.Char('ü'), "'ü'"},
		{value.String("a\"b"), `"a\"b"`},
		{value.Bytes([]byte("hi\x00")), `b"hi\x00"`},
		{value.List(nil), "[]"},
		{value.List([]value.Value{value.U16(1), value.U16(2)}), "[1, 2]"},
		{value.Record(value.String("x"), value.Tuple(value.Bool(false))), `("x", (false))`},
		{value.None(), "none"},
		{value.Some(value.Some(one)), "some(some(1))"},
		{value.Ok(value.Value{}), "ok"},
		{value.Err(value.Char('x')), "err('x')"},
		{value.Variant(2, &one), "case 2(1)"},
		{value.Enum(3), "case 3"},
		{value.Flags(5), "flags 0b101"},
		{value.Own(7), "own(7)"},
		{value.Borrow("file"), "borrow(file)"},
		{value.Int(types.U32, 9), "9"},
	} {
		if got := tt.value.String(); got != tt.want {
			t.Errorf("String() = %s, want %s", got, tt.want)
		}
	}
}
