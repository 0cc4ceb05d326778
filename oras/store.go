// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// place is where repositories are: a local layout or a registry.
type place interface {
	// find returns the repository of r and what r is called in there: a tag or a
	// digest.
	find(ctx context.Context, r reference) (oraslib.ReadOnlyTarget, string, error)
	// create is find for one who pushes: the repository need not exist. Others wait
	// until release is called, where the place can't take several at once.
	create(ctx context.Context, r reference) (target oraslib.Target, name string, release func(), err error)
	// tags returns the tags of a repository, in order; of a layout without a
	// repository, the names of all that is in it.
	tags(ctx context.Context, repository string) ([]string, error)
	// remove removes a manifest, and its tags with it.
	remove(ctx context.Context, r reference, desc ocispec.Descriptor) error
	// explain adds to an error of the repository what there is instead, or what to
	// do next.
	explain(ctx context.Context, r reference, err error) error
	String() string
}

// Store is an endpoint that keeps artifacts as OCI manifests: a registry, a layout
// or an archive. It is safe for concurrent use and holds nothing that needs
// closing. It is a Source; its methods read anew on each call.
type Store struct {
	place     place
	maxBytes  int64
	transfers transfers
}

// OpenStore is Open for endpoints that keep OCI manifests; a folder of files is
// refused.
func OpenStore(endpoint string, opts Options) (*Store, error) {
	p, err := openPlace(endpoint, opts)
	if err != nil {
		return nil, fmt.Errorf("oras: open %s: %w", withoutUser(endpoint), err)
	}
	return &Store{
		place:    p,
		maxBytes: cmp.Or(opts.MaxBytes, DefaultMaxBytes),
		transfers: transfers{
			policy:   patience{first: cmp.Or(opts.Backoff, defaultBackoff)},
			stall:    cmp.Or(opts.Stall, defaultStall),
			progress: opts.Progress,
		},
	}, nil
}

func openPlace(endpoint string, opts Options) (place, error) {
	if opts.MaxBytes < 0 {
		return nil, fmt.Errorf("limit of %d bytes is negative", opts.MaxBytes)
	}
	if strings.HasPrefix(endpoint, "file:") {
		return nil, errors.New("a folder of files takes no pushes and has no manifests; copy files into it, or write oci-layout:DIR")
	}
	if dir, ok := strings.CutPrefix(endpoint, "oci-layout:"); ok {
		if dir = localPath(dir, opts.BaseDir); dir == "" {
			return nil, errors.New("no folder named; write oci-layout:DIR")
		}
		return layout{dir: dir}, nil
	}
	if file, ok := strings.CutPrefix(endpoint, "oci-archive:"); ok {
		if file = localPath(file, opts.BaseDir); file == "" {
			return nil, errors.New("no file named; write oci-archive:FILE")
		}
		return archive{file: file}, nil
	}
	return newRegistry(endpoint, opts)
}

func (s *Store) String() string { return s.place.String() }

// fail is the error of an operation on ref.
func (s *Store) fail(ctx context.Context, verb, ref string, r reference, err error) error {
	if r.path != "" || r.digest != "" {
		err = s.place.explain(ctx, r, notFound(err))
	}
	return redacted{fmt.Errorf("oras: %s: %w", strings.NewReplacer("REF", ref, "STORE", s.String()).Replace(verb), err)}
}

// Resolve implements Source.
func (s *Store) Resolve(ctx context.Context, ref string, _ Kind) (string, error) {
	const verb = "resolve REF in STORE"
	r, err := parseReference(ref)
	if err != nil {
		return "", s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, name, err := s.place.find(ctx, r)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	desc, err := repo.Resolve(ctx, name)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	return desc.Digest.String(), nil
}

// Fetch implements Source.
func (s *Store) Fetch(ctx context.Context, ref string, _ Kind) (*Artifact, error) {
	const verb = "fetch REF from STORE"
	r, err := parseReference(ref)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, m, err := s.manifest(ctx, r)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, r, err)
	}
	bytes, err := s.content(ctx, repo, m.layers[0])
	if err != nil {
		return nil, s.fail(ctx, verb, ref, r, err)
	}
	return &Artifact{
		Digest:        m.Digest,
		ContentDigest: m.Layers[0].Digest,
		MediaType:     m.Layers[0].MediaType,
		Content:       bytes,
	}, nil
}

// Manifest returns what the manifest of ref says. A manifest that isn't an
// artifact's is an error that wraps ErrNotArtifact.
func (s *Store) Manifest(ctx context.Context, ref string) (*Manifest, error) {
	const verb = "read manifest of REF in STORE"
	r, err := parseReference(ref)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, reference{}, err)
	}
	_, m, err := s.manifest(ctx, r)
	if err != nil {
		return nil, s.fail(ctx, verb, ref, r, err)
	}
	return m, nil
}

// Tags returns the tags of a repository, [PATH/]NAME, in order. Of a layout or an
// archive, an empty repository means all: their names, NAME:TAG, are returned.
func (s *Store) Tags(ctx context.Context, repository string) ([]string, error) {
	const verb = "list tags of REF in STORE"
	r := reference{}
	if repository != "" || !s.local() {
		var err error
		if r, err = parseReference(repository); err == nil && (r.tag != "" || r.digest != "") {
			err = fmt.Errorf("%w: tags are those of a repository; leave out what comes after %q", ErrInvalidReference, r.path)
		}
		if err != nil {
			return nil, s.fail(ctx, verb, repository, reference{}, err)
		}
	}
	tags, err := s.place.tags(ctx, r.path)
	if err != nil {
		return nil, s.fail(ctx, verb, repository, r, err)
	}
	return tags, nil
}

// Delete removes the manifest of ref, and all tags that it has, and returns its
// digest. What only it referred to is removed by a layout at once, by a registry
// when it collects garbage.
func (s *Store) Delete(ctx context.Context, ref string) (digest string, err error) {
	const verb = "delete REF from STORE"
	r, err := parseReference(ref)
	if err != nil {
		return "", s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, name, err := s.place.find(ctx, r)
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	desc, err := repo.Resolve(ctx, name)
	if err == nil {
		err = s.place.remove(ctx, r, desc)
	}
	if err != nil {
		return "", s.fail(ctx, verb, ref, r, err)
	}
	return desc.Digest.String(), nil
}

// local reports whether the store is on this machine.
func (s *Store) local() bool {
	_, remote := s.place.(*registry)
	return !remote
}

// manifest reads the manifest of r.
func (s *Store) manifest(ctx context.Context, r reference) (oraslib.ReadOnlyTarget, *Manifest, error) {
	repo, name, err := s.place.find(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	opts := oraslib.DefaultFetchBytesOptions
	opts.MaxBytes = maxManifestBytes
	desc, data, err := oraslib.FetchBytes(ctx, repo, name, opts)
	if errors.Is(err, errdef.ErrSizeExceedsLimit) {
		return nil, nil, fmt.Errorf("%w: its manifest is %w of %d bytes", ErrNotArtifact, ErrTooLarge, maxManifestBytes)
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := decodeManifest(data)
	if err != nil {
		return nil, nil, err
	}
	m.Digest, m.Size = desc.Digest.String(), desc.Size
	return repo, m, nil
}

// content reads a layer into memory.
func (s *Store) content(ctx context.Context, repo oraslib.ReadOnlyTarget, layer ocispec.Descriptor) ([]byte, error) {
	if layer.Size > s.maxBytes {
		return nil, fmt.Errorf("%d bytes are %w of %d", layer.Size, ErrTooLarge, s.maxBytes)
	}
	b := s.transfers.open(ctx, repo, layer, 0)
	defer b.Close()
	bytes, err := content.ReadAll(b, layer) // checks size and digest
	if err != nil {
		return nil, layerError(layer, err)
	}
	return bytes, nil
}

// layerError is an error of reading a layer.
func layerError(layer ocispec.Descriptor, err error) error {
	if errors.Is(err, errdef.ErrNotFound) {
		return fmt.Errorf("%w: its manifest is there and its layer %s is not; push it again", ErrNotArtifact, layer.Digest)
	}
	return fmt.Errorf("layer %s of %d bytes: %w", layer.Digest, layer.Size, err)
}

// notFound gives an error of oras-go that means it our own sentinel too.
func notFound(err error) error {
	if errors.Is(err, errdef.ErrNotFound) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
