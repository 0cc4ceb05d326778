// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/oras"
)

func newInspect() *cobra.Command {
	var remote remoteFlags
	var format string
	cmd := &cobra.Command{
		Use:   "inspect FILE|REF",
		Short: "Show what a component, a graph or a recording is made of",
		Long: `Inspect shows the operators that a component exports, what it imports, the core
modules inside it, and its world as WIT text. It reads any component, not only
operators, and checks it as graphd does when it loads one. Of a graph it shows the
operations and the modules.

Of a recording it lists the messages, with the numbers that graphctl replay --trace takes.
Of an artifact in a registry it shows the manifest, too.

` + referenceHelp,
		Example: "  graphctl inspect build/artifacts/temperature.wasm\n" +
			"  graphctl inspect build/artifacts/temperature.wasm -o json | jq .operators\n" +
			"  graphctl inspect ghcr.io/azure-samples/explore-iot-operations/graph-simple:1.0.0",
		Args: exactly("FILE|REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "json", "wit"}, format) {
				return &usageError{fmt.Sprintf("invalid argument %q for --output; want text, wit or json", format)}
			}
			if isReference(args[0]) {
				r, err := inspectArtifact(cmd, &remote, args[0])
				if err != nil {
					return err
				}
				return r.print(cmd.OutOrStdout(), format)
			}
			if isRecording(args[0]) {
				r, err := inspectRecording(args[0])
				if err != nil {
					return err
				}
				return r.print(cmd.OutOrStdout(), format)
			}
			data, err := readInput(args[0])
			if err != nil {
				return err
			}
			// What claims to be a component is taken at its word, to say what is wrong.
			if sniff(data) == oras.Graph && !strings.EqualFold(filepath.Ext(args[0]), ".wasm") {
				r, err := inspectGraph(args[0], data)
				if err != nil {
					return err
				}
				return r.print(cmd.OutOrStdout(), format)
			}
			r, err := inspect(args[0], data)
			if err != nil {
				return err
			}
			return r.print(cmd.OutOrStdout(), format)
		},
	}
	remote.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT` of the result: text, wit or json")
	return cmd
}

// isReference tells a reference from a file's name.
func isReference(arg string) bool {
	if _, err := os.Stat(arg); err == nil {
		return false
	}
	switch strings.ToLower(filepath.Ext(arg)) {
	case ".wasm", ".yaml", ".yml":
		return false
	}
	_, err := oras.Locate(arg)
	return err == nil || strings.HasPrefix(arg, "oci-") || strings.Contains(arg, "://")
}

// artifactReport is what graphctl inspect found in a registry. Of Component and Graph
// one is set, unless what is there is neither.
type artifactReport struct {
	Reference string         `json:"reference"`
	Manifest  *oras.Manifest `json:"manifest"`
	Component *report        `json:"component,omitempty"`
	Graph     *graphReport   `json:"graph,omitempty"`
	// Unreadable says why the content is neither a component nor a graph.
	Unreadable string `json:"unreadable,omitempty"`
}

func inspectArtifact(cmd *cobra.Command, remote *remoteFlags, arg string) (*artifactReport, error) {
	l, err := locateArtifact(arg)
	if err != nil {
		return nil, err
	}
	store, stopBar, err := remote.open(cmd, l)
	if err != nil {
		return nil, err
	}
	defer stopBar()
	ctx := cmd.Context()
	m, err := store.Manifest(ctx, l.Reference)
	if err != nil {
		return nil, err
	}
	a, err := store.Fetch(ctx, l.Reference, oras.Component)
	if err != nil {
		return nil, err
	}
	r := &artifactReport{Reference: l.String(), Manifest: m}
	name := m.Layers[0].Title
	if name == "" {
		name = "content"
	}
	if sniff(a.Content) == oras.Component {
		r.Component, err = inspect(name, a.Content)
	} else {
		r.Graph, err = inspectGraph(name, a.Content)
	}
	if err != nil {
		r.Unreadable = err.Error()
	}
	return r, nil
}

func (r *artifactReport) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, r)
	}
	var b strings.Builder
	if format == "text" {
		m := r.Manifest
		fmt.Fprintf(&b, "%s\ndigest  %s\n", r.Reference, m.Digest)
		if m.ArtifactType != "" {
			fmt.Fprintf(&b, "artifact type  %s\n", oneLine(m.ArtifactType))
		}
		if m.ConfigMediaType != "" {
			fmt.Fprintf(&b, "config  %s\n", oneLine(m.ConfigMediaType))
		}
		for _, l := range m.Layers {
			fmt.Fprintf(&b, "layer  %s  %s  %s  %s\n", oneLine(l.MediaType), byteSize(int(l.Size)), l.Digest, orNone(oneLine(l.Title)))
		}
		for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
			fmt.Fprintf(&b, "%s  %s\n", oneLine(key), oneLine(m.Annotations[key]))
		}
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	switch {
	case r.Component != nil:
		return r.Component.print(w, format)
	case r.Graph != nil:
		return r.Graph.print(w, format)
	}
	return fmt.Errorf("%s is neither a component nor a graph: %s", r.Reference, r.Unreadable)
}

// oneLine is text of a manifest as one line of a terminal shows it: whoever pushed it
// may have written anything.
func oneLine(text string) string { return strings.ReplaceAll(oras.Printable(text), "\n", " ") }

// graphReport is what graphctl inspect found in a definition.
type graphReport struct {
	File       string            `json:"file"`
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Operations []operationReport `json:"operations"`
	Modules    []string          `json:"modules"`
}

type operationReport struct {
	Name   string     `json:"name"`
	Kind   graph.Kind `json:"kind"`
	Module string     `json:"module,omitempty"`
}

func inspectGraph(file string, text []byte) (*graphReport, error) {
	d, problems := graph.Parse(file, text)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%s is no valid graph:\n%w", file, err)
	}
	r := &graphReport{File: file, Name: d.Metadata.Name, Version: d.Metadata.Version, Modules: append([]string{}, d.Modules()...)}
	for _, op := range d.Operations {
		r.Operations = append(r.Operations, operationReport{op.Name, op.Kind, op.Module})
	}
	return r, nil
}

func (r *graphReport) print(w io.Writer, format string) error {
	switch format {
	case "json":
		return printJSON(w, r)
	case "wit":
		return &usageError{"a graph has no world; -o wit is for components"}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "graph  %s %s\n", r.Name, r.Version)
	for _, op := range r.Operations {
		fmt.Fprintf(&b, "  %-11s  %s", op.Kind, op.Name)
		if op.Module != "" {
			fmt.Fprintf(&b, "  %s", op.Module)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, oras.Printable(b.String()))
	return err
}

// report is what graphctl inspect found.
type report struct {
	File      string          `json:"file"`
	Size      int             `json:"size"` // bytes
	Operators []operator.Kind `json:"operators"`
	// Refused says why graphd would not take the component as an operator.
	Refused     string       `json:"refused,omitempty"`
	Imports     []string     `json:"imports"`
	Exports     []string     `json:"exports"`
	CoreModules []coreModule `json:"coreModules"`
	Features    []string     `json:"features"` // that its core modules use, together
	WIT         string       `json:"wit"`
}

type coreModule struct {
	Name        string   `json:"name,omitempty"`
	Size        int      `json:"size"` // bytes
	MemoryPages *uint32  `json:"memoryPages,omitempty"`
	Features    []string `json:"features"`
}

func inspect(file string, data []byte) (*report, error) {
	d, err := component.Describe(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &report{File: file, Size: d.Size, Operators: []operator.Kind{}, Imports: names(d.Type.Imports), Exports: names(d.Type.Exports)}
	kinds, err := processor.Kinds(d.Type)
	if err != nil {
		r.Refused = err.Error()
	} else {
		r.Operators = kinds
	}
	features := []string{}
	for _, m := range d.CoreModules {
		c := coreModule{Name: m.Name, Size: m.Size, Features: append([]string{}, m.Features...)}
		if len(m.Memories) > 0 {
			c.MemoryPages = &m.Memories[0].Min
		}
		r.CoreModules = append(r.CoreModules, c)
		features = append(features, m.Features...)
	}
	slices.Sort(features)
	r.Features = slices.Compact(features)
	if r.WIT, err = wit.Print(d.Type); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func names(externs []types.Extern) []string {
	list := make([]string, len(externs))
	for i, x := range externs {
		list[i] = x.Name
	}
	return list
}

func (r *report) print(w io.Writer, format string) error {
	switch format {
	case "json":
		return printJSON(w, r)
	case "wit":
		_, err := io.WriteString(w, r.WIT)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", r.File, byteSize(r.Size))
	if r.Refused != "" {
		fmt.Fprintf(&b, "no operator: %s\n", r.Refused)
	} else {
		fmt.Fprintf(&b, "operators  %s\n", join(r.Operators))
	}
	fmt.Fprintf(&b, "core features  %s\n", orNone(strings.Join(r.Features, ", ")))
	for i, m := range r.CoreModules {
		name := m.Name
		if name == "" {
			name = fmt.Sprintf("core module %d", i)
		}
		fmt.Fprintf(&b, "  %s  %s", name, byteSize(m.Size))
		if m.MemoryPages != nil {
			fmt.Fprintf(&b, "  memory from %s", byteSize(int(*m.MemoryPages)<<16))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(r.WIT)
	_, err := io.WriteString(w, b.String())
	return err
}

func join(kinds []operator.Kind) string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = string(k)
	}
	return strings.Join(list, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
