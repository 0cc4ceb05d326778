// SPDX-License-Identifier: Apache-2.0

package wiring

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/cmd/internal/identity"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/cache"
	"github.com/wasm-graph/graphd/oras/trust"
)

// ArtifactDir returns the folder of the cache of artifacts: the user's, which all
// programs share, or one in the data folder where the machine has no such place. That
// is empty, meaning none, where there is no data folder either.
func ArtifactDir(dataDir string) string { return cacheDir(dataDir, "artifacts") }

// Registries open registries, with a cache in front of them.
type Registries struct {
	cache *cache.Cache // nil: none
}

// NewRegistries returns Registries with their cache in the folder dir; empty means
// none. A cache that can't be had is logged: everything works without it, as long as
// the registries do.
func NewRegistries(dir string, logger *slog.Logger) *Registries {
	if dir == "" {
		return &Registries{}
	}
	c, err := cache.Open(dir, cache.Config{Logger: logger})
	if err != nil {
		logger.Warn("artifacts are not kept on this machine", "error", err)
	}
	return &Registries{cache: c}
}

// Open opens an endpoint; only what is on another machine needs the cache.
func (r *Registries) Open(endpoint string, opts oras.Options) (oras.Source, error) {
	source, err := oras.Open(endpoint, opts)
	if err != nil || r.behind(endpoint) == nil {
		return source, err
	}
	return r.cache.Source(source), nil
}

// behind returns the cache in front of an endpoint; nil where there is none.
func (r *Registries) behind(endpoint string) *cache.Cache {
	if oras.IsLocal(endpoint) {
		return nil
	}
	return r.cache
}

// artifacts gives package deploy what package oras finds.
type artifacts struct {
	source oras.Source
	cache  *cache.Cache // nil: none
}

// Artifacts opens what a RegistryEndpoint names, with the pull secret, the keys and
// the authorities that it refers to in the set, or the identity that it names. A relative folder is relative to the
// file that declares the endpoint.
func (r *Registries) Artifacts(set *resource.Set, endpoint *resource.RegistryEndpoint) (deploy.Artifacts, error) {
	opts := oras.Options{BaseDir: endpoint.Dir}
	if endpoint.PullSecret != "" {
		var err error
		if opts.Credentials, err = pullSecret(set, endpoint); err != nil {
			return nil, err
		}
	}
	if m := endpoint.Identity; m != nil {
		id, err := identity.New(identity.Config{ClientID: m.ClientID, TenantID: m.TenantID})
		if err != nil {
			return nil, err
		}
		opts.PlainHTTP = strings.HasPrefix(endpoint.Host, "http://") // of the exchange as well
		opts.Credentials = oras.Exchange(func(ctx context.Context) (string, error) {
			token, _, err := id.Token(ctx, m.Scope)
			return token, err
		}, m.TenantID, opts)
	}
	source, err := r.Open(endpoint.Host, opts)
	if err != nil {
		return nil, err
	}
	policy, err := trustOf(set, endpoint)
	if err != nil || policy == nil {
		return artifacts{source, r.behind(endpoint.Host)}, err
	}
	store, err := oras.OpenStore(endpoint.Host, opts)
	if err != nil {
		return nil, err
	}
	var notebook trust.Notebook
	if r.cache != nil {
		notebook = r.cache
	}
	return artifacts{trust.Source(source, store, policy, notebook), r.behind(endpoint.Host)}, nil
}

// Given opens an endpoint that no RegistryEndpoint names.
func (r *Registries) Given(endpoint string, opts oras.Options) (deploy.Artifacts, error) {
	source, err := r.Open(endpoint, opts)
	if err != nil {
		return nil, err
	}
	return artifacts{source, r.behind(endpoint)}, nil
}

// pullSecret reads the credentials of an endpoint.
func pullSecret(set *resource.Set, endpoint *resource.RegistryEndpoint) (*oras.Credentials, error) {
	ref := resource.ObjectRef{Kind: "Secret", Name: endpoint.PullSecret}
	data, ok := set.Data(endpoint.Namespace, ref)
	if !ok {
		return nil, fmt.Errorf("wiring: there is no %s in namespace %s", ref, endpoint.Namespace)
	}
	config, ok := data[resource.DockerConfigKey]
	if !ok {
		return nil, fmt.Errorf("wiring: %s has no %s; kubectl create secret docker-registry makes one that has", ref, resource.DockerConfigKey)
	}
	credentials, err := oras.PullSecret(config)
	if err != nil {
		return nil, fmt.Errorf("wiring: %s: %w", ref, err)
	}
	return credentials, nil
}

// trustOf reads whose signatures count at an endpoint; nil means that none is needed.
// Each value of the objects that it names is a PEM file.
func trustOf(set *resource.Set, endpoint *resource.RegistryEndpoint) (*trust.Policy, error) {
	if len(endpoint.SigningCAs)+len(endpoint.SigningKeys) == 0 {
		return nil, nil
	}
	policy := &trust.Policy{}
	err := eachPEM(set, endpoint, endpoint.SigningKeys, func(data []byte) error {
		keys, err := trust.ParseKeys(data)
		policy.Keys = append(policy.Keys, keys...)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = eachPEM(set, endpoint, endpoint.SigningCAs, func(data []byte) error {
		certificates, err := trust.ParseCertificates(data)
		policy.Authorities = append(policy.Authorities, certificates...)
		return err
	})
	return policy, err
}

// eachPEM calls parse with every value of the objects.
func eachPEM(set *resource.Set, endpoint *resource.RegistryEndpoint, refs []resource.ObjectRef, parse func([]byte) error) error {
	for _, ref := range refs {
		data, ok := set.Data(endpoint.Namespace, ref)
		if !ok {
			return fmt.Errorf("wiring: there is no %s in namespace %s", ref, endpoint.Namespace)
		}
		if len(data) == 0 {
			return fmt.Errorf("wiring: %s is empty; put PEM files into it", ref)
		}
		for _, key := range slices.Sorted(maps.Keys(data)) {
			if err := parse(data[key]); err != nil {
				return fmt.Errorf("wiring: %s: %s: %w", ref, key, err)
			}
		}
	}
	return nil
}

// Definition implements deploy.Artifacts.
func (a artifacts) Definition(ctx context.Context, ref string) (deploy.Artifact, error) {
	return a.fetch(ctx, ref, oras.Graph)
}

// Component implements deploy.Artifacts.
func (a artifacts) Component(ctx context.Context, ref string) (deploy.Artifact, error) {
	return a.fetch(ctx, ref, oras.Component)
}

func (a artifacts) fetch(ctx context.Context, ref string, kind oras.Kind) (deploy.Artifact, error) {
	artifact, err := a.source.Fetch(ctx, ref, kind)
	if err != nil {
		return deploy.Artifact{}, err
	}
	return deploy.Artifact{Content: artifact.Content, Digest: artifact.Digest, ContentDigest: artifact.ContentDigest}, nil
}

// Prove implements deploy.Artifacts.
func (a artifacts) Prove(ref string, kind deploy.ArtifactKind, digest string) {
	if a.cache != nil {
		a.cache.Prove(a.source.String(), ref, orasKind(kind), digest)
	}
}

func orasKind(kind deploy.ArtifactKind) oras.Kind {
	if kind == deploy.ComponentArtifact {
		return oras.Component
	}
	return oras.Graph
}

// Resolve implements deploy.Artifacts.
func (a artifacts) Resolve(ctx context.Context, ref string, kind deploy.ArtifactKind) (string, error) {
	if _, _, pinned, err := oras.Split(ref); err != nil || pinned != "" {
		return pinned, err
	}
	return a.source.Resolve(ctx, ref, orasKind(kind))
}
