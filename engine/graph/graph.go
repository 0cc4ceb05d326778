// SPDX-License-Identifier: Apache-2.0

// Package graph reads graph definitions: the YAML (or JSON) documents that name
// operations, the modules that implement them, and the connections between them.
//
// A Definition is what the document says, checked: the rules of the published
// schema aio-wasm-graph-config-1.0.0 (which properties, of which types) and those
// that the schema can't express (names that exist, no cycles, arms where a branch
// needs them). Every fault becomes a document.Problem with its place in the text and, where
// possible, with what to write instead; Parse collects them all, not only the
// first.
//
// The words: an operation is a node of the graph; its kind is the document's
// operationType; a module is the reference of the artifact that implements it; an
// arm is one of the two outputs of a branch. The package loads nothing: whether a
// module implements the kind asked of it is checked by CheckModules, which is told
// what modules offer. Making a definition executable is the business of
// engine/plan. A Definition can be drawn (DOT, Mermaid, SVG), with nothing but itself.
package graph

import "github.com/wasm-graph/graphd/engine/document"

// SchemaURL is the value of metadata.$schema in the definitions read here.
const SchemaURL = "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json"

// Kind is an operation's type, spelled as in the document.
type Kind string

// The kinds of operations.
const (
	Source      Kind = "source"
	Map         Kind = "map"
	Filter      Kind = "filter"
	Branch      Kind = "branch"
	Concatenate Kind = "concatenate"
	Accumulate  Kind = "accumulate"
	Delay       Kind = "delay"
	Sink        Kind = "sink"
)

// Kinds lists all kinds in the order of the published schema.
func Kinds() []Kind {
	return []Kind{Source, Map, Filter, Branch, Concatenate, Accumulate, Delay, Sink}
}

// HasModule reports whether operations of kind k are implemented by a module; the
// others are the engine's own.
func (k Kind) HasModule() bool {
	switch k {
	case Map, Filter, Branch, Accumulate, Delay:
		return true
	}
	return false
}

// Arm is an output of an operation.
type Arm uint8

// The arms. A branch has False and True; every other kind has only NoArm.
const (
	NoArm Arm = iota
	False
	True
)

func (a Arm) String() string {
	return [...]string{"", "False", "True"}[a]
}

// Definition is a graph as its document describes it. A Definition from Parse is
// sound if Parse's problems had no error, and is not changed afterwards.
type Definition struct {
	File           string // as given to Parse, for messages
	Metadata       Metadata
	Requirements   Requirements
	Configurations []Configuration
	Operations     []Operation
	Connections    []Connection
	Schemas        []Schema
}

// Metadata describes the graph. Absent texts are empty.
type Metadata struct {
	Schema, Name, Version, Description, Vendor string
}

// Requirements is what the graph's modules ask of the runtime.
type Requirements struct {
	APIVersion, RuntimeVersion string
	Features                   []Feature
}

// Version is the version of the API, and of the runtime, that this one implements: that
// of the WIT package wasm-graph:processor. Definitions for later ones are refused, those
// for earlier ones are not.
const Version = "1.1.0"

// FeatureNN is the feature of components that import wasi:nn. A definition need not
// ask for it, and no other is known.
const FeatureNN = "wasi-nn"

// Feature is an optional part of the runtime that modules ask for.
type Feature struct{ Name, Value string }

// Configuration declares the parameters of the operation of that name.
type Configuration struct {
	Name       string
	Parameters []Parameter       // in the document's order
	Pos        document.Position // of the name
}

// Parameter is one configuration parameter.
type Parameter struct {
	Key         string // the key in the document's map
	Name        string
	Description string
	Required    bool
	Default     *string // nil where there is none
	Pos         document.Position
}

// Operation is a node of the graph.
type Operation struct {
	Name      string
	Kind      Kind
	Module    string            // the module's reference; empty where the kind has none
	Pos       document.Position // of the name
	ModulePos document.Position // of the module; zero where there is none
}

// Connection leads from one operation's output to another operation.
type Connection struct {
	From, To       string
	Arm            Arm
	Schema         string // name of the schema of what flows here, or empty
	FromPos, ToPos document.Position
}

// Schema is a message schema that modules are given when they start.
type Schema struct {
	Name, Format, Content string
	Pos                   document.Position // of the name
}

// Operation returns the operation of that name.
func (d *Definition) Operation(name string) (*Operation, bool) {
	for i := range d.Operations {
		if d.Operations[i].Name == name {
			return &d.Operations[i], true
		}
	}
	return nil, false
}

// Modules returns the references of all modules, each once, in the order of their
// first use.
func (d *Definition) Modules() []string {
	var refs []string
	seen := map[string]bool{}
	for _, op := range d.Operations {
		if op.Module != "" && !seen[op.Module] {
			seen[op.Module] = true
			refs = append(refs, op.Module)
		}
	}
	return refs
}
