// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// Trace follows one message through a run in virtual time: its Watch is the run's, and
// the run's logger is Logger's. Log lines can only be told apart where no operation has
// several instances. It also follows the results of the windows that the
// message went into, to where they end.
type Trace struct {
	matches func(number uint64, m *message.Message) bool

	mu      sync.Mutex // the log may be written by others than the worker
	arrived uint64
	names   map[*message.Message]string // what is followed, by origin
	windows map[place]string            // of those: the windows they are in
	held    map[holding]bool
	steps   []Step
	ends    []End
	current bool // what is being worked on is followed
}

// place is a window, or a time of a delay.
type place struct {
	operation string
	at        int64
}

// holding is something that is held somewhere.
type holding struct {
	place
	origin *message.Message
}

// Step is something that happened on a message's way.
type Step struct {
	Of        string   `json:"of"` // what it happened to: the message, or a window
	Operation string   `json:"operation"`
	Event     string   `json:"event"`            // as schedule.EventKind is written
	What      string   `json:"what"`             // the same for people
	Time      string   `json:"time,omitempty"`   // logical, or of the window
	Input     *Content `json:"input,omitempty"`  // what the operation was given
	Output    *Content `json:"output,omitempty"` // what came of it
	Logs      []string `json:"logs,omitempty"`
}

// Content is what a step shows of a message. What isn't UTF-8 in the payload is in
// PayloadBytes, in base64.
type Content struct {
	Topic        string      `json:"topic"`
	Payload      string      `json:"payload"`
	PayloadBytes []byte      `json:"payloadBase64,omitempty"`
	ContentType  string      `json:"contentType,omitempty"`
	Properties   [][2]string `json:"userProperties,omitempty"`
	Timestamp    string      `json:"timestamp"`
}

// End is where the message, or a window with it, has ended.
type End struct {
	Of        string `json:"of"`
	How       string `json:"how"` // delivered, filtered, refused, ..., dead letter, held, folded
	Operation string `json:"operation"`
	Detail    string `json:"detail,omitempty"`
}

// NewTrace returns a Trace of the message that id names: the number of a message, from
// 1; its stamp as <milliseconds>:<counter>:<node>; or KEY=VALUE, a user property. Of
// several it is the first.
func NewTrace(id string) (*Trace, error) {
	t := &Trace{names: map[*message.Message]string{}, windows: map[place]string{}, held: map[holding]bool{}}
	if n, err := strconv.ParseUint(id, 10, 64); err == nil && n > 0 {
		t.matches = func(number uint64, _ *message.Message) bool { return number == n }
		return t, nil
	}
	if key, value, ok := strings.Cut(id, "="); ok && key != "" {
		t.matches = func(_ uint64, m *message.Message) bool {
			return slices.Contains(m.Properties, message.Property{Key: key, Value: value})
		}
		return t, nil
	}
	stamp, err := hlc.Parse(id)
	if err != nil {
		return nil, errors.New("want a message's number, its stamp as <milliseconds>:<counter>:<node>, or KEY=VALUE of a user property")
	}
	t.matches = func(_ uint64, m *message.Message) bool { return m.Time == stamp }
	return t, nil
}

// Steps returns what happened to the message, in order; none if it was not there. It is
// called after the run.
func (t *Trace) Steps() []Step { return t.steps }

// Ends returns where the message has ended and, if that was in windows, where they have.
// What is still held is among them. It is called after the run.
func (t *Trace) Ends() []End {
	ends := slices.Clone(t.ends)
	for _, h := range slices.SortedFunc(maps.Keys(t.held), func(a, b holding) int {
		return strings.Compare(t.names[a.origin]+a.operation, t.names[b.origin]+b.operation)
	}) {
		ends = append(ends, End{t.names[h.origin], "held", h.operation, "until " + instant(h.at)})
	}
	return ends
}

// instant writes logical milliseconds as people do.
func instant(millis int64) string { return hlc.Timestamp{Millis: millis}.Time().Format(instantFormat) }

const instantFormat = "2006-01-02T15:04:05.000Z"

// Watch is a schedule.Config.Watch.
func (t *Trace) Watch(e schedule.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Kind == schedule.Arrived {
		t.arrived++
		if m := asItCame(e); len(t.names) == 0 && t.matches(t.arrived, m) {
			t.names[e.Origin] = fmt.Sprint("message ", t.arrived)
		}
	}
	here := place{e.Operation, e.At.Millis}
	if e.Kind == schedule.Folding {
		_, t.current = t.windows[here]
		return
	}
	if e.Kind == schedule.Closed {
		t.close(e, here)
		return
	}
	name, followed := t.names[e.Origin]
	t.current = followed
	if followed {
		t.step(e, name, here)
	}
}

// close ends a window.
func (t *Trace) close(e schedule.Event, here place) {
	name, followed := t.windows[here]
	t.current = followed
	if !followed {
		return
	}
	delete(t.windows, here)
	s := Step{Of: name, Operation: e.Operation, Event: e.Kind.String(), What: "closed, with nothing left in it", Time: instant(e.At.Millis)}
	if e.Message != nil {
		t.names[e.Origin] = name
		s.What, s.Output = "closed", ContentOf(e.Message)
	}
	t.steps = append(t.steps, s)
}

// step notes what has happened to something followed.
func (t *Trace) step(e schedule.Event, name string, here place) {
	s := Step{Of: name, Operation: e.Operation, Event: e.Kind.String(), Time: instant(e.At.Millis)}
	end := func(how, detail string) { t.ends = append(t.ends, End{name, how, e.Operation, detail}) }
	switch e.Kind {
	case schedule.Arrived:
		s.What, s.Output = "arrived", ContentOf(e.Message)
		if e.Moved {
			s.What = "arrived late, and was moved to the frontier"
		}
	case schedule.Reached:
		s.What, s.Input = "was given it", ContentOf(e.Message)
	case schedule.Called:
		t.answer(e, name)
		return
	case schedule.Filtered:
		s.What = "let it end"
		end("filtered", "")
	case schedule.Held:
		s.What = "holds it until " + instant(e.At.Millis)
		t.held[holding{here, e.Origin}] = true
	case schedule.Released:
		s.What = "let it out"
		delete(t.held, holding{here, e.Origin})
	case schedule.Folded:
		window := fmt.Sprintf("window %s of %s", instant(e.At.Millis), e.Operation)
		t.windows[here] = window
		delete(t.held, holding{here, e.Origin})
		s.What, s.Output = "folded it into "+window, ContentOf(e.Result)
		end("folded", "into "+window)
	case schedule.Sent:
		s.What = "sent it"
		end("delivered", "")
	case schedule.Dropped:
		s.What = fmt.Sprintf("dropped it (%s): %v", e.Reason, e.Err)
		delete(t.held, holding{here, e.Origin})
		end(e.Reason, firstLine(e.Err))
	case schedule.Buried:
		s.What, s.Time = "sent it to the dead letters", ""
		end("dead letter", e.Reason)
	case schedule.Advanced:
		return
	}
	t.steps = append(t.steps, s)
}

// answer adds what an operator has answered to the step in which it was given a message.
func (t *Trace) answer(e schedule.Event, name string) {
	i := len(t.steps) - 1
	for i >= 0 && (t.steps[i].Of != name || t.steps[i].Operation != e.Operation || t.steps[i].Event != schedule.Reached.String()) {
		i--
	}
	if i < 0 {
		return // it was given nothing that is followed
	}
	s := &t.steps[i]
	switch {
	case e.Err != nil:
		s.What += "; failed: " + firstLine(e.Err)
	case e.Result != nil:
		s.Output = ContentOf(e.Result)
	case e.Until != hlc.Timestamp{}:
		s.What += ", answered " + instant(e.Until.Millis)
	default:
		s.What += ", answered " + strconv.FormatBool(e.Output == 1)
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// ContentOf returns what is shown of a message.
func ContentOf(m *message.Message) *Content {
	c := &Content{Topic: m.Topic, ContentType: m.ContentType, Timestamp: m.Time.String()}
	if isText(m.Payload) {
		c.Payload = string(m.Payload)
	} else {
		c.PayloadBytes = m.Payload
	}
	for _, p := range m.Properties {
		c.Properties = append(c.Properties, [2]string{p.Key, p.Value})
	}
	return c
}

// Logger returns a logger for the run: it writes what next does, and what is logged
// while the message is worked on into its trace.
func (t *Trace) Logger(next slog.Handler) *slog.Logger {
	h := &traceHandler{trace: t, next: next, line: new(bytes.Buffer)}
	h.text = slog.NewTextHandler(h.line, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime})
	return slog.New(h)
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == "graph" || a.Key == "operation") {
		return slog.Attr{} // the step says where, and when
	}
	return a
}

// traceHandler is the handler of a trace's logger.
type traceHandler struct {
	trace *Trace
	next  slog.Handler
	text  slog.Handler  // writes to line
	line  *bytes.Buffer // guarded by the trace's mu
}

// Enabled implements slog.Handler.
func (h *traceHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *traceHandler) Handle(ctx context.Context, r slog.Record) error {
	h.trace.mu.Lock()
	if h.trace.current && len(h.trace.steps) > 0 {
		h.line.Reset()
		if err := h.text.Handle(ctx, r); err == nil {
			s := &h.trace.steps[len(h.trace.steps)-1]
			s.Logs = append(s.Logs, strings.TrimSpace(h.line.String()))
		}
	}
	h.trace.mu.Unlock()
	if h.next.Enabled(ctx, r.Level) {
		return h.next.Handle(ctx, r)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.next, c.text = h.next.WithAttrs(attrs), h.text.WithAttrs(attrs)
	return &c
}

// WithGroup implements slog.Handler.
func (h *traceHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.next, c.text = h.next.WithGroup(name), h.text.WithGroup(name)
	return &c
}

// String is the trace as people read it.
func (t *Trace) String() string {
	var b strings.Builder
	of := ""
	for _, s := range t.steps {
		if s.Of != of {
			of = s.Of
			fmt.Fprintln(&b, of)
		}
		fmt.Fprintf(&b, "  %s  %s %s\n", s.Time, s.Operation, s.What)
		for _, line := range s.Logs {
			fmt.Fprintf(&b, "      log  %s\n", line)
		}
		for _, c := range []struct {
			name string
			*Content
		}{{"in", s.Input}, {"out", s.Output}} {
			if c.Content != nil {
				fmt.Fprintf(&b, "      %-4s %s\n", c.name, c.Content)
			}
		}
	}
	for _, e := range t.Ends() {
		fmt.Fprintf(&b, "%s: %s at %s", e.Of, e.How, e.Operation)
		if e.Detail != "" {
			fmt.Fprintf(&b, ": %s", e.Detail)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// longest is how many bytes of a payload people are shown.
const longest = 1000

// String shows a message in a line.
func (c *Content) String() string {
	payload := []byte(c.Payload)
	if c.PayloadBytes != nil {
		payload = c.PayloadBytes
	}
	rest := ""
	if len(payload) > longest {
		rest = fmt.Sprintf(" and %d bytes more", len(payload)-longest)
		payload = payload[:longest]
	}
	text := string(payload)
	if !isText(payload) || strings.ContainsAny(text, "\n\r\t\x1b") {
		text = strconv.Quote(text)
	}
	return fmt.Sprintf("%s %s%s  [%s]", c.Topic, text, rest, c.Timestamp)
}
