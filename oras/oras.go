// SPDX-License-Identifier: Apache-2.0

// Package oras finds and keeps artifacts: it turns a reference such as
// "azure-samples/explore-iot-operations/temperature:1.0.0" into bytes, from
// wherever an endpoint says that artifacts are kept, and brings them there. It
// knows two kinds of artifacts, components and graph definitions, by their media
// types only; what is in them is none of its business, and it knows nothing of the
// engine.
//
// An endpoint is one of
//
//	file://DIR          a folder of files
//	oci-layout:DIR      a local OCI image layout
//	oci-archive:FILE    an OCI image layout in a tar file, to read from
//	HOST[/PREFIX]       a registry over HTTPS; https:// may stand before it
//	http://HOST[...]    a registry over plain HTTP
//
// A reference is [REPOSITORY/]NAME[:TAG][@DIGEST]. It is appended to the
// endpoint as it stands, so that the repository may be part of the endpoint or of
// the reference. People write both as one word; Locate takes it apart.
//
// A Source is what artifacts are fetched from. A Store is a Source of OCI
// manifests: everything but a folder of files. It can be pushed to as well, and Copy
// goes from one to another.
//
// Everything that is fetched is checked: its digest, where a manifest or the
// reference states one, and its size against a limit before it is read. Nothing is
// ever unpacked. Transfers that break go on where they were; requests that fail for
// a reason that may pass are repeated, at the pace that a registry asks for. Errors
// hold neither credentials nor signed URLs.
package oras

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Errors that callers may want to tell apart.
var (
	// ErrNotFound says that the endpoint was reached and has no such artifact.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge says that an artifact is larger than Options.MaxBytes.
	ErrTooLarge = errors.New("larger than the limit")
	// ErrInvalidReference says that a reference is malformed.
	ErrInvalidReference = errors.New("invalid reference")
	// ErrNotArtifact says that the reference names something that isn't an artifact
	// of ours, such as an index of several platforms.
	ErrNotArtifact = errors.New("not an artifact")
	// ErrDenied says that a registry wants credentials, or others.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable says that a registry could not be reached, or could not answer.
	// It may be there later.
	ErrUnavailable = errors.New("registry unavailable")
)

// Kind says what an artifact is expected to be. A folder needs it to tell
// simple.wasm from simple.yaml; elsewhere the media types in use contradict each
// other too much to insist on one.
type Kind uint8

// The kinds of artifacts.
const (
	Component Kind = iota // a WebAssembly component
	Graph                 // a graph definition, YAML
)

// DefaultMaxBytes is the limit where Options.MaxBytes is zero: 256 MiB, several
// times the largest components in use (those that embed a model or a Python
// interpreter).
const DefaultMaxBytes = 256 << 20

// Options are how an endpoint is reached. The zero value is good.
type Options struct {
	// PlainHTTP talks HTTP to a registry whose endpoint states no scheme.
	PlainHTTP bool
	// TLS says whom to trust. Nil means the system's authorities.
	TLS *tls.Config
	// Credentials are shown to a registry that asks for some. Nil means none.
	Credentials *Credentials
	// Backoff is the wait before a request is repeated for the first time; it grows
	// from there. Zero means a quarter of a second.
	Backoff time.Duration
	// Stall is how long a transfer may stand still, and how long a registry may think
	// about a question. Zero means a minute, and twenty seconds.
	Stall time.Duration
	// Client sends the requests to a registry, as it likes: TLS and Backoff are its
	// business then. Nil means one of the store's own.
	Client *http.Client
	// BaseDir is what a relative path in an endpoint is relative to. Empty means
	// the working directory.
	BaseDir string
	// MaxBytes bounds an artifact's content. Zero means DefaultMaxBytes.
	MaxBytes int64
	// Progress counts what is transferred. Nil means that nobody wants to know.
	Progress *Progress
}

// Artifact is an artifact that was fetched. The receiver owns it.
type Artifact struct {
	// Digest identifies the artifact, "sha256:<hex>": of its manifest, or, in a
	// folder, of its content. It is what Resolve returns, until a tag is moved.
	Digest string
	// ContentDigest is the digest of Content.
	ContentDigest string
	// MediaType is the content's, as the manifest states it; in a folder, after the
	// file's extension.
	MediaType string
	// Content is the first layer.
	Content []byte
}

// Source is a place where artifacts are kept. It is safe for concurrent use and
// holds nothing that needs closing. Both methods read anew on each call, so that a
// moved tag is seen.
type Source interface {
	// Resolve returns the digest that ref stands for now, without fetching its
	// content where the source can.
	Resolve(ctx context.Context, ref string, kind Kind) (digest string, err error)
	// Fetch returns the artifact. Its errors say what the source has instead.
	Fetch(ctx context.Context, ref string, kind Kind) (*Artifact, error)
	// String returns the endpoint, for messages.
	String() string
}

// Open returns the source that an endpoint names. It reads nothing yet: whether
// the endpoint can be reached is seen by the first Fetch.
func Open(endpoint string, opts Options) (Source, error) {
	dir, ok := strings.CutPrefix(endpoint, "file:")
	if !ok {
		return OpenStore(endpoint, opts)
	}
	if opts.MaxBytes < 0 {
		return nil, fmt.Errorf("oras: open %s: limit of %d bytes is negative", endpoint, opts.MaxBytes)
	}
	if dir = localPath(dir, opts.BaseDir); dir == "" {
		return nil, fmt.Errorf("oras: open %s: no folder named; write file://DIR", endpoint)
	}
	return &folder{dir: dir, maxBytes: cmp.Or(opts.MaxBytes, DefaultMaxBytes)}, nil
}

// IsLocal reports whether an endpoint is on this machine, and not a registry.
func IsLocal(endpoint string) bool {
	for _, scheme := range []string{"file:", "oci-layout:", "oci-archive:"} {
		if strings.HasPrefix(endpoint, scheme) {
			return true
		}
	}
	return false
}

// localPath returns the path in an endpoint, without the optional "//", made
// relative to base; "" where there is none.
func localPath(path, base string) string {
	path = strings.TrimPrefix(path, "//")
	if path == "" || filepath.IsAbs(path) || base == "" {
		return path
	}
	return filepath.Join(base, path)
}

// Endpoint returns the endpoint that a command line argument means: a folder or a
// layout where there is one of that name, or the argument is written as a path or can't
// begin with a registry's host; and else the argument itself.
func Endpoint(arg string) string {
	path := filepath.ToSlash(arg)
	first, _, _ := strings.Cut(path, "/")
	info, err := os.Stat(arg)
	isDir := err == nil && info.IsDir()
	switch {
	case isDir && isLayout(arg):
		return "oci-layout:" + arg
	case isDir, path == ".", path == "..", strings.HasPrefix(path, "/"),
		strings.HasPrefix(path, "./"), strings.HasPrefix(path, "../"), !isHost(first):
		return "file://" + arg
	}
	return arg
}
