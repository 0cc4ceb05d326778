// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// Push packs data as an artifact of that kind, puts it into the layout or
// registry that endpoint names, and returns the digest of its manifest. The same
// data under the same reference has the same digest whenever and wherever it
// is pushed. A layout is made where there is none; a folder takes plain files and
// is refused.
func Push(ctx context.Context, endpoint, ref string, kind Kind, data []byte, opts Options) (digest string, err error) {
	source, err := Open(endpoint, opts)
	if err != nil {
		return "", err
	}
	s, ok := source.(*repositories)
	if !ok {
		return "", fmt.Errorf("oras: push %s to %s: a folder takes no pushes; copy the file into it", ref, source)
	}
	r, err := parseReference(ref)
	if err == nil && r.digest != "" {
		err = fmt.Errorf("%w: a push names a tag, the digest is its result", ErrInvalidReference)
	}
	if err != nil {
		return "", fmt.Errorf("oras: push %s to %s: %w", ref, s, err)
	}
	desc, err := s.push(ctx, r, kind, data)
	if err != nil {
		return "", fmt.Errorf("oras: push %s to %s: %w", ref, s, s.place.explain(ctx, r, err))
	}
	return desc.Digest.String(), nil
}

func (s *repositories) push(ctx context.Context, r reference, kind Kind, data []byte) (ocispec.Descriptor, error) {
	repo, name, err := s.place.create(ctx, r)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layer, err := pushBytes(ctx, repo, layerMediaType(kind), data)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: r.name() + extensions(kind)[0]}
	pack := oraslib.PackManifestOptions{
		Layers: []ocispec.Descriptor{layer},
		// A fixed time makes the digest a function of what is pushed.
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: "1970-01-01T00:00:00Z"},
	}
	artifactType := componentArtifactType
	if kind == Graph {
		config, err := pushBytes(ctx, repo, graphConfigMediaType, []byte("{}"))
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		pack.ConfigDescriptor, artifactType = &config, ""
	}
	desc, err := oraslib.PackManifest(ctx, repo, oraslib.PackManifestVersion1_1, artifactType, pack)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return desc, repo.Tag(ctx, desc, name)
}

// pushBytes pushes a blob that may be there already.
func pushBytes(ctx context.Context, repo oraslib.Target, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := content.NewDescriptorFromBytes(mediaType, data)
	if err := repo.Push(ctx, desc, bytes.NewReader(data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return ocispec.Descriptor{}, err
	}
	return desc, nil
}
