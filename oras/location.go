// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"fmt"
	"strings"
)

// Location is an endpoint and a reference in it.
type Location struct {
	Endpoint string
	// Reference may be empty where a layout or an archive is meant as a whole.
	Reference string
}

// Locate takes apart what people write in one word for an artifact or a repository:
//
//	HOST[:PORT]/NAME[:TAG][@DIGEST]         in a registry; https:// or http:// may stand before it
//	oci-layout:DIR[:NAME[:TAG][@DIGEST]]    in a local OCI image layout
//	oci-archive:FILE[:NAME[:TAG][@DIGEST]]  in such a layout in a tar file
//
// An error wraps ErrInvalidReference.
func Locate(s string) (Location, error) {
	for _, scheme := range []string{"oci-layout:", "oci-archive:"} {
		rest, ok := strings.CutPrefix(s, scheme)
		if !ok {
			continue
		}
		path, ref := cutPath(strings.TrimPrefix(rest, "//"))
		if path == "" {
			return Location{}, fmt.Errorf("%w %q: no path; write %sPATH:NAME:TAG", ErrInvalidReference, s, scheme)
		}
		if ref != "" {
			if _, err := parseReference(ref); err != nil {
				return Location{}, err
			}
		}
		return Location{scheme + path, ref}, nil
	}
	scheme, rest := "", s
	for _, known := range []string{"https://", "http://"} {
		if after, ok := strings.CutPrefix(s, known); ok {
			scheme, rest = known, after
		}
	}
	host, ref, ok := strings.Cut(rest, "/")
	if !ok || ref == "" || !isHost(host) {
		return Location{}, fmt.Errorf("%w %q: it names no registry; write HOST/NAME:TAG, as in localhost:5000/temperature:1.0.0, or oci-layout:DIR:NAME:TAG",
			ErrInvalidReference, s)
	}
	if _, err := parseReference(ref); err != nil {
		return Location{}, err
	}
	return Location{scheme + host, ref}, nil
}

// cutPath cuts a file's path from the reference behind it, at the first colon that
// doesn't belong to a drive's name.
func cutPath(s string) (path, ref string) {
	from := 0
	if len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') {
		from = 2
	}
	if i := strings.IndexByte(s[from:], ':'); i >= 0 {
		return s[:from+i], s[from+i+1:]
	}
	return s, ""
}

// isHost tells the name of a registry from a folder's, as container tools do: it has
// a dot or a port, or is localhost.
func isHost(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:") && strings.Trim(s, ".") != "" && !strings.HasPrefix(s, ".")
}

// String returns what Locate takes apart.
func (l Location) String() string {
	switch {
	case l.Reference == "":
		return l.Endpoint
	case strings.HasPrefix(l.Endpoint, "oci-"):
		return l.Endpoint + ":" + l.Reference
	}
	return l.Endpoint + "/" + l.Reference
}
