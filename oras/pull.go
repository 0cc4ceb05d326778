// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
)

// Pull writes the files of an artifact to the folder dir, which is made where it
// isn't there, and returns the manifest and the files' names in dir. They are the
// layers that have a title, and the first, which is the artifact, even without
// one. A file appears as a whole, with the right digest, or not at all (it isn't forced
// to the disk, for the machine to crash); a pull that was broken off goes on where it
// was. Archives among the layers stay archives.
func (s *Store) Pull(ctx context.Context, ref, dir string) (*Manifest, []string, error) {
	const verb = "pull REF from STORE"
	r, err := parseReference(ref)
	if err != nil {
		return nil, nil, s.fail(ctx, verb, ref, reference{}, err)
	}
	repo, m, err := s.manifest(ctx, r)
	if err != nil {
		return nil, nil, s.fail(ctx, verb, ref, r, err)
	}
	names, err := s.pull(ctx, repo, r, m, dir)
	if err != nil {
		return nil, nil, s.fail(ctx, verb, ref, r, err)
	}
	return m, names, nil
}

func (s *Store) pull(ctx context.Context, repo oraslib.ReadOnlyTarget, r reference, m *Manifest, dir string) ([]string, error) {
	// All that can be refused is, before the first file is written.
	taken := map[string]bool{}
	for i, l := range m.Layers {
		if i > 0 && l.Title == "" {
			continue
		}
		if l.Title != "" {
			if err := checkTitle(l.Title); err != nil {
				return nil, err
			}
			if taken[l.Title] {
				return nil, fmt.Errorf("%w: two layers have the title %q", ErrNotArtifact, l.Title)
			}
			taken[l.Title] = true
		}
		if l.Size > s.maxBytes {
			return nil, fmt.Errorf("layer %s: %d bytes are %w of %d", l.Digest, l.Size, ErrTooLarge, s.maxBytes)
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir) // no link in dir leads out of it
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var names []string
	for i, l := range m.Layers {
		if i > 0 && l.Title == "" {
			continue
		}
		part := "." + strings.ReplaceAll(m.layers[i].Digest.String(), ":", "-") + ".part"
		head, err := s.download(ctx, repo, m.layers[i], root, part)
		if err != nil {
			return nil, err
		}
		name := l.Title
		if name == "" {
			name = r.name() + extensions(sniff(head))[0]
		}
		if parent := path.Dir(name); parent != "." {
			if err := root.MkdirAll(filepath.FromSlash(parent), 0o777); err != nil {
				return nil, err
			}
		}
		if err := root.Rename(part, filepath.FromSlash(name)); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// transferBuffer is how much is moved at once.
const transferBuffer = 256 << 10

// sniff tells a component from a graph definition by how it begins.
func sniff(head []byte) Kind {
	if bytes.HasPrefix(head, []byte("\x00asm")) {
		return Component
	}
	return Graph
}

// checkTitle refuses names of files that aren't below the folder they are pulled to,
// on any system.
func checkTitle(title string) error {
	if !filepath.IsLocal(filepath.FromSlash(title)) || path.Clean(title) != title || title == "." || strings.ContainsAny(title, "\\:\x00") {
		return fmt.Errorf("%w: the title %q of a layer is no name of a file inside a folder; whoever pushed it has to correct that", ErrNotArtifact, title)
	}
	return nil
}

// download brings a layer into the file called name, going on with what is there
// already, and returns how it begins.
func (s *Store) download(ctx context.Context, repo oraslib.ReadOnlyTarget, layer ocispec.Descriptor, root *os.Root, name string) (head []byte, err error) {
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	verifier := layer.Digest.Verifier()
	have, err := io.Copy(verifier, file)
	if err != nil {
		return nil, err
	}
	if have > layer.Size {
		have = 0
		verifier = layer.Digest.Verifier()
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		if err := file.Truncate(0); err != nil {
			return nil, err
		}
	}
	b := s.transfers.open(ctx, repo, layer, have)
	defer b.Close()
	n, err := io.CopyBuffer(io.MultiWriter(file, verifier), io.LimitReader(b, layer.Size-have+1), make([]byte, transferBuffer))
	if err != nil {
		return nil, layerError(layer, err)
	}
	if have+n != layer.Size || !verifier.Verified() {
		// Nothing of it can be trusted, so the next pull must not go on with it.
		return nil, errors.Join(layerError(layer, fmt.Errorf("mismatch: %d bytes came, and have another digest", have+n)), root.Remove(name))
	}
	head = make([]byte, 4)
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head, nil
}
