// SPDX-License-Identifier: Apache-2.0

// Package trust signs artifacts and checks their signatures: that what comes out of a
// registry is what somebody whom the operator of a plant trusts has put in.
//
// A signature is over the digest of an artifact's manifest, and so over every byte of
// the artifact. It lies beside the artifact in the same repository, in either of the two
// forms that cosign knows:
//
//	SimpleSigning   a layer of the manifest that the tag sha256-HEX.sig stands for
//	Bundle          a Sigstore bundle in a manifest that refers to the artifact, with a
//	                DSSE envelope around an in-toto statement
//
// What counts is the key. A Policy lists public keys, and authorities whose X.509
// certificates for code signing may vouch for others. There is no transparency log and
// no time stamp: a certificate has to be valid at the moment of the check. What a
// signature says beyond the digest, such as the name that an image is meant to have, is
// not looked at.
package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/wasm-graph/graphd/oras"
)

// ErrUntrusted says that an artifact has no signature that a policy accepts.
var ErrUntrusted = errors.New("not trusted")

// Limits on what is looked at: whoever may write to a repository can put any number of
// signatures into it.
const (
	maxSignatures     = 64
	maxSignatureBytes = 1 << 20
)

// Policy says whose signatures count: one by any of them is enough. It must not be
// changed while it is in use; apart from that it is safe for concurrent use.
type Policy struct {
	// Keys are those of people who sign, as ParseKeys returns them.
	Keys []crypto.PublicKey
	// Authorities issue certificates to people who sign. A certificate has to be for
	// code signing, and the chain from it to an authority has to be in the signature.
	Authorities []*x509.Certificate
	// Now is the time at which certificates have to be valid. Nil means time.Now.
	Now func() time.Time
}

// Signer is who signed, by a signature that was checked.
type Signer struct {
	Format Format
	// Key is the fingerprint of the public key: "sha256:" and the hash of its PKIX form.
	Key string
	// Subject is the certificate's, empty where a key alone was trusted.
	Subject string
}

func (s Signer) String() string {
	if s.Subject != "" {
		return fmt.Sprintf("%s (key %s)", s.Subject, s.Key)
	}
	return "key " + s.Key
}

// Verify looks up what ref stands for, and returns its digest and who signed that. An
// error wraps ErrUntrusted if nobody did whom the policy trusts.
func Verify(ctx context.Context, store *oras.Store, ref string, policy *Policy) (digest string, signer *Signer, err error) {
	digest, err = store.Resolve(ctx, ref, oras.Component)
	if err != nil {
		return "", nil, err
	}
	signatures, err := Signatures(ctx, store, ref, digest)
	if err != nil {
		return digest, nil, err
	}
	if signer, err = policy.Check(digest, signatures); err != nil {
		return digest, nil, fmt.Errorf("trust: verify %s in %s: %w", ref, store, err)
	}
	return digest, signer, nil
}

// Check returns the first among the signatures that is over the digest and by somebody
// whom the policy trusts. An error wraps ErrUntrusted and says what is wrong with each.
func (p *Policy) Check(digest string, signatures []oras.Blob) (*Signer, error) {
	if len(signatures) == 0 {
		return nil, fmt.Errorf("%w: %s has no signatures; sign it with \"graphctl sign\"", ErrUntrusted, digest)
	}
	var reasons []string
	for _, blob := range signatures {
		signer, err := p.check(digest, blob)
		if err == nil {
			return signer, nil
		}
		if reason := err.Error(); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return nil, fmt.Errorf("%w: none of the signatures (%d) of %s counts: %s", ErrUntrusted, len(signatures), digest, strings.Join(reasons, "; "))
}

func (p *Policy) check(digest string, blob oras.Blob) (*Signer, error) {
	s, err := parse(blob)
	if err != nil {
		return nil, err
	}
	if s.digest != digest {
		return nil, fmt.Errorf("one is of another artifact, %.80q", s.digest)
	}
	reason := errors.New("one is by a key that isn't trusted, or was changed")
	switch {
	case len(p.Authorities) == 0:
	case s.certificate == nil:
		if len(p.Keys) == 0 {
			reason = errors.New("one has no certificate, and only those of authorities are trusted")
		}
	default:
		if reason = p.vouched(s); reason == nil {
			return s.by(s.certificate.PublicKey, s.certificate.Subject.String())
		}
	}
	for _, key := range p.Keys {
		if signer, err := s.by(key, ""); err == nil {
			return signer, nil
		}
	}
	return nil, reason
}

// vouched reports why the certificate of s isn't good, if it isn't.
func (p *Policy) vouched(s *statement) error {
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		CurrentTime:   time.Now(),
	}
	if p.Now != nil {
		opts.CurrentTime = p.Now()
	}
	for _, c := range p.Authorities {
		opts.Roots.AddCert(c)
	}
	for _, c := range s.chain {
		opts.Intermediates.AddCert(c)
	}
	if _, err := s.certificate.Verify(opts); err != nil {
		return fmt.Errorf("the certificate of %s: %w", s.certificate.Subject, err)
	}
	return nil
}

// by checks that s is signed with a key.
func (s *statement) by(key crypto.PublicKey, subject string) (*Signer, error) {
	verifiers, err := verifiers(key)
	if err != nil {
		return nil, err
	}
	for _, v := range verifiers {
		for _, sig := range s.signatures {
			if v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(s.signed)) == nil {
				print, err := Fingerprint(key)
				return &Signer{Format: s.format, Key: print, Subject: subject}, err
			}
		}
	}
	return nil, fmt.Errorf("one in the name of %s was made with another key, or was changed", subject)
}

// verifiers returns the ways in which signers use a key: with the hash that fits it,
// with SHA-256 whatever it is, and for Ed25519 with the message and with its hash.
func verifiers(key crypto.PublicKey) ([]signature.Verifier, error) {
	usual, err := signature.LoadDefaultVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("a key of type %T is not supported: %w", key, err)
	}
	list := []signature.Verifier{usual}
	if v, err := signature.LoadVerifier(key, crypto.SHA256); err == nil {
		list = append(list, v)
	}
	if v, err := signature.LoadDefaultVerifier(key, options.WithED25519ph()); err == nil {
		list = append(list, v)
	}
	return list, nil
}

// Fingerprint names a public key: "sha256:" and the hash of its PKIX form.
func Fingerprint(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("trust: name key: %w", err)
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// Signatures fetches the signatures beside an artifact, in both forms, unchecked:
// ref is a reference to it in the store, and says the repository; digest is its digest.
// There may be none.
func Signatures(ctx context.Context, store *oras.Store, ref, digest string) ([]oras.Blob, error) {
	path, _, _, err := oras.Split(ref)
	if err != nil {
		return nil, fmt.Errorf("trust: find signatures: %w", err)
	}
	var found []oras.Blob
	_, layers, err := store.Blobs(ctx, path+":"+signatureTag(digest), maxSignatureBytes)
	if err != nil && !errors.Is(err, oras.ErrNotFound) {
		return nil, fmt.Errorf("trust: find signatures: %w", err)
	}
	for _, layer := range layers {
		if layer.MediaType == simpleSigningMediaType {
			found = append(found, layer)
		}
	}
	referrers, err := store.Referrers(ctx, path+"@"+digest, "")
	if err != nil {
		return nil, fmt.Errorf("trust: find signatures: %w", err)
	}
	for _, r := range referrers {
		if !strings.HasPrefix(r.ArtifactType, bundleMediaTypePrefix) {
			continue
		}
		if len(found) >= maxSignatures {
			break
		}
		_, layers, err := store.Blobs(ctx, path+"@"+r.Digest, maxSignatureBytes)
		if err != nil {
			return nil, fmt.Errorf("trust: find signatures: %w", err)
		}
		for _, layer := range layers {
			if strings.HasPrefix(layer.MediaType, bundleMediaTypePrefix) {
				found = append(found, layer)
			}
		}
	}
	return found[:min(len(found), maxSignatures)], nil
}

// signatureTag is where SimpleSigning signatures of a digest are.
func signatureTag(digest string) string {
	return strings.Replace(digest, ":", "-", 1) + ".sig"
}

// Notebook keeps what signatures an artifact had, for when its registry is gone. It is
// safe for concurrent use.
type Notebook interface {
	// Note keeps data under the digest of an artifact.
	Note(digest string, data []byte) error
	// Noted returns it; false where there is none.
	Noted(digest string) ([]byte, bool)
}

// Source returns a source of what the policy trusts: its Fetch looks at the signatures
// in store of what source fetches. What both have in common is the endpoint. With a
// notebook, which may be nil, signatures that were seen once do when the registry is
// unavailable; they are checked all the same.
func Source(source oras.Source, store *oras.Store, policy *Policy, notebook Notebook) oras.Source {
	return &trusted{source, store, policy, notebook}
}

type trusted struct {
	oras.Source
	store    *oras.Store
	policy   *Policy
	notebook Notebook
}

// Fetch implements oras.Source.
func (t *trusted) Fetch(ctx context.Context, ref string, kind oras.Kind) (*oras.Artifact, error) {
	a, err := t.Source.Fetch(ctx, ref, kind)
	if err != nil {
		return nil, err
	}
	signatures, err := t.signatures(ctx, ref, a.Digest)
	if err != nil {
		return nil, err
	}
	if _, err := t.policy.Check(a.Digest, signatures); err != nil {
		return nil, fmt.Errorf("trust: fetch %s from %s: %w", ref, t, err)
	}
	return a, nil
}

func (t *trusted) signatures(ctx context.Context, ref, digest string) ([]oras.Blob, error) {
	found, err := Signatures(ctx, t.store, ref, digest)
	if t.notebook == nil {
		return found, err
	}
	if errors.Is(err, oras.ErrUnavailable) {
		data, ok := t.notebook.Noted(digest)
		if !ok {
			return nil, err
		}
		return decodeBlobs(data)
	}
	if err != nil || len(found) == 0 {
		return found, err
	}
	data, err := encodeBlobs(found)
	if err != nil {
		return nil, err
	}
	if noted, ok := t.notebook.Noted(digest); ok && bytes.Equal(noted, data) {
		return found, nil
	}
	// A note that can't be kept is missed only when the registry is gone.
	_ = t.notebook.Note(digest, data)
	return found, nil
}
