// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/wasm-graph/graphd/cmd/internal/registry"
	"github.com/wasm-graph/graphd/oras"
)

func TestKeepsWhatItIsGiven(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for i, text := range []string{"", "component"} { // the second time, what the first one kept
		handler, err := registry.New(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(handler)
		store, err := oras.OpenStore(server.URL, oras.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := store.Push(t.Context(), "a/b:1", oras.Package{Content: []byte("component")}); err != nil {
				t.Error(err)
			}
		} else if a, err := store.Fetch(t.Context(), "a/b:1", oras.Component); err != nil || string(a.Content) != text {
			t.Errorf("Fetch = %v, %v", a, err)
		} else if _, err := store.Delete(t.Context(), "a/b:1"); err != nil {
			t.Error(err)
		}
		server.Close()
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v; want 0700", info.Mode(), err)
	}
}

func TestFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.New(t.Context(), filepath.Join(file, "below")); err == nil || !strings.HasPrefix(err.Error(), "registry: open ") {
		t.Errorf("error: %v", err)
	}
}

func TestUsers(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# users\n\nuser:" + string(hash) + "\n")
	users, err := registry.ReadUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	handler := users.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the password went on")
		}
		io.WriteString(w, "in")
	}))
	for _, tt := range []struct {
		user, password string
		want           int
	}{
		{"user", "sesame", http.StatusOK},
		{"user", "Sesame", http.StatusUnauthorized},
		{"user", "", http.StatusUnauthorized},
		{"other", "sesame", http.StatusUnauthorized},
		{"", "", http.StatusUnauthorized},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		if tt.user != "" {
			r.SetBasicAuth(tt.user, tt.password)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.want || tt.want != http.StatusOK && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%q with %q: %d, want %d", tt.user, tt.password, w.Code, tt.want)
		}
	}
	for text, want := range map[string]string{
		"":              "names nobody",
		"user:sesame\n": ":1: not of the form NAME:BCRYPT",
		"user:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n":        "htpasswd -B",
		"a:" + string(hash) + "\n:" + string(hash) + "\n": ":2: not of the form",
	} {
		write(text)
		_, err := registry.ReadUsers(file)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("ReadUsers(%q): %v, want %q", text, err, want)
		}
	}
	if _, err := registry.ReadUsers(file + "-missing"); err == nil {
		t.Error("a missing file was read")
	}
}
