// SPDX-License-Identifier: Apache-2.0

package oras_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sync/errgroup"

	"github.com/wasm-graph/graphd/oras"
)

// attachable are stores of each sort that takes attachments.
var attachable = map[string]func(t *testing.T) *oras.Store{
	"layout": func(t *testing.T) *oras.Store { return openStore(t, "oci-layout:"+t.TempDir(), oras.Options{}) },
	"registry without referrers": func(t *testing.T) *oras.Store {
		return openStore(t, "http://"+startRegistry(t, nil)+"/plant", oras.Options{})
	},
	"registry with referrers": func(t *testing.T) *oras.Store {
		server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(server.Close)
		return openStore(t, server.URL, oras.Options{})
	},
}

const sbomType = "application/vnd.cyclonedx+json"

func TestAttach(t *testing.T) {
	for name, open := range attachable {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			subject, err := s.Push(t.Context(), "a/temperature:1.0.0", oras.Package{Kind: oras.Component, Content: []byte("\x00asm")})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Referrers(t.Context(), "a/temperature:1.0.0", ""); err != nil || len(got) != 0 {
				t.Errorf("before: got %v and %v, want none", got, err)
			}
			sbom, err := s.Attach(t.Context(), "a/temperature:1.0.0", oras.Attachment{
				ArtifactType: sbomType,
				Blobs: []oras.Blob{
					{MediaType: "application/json", Title: "bom.json", Content: []byte("{}")},
					{MediaType: "text/plain", Title: "NOTES", Annotations: map[string]string{"lang": "en"}, Content: []byte("notes")},
				},
				Annotations: map[string]string{"by": "ann"},
			})
			if err != nil {
				t.Fatal(err)
			}
			note := oras.Attachment{ArtifactType: "text/x-note", Blobs: []oras.Blob{{MediaType: "text/plain", Content: []byte("works")}}}
			if _, err := s.Attach(t.Context(), "a/temperature@"+subject, note); err != nil {
				t.Fatal(err)
			}

			got, err := s.Referrers(t.Context(), "a/temperature:1.0.0", sbomType)
			if err != nil {
				t.Fatal(err)
			}
			want := []oras.Referrer{{
				Digest: sbom, MediaType: "application/vnd.oci.image.manifest.v1+json", ArtifactType: sbomType,
				Annotations: map[string]string{"by": "ann"},
			}}
			// The registry with referrers leaves the annotations out of its list.
			opts := cmp.Options{cmpopts.IgnoreFields(oras.Referrer{}, "Size")}
			if name == "registry with referrers" {
				opts = append(opts, cmpopts.IgnoreFields(oras.Referrer{}, "Annotations"))
			}
			if diff := cmp.Diff(want, got, opts); diff != "" {
				t.Errorf("referrers (-want +got):\n%s", diff)
			}
			if all, err := s.Referrers(t.Context(), "a/temperature@"+subject, ""); err != nil || len(all) != 2 {
				t.Errorf("got %v and %v, want two", all, err)
			}
			m, blobs, err := s.Blobs(t.Context(), "a/temperature@"+sbom, 0)
			if err != nil {
				t.Fatal(err)
			}
			wantBlobs := []oras.Blob{
				{MediaType: "application/json", Title: "bom.json", Content: []byte("{}")},
				{MediaType: "text/plain", Title: "NOTES", Annotations: map[string]string{"lang": "en"}, Content: []byte("notes")},
			}
			if diff := cmp.Diff(wantBlobs, blobs, cmpopts.EquateEmpty()); diff != "" || m.ArtifactType != sbomType {
				t.Errorf("blobs of %s (-want +got):\n%s", m.ArtifactType, diff)
			}
			if _, _, err := s.Blobs(t.Context(), "a/temperature@"+sbom, 6); !errors.Is(err, oras.ErrTooLarge) {
				t.Errorf("seven bytes where six are allowed: got %v, want ErrTooLarge", err)
			}
			dir := t.TempDir()
			if _, names, err := s.Pull(t.Context(), "a/temperature@"+sbom, dir); err != nil || len(names) != 2 {
				t.Errorf("pull: got %v and %v", names, err)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "bom.json")); err != nil || string(data) != "{}" {
				t.Errorf("pulled %q and %v", data, err)
			}
			// The artifact is as it was.
			if got, err := s.Resolve(t.Context(), "a/temperature:1.0.0", oras.Component); err != nil || got != subject {
				t.Errorf("the artifact is %s now (%v), was %s", got, err, subject)
			}
		})
	}
}

func TestAttachTagged(t *testing.T) {
	for name, open := range attachable {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			subject, err := s.Push(t.Context(), "temperature:1.0.0", oras.Package{Kind: oras.Component, Content: []byte("\x00asm")})
			if err != nil {
				t.Fatal(err)
			}
			tag := strings.Replace(subject, ":", "-", 1) + ".sig"
			for _, content := range []string{"one", "two"} {
				if _, err := s.Attach(t.Context(), "temperature:1.0.0", oras.Attachment{
					Tag: tag, Blobs: []oras.Blob{{MediaType: "text/plain", Content: []byte(content)}},
				}); err != nil {
					t.Fatal(err)
				}
			}
			_, blobs, err := s.Blobs(t.Context(), "temperature:"+tag, 0)
			if err != nil || len(blobs) != 1 || string(blobs[0].Content) != "two" {
				t.Errorf("got %v and %v, want two", blobs, err)
			}
			if got, err := s.Referrers(t.Context(), "temperature:1.0.0", ""); err != nil || len(got) != 0 {
				t.Errorf("got %v and %v, want none", got, err)
			}
		})
	}
}

func TestAttachRefuses(t *testing.T) {
	s := attachable["layout"](t)
	if _, err := s.Push(t.Context(), "temperature:1.0.0", oras.Package{Kind: oras.Component, Content: []byte("\x00asm")}); err != nil {
		t.Fatal(err)
	}
	blobs := []oras.Blob{{MediaType: "text/plain", Content: []byte("x")}}
	for _, test := range []struct {
		name, ref string
		a         oras.Attachment
		want      string
	}{
		{"nothing there", "humidity:1.0.0", oras.Attachment{ArtifactType: sbomType, Blobs: blobs}, "not found"},
		{"no type", "temperature:1.0.0", oras.Attachment{Blobs: blobs}, "has a type"},
		{"no layers", "temperature:1.0.0", oras.Attachment{ArtifactType: sbomType}, "at least one layer"},
		{"bad tag", "temperature:1.0.0", oras.Attachment{Tag: "a/b", Blobs: blobs}, `bad tag "a/b"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := s.Attach(t.Context(), test.ref, test.a); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestCopyAttachments(t *testing.T) {
	for from, openSource := range attachable {
		for to, openTarget := range attachable {
			t.Run(from+" to "+to, func(t *testing.T) {
				src, dst := openSource(t), openTarget(t)
				subject, err := src.Push(t.Context(), "temperature:1.0.0", oras.Package{Kind: oras.Component, Content: []byte("\x00asm")})
				if err != nil {
					t.Fatal(err)
				}
				attach := func(ref string, a oras.Attachment) string {
					t.Helper()
					a.Blobs = []oras.Blob{{MediaType: "text/plain", Content: []byte(a.ArtifactType + a.Tag)}}
					digest, err := src.Attach(t.Context(), ref, a)
					if err != nil {
						t.Fatal(err)
					}
					return digest
				}
				tag := strings.Replace(subject, ":", "-", 1) + ".sig"
				sbom := attach("temperature:1.0.0", oras.Attachment{ArtifactType: sbomType})
				signature := attach("temperature@"+sbom, oras.Attachment{ArtifactType: "text/x-signature"})
				old := attach("temperature:1.0.0", oras.Attachment{Tag: tag})
				if _, err := oras.Copy(t.Context(), src, "temperature:1.0.0", dst, "x/temperature:1.0.0"); err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second time all is there
					got, err := oras.CopyAttachments(t.Context(), src, "temperature:1.0.0", dst, "x/temperature:1.0.0")
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]string{sbom, signature, old}, got); diff != "" {
						t.Errorf("copied (-want +got):\n%s", diff)
					}
				}
				for ref, want := range map[string]string{"x/temperature:1.0.0": sbom, "x/temperature@" + sbom: signature} {
					got, err := dst.Referrers(t.Context(), ref, "")
					if err != nil || len(got) != 1 || got[0].Digest != want {
						t.Errorf("referrers of %s: got %v and %v, want %s", ref, got, err, want)
					}
				}
				if got, err := dst.Resolve(t.Context(), "x/temperature:"+tag, oras.Component); err != nil || got != old {
					t.Errorf("tag: got %s and %v, want %s", got, err, old)
				}
			})
		}
	}
}

// TestManyAtOneLayout: nothing is lost where many push to one layout, tag and read at once.
func TestManyAtOneLayout(t *testing.T) {
	dir := t.TempDir()
	const many = 20
	var group errgroup.Group
	for i := range many {
		group.Go(func() error {
			s, err := oras.OpenStore("oci-layout:"+dir, oras.Options{})
			if err != nil {
				return err
			}
			ref := fmt.Sprintf("a:%d", i)
			if _, err := s.Push(t.Context(), ref, oras.Package{Content: []byte(ref)}); err != nil {
				return err
			}
			if _, err := s.Attach(t.Context(), ref, oras.Attachment{ArtifactType: sbomType, Blobs: []oras.Blob{{MediaType: sbomType, Content: []byte("{}")}}}); err != nil {
				return err
			}
			_, err = s.Fetch(t.Context(), ref, oras.Component)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, "oci-layout:"+dir, oras.Options{})
	tags, err := s.Tags(t.Context(), "a")
	if err != nil || len(tags) != many {
		t.Errorf("got %d tags and %v, want %d", len(tags), err, many)
	}
	for _, tag := range tags {
		if got, err := s.Referrers(t.Context(), "a:"+tag, ""); err != nil || len(got) != 1 {
			t.Errorf("%s: got %v and %v, want one", tag, got, err)
		}
	}
}
