// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that we write. What is read may have any other: the documents, the
// samples' pipelines and plain "oras push" all disagree.
const (
	componentArtifactType = "application/vnd.module.wasm.content.layer.v1+wasm"
	componentMediaType    = "application/wasm"
	graphConfigMediaType  = "application/vnd.microsoft.aio.graph.v1+yaml"
	graphMediaType        = "application/yaml"
)

// layerMediaType is what a layer of a kind is pushed as.
func layerMediaType(kind Kind) string {
	if kind == Graph {
		return graphMediaType
	}
	return componentMediaType
}

// maxManifestBytes bounds a manifest, as registries do.
const maxManifestBytes = 4 << 20

// manifest is what we need of an image manifest, an index and the artifact
// manifest that an earlier draft of the OCI image specification had: the three
// can be told apart by the lists they have.
type manifest struct {
	Layers    []ocispec.Descriptor `json:"layers"`    // image manifest
	Blobs     []ocispec.Descriptor `json:"blobs"`     // artifact manifest
	Manifests []ocispec.Descriptor `json:"manifests"` // index
}

// firstLayer returns the descriptor of the first layer of a manifest: the
// artifact's content.
func firstLayer(data []byte) (ocispec.Descriptor, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the manifest is no JSON: %w", ErrNotArtifact, err)
	}
	layers := m.Layers
	if len(layers) == 0 {
		layers = m.Blobs
	}
	if len(layers) == 0 {
		if len(m.Manifests) > 0 {
			return ocispec.Descriptor{}, fmt.Errorf(
				"%w: it is an index of %d manifests, one per platform, as image builders make it; name one of them: NAME@%s",
				ErrNotArtifact, len(m.Manifests), m.Manifests[0].Digest)
		}
		return ocispec.Descriptor{}, fmt.Errorf("%w: the manifest has no layers", ErrNotArtifact)
	}
	layer := layers[0]
	if err := layer.Digest.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: digest %q of the first layer: %w", ErrNotArtifact, layer.Digest, err)
	}
	if layer.Size < 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: size %d of the first layer is negative", ErrNotArtifact, layer.Size)
	}
	return layer, nil
}
