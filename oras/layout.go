// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"

	"github.com/wasm-graph/graphd/internal/nearest"
)

// layout is a folder with one OCI image layout, or with one per repository below
// it. In the first, artifacts are told apart by their names in its index: the
// reference as it stands, with leading elements taken off, or behind a registry's
// name; and a layout with a single artifact may call it by its tag alone, as
// "oras push --oci-layout" does.
type layout struct{ dir string }

func (l layout) String() string { return "oci-layout:" + l.dir }

// isLayout reports whether dir says that it is an OCI image layout.
func isLayout(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, ocispec.ImageLayoutFile))
	return err == nil && info.Mode().IsRegular()
}

func (l layout) find(ctx context.Context, r reference) (oraslib.ReadOnlyTarget, string, error) {
	for _, suffix := range r.suffixes() {
		dir := filepath.Join(l.dir, filepath.FromSlash(suffix))
		if !isLayout(dir) {
			continue
		}
		store, err := read(ctx, dir)
		if err != nil {
			return nil, "", err
		}
		if r.digest != "" {
			return store, r.digest.String(), nil
		}
		return store, r.tagOrDefault(), nil
	}
	store, names, err := l.open(ctx)
	if err != nil {
		return nil, "", err
	}
	name, err := pickName(r, names)
	return store, name, err
}

// open reads the layout's index, and returns the names in it.
func (l layout) open(ctx context.Context) (*oci.ReadOnlyStore, []string, error) {
	if !isLayout(l.dir) {
		return nil, nil, fmt.Errorf("%w: %s is no OCI layout: it has no file %s", ErrNotFound, l.dir, ocispec.ImageLayoutFile)
	}
	store, err := read(ctx, l.dir)
	if err != nil {
		return nil, nil, err
	}
	names, err := listNames(ctx, store)
	return store, names, err
}

// listNames returns the names in a layout's index, in order.
func listNames(ctx context.Context, store *oci.ReadOnlyStore) ([]string, error) {
	var names []string
	err := store.Tags(ctx, "", func(page []string) error {
		names = append(names, page...)
		return nil
	})
	return names, err
}

// pickName chooses the name in a layout's index that r means, or its digest.
func pickName(r reference, names []string) (string, error) {
	if r.digest != "" {
		return r.digest.String(), nil
	}
	for _, suffix := range r.suffixes() {
		want := suffix + ":" + r.tagOrDefault()
		if slices.Contains(names, want) {
			return want, nil
		}
		for _, name := range names {
			if strings.HasSuffix(name, "/"+want) {
				return name, nil
			}
		}
	}
	if len(names) == 1 && names[0] == r.tagOrDefault() {
		return names[0], nil
	}
	return "", fmt.Errorf("%w: nothing of that name", ErrNotFound)
}

// tagsAmong returns the tags that a repository has among the names of a layout's
// index; without a repository, the names.
func tagsAmong(names []string, repository string) ([]string, error) {
	if repository == "" {
		return names, nil
	}
	var tags []string
	for _, name := range names {
		if tag, ok := strings.CutPrefix(name, repository+":"); ok {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("%w: no repository of that name", ErrNotFound)
	}
	return tags, nil
}

func (l layout) tags(ctx context.Context, repository string) ([]string, error) {
	if dir := filepath.Join(l.dir, filepath.FromSlash(repository)); repository != "" && isLayout(dir) {
		return layout{dir}.tags(ctx, "")
	}
	_, names, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return tagsAmong(names, repository)
}

func (l layout) remove(ctx context.Context, r reference, desc ocispec.Descriptor) error {
	dir := l.dir
	for _, suffix := range r.suffixes() {
		if below := filepath.Join(l.dir, filepath.FromSlash(suffix)); isLayout(below) {
			dir = below
			break
		}
	}
	release, err := layout{dir}.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	store, err := oci.NewWithContext(ctx, dir)
	if err != nil {
		return err
	}
	return store.Delete(ctx, desc)
}

func (l layout) create(ctx context.Context, r reference) (oraslib.Target, string, func(), error) {
	release, err := l.lock(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	store, err := oci.NewWithContext(ctx, l.dir)
	if err != nil {
		release()
		return nil, "", nil, err
	}
	if r.tag == "" && r.digest != "" {
		return store, r.digest.String(), release, nil
	}
	return store, r.path + ":" + r.tagOrDefault(), release, nil
}

// lockFile is what those who change a layout lock, so that no two of them write its
// index at once. It is in the folder of what is on its way in, which is no part of the
// layout.
const lockFile = "ingest/.lock"

// lockPause is how often somebody who waits for a lock looks.
const lockPause = 20 * time.Millisecond

// lock waits until nobody changes or reads the layout, and keeps others from it.
func (l layout) lock(ctx context.Context) (release func(), err error) {
	name := filepath.Join(l.dir, filepath.FromSlash(lockFile))
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, err
	}
	lock := flock.New(name, flock.SetPermissions(0o666))
	if _, err := lock.TryLockContext(ctx, lockPause); err != nil {
		return nil, fmt.Errorf("lock the layout: %w", err)
	}
	return func() { _ = lock.Close() }, nil // it ends with the process at the latest
}

// read opens the layout in dir once nobody changes it.
func read(ctx context.Context, dir string) (*oci.ReadOnlyStore, error) {
	lock := flock.New(filepath.Join(dir, filepath.FromSlash(lockFile)), flock.SetFlag(os.O_RDONLY))
	_, err := lock.TryRLockContext(ctx, lockPause)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil { // else it can't be locked, or was never changed by us
		defer lock.Close()
	}
	return oci.NewFromFS(ctx, os.DirFS(dir))
}

func (l layout) explain(ctx context.Context, r reference, err error) error {
	return explainNames(r, err, func() ([]string, error) {
		_, names, err := l.open(ctx)
		return names, err
	})
}

// explainNames says what a layout has instead of r; list returns the names in it.
func explainNames(r reference, err error, list func() ([]string, error)) error {
	if !errors.Is(err, ErrNotFound) {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrNotArtifact, err)
		}
		return err
	}
	names, listErr := list()
	if listErr != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("%w; the layout names no artifacts", err)
	}
	hint := ""
	for _, want := range r.suffixes() {
		if name, ok := nearest.Word(want+":"+r.tagOrDefault(), names); ok {
			hint = fmt.Sprintf("; did you mean %s?", name)
			break
		}
	}
	return fmt.Errorf("%w; the layout has %s%s", err, enumerate(names), hint)
}
