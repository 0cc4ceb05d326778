// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/wasm-graph/graphd/internal/nearest"
)

// folder is a source of plain files. A reference a/b/temperature:1.0.0 is
// temperature-1.0.0.wasm, or temperature.wasm where that doesn't exist, in a/b/,
// then in b/, then in the folder itself.
type folder struct {
	dir      string
	maxBytes int64
}

func (f *folder) String() string { return "file://" + f.dir }

func (f *folder) Resolve(ctx context.Context, ref string, kind Kind) (string, error) {
	a, err := f.Fetch(ctx, ref, kind)
	if err != nil {
		return "", err
	}
	return a.Digest, nil
}

func (f *folder) Fetch(ctx context.Context, ref string, kind Kind) (*Artifact, error) {
	a, err := f.fetch(ctx, ref, kind)
	if err != nil {
		return nil, fmt.Errorf("oras: fetch %s from %s: %w", ref, f, err)
	}
	return a, nil
}

func (f *folder) fetch(ctx context.Context, ref string, kind Kind) (*Artifact, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := parseReference(ref)
	if err != nil {
		return nil, err
	}
	for _, name := range fileNames(r, kind) {
		content, err := f.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sum := digest.FromBytes(content)
		if r.digest != "" {
			if got := r.digest.Algorithm().FromBytes(content); got != r.digest {
				return nil, fmt.Errorf("%s has digest %s, and the reference wants another", name, got)
			}
		}
		return &Artifact{
			Digest:        sum.String(),
			ContentDigest: sum.String(),
			MediaType:     layerMediaType(kind),
			Content:       content,
		}, nil
	}
	return nil, f.notFound(r, kind)
}

// fileNames are the files that r may be, best first, slash-separated.
func fileNames(r reference, kind Kind) []string {
	var names []string
	for _, stem := range r.suffixes() {
		for _, ext := range extensions(kind) {
			if r.tag != "" {
				names = append(names, stem+"-"+r.tag+ext)
			}
		}
		for _, ext := range extensions(kind) {
			names = append(names, stem+ext)
		}
	}
	return names
}

// extensions are the file name extensions of a kind of artifact.
func extensions(kind Kind) []string {
	if kind == Graph {
		return []string{".yaml", ".yml"}
	}
	return []string{".wasm"}
}

// read reads a file, unless it is too large.
func (f *folder) read(name string) ([]byte, error) {
	file, err := os.Open(filepath.Join(f.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return readLimited(file, info.Size(), f.maxBytes)
}

// notFound says what was looked for and what there is instead.
func (f *folder) notFound(r reference, kind Kind) error {
	if info, err := os.Stat(f.dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: there is no folder %s", ErrNotFound, f.dir)
	}
	looked := fileNames(r, kind)
	have, err := f.list(kind)
	if err != nil {
		return fmt.Errorf("%w: looked for %s", ErrNotFound, strings.Join(looked, ", "))
	}
	if len(have) == 0 {
		return fmt.Errorf("%w: looked for %s; the folder has no %s file", ErrNotFound,
			strings.Join(looked, ", "), extensions(kind)[0])
	}
	stems := make([]string, len(have))
	for i, name := range have {
		stems[i] = strings.TrimSuffix(path.Base(name), path.Ext(name))
	}
	hint := ""
	for _, want := range []string{r.name() + "-" + r.tag, r.name()} {
		if stem, ok := nearest.Word(want, stems); ok {
			hint = fmt.Sprintf("; did you mean %s?", have[slices.Index(stems, stem)])
			break
		}
	}
	return fmt.Errorf("%w: looked for %s; the folder has %s%s", ErrNotFound,
		strings.Join(looked, ", "), enumerate(have), hint)
}

// listed is how many files or tags are looked through to name alternatives.
const listed = 1000

// list returns the files of a kind in the folder and below it, in order.
func (f *folder) list(kind Kind) ([]string, error) {
	var names []string
	seen := 0
	err := fs.WalkDir(os.DirFS(f.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if seen++; seen > listed {
			return fs.SkipAll
		}
		if err == nil && !entry.IsDir() && slices.Contains(extensions(kind), path.Ext(name)) {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// enumerate names the first few of many, and of each no more than helps.
func enumerate(names []string) string {
	const few = 12
	var short []string
	for _, name := range names[:min(len(names), few)] {
		short = append(short, fmt.Sprintf("%.256s", name))
	}
	if len(names) <= few {
		return strings.Join(short, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(short, ", "), len(names)-few)
}

// readLimited reads what is said to be size bytes, and no more than limit. It
// trusts size no further than to refuse early.
func readLimited(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, fmt.Errorf("%d bytes are %w of %d", size, ErrTooLarge, limit)
	}
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge)
	}
	return content, nil
}
