// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/oras"
)

// deleteFlags are the flags of graphctl delete.
type deleteFlags struct {
	remote    remoteFlags
	graphd    graphdFlags
	namespace namespaceFlag
	output    outputFlag
	files     []string
	dry       bool
}

func newDelete() *cobra.Command {
	var f deleteFlags
	cmd := &cobra.Command{
		Use:   "delete KIND NAME ... | -f FILE|DIR|- | REF",
		Short: "Remove resources from a graphd that runs, or an artifact from a registry",
		Long: `Delete KIND NAME, or -f, removes objects that were applied: graphs among them are stopped
once they have finished what they have taken. All of them are removed, or none: what
something else refers to stays. An object in a file that graphd was started with is
removed from that file instead.

` + kindHelp + `

` + serverHelp + `

Delete REF, a single argument, removes an artifact's manifest from a registry, and with it
every tag that stands for the same digest. Not every registry lets itself be deleted from.

` + referenceHelp,
		Example: "  graphctl delete graph complex\n" +
			"  graphctl delete -f samples/temperature/resources\n" +
			"  graphctl delete localhost:5000/temperature:1.0.0 --plain-http",
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := apart(args)
			if err != nil {
				return err
			}
			switch {
			case len(args) == 0 && len(f.files) == 0:
				return &usageError{"missing argument KIND NAME, -f FILE or REF"}
			case len(args) > 0 && len(f.files) > 0:
				return &usageError{"unexpected argument " + args[0] + " beside -f"}
			case len(args) == 1:
				if _, isKind := api.FindKind(args[0]); isKind {
					return &usageError{"missing argument NAME"}
				}
				return f.artifact(cmd, args[0])
			}
			return f.objects(cmd, args)
		},
	}
	f.remote.add(cmd)
	f.graphd.add(cmd)
	f.namespace.add(cmd)
	f.output.add(cmd)
	cmd.Flags().StringSliceVarP(&f.files, "file", "f", nil, "`FILE|DIR` with the objects to remove, or - for standard input; may be given several times")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "only say what would be done to objects")
	return cmd
}

// artifact removes an artifact from a registry.
func (f *deleteFlags) artifact(cmd *cobra.Command, ref string) error {
	if f.dry || f.graphd.given() {
		return &usageError{"--dry-run and --graphd are for objects: delete KIND NAME"}
	}
	return f.remote.answer(cmd, &f.output, ref, func(store *oras.Store, l oras.Location) (string, any, error) {
		digest, err := store.Delete(cmd.Context(), l.Reference)
		return fmt.Sprintf("deleted %s, which was %s\n", l, digest), resolved{l.String(), digest}, err
	})
}

// objects removes objects from graphd.
func (f *deleteFlags) objects(cmd *cobra.Command, args []string) error {
	if err := f.output.check(); err != nil {
		return err
	}
	var refs []wanted.Ref
	if len(args) > 0 {
		k, err := kindOf(args[0])
		if err != nil {
			return err
		}
		for _, name := range args[1:] {
			refs = append(refs, wanted.Ref{Kind: k.Name, Namespace: f.namespace.name, Name: name})
		}
	} else {
		files, err := readObjects(cmd.InOrStdin(), f.files)
		if err != nil {
			return err
		}
		for _, file := range files {
			found, err := wanted.Refs(wanted.Document{Name: file.Name, Path: file.Path, Text: []byte(file.Text)})
			if err != nil {
				return err
			}
			refs = append(refs, found...)
		}
	}
	client, err := f.graphd.client()
	if err != nil {
		return err
	}
	defer client.Close()
	outcome, err := client.Delete(cmd.Context(), api.DeleteRequest{Objects: refs, DryRun: f.dry})
	if err != nil {
		return notApplied("nothing was deleted", err)
	}
	return f.output.print(cmd.OutOrStdout(), outcomeText(outcome, f.dry), outcome)
}
