// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"slices"

	"github.com/wasm-graph/graphd/engine/resource"
)

// Event is something that happened to a graph, for people who look at it later.
type Event struct {
	Graph    resource.Key
	Instance int    // number of the instance of the graph, from 0
	Warning  bool   // somebody should look
	Reason   string // what happened, in a word: one of those below, or a reason code
	Message  string
	// Artifacts is what the graph is made of from now on, of EventStarted and
	// EventSwapped. Nobody changes it.
	Artifacts []InUse
}

// What happens to graphs. A change of health has the reason code as its reason, or the
// name of the health where that says all.
const (
	EventStarted = "Started" // put together, and connecting
	EventSwapped = "Swapped" // something else does the work now, without a reconnect
	EventRefused = "Refused" // what is wanted can't take the place of what runs
	EventMoved   = "TagMoved"
	EventFailed  = "Failed" // has ended with an error, and will be started again
	EventStopped = "Stopped"
	EventRetired = "Retired" // an instance that is one too many has nothing left to do
)

// InUse is an artifact that a graph is made of.
type InUse struct {
	Registry  string `json:"registry"` // name of the RegistryEndpoint
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
}

// inUse returns the artifacts in the order of their references.
func (t tags) inUse() []InUse {
	all := make([]InUse, 0, len(t))
	for tag, digest := range t {
		all = append(all, InUse{tag.registry, tag.reference, digest})
	}
	slices.SortFunc(all, func(a, b InUse) int {
		return cmp.Or(cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Reference, b.Reference))
	})
	return all
}
