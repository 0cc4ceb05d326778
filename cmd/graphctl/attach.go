// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
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
			if artifactType == "" {
				return &usageError{"missing --artifact-type TYPE, which says what the files are"}
			}
			a, err := attachment(artifactType, annotations, args[1:])
			if err != nil {
				return err
			}
			return remote.answer(cmd, &out, args[0], func(store *oras.Store, l oras.Location) (string, any, error) {
				digest, err := store.Attach(cmd.Context(), l.Reference, a)
				if err != nil {
					return "", nil, err
				}
				path, _, _, err := oras.Split(l.Reference)
				name := oras.Location{Endpoint: l.Endpoint, Reference: path + "@" + digest}.String()
				return name + "\n", resolved{name, digest}, err
			})
		},
	}
	remote.add(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&artifactType, "artifact-type", "", "media `TYPE` that says what the files are")
	cmd.Flags().StringArrayVar(&annotations, "annotation", nil, "`KEY=VALUE` for the attachment; may be repeated")
	return cmd
}

// attachment reads what graphctl attach is given: FILE[:MEDIATYPE] each.
func attachment(artifactType string, annotations, files []string) (a oras.Attachment, err error) {
	a.ArtifactType = artifactType
	if a.Annotations, err = keyValues("--annotation", annotations); err != nil {
		return a, err
	}
	for _, arg := range files {
		file, mediaType, _ := strings.Cut(arg, ":")
		data, err := os.ReadFile(file)
		if err != nil {
			return a, err
		}
		a.Blobs = append(a.Blobs, oras.Blob{MediaType: cmp.Or(mediaType, "application/octet-stream"), Title: filepath.Base(file), Content: data})
	}
	return a, nil
}

func newReferrers() *cobra.Command {
	var remote remoteFlags
	var out outputFlag
	var artifactType string
	cmd := &cobra.Command{
		Use:     "referrers REF",
		Short:   "List what is attached to a graph or a component",
		Long:    "Referrers lists the artifacts that refer to another: SBOMs, documents, and signatures made\nwith --format bundle. Those of the other form are tags beside it, which \"graphctl verify\"\nreads and \"graphctl tags\" lists.\n\n" + referenceHelp,
		Example: "  graphctl referrers ghcr.io/me/temperature:1.0.0 --artifact-type application/vnd.cyclonedx+json",
		Args:    exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return remote.answer(cmd, &out, args[0], func(store *oras.Store, l oras.Location) (string, any, error) {
				list, err := store.Referrers(cmd.Context(), l.Reference, artifactType)
				if err != nil {
					return "", nil, err
				}
				var b strings.Builder
				w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
				for _, r := range list {
					fmt.Fprintf(w, "%s\t%s\n", r.Digest, oneLine(r.ArtifactType))
				}
				if len(list) == 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "nothing refers to %s\n", l)
				}
				err = w.Flush()
				return b.String(), list, err
			})
		},
	}
	remote.add(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&artifactType, "artifact-type", "", "list only those of this media `TYPE`")
	return cmd
}
