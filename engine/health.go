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
	Unknown     State = "Unknown"     // does not run, or connects for the first time
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
	connecting := ""
	for _, e := range g.Ends() {
		switch {
		case e.Connected:
		case e.Connecting:
			connecting = e.String()
		case e.Sink:
			return Health{Degraded, "DataflowGraphSinkChannelClosed", e.String()}
		default:
			return Health{Degraded, "DataflowGraphSourceChannelClosed", e.String()}
		}
	}
	if connecting != "" {
		return Health{Unknown, "", connecting}
	}
	if g.worker.Load().Drifting() {
		return Health{Degraded, "DataflowGraphProcessingFailed", "messages are stamped more than a minute in the future"}
	}
	return Health{State: Available}
}

// End is how a source or a sink of a graph is.
type End struct {
	EndName
	Connected  bool
	Connecting bool  // it isn't yet, and nothing has failed
	Trouble    error // why it isn't connected; nil where nobody knows
}

// String says that the end is not connected, and why.
func (e End) String() string {
	switch {
	case e.Connecting:
		return e.EndName.String() + " is connecting"
	case e.Trouble != nil:
		return fmt.Sprintf("%v is not connected: %v", e.EndName, e.Trouble)
	}
	return e.EndName.String() + " is not connected"
}

// Ends returns how the sources are, and then the sinks, by place in the plan; the one for
// dead letters, if there is one, comes last.
func (g *Graph) Ends() []End {
	all := make([]End, 0, len(g.config.Sources)+len(g.config.Sinks)+1)
	for i, s := range g.config.Sources {
		all = append(all, g.end(len(all), EndName{false, g.operation(g.config.Plan.Sources[i])}, s))
	}
	for i, s := range g.config.Sinks {
		all = append(all, g.end(len(all), EndName{true, g.operation(g.config.Plan.Sinks[i])}, s))
	}
	if s := g.config.DeadLetter; s != nil {
		all = append(all, g.end(len(all), EndName{Sink: true}, s))
	}
	return all
}

// end returns how the end with that number is. That one was connected is known of those
// that were when somebody looked.
func (g *Graph) end(number int, name EndName, of interface{ Connected() bool }) End {
	e := End{EndName: name, Connected: of.Connected()}
	if e.Connected {
		g.met[number].Store(true)
		return e
	}
	e.Trouble = endpoint.Trouble(of)
	e.Connecting = e.Trouble == nil && !g.met[number].Load()
	return e
}

func (g *Graph) operation(node int) string { return g.config.Plan.Nodes[node].Operation }
