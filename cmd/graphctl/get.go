// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/engine/document"
)

// getFlags are the flags of graphctl get.
type getFlags struct {
	graphd    graphdFlags
	namespace namespaceFlag
	format    string
	watch     bool
}

func newGet() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get [KIND [NAME ...]]",
		Short: "List the resources of a graphd that runs, and how they are",
		Long: `Get lists objects of a kind, or of all kinds, and how they are: those in the files that
graphd was started with, and those that were applied.

` + kindHelp + `

-o yaml and json show the objects themselves, which can be applied again, and -o name only
names. Of a Secret only the sizes of its values are shown.

` + serverHelp,
		Example: "  graphctl get\n" +
			"  graphctl get graphs -A -o wide\n" +
			"  graphctl get dataflowendpoint broker -o yaml\n" +
			"  graphctl get graphs --watch",
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.graphd.add(cmd)
	f.namespace.addAll(cmd)
	cmd.Flags().StringVarP(&f.format, "output", "o", "table", "`FORMAT` of the result: table, wide, yaml, json or name")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "go on, and show what changes")
	return cmd
}

func (f *getFlags) run(cmd *cobra.Command, args []string) error {
	if !slices.Contains([]string{"table", "wide", "yaml", "json", "name"}, f.format) {
		return &usageError{fmt.Sprintf("invalid argument %q for --output; want table, wide, yaml, json or name", f.format)}
	}
	args, err := apart(args)
	if err != nil {
		return err
	}
	kinds := api.Kinds()
	var names []string
	if len(args) > 0 {
		k, err := kindOf(args[0])
		if err != nil {
			return err
		}
		kinds, names = []api.Kind{k}, args[1:]
	}
	switch {
	case len(names) > 0 && f.namespace.all:
		return &usageError{"-A goes with no NAME"}
	case f.watch && len(args) == 0:
		return &usageError{"--watch goes with a KIND"}
	}
	client, err := f.graphd.client()
	if err != nil {
		return err
	}
	defer client.Close()
	if f.watch {
		return f.follow(cmd, client, kinds[0], names)
	}
	var objects []*api.Object
	for _, k := range kinds {
		if len(names) > 0 {
			for _, name := range names {
				o, err := client.Get(cmd.Context(), k, f.namespace.chosen(), name)
				if err != nil {
					return err
				}
				objects = append(objects, o)
			}
			continue
		}
		list, err := client.List(cmd.Context(), k, f.namespace.chosen())
		if err != nil {
			return err
		}
		if objects = append(objects, list.Items...); list.Refused != "" && k == kinds[0] {
			fmt.Fprintf(cmd.ErrOrStderr(), "graphctl: graphd doesn't take over its files, and goes on with what they were: %s\n", list.Refused)
		}
	}
	return f.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), kinds, objects, len(names) == 1)
}

// print prints objects of kinds; single says that one was asked for by its name.
func (f *getFlags) print(w, stderr io.Writer, kinds []api.Kind, objects []*api.Object, single bool) error {
	switch f.format {
	case "name":
		for _, o := range objects {
			fmt.Fprintln(w, strings.ToLower(o.Kind)+"/"+o.Metadata.Name)
		}
		return nil
	case "json":
		for _, o := range objects {
			forApply(o)
		}
		if single {
			return printJSON(w, objects[0])
		}
		return printJSON(w, map[string]any{"apiVersion": "v1", "kind": "List", "items": append([]*api.Object{}, objects...)})
	case "yaml":
		for i, o := range objects {
			text, err := yamlOf(o)
			if err != nil {
				return err
			}
			if i > 0 {
				text = "---\n" + text
			}
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		return nil
	}
	if len(objects) == 0 {
		what, where := "nothing", " in namespace "+f.namespace.name+"; -A looks into all"
		if len(kinds) == 1 {
			what = "no " + kinds[0].Name
		}
		if f.namespace.all {
			where = ""
		}
		fmt.Fprintf(stderr, "there is %s%s\n", what, where)
		return nil
	}
	text := ""
	for _, k := range api.Kinds() {
		of := slices.DeleteFunc(slices.Clone(objects), func(o *api.Object) bool { return o.Kind != k.Name })
		if len(of) == 0 {
			continue
		}
		if text != "" {
			text += "\n"
		}
		t := table{rows: [][]string{f.head(k)}}
		for _, o := range of {
			t.add(f.row(o)...)
		}
		text += t.String()
	}
	_, err := io.WriteString(w, text)
	return err
}

// forApply takes away what Kubernetes' own kinds don't have, so that an object can be
// applied again.
func forApply(o *api.Object) {
	if o.Kind == "ConfigMap" || o.Kind == "Secret" {
		o.Status = nil
	}
}

func yamlOf(o *api.Object) (string, error) {
	forApply(o)
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	out, err := document.YAML(text)
	return string(out), err
}

// runs reports whether a kind's objects are graphs.
func runs(kind string) bool { return kind == "DataflowGraph" || kind == "Dataflow" }

func (f *getFlags) head(k api.Kind) []string {
	var head []string
	if f.namespace.all {
		head = append(head, "NAMESPACE")
	}
	head = append(head, strings.ToUpper(k.Name), "STATUS")
	if runs(k.Name) {
		head = append(head, "REASON", "SINCE", "IN", "OUT", "DROPPED")
	} else {
		head = append(head, "REASON", "USED BY", "AGE")
	}
	if f.format == "wide" {
		head = append(head, "SOURCE", "MESSAGE")
	}
	return head
}

func (f *getFlags) row(o *api.Object) []string {
	var row []string
	if f.namespace.all {
		row = append(row, o.Metadata.Namespace)
	}
	s := o.Status
	if s == nil {
		s = &api.Status{}
	}
	h := s.Health
	if h == nil {
		h = &api.Health{}
	}
	row = append(row, o.Metadata.Name, stateOf(s))
	if runs(o.Kind) {
		in, out, dropped := "", "", ""
		if m := s.Messages; m != nil {
			in, out, dropped = count(m.Received), count(m.Sent), count(m.Dropped+m.Undeliverable)
		}
		row = append(row, h.Reason, age(h.Since), in, out, dropped)
	} else {
		row = append(row, h.Reason, someOf(s.UsedBy), age(o.Metadata.Created))
	}
	if f.format == "wide" {
		row = append(row, sourceOf(s), printable(h.Message))
	}
	return row
}

// someOf names the first of many.
func someOf(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ","), len(names)-most)
}

// stateOf is how an object is, in a word.
func stateOf(s *api.Status) string {
	switch {
	case s.Disabled:
		return "Disabled"
	case s.Health != nil:
		return s.Health.State
	case len(s.UsedBy) > 0:
		return "Used"
	}
	return "Unused"
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// roomy are widths of columns that most of what is in them fits into.
var roomy = map[string]int{"NAMESPACE": len("azure-iot-operations"), "STATUS": len("Unavailable"), "REASON": len("DataflowMqttSourceConnectionFailed"), "IN": 7, "OUT": 7}

// follow shows objects and what changes of them, until it is interrupted.
func (f *getFlags) follow(cmd *cobra.Command, client *api.Client, k api.Kind, names []string) error {
	w := cmd.OutOrStdout()
	t := table{rows: [][]string{f.head(k)}}
	if f.format == "table" || f.format == "wide" {
		// What comes later is to stand below its head, and a line can't be made wider.
		for _, column := range t.rows[0] {
			t.widths = append(t.widths, roomy[column])
		}
		fmt.Fprint(w, t.String())
	}
	err := client.Watch(cmd.Context(), k, f.namespace.chosen(), func(c api.Change) error {
		if len(names) > 0 && !slices.Contains(names, c.Object.Metadata.Name) {
			return nil
		}
		switch f.format {
		case "json":
			text, err := json.Marshal(c)
			if err == nil {
				_, err = fmt.Fprintf(w, "%s\n", text)
			}
			return err
		case "yaml":
			text, err := yamlOf(c.Object)
			if err == nil {
				_, err = fmt.Fprintf(w, "---\n%s", text)
			}
			return err
		case "name":
			_, err := fmt.Fprintf(w, "%s/%s\n", strings.ToLower(c.Object.Kind), c.Object.Metadata.Name)
			return err
		}
		row := f.row(c.Object)
		if c.Type == api.Deleted {
			row[slices.Index(f.head(k), "STATUS")] = "Deleted"
		}
		t.rows = [][]string{row}
		_, err := fmt.Fprint(w, t.String())
		return err
	})
	if cmd.Context().Err() != nil {
		return nil // interrupted, as it is meant to be
	}
	return err
}
