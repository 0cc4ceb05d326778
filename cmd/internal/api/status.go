// SPDX-License-Identifier: Apache-2.0

package api

import (
	"slices"

	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Runtime is what runs: a *deploy.Deployment.
type Runtime interface {
	// Status returns how each resource is.
	Status() []deploy.Status
	// Graph returns an instance of a graph that runs, or nil.
	Graph(graph resource.Key, instance int) *engine.Graph
	// Set returns what the deployment was told last.
	Set() *resource.Set
}

// objects returns the objects that t names, as they are.
func (s *Server) objects(t target) []*Object {
	set, refused := s.config.Wanted.Set(), s.config.Wanted.Refused()
	current := s.config.Runtime.Set() == set
	var graphs []resource.Key // that may refer to an object; to a graph nothing does
	if !t.kind.runs() {
		graphs = set.GraphKeys()
	}
	status := map[resource.Key]deploy.Status{}
	for _, st := range s.config.Runtime.Status() {
		if st.Kind == t.kind.Name {
			status[st.Key] = st
		}
	}
	objects := []*Object{}
	for _, o := range s.config.Wanted.Objects() {
		if !t.has(o) {
			continue
		}
		object := shown(o, set)
		object.Status = &Status{Source: o.File, Applied: o.Applied, UsedBy: users(set, graphs, o.Ref)}
		if refused != nil && !o.Applied {
			object.Status.Refused = refused.Error()
		}
		st, known := status[o.Key()]
		if known {
			h := healthOf(st.Health)
			object.Status.Health, object.Status.Disabled = &h, st.Disabled
		}
		if known && t.kind.runs() {
			object.Status.Ready = current && !st.Changing && !st.Disabled && st.Health.Works()
			object.Status.Artifacts = s.config.History.Artifacts(o.Key())
			s.count(object.Status, st)
		}
		objects = append(objects, object)
	}
	return objects
}

func healthOf(h deploy.Health) Health {
	return Health{State: string(h.State), Reason: string(h.Reason), Message: h.Message, Since: h.Since}
}

// count notes the instances of a graph, if there are several, and what all of them have counted.
func (s *Server) count(to *Status, graph deploy.Status) {
	numbers := []int{0}
	if len(graph.Instances) > 0 {
		numbers = nil
	}
	for _, i := range graph.Instances {
		to.Instances = append(to.Instances, Instance{i.Instance, i.Retiring, healthOf(i.Health)})
		numbers = append(numbers, i.Instance)
	}
	for _, number := range numbers {
		g := s.config.Runtime.Graph(graph.Key, number)
		if g == nil {
			continue
		}
		if to.Messages == nil {
			to.Messages = &Messages{}
		}
		stats := g.Stats()
		to.Messages.add(stats)
		for _, o := range stats.Operations {
			to.operation(o)
		}
	}
}

func (m *Messages) add(s schedule.Stats) {
	m.Received += s.Received
	m.Sent += s.Sent
	m.Filtered += s.Filtered
	m.Dropped += s.Dropped
	m.Undeliverable += s.Undeliverable
	m.DeadLetters += s.DeadLetters
	m.Late += s.Late
	m.Unsettled += s.Unsettled
}

// operation adds the counts of an operation to those of the same name.
func (s *Status) operation(o schedule.OperationStats) {
	i := slices.IndexFunc(s.Operations, func(to Operation) bool { return to.Name == o.Operation })
	if i < 0 {
		i = len(s.Operations)
		s.Operations = append(s.Operations, Operation{Name: o.Operation, Kind: string(o.Kind)})
	}
	to := &s.Operations[i]
	to.In += o.In
	to.Sent += o.Sent
	to.Filtered += o.Filtered
	to.Refused += o.Refused
	to.Lost += o.Lost
	to.Faults += o.Faults
	to.Held += o.Held
}

// users returns the names of those of graphs that refer to an object, be it through another.
func users(set *resource.Set, graphs []resource.Key, ref wanted.Ref) []string {
	var names []string
	for _, key := range graphs {
		if g := set.Graphs[key]; g.Namespace == ref.Namespace && refers(set, g, ref) {
			names = append(names, g.Name)
		}
	}
	return names
}

// refers reports whether a graph refers to an object.
func refers(set *resource.Set, g *resource.DataflowGraph, ref wanted.Ref) bool {
	of := func(name string) resource.Key { return resource.Key{Namespace: g.Namespace, Name: name} }
	var endpoints []string
	for _, n := range g.Sources {
		endpoints = append(endpoints, n.Endpoint)
	}
	for _, n := range g.Destinations {
		endpoints = append(endpoints, n.Endpoint)
	}
	var registries []string
	for _, n := range g.Graphs {
		registries = append(registries, n.Registry)
	}
	switch ref.Kind {
	case "DataflowProfile":
		return g.Profile == ref.Name
	case "DataflowEndpoint":
		return slices.Contains(endpoints, ref.Name)
	case "RegistryEndpoint":
		return slices.Contains(registries, ref.Name)
	case "ConfigMap", "Secret":
		for _, name := range endpoints {
			if e := set.Endpoints[of(name)]; e != nil &&
				(ref.Kind == "ConfigMap" && e.TLS().TrustedCA == ref.Name || ref.Kind == "Secret" && e.SecretRef() == ref.Name) {
				return true
			}
		}
		for _, name := range registries {
			if r := set.Registries[of(name)]; r != nil &&
				(ref.Kind == "Secret" && r.PullSecret == ref.Name ||
					slices.Contains(slices.Concat(r.SigningCAs, r.SigningKeys), resource.ObjectRef{Kind: ref.Kind, Name: ref.Name})) {
				return true
			}
		}
	}
	return false
}
