// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
)

// Copy copies the artifact srcRef of src to dst, where it is called dstRef, and
// returns its digest, which stays the same. What dst has already isn't copied
// again, so that a copy that was broken off goes on where it was, layer by layer.
// Progress is that of src.
func Copy(ctx context.Context, src *Store, srcRef string, dst *Store, dstRef string) (digest string, err error) {
	verb := fmt.Sprintf("copy %s from %s to REF in STORE", srcRef, src)
	from, err := parseReference(srcRef)
	if err != nil {
		return "", dst.fail(ctx, verb, dstRef, reference{}, err)
	}
	to, err := parseReference(dstRef)
	if err != nil {
		return "", dst.fail(ctx, verb, dstRef, reference{}, err)
	}
	// Before anything is moved: whether it is an artifact, and not too large.
	source, m, err := src.manifest(ctx, from)
	if err != nil {
		return "", src.fail(ctx, "copy REF from STORE", srcRef, from, err)
	}
	for _, l := range m.Layers {
		if l.Size > src.maxBytes {
			return "", src.fail(ctx, "copy REF from STORE", srcRef, from, fmt.Errorf("%d bytes are %w of %d", l.Size, ErrTooLarge, src.maxBytes))
		}
	}
	if to.digest != "" && to.digest.String() != m.Digest {
		return "", dst.fail(ctx, verb, dstRef, reference{}, fmt.Errorf("%w: the source has the digest %s", ErrInvalidReference, m.Digest))
	}
	target, name, release, err := dst.place.create(ctx, to)
	if err != nil {
		return "", dst.fail(ctx, verb, dstRef, to, err)
	}
	opts := oraslib.DefaultCopyOptions
	opts.MaxMetadataBytes = maxManifestBytes
	if a, ok := src.place.(*registry); ok {
		if b, ok := dst.place.(*registry); ok && a.host() == b.host() {
			repo, _, err := a.repository(from)
			if err != nil {
				return "", src.fail(ctx, "copy REF from STORE", srcRef, from, err)
			}
			opts.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) {
				return []string{repo.Reference.Repository}, nil
			}
		}
	}
	var root ocispec.Descriptor
	err = src.transfers.again(ctx, func() error {
		root, err = oraslib.Copy(ctx, steady{source, src.transfers}, m.Digest, target, name, opts)
		return err
	})
	release() // before anything is looked up to explain an error
	if err != nil {
		return "", dst.fail(ctx, verb, dstRef, to, err)
	}
	return root.Digest.String(), nil
}
