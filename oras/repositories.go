// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"errors"
	"fmt"

	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// place is where repositories are: a local layout or a registry.
type place interface {
	// find returns the repository of r and what r is called in there: a tag or a
	// digest.
	find(ctx context.Context, r reference) (oraslib.ReadOnlyTarget, string, error)
	// create is find for one who pushes: the repository need not exist.
	create(ctx context.Context, r reference) (oraslib.Target, string, error)
	// explain adds to an error of the repository what there is instead, or what to
	// do next.
	explain(ctx context.Context, r reference, err error) error
	String() string
}

// repositories is a source of OCI manifests.
type repositories struct {
	place    place
	maxBytes int64
}

func (s *repositories) String() string { return s.place.String() }

func (s *repositories) Resolve(ctx context.Context, ref string, _ Kind) (string, error) {
	r, err := parseReference(ref)
	if err != nil {
		return "", fmt.Errorf("oras: resolve %s in %s: %w", ref, s, err)
	}
	repo, name, err := s.place.find(ctx, r)
	if err == nil {
		desc, resolveErr := repo.Resolve(ctx, name)
		if resolveErr == nil {
			return desc.Digest.String(), nil
		}
		err = resolveErr
	}
	return "", fmt.Errorf("oras: resolve %s in %s: %w", ref, s, s.place.explain(ctx, r, notFound(err)))
}

func (s *repositories) Fetch(ctx context.Context, ref string, _ Kind) (*Artifact, error) {
	r, err := parseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("oras: fetch %s from %s: %w", ref, s, err)
	}
	a, err := s.fetch(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("oras: fetch %s from %s: %w", ref, s, s.place.explain(ctx, r, notFound(err)))
	}
	return a, nil
}

func (s *repositories) fetch(ctx context.Context, r reference) (*Artifact, error) {
	repo, name, err := s.place.find(ctx, r)
	if err != nil {
		return nil, err
	}
	opts := oraslib.DefaultFetchBytesOptions
	opts.MaxBytes = maxManifestBytes
	desc, manifest, err := oraslib.FetchBytes(ctx, repo, name, opts)
	if errors.Is(err, errdef.ErrSizeExceedsLimit) {
		return nil, fmt.Errorf("%w: its manifest is %w of %d bytes", ErrNotArtifact, ErrTooLarge, maxManifestBytes)
	}
	if err != nil {
		return nil, err
	}
	layer, err := firstLayer(manifest)
	if err != nil {
		return nil, err
	}
	if layer.Size > s.maxBytes {
		return nil, fmt.Errorf("%d bytes are %w of %d", layer.Size, ErrTooLarge, s.maxBytes)
	}
	rc, err := repo.Fetch(ctx, layer)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, fmt.Errorf("%w: its manifest is there and its layer %s is not; push it again", ErrNotArtifact, layer.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	defer rc.Close()
	bytes, err := content.ReadAll(rc, layer) // checks size and digest
	if err != nil {
		return nil, fmt.Errorf("layer %s of %d bytes: %w", layer.Digest, layer.Size, err)
	}
	return &Artifact{
		Digest:        desc.Digest.String(),
		ContentDigest: layer.Digest.String(),
		MediaType:     layer.MediaType,
		Content:       bytes,
	}, nil
}

// notFound gives an error of oras-go that means it our own sentinel too.
func notFound(err error) error {
	if errors.Is(err, errdef.ErrNotFound) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
