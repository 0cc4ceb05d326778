// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/wasm-graph/graphd/oras"
)

// PrivateKey is what somebody signs with. It prints nothing of the key.
type PrivateKey struct {
	signer signature.Signer
	public crypto.PublicKey
	chain  []*x509.Certificate // the key's own first; empty: none
}

// String returns the fingerprint of the public key.
func (k *PrivateKey) String() string {
	print, err := Fingerprint(k.public)
	if err != nil {
		return "key"
	}
	return "key " + print
}

// GoString is String.
func (k *PrivateKey) GoString() string { return k.String() }

// ParsePrivateKey reads a private key in PEM form: PKCS #8, PKCS #1 or SEC 1, or one
// that "cosign generate-key-pair" has made or imported. password is asked for one that
// is encrypted. certificates, which may be empty, are PEM: the key's own, and those
// between it and an authority.
func ParsePrivateKey(key []byte, password func() ([]byte, error), certificates []byte) (*PrivateKey, error) {
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(key, func(bool) ([]byte, error) { return password() })
	if err != nil {
		return nil, fmt.Errorf("trust: read private key: %w", err)
	}
	signer, err := signature.LoadDefaultSigner(private)
	if err != nil {
		return nil, fmt.Errorf("trust: read private key: %w", err)
	}
	k := &PrivateKey{signer: signer}
	if k.public, err = signer.PublicKey(); err != nil {
		return nil, fmt.Errorf("trust: read private key: %w", err)
	}
	if len(certificates) == 0 {
		return k, nil
	}
	if k.chain, err = ParseCertificates(certificates); err != nil {
		return nil, err
	}
	if err := cryptoutils.EqualKeys(k.chain[0].PublicKey, k.public); err != nil {
		return nil, fmt.Errorf("trust: read certificate of %s: it is of another key than the private key", k.chain[0].Subject)
	}
	return k, nil
}

// IsEncrypted reports whether a private key in PEM form needs a password.
func IsEncrypted(key []byte) bool {
	block, _ := pem.Decode(key)
	return block != nil && (bytes.Contains([]byte(block.Type), []byte("ENCRYPTED")) || block.Headers["DEK-Info"] != "")
}

// ParseCertificates reads certificates in PEM form: one or more.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if block, _ := pem.Decode(data); block == nil {
		return nil, errors.New("trust: read certificates: there is none in PEM form")
	}
	list, err := cryptoutils.UnmarshalCertificatesFromPEMLimited(data, 1000)
	if err != nil {
		return nil, fmt.Errorf("trust: read certificates: %w", err)
	}
	return list, nil
}

// ParseKeys reads public keys in PEM form: one or more, of ECDSA, RSA or Ed25519.
func ParseKeys(data []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key, err := cryptoutils.UnmarshalPEMToPublicKey(pem.EncodeToMemory(block))
		if err == nil {
			_, err = verifiers(key)
		}
		if err != nil {
			return nil, fmt.Errorf("trust: read public key %d: %w", len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("trust: read public keys: there is none in PEM form")
	}
	return keys, nil
}

// Sign signs what ref stands for and puts the signature beside it. It returns the
// digests of the artifact and of the signature's manifest.
func Sign(ctx context.Context, store *oras.Store, ref string, key *PrivateKey, format Format) (digest, signature string, err error) {
	path, _, _, err := oras.Split(ref)
	if err != nil {
		return "", "", fmt.Errorf("trust: sign: %w", err)
	}
	if digest, err = store.Resolve(ctx, ref, oras.Component); err != nil {
		return "", "", err
	}
	blob, err := key.sign(format, store.Repository(path), digest)
	if err != nil {
		return "", "", fmt.Errorf("trust: sign %s: %w", ref, err)
	}
	a := oras.Attachment{ArtifactType: bundleMediaType, Blobs: []oras.Blob{blob}, Annotations: map[string]string{
		bundleContent:   "dsse-envelope",
		bundlePredicate: signPredicate,
	}}
	if format == SimpleSigning {
		if a, err = withOthers(ctx, store, path, digest, blob); err != nil {
			return "", "", err
		}
	}
	signature, err = store.Attach(ctx, path+"@"+digest, a)
	return digest, signature, err
}

// withOthers is what the signature tag of an artifact stands for once blob is added.
func withOthers(ctx context.Context, store *oras.Store, path, digest string, blob oras.Blob) (oras.Attachment, error) {
	tag := signatureTag(digest)
	_, others, err := store.Blobs(ctx, path+":"+tag, maxSignatureBytes)
	if err != nil && !errors.Is(err, oras.ErrNotFound) {
		return oras.Attachment{}, err
	}
	// Other programs take it for an image, and want a configuration that fits the layers.
	type rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	config := struct {
		Architecture string   `json:"architecture"`
		OS           string   `json:"os"`
		Config       struct{} `json:"config"`
		RootFS       rootFS   `json:"rootfs"`
	}{RootFS: rootFS{Type: "layers"}}
	a := oras.Attachment{Tag: tag, Blobs: append(others, blob)}
	for _, b := range a.Blobs {
		sum := sha256.Sum256(b.Content)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, "sha256:"+hex.EncodeToString(sum[:]))
	}
	data, err := json.Marshal(config)
	a.Config = &oras.Blob{MediaType: "application/vnd.oci.image.config.v1+json", Content: data}
	return a, err
}

func (k *PrivateKey) signMessage(data []byte) ([]byte, error) {
	return k.signer.SignMessage(bytes.NewReader(data))
}

// hint tells which key signed, as others that write bundles do.
func (k *PrivateKey) hint() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
