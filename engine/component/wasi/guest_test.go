// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// guest calls the functions of a Host as an instance would.
type guest struct {
	t     *testing.T
	funcs map[string]map[string]function
}

func newGuest(t *testing.T, cfg Config) *guest {
	return &guest{t, New(cfg).functions()}
}

// try calls a function, named "interface function" without the "wasi:" in front.
func (g *guest) try(ctx context.Context, name string, args ...value.Value) (value.Value, error) {
	g.t.Helper()
	iface, fn, _ := strings.Cut(name, " ")
	f := g.funcs["wasi:"+iface][fn]
	if f == nil {
		g.t.Fatalf("%s: not implemented", name)
	}
	return f(call{ctx}, args)
}

// call is a caller with a context given beforehand.
type call struct{ ctx context.Context }

func (c call) Context() context.Context { return c.ctx }

// call calls a function that must not trap.
func (g *guest) call(name string, args ...value.Value) value.Value {
	g.t.Helper()
	v, err := g.try(g.t.Context(), name, args...)
	if err != nil {
		g.t.Fatalf("%s: unexpected trap: %v", name, err)
	}
	return v
}

// wantTrap calls a function that must trap with an error that contains want.
func (g *guest) wantTrap(want, name string, args ...value.Value) {
	g.t.Helper()
	v, err := g.try(g.t.Context(), name, args...)
	if err == nil || !strings.Contains(err.Error(), want) {
		g.t.Errorf("%s = %+v, %v; want a trap with %q", name, v, err, want)
	}
}

// stream calls a function of wasi:io/streams and returns its result as text.
func (g *guest) stream(name string, args ...value.Value) string {
	g.t.Helper()
	v := g.call("io/streams [method]"+name, args...)
	p := v.Payload()
	switch {
	case v.Case() == 1 && p.Case() == closed:
		return "closed"
	case v.Case() == 1:
		return "failed: " + g.call("io/error [method]error.to-debug-string", p.Payload()).Str()
	case p.IsZero():
		return "ok"
	case p.Kind() == types.List:
		return fmt.Sprintf("ok %q", p.Bytes())
	}
	return fmt.Sprintf("ok %d", p.U64())
}

// texts returns the elements of a list of strings, or of tuples of them joined
// with "=".
func texts(v value.Value) []string {
	var out []string
	for _, e := range v.Elems() {
		if e.Kind() == types.Tuple {
			out = append(out, strings.Join(texts(e), "="))
			continue
		}
		out = append(out, e.Str())
	}
	return out
}
