// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	ociregistry "oras.land/oras-go/v2/registry"
)

// Blob is a layer with its content.
type Blob struct {
	MediaType   string
	Title       string            // a file's name; may be empty
	Annotations map[string]string // others than the title
	Content     []byte
}

// Attachment is what somebody says about an artifact, beside it: a signature, an
// SBOM, a document.
type Attachment struct {
	// ArtifactType is a media type that says what it is.
	ArtifactType string
	Config       *Blob // nil: an empty JSON object
	Blobs        []Blob
	Annotations  map[string]string
	// Tag is how the attachment is found, for programs that look for a tag of a name
	// they know. It replaces what the tag stood for. Empty means that the attachment
	// refers to the artifact, which is how the OCI distribution specification 1.1 has it.
	Tag string
}

// Referrer is an attachment as a list has it.
type Referrer struct {
	Digest       string            `json:"digest"`
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Size         int64             `json:"size"` // of the manifest, in bytes
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Attach puts an attachment beside the artifact ref and returns the digest of the
// attachment's manifest; Resolve, Pull and the rest take it as PATH@DIGEST, with the
// path of ref. In a registry without the referrers API a list under the tag
// ALGORITHM-HEX, of the artifact's digest, stands in for it, as the specification
// says; two who attach at once may then lose one of the two.
func (s *Store) Attach(ctx context.Context, ref string, a Attachment) (digest string, err error) {
	const verb = "attach to REF in STORE"
	r, err := parseReference(ref)
	if err == nil && (len(a.Blobs) == 0 || a.ArtifactType == "" && a.Tag == "") {
		err = errors.New("an attachment has a type and at least one layer")
	}
	if err == nil && a.Tag != "" && !validTag(a.Tag) {
		err = fmt.Errorf("%w: bad tag %q", ErrInvalidReference, a.Tag)
	}
	if err != nil {
		return "", s.fail(ctx, verb, ref, reference{}, err)
	}
	source, name, err := s.place.find(ctx, r)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	subject, err := source.Resolve(ctx, name)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	to := reference{path: r.path, tag: a.Tag}
	if a.Tag == "" {
		to.digest = subject.Digest // the name isn't used
	}
	target, name, release, err := s.place.create(ctx, to)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	var desc ocispec.Descriptor
	err = s.transfers.again(ctx, func() error {
		desc, err = s.attach(ctx, target, name, subject, a)
		return err
	})
	release() // before anything is looked up to explain an error
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	return desc.Digest.String(), nil
}

func (s *Store) attach(ctx context.Context, repo oraslib.Target, name string, subject ocispec.Descriptor, a Attachment) (ocispec.Descriptor, error) {
	config := Blob{MediaType: ocispec.DescriptorEmptyJSON.MediaType, Content: ocispec.DescriptorEmptyJSON.Data}
	if a.Config != nil {
		config = *a.Config
	}
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: a.ArtifactType,
		Annotations:  maps.Clone(a.Annotations),
	}
	var err error
	if m.Config, err = s.pushBlob(ctx, repo, config.MediaType, config.Content); err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, b := range a.Blobs {
		layer, err := s.pushBlob(ctx, repo, b.MediaType, b.Content)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		layer.Annotations = maps.Clone(b.Annotations)
		if b.Title != "" {
			if layer.Annotations == nil {
				layer.Annotations = map[string]string{}
			}
			layer.Annotations[ocispec.AnnotationTitle] = b.Title
		}
		m.Layers = append(m.Layers, layer)
	}
	if a.Tag == "" {
		m.Subject = &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := content.NewDescriptorFromBytes(m.MediaType, data)
	desc.ArtifactType, desc.Annotations = m.ArtifactType, m.Annotations
	if err := repo.Push(ctx, desc, bytes.NewReader(data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return ocispec.Descriptor{}, err
	}
	if a.Tag == "" {
		return desc, nil
	}
	return desc, repo.Tag(ctx, desc, name)
}

// Referrers returns the attachments that refer to the artifact ref, of one type or,
// where artifactType is empty, all, in the order in which the store lists them. Nothing
// of them was checked.
func (s *Store) Referrers(ctx context.Context, ref, artifactType string) ([]Referrer, error) {
	const verb = "list what refers to REF in STORE"
	r, err := parseReference(ref)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, name, err := s.place.find(ctx, r)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, r, err)
	}
	subject, err := repo.Resolve(ctx, name)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, r, err)
	}
	found, err := referrers(ctx, repo, subject)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, r, err)
	}
	list := []Referrer{}
	for _, desc := range found {
		if desc.ArtifactType == ocispec.DescriptorEmptyJSON.MediaType {
			// Some registries state the configuration's type, which says nothing.
			if _, m, err := s.manifest(ctx, reference{path: r.path, digest: desc.Digest}); err == nil && m.ArtifactType != "" {
				desc.ArtifactType = m.ArtifactType
			}
		}
		if artifactType != "" && desc.ArtifactType != artifactType {
			continue
		}
		list = append(list, Referrer{
			Digest: desc.Digest.String(), MediaType: desc.MediaType, ArtifactType: desc.ArtifactType,
			Size: desc.Size, Annotations: desc.Annotations,
		})
	}
	return list, nil
}

// referrers lists the manifests whose subject is a manifest.
func referrers(ctx context.Context, repo oraslib.ReadOnlyTarget, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	graph, ok := repo.(content.ReadOnlyGraphStorage)
	if !ok {
		return nil, errors.New("this kind of store can't tell")
	}
	found, err := ociregistry.Referrers(ctx, graph, subject, "")
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	return found, err
}

// Blobs reads the manifest of ref and all layers, which together may have maxBytes
// bytes, or Options.MaxBytes where that is zero.
func (s *Store) Blobs(ctx context.Context, ref string, maxBytes int64) (*Manifest, []Blob, error) {
	const verb = "read layers of REF in STORE"
	r, err := parseReference(ref)
	if err != nil {
		return nil, nil, s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, m, err := s.manifest(ctx, r)
	if err != nil {
		return nil, nil, s.fail(ctx, verb, ref, r, err)
	}
	if maxBytes == 0 {
		maxBytes = s.maxBytes
	}
	var blobs []Blob
	left := maxBytes
	for i, layer := range m.layers {
		if layer.Size > left {
			return nil, nil, s.fail(ctx, verb, ref, r, fmt.Errorf("its layers are %w of %d bytes", ErrTooLarge, maxBytes))
		}
		left -= layer.Size
		data, err := s.content(ctx, repo, layer)
		if err != nil {
			return nil, nil, s.fail(ctx, verb, ref, r, err)
		}
		annotations := maps.Clone(layer.Annotations)
		delete(annotations, ocispec.AnnotationTitle)
		blobs = append(blobs, Blob{MediaType: layer.MediaType, Title: m.Layers[i].Title, Annotations: annotations, Content: data})
	}
	return m, blobs, nil
}

// Repository returns the full name of a repository in the store, as other programs
// write it: HOST/PATH in a registry, PATH elsewhere.
func (s *Store) Repository(path string) string {
	if g, ok := s.place.(*registry); ok {
		return strings.TrimRight(g.base, "/") + "/" + path
	}
	return path
}

// attachmentDepth is how far attachments of attachments are followed.
const attachmentDepth = 4

// CopyAttachments copies what is attached to the artifact srcRef of src to the same
// artifact in dst, which Copy has brought there as dstRef: what refers to it, what
// refers to that, and what has a tag ALGORITHM-HEX.SUFFIX of its digest, as cosign
// names signatures. It returns the digests of what is there then, each once.
func CopyAttachments(ctx context.Context, src *Store, srcRef string, dst *Store, dstRef string) (digests []string, err error) {
	const verb = "copy what is attached to REF in STORE"
	from, err := parseReference(srcRef)
	if err != nil {
		return nil, src.fail(ctx, verb, srcRef, reference{}, err)
	}
	to, err := parseReference(dstRef)
	if err != nil {
		return nil, dst.fail(ctx, verb, dstRef, reference{}, err)
	}
	source, name, err := src.place.find(ctx, from)
	if err != nil {
		return nil, src.fail(ctx, verb, srcRef, from, err)
	}
	root, err := source.Resolve(ctx, name)
	if err != nil {
		return nil, src.fail(ctx, verb, srcRef, from, err)
	}
	if digests, err = copyReferrers(ctx, src, source, root, dst, to); err != nil {
		return digests, dst.fail(ctx, verb, dstRef, to, err)
	}
	tags, err := src.place.tags(ctx, from.path)
	if err != nil {
		return digests, src.fail(ctx, verb, srcRef, from, err)
	}
	prefix := strings.Replace(root.Digest.String(), ":", "-", 1) + "."
	for _, tag := range tags {
		if !strings.HasPrefix(tag, prefix) {
			continue
		}
		digest, err := Copy(ctx, src, from.path+":"+tag, dst, to.path+":"+tag)
		if err != nil {
			return digests, err
		}
		if !slices.Contains(digests, digest) {
			digests = append(digests, digest)
		}
	}
	return digests, nil
}

// copyReferrers copies what refers to root in source, and what refers to that.
func copyReferrers(ctx context.Context, src *Store, source oraslib.ReadOnlyTarget, root ocispec.Descriptor, dst *Store, to reference) (digests []string, err error) {
	target, _, release, err := dst.place.create(ctx, to)
	if err != nil {
		return nil, err
	}
	defer release()
	opts := oraslib.DefaultCopyGraphOptions
	opts.MaxMetadataBytes = maxManifestBytes
	level := []ocispec.Descriptor{root}
	for depth := 0; depth < attachmentDepth && len(level) > 0; depth++ {
		var next []ocispec.Descriptor
		for _, subject := range level {
			found, err := referrers(ctx, source, subject)
			if err != nil {
				return digests, err
			}
			for _, desc := range found {
				desc = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
				if slices.Contains(digests, desc.Digest.String()) {
					continue
				}
				err := src.transfers.again(ctx, func() error {
					return oraslib.CopyGraph(ctx, steady{source, src.transfers}, target, desc, opts)
				})
				if err != nil {
					return digests, err
				}
				digests = append(digests, desc.Digest.String())
				next = append(next, desc)
			}
		}
		level = next
	}
	return digests, nil
}
