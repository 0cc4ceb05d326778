// SPDX-License-Identifier: Apache-2.0

package wasi

import "github.com/wasm-graph/graphd/engine/component/value"

// The objects of resources fields, outgoing-request and request-options. They hold
// nothing: a guest that may not send requests need not have them kept.
type (
	httpFields  struct{}
	httpRequest struct{}
	httpOptions struct{}
)

// Cases of variants header-error and error-code of wasi:http/types.
const (
	headerForbidden   = 1
	httpRequestDenied = 15
)

// httpTypes lets a guest make a request, without headers or body, so that it hears
// from the outgoing handler, and not from a trap, that requests are denied.
func httpTypes() map[string]function {
	accept := answer(value.Ok(value.Value{}))
	empty := answer(value.List(nil))
	fields := answer(value.Own(httpFields{}))
	forbid := answer(value.Err(value.Variant(headerForbidden, nil)))
	return map[string]function{
		"[constructor]fields": fields,
		"[static]fields.from-list": func(c caller, args []value.Value) (value.Value, error) {
			if args[0].Len() > 0 {
				return forbid(c, args)
			}
			return value.Ok(value.Own(httpFields{})), nil
		},
		"[method]fields.get":     empty,
		"[method]fields.has":     answer(value.Bool(false)),
		"[method]fields.set":     forbid,
		"[method]fields.delete":  forbid,
		"[method]fields.append":  forbid,
		"[method]fields.entries": empty,
		"[method]fields.clone":   fields,

		"[constructor]outgoing-request":                answer(value.Own(httpRequest{})),
		"[method]outgoing-request.set-method":          accept,
		"[method]outgoing-request.set-path-with-query": accept,
		"[method]outgoing-request.set-scheme":          accept,
		"[method]outgoing-request.set-authority":       accept,
		"[method]outgoing-request.headers":             fields,
		"[method]outgoing-request.body":                answer(value.Err(value.Value{})),

		"[constructor]request-options":                      answer(value.Own(httpOptions{})),
		"[method]request-options.set-connect-timeout":       accept,
		"[method]request-options.set-first-byte-timeout":    accept,
		"[method]request-options.set-between-bytes-timeout": accept,
	}
}
