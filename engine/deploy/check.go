// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/resource"
)

// CheckDefinitions fetches the definitions of the set's graphs, and returns what is wrong
// with them and with how the graphs use them: connections, configuration, options. Their
// components are not fetched. open opens what a RegistryEndpoint names; it returns nil
// for one that is not to be asked, and then the graphs that have it are not checked.
func CheckDefinitions(ctx context.Context, set *resource.Set, open func(*resource.RegistryEndpoint) (Artifacts, error)) document.Problems {
	var problems document.Problems
	for _, key := range set.GraphKeys() {
		b := &bound{set: set, graph: set.Graphs[key]}
		problems = append(problems, b.checkDefinitions(ctx, open)...)
	}
	problems.Sort()
	return problems
}

func (b *bound) checkDefinitions(ctx context.Context, open func(*resource.RegistryEndpoint) (Artifacts, error)) document.Problems {
	var problems document.Problems
	var graphs []fetched
	for _, node := range b.graph.Graphs {
		report := func(err error) {
			problems = append(problems, &document.Problem{
				Severity: document.Error, File: b.graph.File, Position: node.Place, Message: fmt.Sprintf("graph %q: %v", node.Name, err),
			})
		}
		registry := b.set.Registries[b.key(node.Registry)]
		if registry == nil {
			return problems // that is said elsewhere
		}
		artifacts, err := open(registry)
		if err != nil {
			report(err)
			continue
		}
		if artifacts == nil {
			continue
		}
		a, err := artifacts.Definition(ctx, node.Artifact)
		if err != nil {
			report(err)
			continue
		}
		definition, faults := graph.Parse(node.Artifact, a.Content)
		problems = append(problems, faults...)
		if faults.Err() == nil {
			graphs = append(graphs, fetched{definition: definition})
		}
	}
	if len(graphs) < len(b.graph.Graphs) {
		return problems // there is nothing whole to look at
	}
	options, faults := b.options()
	if faults != nil {
		return problems // CheckOptions says so
	}
	p, err := plan.Compose(b.composition(graphs), options)
	if err != nil {
		return append(problems, b.asProblems(err)...)
	}
	if fault := b.checkInstances(p); fault != nil {
		problems = append(problems, fault)
	}
	for _, key := range p.Unused {
		problems = append(problems, &document.Problem{
			Severity: document.Warning, File: b.graph.File, Position: b.graph.Place,
			Message: fmt.Sprintf("no operation declares the parameter %q of the configuration", key), Hint: "take it out",
		})
	}
	return problems
}

// asProblems gives each of the errors that err joins a place: its own, or that of what
// it is about.
func (b *bound) asProblems(err error) document.Problems {
	var problem *document.Problem
	var several interface{ Unwrap() []error }
	switch placed := b.place(err); {
	case errors.As(placed, &problem) && !errors.As(err, &several):
		return document.Problems{problem}
	case errors.As(err, &several):
		var problems document.Problems
		for _, one := range several.Unwrap() {
			problems = append(problems, b.asProblems(one)...)
		}
		return problems
	}
	return document.Problems{{Severity: document.Error, File: b.graph.File, Position: b.graph.Place, Message: err.Error()}}
}
