// SPDX-License-Identifier: Apache-2.0

package component

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// Interface is an interface that the host gives to one instance: its type, as its
// WIT declares it, and a Go function for each of its functions. A function that
// Funcs lacks links, and traps when it is called, with its name in the error.
//
// An Interface holds closures over the state of the instance it serves and is
// given to one Instantiate only; Type is shared.
type Interface struct {
	// Name is as imported, "wasi:io/streams@0.2.0"; versions match by semver. An
	// instance within an imported one goes by both names, joined by "#".
	Name  string
	Type  *types.Instance // what Funcs implement; checked against the component's import
	Funcs map[string]HostFunc
	// Drop holds, by resource name, what to do when a guest drops the last own
	// handle of an object, or its instance is closed. Optional.
	Drop map[string]func(object any)
	// Modules holds, by name, core modules that a component may import and
	// instantiate. They are compiled for each instance. Optional.
	Modules map[string][]byte
}

// HostFunc is a host function. args follow the WIT declaration; they, and the
// strings and bytes in them, are valid until the function returns: copy what is
// kept. A function without result returns the zero Value. An error is a trap: it
// ends the guest's call and poisons the instance; what a guest should handle is a
// result value instead.
//
// Owned resources in args have moved to the host; objects returned by value.Own
// move to the guest.
type HostFunc func(c *Call, args []value.Value) (value.Value, error)

// Call is the context of one host function call. It is valid until the function
// returns.
type Call struct {
	instance *Instance
}

// Context is the context that the embedder gave to the guest call on the way in.
// It ends when the call is cancelled or its deadline passes: a host function that
// waits must watch it. Where calls are bounded by fuel there is no deadline here:
// waiting costs a guest no fuel.
func (c *Call) Context() context.Context {
	i := c.instance
	m := &i.meter
	if m.limit <= 0 || i.config.Fuel != 0 {
		return i.context.Context
	}
	if m.context == nil {
		m.context, m.cancel = context.WithTimeoutCause(i.context.Context, m.limit-i.elapsed(), ErrDeadline)
	}
	return m.context
}

// find returns the interface of that name, or the one whose version semver allows
// in its place, the newest first.
func find(given []*Interface, name string) *Interface {
	for _, g := range given {
		if g.Name == name {
			return g
		}
	}
	base, version := splitVersion(name)
	var newest *Interface
	var newestVersion string
	for _, g := range given {
		b, v := splitVersion(g.Name)
		if b == base && compatible(v, version) && (newest == nil || compareVersions(v, newestVersion) > 0) {
			newest, newestVersion = g, v
		}
	}
	return newest
}

func splitVersion(name string) (base, version string) {
	base, version, _ = strings.Cut(name, "@")
	return base, version
}

// compatible reports whether two versions are of one compatible series: the same
// major version, or the same minor one before 1.0, or the same patch before 0.1.
// Pre-releases are compatible with nothing but themselves.
func compatible(a, b string) bool {
	return a != "" && b != "" && !strings.ContainsAny(a+b, "-+") && series(a) == series(b)
}

// compareVersions compares versions of one series, which have no pre-release.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) // no leading zeros
	})
}

func series(version string) string {
	parts := strings.Split(version, ".")
	for i, p := range parts {
		if p != "0" {
			return strings.Join(parts[:i+1], ".")
		}
	}
	return version
}
