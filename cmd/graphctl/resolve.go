// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
)

// resolved is the result of graphctl resolve and graphctl delete.
type resolved struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
}

func newResolve() *cobra.Command {
	var remote remoteFlags
	var out outputFlag
	cmd := &cobra.Command{
		Use:     "resolve REF",
		Short:   "Print the digest that a tag stands for",
		Long:    "Resolve prints the digest of an artifact's manifest, without fetching the artifact.\n\n" + referenceHelp,
		Example: "  graphctl resolve localhost:5000/temperature:1.0.0 --plain-http",
		Args:    exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return remote.answer(cmd, &out, args[0], func(store *oras.Store, l oras.Location) (string, any, error) {
				digest, err := store.Resolve(cmd.Context(), l.Reference, oras.Component)
				return digest + "\n", resolved{l.String(), digest}, err
			})
		},
	}
	remote.add(cmd)
	out.add(cmd)
	return cmd
}
