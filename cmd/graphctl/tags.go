// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newTags() *cobra.Command {
	var remote remoteFlags
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "tags REPO",
		Short: "List the tags of a repository",
		Long: `Tags lists the tags of a repository, HOST/NAME or oci-layout:DIR:NAME; of oci-layout:DIR
and oci-archive:FILE, the names of everything in it.`,
		Example: "  graphctl tags ghcr.io/azure-samples/explore-iot-operations/temperature",
		Args:    exactly("REPO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			l, err := locate(args[0])
			if err != nil {
				return err
			}
			store, stopBar, err := remote.open(cmd, l)
			if err != nil {
				return err
			}
			tags, err := store.Tags(cmd.Context(), l.Reference)
			stopBar()
			if err != nil {
				return err
			}
			var b strings.Builder
			for _, tag := range tags {
				b.WriteString(oneLine(tag) + "\n")
			}
			return out.print(cmd.OutOrStdout(), b.String(), append([]string{}, tags...))
		},
	}
	remote.add(cmd)
	out.add(cmd)
	return cmd
}
