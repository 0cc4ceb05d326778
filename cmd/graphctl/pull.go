// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func newPull() *cobra.Command {
	var remote remoteFlags
	var dir, format string
	cmd := &cobra.Command{
		Use:   "pull REF",
		Short: "Get the files of a graph or a component out of a registry",
		Long: `Pull writes the files of an artifact to a folder, under the names that they were pushed
with. One that is there already is replaced. A pull that was broken off goes on where it
was. Nothing is unpacked.

` + referenceHelp,
		Example: "  graphctl pull ghcr.io/azure-samples/explore-iot-operations/temperature:1.0.0 -o build",
		Args:    exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := outputFlag{format}
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
			m, names, err := store.Pull(cmd.Context(), l.Reference, dir)
			stopBar()
			if err != nil {
				return err
			}
			var b strings.Builder
			files := make([]string, len(names))
			for i, name := range names {
				files[i] = filepath.Join(dir, filepath.FromSlash(name))
				b.WriteString(files[i] + "\n")
			}
			fmt.Fprintf(&b, "%s@%s\n", l, m.Digest)
			return out.print(cmd.OutOrStdout(), b.String(), struct {
				Reference string   `json:"reference"`
				Digest    string   `json:"digest"`
				Files     []string `json:"files"`
			}{l.String(), m.Digest, files})
		},
	}
	remote.add(cmd)
	cmd.Flags().StringVarP(&dir, "output", "o", ".", "`DIR` to write the files to")
	cmd.Flags().StringVar(&format, "format", "text", "`FORMAT` of the result: text or json")
	return cmd
}
