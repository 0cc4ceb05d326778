// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"

	"github.com/wasm-graph/graphd/engine/endpoint"
)

// State is how well a graph is, in the words of a resource's status.
type State string

// The states.
const (
	Available   State = "Available"
	Degraded    State = "Degraded"    // works, but somebody should look
	Unavailable State = "Unavailable" // has ended with an error
	Unknown     State = "Unknown"     // does not run
)

// Health is a graph's state and why.
type Health struct {
	State   State
	Reason  string // reason code as published for data flow graphs; empty when Available
	Message string
}

// Health returns how the graph is at the moment.
func (g *Graph) Health() Health {
	if failure := g.failure.Load(); failure != nil {
		return Health{Unavailable, "DataflowGraphProcessingFailed", *failure}
	}
	if !g.running.Load() {
		return Health{Unknown, "", "the graph does not run"}
	}
	if unwell := g.worker.Load().Unwell(); len(unwell) > 0 {
		return Health{Degraded, "DataflowGraphModuleRuntimeFault", "faulting again and again: " + strings.Join(unwell, ", ")}
	}
	if trouble := g.worker.Load().Trouble(); trouble != "" {
		return Health{Degraded, "DataflowGraphProcessingFailed", "open windows can't be kept, so nothing more is acknowledged: " + trouble}
	}
	for i, s := range g.config.Sources {
		if !s.Connected() {
			return Health{Degraded, "DataflowGraphSourceChannelClosed", unconnected(fmt.Sprintf("source %q", g.operation(g.config.Plan.Sources[i])), s)}
		}
	}
	for i, s := range g.config.Sinks {
		if !s.Connected() {
			return Health{Degraded, "DataflowGraphSinkChannelClosed", unconnected(fmt.Sprintf("sink %q", g.operation(g.config.Plan.Sinks[i])), s)}
		}
	}
	if g.config.DeadLetter != nil && !g.config.DeadLetter.Connected() {
		return Health{Degraded, "DataflowGraphSinkChannelClosed", unconnected("the sink for dead letters", g.config.DeadLetter)}
	}
	if g.worker.Load().Drifting() {
		return Health{Degraded, "DataflowGraphProcessingFailed", "messages are stamped more than a minute in the future"}
	}
	return Health{State: Available}
}

// unconnected says that an end is not connected, and why where it knows that.
func unconnected(what string, end any) string {
	if err := endpoint.Trouble(end); err != nil {
		return fmt.Sprintf("%s is not connected: %v", what, err)
	}
	return what + " is not connected"
}

func (g *Graph) operation(node int) string { return g.config.Plan.Nodes[node].Operation }
