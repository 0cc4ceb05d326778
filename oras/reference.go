// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// defaultTag is what a registry or layout is asked for where a reference has
// neither tag nor digest.
const defaultTag = "latest"

// reference is a reference taken apart: [REPOSITORY/]NAME[:TAG][@DIGEST].
type reference struct {
	path   string // repository and name, slash-separated, without empty, . or .. elements
	tag    string // empty where none is given
	digest digest.Digest
}

// parseReference checks the structure, and above all that the path stays inside
// the endpoint; which letters a name may have is the registry's business.
func parseReference(s string) (reference, error) {
	fail := func(format string, args ...any) (reference, error) {
		return reference{}, fmt.Errorf("%w %q: %s; write NAME:TAG, as in temperature:1.0.0",
			ErrInvalidReference, s, fmt.Sprintf(format, args...))
	}
	var r reference
	rest, sum, pinned := strings.Cut(s, "@")
	if pinned {
		d, err := digest.Parse(sum)
		if err != nil {
			return fail("digest %q: %v", sum, err)
		}
		r.digest = d
	}
	r.path = rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		r.path, r.tag = rest[:i], rest[i+1:]
		if !validTag(r.tag) {
			return fail("bad tag %q", r.tag)
		}
	}
	if strings.Contains(r.path, "://") {
		return fail("it names a scheme, which belongs into the endpoint")
	}
	if r.path == "." || r.path != path.Clean(r.path) || path.IsAbs(r.path) ||
		r.path == ".." || strings.HasPrefix(r.path, "../") || strings.ContainsAny(r.path, "\\:") {
		return fail("bad name %q", r.path)
	}
	for _, c := range r.path {
		if c <= ' ' || c == 0x7f {
			return fail("bad name %q", r.path)
		}
	}
	return r, nil
}

// validTag reports whether s is a tag by the distribution specification:
// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// name is the last element of the path.
func (r reference) name() string { return path.Base(r.path) }

// tagOrDefault is the tag, or the default one.
func (r reference) tagOrDefault() string {
	if r.tag == "" {
		return defaultTag
	}
	return r.tag
}

// suffixes are the path and what is left of it as leading elements are taken
// off: a/b/c, b/c, c.
func (r reference) suffixes() []string {
	out := []string{r.path}
	for i, c := range r.path {
		if c == '/' {
			out = append(out, r.path[i+1:])
		}
	}
	return out
}

// Split takes a reference apart: PATH[:TAG][@DIGEST]. What isn't given is empty.
func Split(ref string) (path, tag, digest string, err error) {
	r, err := parseReference(ref)
	return r.path, r.tag, r.digest.String(), err
}
