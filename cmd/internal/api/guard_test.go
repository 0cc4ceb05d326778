// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/api"
)

// TestGuard: without a token it is this machine that may, and no page in its browser; with
// one, whoever shows it.
func TestGuard(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	write("a-token-that-is-long\n", began)
	token, err := api.OpenToken(file)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(g *api.Guard, from, host string, header ...string) int {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = from, host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		return w.Code
	}
	open, closed := &api.Guard{}, &api.Guard{Token: token}
	const near, far = "127.0.0.1:4711", "192.0.2.1:4711"
	for _, tt := range []struct {
		name       string
		guard      *api.Guard
		from, host string
		header     []string
		want       int
	}{
		{"this machine", open, near, "127.0.0.1:9600", nil, 200},
		{"as localhost", open, near, "localhost:9600", nil, 200},
		{"IPv6", open, "[::1]:4711", "[::1]:9600", nil, 200},
		{"without a port", open, "[::1]:4711", "[::1]", nil, 200},
		{"another machine", open, far, "192.0.2.2:9600", nil, 403},
		{"by another name", open, near, "page.example:9600", nil, 403},
		{"nobody", open, "nonsense", "localhost", nil, 403},
		{"a page", open, near, "localhost:9600", []string{"Origin", "http://localhost:9600"}, 403},
		{"typed into a browser", open, near, "localhost:9600", []string{"Sec-Fetch-Site", "none"}, 200},
		{"a link", open, near, "localhost:9600", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"no token", closed, near, "localhost:9600", nil, 401},
		{"the token", closed, far, "graphd.example", []string{"Authorization", "Bearer a-token-that-is-long"}, 200},
		{"in small letters", closed, far, "graphd.example", []string{"Authorization", "bearer a-token-that-is-long"}, 200},
		{"half of it", closed, far, "graphd.example", []string{"Authorization", "Bearer a-token"}, 401},
		{"more of it", closed, far, "graphd.example", []string{"Authorization", "Bearer a-token-that-is-longer"}, 401},
		{"another scheme", closed, far, "graphd.example", []string{"Authorization", "Basic a-token-that-is-long"}, 401},
		{"nothing", closed, far, "graphd.example", []string{"Authorization", ""}, 401},
		{"the token from a page", closed, far, "graphd.example", []string{"Authorization", "Bearer a-token-that-is-long", "Origin", "https://page.example"}, 403},
	} {
		if got := ask(tt.guard, tt.from, tt.host, tt.header...); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}

	// The file is read again when it has changed; one that can't be read lets nobody in.
	write("another-token-that-is-long", began.Add(time.Second))
	if got := ask(closed, far, "h", "Authorization", "Bearer a-token-that-is-long"); got != 401 {
		t.Errorf("the token of before: %d", got)
	}
	if got := ask(closed, far, "h", "Authorization", "Bearer another-token-that-is-long"); got != 200 {
		t.Errorf("the token of now: %d", got)
	}
	write("", began.Add(2*time.Second))
	if got := ask(closed, far, "h", "Authorization", "Bearer "); got != 500 {
		t.Errorf("an empty token: %d", got)
	}
	for text, want := range map[string]string{"short": "16 characters or more", "two words of enough length": "one word"} {
		write(text, began)
		if _, err := api.OpenToken(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:9600": true, "localhost:9600": true, "[::1]:0": true, "127.9.9.9:1": true,
		":9600": false, "0.0.0.0:9600": false, "[::]:9600": false, "factory:9600": false, "127.0.0.1": false, "": false,
	} {
		if got := api.Loopback(addr); got != want {
			t.Errorf("%q: %v", addr, got)
		}
	}
}

// TestCertificate renews a certificate under a server.
func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	serial := int64(0)
	write := func(files ...string) {
		t.Helper()
		serial++
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "graphd"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			block := &pem.Block{Type: "CERTIFICATE", Bytes: der}
			if file == key {
				block = &pem.Block{Type: "PRIVATE KEY", Bytes: secret}
			}
			if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(time.Duration(serial) * time.Second)
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := api.OpenCertificate(cert, key); err == nil {
		t.Error("what isn't there was opened")
	}
	write(cert, key)
	c, err := api.OpenCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	is := func(want int64) {
		t.Helper()
		got, err := c.Get(nil)
		if err != nil || got.Leaf.SerialNumber.Int64() != want {
			t.Errorf("got %v (%v), want number %d", got.Leaf.SerialNumber, err, want)
		}
	}
	is(1)
	write(cert, key)
	is(2)
	write(cert) // whose key is yet to come
	is(2)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	is(2)
	write(cert, key)
	is(4)
}
