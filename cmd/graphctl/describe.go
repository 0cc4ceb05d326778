// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/engine/document"
)

func newDescribe() *cobra.Command {
	var graphd graphdFlags
	var namespace namespaceFlag
	cmd := &cobra.Command{
		Use:   "describe KIND NAME",
		Short: "Show a resource of a graphd that runs, and what happened to it",
		Long: `Describe shows all there is to know of an object: what is wanted of it, how it is and why,
who uses it, and of a graph the artifacts it is made of, its operations with their counts,
and what happened to it lately.

` + kindHelp + `

` + serverHelp,
		Example: "  graphctl describe graph complex\n  graphctl describe endpoint broker -n plant",
		Args: func(cmd *cobra.Command, args []string) error {
			args, err := apart(args)
			if err != nil {
				return err
			}
			return exactly("KIND", "NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := apart(args)
			if err != nil {
				return err
			}
			k, err := kindOf(args[0])
			if err != nil {
				return err
			}
			client, err := graphd.client()
			if err != nil {
				return err
			}
			defer client.Close()
			o, err := client.Get(cmd.Context(), k, namespace.name, args[1])
			if err != nil {
				return err
			}
			var events []history.Event
			if runs(k.Name) {
				if events, err = client.Events(cmd.Context(), k, namespace.name, args[1]); err != nil {
					return err
				}
			}
			text, err := description(o, events)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	graphd.add(cmd)
	namespace.add(cmd)
	return cmd
}

// description is an object for people.
func description(o *api.Object, events []history.Event) (string, error) {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name+":", printable(value))
		}
	}
	s := o.Status
	field("Name", o.Metadata.Name)
	field("Namespace", o.Metadata.Namespace)
	field("Kind", o.Kind)
	if s.Applied {
		field("Source", "applied from "+sourceOf(s)+", "+age(o.Metadata.Created)+" ago")
	} else {
		field("Source", s.Source+", written "+age(o.Metadata.Created)+" ago")
	}
	if s.Refused != "" {
		b.WriteString("Refused:     the files, as they are now, are not taken over:\n" + indent(s.Refused))
	}
	field("Status", stateOf(s))
	if h := s.Health; h != nil && !s.Disabled {
		field("Since", age(h.Since)+" ago")
		field("Reason", h.Reason)
		field("Message", h.Message)
	}
	field("Used by", strings.Join(s.UsedBy, ", "))
	for _, part := range []struct {
		name string
		json []byte
	}{{"Annotations", o.Metadata.Annotations}, {"Spec", o.Spec}, {"Data", o.Data}, {"BinaryData", o.BinaryData}} {
		if len(part.json) == 0 {
			continue
		}
		text, err := document.YAML(part.json)
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + part.name + ":\n" + indent(string(text)))
	}
	section := func(name string, t table) {
		if len(t.rows) > 1 {
			b.WriteString("\n" + name + ":\n" + indent(t.String()))
		}
	}
	artifacts := table{rows: [][]string{{"REGISTRY", "REFERENCE", "DIGEST"}}}
	for _, a := range s.Artifacts {
		artifacts.add(a.Registry, a.Reference, a.Digest)
	}
	section("Artifacts", artifacts)
	instances := table{rows: [][]string{{"INSTANCE", "STATUS", "REASON", "SINCE", "MESSAGE"}}}
	for _, i := range s.Instances {
		state := i.State
		if i.Retiring {
			state = "Retiring"
		}
		instances.add(fmt.Sprint(i.Number), state, i.Reason, age(i.Since), printable(i.Message))
	}
	section("Instances", instances)
	if m := s.Messages; m != nil {
		messages := table{rows: [][]string{
			{"RECEIVED", "SENT", "FILTERED", "DROPPED", "UNDELIVERABLE", "DEAD LETTERS", "LATE", "UNSETTLED"},
			{count(m.Received), count(m.Sent), count(m.Filtered), count(m.Dropped), count(m.Undeliverable), count(m.DeadLetters), count(m.Late), fmt.Sprint(m.Unsettled)},
		}}
		section("Messages", messages)
	}
	operations := table{rows: [][]string{{"OPERATION", "KIND", "IN", "SENT", "FILTERED", "REFUSED", "LOST", "FAULTS", "HELD"}}}
	for _, op := range s.Operations {
		operations.add(op.Name, op.Kind, count(op.In), count(op.Sent), count(op.Filtered), count(op.Refused), count(op.Lost), count(op.Faults), fmt.Sprint(op.Held))
	}
	section("Operations", operations)
	happened := table{rows: [][]string{{"LAST", "FIRST", "COUNT", "TYPE", "REASON", "MESSAGE"}}}
	for _, e := range events {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		happened.add(age(e.Last), age(e.First), fmt.Sprint(e.Count), kind, e.Reason, printable(e.Message))
	}
	section("Events", happened)
	return b.String(), nil
}

// indent moves lines to the right.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + printable(strings.TrimRight(line, "\n")) + "\n")
	}
	return b.String()
}
