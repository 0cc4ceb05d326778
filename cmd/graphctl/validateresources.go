// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/oras"
)

// runResources checks resources.
func (f *validateFlags) runResources(cmd *cobra.Command) error {
	set, problems, err := resource.Load(f.resources...)
	if err != nil {
		return err
	}
	problems = append(problems, deploy.CheckOptions(set)...)
	if problems.Err() == nil {
		more, err := f.checkDefinitions(cmd.Context(), set)
		if err != nil {
			return err
		}
		problems = append(problems, more...)
	}
	problems.Sort()
	if err := printResources(cmd.OutOrStdout(), f.format, f.resources, set, problems); err != nil {
		return err
	}
	if problems.Err() != nil {
		return errors.New("the resources are not valid")
	}
	return nil
}

// checkDefinitions checks the definitions that can be had.
func (f *validateFlags) checkDefinitions(ctx context.Context, set *resource.Set) (document.Problems, error) {
	opts, err := f.modules.remote.options()
	if err != nil {
		return nil, err
	}
	registries := wiring.NewRegistries(wiring.ArtifactDir(""), stderrLogger())
	return deploy.CheckDefinitions(ctx, set, func(endpoint *resource.RegistryEndpoint) (deploy.Artifacts, error) {
		switch {
		case oras.IsLocal(endpoint.Host):
			return registries.Artifacts(set, endpoint)
		case f.modules.modules == "":
			return nil, nil
		}
		return registries.Given(oras.Endpoint(f.modules.modules), opts)
	}), nil
}

// resourceCounts are how many resources there are, by their kinds.
type resourceCounts struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// countResources counts what is declared.
func countResources(set *resource.Set) []resourceCounts {
	flows, graphs := 0, 0
	for _, g := range set.Graphs {
		if g.Flow {
			flows++
		} else {
			graphs++
		}
	}
	var counts []resourceCounts
	add := func(kind string, n int) {
		if n > 0 {
			counts = append(counts, resourceCounts{kind, n})
		}
	}
	add("Dataflow", flows)
	add("DataflowGraph", graphs)
	add("DataflowEndpoint", declared(set.Endpoints, func(e *resource.DataflowEndpoint) resource.Meta { return e.Meta }))
	add("DataflowProfile", declared(set.Profiles, func(p *resource.DataflowProfile) resource.Meta { return p.Meta }))
	add("RegistryEndpoint", declared(set.Registries, func(r *resource.RegistryEndpoint) resource.Meta { return r.Meta }))
	add("ConfigMap", len(set.ConfigMaps))
	add("Secret", len(set.Secrets))
	return counts
}

// declared counts the objects that are in a file.
func declared[T any](objects map[resource.Key]T, meta func(T) resource.Meta) int {
	n := 0
	for _, o := range objects {
		if meta(o).File != "" {
			n++
		}
	}
	return n
}

// resourcesVerdict is the result of graphctl validate -f -o json.
type resourcesVerdict struct {
	Files     []string          `json:"files"`
	Valid     bool              `json:"valid"`
	Resources []resourceCounts  `json:"resources"` // those without faults
	Problems  document.Problems `json:"problems"`
}

func printResources(w io.Writer, format string, files []string, set *resource.Set, problems document.Problems) error {
	counts := countResources(set)
	if format == "json" {
		v := resourcesVerdict{Files: files, Valid: problems.Err() == nil, Resources: counts, Problems: problems}
		if v.Problems == nil {
			v.Problems = document.Problems{} // a list, not null
		}
		return printJSON(w, v)
	}
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.Error() + "\n")
	}
	if problems.Err() == nil {
		var texts []string
		for _, c := range counts {
			texts = append(texts, fmt.Sprintf("%d %s", c.Count, c.Kind))
		}
		if len(texts) == 0 {
			texts = append(texts, "no resources")
		}
		fmt.Fprintf(&b, "%s: valid, %s\n", strings.Join(files, ", "), strings.Join(texts, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
