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
	for _, e := range g.Ends() {
		switch {
		case e.Connected:
		case e.Sink:
			return Health{Degraded, "DataflowGraphSinkChannelClosed", e.String()}
		default:
			return Health{Degraded, "DataflowGraphSourceChannelClosed", e.String()}
		}
	}
	if g.worker.Load().Drifting() {
		return Health{Degraded, "DataflowGraphProcessingFailed", "messages are stamped more than a minute in the future"}
	}
	return Health{State: Available}
}

// End is how a source or a sink of a graph is.
type End struct {
	EndName
	Connected bool
	Trouble   error // why it isn't connected; nil where nobody knows
}

// String says that the end is not connected, and why.
func (e End) String() string {
	if e.Trouble != nil {
		return fmt.Sprintf("%v is not connected: %v", e.EndName, e.Trouble)
	}
	return e.EndName.String() + " is not connected"
}

// Ends returns how the sources are, and then the sinks, by place in the plan; the one for
// dead letters, if there is one, comes last.
func (g *Graph) Ends() []End {
	var all []End
	for i, s := range g.config.Sources {
		all = append(all, End{EndName{false, g.operation(g.config.Plan.Sources[i])}, s.Connected(), endpoint.Trouble(s)})
	}
	for i, s := range g.config.Sinks {
		all = append(all, End{EndName{true, g.operation(g.config.Plan.Sinks[i])}, s.Connected(), endpoint.Trouble(s)})
	}
	if s := g.config.DeadLetter; s != nil {
		all = append(all, End{EndName{Sink: true}, s.Connected(), endpoint.Trouble(s)})
	}
	return all
}

func (g *Graph) operation(node int) string { return g.config.Plan.Nodes[node].Operation }
