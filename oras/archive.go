// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
)

// archive is an OCI image layout in a tar file. It is read where it is; to write
// one, fill a layout and call WriteArchive.
type archive struct{ file string }

func (a archive) String() string { return "oci-archive:" + a.file }

func (a archive) open(ctx context.Context) (*oci.ReadOnlyStore, []string, error) {
	store, err := oci.NewFromTar(ctx, a.file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(a.file); statErr == nil {
			return nil, nil, fmt.Errorf("%w: %s is no tar file with an OCI layout: %w", ErrNotFound, a.file, err)
		}
		return nil, nil, fmt.Errorf("%w: there is no file %s", ErrNotFound, a.file)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s is no tar file with an OCI layout: %w", a.file, err)
	}
	names, err := listNames(ctx, store)
	return store, names, err
}

func (a archive) find(ctx context.Context, r reference) (oraslib.ReadOnlyTarget, string, error) {
	store, names, err := a.open(ctx)
	if err != nil {
		return nil, "", err
	}
	name, err := pickName(r, names)
	return store, name, err
}

func (a archive) create(context.Context, reference) (oraslib.Target, string, func(), error) {
	return nil, "", nil, errors.New("an archive takes no pushes; push to an OCI layout and copy it")
}

func (a archive) tags(ctx context.Context, repository string) ([]string, error) {
	_, names, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	return tagsAmong(names, repository)
}

func (a archive) remove(context.Context, reference, ocispec.Descriptor) error {
	return errors.New("nothing can be deleted from an archive; make a new one")
}

func (a archive) explain(ctx context.Context, r reference, err error) error {
	return explainNames(r, err, func() ([]string, error) {
		_, names, err := a.open(ctx)
		return names, err
	})
}

// WriteArchive writes the OCI image layout in dir to a tar file, which then has
// all of it or isn't there. The same layout makes the same bytes.
func WriteArchive(file, dir string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("oras: write archive %s: %w", file, err)
		}
	}()
	if !isLayout(dir) {
		return fmt.Errorf("%s is no OCI layout", dir)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp.Name())
		}
	}()
	err = writeTar(temp, os.DirFS(dir))
	// CreateTemp's files are for their owner only.
	if err := errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

// writeTar writes a layout in the order of its file names, without times.
func writeTar(w io.Writer, layout fs.FS) error {
	out := tar.NewWriter(w)
	err := fs.WalkDir(layout, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if name == "ingest" { // of pushes that broke
			return fs.SkipDir
		}
		if entry.IsDir() {
			return out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
		}
		file, err := layout.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if name == ocispec.ImageIndexFile {
			return writeIndex(out, file)
		}
		info, err := file.Stat()
		if err != nil {
			return err
		}
		return writeEntry(out, name, info.Size(), file)
	})
	return errors.Join(err, out.Close())
}

// writeIndex writes a layout's index in an order of its own: that of the file is
// left to chance.
func writeIndex(out *tar.Writer, file io.Reader) error {
	var index ocispec.Index
	if err := json.NewDecoder(file).Decode(&index); err != nil {
		return fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName]), cmp.Compare(a.Digest, b.Digest))
	})
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := writeHeader(out, ocispec.ImageIndexFile, int64(len(data))); err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}

func writeEntry(out *tar.Writer, name string, size int64, r io.Reader) error {
	if err := writeHeader(out, name, size); err != nil {
		return err
	}
	_, err := io.Copy(out, r)
	return err
}

func writeHeader(out *tar.Writer, name string, size int64) error {
	return out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
}
