// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssepb "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wasm-graph/graphd/oras"
)

// Format is a form of signatures.
type Format string

// The forms. SimpleSigning is read by every cosign there is; Bundle by cosign from 2.4
// on, and it is what cosign 3 writes.
const (
	SimpleSigning Format = "simplesigning"
	Bundle        Format = "bundle"
)

// What cosign calls things.
const (
	simpleSigningMediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation    = "dev.cosignproject.cosign/signature"
	certificateAnnotation  = "dev.sigstore.cosign/certificate"
	chainAnnotation        = "dev.sigstore.cosign/chain"

	bundleMediaTypePrefix = "application/vnd.dev.sigstore.bundle"
	bundleMediaType       = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundleContent         = "dev.sigstore.bundle.content"
	bundlePredicate       = "dev.sigstore.bundle.predicateType"
	signPredicate         = "https://sigstore.dev/cosign/sign/v1"

	intotoMediaType = "application/vnd.in-toto+json"
	intotoStatement = "https://in-toto.io/Statement/v1"
)

// maxChain bounds the certificates of one signature.
const maxChain = 16

// statement is a signature taken apart. Nothing of it was checked.
type statement struct {
	format      Format
	digest      string // of what artifact it claims to be
	signed      []byte // what the signatures are over
	signatures  [][]byte
	certificate *x509.Certificate // nil: there is none
	chain       []*x509.Certificate
}

// parse reads a signature as a store has it.
func parse(b oras.Blob) (*statement, error) {
	if b.MediaType == simpleSigningMediaType {
		return parseSimple(b)
	}
	return parseBundle(b.Content)
}

func parseSimple(b oras.Blob) (*statement, error) {
	var p payload.SimpleContainerImage
	if err := json.Unmarshal(b.Content, &p); err != nil {
		return nil, fmt.Errorf("one is no JSON: %w", err)
	}
	if p.Critical.Type != payload.CosignSignatureType {
		return nil, fmt.Errorf("one says that it is a %.80q, not a %q", p.Critical.Type, payload.CosignSignatureType)
	}
	sig, err := base64.StdEncoding.DecodeString(b.Annotations[signatureAnnotation])
	if err != nil || len(sig) == 0 {
		return nil, fmt.Errorf("one has no signature in its annotation %s", signatureAnnotation)
	}
	s := &statement{
		format: SimpleSigning, digest: p.Critical.Image.DockerManifestDigest,
		signed: b.Content, signatures: [][]byte{sig},
	}
	certificate := b.Annotations[certificateAnnotation]
	if certificate == "" {
		return s, nil
	}
	list, err := cryptoutils.UnmarshalCertificatesFromPEMLimited([]byte(certificate+"\n"+b.Annotations[chainAnnotation]), maxChain)
	if err != nil || len(list) == 0 {
		return nil, errors.New("one has a certificate that can't be read")
	}
	s.certificate, s.chain = list[0], list[1:]
	return s, nil
}

// statementV1 is what we need of an in-toto statement.
type statementV1 struct {
	Type    string `json:"_type"`
	Subject []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
}

func parseBundle(data []byte) (*statement, error) {
	var b bundlepb.Bundle
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("one is no Sigstore bundle: %w", err)
	}
	e := b.GetDsseEnvelope()
	if e == nil || e.PayloadType != intotoMediaType {
		return nil, errors.New("one is a bundle without an in-toto statement")
	}
	var claim statementV1
	if err := json.Unmarshal(e.Payload, &claim); err != nil {
		return nil, fmt.Errorf("one is a bundle whose statement is no JSON: %w", err)
	}
	if !strings.HasPrefix(claim.Type, "https://in-toto.io/Statement/") || claim.PredicateType != signPredicate {
		return nil, fmt.Errorf("one is a statement of type %.80q, which says something else about the artifact", claim.PredicateType)
	}
	if len(claim.Subject) != 1 {
		return nil, fmt.Errorf("one is a statement about %d artifacts", len(claim.Subject))
	}
	s := &statement{format: Bundle, signed: dsse.PAE(e.PayloadType, e.Payload)}
	if sum, ok := claim.Subject[0].Digest["sha256"]; ok {
		s.digest = "sha256:" + sum
	}
	if len(e.Signatures) > maxSignatures {
		return nil, fmt.Errorf("one is an envelope with %d signatures", len(e.Signatures))
	}
	for _, sig := range e.Signatures {
		s.signatures = append(s.signatures, sig.GetSig())
	}
	var raw []*commonpb.X509Certificate
	switch m := b.GetVerificationMaterial(); {
	case m.GetCertificate() != nil:
		raw = []*commonpb.X509Certificate{m.GetCertificate()}
	case m.GetX509CertificateChain() != nil:
		raw = m.GetX509CertificateChain().GetCertificates()
	}
	for i, c := range raw {
		certificate, err := x509.ParseCertificate(c.GetRawBytes())
		if err != nil || i >= maxChain {
			return nil, errors.New("one has a certificate that can't be read")
		}
		if i == 0 {
			s.certificate = certificate
		} else {
			s.chain = append(s.chain, certificate)
		}
	}
	return s, nil
}

// sign makes the signature of an artifact in one of the forms.
func (k *PrivateKey) sign(format Format, repository, digest string) (oras.Blob, error) {
	if format == Bundle {
		return k.signBundle(digest)
	}
	return k.signSimple(repository, digest)
}

func (k *PrivateKey) signSimple(repository, digest string) (oras.Blob, error) {
	data, err := json.Marshal(payload.SimpleContainerImage{Critical: payload.Critical{
		Identity: payload.Identity{DockerReference: repository},
		Image:    payload.Image{DockerManifestDigest: digest},
		Type:     payload.CosignSignatureType,
	}})
	if err != nil {
		return oras.Blob{}, err
	}
	sig, err := k.signMessage(data)
	if err != nil {
		return oras.Blob{}, err
	}
	b := oras.Blob{MediaType: simpleSigningMediaType, Content: data, Annotations: map[string]string{
		signatureAnnotation: base64.StdEncoding.EncodeToString(sig),
	}}
	if len(k.chain) == 0 {
		return b, nil
	}
	leaf, err := cryptoutils.MarshalCertificatesToPEM(k.chain[:1])
	if err != nil {
		return oras.Blob{}, err
	}
	b.Annotations[certificateAnnotation] = string(leaf)
	if len(k.chain) > 1 {
		rest, err := cryptoutils.MarshalCertificatesToPEM(k.chain[1:])
		if err != nil {
			return oras.Blob{}, err
		}
		b.Annotations[chainAnnotation] = string(rest)
	}
	return b, nil
}

func (k *PrivateKey) signBundle(digest string) (oras.Blob, error) {
	algorithm, sum, _ := strings.Cut(digest, ":")
	claim, err := json.Marshal(map[string]any{
		"_type":         intotoStatement,
		"subject":       []any{map[string]any{"digest": map[string]string{algorithm: sum}}},
		"predicateType": signPredicate,
		"predicate":     map[string]any{},
	})
	if err != nil {
		return oras.Blob{}, err
	}
	sig, err := k.signMessage(dsse.PAE(intotoMediaType, claim))
	if err != nil {
		return oras.Blob{}, err
	}
	material := &bundlepb.VerificationMaterial{}
	switch len(k.chain) {
	case 0:
		hint, err := k.hint()
		if err != nil {
			return oras.Blob{}, err
		}
		material.Content = &bundlepb.VerificationMaterial_PublicKey{PublicKey: &commonpb.PublicKeyIdentifier{Hint: hint}}
	case 1:
		material.Content = &bundlepb.VerificationMaterial_Certificate{Certificate: &commonpb.X509Certificate{RawBytes: k.chain[0].Raw}}
	default:
		chain := &commonpb.X509CertificateChain{}
		for _, c := range k.chain {
			chain.Certificates = append(chain.Certificates, &commonpb.X509Certificate{RawBytes: c.Raw})
		}
		material.Content = &bundlepb.VerificationMaterial_X509CertificateChain{X509CertificateChain: chain}
	}
	data, err := protojson.Marshal(&bundlepb.Bundle{
		MediaType:            bundleMediaType,
		VerificationMaterial: material,
		Content: &bundlepb.Bundle_DsseEnvelope{DsseEnvelope: &dssepb.Envelope{
			Payload: claim, PayloadType: intotoMediaType, Signatures: []*dssepb.Signature{{Sig: sig}},
		}},
	})
	return oras.Blob{MediaType: bundleMediaType, Content: data}, err
}

// encodeBlobs writes signatures for a Notebook.
func encodeBlobs(signatures []oras.Blob) ([]byte, error) { return json.Marshal(signatures) }

// decodeBlobs reads what encodeBlobs wrote.
func decodeBlobs(data []byte) ([]oras.Blob, error) {
	var signatures []oras.Blob
	if err := json.Unmarshal(data, &signatures); err != nil {
		return nil, fmt.Errorf("trust: read noted signatures: %w", err)
	}
	return signatures, nil
}
