// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
)

func newAttach() *cobra.Command {
	var remote remoteFlags
	var out outputFlag
	var artifactType string
	var annotations []string
	cmd := &cobra.Command{
		Use:   "attach REF FILE[:MEDIATYPE]...",
		Short: "Put files beside a graph or a component: an SBOM, documents",
		Long: `Attach pushes files as an artifact of their own that refers to REF, so that "graphctl
referrers" lists it and "graphctl pull NAME@DIGEST" gets them. The artifact itself stays
as it is. A registry that knows nothing of referrers gets a tag sha256-HEX with a list.

` + referenceHelp,
		Example: "  graphctl attach ghcr.io/me/temperature:1.0.0 bom.json:application/vnd.cyclonedx+json --artifact-type application/vnd.cyclonedx+json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return &usageError{"missing argument " + []string{"REF, FILE", "FILE"}[len(args)]}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if artifactType == "" {
				return &usageError{"missing --artifact-type TYPE, which says what the files are"}
			}
			l, err := locateArtifact(args[0])
			if err != nil {
				return err
			}
			a := oras.Attachment{ArtifactType: artifactType}
			if a.Annotations, err = keyValues("--annotation", annotations); err != nil {
				return err
			}
			for _, arg := range args[1:] {
				file, mediaType, _ := strings.Cut(arg, ":")
				if mediaType == "" {
					mediaType = "application/octet-stream"
				}
				data, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				a.Blobs = append(a.Blobs, oras.Blob{MediaType: mediaType, Title: filepath.Base(file), Content: data})
			}
			store, stopBar, err := remote.open(cmd, l)
			if err != nil {
				return err
			}
			digest, err := store.Attach(cmd.Context(), l.Reference, a)
			stopBar()
			if err != nil {
				return err
			}
			path, _, _, err := oras.Split(l.Reference)
			if err != nil {
				return err
			}
			name := oras.Location{Endpoint: l.Endpoint, Reference: path + "@" + digest}.String()
			return out.print(cmd.OutOrStdout(), name+"\n", resolved{name, digest})
		},
	}
	remote.add(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&artifactType, "artifact-type", "", "media `TYPE` that says what the files are")
	cmd.Flags().StringArrayVar(&annotations, "annotation", nil, "`KEY=VALUE` for the attachment; may be repeated")
	return cmd
}

func newReferrers() *cobra.Command {
	var remote remoteFlags
	var out outputFlag
	var artifactType string
	cmd := &cobra.Command{
		Use:     "referrers REF",
		Short:   "List what is attached to a graph or a component",
		Long:    "Referrers lists the artifacts that refer to another: signatures, SBOMs, documents.\n\n" + referenceHelp,
		Example: "  graphctl referrers ghcr.io/me/temperature:1.0.0 --artifact-type application/vnd.cyclonedx+json",
		Args:    exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			l, err := locateArtifact(args[0])
			if err != nil {
				return err
			}
			store, stopBar, err := remote.open(cmd, l)
			if err != nil {
				return err
			}
			list, err := store.Referrers(cmd.Context(), l.Reference, artifactType)
			stopBar()
			if err != nil {
				return err
			}
			var b strings.Builder
			w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			for _, r := range list {
				fmt.Fprintf(w, "%s\t%s\n", r.Digest, oneLine(r.ArtifactType))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), b.String(), list)
		},
	}
	remote.add(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&artifactType, "artifact-type", "", "list only those of this media `TYPE`")
	return cmd
}
