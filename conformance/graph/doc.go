// SPDX-License-Identifier: Apache-2.0

// Package graph is the suite of what graphs do: scenarios in testdata, each a
// definition, messages and what is to come of them, counters included.
//
// Every scenario is run in many ways, which must make no difference: in virtual time
// and in real time, the latter on a clock that the suite sets; from memory and through
// an MQTT broker; with operators in WebAssembly and in native Go; with one instance of
// each operation and with four; with windows in memory, in a window store and in none.
//
//	go test ./conformance/graph -update
//
// writes down what comes out of the first way, which somebody then has to read.
//
// Beside the scenarios there are properties, of graphs, messages, crashes and restarts
// that are drawn at random: what comes out is compared with a model of what graphs are
// for, which knows nothing of how they work.
package graph
