// SPDX-License-Identifier: Apache-2.0

package oras_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasm-graph/graphd/oras"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // the registry's log
	os.Exit(m.Run())
}

// startRegistryHandler returns a registry in memory.
func startRegistryHandler(t *testing.T) http.Handler {
	t.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory": nil,
		"delete":   configuration.Parameters{"enabled": true},
	}}
	config.Log.Level = "panic"
	config.Catalog.MaxEntries = 100
	return handlers.NewApp(t.Context(), config)
}

// startRegistry serves a registry in memory, behind wrap where that isn't nil, and
// returns its host and port.
func startRegistry(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	handler := startRegistryHandler(t)
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// contextThatEnds ends while a test waits for something that takes an hour.
func contextThatEnds(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 50*time.Millisecond)
}

// writeFiles makes files in a new folder.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// open opens an endpoint that must be well-formed.
func open(t *testing.T, endpoint string, opts oras.Options) oras.Source {
	t.Helper()
	source, err := oras.Open(endpoint, opts)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// push pushes content to an endpoint.
func push(t *testing.T, endpoint, ref string, kind oras.Kind, content []byte, opts oras.Options) (string, error) {
	t.Helper()
	store, err := oras.OpenStore(endpoint, opts)
	if err != nil {
		return "", err
	}
	return store.Push(t.Context(), ref, oras.Package{Kind: kind, Content: content})
}

// wantError checks that err wraps want (nil: any) and says each of texts.
func wantError(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", texts)
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("error %q does not wrap %q", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
}

func TestFolderFindsFiles(t *testing.T) {
	sum := digest.FromString("pinned").String()
	for _, tt := range []struct {
		name, ref string
		kind      oras.Kind
		files     map[string]string
		want      string
	}{
		{"tag in the name", "temperature:1.0.0", oras.Component,
			map[string]string{"temperature-1.0.0.wasm": "a", "temperature.wasm": "b"}, "a"},
		{"no tag in the name", "temperature:1.0.1", oras.Component,
			map[string]string{"temperature-1.0.0.wasm": "a", "temperature.wasm": "b"}, "b"},
		{"reference without tag", "temperature", oras.Component,
			map[string]string{"temperature-1.0.0.wasm": "a", "temperature.wasm": "b"}, "b"},
		{"qualified reference, flat folder", "a/b/temperature:1.0.0", oras.Component,
			map[string]string{"temperature.wasm": "flat"}, "flat"},
		{"qualified reference, nested folder", "a/b/temperature:1.0.0", oras.Component,
			map[string]string{"temperature-1.0.0.wasm": "flat", "b/temperature.wasm": "half", "a/b/temperature.wasm": "nested"}, "nested"},
		{"half-nested folder", "a/b/temperature:1.0.0", oras.Component,
			map[string]string{"temperature-1.0.0.wasm": "flat", "b/temperature.wasm": "half"}, "half"},
		{"graph", "simple:1.0.0", oras.Graph,
			map[string]string{"simple.wasm": "component", "simple.yaml": "graph"}, "graph"},
		{"graph with tag and the short extension", "simple:1.0.0", oras.Graph,
			map[string]string{"simple-1.0.0.yml": "tagged", "simple.yaml": "graph"}, "tagged"},
		{"pinned", "temperature:1.0.0@" + sum, oras.Component,
			map[string]string{"temperature.wasm": "pinned"}, "pinned"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := open(t, "file://"+writeFiles(t, tt.files), oras.Options{})
			got, err := source.Fetch(t.Context(), tt.ref, tt.kind)
			if err != nil {
				t.Fatal(err)
			}
			want := &oras.Artifact{
				Digest:        digest.FromString(tt.want).String(),
				ContentDigest: digest.FromString(tt.want).String(),
				MediaType:     "application/wasm",
				Content:       []byte(tt.want),
			}
			if tt.kind == oras.Graph {
				want.MediaType = "application/yaml"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Fetch(%s): -want +got\n%s", tt.ref, diff)
			}
			resolved, err := source.Resolve(t.Context(), tt.ref, tt.kind)
			if err != nil || resolved != want.Digest {
				t.Errorf("Resolve(%s) = %s, %v; want %s", tt.ref, resolved, err, want.Digest)
			}
		})
	}
}

func TestFolderRefuses(t *testing.T) {
	files := map[string]string{"temperature-1.0.0.wasm": "0123456789", "deep/humidity.wasm": "h", "simple.yaml": "g", "dir.wasm/x": ""}
	dir := writeFiles(t, files)
	for _, tt := range []struct {
		name, ref string
		kind      oras.Kind
		wantErr   error
		wantTexts []string
	}{
		{"tag that isn't there", "x/temperature:1.0.1", oras.Component, oras.ErrNotFound,
			[]string{"looked for x/temperature-1.0.1.wasm, x/temperature.wasm, temperature-1.0.1.wasm, temperature.wasm",
				"the folder has deep/humidity.wasm", "did you mean temperature-1.0.0.wasm?"}},
		{"misspelt, in a folder below", "humidty:1.0.0", oras.Component, oras.ErrNotFound, []string{"did you mean deep/humidity.wasm?"}},
		{"graph of another name", "complex:1.0.0", oras.Graph, oras.ErrNotFound, []string{"complex-1.0.0.yaml", "the folder has simple.yaml"}},
		{"too large", "temperature:1.0.0", oras.Component, oras.ErrTooLarge, []string{"10 bytes", "9"}},
		{"a folder called like a file", "dir:1", oras.Component, nil, []string{"dir.wasm is no regular file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(t, "file://"+dir, oras.Options{MaxBytes: 9}).Fetch(t.Context(), tt.ref, tt.kind)
			wantError(t, err, tt.wantErr, tt.wantTexts...)
		})
	}
	t.Run("other digest", func(t *testing.T) {
		ref := "temperature:1.0.0@" + digest.FromString("something else").String()
		_, err := open(t, "file://"+dir, oras.Options{}).Fetch(t.Context(), ref, oras.Component)
		wantError(t, err, nil, "temperature-1.0.0.wasm has digest "+digest.FromString("0123456789").String())
	})
	t.Run("no such folder", func(t *testing.T) {
		_, err := open(t, "file://nowhere", oras.Options{BaseDir: dir}).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, oras.ErrNotFound, "there is no folder "+filepath.Join(dir, "nowhere"))
	})
	t.Run("empty folder", func(t *testing.T) {
		_, err := open(t, "file://"+t.TempDir(), oras.Options{}).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, oras.ErrNotFound, "the folder has no .wasm file")
	})
}

func TestReferenceRefused(t *testing.T) {
	dir := writeFiles(t, map[string]string{"inside/a.wasm": "a", "secret.wasm": "s"})
	for _, endpoint := range []string{"file://" + dir + "/inside", "oci-layout:" + dir + "/inside", "http://127.0.0.1:1"} {
		source := open(t, endpoint, oras.Options{})
		for _, ref := range []string{
			"", ":", ":1", "../secret", "../secret:1", "a/../../secret", "/secret", "a//b", "./a", "a/", "..", "a\\..\\secret",
			"https://host/a:1", "a:", "a:.1", "a:1/../x:2", "a:" + strings.Repeat("9", 129), "a b", "a\x00b", "a@sha256:12", "a:1@b", "a@",
		} {
			_, err := source.Fetch(t.Context(), ref, oras.Component)
			wantError(t, err, oras.ErrInvalidReference, " from "+source.String())
			_, err = source.Resolve(t.Context(), ref, oras.Component)
			wantError(t, err, oras.ErrInvalidReference)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		endpoint string
		opts     oras.Options
		want     string // the source's own name
		wantErr  string
	}{
		{"file:///a/b", oras.Options{}, "file:///a/b", ""},
		{"file://a/b", oras.Options{BaseDir: "/base"}, "file:///base/a/b", ""},
		{"file:a/b", oras.Options{BaseDir: "/base"}, "file:///base/a/b", ""},
		{"oci-layout:a", oras.Options{BaseDir: "/base"}, "oci-layout:/base/a", ""},
		{"oci-layout:///a", oras.Options{BaseDir: "/base"}, "oci-layout:/a", ""},
		{"ghcr.io", oras.Options{}, "ghcr.io", ""},
		{"https://ghcr.io/", oras.Options{PlainHTTP: true}, "ghcr.io", ""},
		{"http://localhost:5000/a/b/", oras.Options{}, "http://localhost:5000/a/b", ""},
		{"localhost:5000", oras.Options{PlainHTTP: true}, "http://localhost:5000", ""},
		{"file://", oras.Options{}, "", "write file://DIR"},
		{"oci-layout:", oras.Options{}, "", "write oci-layout:DIR"},
		{"", oras.Options{}, "", `"" is no host`},
		{"ftp://host", oras.Options{}, "", `unknown scheme "ftp"`},
		{"host name", oras.Options{}, "", `"host name" is no host`},
		{"ghcr.io", oras.Options{MaxBytes: -1}, "", "limit of -1 bytes is negative"},
	} {
		source, err := oras.Open(tt.endpoint, tt.opts)
		if tt.wantErr != "" {
			wantError(t, err, nil, "oras: open "+tt.endpoint, tt.wantErr)
			continue
		}
		if err != nil || source.String() != tt.want {
			t.Errorf("Open(%q) = %v, %v; want %s", tt.endpoint, source, err, tt.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	dir := t.TempDir()
	layout := t.TempDir()
	if _, err := oci.New(layout); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ arg, want string }{
		{dir, "file://" + dir},
		{layout, "oci-layout:" + layout},
		{".", "file://."},
		{"./not-there", "file://./not-there"},
		{"not-there", "file://not-there"},
		{"not/there", "file://not/there"},
		{"localhost/x", "localhost/x"},
		{"https://ghcr.io/x", "https://ghcr.io/x"},
		{"ghcr.io/azure-samples", "ghcr.io/azure-samples"},
		{"localhost:5000", "localhost:5000"},
		{"oci-layout:x", "oci-layout:x"},
	} {
		if got := oras.Endpoint(tt.arg); got != tt.want {
			t.Errorf("Endpoint(%q) = %q, want %q", tt.arg, got, tt.want)
		}
	}
}

// TestPushAndFetch runs over both places that take pushes.
func TestPushAndFetch(t *testing.T) {
	for name, endpoint := range map[string]string{
		"layout":                  "oci-layout:" + filepath.Join(t.TempDir(), "new"),
		"registry":                "http://" + startRegistry(t, nil),
		"registry with a prefix":  "http://" + startRegistry(t, nil) + "/azure-samples/explore",
		"registry, slash at end":  "http://" + startRegistry(t, nil) + "/",
		"registry, option states": startRegistry(t, nil),
	} {
		t.Run(name, func(t *testing.T) {
			opts := oras.Options{PlainHTTP: true}
			source := open(t, endpoint, opts)
			digests := map[string]string{}
			for _, a := range []struct {
				ref, content string
				kind         oras.Kind
			}{
				{"temperature:1.0.0", "component", oras.Component},
				{"a/b/temperature:1.0.0", "qualified", oras.Component},
				{"a/b/temperature:1.1.0", "newer", oras.Component},
				{"graph-simple:1.0.0", "graph", oras.Graph},
				{"untagged", "latest", oras.Component},
			} {
				sum, err := push(t, endpoint, a.ref, a.kind, []byte(a.content), opts)
				if err != nil {
					t.Fatal(err)
				}
				digests[a.ref] = sum
				resolved, err := source.Resolve(t.Context(), a.ref, a.kind)
				if err != nil || resolved != sum {
					t.Errorf("Resolve(%s) = %s, %v; want %s", a.ref, resolved, err, sum)
				}
				mediaType := "application/wasm"
				if a.kind == oras.Graph {
					mediaType = "application/yaml"
				}
				want := &oras.Artifact{
					Digest:        sum,
					ContentDigest: digest.FromString(a.content).String(),
					MediaType:     mediaType,
					Content:       []byte(a.content),
				}
				for _, ref := range []string{a.ref, strings.SplitN(a.ref, ":", 2)[0] + "@" + sum, a.ref + "@" + sum} {
					got, err := source.Fetch(t.Context(), ref, a.kind)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("Fetch(%s): -want +got\n%s", ref, diff)
					}
				}
			}

			// Again, and moved.
			again, err := push(t, endpoint, "temperature:1.0.0", oras.Component, []byte("component"), opts)
			if err != nil || again != digests["temperature:1.0.0"] {
				t.Errorf("second push = %s, %v; want %s", again, err, digests["temperature:1.0.0"])
			}
			moved, err := push(t, endpoint, "temperature:1.0.0", oras.Component, []byte("moved"), opts)
			if err != nil {
				t.Fatal(err)
			}
			got, err := source.Fetch(t.Context(), "temperature:1.0.0", oras.Component)
			if err != nil || got.Digest != moved || string(got.Content) != "moved" {
				t.Errorf("after the tag moved: Fetch = %v, %v; want digest %s", got, err, moved)
			}

			// What isn't there.
			_, err = source.Fetch(t.Context(), "a/b/temperature:1.0.1", oras.Component)
			wantError(t, err, oras.ErrNotFound, "oras: fetch a/b/temperature:1.0.1", "1.0.0", "1.1.0", "did you mean")
			_, err = source.Resolve(t.Context(), "a/b/temperature:1.0.1", oras.Component)
			wantError(t, err, oras.ErrNotFound, "oras: resolve a/b/temperature:1.0.1", "1.1.0")
			_, err = source.Fetch(t.Context(), "temperature@"+digest.FromString("no such").String(), oras.Component)
			wantError(t, err, oras.ErrNotFound)
			_, err = push(t, endpoint, "temperature@"+moved, oras.Component, nil, opts)
			wantError(t, err, oras.ErrInvalidReference, "a push names a tag")
		})
	}
	t.Run("folder", func(t *testing.T) {
		_, err := push(t, "file://x", "a:1", oras.Component, nil, oras.Options{})
		wantError(t, err, nil, "oras: open file://x: a folder of files takes no pushes", "oci-layout:DIR")
	})
}

// TestMediaTypes fetches what other programs push: the media types in use
// contradict each other, and the first layer is the artifact in all of them.
func TestMediaTypes(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		kind                        oras.Kind
		artifactType, config, layer string
		version                     oraslib.PackManifestVersion
	}{
		{"component, as documented", oras.Component, "application/vnd.module.wasm.content.layer.v1+wasm", "", "application/wasm", oraslib.PackManifestVersion1_1},
		{"component, as the samples' pipeline pushes it", oras.Component, "application/vnd.unknown.artifact.v1", "", "application/vnd.wasm.content.layer.v1+wasm", oraslib.PackManifestVersion1_1},
		{"component with a wasm config", oras.Component, "", "application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm", oraslib.PackManifestVersion1_0},
		{"component with an image config", oras.Component, "", "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar", oraslib.PackManifestVersion1_0},
		{"component by plain oras push", oras.Component, "", "application/vnd.unknown.config.v1+json", "application/vnd.oci.image.layer.v1.tar", oraslib.PackManifestVersion1_0},
		{"graph, as documented", oras.Graph, "", "application/vnd.microsoft.aio.graph.v1+yaml", "application/yaml", oraslib.PackManifestVersion1_1},
		{"graph with the command line's type", oras.Graph, "", "application/vnd.microsoft.dataflow.graph.v1+json", "application/yaml", oraslib.PackManifestVersion1_1},
		{"graph by plain oras push", oras.Graph, "application/vnd.unknown.artifact.v1", "", "application/vnd.oci.image.layer.v1.tar", oraslib.PackManifestVersion1_1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := startRegistry(t, nil)
			dir := t.TempDir()
			store, err := oci.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			repo, err := remote.NewRepository(host + "/a/thing")
			if err != nil {
				t.Fatal(err)
			}
			repo.PlainHTTP = true
			for endpoint, target := range map[string]oraslib.Target{"oci-layout:" + dir: store, "http://" + host: repo} {
				layers := make([]ocispec.Descriptor, 2)
				for i, text := range []string{"the artifact", "a second layer, which is none of our business"} {
					if layers[i], err = oraslib.PushBytes(t.Context(), target, tt.layer, []byte(text)); err != nil {
						t.Fatal(err)
					}
				}
				pack := oraslib.PackManifestOptions{Layers: layers}
				if tt.config != "" {
					config, err := oraslib.PushBytes(t.Context(), target, tt.config, nil) // as with --config /dev/null
					if err != nil {
						t.Fatal(err)
					}
					pack.ConfigDescriptor = &config
				}
				desc, err := oraslib.PackManifest(t.Context(), target, tt.version, tt.artifactType, pack)
				if err != nil {
					t.Fatal(err)
				}
				if err := target.Tag(t.Context(), desc, "1.0.0"); err != nil {
					t.Fatal(err)
				}
				// The layout calls its only artifact by the tag alone.
				got, err := open(t, endpoint, oras.Options{}).Fetch(t.Context(), "a/thing:1.0.0", tt.kind)
				if err != nil {
					t.Fatal(err)
				}
				want := &oras.Artifact{
					Digest:        desc.Digest.String(),
					ContentDigest: digest.FromString("the artifact").String(),
					MediaType:     tt.layer,
					Content:       []byte("the artifact"),
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("from %s: -want +got\n%s", endpoint, diff)
				}
			}
		})
	}
}

// pushManifest puts a manifest as it stands into a layout and a registry, and
// returns the two endpoints.
func pushManifest(t *testing.T, mediaType, manifest string) []string {
	t.Helper()
	dir := t.TempDir()
	store, err := oci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(manifest), Size: int64(len(manifest))}
	if err := store.Push(t.Context(), desc, strings.NewReader(manifest)); err != nil {
		t.Fatal(err)
	}
	if err := store.Tag(t.Context(), desc, "thing:1.0.0"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/thing/manifests/1.0.0" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		io.WriteString(w, manifest)
	}))
	t.Cleanup(server.Close)
	return []string{"oci-layout:" + dir, server.URL}
}

func TestManifestRefused(t *testing.T) {
	sum := digest.FromString("x").String()
	for _, tt := range []struct {
		name, mediaType, manifest string
		wantErr                   error
		wantTexts                 []string
	}{
		{"index", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + sum + `","size":1}]}`,
			oras.ErrNotArtifact, []string{"an index of 1 manifests", "NAME@" + sum}},
		{"no layers", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[]}`, oras.ErrNotArtifact, []string{"no layers"}},
		{"no digest", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[{"size":1}]}`, oras.ErrNotArtifact, []string{"digest"}},
		{"digest with a path", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[{"digest":"sha256:../../../../etc/passwd","size":1}]}`, oras.ErrNotArtifact, []string{"digest"}},
		{"negative size", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[{"digest":"` + sum + `","size":-1}]}`, oras.ErrNotArtifact, []string{"size -1"}},
		{"size over the limit", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[{"digest":"` + sum + `","size":4611686018427387904}]}`, oras.ErrTooLarge, []string{"4611686018427387904"}},
		{"layer missing", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[{"digest":"` + sum + `","size":1}]}`, oras.ErrNotArtifact, []string{"its layer " + sum + " is not"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, endpoint := range pushManifest(t, tt.mediaType, tt.manifest) {
				_, err := open(t, endpoint, oras.Options{}).Fetch(t.Context(), "thing:1.0.0", oras.Component)
				wantError(t, err, tt.wantErr, append(tt.wantTexts, "oras: fetch thing:1.0.0 from "+endpoint)...)
			}
		})
	}
	t.Run("no JSON", func(t *testing.T) {
		endpoint := pushManifest(t, ocispec.MediaTypeImageManifest, `{"schemaVersion":2}`)[0]
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			io.WriteString(w, "<html>")
		}))
		defer server.Close()
		_, err := open(t, endpoint, oras.Options{}).Fetch(t.Context(), "thing:1.0.0", oras.Component)
		wantError(t, err, oras.ErrNotArtifact)
		_, err = open(t, server.URL, oras.Options{}).Fetch(t.Context(), "thing:1.0.0", oras.Component)
		wantError(t, err, oras.ErrNotArtifact, "no JSON")
	})
}

func TestTamperedContent(t *testing.T) {
	for _, tt := range []struct {
		name      string
		tamper    func(body []byte) []byte
		wantTexts []string
	}{
		{"other bytes", func(b []byte) []byte { return bytes.ToUpper(b) }, []string{"mismatch"}},
		{"too short", func(b []byte) []byte { return b[:3] }, []string{"layer sha256:"}},
		{"too long", func(b []byte) []byte { return append(b, "more"...) }, []string{"layer sha256:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := startRegistry(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
						next.ServeHTTP(w, r)
						return
					}
					recorded := httptest.NewRecorder()
					next.ServeHTTP(recorded, r)
					w.Write(tt.tamper(recorded.Body.Bytes()))
				})
			})
			if _, err := push(t, host, "thing:1", oras.Component, []byte("content"), oras.Options{PlainHTTP: true}); err != nil {
				t.Fatal(err)
			}
			_, err := open(t, "http://"+host, oras.Options{}).Fetch(t.Context(), "thing:1", oras.Component)
			wantError(t, err, nil, tt.wantTexts...)
		})
	}
	t.Run("blob of a layout", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := push(t, "oci-layout:"+dir, "thing:1", oras.Component, []byte("content"), oras.Options{}); err != nil {
			t.Fatal(err)
		}
		blob := filepath.Join(dir, "blobs", "sha256", digest.FromString("content").Encoded())
		if err := os.Chmod(blob, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(blob, []byte("CONTENT"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, "oci-layout:"+dir, oras.Options{}).Fetch(t.Context(), "thing:1", oras.Component)
		wantError(t, err, nil, "mismatch")
	})
}

func TestLayoutPerRepository(t *testing.T) {
	dir := t.TempDir()
	for repo, text := range map[string]string{"a/b/temperature": "t", "humidity": "h"} {
		store, err := oci.New(filepath.Join(dir, filepath.FromSlash(repo)))
		if err != nil {
			t.Fatal(err)
		}
		layer, err := oraslib.PushBytes(t.Context(), store, "application/wasm", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		desc, err := oraslib.PackManifest(t.Context(), store, oraslib.PackManifestVersion1_1, "application/x", oraslib.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Tag(t.Context(), desc, "1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	source := open(t, "oci-layout:"+dir, oras.Options{})
	for ref, want := range map[string]string{"a/b/temperature:1.0.0": "t", "x/humidity:1.0.0": "h"} {
		got, err := source.Fetch(t.Context(), ref, oras.Component)
		if err != nil || string(got.Content) != want {
			t.Errorf("Fetch(%s) = %v, %v; want %q", ref, got, err, want)
		}
	}
	_, err := source.Fetch(t.Context(), "other:1.0.0", oras.Component)
	wantError(t, err, oras.ErrNotFound, "is no OCI layout")
}

func TestLayoutOfAnotherVersion(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		ocispec.ImageLayoutFile: `{"imageLayoutVersion":"9.0.0"}`,
		ocispec.ImageIndexFile:  `{"schemaVersion":2,"manifests":[]}`,
	})
	_, err := open(t, "oci-layout:"+dir, oras.Options{}).Fetch(t.Context(), "a:1", oras.Component)
	wantError(t, err, nil, "layout")
}

func TestRegistryHints(t *testing.T) {
	t.Run("prefix in both", func(t *testing.T) {
		endpoint := "http://" + startRegistry(t, nil) + "/azure-samples/explore"
		_, err := open(t, endpoint, oras.Options{}).Fetch(t.Context(), "azure-samples/explore/temperature:1.0.0", oras.Component)
		wantError(t, err, oras.ErrNotFound, `"azure-samples/explore" stands both in the endpoint and in the reference`)
	})
	t.Run("plain HTTP", func(t *testing.T) {
		_, err := open(t, startRegistry(t, nil), oras.Options{}).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, nil, "write http:// before its name")
	})
	t.Run("credentials wanted", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			http.Error(w, "no", http.StatusUnauthorized)
		}))
		defer server.Close()
		_, err := open(t, server.URL, oras.Options{}).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, oras.ErrDenied, "lets nobody in without credentials", "graphctl login 127.0.0.1")
	})
	t.Run("unknown authority", func(t *testing.T) {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		_, err := open(t, server.URL, oras.Options{Client: &http.Client{Transport: &http.Transport{}}}).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, nil, "signed by nobody this machine trusts")
	})
	t.Run("capital letters", func(t *testing.T) {
		_, err := open(t, "http://127.0.0.1:1", oras.Options{}).Fetch(t.Context(), "Temperature:1", oras.Component)
		wantError(t, err, oras.ErrInvalidReference, "a-z")
	})
}

// TestAnonymousToken is what public registries do: they send everybody, also the
// nameless, to a token server first.
func TestAnonymousToken(t *testing.T) {
	var tokens int
	mux := http.NewServeMux()
	host := startRegistry(t, func(next http.Handler) http.Handler {
		mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
			tokens++
			io.WriteString(w, `{"token":"for anybody"}`)
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.Header.Get("Authorization") != "Bearer for anybody" {
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
		return mux
	})
	if _, err := push(t, "http://"+host, "thing:1", oras.Component, []byte("content"), oras.Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, "http://"+host, oras.Options{}).Fetch(t.Context(), "thing:1", oras.Component)
	if err != nil || string(got.Content) != "content" {
		t.Errorf("Fetch = %v, %v", got, err)
	}
	if tokens == 0 {
		t.Error("no token was asked for")
	}
}
