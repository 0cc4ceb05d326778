// SPDX-License-Identifier: Apache-2.0

package wiring_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/wasm-graph/graphd/cmd/internal/registry"
	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/trust"
)

func TestNodeKeepsItsID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := wiring.Node(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uuid.Parse(first); err != nil {
		t.Errorf("node id %q: %v", first, err)
	}
	if again, err := wiring.Node(dir); err != nil || again != first {
		t.Errorf("Node() = %q, %v; the first time %q", again, err, first)
	}
	if other, err := wiring.Node(t.TempDir()); err != nil || other == first {
		t.Errorf("Node() of another folder = %q, %v", other, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte("me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wiring.Node(dir); err == nil || !strings.Contains(err.Error(), "remove it for a new one") {
		t.Errorf("a damaged id: %v", err)
	}
}

func TestLockData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	unlock, err := wiring.LockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wiring.LockData(dir); err == nil || !strings.Contains(err.Error(), dir+"; give this one another --data-dir") {
		t.Errorf("LockData() of a folder in use = %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if unlock, err = wiring.LockData(dir); err != nil {
		t.Fatalf("LockData() of a folder that is free again: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestArtifactsAreRelativeToTheirEndpoint(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"simple.yaml": "graph", "temperature.wasm": "component"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	endpoint := &resource.RegistryEndpoint{Meta: resource.Meta{Dir: filepath.Join(dir, "sub")}, Host: "file://.."}
	registries := wiring.NewRegistries("", slog.New(slog.DiscardHandler))
	artifacts, err := registries.Artifacts(&resource.Set{}, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	definition, err := artifacts.Definition(t.Context(), "simple:1.0.0")
	if err != nil || string(definition.Content) != "graph" {
		t.Errorf("Definition() = %q, %v", definition.Content, err)
	}
	component, err := artifacts.Component(t.Context(), "temperature:1.0.0")
	if err != nil || string(component.Content) != "component" || !strings.HasPrefix(component.ContentDigest, "sha256:") {
		t.Errorf("Component() = %q, %q, %v", component.Content, component.ContentDigest, err)
	}
	digest, err := artifacts.Resolve(t.Context(), "temperature:1.0.0", deploy.ComponentArtifact)
	if err != nil || digest != component.Digest {
		t.Errorf("Resolve() = %q, %v; Component says %q", digest, err, component.Digest)
	}
	// What names its digest is not looked up, not even where it isn't there.
	pinned := "sha256:" + strings.Repeat("0", 64)
	if digest, err := artifacts.Resolve(t.Context(), "gone:1.0.0@"+pinned, deploy.ComponentArtifact); err != nil || digest != pinned {
		t.Errorf("Resolve() of a digest = %q, %v", digest, err)
	}
	if _, err := artifacts.Definition(t.Context(), "temperature:1.0.0"); err == nil {
		t.Error("a component was taken for a definition")
	}
	if _, err := artifacts.Component(t.Context(), "simple:1.0.0"); err == nil {
		t.Error("a definition was taken for a component")
	}
	if _, err := registries.Artifacts(&resource.Set{}, &resource.RegistryEndpoint{Host: "ftp://x"}); err == nil {
		t.Error("an endpoint of an unknown scheme was opened")
	}
}

// TestArtifactsOfARegistry: with the pull secret's credentials, and from the cache
// when the registry is gone.
func TestArtifactsOfARegistry(t *testing.T) {
	handler, err := registry.New(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	config := []byte(`{"auths":{"` + strings.TrimPrefix(server.URL, "http://") + `":{"username":"user","password":"sesame"}}}`)
	credentials, err := oras.PullSecret(config)
	if err != nil {
		t.Fatal(err)
	}
	store, err := oras.OpenStore(server.URL, oras.Options{Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Push(t.Context(), "a:1", oras.Package{Content: []byte("component")}); err != nil {
		t.Fatal(err)
	}

	endpoint := &resource.RegistryEndpoint{Host: server.URL}
	secret := &resource.Secret{Data: map[string][]byte{".dockerconfigjson": config}}
	dir := t.TempDir()
	component := func(secret *resource.Secret) (string, error) {
		t.Helper()
		set := &resource.Set{}
		if endpoint.PullSecret = ""; secret != nil {
			endpoint.PullSecret = "pull"
			set.Secrets = map[resource.Key]*resource.Secret{{Name: "pull"}: secret}
		}
		artifacts, err := wiring.NewRegistries(dir, slog.New(slog.DiscardHandler)).Artifacts(set, endpoint)
		if err != nil {
			return "", err
		}
		content, err := artifacts.Component(t.Context(), "a:1")
		return string(content.Content), err
	}
	if _, err := component(nil); !errors.Is(err, oras.ErrDenied) {
		t.Errorf("without the secret: %v", err)
	}
	if _, err := component(&resource.Secret{}); err == nil || !strings.Contains(err.Error(), "has no .dockerconfigjson; kubectl create secret docker-registry") {
		t.Errorf("with another secret: %v", err)
	}
	if got, err := component(secret); err != nil || got != "component" {
		t.Errorf("with the secret: %q, %v", got, err)
	}
	server.Close()
	if got, err := component(secret); err != nil || got != "component" {
		t.Errorf("after the registry is gone: %q, %v", got, err)
	}
}

// TestArtifactsThatAreTrusted: what nobody signed whom the endpoint trusts is refused,
// with and without the registry.
func TestArtifactsThatAreTrusted(t *testing.T) {
	handler, err := registry.New(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	store, err := oras.OpenStore(server.URL, oras.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Push(t.Context(), "a:1", oras.Package{Content: []byte("component")}); err != nil {
		t.Fatal(err)
	}
	newKey := func() (private, public []byte) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})
	}
	annPrivate, ann := newKey()
	_, bob := newKey()
	dir := t.TempDir()
	fetch := func(object map[string][]byte) error {
		t.Helper()
		set := &resource.Set{ConfigMaps: map[resource.Key]*resource.ConfigMap{{Name: "keys"}: {Data: object}}}
		artifacts, err := wiring.NewRegistries(dir, slog.New(slog.DiscardHandler)).Artifacts(set, &resource.RegistryEndpoint{
			Host: server.URL, SigningKeys: []resource.ObjectRef{{Kind: "ConfigMap", Name: "keys"}},
		})
		if err != nil {
			return err
		}
		_, err = artifacts.Component(t.Context(), "a:1")
		return err
	}
	if err := fetch(map[string][]byte{"ann.pub": ann}); !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("unsigned: got %v, want ErrUntrusted", err)
	}
	key, err := trust.ParsePrivateKey(annPrivate, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := trust.Sign(t.Context(), store, "a:1", key, trust.SimpleSigning); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := fetch(map[string][]byte{"bob.pub": bob, "ann.pub": ann}); err != nil {
			t.Errorf("signed: %v", err)
		}
		if err := fetch(map[string][]byte{"bob.pub": bob}); !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("signed by another: got %v, want ErrUntrusted", err)
		}
		server.Close() // and all of it again from the cache
	}
	for _, tt := range []struct {
		object map[string][]byte
		want   string
	}{
		{nil, "ConfigMap keys is empty; put PEM files into it"},
		{map[string][]byte{"x": []byte("x")}, "ConfigMap keys: x: trust: read public keys: there is none in PEM form"},
	} {
		if err := fetch(tt.object); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// TestArtifactsOfAnIdentity: the machine's identity opens a registry in Azure.
func TestArtifactsOfAnIdentity(t *testing.T) {
	handler, err := registry.New(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/identity":
			fmt.Fprintf(w, `{"access_token":"entra %s %s","expires_on":"4102444800"}`, r.URL.Query().Get("client_id"), r.URL.Query().Get("resource"))
		case r.URL.Path == "/oauth2/exchange":
			fmt.Fprintf(w, `{"refresh_token":"refresh %s"}`, r.FormValue("access_token"))
		case r.URL.Path == "/oauth2/token":
			if got := r.FormValue("refresh_token"); got != "refresh entra plant-id https://management.azure.com/" {
				t.Errorf("asked for a token with %q", got)
			}
			fmt.Fprint(w, `{"access_token":"pass"}`)
		case r.Header.Get("Authorization") == "Bearer pass":
			handler.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/oauth2/token",service="x"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/identity")
	t.Setenv("IDENTITY_HEADER", "shown")
	artifacts, err := wiring.NewRegistries("", slog.New(slog.DiscardHandler)).Artifacts(&resource.Set{}, &resource.RegistryEndpoint{
		Host:     server.URL,
		Identity: &resource.ManagedIdentity{ClientID: "plant-id", TenantID: "plant", Scope: "https://management.azure.com//.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := artifacts.Component(t.Context(), "a:1"); !errors.Is(err, oras.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound from behind the door", err)
	}
}

// TestNoPlaceForACache: a registry is used without one.
func TestNoPlaceForACache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	registries := wiring.NewRegistries(file, slog.New(slog.DiscardHandler))
	if _, err := registries.Artifacts(&resource.Set{}, &resource.RegistryEndpoint{Host: "localhost:1"}); err != nil {
		t.Error(err)
	}
}

// Both programs keep what can be had again where the user does, or else in the data
// folder.
func TestFoldersOfCaches(t *testing.T) {
	user := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", user)
	if dir, err := os.UserCacheDir(); err != nil || dir != user {
		t.Logf("the user's cache is %s, %v", dir, err) // other systems have other variables
		user = dir
	}
	for name, got := range map[string]string{"compiled": wiring.CompiledDir("data"), "artifacts": wiring.ArtifactDir("data")} {
		if want := filepath.Join(user, "graphd", name); got != want {
			t.Errorf("folder is %s, want %s", got, want)
		}
	}
	for _, variable := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(variable, "")
	}
	for name, got := range map[string]string{"compiled": wiring.CompiledDir("data"), "artifacts": wiring.ArtifactDir("data")} {
		if want := filepath.Join("data", name); got != want {
			t.Errorf("folder is %s, want %s", got, want)
		}
	}
	if got := wiring.CompiledDir(""); got != "" {
		t.Errorf("folder is %s, want none", got)
	}
}
