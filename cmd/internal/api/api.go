// SPDX-License-Identifier: Apache-2.0

// Package api is how graphd is asked and told things while it runs: an HTTP interface, its
// server and its client, which share one vocabulary.
//
// The paths are those that a user of Kubernetes would guess, and the objects have the
// shape that they have there. It isn't the Kubernetes API: there is no patching, no
// resource version, and what is applied is applied as text, whole files at once.
//
//	GET    /apis/connectivity.iotoperations.azure.com/v1/PLURAL            objects of all namespaces
//	GET    /apis/connectivity.iotoperations.azure.com/v1/namespaces/NAMESPACE/PLURAL
//	GET    .../PLURAL?watch=true           changes of objects, a Change in each line, for as long as the client likes
//	GET    .../PLURAL/NAME                 one Object
//	DELETE .../PLURAL/NAME                 delete it, if it was applied
//	GET    .../PLURAL/NAME/events          what happened to a graph lately: Events
//	GET    .../PLURAL/NAME/log             what was logged about a graph, a history.Line in each line
//	       ?follow=true&tail=N&operation=NAME&since=TIME
//	GET    .../PLURAL/NAME/tap             what comes to a node of a graph, as package recording has it
//	       ?node=OPERATION&instance=NUMBER
//	POST   /apis/connectivity.iotoperations.azure.com/v1/apply             an ApplyRequest; its answer is an Outcome
//	POST   /apis/connectivity.iotoperations.azure.com/v1/delete            a DeleteRequest, likewise
//
// ConfigMaps and Secrets are under /api/v1 instead. v1beta1 is v1 by another name. What
// goes wrong is answered by a Fault, with the place of each problem in what was applied.
//
// The data of Secrets comes in, and never goes out: an Object of a Secret has the sizes of
// its values in their place.
//
// Who may ask is decided by a Guard, before anything else is looked at.
package api

import (
	"encoding/json"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// Kind is a kind of objects, and what it is called.
type Kind struct {
	Name, Plural string
	Short        string // of commands; empty: none
	Core         bool   // of Kubernetes itself
}

// Kinds returns the kinds of package schema, in the order in which they are shown.
func Kinds() []Kind {
	var kinds []Kind
	for _, k := range schema.Kinds() {
		kinds = append(kinds, Kind{k.Name, k.Plural, k.Short, k.Core})
	}
	return kinds
}

// FindKind returns the kind that goes by a name, as schema.Find does.
func FindKind(name string) (Kind, bool) {
	if k := schema.Find(name); k != nil {
		return Kind{k.Name, k.Plural, k.Short, k.Core}, true
	}
	return Kind{}, false
}

// runs reports whether objects of the kind are graphs.
func (k Kind) runs() bool { return k.Name == "DataflowGraph" || k.Name == "Dataflow" }

// root is the path that everything of the kind is below.
func (k Kind) root() string {
	if k.Core {
		return coreRoot
	}
	return groupRoot
}

// path returns the path of an object, of those of a namespace, or of all.
func (k Kind) path(namespace, name string) string {
	p := k.root()
	if namespace != "" {
		p += "/namespaces/" + namespace
	}
	p += "/" + k.Plural
	if name != "" {
		p += "/" + name
	}
	return p
}

const (
	coreRoot  = "/api/v1"
	groupRoot = "/apis/" + resource.Group + "/v1"
)

// Object is an object as it is shown. It can be applied again, unless it is a Secret.
type Object struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   Metadata        `json:"metadata"`
	Type       string          `json:"type,omitempty"` // of a Secret
	Spec       json.RawMessage `json:"spec,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"` // of a Secret: "(N bytes)" for each key
	BinaryData json.RawMessage `json:"binaryData,omitempty"`
	Status     *Status         `json:"status,omitempty"`
}

// Ref names the object.
func (o *Object) Ref() wanted.Ref {
	return wanted.Ref{Kind: o.Kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}
}

// Metadata is what every object has.
type Metadata struct {
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace"`
	Labels      json.RawMessage `json:"labels,omitempty"`
	Annotations json.RawMessage `json:"annotations,omitempty"`
	Created     time.Time       `json:"creationTimestamp"` // or applied, or written, last
}

// Status is how an object is.
type Status struct {
	// Source is the file that the object is in or, if it is applied, was in when it was.
	Source  string `json:"source"`
	Applied bool   `json:"applied,omitempty"`
	// UsedBy names the graphs that refer to the object, in its namespace.
	UsedBy []string `json:"usedBy,omitempty"`
	// Refused says why the files of resources, as they are now, are not taken over, where the
	// object is in a file.
	Refused string  `json:"refusedResources,omitempty"`
	Health  *Health `json:"healthState,omitempty"`
	// What follows is about graphs.
	Disabled   bool           `json:"disabled,omitempty"`  // declared, and not to be run
	Instances  []Instance     `json:"instances,omitempty"` // of a graph that has several
	Ready      bool           `json:"ready,omitempty"`     // it does its work, as it is wanted last
	Messages   *Messages      `json:"messages,omitempty"`
	Operations []Operation    `json:"operations,omitempty"`
	Artifacts  []deploy.InUse `json:"artifacts,omitempty"`
}

// Health is how well an object is, why, and since when.
type Health struct {
	State   string    `json:"status"` // Available, Degraded, Unavailable or Unknown
	Reason  string    `json:"reasonCode,omitempty"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"lastTransitionTime"`
}

// Instance is how one instance of a graph is.
type Instance struct {
	Number   int  `json:"instance"` // from 0
	Retiring bool `json:"retiring,omitempty"`
	Health   `json:"healthState"`
}

// Messages are a graph's counts since it was started, of all instances.
type Messages struct {
	Received      uint64 `json:"received"`      // from sources
	Sent          uint64 `json:"sent"`          // confirmed by destinations
	Filtered      uint64 `json:"filtered"`      // dropped on purpose
	Dropped       uint64 `json:"dropped"`       // refused, lost by faults, late, drifted
	Undeliverable uint64 `json:"undeliverable"` // refused by a destination's peer for good
	DeadLetters   uint64 `json:"deadLetters"`
	Late          uint64 `json:"late"`
	Unsettled     int    `json:"unsettled"` // taken and not yet acknowledged
}

// Operation is the counts of an operation.
type Operation struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	In       uint64 `json:"in"`
	Sent     uint64 `json:"sent,omitempty"`
	Filtered uint64 `json:"filtered,omitempty"`
	Refused  uint64 `json:"refused,omitempty"`
	Lost     uint64 `json:"lost,omitempty"`
	Faults   uint64 `json:"faults,omitempty"`
	Held     int64  `json:"held,omitempty"`
}

// List is several objects.
type List struct {
	Kind  string    `json:"kind"` // "List"
	Items []*Object `json:"items"`
	// Refused says why files of resources, as they are now, are not taken over.
	Refused string `json:"refusedResources,omitempty"`
}

// ChangeType is what a Change is.
type ChangeType string

// The types of changes. Every object that there is at the beginning is Added.
const (
	Added    ChangeType = "ADDED"
	Modified ChangeType = "MODIFIED"
	Deleted  ChangeType = "DELETED"
)

// Change is what a watch sees of an object: that its health or what is wanted of it is
// another, not that its counts are.
type Change struct {
	Type   ChangeType `json:"type"`
	Object *Object    `json:"object"`
}

// Events is what happened to a graph lately, the latest last.
type Events struct {
	Kind  string          `json:"kind"` // "EventList"
	Items []history.Event `json:"items"`
}

// ApplyRequest is objects that are to be there.
type ApplyRequest struct {
	Files []ApplyFile `json:"files"`
	// DryRun checks everything, and changes nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// ApplyFile is a file with objects, YAML or JSON.
type ApplyFile struct {
	Name string `json:"name"` // what problems are to call it
	Path string `json:"path"` // absolute: relative paths in it are relative to its folder
	Text string `json:"text"`
}

// DeleteRequest is applied objects that are to be gone, all or none.
type DeleteRequest struct {
	Objects []wanted.Ref `json:"objects"`
	DryRun  bool         `json:"dryRun,omitempty"`
}

// Outcome is what was done to each object.
type Outcome struct {
	Items    []wanted.Change   `json:"items"`
	Warnings document.Problems `json:"warnings,omitempty"`
}

// Fault says why a request was not answered.
type Fault struct {
	Kind     string            `json:"kind"` // "Status"
	Code     int               `json:"code"` // of HTTP
	Reason   string            `json:"reason"`
	Message  string            `json:"message"`
	Problems document.Problems `json:"problems,omitempty"` // each in a line of its own in the message too
}

func (f *Fault) Error() string { return f.Message }
