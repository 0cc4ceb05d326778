// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/recording"
)

func newTap() *cobra.Command {
	var graphd graphdFlags
	var namespace namespaceFlag
	var output outputFlag
	var limit uint64
	var instance int
	cmd := &cobra.Command{
		Use:   "tap GRAPH [NODE]",
		Short: "Show the messages that pass a node of a graph in a graphd that runs",
		Long: `Tap shows what comes to a node of a graph, message by message, until it is interrupted: to
a destination, or to an operation, NODE/OPERATION, as graphctl describe lists them. Of a source,
and without a NODE of all sources, it is what comes from there. The graph doesn't wait for
who looks, and nothing is taken away from it.

-o json prints the lines that graphctl run takes as input. graphctl record --graphd makes
a recording of it, with which graphctl replay repeats it as it was.

` + serverHelp,
		Example: "  graphctl tap complex\n" +
			"  graphctl tap complex complex/module-window/delay --limit 10\n" +
			"  graphctl tap complex results -o json > results.jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return &usageError{"missing argument GRAPH"}
			case len(args) > 2:
				return &usageError{"unexpected argument " + args[2]}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := output.check(); err != nil {
				return err
			}
			graph := graphName(args[0])
			client, err := graphd.client()
			if err != nil {
				return err
			}
			defer client.Close()
			kind, err := client.FindGraph(cmd.Context(), namespace.name, graph)
			if err != nil {
				return err
			}
			node := ""
			if len(args) > 1 {
				node = args[1]
			}
			p, err := client.Tap(cmd.Context(), kind, namespace.name, graph, instance, node)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.Close()) }()
			lines := recording.NewWriter(cmd.OutOrStdout())
			for shown := uint64(0); limit == 0 || shown < limit; {
				m, err := p.Next()
				switch {
				case errors.Is(err, io.EOF), cmd.Context().Err() != nil:
					return nil // the graph has ended, or it is interrupted
				case err != nil:
					return err
				case m.Message == nil:
					continue // the frontier
				}
				shown++
				if output.format == "json" {
					err = lines.Write(recording.Of(m.Message))
				} else {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", m.At.Local().Format("15:04:05.000"), printable(recording.ContentOf(m.Message).String()))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	graphd.add(cmd)
	namespace.add(cmd)
	output.add(cmd)
	cmd.Flags().IntVar(&instance, "instance", 0, "`NUMBER` of the instance, from 0, of a graph that has several")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "`N` messages to end after")
	return cmd
}
