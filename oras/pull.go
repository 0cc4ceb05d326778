// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
)

// Pull writes the files of an artifact to the folder dir, which is made where it
// isn't there, and returns the manifest and the files' names in dir. They are the
// layers that have a title, and the first, which is the artifact, even without
// one. A file appears as a whole, with the right digest, or not at all (it isn't forced
// to the disk, for the machine to crash); a pull that was broken off goes on where it
// was. Any number of pulls, of any processes, may write to the same folder. Archives among
// the layers stay archives.
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
	taken := map[string]bool{} // without regard to case, as some file systems have it
	for i, l := range m.Layers {
		if i > 0 && l.Title == "" {
			continue
		}
		if l.Title != "" {
			if err := checkTitle(l.Title); err != nil {
				return nil, err
			}
			key := strings.ToLower(l.Title)
			if taken[key] {
				return nil, fmt.Errorf("%w: two layers have the title %q", ErrNotArtifact, l.Title)
			}
			taken[key] = true
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
		name, err := s.pullLayer(ctx, repo, m.layers[i], root, l.Title, r.name())
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// pullLayer brings a layer into root, under its title or, without one, as stem with the
// extension that fits. It returns the name, which has slashes.
func (s *Store) pullLayer(ctx context.Context, repo oraslib.ReadOnlyTarget, layer ocispec.Descriptor, root *os.Root, title, stem string) (name string, err error) {
	part := "." + strings.ReplaceAll(layer.Digest.String(), ":", "-") + ".part"
	release, err := lockPart(ctx, root, part)
	if err != nil {
		return "", err
	}
	defer release()
	head, err := s.download(ctx, repo, layer, root, part)
	if err != nil {
		return "", err
	}
	if name = title; name == "" {
		name = stem + extensions(sniff(head))[0]
	}
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o777); err != nil {
			return "", err
		}
	}
	return name, root.Rename(part, filepath.FromSlash(name))
}

// lockPart waits until no other pull, of this process or another, writes the file
// part, and keeps others from it. The lock is a file beside it, which goes with it.
func lockPart(ctx context.Context, root *os.Root, part string) (release func(), err error) {
	name := part + ".lock"
	for {
		file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666) // not through a link that leads out
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			return nil, err
		}
		lock := flock.New(filepath.Join(root.Name(), name), flock.SetFlag(os.O_RDWR))
		if _, err := lock.TryLockContext(ctx, lockPause); errors.Is(err, fs.ErrNotExist) {
			continue // whoever had it was done just now
		} else if err != nil {
			return nil, fmt.Errorf("wait for another pull: %w", err)
		}
		held, err := lock.Stat()
		if err != nil {
			lock.Close()
			return nil, err
		}
		if there, err := root.Stat(name); err == nil && os.SameFile(held, there) {
			return func() {
				// Where a locked file can't be removed it stays, and harms nobody.
				_ = root.Remove(name)
				_ = lock.Close()
			}, nil
		}
		lock.Close() // of a file that was removed while we waited for it
	}
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

// maxTitle bounds the title of a layer, in bytes: what file systems take as a path.
const maxTitle = 1024

// checkTitle refuses names of files that aren't below the folder they are pulled to,
// on any system.
func checkTitle(title string) error {
	if !filepath.IsLocal(filepath.FromSlash(title)) || path.Clean(title) != title || title == "." || len(title) > maxTitle ||
		strings.ContainsAny(title, "\\:") || strings.ContainsFunc(title, unicode.IsControl) {
		return fmt.Errorf("%w: the title %.80q of a layer is no name of a file inside a folder; whoever pushed it has to correct that", ErrNotArtifact, title)
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
		err = layerError(layer, err)
		if have+n == 0 {
			err = errors.Join(err, root.Remove(name)) // there is nothing to go on with
		}
		return nil, err
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
