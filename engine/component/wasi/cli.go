// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"io"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/value"
)

func (h *Host) environment() map[string]function {
	return map[string]function{
		"get-environment": func(caller, []value.Value) (value.Value, error) {
			list := make([]value.Value, len(h.cfg.Env))
			for i, v := range h.cfg.Env {
				list[i] = value.Tuple(value.String(v[0]), value.String(v[1]))
			}
			return value.List(list), nil
		},
		"get-arguments": func(caller, []value.Value) (value.Value, error) {
			list := make([]value.Value, len(h.cfg.Args))
			for i, a := range h.cfg.Args {
				list[i] = value.String(a)
			}
			return value.List(list), nil
		},
		"initial-cwd": answer(value.None()),
	}
}

func exitFunctions() map[string]function {
	return map[string]function{
		"exit": func(_ caller, args []value.Value) (value.Value, error) {
			return value.Value{}, &ExitError{Code: uint8(args[0].Case())}
		},
		"exit-with-code": func(_ caller, args []value.Value) (value.Value, error) {
			return value.Value{}, &ExitError{Code: args[0].U8()}
		},
	}
}

// input returns a function that answers with a new stream from r.
func input(r io.Reader) function {
	if r == nil {
		r = strings.NewReader("")
	}
	return func(caller, []value.Value) (value.Value, error) {
		return value.Own(&inputStream{r: r}), nil
	}
}

// output returns a function that answers with a new stream to w.
func output(w io.Writer) function {
	if w == nil {
		w = io.Discard
	}
	return func(caller, []value.Value) (value.Value, error) {
		return value.Own(&outputStream{w: w}), nil
	}
}
