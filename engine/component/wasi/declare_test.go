// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// Every declared interface is given, with its type; every function of it is
// implemented, unless it works on something that a guest can get no handle of, or
// reads a request back.
func TestInterfacesFollowDeclarations(t *testing.T) {
	given := New(Config{}).Interfaces()
	var names []string
	for _, i := range given {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	declared := declarations().Interfaces()
	slices.Sort(declared)
	if diff := cmp.Diff(declared, names); diff != "" {
		t.Fatalf("interfaces (-declared +given):\n%s", diff)
	}
	var missing []string
	for _, i := range given {
		for name := range i.Funcs {
			if e := types.Find(i.Type.Exports, name); e == nil || e.Sort != types.SortFunc {
				t.Errorf("%s: function %s is not declared", i.Name, name)
			}
		}
		for _, e := range i.Type.Exports {
			if e.Sort == types.SortFunc && i.Funcs[e.Name] == nil {
				missing = append(missing, resourceOf(i.Name, e.Name))
			}
		}
	}
	slices.Sort(missing)
	want := []string{
		"wasi:http/types future-incoming-response",
		"wasi:http/types future-trailers",
		"wasi:http/types http-error-code",
		"wasi:http/types incoming-body",
		"wasi:http/types incoming-request",
		"wasi:http/types incoming-response",
		"wasi:http/types outgoing-body",
		"wasi:http/types outgoing-request",
		"wasi:http/types outgoing-response",
		"wasi:http/types request-options",
		"wasi:http/types response-outparam",
		"wasi:sockets/ip-name-lookup resolve-address-stream",
		"wasi:sockets/tcp tcp-socket",
		"wasi:sockets/udp incoming-datagram-stream",
		"wasi:sockets/udp outgoing-datagram-stream",
		"wasi:sockets/udp udp-socket",
	}
	if diff := cmp.Diff(want, slices.Compact(missing)); diff != "" {
		t.Errorf("not implemented (-want +got):\n%s", diff)
	}
}

// resourceOf returns the interface without version and the resource that a
// function belongs to, or else the function.
func resourceOf(iface, function string) string {
	iface, _, _ = strings.Cut(iface, "@")
	if _, after, ok := strings.Cut(function, "]"); ok {
		function, _, _ = strings.Cut(after, ".")
	}
	return iface + " " + function
}

// The cases that the code counts by number are those of the declarations.
func TestCases(t *testing.T) {
	for _, tt := range []struct {
		iface, typ string
		number     int
		want       string
	}{
		{"wasi:io/streams", "stream-error", lastOperationFailed, "last-operation-failed"},
		{"wasi:io/streams", "stream-error", closed, "closed"},
		{"wasi:sockets/network", "error-code", accessDenied, "access-denied"},
		{"wasi:filesystem/types", "descriptor-type", typeFIFO, "fifo"},
		{"wasi:filesystem/types", "descriptor-type", typeSocket, "socket"},
		{"wasi:http/types", "header-error", headerForbidden, "forbidden"},
		{"wasi:http/types", "error-code", httpRequestDenied, "HTTP-request-denied"},
		{"wasi:filesystem/types", "error-code", int(errAccess), "access"},
		{"wasi:filesystem/types", "error-code", int(errWouldBlock), "would-block"},
		{"wasi:filesystem/types", "error-code", int(errBadDescriptor), "bad-descriptor"},
		{"wasi:filesystem/types", "error-code", int(errBusy), "busy"},
		{"wasi:filesystem/types", "error-code", int(errQuota), "quota"},
		{"wasi:filesystem/types", "error-code", int(errExist), "exist"},
		{"wasi:filesystem/types", "error-code", int(errFileTooLarge), "file-too-large"},
		{"wasi:filesystem/types", "error-code", int(errIllegalByteSequence), "illegal-byte-sequence"},
		{"wasi:filesystem/types", "error-code", int(errInterrupted), "interrupted"},
		{"wasi:filesystem/types", "error-code", int(errInvalid), "invalid"},
		{"wasi:filesystem/types", "error-code", int(errIO), "io"},
		{"wasi:filesystem/types", "error-code", int(errIsDirectory), "is-directory"},
		{"wasi:filesystem/types", "error-code", int(errLoop), "loop"},
		{"wasi:filesystem/types", "error-code", int(errTooManyLinks), "too-many-links"},
		{"wasi:filesystem/types", "error-code", int(errNameTooLong), "name-too-long"},
		{"wasi:filesystem/types", "error-code", int(errNoEntry), "no-entry"},
		{"wasi:filesystem/types", "error-code", int(errInsufficientMemory), "insufficient-memory"},
		{"wasi:filesystem/types", "error-code", int(errInsufficientSpace), "insufficient-space"},
		{"wasi:filesystem/types", "error-code", int(errNotDirectory), "not-directory"},
		{"wasi:filesystem/types", "error-code", int(errNotEmpty), "not-empty"},
		{"wasi:filesystem/types", "error-code", int(errUnsupported), "unsupported"},
		{"wasi:filesystem/types", "error-code", int(errOverflow), "overflow"},
		{"wasi:filesystem/types", "error-code", int(errNotPermitted), "not-permitted"},
		{"wasi:filesystem/types", "error-code", int(errReadOnly), "read-only"},
		{"wasi:filesystem/types", "error-code", int(errTextFileBusy), "text-file-busy"},
		{"wasi:filesystem/types", "error-code", int(errCrossDevice), "cross-device"},
	} {
		i, err := declarations().Interface(tt.iface + "@" + version)
		if err != nil {
			t.Fatal(err)
		}
		if got := types.Find(i.Exports, tt.typ).Type.Fields[tt.number].Name; got != tt.want {
			t.Errorf("case %d of %s %s is %s, want %s", tt.number, tt.iface, tt.typ, got, tt.want)
		}
	}
}
