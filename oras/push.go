// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	ociregistry "oras.land/oras-go/v2/registry"
)

// Package is what is pushed as one artifact.
type Package struct {
	Kind    Kind
	Content []byte
	// FileName is the name that the content gets when it is pulled. Empty means the
	// reference's, with the kind's extension.
	FileName string
	// Annotations of the manifest. There are no others: above all, no time.
	Annotations map[string]string
}

// Push packs p as an artifact, puts it into the store under ref, and returns the
// digest of its manifest. The same package with the same file name has the same
// digest whenever and wherever it is pushed. A layout is made where there is none.
func (s *Store) Push(ctx context.Context, ref string, p Package) (digest string, err error) {
	const verb = "push REF to STORE"
	r, err := parseReference(ref)
	if err == nil {
		err = forPush(r)
	}
	if err != nil {
		return "", s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, name, release, err := s.place.create(ctx, r)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	if p.FileName == "" {
		p.FileName = r.name() + extensions(p.Kind)[0]
	}
	var desc ocispec.Descriptor
	err = s.transfers.again(ctx, func() error {
		desc, err = s.push(ctx, repo, name, p)
		return err
	})
	release() // before anything is looked up to explain an error
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	return desc.Digest.String(), nil
}

// forPush refuses references that nothing can be pushed to.
func forPush(r reference) error {
	if r.digest != "" {
		return fmt.Errorf("%w: a push names a tag, the digest is its result", ErrInvalidReference)
	}
	return nil
}

func (s *Store) push(ctx context.Context, repo oraslib.Target, name string, p Package) (ocispec.Descriptor, error) {
	layer, err := s.pushBlob(ctx, repo, layerMediaType(p.Kind), p.Content)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: p.FileName}
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: componentArtifactType,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{layer},
		Annotations:  maps.Clone(p.Annotations),
	}
	if p.Kind == Graph {
		m.ArtifactType, m.Config = "", content.NewDescriptorFromBytes(graphConfigMediaType, ocispec.DescriptorEmptyJSON.Data)
	}
	if _, err := s.pushBlob(ctx, repo, m.Config.MediaType, ocispec.DescriptorEmptyJSON.Data); err != nil {
		return ocispec.Descriptor{}, err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := content.NewDescriptorFromBytes(m.MediaType, data)
	desc.ArtifactType = m.ArtifactType
	if direct, ok := repo.(ociregistry.ReferencePusher); ok { // a registry: one request, not three
		return desc, direct.PushReference(ctx, desc, bytes.NewReader(data), name)
	}
	if err := repo.Push(ctx, desc, bytes.NewReader(data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return ocispec.Descriptor{}, err
	}
	return desc, repo.Tag(ctx, desc, name)
}

// pushBlob pushes a blob, unless it is there already.
func (s *Store) pushBlob(ctx context.Context, repo oraslib.Target, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := content.NewDescriptorFromBytes(mediaType, data)
	if exists, err := repo.Exists(ctx, desc); err != nil || exists {
		return desc, err
	}
	s.transfers.progress.expect(desc.Size)
	err := repo.Push(ctx, desc, &counted{*bytes.NewReader(data), s.transfers.progress})
	if errors.Is(err, errdef.ErrAlreadyExists) {
		err = nil
	}
	return desc, err
}

// counted counts what is read.
type counted struct {
	bytes.Reader
	progress *Progress
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.progress.add(n)
	return n, err
}
