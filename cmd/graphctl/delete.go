// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newDelete() *cobra.Command {
	var remote remoteFlags
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "delete REF",
		Short: "Remove a graph or a component from a registry",
		Long: `Delete removes an artifact's manifest, and with it every tag that stands for the same
digest. Not every registry lets itself be deleted from.

` + referenceHelp,
		Example: "  graphctl delete localhost:5000/temperature:1.0.0 --plain-http",
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
			digest, err := store.Delete(cmd.Context(), l.Reference)
			stopBar()
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), fmt.Sprintf("deleted %s, which was %s\n", l, digest), resolved{l.String(), digest})
		},
	}
	remote.add(cmd)
	out.add(cmd)
	return cmd
}
