// SPDX-License-Identifier: Apache-2.0

package value

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// String writes v for people: some("text"), [1, 2], err('x'). Names of fields, cases
// and flags are not known here: records are written like tuples, cases and flags as
// numbers. Bytes are written as b"text".
func (v Value) String() string {
	switch v.kind {
	case 0:
		return "()"
	case types.Bool:
		return strconv.FormatBool(v.Bool())
	case types.S8, types.S16, types.S32, types.S64:
		return strconv.FormatInt(v.S64(), 10)
	case types.F32:
		return strconv.FormatFloat(float64(v.F32()), 'g', -1, 32)
	case types.F64:
		return strconv.FormatFloat(v.F64(), 'g', -1, 64)
	case types.Char:
		return strconv.QuoteRune(v.Char())
	case types.String:
		return strconv.Quote(v.Str())
	case types.List:
		if v.IsBytes() {
			return "b" + strconv.Quote(string(v.Bytes()))
		}
		return "[" + v.elems() + "]"
	case types.Record, types.Tuple:
		return "(" + v.elems() + ")"
	case types.Option:
		return v.either("none", "some")
	case types.Result:
		return v.either("ok", "err")
	case types.Variant, types.Enum:
		return v.cased("case " + strconv.FormatUint(uint64(v.Case()), 10))
	case types.Flags:
		return "flags 0b" + strconv.FormatUint(v.bits, 2)
	case types.Own, types.Borrow:
		return fmt.Sprintf("%v(%v)", v.kind, v.Object())
	}
	return strconv.FormatUint(v.bits, 10)
}

func (v Value) elems() string {
	var list []string
	for _, e := range v.Elems() {
		list = append(list, e.String())
	}
	return strings.Join(list, ", ")
}

// either writes a value of two cases.
func (v Value) either(first, second string) string {
	if v.Case() == 0 {
		return v.cased(first)
	}
	return v.cased(second)
}

// cased writes the name of a case and its payload.
func (v Value) cased(name string) string {
	if p := v.Payload(); !p.IsZero() {
		return name + "(" + p.String() + ")"
	}
	return name
}
