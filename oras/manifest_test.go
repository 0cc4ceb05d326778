// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"path"
	"strings"
	"testing"
)

// FuzzManifest: whatever a registry calls a manifest gives layers that can be asked
// for, or an error.
func FuzzManifest(f *testing.F) {
	sum := "sha256:" + strings.Repeat("0", 64)
	for _, seed := range []string{
		``, `null`, `[]`, `{}`, `{"layers":null}`, `{"layers":[null]}`, `{"manifests":[{}]}`,
		`{"layers":[{"digest":"` + sum + `","size":3}]}`,
		`{"layers":[{"digest":"` + sum + `","size":3},{"digest":"x"}]}`,
		`{"layers":[],"blobs":[{"digest":"` + sum + `","size":3,"mediaType":"application/wasm"}]}`,
		`{"layers":[{"digest":"sha256:..","size":-1}]}`,
		`{"layers":[{"digest":"` + sum + `","size":1e30}]}`,
		`{"layers":[{"digest":"` + sum + `","annotations":{"org.opencontainers.image.title":"../x"}}],"annotations":{"a":"b"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		if len(m.layers) == 0 || len(m.layers) != len(m.Layers) {
			t.Fatalf("decodeManifest(%q) has %d and %d layers", data, len(m.layers), len(m.Layers))
		}
		for _, l := range m.layers {
			if l.Size < 0 || l.Digest.Validate() != nil {
				t.Errorf("decodeManifest(%q) has the layer %v", data, l)
			}
		}
	})
}

// FuzzParseReference: no reference leads out of the place it is looked up in.
func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"a:1", "a/b/c:1.0.0@sha256:" + strings.Repeat("0", 64), "../x", "a/../../x", "/x", "a:b/c", "a@", "\\x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReference(s)
		if err != nil {
			return
		}
		for _, suffix := range r.suffixes() {
			if joined := path.Join("/base", suffix); joined != "/base/"+suffix {
				t.Errorf("parseReference(%q) has the path %q", s, suffix)
			}
		}
		if strings.ContainsAny(r.tag, "/\\") {
			t.Errorf("parseReference(%q) has the tag %q", s, r.tag)
		}
	})
}
