// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/plan"
)

func newPlan() *cobra.Command {
	var f simulationFlags
	var format string
	formats := []string{"dot", "mermaid", "svg", "json"}
	cmd := &cobra.Command{
		Use:   "plan GRAPH.yaml",
		Short: "Draw a graph, or show how it is executed",
		Long: `Plan draws a graph: in the language of Graphviz (dot) or of Mermaid, or as an image
(svg), for which no other program is needed. As json it shows the plan that graphd
executes: operations in the order of their work, connections as indexes, configuration
and limits as they come of --set and --option.`,
		Example: "  graphctl plan graphs/complex.yaml -o svg > complex.svg\n" +
			"  graphctl plan graphs/complex.yaml -o dot | dot -Tpng > complex.png\n" +
			"  graphctl plan graphs/complex.yaml -o json --option deadline=2s",
		Args: exactly("GRAPH.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(formats, format) {
				return &usageError{fmt.Sprintf("invalid argument %q for --output; want %s", format, strings.Join(formats, ", "))}
			}
			s, err := f.plan(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			text := ""
			switch format {
			case "dot":
				text = s.definition.DOT()
			case "mermaid":
				text = s.definition.Mermaid()
			case "svg":
				text = s.definition.SVG()
			default:
				return printJSON(cmd.OutOrStdout(), planReportOf(s.plan))
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.set, "set", nil, "`KEY=VALUE` of a parameter of the graph")
	flags.StringArrayVar(&f.options, "option", nil, "`KEY=VALUE` of an option of the run, such as lateness=1s")
	flags.StringVarP(&format, "output", "o", "dot", "`FORMAT` of the result: "+strings.Join(formats, ", "))
	return cmd
}

// planReport is a plan as JSON.
type planReport struct {
	Graph   string     `json:"graph"`
	Sources []int      `json:"sources"` // indexes of operations, as all numbers of them here
	Sinks   []int      `json:"sinks"`
	Timed   bool       `json:"timed"`
	Nodes   []planNode `json:"operations"`
}

type planNode struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Module      string            `json:"module,omitempty"`
	Outputs     []int             `json:"outputs"`
	True        []int             `json:"outputsTrue,omitempty"` // of a branch; the others are its arm False
	Config      []planParameter   `json:"configuration,omitempty"`
	Schemas     []string          `json:"schemas,omitempty"`
	Limits      map[string]string `json:"limits,omitempty"`
	Parallelism int               `json:"parallelism,omitempty"`
	Weight      int               `json:"weight"` // messages that one of a source becomes here at most
}

type planParameter struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func planReportOf(p *plan.Plan) planReport {
	r := planReport{Graph: p.Graph, Sources: p.Sources, Sinks: p.Sinks, Timed: p.Timed}
	for _, n := range p.Nodes {
		node := planNode{
			Name: n.Operation, Kind: string(n.Kind), Module: n.Module, Outputs: append([]int{}, n.Outputs[0]...), True: n.Outputs[1],
			Parallelism: n.Parallelism, Weight: n.Weight,
		}
		if n.Module != "" {
			node.Limits = map[string]string{"deadline": n.Limits.Deadline.String(), "memory": fmt.Sprint(n.Limits.Memory)}
		}
		for _, c := range n.Config.Properties {
			node.Config = append(node.Config, planParameter{c.Key, c.Value})
		}
		for _, s := range n.Config.Schemas {
			node.Schemas = append(node.Schemas, s.Name)
		}
		r.Nodes = append(r.Nodes, node)
	}
	return r
}
