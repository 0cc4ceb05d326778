// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Outcomes is what became of each message of a run: its Watch is the run's. All of it is
// kept in memory.
type Outcomes struct {
	arrived uint64
	names   map[*message.Message]string // of what comes of messages and windows
	order   []string                    // names, as they first came
	of      map[string][]string         // by name: outcomes
}

// NewOutcomes returns Outcomes of a run that has not begun.
func NewOutcomes() *Outcomes {
	return &Outcomes{names: map[*message.Message]string{}, of: map[string][]string{}}
}

// Watch is a schedule.Config.Watch.
func (o *Outcomes) Watch(e schedule.Event) {
	switch e.Kind {
	case schedule.Arrived:
		o.arrived++
		o.name(e.Origin, fmt.Sprint("message ", o.arrived))
	case schedule.Closed:
		if e.Message != nil {
			// Not by the operation: that may be called otherwise in the other version.
			o.name(e.Origin, "window "+instant(e.At.Millis))
		}
	case schedule.Sent:
		o.add(e.Origin, e.Operation+" "+asLine(e.Message))
	case schedule.Dropped:
		o.add(e.Origin, "dropped ("+e.Reason+") "+firstLine(e.Err))
	}
}

func (o *Outcomes) name(origin *message.Message, name string) {
	o.names[origin] = name
	if _, known := o.of[name]; !known {
		o.order = append(o.order, name)
		o.of[name] = nil
	}
}

func (o *Outcomes) add(origin *message.Message, outcome string) {
	name := o.names[origin]
	o.of[name] = append(o.of[name], outcome)
}

// asLine writes m as a sample line, or shows it as well as it can.
func asLine(m *message.Message) string {
	var b bytes.Buffer
	if err := NewWriter(&b).Write(Of(m)); err != nil {
		return ContentOf(m).String()
	}
	return strings.TrimSpace(b.String())
}

// Difference is what became of one message, or window, in two runs.
type Difference struct {
	Of    string   `json:"of"`    // "message <number>" or "window <time>"
	Only  []string `json:"only"`  // what is in the first run alone
	Other []string `json:"other"` // and in the second
}

// Compare returns in what two runs differ, in the order of the first, and how many
// messages and windows were compared.
func Compare(first, second *Outcomes) (differences []Difference, compared int) {
	names := slices.Clone(first.order)
	for _, name := range second.order {
		if _, known := first.of[name]; !known {
			names = append(names, name)
		}
	}
	for _, name := range names {
		a, b := first.of[name], second.of[name]
		if slices.Equal(a, b) {
			continue
		}
		d := Difference{Of: name, Only: without(a, b), Other: without(b, a)}
		if len(d.Only)+len(d.Other) == 0 { // the same in another order
			d.Only, d.Other = a, b
		}
		differences = append(differences, d)
	}
	return differences, len(names)
}

// without returns what is in a and not in b, as often as it is there more often.
func without(a, b []string) []string {
	rest := slices.Clone(b)
	left := []string{}
	for _, text := range a {
		if i := slices.Index(rest, text); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			left = append(left, text)
		}
	}
	return left
}

// String shows a difference as people read it.
func (d Difference) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, d.Of)
	for _, text := range d.Only {
		fmt.Fprintf(&b, "  - %s\n", text)
	}
	for _, text := range d.Other {
		fmt.Fprintf(&b, "  + %s\n", text)
	}
	return b.String()
}

func isText(b []byte) bool { return utf8.Valid(b) }
