// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// TapConfig says what a Tap records.
type TapConfig struct {
	Plan *plan.Plan // of the graph that is tapped
	// Operation is where: what comes to it is recorded, of a source what comes from it.
	// Empty means all sources.
	Operation string
	Of        string // for the header
	// Now is the graph's clock.
	Now func() time.Time
	// Failed is told once that the tap can't write any more; nil: Close tells it.
	Failed func(error)
}

// Tap records a running graph: its Watch is the graph's. Messages are recorded with the
// time that the graph gave them, those that came late with their own.
type Tap struct {
	config   TapConfig
	recorder *Recorder
	sources  map[string]int // by operation: place in the header
	kind     schedule.EventKind
	failed   bool
}

// NewTap returns a Tap that writes a recording to w, which is the caller's to close
// after Close.
func NewTap(w io.Writer, c TapConfig) (*Tap, error) {
	t := &Tap{config: c, sources: map[string]int{}, kind: schedule.Arrived}
	h := Header{Began: c.Now(), Of: c.Of}
	add := func(name string) {
		t.sources[name] = len(h.Sources)
		h.Sources = append(h.Sources, name)
	}
	var names []string
	for _, n := range c.Plan.Nodes {
		names = append(names, n.Operation)
		if c.Operation == n.Operation || c.Operation == "" && n.Kind == operator.Source {
			add(n.Operation)
			if n.Kind != operator.Source {
				t.kind = schedule.Reached
			}
		}
	}
	if len(h.Sources) == 0 {
		text := fmt.Sprintf("recording: tap: graph %q has no operation %q", c.Plan.Graph, c.Operation)
		if near, ok := nearest.Word(c.Operation, names); ok {
			return nil, fmt.Errorf("%s; did you mean %q?", text, near)
		}
		return nil, fmt.Errorf("%s; it has %s", text, strings.Join(names, ", "))
	}
	var err error
	t.recorder, err = NewRecorder(w, h)
	return t, err
}

// Watch is a schedule.Config.Watch.
func (t *Tap) Watch(e schedule.Event) {
	if t.failed {
		return
	}
	var err error
	switch source, tapped := t.sources[e.Operation]; {
	case e.Kind == schedule.Advanced:
		err = t.recorder.Frontier(t.config.Now(), e.Frontier)
	case e.Kind != t.kind || !tapped:
		return
	case e.Kind == schedule.Arrived:
		err = t.recorder.Message(e.Received, source, asItCame(e))
	default:
		err = t.recorder.Message(t.config.Now(), source, e.Message)
	}
	if err != nil {
		t.failed = true
		if t.config.Failed != nil {
			t.config.Failed(err)
		}
	}
}

// Messages returns how many messages are recorded.
func (t *Tap) Messages() uint64 { return t.recorder.Messages() }

// Close ends the recording, after the graph has ended. It returns why the tap could not
// write, if it could not.
func (t *Tap) Close() error { return t.recorder.Close(t.config.Now()) }

// asItCame returns the message that has arrived, with its own time if it was moved.
func asItCame(e schedule.Event) *message.Message {
	if !e.Moved {
		return e.Message
	}
	last := len(e.Message.Properties) - 1
	stamp, err := hlc.Parse(e.Message.Properties[last].Value)
	if err != nil {
		return e.Message // a worker writes no such stamp
	}
	m := e.Message.Clone()
	m.Time, m.Properties = stamp, m.Properties[:last:last]
	return m
}
