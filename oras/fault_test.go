// SPDX-License-Identifier: Apache-2.0

package oras_test

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wasm-graph/graphd/oras"
)

// quick are options that don't make a test wait.
func quick(o oras.Options) oras.Options {
	o.PlainHTTP, o.Backoff = true, time.Microsecond
	return o
}

func openStore(t *testing.T, endpoint string, opts oras.Options) *oras.Store {
	t.Helper()
	store, err := oras.OpenStore(endpoint, opts)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// noise is content that no compression makes smaller.
func noise(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	return data
}

// isBlob reports whether a request is for the content of a blob.
func isBlob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
}

// cutting is a registry whose connections break after some bytes of a blob. It has
// the ranges asked for.
type cutting struct {
	next   http.Handler
	after  int
	ranges []string
	mu     sync.Mutex
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isBlob(r) {
		c.next.ServeHTTP(w, r)
		return
	}
	c.mu.Lock()
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	c.mu.Unlock()
	c.next.ServeHTTP(&cutWriter{ResponseWriter: w, left: c.after}, r)
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.ResponseWriter.Write(p[:n])
	if w.left == 0 {
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// serve serves a registry in memory behind wrap, without the noise of aborted
// handlers, and returns its endpoint.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	return "http://" + startRegistry(t, wrap)
}

func TestConnectionCutInABlob(t *testing.T) {
	content := noise(1 << 20)
	cut := &cutting{after: 300_000}
	endpoint := serve(t, func(next http.Handler) http.Handler { cut.next = next; return cut })
	if _, err := push(t, endpoint, "big:1", oras.Component, content, quick(oras.Options{})); err != nil {
		t.Fatal(err)
	}
	t.Run("fetch", func(t *testing.T) {
		cut.ranges = nil
		got, err := openStore(t, endpoint, quick(oras.Options{})).Fetch(t.Context(), "big:1", oras.Component)
		if err != nil || !bytes.Equal(got.Content, content) {
			t.Fatalf("Fetch: %v", err)
		}
		if !slices.ContainsFunc(cut.ranges, func(r string) bool { return strings.HasPrefix(r, "bytes=300000-") }) {
			t.Errorf("ranges asked for: %q; want the rest, not all again", cut.ranges)
		}
	})
	t.Run("copy", func(t *testing.T) {
		progress := &oras.Progress{}
		src := openStore(t, endpoint, quick(oras.Options{Progress: progress}))
		dst := openStore(t, "oci-layout:"+t.TempDir(), oras.Options{})
		if _, err := oras.Copy(t.Context(), src, "big:1", dst, "big:1"); err != nil {
			t.Fatal(err)
		}
		got, err := dst.Fetch(t.Context(), "big:1", oras.Component)
		if err != nil || !bytes.Equal(got.Content, content) {
			t.Errorf("Fetch of the copy: %v", err)
		}
		if done, total := progress.Bytes(); done != total || done < 1<<20 {
			t.Errorf("progress %d of %d", done, total)
		}
	})
	t.Run("pull goes on with what is there", func(t *testing.T) {
		dir := t.TempDir()
		sum := digest.FromBytes(content)
		part := filepath.Join(dir, ".sha256-"+sum.Encoded()+".part")
		if err := os.WriteFile(part, content[:700_000], 0o644); err != nil {
			t.Fatal(err)
		}
		cut.ranges = nil
		_, files, err := openStore(t, endpoint, quick(oras.Options{})).Pull(t.Context(), "big:1", dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"big.wasm"}, files); diff != "" {
			t.Errorf("files: -want +got\n%s", diff)
		}
		got, err := os.ReadFile(filepath.Join(dir, "big.wasm"))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("pulled file differs: %v", err)
		}
		if !slices.Contains(cut.ranges, "bytes=700000-1048575") {
			t.Errorf("ranges asked for: %q", cut.ranges)
		}
	})
	t.Run("cut without end", func(t *testing.T) {
		cut.after = 100
		defer func() { cut.after = 300_000 }()
		_, err := openStore(t, endpoint, quick(oras.Options{})).Fetch(t.Context(), "big:1", oras.Component)
		wantError(t, err, oras.ErrUnavailable, "layer sha256:", "unexpected EOF")
	})
}

func TestPullDropsARottenPart(t *testing.T) {
	content := noise(1000)
	endpoint := serve(t, nil)
	if _, err := push(t, endpoint, "a:1", oras.Component, content, quick(oras.Options{})); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][]byte{"other bytes": make([]byte, 500), "too many": make([]byte, 5000)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, ".sha256-"+digest.FromBytes(content).Encoded()+".part")
			if err := os.WriteFile(file, part, 0o644); err != nil {
				t.Fatal(err)
			}
			store := openStore(t, endpoint, quick(oras.Options{}))
			if len(part) < len(content) {
				_, _, err := store.Pull(t.Context(), "a:1", dir)
				wantError(t, err, nil, "mismatch")
			}
			if _, _, err := store.Pull(t.Context(), "a:1", dir); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "a.wasm")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("pulled file differs: %v", err)
			}
		})
	}
}

// failing answers with a status so many times.
func failing(status int, times int64, header http.Header, match func(*http.Request) bool) (wrap func(http.Handler) http.Handler, requests *atomic.Int64) {
	requests = &atomic.Int64{}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !match(r) || requests.Add(1) > times {
				next.ServeHTTP(w, r)
				return
			}
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
		})
	}, requests
}

func TestFaultsThatPass(t *testing.T) {
	anything := func(*http.Request) bool { return true }
	uploads := func(r *http.Request) bool { return r.Method == http.MethodPut }
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		match  func(*http.Request) bool
	}{
		{"500", http.StatusInternalServerError, nil, anything},
		{"503", http.StatusServiceUnavailable, nil, anything},
		{"429 with Retry-After", http.StatusTooManyRequests, http.Header{"Retry-After": {"0"}}, anything},
		{"429 with a date", http.StatusTooManyRequests, http.Header{"Retry-After": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, anything},
		{"502 on uploads", http.StatusBadGateway, nil, uploads},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrap, requests := failing(tt.status, 3, tt.header, tt.match)
			endpoint := serve(t, wrap)
			if _, err := push(t, endpoint, "a:1", oras.Component, noise(100), quick(oras.Options{})); err != nil {
				t.Fatal(err)
			}
			requests.Store(0)
			got, err := openStore(t, endpoint, quick(oras.Options{})).Fetch(t.Context(), "a:1", oras.Component)
			if err != nil || !bytes.Equal(got.Content, noise(100)) {
				t.Errorf("Fetch: %v", err)
			}
		})
	}
	t.Run("and that don't", func(t *testing.T) {
		wrap, requests := failing(http.StatusInternalServerError, 1000, nil, anything)
		_, err := openStore(t, serve(t, wrap), quick(oras.Options{})).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, oras.ErrUnavailable, "500")
		if n := requests.Load(); n < 2 || n > 20 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		_, err := openStore(t, "http://127.0.0.1:1", quick(oras.Options{})).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, oras.ErrUnavailable, "refused")
	})
	t.Run("not while the caller has given up", func(t *testing.T) {
		wrap, _ := failing(http.StatusTooManyRequests, 1000, http.Header{"Retry-After": {"20"}}, anything)
		ctx, cancel := contextThatEnds(t)
		defer cancel()
		_, err := openStore(t, serve(t, wrap), quick(oras.Options{})).Fetch(ctx, "a:1", oras.Component)
		if err == nil {
			t.Error("no error")
		}
	})
}

// TestStalledTransfer: a server that stops in the middle and keeps the connection is
// asked again for the rest.
func TestStalledTransfer(t *testing.T) {
	content := noise(200_000)
	var stalls atomic.Int64
	endpoint := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !isBlob(r) || stalls.Add(1) > 1 {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
	})
	opts := quick(oras.Options{Stall: 50 * time.Millisecond})
	if _, err := push(t, endpoint, "a:1", oras.Component, content, opts); err != nil {
		t.Fatal(err)
	}
	got, err := openStore(t, endpoint, opts).Fetch(t.Context(), "a:1", oras.Component)
	if err != nil || !bytes.Equal(got.Content, content) {
		t.Errorf("Fetch: %v", err)
	}
	// The first, the one that finds out about ranges, and the one for the rest; more
	// where the machine is so busy that others stand still, too.
	if stalls.Load() < 3 {
		t.Errorf("%d requests, want 3", stalls.Load())
	}
}

// TestRegistryThatHangs: one that takes a question and doesn't answer is as good as gone.
func TestRegistryThatHangs(t *testing.T) {
	endpoint := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	})
	_, err := openStore(t, endpoint, quick(oras.Options{Stall: 50 * time.Millisecond})).Resolve(t.Context(), "a:1", oras.Component)
	wantError(t, err, oras.ErrUnavailable, "timeout awaiting response headers")
}

func TestHostileManifests(t *testing.T) {
	sum := digest.FromString("x").String()
	layers := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = `{"mediaType":"application/wasm","digest":"` + sum + `","size":1}`
		}
		return strings.Join(all, ",")
	}
	for _, tt := range []struct {
		name, manifest string
		wantErr        error
		wantText       string
	}{
		{"10,000 layers", `{"schemaVersion":2,"layers":[` + layers(10_000) + `]}`, oras.ErrNotArtifact, "10000 layers, more than 256"},
		{"over the size of manifests", `{"schemaVersion":2,"layers":[` + layers(1) + `],"x":"` + strings.Repeat("x", 5<<20) + `"}`, oras.ErrTooLarge, "4194304"},
		{"index and manifest at once", `{"schemaVersion":2,"layers":[` + layers(1) + `],"manifests":[{"digest":"` + sum + `"}]}`, oras.ErrNotArtifact, "both an index and a manifest"},
		{"a digest of a megabyte", `{"schemaVersion":2,"layers":[{"digest":"` + strings.Repeat("x", 1<<20) + `","size":1}]}`, oras.ErrNotArtifact, "of layer 1"},
		{"an index with a digest of a megabyte", `{"schemaVersion":2,"manifests":[{"digest":"` + strings.Repeat("x", 1<<20) + `"}]}`, oras.ErrNotArtifact, "an index of 1 manifests"},
		{"index", `{"schemaVersion":2,"manifests":[{"digest":"` + sum + `"}]}`, oras.ErrNotArtifact, "an index of 1 manifests"},
		{"a layer of a petabyte", `{"schemaVersion":2,"layers":[{"digest":"` + sum + `","size":1125899906842624}]}`, oras.ErrTooLarge, "1125899906842624 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Content-Length", fmt.Sprint(len(tt.manifest)))
				io.WriteString(w, tt.manifest)
			}))
			defer server.Close()
			store := openStore(t, server.URL, quick(oras.Options{}))
			_, err := store.Fetch(t.Context(), "thing:1.0.0", oras.Component)
			wantError(t, err, tt.wantErr, tt.wantText)
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			dir := t.TempDir()
			_, _, err = store.Pull(t.Context(), "thing:1.0.0", dir)
			wantError(t, err, tt.wantErr, tt.wantText)
			_, err = oras.Copy(t.Context(), store, "thing:1.0.0", openStore(t, "oci-layout:"+filepath.Join(dir, "layout"), oras.Options{}), "thing:1.0.0")
			wantError(t, err, tt.wantErr, tt.wantText)
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("there are files after refusals: %v, %v", entries, err)
			}
		})
	}
}

// TestCompressedBomb: nothing asks a registry to compress, and what one says is
// compressed isn't unpacked.
func TestCompressedBomb(t *testing.T) {
	endpoint := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				t.Errorf("%s %s asks for compression", r.Method, r.URL)
			}
			if isBlob(r) {
				w.Header().Set("Content-Encoding", "gzip")
			}
			next.ServeHTTP(w, r)
		})
	})
	if _, err := push(t, endpoint, "a:1", oras.Component, []byte("as it is"), quick(oras.Options{})); err != nil {
		t.Fatal(err)
	}
	got, err := openStore(t, endpoint, quick(oras.Options{})).Fetch(t.Context(), "a:1", oras.Component)
	if err != nil || string(got.Content) != "as it is" {
		t.Errorf("Fetch = %v, %v", got, err)
	}
}

// TestListsWithoutEnd: a registry may name a next page, and a next, and a next.
func TestListsWithoutEnd(t *testing.T) {
	endpoint := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for part, answer := range map[string]string{
				"/tags/list":  `{"name":"a","tags":["1"]}`,
				"/referrers/": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
			} {
				if strings.Contains(r.URL.Path, part) {
					w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
					w.Header().Set("Link", "<"+r.URL.Path+`?last=1>; rel="next"`)
					io.WriteString(w, answer)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	if _, err := push(t, endpoint, "a:1", oras.Component, noise(10), quick(oras.Options{})); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, endpoint, quick(oras.Options{}))
	_, err := store.Tags(t.Context(), "a")
	wantError(t, err, nil, "exceeded 1000 pages")
	_, err = store.Referrers(t.Context(), "a:1", "")
	wantError(t, err, nil, "exceeded 1000 pages")
}

// TestPullsAtOnce: pulls of one artifact into one folder don't spoil each other's
// files, and leave nothing but the file.
func TestPullsAtOnce(t *testing.T) {
	content := noise(1 << 20)
	cut := &cutting{after: 100_000} // so that all of them are at it for a while
	endpoint := serve(t, func(next http.Handler) http.Handler { cut.next = next; return cut })
	if _, err := push(t, endpoint, "big:1", oras.Component, content, quick(oras.Options{})); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var pulls sync.WaitGroup
	for range 4 {
		store := openStore(t, endpoint, quick(oras.Options{}))
		pulls.Go(func() {
			if _, _, err := store.Pull(t.Context(), "big:1", dir); err != nil {
				t.Error(err)
			}
		})
	}
	pulls.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "big.wasm" {
		t.Errorf("the folder has %v, %v; want big.wasm alone", entries, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "big.wasm")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("big.wasm has %d bytes that aren't those pushed, or: %v", len(got), err)
	}
}

func TestPullRefusesTitles(t *testing.T) {
	for _, title := range []string{
		"../x", "/etc/passwd", "a/../../x", "..", ".", "a/..", "a//b", "./a", `..\x`, `C:\x`, "C:x", "a\x00b", "a\x1b[2Jb", "a\nb", strings.Repeat("x", 1<<20), strings.Repeat("../", 20) + "x",
	} {
		store := openStore(t, "oci-layout:"+t.TempDir(), oras.Options{})
		if _, err := store.Push(t.Context(), "a:1", oras.Package{Content: []byte("x"), FileName: title}); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		_, _, err := store.Pull(t.Context(), "a:1", filepath.Join(dir, "in"))
		wantError(t, err, oras.ErrNotArtifact, "is no name of a file inside a folder")
		if len(err.Error()) > 1000 {
			t.Errorf("the error about a title has %d bytes", len(err.Error()))
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("title %q: there are files: %v, %v", title, entries, err)
		}
	}
	t.Run("a link that leads out", func(t *testing.T) {
		dir, outside := t.TempDir(), t.TempDir()
		if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, "oci-layout:"+t.TempDir(), oras.Options{})
		if _, err := store.Push(t.Context(), "a:1", oras.Package{Content: []byte("x"), FileName: "link/x"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := store.Pull(t.Context(), "a:1", dir); err == nil {
			t.Error("no error")
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
			t.Errorf("written outside: %v, %v", entries, err)
		}
	})
	t.Run("a folder inside is fine", func(t *testing.T) {
		dir := t.TempDir()
		store := openStore(t, "oci-layout:"+t.TempDir(), oras.Options{})
		if _, err := store.Push(t.Context(), "a:1", oras.Package{Content: []byte("x"), FileName: "b/c.wasm"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := store.Pull(t.Context(), "a:1", dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "b", "c.wasm")); err != nil {
			t.Error(err)
		}
	})
}

// TestNothingSecretInErrors: registries send clients to storage with signatures in
// the URL.
func TestNothingSecretInErrors(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusInternalServerError, 0} {
		storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
		}))
		storage.Config.ErrorLog = log.New(io.Discard, "", 0)
		endpoint := serve(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if isBlob(r) {
					http.Redirect(w, r, storage.URL+"/blob?sig=sesame&se=2030", http.StatusTemporaryRedirect)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		if _, err := push(t, endpoint, "a:1", oras.Component, noise(10), quick(oras.Options{})); err != nil {
			t.Fatal(err)
		}
		_, err := openStore(t, endpoint, quick(oras.Options{})).Fetch(t.Context(), "a:1", oras.Component)
		wantError(t, err, nil, "layer sha256:")
		if strings.Contains(err.Error(), "sesame") {
			t.Errorf("status %d: the error has a signature: %v", status, err)
		}
		storage.Close()
	}
}

// guarded lets in whoever shows user:sesame.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestPullSecret(t *testing.T) {
	endpoint := serve(t, guarded)
	host := strings.TrimPrefix(endpoint, "http://")
	auth := base64.StdEncoding.EncodeToString([]byte("user:sesame"))
	for name, text := range map[string]string{
		"auth":                  `{"auths":{"` + host + `":{"auth":"` + auth + `"}}}`,
		"user and password":     `{"auths":{"` + host + `":{"username":"user","password":"sesame"}}}`,
		"with scheme and path":  `{"auths":{"https://` + host + `/v1/":{"auth":"` + auth + `"}}}`,
		"wildcard":              `{"auths":{"127.0.0.*":{"auth":"` + auth + `"},"other":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("a:b")) + `"}}}`,
		"exact before wildcard": `{"auths":{"127.*":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("a:b")) + `"},"` + host + `":{"auth":"` + auth + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			secret, err := oras.PullSecret([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			opts := quick(oras.Options{Credentials: secret})
			if _, err := push(t, endpoint, "a:1", oras.Component, noise(10), opts); err != nil {
				t.Error(err)
			}
			if printed := fmt.Sprintf("%v %+v %#v", secret, opts, opts); strings.Contains(printed, "sesame") || strings.Contains(printed, auth) {
				t.Errorf("credentials print %s", printed)
			}
		})
	}
	for name, text := range map[string]string{
		"another host":   `{"auths":{"example.com":{"auth":"` + auth + `"}}}`,
		"wrong password": `{"auths":{"` + host + `":{"username":"user","password":"wrong-sesame"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			secret, err := oras.PullSecret([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			_, err = openStore(t, endpoint, quick(oras.Options{Credentials: secret})).Fetch(t.Context(), "a:1", oras.Component)
			wantError(t, err, oras.ErrDenied)
			if strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
	for text, want := range map[string]string{
		`sesame`:                            "not JSON",
		`{}`:                                `no registry under "auths"`,
		`{"auths":{"h":{"auth":"sesame"}}}`: "auth of h is no base64 of USER:PASSWORD",
		`{"auths":{"[":{"auth":"` + auth + `"}}}`: "[ is no host",
		`{"auths":{"h":{"password":["sesame"]}}}`: "not JSON of the form",
	} {
		_, err := oras.PullSecret([]byte(text))
		wantError(t, err, nil, "oras: read pull secret: ", want)
		if strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error has the password: %v", err)
		}
	}
}

func TestLogin(t *testing.T) {
	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	endpoint := serve(t, guarded)
	host := strings.TrimPrefix(endpoint, "http://")
	_, err := oras.Login(t.Context(), endpoint, "user", "wrong-sesame", quick(oras.Options{}))
	wantError(t, err, oras.ErrDenied, "neither this user nor this password")
	if strings.Contains(err.Error(), "sesame") {
		t.Errorf("the error has the password: %v", err)
	}
	if _, err := oras.Login(t.Context(), host, "user", "sesame", quick(oras.Options{})); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(config, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ Auths map[string]any }
	if err := json.Unmarshal(text, &kept); err != nil || kept.Auths[host] == nil {
		t.Errorf("config.json lacks %s: %v", host, err)
	}
	use := func() error {
		_, err := push(t, endpoint, "a:1", oras.Component, noise(10), quick(oras.Options{Credentials: oras.DockerCredentials()}))
		return err
	}
	if err := use(); err != nil {
		t.Error(err)
	}
	if err := oras.Logout(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	wantError(t, use(), oras.ErrDenied)
}

func TestTLS(t *testing.T) {
	inner := startRegistryHandler(t)
	server := httptest.NewUnstartedServer(inner)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	for name, config := range map[string]*tls.Config{"own authority": {RootCAs: pool}, "any": {InsecureSkipVerify: true}} {
		if _, err := push(t, server.URL, "a:1", oras.Component, noise(10), oras.Options{TLS: config}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := openStore(t, server.URL, oras.Options{}).Fetch(t.Context(), "a:1", oras.Component)
	wantError(t, err, nil, "signed by nobody this machine trusts", "--ca-file")
}

func TestCopyBetweenPlaces(t *testing.T) {
	dir := t.TempDir()
	registry := serve(t, nil)
	first := openStore(t, "oci-layout:"+filepath.Join(dir, "first"), oras.Options{})
	pkg := oras.Package{Kind: oras.Graph, Content: []byte("graph"), Annotations: map[string]string{"b": "2", "a": "1"}}
	want, err := first.Push(t.Context(), "x/graph:1", pkg)
	if err != nil {
		t.Fatal(err)
	}
	places := []string{"oci-layout:" + filepath.Join(dir, "first"), registry, registry + "/prefix", "oci-layout:" + filepath.Join(dir, "second")}
	for i := 1; i < len(places); i++ {
		src, dst := openStore(t, places[i-1], quick(oras.Options{})), openStore(t, places[i], quick(oras.Options{}))
		for range 2 {
			if got, err := oras.Copy(t.Context(), src, "x/graph:1", dst, "x/graph:1"); err != nil || got != want {
				t.Fatalf("copy to %s = %s, %v; want %s", dst, got, err, want)
			}
		}
		if got, err := oras.Copy(t.Context(), src, "x/graph@"+want, dst, "x/pinned@"+want); err != nil || got != want {
			t.Errorf("copy of a digest to %s = %s, %v; want %s", dst, got, err, want)
		}
		_, err := oras.Copy(t.Context(), src, "x/graph:1", dst, "x/graph@"+digest.FromString("other").String())
		wantError(t, err, oras.ErrInvalidReference, "the source has the digest "+want)
		m, err := dst.Manifest(t.Context(), "x/graph:1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pkg.Annotations, m.Annotations); diff != "" {
			t.Errorf("annotations in %s: -want +got\n%s", dst, diff)
		}
		if m.Digest != want || m.ConfigMediaType != "application/vnd.microsoft.aio.graph.v1+yaml" || m.Layers[0].Title != "graph.yaml" {
			t.Errorf("manifest in %s: %+v", dst, m)
		}
	}
	archive := func(layout string) string {
		file := filepath.Join(dir, layout+".tar")
		if err := oras.WriteArchive(file, filepath.Join(dir, layout)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := archive("second")
	store := openStore(t, "oci-archive:"+file, oras.Options{})
	if got, err := store.Fetch(t.Context(), "x/graph:1", oras.Graph); err != nil || string(got.Content) != "graph" || got.Digest != want {
		t.Errorf("from the archive: %v, %v", got, err)
	}
	bytes1, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	archive("second")
	if bytes2, err := os.ReadFile(file); err != nil || !bytes.Equal(bytes1, bytes2) {
		t.Errorf("the archive of an equal layout differs: %v", err)
	}
	_, err = store.Push(t.Context(), "a:1", pkg)
	wantError(t, err, nil, "an archive takes no pushes")
	_, err = store.Delete(t.Context(), "x/graph:1")
	wantError(t, err, nil, "nothing can be deleted from an archive")
	_, err = store.Resolve(t.Context(), "x/graf:1", oras.Graph)
	wantError(t, err, oras.ErrNotFound, "did you mean x/graph:1?")
	wantError(t, oras.WriteArchive(filepath.Join(dir, "none.tar"), filepath.Join(dir, "none")), nil, "is no OCI layout")
}

// TestArchiveThatLeadsOut: names in a tar file are never files on this machine.
func TestArchiveThatLeadsOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "evil.tar")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"schemaVersion":2,"manifests":[]}`, "../../evil": "x",
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	if err := errors.Join(w.Close(), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	_, err := openStore(t, "oci-archive:"+file, oras.Options{}).Fetch(t.Context(), "a:1", oras.Component)
	wantError(t, err, oras.ErrNotFound)
}

func TestTagsAndDelete(t *testing.T) {
	for name, endpoint := range map[string]string{"layout": "oci-layout:" + filepath.Join(t.TempDir(), "l"), "registry": serve(t, nil)} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t, endpoint, quick(oras.Options{}))
			for _, tag := range []string{"2", "1", "10"} {
				if _, err := store.Push(t.Context(), "a/b:"+tag, oras.Package{Content: []byte(tag)}); err != nil {
					t.Fatal(err)
				}
			}
			tags, err := store.Tags(t.Context(), "a/b")
			if diff := cmp.Diff([]string{"1", "10", "2"}, tags); err != nil || diff != "" {
				t.Errorf("Tags: %v, -want +got\n%s", err, diff)
			}
			_, err = store.Tags(t.Context(), "a/c")
			wantError(t, err, oras.ErrNotFound, "oras: list tags of a/c in "+endpoint)
			_, err = store.Tags(t.Context(), "a/b:1")
			wantError(t, err, oras.ErrInvalidReference)
			sum, err := store.Resolve(t.Context(), "a/b:10", oras.Component)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := store.Delete(t.Context(), "a/b:10"); err != nil || got != sum {
				t.Errorf("Delete = %s, %v; want %s", got, err, sum)
			}
			_, err = store.Fetch(t.Context(), "a/b:10", oras.Component)
			wantError(t, err, oras.ErrNotFound)
			_, err = store.Delete(t.Context(), "a/b:10")
			wantError(t, err, oras.ErrNotFound)
			if _, err := store.Fetch(t.Context(), "a/b:1", oras.Component); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	for arg, want := range map[string]oras.Location{
		"ghcr.io/a/b:1": {Endpoint: "ghcr.io", Reference: "a/b:1"},
		"localhost/a":   {Endpoint: "localhost", Reference: "a"},
		"localhost:5000/a/b@sha256:" + strings.Repeat("0", 64): {Endpoint: "localhost:5000", Reference: "a/b@sha256:" + strings.Repeat("0", 64)},
		"http://localhost:5000/a:1":                            {Endpoint: "http://localhost:5000", Reference: "a:1"},
		"https://ghcr.io/a:1":                                  {Endpoint: "https://ghcr.io", Reference: "a:1"},
		"oci-layout:dir/sub:a/b:1":                             {Endpoint: "oci-layout:dir/sub", Reference: "a/b:1"},
		"oci-layout:dir":                                       {Endpoint: "oci-layout:dir"},
		`oci-layout:C:\dir:a:1`:                                {Endpoint: `oci-layout:C:\dir`, Reference: "a:1"},
		"oci-archive:x.tar:a:1":                                {Endpoint: "oci-archive:x.tar", Reference: "a:1"},
	} {
		got, err := oras.Locate(arg)
		if err != nil || got != want {
			t.Errorf("Locate(%q) = %+v, %v; want %+v", arg, got, err, want)
		}
		if got.String() != arg {
			t.Errorf("Locate(%q) prints %q", arg, got)
		}
	}
	for _, arg := range []string{"", "a", "a/b", "./a/b", "../a", "/a/b", "ghcr.io", "ghcr.io/", "oci-layout:", "oci-layout::a", "oci-layout:d:../x", "ghcr.io/../x", "http://a/b"} {
		_, err := oras.Locate(arg)
		if !errors.Is(err, oras.ErrInvalidReference) {
			t.Errorf("Locate(%q): %v", arg, err)
		}
	}
}
