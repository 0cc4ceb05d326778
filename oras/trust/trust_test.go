// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sirupsen/logrus"

	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/trust"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // the registry's log
	os.Exit(m.Run())
}

// stores opens a store of each sort: without a registry, with one that lacks the
// referrers API, and with one that has it.
var stores = map[string]func(t *testing.T) *oras.Store{
	"layout": func(t *testing.T) *oras.Store { return open(t, "oci-layout:"+t.TempDir()) },
	"registry": func(t *testing.T) *oras.Store {
		config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": nil}}
		config.Log.Level = "panic"
		config.Catalog.MaxEntries = 100
		return open(t, serve(t, handlers.NewApp(t.Context(), config)))
	},
	"registry with referrers": func(t *testing.T) *oras.Store {
		return open(t, serve(t, registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))))
	},
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func open(t *testing.T, endpoint string) *oras.Store {
	t.Helper()
	s, err := oras.OpenStore(endpoint, oras.Options{Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// push puts an artifact into a store.
func push(t *testing.T, s *oras.Store, ref, content string) (digest string) {
	t.Helper()
	digest, err := s.Push(t.Context(), ref, oras.Package{Kind: oras.Component, Content: []byte("\x00asm" + content)})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// identity is a key pair in PEM form.
type identity struct {
	key             crypto.Signer
	private, public []byte
}

func newIdentity(t *testing.T, key crypto.Signer) identity {
	t.Helper()
	private, err := cryptoutils.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return identity{key, private, public}
}

func newECDSA(t *testing.T, curve elliptic.Curve) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newIdentity(t, key)
}

// parse returns the identity's private key, in the name of certificates.
func (i identity) parse(t *testing.T, certificates []byte) *trust.PrivateKey {
	t.Helper()
	k, err := trust.ParsePrivateKey(i.private, nil, certificates)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// policy trusts the identity's key.
func (i identity) policy(t *testing.T) *trust.Policy {
	t.Helper()
	keys, err := trust.ParseKeys(i.public)
	if err != nil {
		t.Fatal(err)
	}
	return &trust.Policy{Keys: keys}
}

func TestSignAndVerify(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	identities := map[string]identity{
		"P-256":   newECDSA(t, elliptic.P256()),
		"P-384":   newECDSA(t, elliptic.P384()),
		"RSA":     newIdentity(t, rsaKey),
		"Ed25519": newIdentity(t, edKey),
	}
	for storeName, openStore := range stores {
		for _, format := range []trust.Format{trust.SimpleSigning, trust.Bundle} {
			t.Run(storeName+"/"+string(format), func(t *testing.T) {
				s := openStore(t)
				digest := push(t, s, "a/temperature:1.0.0", "one")
				for name, id := range identities {
					if _, _, err := trust.Verify(t.Context(), s, "a/temperature:1.0.0", id.policy(t)); !errors.Is(err, trust.ErrUntrusted) {
						t.Errorf("%s: verify before it signed: got %v, want ErrUntrusted", name, err)
					}
					signed, _, err := trust.Sign(t.Context(), s, "a/temperature:1.0.0", id.parse(t, nil), format)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if signed != digest {
						t.Errorf("%s: signed %s, want %s", name, signed, digest)
					}
					got, signer, err := trust.Verify(t.Context(), s, "a/temperature@"+digest, id.policy(t))
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					print, err := trust.Fingerprint(id.key.Public())
					if err != nil {
						t.Fatal(err)
					}
					if want := (trust.Signer{Format: format, Key: print}); got != digest || *signer != want {
						t.Errorf("%s: got %s by %+v, want %s by %+v", name, got, *signer, digest, want)
					}
				}
				// Each signature is still there, and none is for another artifact.
				push(t, s, "a/temperature:2.0.0", "two")
				for name, id := range identities {
					if _, _, err := trust.Verify(t.Context(), s, "a/temperature:1.0.0", id.policy(t)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if _, _, err := trust.Verify(t.Context(), s, "a/temperature:2.0.0", id.policy(t)); !errors.Is(err, trust.ErrUntrusted) {
						t.Errorf("%s: verify of what nobody signed: got %v, want ErrUntrusted", name, err)
					}
				}
			})
		}
	}
}

// authority is one that issues certificates.
type authority struct {
	identity
	certificate *x509.Certificate
	pem         []byte
}

var day = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// issue makes a certificate for subject, valid for a year from day on; change may
// change it before it is signed.
func (a *authority) issue(t *testing.T, name string, subject identity, change func(*x509.Certificate)) *authority {
	t.Helper()
	serial, err := cryptoutils.GenerateSerialNumber()
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: day, NotAfter: day.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if change != nil {
		change(c)
	}
	parent, key := c, subject.key
	if a != nil {
		parent, key = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, subject.key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{subject, c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// isCA makes a certificate that of an authority.
func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	c.ExtKeyUsage = nil
}

func TestCertificates(t *testing.T) {
	var nobody *authority
	root := nobody.issue(t, "Plant", newECDSA(t, elliptic.P256()), isCA)
	other := nobody.issue(t, "Stranger", newECDSA(t, elliptic.P256()), isCA)
	between := root.issue(t, "Team", newECDSA(t, elliptic.P256()), isCA)
	id := newECDSA(t, elliptic.P256())
	leaf := between.issue(t, "Ann", id, nil)
	server := between.issue(t, "Server", id, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	inJune := func() time.Time { return day.AddDate(0, 6, 0) }
	chain := bytes.Join([][]byte{leaf.pem, between.pem}, nil)
	tests := []struct {
		name         string
		certificates []byte
		policy       trust.Policy
		want         string // in the error; empty: none
	}{
		{"good", chain, trust.Policy{Authorities: []*x509.Certificate{root.certificate}, Now: inJune}, ""},
		{"one of several authorities", chain, trust.Policy{Authorities: []*x509.Certificate{other.certificate, root.certificate}, Now: inJune}, ""},
		{"the one in between is trusted", leaf.pem, trust.Policy{Authorities: []*x509.Certificate{between.certificate}, Now: inJune}, ""},
		{"the key is trusted", chain, trust.Policy{Keys: id.policy(t).Keys, Now: inJune}, ""},
		{"the key is trusted, another authority too", chain, trust.Policy{Keys: id.policy(t).Keys, Authorities: []*x509.Certificate{other.certificate}, Now: inJune}, ""},
		{"another authority", chain, trust.Policy{Authorities: []*x509.Certificate{other.certificate}, Now: inJune}, "unknown authority"},
		{"chain missing", leaf.pem, trust.Policy{Authorities: []*x509.Certificate{root.certificate}, Now: inJune}, "unknown authority"},
		{"expired", chain, trust.Policy{Authorities: []*x509.Certificate{root.certificate}, Now: func() time.Time { return day.AddDate(2, 0, 0) }}, "expired"},
		{"not yet valid", chain, trust.Policy{Authorities: []*x509.Certificate{root.certificate}, Now: func() time.Time { return day.AddDate(-1, 0, 0) }}, "not yet valid"},
		{"for servers only", bytes.Join([][]byte{server.pem, between.pem}, nil), trust.Policy{Authorities: []*x509.Certificate{root.certificate}, Now: inJune}, "incompatible key usage"},
		{"without a certificate", nil, trust.Policy{Authorities: []*x509.Certificate{root.certificate}, Now: inJune}, "no certificate"},
		{"nobody is trusted", chain, trust.Policy{Now: inJune}, "isn't trusted"},
	}
	for _, format := range []trust.Format{trust.SimpleSigning, trust.Bundle} {
		for _, test := range tests {
			t.Run(string(format)+"/"+test.name, func(t *testing.T) {
				s := stores["layout"](t)
				push(t, s, "temperature:1.0.0", "one")
				if _, _, err := trust.Sign(t.Context(), s, "temperature:1.0.0", id.parse(t, test.certificates), format); err != nil {
					t.Fatal(err)
				}
				_, signer, err := trust.Verify(t.Context(), s, "temperature:1.0.0", &test.policy)
				if test.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if len(test.policy.Keys) == 0 && signer.Subject != "CN=Ann" {
						t.Errorf("got signer %+v, want CN=Ann", signer)
					}
					return
				}
				if !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want ErrUntrusted with %q", err, test.want)
				}
			})
		}
	}
}

// TestChanged changes every byte of a signature.
func TestChanged(t *testing.T) {
	id := newECDSA(t, elliptic.P256())
	for _, format := range []trust.Format{trust.SimpleSigning, trust.Bundle} {
		t.Run(string(format), func(t *testing.T) {
			s := stores["layout"](t)
			digest := push(t, s, "temperature:1.0.0", "one")
			if _, _, err := trust.Sign(t.Context(), s, "temperature:1.0.0", id.parse(t, nil), format); err != nil {
				t.Fatal(err)
			}
			signatures, err := trust.Signatures(t.Context(), s, "temperature:1.0.0", digest)
			if err != nil || len(signatures) != 1 {
				t.Fatalf("got %d signatures and %v, want one", len(signatures), err)
			}
			policy := id.policy(t)
			if _, err := policy.Check(digest, signatures); err != nil {
				t.Fatal(err)
			}
			if _, err := policy.Check("sha256:"+strings.Repeat("0", 64), signatures); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("of another artifact: got %v, want ErrUntrusted", err)
			}
			whole := signatures[0].Content
			accepted := 0
			for i := range whole {
				changed := bytes.Clone(whole)
				changed[i] ^= 1
				if _, err := policy.Check(digest, []oras.Blob{{MediaType: signatures[0].MediaType, Annotations: signatures[0].Annotations, Content: changed}}); err == nil {
					accepted++
				}
			}
			// A bundle has bytes that nobody signs: which key it was, what it is called.
			if format == trust.SimpleSigning && accepted > 0 {
				t.Errorf("%d of %d changes were not noticed", accepted, len(whole))
			}
			if accepted > len(whole)/2 {
				t.Errorf("%d of %d changes were not noticed", accepted, len(whole))
			}
		})
	}
}

func TestOtherThingsBesideAnArtifact(t *testing.T) {
	id := newECDSA(t, elliptic.P256())
	for name, openStore := range stores {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			digest := push(t, s, "temperature:1.0.0", "one")
			junk := []oras.Attachment{
				{ArtifactType: "application/vnd.cyclonedx+json", Blobs: []oras.Blob{{MediaType: "application/json", Content: []byte("{}")}}},
				{ArtifactType: "application/vnd.dev.sigstore.bundle.v0.3+json", Blobs: []oras.Blob{{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", Content: []byte("no bundle")}}},
				{ArtifactType: "application/vnd.dev.sigstore.bundle.v0.3+json", Blobs: []oras.Blob{{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", Content: []byte(`{"messageSignature":{}}`)}}},
			}
			for _, a := range junk {
				if _, err := s.Attach(t.Context(), "temperature:1.0.0", a); err != nil {
					t.Fatal(err)
				}
			}
			_, _, err := trust.Verify(t.Context(), s, "temperature:1.0.0", id.policy(t))
			if !errors.Is(err, trust.ErrUntrusted) {
				t.Fatalf("got %v, want ErrUntrusted", err)
			}
			if _, _, err := trust.Sign(t.Context(), s, "temperature:1.0.0", id.parse(t, nil), trust.Bundle); err != nil {
				t.Fatal(err)
			}
			if got, _, err := trust.Verify(t.Context(), s, "temperature:1.0.0", id.policy(t)); err != nil || got != digest {
				t.Errorf("got %s and %v, want %s", got, err, digest)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	id := newECDSA(t, elliptic.P256())
	secret := cryptoutils.StaticPasswordFunc([]byte("secret"))
	encrypted, _, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), secret)
	if err != nil {
		t.Fatal(err)
	}
	password := func(word string) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(word), nil }
	}
	var nobody *authority
	stranger := nobody.issue(t, "Stranger", newECDSA(t, elliptic.P256()), nil)
	tests := []struct {
		name         string
		private      []byte
		password     func() ([]byte, error)
		certificates []byte
		want         string
	}{
		{"plain", id.private, nil, nil, ""},
		{"encrypted", encrypted, password("secret"), nil, ""},
		{"wrong password", encrypted, password("other"), nil, "trust: read private key: "},
		{"no PEM", []byte("key"), nil, nil, "PEM decoding failed"},
		{"public", id.public, nil, nil, "unknown private key PEM file type"},
		{"certificate of another key", id.private, nil, stranger.pem, "it is of another key"},
		{"no certificate", id.private, nil, []byte("certificate"), "there is none in PEM form"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key, err := trust.ParsePrivateKey(test.private, test.password, test.certificates)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%v %#v", key, key); !strings.HasPrefix(got, "key sha256:") || strings.Contains(got, "{") {
				t.Errorf("printed as %s", got)
			}
		})
	}
	if !trust.IsEncrypted(encrypted) || trust.IsEncrypted(id.private) {
		t.Error("IsEncrypted confuses keys")
	}
	keys, err := trust.ParseKeys(append(bytes.Clone(id.public), newECDSA(t, elliptic.P384()).public...))
	if err != nil || len(keys) != 2 {
		t.Errorf("two public keys: got %d and %v", len(keys), err)
	}
	for _, data := range []string{"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", string(id.private)} {
		if keys, err := trust.ParseKeys([]byte(data)); err == nil {
			t.Errorf("%q: got %v, want an error", data, keys)
		}
	}
}

// notes is a Notebook.
type notes map[string][]byte

func (n notes) Note(digest string, data []byte) error { n[digest] = data; return nil }

func (n notes) Noted(digest string) ([]byte, bool) { data, ok := n[digest]; return data, ok }

// kept is a source that has an artifact whether or not its registry is there.
type kept struct {
	oras.Source
	artifact *oras.Artifact
}

func (k kept) Fetch(context.Context, string, oras.Kind) (*oras.Artifact, error) {
	return k.artifact, nil
}

func TestSource(t *testing.T) {
	id := newECDSA(t, elliptic.P256())
	down := false
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := open(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})))
	push(t, s, "temperature:1.0.0", "one")
	notebook := notes{}
	source := trust.Source(s, s, id.policy(t), notebook)
	fetch := func(source oras.Source) (*oras.Artifact, error) {
		return source.Fetch(t.Context(), "temperature:1.0.0", oras.Component)
	}
	if _, err := fetch(source); !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), "has no signatures") {
		t.Fatalf("unsigned: got %v, want ErrUntrusted", err)
	}
	if _, _, err := trust.Sign(t.Context(), s, "temperature:1.0.0", id.parse(t, nil), trust.SimpleSigning); err != nil {
		t.Fatal(err)
	}
	a, err := fetch(source)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Content) != "\x00asmone" {
		t.Errorf("got %q", a.Content)
	}
	down = true
	cache := kept{s, a}
	if _, err := fetch(trust.Source(cache, s, id.policy(t), notebook)); err != nil {
		t.Errorf("registry down, signature known: %v", err)
	}
	if _, err := fetch(trust.Source(cache, s, newECDSA(t, elliptic.P256()).policy(t), notebook)); !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("registry down, policy changed: got %v, want ErrUntrusted", err)
	}
	if _, err := fetch(trust.Source(cache, s, id.policy(t), notes{})); !errors.Is(err, oras.ErrUnavailable) {
		t.Errorf("registry down, signature unknown: got %v, want ErrUnavailable", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{"critical":{"image":{"docker-manifest-digest":"sha256:00"},"type":"cosign container image signature"}}`), "AAAA", "")
	f.Add("application/vnd.dev.sigstore.bundle.v0.3+json", []byte(`{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`), "", "")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	policy := trust.Policy{Keys: []crypto.PublicKey{&key.PublicKey}}
	f.Fuzz(func(t *testing.T, mediaType string, content []byte, signature, certificate string) {
		_, err := policy.Check("sha256:"+strings.Repeat("0", 64), []oras.Blob{{MediaType: mediaType, Content: content, Annotations: map[string]string{
			"dev.cosignproject.cosign/signature": signature, "dev.sigstore.cosign/certificate": certificate,
		}}})
		if !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("got %v, want ErrUntrusted", err)
		}
	})
}
