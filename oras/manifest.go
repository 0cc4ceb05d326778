// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that we write: those that Azure's loader takes. What is read may have
// any other: the documents, the samples' pipelines and plain "oras push" all
// disagree.
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

const (
	// maxManifestBytes bounds a manifest, as registries do.
	maxManifestBytes = 4 << 20
	// maxLayers bounds the layers of an artifact. It has one; some programs add
	// documents. Container images have at most 127.
	maxLayers = 256
)

// Manifest is what the manifest of an artifact says. Nothing of it was checked but
// its form.
type Manifest struct {
	Digest          string            `json:"digest"`
	Size            int64             `json:"size"` // of the manifest, in bytes
	MediaType       string            `json:"mediaType"`
	ArtifactType    string            `json:"artifactType,omitempty"`
	ConfigMediaType string            `json:"configMediaType,omitempty"`
	Layers          []Layer           `json:"layers"` // at least one; the first is the artifact
	Annotations     map[string]string `json:"annotations,omitempty"`

	layers []ocispec.Descriptor // the same, for oras-go
}

// Layer is a layer of an artifact.
type Layer struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`            // bytes
	Title     string `json:"title,omitempty"` // a file's name, as somebody wrote it
}

// document is what we need of an image manifest, an index and the artifact
// manifest that an earlier draft of the OCI image specification had: the three
// can be told apart by the lists they have.
type document struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       ocispec.Descriptor   `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`    // image manifest
	Blobs        []ocispec.Descriptor `json:"blobs"`     // artifact manifest
	Manifests    []ocispec.Descriptor `json:"manifests"` // index
	Annotations  map[string]string    `json:"annotations"`
}

// decodeManifest reads a manifest. Digest and Size are left to the caller.
func decodeManifest(data []byte) (*Manifest, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w: the manifest is no JSON: %w", ErrNotArtifact, err)
	}
	layers := d.Layers
	if len(layers) == 0 {
		layers = d.Blobs
	}
	switch {
	case len(layers) > 0 && len(d.Manifests) > 0:
		return nil, fmt.Errorf("%w: it is both an index and a manifest; whoever pushed it has to correct that", ErrNotArtifact)
	case len(layers) > maxLayers:
		return nil, fmt.Errorf("%w: the manifest has %d layers, more than %d", ErrNotArtifact, len(layers), maxLayers)
	case len(layers) == 0 && len(d.Manifests) > 0:
		return nil, fmt.Errorf(
			"%w: it is an index of %d manifests, one per platform, as image builders make it; name one of them: NAME@%.80s",
			ErrNotArtifact, len(d.Manifests), d.Manifests[0].Digest)
	case len(layers) == 0:
		return nil, fmt.Errorf("%w: the manifest has no layers", ErrNotArtifact)
	}
	m := &Manifest{
		MediaType:       d.MediaType,
		ArtifactType:    d.ArtifactType,
		ConfigMediaType: d.Config.MediaType,
		Annotations:     d.Annotations,
		layers:          layers,
	}
	for i, l := range layers {
		if err := l.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("%w: digest %.80q of layer %d: %w", ErrNotArtifact, l.Digest, i+1, err)
		}
		if l.Size < 0 {
			return nil, fmt.Errorf("%w: size %d of layer %d is negative", ErrNotArtifact, l.Size, i+1)
		}
		m.Layers = append(m.Layers, Layer{
			MediaType: l.MediaType,
			Digest:    l.Digest.String(),
			Size:      l.Size,
			Title:     l.Annotations[ocispec.AnnotationTitle],
		})
	}
	return m, nil
}
