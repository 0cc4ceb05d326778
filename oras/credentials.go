// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	ociregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Credentials know what to show to which registry. They are safe for concurrent use
// and print nothing of what they know.
type Credentials struct {
	forHost auth.CredentialFunc
	from    string
}

// String says where they come from.
func (c *Credentials) String() string { return "credentials of " + c.from }

// GoString is String.
func (c *Credentials) GoString() string { return c.String() }

// DockerCredentials are those that docker, oras and Login keep: in the user's Docker
// configuration, or the credential helpers named there. That is read when a registry
// asks for credentials, and not before: a broken one is no reason not to read a folder.
// Who has no home has no credentials.
func DockerCredentials() *Credentials {
	open := sync.OnceValues(func() (auth.CredentialFunc, error) {
		if _, err := os.UserHomeDir(); err != nil && os.Getenv("DOCKER_CONFIG") == "" {
			return func(context.Context, string) (auth.Credential, error) { return auth.EmptyCredential, nil }, nil
		}
		store, err := dockerStore()
		if err != nil {
			return nil, err
		}
		return credentials.Credential(store), nil
	})
	return &Credentials{
		from: "the Docker configuration",
		forHost: func(ctx context.Context, host string) (auth.Credential, error) {
			find, err := open()
			if err != nil {
				return auth.EmptyCredential, err
			}
			return find(ctx, host)
		},
	}
}

func dockerStore() (*credentials.DynamicStore, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{
		AllowPlaintextPut:        true, // as docker login does where there is no helper
		DetectDefaultNativeStore: true,
	})
	if err != nil {
		return nil, fmt.Errorf("oras: read Docker configuration: %w", err)
	}
	return store, nil
}

// pullSecret is the content of a Secret of type kubernetes.io/dockerconfigjson.
type pullSecret struct {
	Auths map[string]struct {
		Auth          string `json:"auth"` // base64 of user:password
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
	} `json:"auths"`
}

// PullSecret are the credentials in a Kubernetes Secret of type
// kubernetes.io/dockerconfigjson, given what it has under .dockerconfigjson. A key
// there is a registry's host, with or without a scheme and a path behind it, and
// may have wildcards, as in *.azurecr.io. Which repository is asked for makes no
// difference.
func PullSecret(dockerConfigJSON []byte) (*Credentials, error) {
	var secret pullSecret
	if err := json.Unmarshal(dockerConfigJSON, &secret); err != nil {
		// The cause would quote the secret.
		return nil, errors.New("oras: read pull secret: not JSON of the form {\"auths\":{\"HOST\":{\"auth\":\"...\"}}}")
	}
	if len(secret.Auths) == 0 {
		return nil, errors.New("oras: read pull secret: no registry under \"auths\"")
	}
	type entry struct {
		pattern    string
		credential auth.Credential
	}
	var entries []entry
	for key, a := range secret.Auths {
		c := auth.Credential{Username: a.Username, Password: a.Password, RefreshToken: a.IdentityToken, AccessToken: a.RegistryToken}
		if a.Auth != "" {
			text, err := base64.StdEncoding.DecodeString(a.Auth)
			user, password, ok := strings.Cut(string(text), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("oras: read pull secret: auth of %s is no base64 of USER:PASSWORD", key)
			}
			c.Username, c.Password = user, password
		}
		pattern := strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
		pattern, _, _ = strings.Cut(pattern, "/")
		if pattern == "index.docker.io" || pattern == "docker.io" {
			pattern = "registry-1.docker.io"
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("oras: read pull secret: %s is no host", key)
		}
		entries = append(entries, entry{pattern, c})
	}
	// Without wildcards first, then the longest; the order of keys decides nothing.
	slices.SortFunc(entries, func(a, b entry) int {
		wild := func(e entry) int { return strings.Count(e.pattern, "*") }
		return cmp.Or(cmp.Compare(wild(a), wild(b)), cmp.Compare(len(b.pattern), len(a.pattern)), cmp.Compare(a.pattern, b.pattern))
	})
	return &Credentials{
		from: "a pull secret",
		forHost: func(_ context.Context, host string) (auth.Credential, error) {
			for _, e := range entries {
				if ok, _ := path.Match(e.pattern, host); ok { // the pattern was checked
					return e.credential, nil
				}
			}
			return auth.EmptyCredential, nil
		},
	}, nil
}

// Login shows user and password to a registry, HOST[:PORT], and keeps them where
// DockerCredentials finds them if the registry takes them. It returns where that is.
// An empty user means that the password is a token, for registries that hand some
// out.
func Login(ctx context.Context, host, user, password string, opts Options) (where string, err error) {
	g, err := newRegistry(host, opts)
	if err != nil {
		return "", fmt.Errorf("oras: log in to %s: %w", withoutUser(host), err)
	}
	store, err := dockerStore()
	if err != nil {
		return "", err
	}
	credential := auth.Credential{Username: user, Password: password}
	if user == "" {
		credential = auth.Credential{RefreshToken: password}
	}
	reg := &remote.Registry{RepositoryOptions: remote.RepositoryOptions{
		Reference: ociregistry.Reference{Registry: g.host()},
		Client:    g.client,
		PlainHTTP: g.plainHTTP,
	}}
	if err := credentials.Login(ctx, store, reg, credential); err != nil {
		err = g.explain(ctx, reference{}, err)
		if errors.Is(err, ErrDenied) {
			err = fmt.Errorf("%w: the registry takes neither this user nor this password", ErrDenied)
		}
		return "", redacted{fmt.Errorf("oras: log in to %s: %w", withoutUser(host), err)}
	}
	return store.ConfigPath(), nil
}

// Logout removes what Login kept of a registry.
func Logout(ctx context.Context, host string) error {
	store, err := dockerStore()
	if err != nil {
		return err
	}
	g, err := newRegistry(host, Options{})
	if err == nil {
		err = credentials.Logout(ctx, store, g.host())
	}
	if err != nil {
		return fmt.Errorf("oras: log out of %s: %w", withoutUser(host), err)
	}
	return nil
}
