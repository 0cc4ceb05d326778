// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/history"
)

func newLogs() *cobra.Command {
	var graphd graphdFlags
	var namespace namespaceFlag
	var output outputFlag
	var since time.Duration
	options := api.LogOptions{}
	cmd := &cobra.Command{
		Use:   "logs GRAPH",
		Short: "Show what a graph in a graphd that runs has logged",
		Long: `Logs shows what was logged about a DataflowGraph or a Dataflow, what its operators log
included: the last thousand lines or so, from memory. graphd's own log, on its standard
error, has all of it.

` + serverHelp,
		Example: "  graphctl logs complex --follow\n" +
			"  graphctl logs complex --operation complex/module-window/accumulate --since 10m",
		Args: exactly("GRAPH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			switch {
			case since < 0:
				return &usageError{"--since is not negative"}
			case options.Tail < 0 && cmd.Flags().Changed("tail"):
				return &usageError{"--tail is not negative"}
			}
			graph := graphName(args[0])
			if since > 0 {
				options.Since = time.Now().Add(-since)
			}
			client, err := graphd.client()
			if err != nil {
				return err
			}
			defer client.Close()
			kind, err := client.FindGraph(cmd.Context(), namespace.name, graph)
			if err != nil {
				return err
			}
			if options.Operation != "" {
				if err := hasOperation(cmd.Context(), client, kind, namespace.name, graph, options.Operation); err != nil {
					return err
				}
			}
			var last uint64
			err = client.Log(cmd.Context(), kind, namespace.name, graph, options, func(l history.Line) error {
				if options.Operation == "" && last > 0 && l.Number > last+1 {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d lines came too fast\n", l.Number-last-1)
				}
				last = l.Number
				text := fmt.Sprintf("%s %-5s %s\n", l.Time.Local().Format("2006-01-02T15:04:05.000"), l.Level, printable(operationText(l)))
				return output.printLine(cmd.OutOrStdout(), text, l)
			})
			if cmd.Context().Err() != nil {
				return nil // interrupted, as it is meant to be
			}
			return err
		},
	}
	graphd.add(cmd)
	namespace.add(cmd)
	output.add(cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&options.Follow, "follow", "f", false, "go on, and show what is logged from now on")
	flags.IntVar(&options.Tail, "tail", -1, "`N` of the latest lines to show, instead of all")
	flags.DurationVar(&since, "since", 0, "`DURATION` to look back at most")
	flags.StringVar(&options.Operation, "operation", "", "`NAME` of the operation whose lines are shown, instead of all")
	return cmd
}

// hasOperation returns an error where a graph that runs has no such operation, whose lines
// nobody would ever see.
func hasOperation(ctx context.Context, client *api.Client, kind api.Kind, namespace, graph, operation string) error {
	o, err := client.Get(ctx, kind, namespace, graph)
	if err != nil || o.Status == nil || len(o.Status.Operations) == 0 {
		return err
	}
	var names []string
	for _, op := range o.Status.Operations {
		names = append(names, op.Name)
	}
	if slices.Contains(names, operation) {
		return nil
	}
	return fmt.Errorf("%s %s has no operation %q; it has %s", kind.Name, graph, operation, strings.Join(names, ", "))
}

// operationText is what a line says, after the operation that says it.
func operationText(l history.Line) string {
	if l.Operation == "" {
		return l.Text
	}
	return l.Operation + ": " + l.Text
}
