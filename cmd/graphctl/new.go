// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/operators/scaffold"
)

func newNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Begin something new",
		Example: "  graphctl new operator celsius --kind map\n" +
			"  graphctl build celsius",
		Args: noVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNewOperator())
	return cmd
}

func newNewOperator() *cobra.Command {
	var kind, dir string
	cmd := &cobra.Command{
		Use:   "operator NAME",
		Short: "Write a new operator in Go",
		Long: `Operator writes a Go module with an operator, its unit test and a README to the
folder NAME, and the SDK that it is built with beside them. The module needs nothing
else: it builds without a network, wherever it is moved.`,
		Example: "  graphctl new operator humidity --kind accumulate --dir operators",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			written, err := scaffold.Operator(dir, name, operator.Kind(kind))
			if errors.Is(err, scaffold.ErrName) {
				return &usageError{err.Error()}
			} else if err != nil {
				return err
			}
			if strings.ContainsAny(name, "-_") {
				fmt.Fprintf(cmd.ErrOrStderr(), "graphctl: note: Azure's VS Code extension takes no operator names with '-' or '_'; graphd takes them all\n")
			}
			out := cmd.OutOrStdout()
			for _, file := range written {
				fmt.Fprintln(out, file)
			}
			folder := filepath.Join(dir, name)
			fmt.Fprintf(out, "\nnext:\n  cd %s\n  go test ./...\n  graphctl build .\n", folder)
			return nil
		},
	}
	var kinds []string
	for _, k := range scaffold.Kinds() {
		kinds = append(kinds, string(k))
	}
	cmd.Flags().StringVar(&kind, "kind", string(operator.Map), "`KIND` of operator: "+strings.Join(kinds, ", "))
	cmd.Flags().StringVar(&dir, "dir", ".", "`DIR` to write the folder NAME to")
	return cmd
}
