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
		store, err := oci.NewFromFS(ctx, os.DirFS(dir))
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
	if r.digest != "" {
		return store, r.digest.String(), nil
	}
	name, ok := pickName(r, names)
	if !ok {
		return nil, "", fmt.Errorf("%w: nothing of that name", ErrNotFound)
	}
	return store, name, nil
}

// open reads the layout's index, and returns the names in it.
func (l layout) open(ctx context.Context) (*oci.ReadOnlyStore, []string, error) {
	if !isLayout(l.dir) {
		return nil, nil, fmt.Errorf("%w: %s is no OCI layout: it has no file %s", ErrNotFound, l.dir, ocispec.ImageLayoutFile)
	}
	store, err := oci.NewFromFS(ctx, os.DirFS(l.dir))
	if err != nil {
		return nil, nil, err
	}
	var names []string
	err = store.Tags(ctx, "", func(page []string) error {
		names = append(names, page...)
		return nil
	})
	return store, names, err
}

// pickName chooses the name in a layout's index that r means.
func pickName(r reference, names []string) (string, bool) {
	for _, suffix := range r.suffixes() {
		want := suffix + ":" + r.tagOrDefault()
		if slices.Contains(names, want) {
			return want, true
		}
		for _, name := range names {
			if strings.HasSuffix(name, "/"+want) {
				return name, true
			}
		}
	}
	if len(names) == 1 && names[0] == r.tagOrDefault() {
		return names[0], true
	}
	return "", false
}

func (l layout) create(ctx context.Context, r reference) (oraslib.Target, string, error) {
	store, err := oci.NewWithContext(ctx, l.dir)
	if err != nil {
		return nil, "", err
	}
	return store, r.path + ":" + r.tagOrDefault(), nil
}

func (l layout) explain(ctx context.Context, r reference, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotArtifact, err)
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	_, names, listErr := l.open(ctx)
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
