// SPDX-License-Identifier: Apache-2.0

// Package history remembers for a while what happened to graphs: their events, and what was
// logged about them, guests' lines included.
//
// It remembers in memory, and a bounded amount of each graph: the last MaxEvents kinds of
// events, each with how often it happened, and the last lines, up to MaxLines of them and
// MaxText bytes. Nobody waits for who reads it: a reader asks for what came after
// what it has, and is told if something is gone.
package history

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

// How much is remembered of one graph.
const (
	MaxEvents = 50
	MaxLines  = 1000
	MaxText   = 128 << 10 // bytes, of all lines
	MaxLine   = 4 << 10   // bytes, of one
)

// Event is what happened to a graph, once or several times.
type Event struct {
	Warning bool      `json:"warning,omitempty"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Count   int       `json:"count"`
	First   time.Time `json:"firstTimestamp"`
	Last    time.Time `json:"lastTimestamp"`
}

// Line is what was logged about a graph.
type Line struct {
	Number    uint64     `json:"number"` // of the lines about that graph, from 1
	Time      time.Time  `json:"time"`
	Level     slog.Level `json:"level"`
	Operation string     `json:"operation,omitempty"`
	Text      string     `json:"text"` // the message, and its attributes as name=value
}

// History remembers. It is safe for concurrent use.
type History struct {
	now func() time.Time

	mu     sync.Mutex
	graphs map[resource.Key]*past // guarded by mu
}

// past is what is remembered of one graph.
type past struct {
	events    []Event // the latest last
	artifacts []deploy.InUse
	lines     []Line
	text      int // bytes in lines
	last      uint64
	more      chan struct{} // closed when there is another line
}

// New returns a History that knows nothing yet. now is the clock.
func New(now func() time.Time) *History {
	return &History{now: now, graphs: map[resource.Key]*past{}}
}

// of returns what is remembered of a graph. h.mu is held.
func (h *History) of(graph resource.Key) *past {
	p := h.graphs[graph]
	if p == nil {
		p = &past{more: make(chan struct{})}
		h.graphs[graph] = p
	}
	return p
}

// Retain forgets the graphs that nobody wants any more.
func (h *History) Retain(wanted func(resource.Key) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, p := range h.graphs {
		if !wanted(key) {
			close(p.more)
			delete(h.graphs, key)
		}
	}
}

// Tell remembers an event. One that is the same as before but for its time is counted.
func (h *History) Tell(e deploy.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, now := h.of(e.Graph), h.now()
	if e.Artifacts != nil {
		p.artifacts = e.Artifacts
	}
	if e.Instance > 0 {
		e.Message = "instance " + strconv.Itoa(e.Instance) + ": " + e.Message
	}
	event := Event{Warning: e.Warning, Reason: e.Reason, Message: e.Message, First: now}
	if i := slices.IndexFunc(p.events, func(o Event) bool {
		return o.Warning == e.Warning && o.Reason == e.Reason && o.Message == e.Message
	}); i >= 0 {
		event = p.events[i]
		p.events = slices.Delete(p.events, i, i+1)
	}
	event.Count++
	event.Last = now
	if p.events = append(p.events, event); len(p.events) > MaxEvents {
		p.events = slices.Delete(p.events, 0, 1)
	}
}

// Events returns what happened to a graph, the latest last.
func (h *History) Events(graph resource.Key) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.graphs[graph]; p != nil {
		return slices.Clone(p.events)
	}
	return nil
}

// Artifacts returns what a graph was made of when it was started or swapped last.
func (h *History) Artifacts(graph resource.Key) []deploy.InUse {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.graphs[graph]; p != nil {
		return p.artifacts
	}
	return nil
}

// Lines returns the lines about a graph with numbers above after, and what is closed when
// there are more. Where the first has a number above after+1, those between are forgotten.
func (h *History) Lines(graph resource.Key, after uint64) (lines []Line, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(graph)
	i, _ := slices.BinarySearchFunc(p.lines, after, func(l Line, after uint64) int {
		if l.Number <= after {
			return -1
		}
		return 1
	})
	return slices.Clone(p.lines[i:]), p.more
}

// line remembers a line.
func (h *History) line(graph resource.Key, l Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(graph)
	if len(l.Text) > MaxLine {
		l.Text = strings.ToValidUTF8(l.Text[:MaxLine], "") + "..."
	}
	p.last++
	l.Number = p.last
	p.lines = append(p.lines, l)
	p.text += len(l.Text)
	gone := 0
	for ; len(p.lines)-gone > MaxLines || p.text > MaxText; gone++ {
		p.text -= len(p.lines[gone].Text)
	}
	p.lines = slices.Delete(p.lines, 0, gone)
	close(p.more)
	p.more = make(chan struct{})
}

// Handler returns a slog.Handler that remembers what is logged with the attribute graph, and
// passes everything on. What next doesn't take isn't remembered either.
func (h *History) Handler(next slog.Handler) slog.Handler {
	return &handler{history: h, next: next}
}

// handler is a slog.Handler with attributes.
type handler struct {
	history          *History
	next             slog.Handler
	graph, operation string
	text             string // the other attributes
	group            string // of those to come, with a dot; they say nothing about the graph
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.add(h.group, a)
	}
	with.next = h.next.WithAttrs(attrs)
	return &with
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group += name + "."
	}
	with.next = h.next.WithGroup(name)
	return &with
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	with := *h
	r.Attrs(func(a slog.Attr) bool {
		with.add(h.group, a)
		return true
	})
	if with.graph != "" {
		key := resource.Key{Namespace: resource.DefaultNamespace, Name: with.graph}
		if namespace, name, ok := strings.Cut(with.graph, "/"); ok {
			key = resource.Key{Namespace: namespace, Name: name}
		}
		h.history.line(key, Line{Time: r.Time, Level: r.Level, Operation: with.operation, Text: r.Message + with.text})
	}
	return h.next.Handle(ctx, r)
}

// add notes an attribute.
func (h *handler) add(group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			h.add(group, inner)
		}
	case a.Equal(slog.Attr{}):
	case group == "" && a.Key == "graph":
		h.graph = v.String()
	case group == "" && a.Key == "operation":
		h.operation = v.String()
	default:
		text := v.String()
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) || text == "" {
			text = strconv.Quote(text)
		}
		h.text += " " + group + a.Key + "=" + text
	}
}
