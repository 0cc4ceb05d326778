// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/wasm-graph/graphd/oras"
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
			return remote.answer(cmd, &out, args[0], func(store *oras.Store, l oras.Location) (string, any, error) {
				digest, err := store.Delete(cmd.Context(), l.Reference)
				return fmt.Sprintf("deleted %s, which was %s\n", l, digest), resolved{l.String(), digest}, err
			})
		},
	}
	remote.add(cmd)
	out.add(cmd)
	return cmd
}
