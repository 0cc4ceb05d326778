// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
)

// copyFlags are the flags of graphctl copy.
type copyFlags struct {
	remote      remoteFlags
	output      outputFlag
	withModules bool
	recursive   bool
}

func newCopy() *cobra.Command {
	var f copyFlags
	cmd := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Copy a graph or a component from one registry to another",
		Long: `Copy copies an artifact between registries, OCI image layouts and tar files. Its digest
stays the same. What DST has already isn't copied again.

DST may leave out what stays the same: HOST/ and HOST/PATH/, with a slash at the end,
oci-layout:DIR and oci-archive:FILE.tar take the name and the tag of the source.
SRC may be a whole oci-layout:DIR or oci-archive:FILE.tar: all that it names is copied.
A tar file that is there already keeps what it has.

` + referenceHelp,
		Example: "  graphctl copy ghcr.io/me/graph-simple:1.0.0 oci-archive:site.tar --with-modules\n" +
			"  graphctl copy oci-archive:site.tar registry.plant:5000/",
		Args: exactly("SRC", "DST"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1]) },
	}
	f.remote.add(cmd)
	f.output.add(cmd)
	cmd.Flags().BoolVar(&f.withModules, "with-modules", false, "copy everything that a graph refers to, as well")
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "copy what is attached, as well: signatures, SBOMs, documents")
	return cmd
}

// copied is one result of graphctl copy.
type copied struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Digest      string `json:"digest"`
	// Attached are the digests of what is attached; none without --recursive.
	Attached []string `json:"attached,omitempty"`
}

func (f *copyFlags) run(cmd *cobra.Command, srcArg, dstArg string) (err error) {
	ctx := cmd.Context()
	if err := f.output.check(); err != nil {
		return err
	}
	from, err := locate(srcArg)
	if err != nil {
		return err
	}
	src, stopBar, err := f.remote.open(cmd, from)
	if err != nil {
		return err
	}
	defer stopBar()
	refs := []string{from.Reference}
	if from.Reference == "" {
		if refs, err = src.Tags(ctx, ""); err != nil {
			return err
		}
		if len(refs) == 0 {
			return fmt.Errorf("%s has no artifacts with names", from)
		}
	}
	c := copier{src: src, from: from.Endpoint, recursive: f.recursive}
	var targets []string
	for _, ref := range refs {
		to, err := destination(dstArg, ref)
		if err != nil {
			return err
		}
		c.to = to.Endpoint
		targets = append(targets, to.Reference)
	}
	if len(refs) > 1 && targets[0] == targets[1] {
		return &usageError{fmt.Sprintf("%s has %d artifacts, and %s is one name; end it with a slash, or leave out the name", from, len(refs), dstArg)}
	}
	endpoint, finish, err := stage(ctx, c.to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish(err == nil)) }()
	opts, err := f.remote.options()
	if err != nil {
		return err
	}
	if c.dst, err = oras.OpenStore(endpoint, opts); err != nil {
		return err
	}
	for i, ref := range refs {
		if f.withModules {
			if err := c.copyModules(ctx, ref, targets[i]); err != nil {
				return err
			}
		}
		if err := c.copy(ctx, ref, targets[i]); err != nil {
			return err
		}
	}
	stopBar()
	var b strings.Builder
	for _, done := range c.done {
		fmt.Fprintf(&b, "%s  %s\n", done.Destination, done.Digest)
		for _, digest := range done.Attached {
			fmt.Fprintf(&b, "  attached: %s\n", digest)
		}
	}
	return f.output.print(cmd.OutOrStdout(), b.String(), c.done)
}

// destination completes DST with the name and the tag of the source, where it leaves
// them out.
func destination(arg, srcRef string) (oras.Location, error) {
	name, tag, digest, err := oras.Split(srcRef)
	if err != nil {
		return oras.Location{}, err
	}
	own := name
	if tag != "" {
		own += ":" + tag
	} else if digest != "" {
		own += "@" + digest
	}
	if strings.HasSuffix(arg, "/") && !strings.HasPrefix(arg, "oci-") {
		return locate(arg + own)
	}
	to, err := locate(arg)
	if err != nil {
		return to, err
	}
	if to.Reference == "" {
		to.Reference = own
		return to, nil
	}
	if _, dstTag, dstDigest, err := oras.Split(to.Reference); err == nil && dstTag == "" && dstDigest == "" {
		to.Reference += strings.TrimPrefix(own, name)
	}
	return to, nil
}

// stage returns the endpoint to copy to for one that can't be written to in place:
// for an archive, a layout beside it with what it has already. finish makes the
// archive of it, if all went well.
func stage(ctx context.Context, endpoint string) (staged string, finish func(ok bool) error, err error) {
	file, ok := strings.CutPrefix(endpoint, "oci-archive:")
	if !ok {
		return endpoint, func(bool) error { return nil }, nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".graphctl-copy-*")
	if err != nil {
		return "", nil, err
	}
	finish = func(ok bool) error {
		var err error
		if ok {
			err = oras.WriteArchive(file, dir)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	staged = "oci-layout:" + dir
	if _, err := os.Stat(file); err == nil {
		if err := unpack(ctx, endpoint, staged); err != nil {
			return "", nil, errors.Join(err, finish(false))
		}
	}
	return staged, finish, nil
}

// unpack copies all that an archive names to a layout.
func unpack(ctx context.Context, archive, layout string) error {
	src, err := oras.OpenStore(archive, oras.Options{})
	if err != nil {
		return err
	}
	dst, err := oras.OpenStore(layout, oras.Options{})
	if err != nil {
		return err
	}
	names, err := src.Tags(ctx, "")
	for _, name := range names {
		if err == nil {
			_, err = oras.Copy(ctx, src, name, dst, name)
		}
	}
	return err
}

// copier copies from one store to another.
type copier struct {
	src, dst *oras.Store
	from, to string // endpoints, as the user knows them
	// recursive copies what is attached, too.
	recursive bool
	done      []copied
}

func (c *copier) copy(ctx context.Context, srcRef, dstRef string) error {
	digest, err := oras.Copy(ctx, c.src, srcRef, c.dst, dstRef)
	if err != nil {
		return err
	}
	var attached []string
	if c.recursive {
		if attached, err = oras.CopyAttachments(ctx, c.src, srcRef, c.dst, dstRef); err != nil {
			return err
		}
	}
	c.done = append(c.done, copied{
		Source:      oras.Location{Endpoint: c.from, Reference: srcRef}.String(),
		Destination: oras.Location{Endpoint: c.to, Reference: dstRef}.String(),
		Digest:      digest,
		Attached:    attached,
	})
	return nil
}

// copyModules copies the modules of a graph to where they are looked for beside it.
// A component has none.
func (c *copier) copyModules(ctx context.Context, srcRef, dstRef string) error {
	modules, err := modulesOf(ctx, c.src, oras.Location{Endpoint: c.from, Reference: srcRef})
	if err != nil {
		return err
	}
	dstPath, _, _, err := oras.Split(dstRef)
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := c.copy(ctx, m.ref, modulePlaces(dstPath, m.module)[0]); err != nil {
			return err
		}
	}
	return nil
}
