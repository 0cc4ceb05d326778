// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"
	ociregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/wasm-graph/graphd/internal/nearest"
)

// maxPages is how many pages of a list are asked for, before the registry is taken for
// one that never comes to an end.
const maxPages = 1000

// registry is a registry. One that hands out tokens to anonymous callers, as most
// public ones do, is asked for one where there are no credentials.
type registry struct {
	base      string // host, and prefix if any
	plainHTTP bool
	client    *auth.Client
}

func newRegistry(endpoint string, opts Options) (*registry, error) {
	base, plain := endpoint, opts.PlainHTTP
	if rest, ok := strings.CutPrefix(endpoint, "https://"); ok {
		base, plain = rest, false
	} else if rest, ok := strings.CutPrefix(endpoint, "http://"); ok {
		base, plain = rest, true
	} else if scheme, _, ok := strings.Cut(endpoint, "://"); ok {
		return nil, fmt.Errorf("unknown scheme %q; there are https, http, file, oci-layout and oci-archive", scheme)
	}
	base = strings.TrimRight(base, "/")
	host, _, _ := strings.Cut(base, "/")
	if strings.Contains(base, "@") {
		return nil, errors.New("credentials don't belong into a registry's name, which is written into logs; log in with \"graphctl login HOST\", or give the endpoint a pull secret")
	}
	if err := (ociregistry.Reference{Registry: host}).ValidateRegistry(); err != nil || host == "" {
		return nil, fmt.Errorf("%q is no host; write HOST[:PORT][/PREFIX], file://DIR or oci-layout:DIR", host)
	}
	return &registry{base: base, plainHTTP: plain, client: newClient(opts)}, nil
}

func (g *registry) String() string {
	if g.plainHTTP {
		return "http://" + g.base
	}
	return g.base
}

func (g *registry) find(ctx context.Context, r reference) (oraslib.ReadOnlyTarget, string, error) {
	return g.repository(r)
}

func (g *registry) create(ctx context.Context, r reference) (oraslib.Target, string, func(), error) {
	repo, name, err := g.repository(r)
	if r.tag != "" {
		name = r.tag
	}
	return repo, name, func() {}, err
}

// repository returns the repository of r, and what r is called in it.
func (g *registry) repository(r reference) (*remote.Repository, string, error) {
	host, prefix, _ := strings.Cut(g.base, "/")
	ref := ociregistry.Reference{Registry: host, Repository: path.Join(prefix, r.path)}
	if err := ref.ValidateRepository(); err != nil {
		return nil, "", fmt.Errorf("%w: repository %q: names in a registry are of a-z, 0-9, '.', '_' and '-'",
			ErrInvalidReference, ref.Repository)
	}
	repo := &remote.Repository{
		Reference:            ref,
		Client:               g.client,
		PlainHTTP:            g.plainHTTP,
		TagListPageSize:      listed,
		TagListMaxPages:      1,
		ReferrerListMaxPages: maxPages,
		SkipReferrersGC:      true, // not every registry lets itself be deleted from
	}
	if r.digest != "" {
		return repo, r.digest.String(), nil
	}
	return repo, r.tagOrDefault(), nil
}

func (g *registry) explain(ctx context.Context, r reference, err error) error {
	var response *errcode.ErrorResponse
	var untrusted x509.UnknownAuthorityError
	switch {
	case errors.Is(err, ErrNotFound):
		return g.explainNotFound(ctx, r, err)
	case errors.Is(err, auth.ErrBasicCredentialNotFound),
		errors.As(err, &response) && (response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden):
		return fmt.Errorf(
			"%w: the registry lets nobody in without credentials, or hides that there is no such repository; log in with \"graphctl login %s\", or give the endpoint a pull secret: %w",
			ErrDenied, g.host(), err)
	case errors.As(err, &response) && response.StatusCode == http.StatusMethodNotAllowed:
		return fmt.Errorf("the registry does not do this; deleting, for one, has to be turned on in its configuration: %w", err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("the registry speaks plain HTTP; write http:// before its name: %w", err)
	case errors.As(err, &untrusted):
		return fmt.Errorf("the registry's certificate is signed by nobody this machine trusts; name its authority with --ca-file, or add it to the system's: %w", err)
	case isUnavailable(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func (g *registry) host() string {
	host, _, _ := strings.Cut(g.base, "/")
	return host
}

func (g *registry) tags(ctx context.Context, repository string) ([]string, error) {
	repo, _, err := g.repository(reference{path: repository})
	if err != nil {
		return nil, err
	}
	repo.TagListMaxPages = maxPages
	tags := []string{}
	err = repo.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	var response *errcode.ErrorResponse
	if errors.As(err, &response) && response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%w: no repository %s", ErrNotFound, repo.Reference.Repository)
	}
	slices.Sort(tags)
	return tags, err
}

func (g *registry) remove(ctx context.Context, r reference, desc ocispec.Descriptor) error {
	repo, _, err := g.repository(r)
	if err != nil {
		return err
	}
	return repo.Delete(ctx, desc)
}

// explainNotFound says what tags the repository has, or that there is none.
func (g *registry) explainNotFound(ctx context.Context, r reference, err error) error {
	repo, _, findErr := g.repository(r)
	if findErr != nil {
		return err
	}
	var tags []string
	listErr := repo.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	if listErr != nil && !errors.Is(listErr, errdef.ErrTooManyPages) {
		hint := ""
		if _, prefix, ok := strings.Cut(g.base, "/"); ok && strings.HasPrefix(r.path, prefix+"/") {
			hint = fmt.Sprintf("; %q stands both in the endpoint and in the reference: take it out of one", prefix)
		}
		return fmt.Errorf("%w; nor does %s list a repository %s%s", err, repo.Reference.Registry, repo.Reference.Repository, hint)
	}
	if len(tags) == 0 {
		return fmt.Errorf("%w; the repository has no tags", err)
	}
	hint := ""
	if tag, ok := nearest.Word(r.tagOrDefault(), tags); ok && r.digest == "" {
		hint = fmt.Sprintf("; did you mean %s?", tag)
	}
	return fmt.Errorf("%w; the repository has the tags %s%s", err, enumerate(tags), hint)
}
