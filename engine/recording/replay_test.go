// SPDX-License-Identifier: Apache-2.0

package recording_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// windows is a graph of two sources, whose messages are put together in windows of ten
// seconds; what has the payload "stop" is filtered, and "bad" refused.
func windows(t testing.TB) *plan.Plan {
	t.Helper()
	p, err := plan.New(&graph.Definition{
		Metadata: graph.Metadata{Name: "windows"},
		Operations: []graph.Operation{
			{Name: "a", Kind: graph.Source}, {Name: "b", Kind: graph.Source},
			{Name: "keep", Kind: graph.Filter, Module: "keep:1"},
			{Name: "window", Kind: graph.Delay, Module: "window:1"},
			{Name: "sum", Kind: graph.Accumulate, Module: "sum:1"},
			{Name: "out", Kind: graph.Sink},
		},
		Connections: []graph.Connection{
			{From: "a", To: "keep"}, {From: "b", To: "keep"}, {From: "keep", To: "window"},
			{From: "window", To: "sum"}, {From: "sum", To: "out"},
		},
	}, nil, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// openers implement p's operations; separator is between the payloads of a window.
func openers(p *plan.Plan, logger *slog.Logger, separator string) []operator.Opener {
	implementations := map[string]*native.Operator{
		"keep": {Filter: func(_ context.Context, m *message.Message) (bool, error) {
			logger.Debug("looked at", "payload", string(m.Payload))
			return string(m.Payload) != "stop", nil
		}},
		"window": {Delay: func(_ context.Context, _ *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
			return hlc.Timestamp{Millis: (at.Millis + 9_999) / 10_000 * 10_000}, nil
		}},
		"sum": {Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
			out := staged.Clone()
			for _, m := range batch {
				if string(m.Payload) == "bad" {
					return nil, &operator.Refusal{Operation: "sum", Message: "no bad ones"}
				}
				if len(out.Payload) > 0 {
					out.Payload = append(bytes.Clone(out.Payload), separator...)
				}
				out.Payload = append(out.Payload, m.Payload...)
			}
			return out, nil
		}},
	}
	list := make([]operator.Opener, len(p.Nodes))
	for i, n := range p.Nodes {
		if n.Module != "" {
			list[i] = implementations[n.Operation]
		}
	}
	return list
}

// live runs the graph in real time, of a bubble, with a tap, and returns the recording
// and what came out.
func live(t *testing.T, operation string) (rec []byte, out string) {
	synctest.Test(t, func(t *testing.T) {
		p := windows(t)
		var b bytes.Buffer
		tap, err := recording.NewTap(&b, recording.TapConfig{Plan: p, Operation: operation, Of: "live", Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		sources := []*memory.Source{memory.NewSource(0), memory.NewSource(0)}
		began := time.Now()
		var text strings.Builder
		g, err := engine.New(engine.Config{
			Plan: p, Openers: openers(p, slog.New(slog.DiscardHandler), "+"), Watch: tap.Watch,
			Sources: []endpoint.Source{sources[0], sources[1]}, HLC: hlc.NewClock(hlc.Config{Node: "n", Now: time.Now}),
			Sinks: []endpoint.Sink{memory.NewSink(func(m *message.Message) error {
				fmt.Fprintf(&text, "%d %s\n", m.Time.Millis, m.Payload)
				return nil
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		give := func(source int, age time.Duration, payload string) {
			time.Sleep(1500 * time.Millisecond)
			m := &message.Message{Topic: "t", Payload: []byte(payload)}
			if age >= 0 {
				m.Properties = []message.Property{
					{Key: "id", Value: payload},
					{Key: "__ts", Value: hlc.Timestamp{Millis: time.Now().Add(-age).UnixMilli(), Node: "x"}.String()},
				}
			}
			if err := sources[source].Publish(m); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Until(began.Truncate(10 * time.Second).Add(10 * time.Second)))
		give(0, 0, "1")
		give(1, time.Second, "2")
		give(0, -1, "3")
		give(0, 0, "stop")
		give(1, 0, "bad")
		give(0, 0, "4")
		time.Sleep(15 * time.Second)
		give(1, time.Minute, "late")
		give(0, 0, "5")
		time.Sleep(30 * time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
		if s := g.Stats(); s.Late != 1 {
			t.Errorf("%d messages were late, want 1", s.Late)
		}
		rec, out = b.Bytes(), text.String()
	})
	return rec, out
}

// replay plays a recording through the graph.
func replay(t *testing.T, rec []byte, r *recording.Replay, separator string, logger *slog.Logger, watch func(schedule.Event)) (out string, g *engine.Graph) {
	t.Helper()
	p := windows(t)
	player, err := recording.NewPlayer("r", bytes.NewReader(rec))
	if err != nil {
		t.Fatal(err)
	}
	r.Moments = player
	if r.Sources == nil {
		r.Sources = []int{0, 1}
	}
	r.Virtual = schedule.NewVirtualTime(player.Header().Began)
	var text strings.Builder
	g, err = engine.New(engine.Config{
		Plan: p, Openers: openers(p, logger, separator), Virtual: r.Virtual, Feed: r.Feed, Watch: watch,
		Sinks: []endpoint.Sink{memory.NewSink(func(m *message.Message) error {
			fmt.Fprintf(&text, "%d %s\n", m.Time.Millis, m.Payload)
			return nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Error(err)
	}
	return text.String(), g
}

// TestReplay plays what was recorded of a live graph: as recorded the same comes out,
// at every speed.
func TestReplay(t *testing.T) {
	rec, want := live(t, "")
	if lines := strings.Count(want, "\n"); lines != 2 {
		t.Fatalf("live came out\n%s", want)
	}
	discard := slog.New(slog.DiscardHandler)
	got, g := replay(t, rec, &recording.Replay{AsRecorded: true}, "+", discard, nil)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("as recorded (-live +replayed):\n%s", diff)
	}
	if s := g.Stats(); s.Late != 1 || s.Received != 8 {
		t.Errorf("%d messages, %d late; want 8 and 1", s.Received, s.Late)
	}
	// By the messages' own times the late one is in time: nothing has passed it.
	own, g := replay(t, rec, &recording.Replay{}, "+", discard, nil)
	if s := g.Stats(); s.Late != 1 || s.Received != 8 {
		t.Errorf("by their own times: %d messages, %d late; want 8 and 1", s.Received, s.Late)
	}
	for _, speed := range []float64{1, 50} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			for _, asRecorded := range []bool{false, true} {
				paced, _ := replay(t, rec, &recording.Replay{AsRecorded: asRecorded, Speed: speed}, "+", discard, nil)
				if asRecorded && paced != want || !asRecorded && paced != own {
					t.Errorf("at speed %v, as recorded: %v, came out\n%s", speed, asRecorded, paced)
				}
			}
			took := time.Since(begin).Seconds() * speed / 2
			if took < 50 || took > 70 {
				t.Errorf("at speed %v it took %.0f seconds of the recording, want about 60", speed, took)
			}
		})
	}
}

// TestReplayUntil stops in the middle: what is held stays there, and a replay that is
// broken off says so.
func TestReplayUntil(t *testing.T) {
	rec, _ := live(t, "")
	got, g := replay(t, rec, &recording.Replay{Until: func(m recording.Moment) bool { return m.Number > 3 }}, "+", slog.New(slog.DiscardHandler), nil)
	held := int64(0)
	for _, o := range g.Stats().Operations {
		held += o.Held
	}
	if got != "" || held != 3 {
		t.Errorf("came out %q, %d held; want nothing, and all 3 held", got, held)
	}
	r := &recording.Replay{}
	got, _ = replay(t, rec[:len(rec)-3], r, "+", slog.New(slog.DiscardHandler), nil)
	var damage *recording.Damage
	if !errors.As(r.Damage(), &damage) || !damage.Truncated || damage.Messages != 8 || strings.Count(got, "\n") != 2 {
		t.Errorf("broken off: %v, came out\n%s", r.Damage(), got)
	}
	if messages, _, _ := r.Progress(); messages != 8 {
		t.Errorf("%d messages were played, want 8", messages)
	}
}

// TestTap records what comes to an operation in the middle.
func TestTap(t *testing.T) {
	rec, _ := live(t, "sum")
	p, err := recording.NewPlayer("r", bytes.NewReader(rec))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sum"}, p.Header().Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	var payloads []string
	for {
		m, err := p.Next()
		if err != nil {
			break
		}
		if m.Message != nil {
			payloads = append(payloads, string(m.Message.Payload))
		}
	}
	if got := strings.Join(payloads, " "); got != "2 1 3 bad 4 late 5" && got != "1 2 3 bad 4 late 5" {
		t.Errorf("recorded %s", got)
	}
	if _, err := recording.NewTap(&bytes.Buffer{}, recording.TapConfig{Plan: windows(t), Operation: "sums", Now: time.Now}); err == nil ||
		!strings.Contains(err.Error(), `has no operation "sums"; did you mean "sum"?`) {
		t.Errorf("tap of what isn't there: %v", err)
	}
	var failure error
	tap, err := recording.NewTap(&shortWriter{left: 2}, recording.TapConfig{
		Plan: windows(t), Now: time.Now, Failed: func(err error) { failure = errors.Join(failure, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tap.Watch(schedule.Event{Kind: schedule.Arrived, Operation: "a", Message: &message.Message{}})
	}
	if failure == nil || tap.Close() == nil || strings.Count(failure.Error(), "disk full") != 1 {
		t.Errorf("a tap that can't write says %v", failure)
	}
}

// TestTrace follows messages to all their ends.
func TestTrace(t *testing.T) {
	rec, _ := live(t, "")
	for _, tt := range []struct{ id, want string }{
		{"1", `message 1: folded at sum: into window 2000-01-01T00:00:20.000Z of sum
window 2000-01-01T00:00:20.000Z of sum: delivered at out
`},
		{"id=stop", "message 4: filtered at keep\n"},
		{"id=bad", "message 5: refused at sum: operation sum: no bad ones\n"},
		{"000946684812000:00000:x", "message 2: folded at sum: into window 2000-01-01T00:00:20.000Z of sum\n" +
			"window 2000-01-01T00:00:20.000Z of sum: delivered at out\n"},
		{"id=late", "message 7: folded at sum: into window 2000-01-01T00:00:40.000Z of sum\n" +
			"window 2000-01-01T00:00:40.000Z of sum: delivered at out\n"},
		{"99", ""},
	} {
		trace, err := recording.NewTrace(tt.id)
		if err != nil {
			t.Fatal(err)
		}
		replay(t, rec, &recording.Replay{AsRecorded: true}, "+", trace.Logger(slog.DiscardHandler), trace.Watch)
		text := trace.String()
		lines := strings.SplitAfter(text, "\n")
		ends := ""
		for _, line := range lines {
			if strings.Contains(line, ": ") && !strings.HasPrefix(line, " ") {
				ends += line
			}
		}
		if ends != tt.want {
			t.Errorf("trace of %s ends with\n%swant\n%s, of\n%s", tt.id, ends, tt.want, text)
		}
		if tt.id == "1" {
			want := `message 1
  2000-01-01T00:00:11.500Z  a arrived
      out  t 1  [000946684811500:00000:x]
  2000-01-01T00:00:11.500Z  keep was given it, answered true
      log  level=DEBUG msg="looked at" payload=1
      in   t 1  [000946684811500:00000:x]
  2000-01-01T00:00:11.500Z  window was given it, answered 2000-01-01T00:00:20.000Z
      in   t 1  [000946684811500:00000:x]
  2000-01-01T00:00:20.000Z  window holds it until 2000-01-01T00:00:20.000Z
  2000-01-01T00:00:20.000Z  window let it out
`
			if !strings.HasPrefix(text, want) {
				t.Errorf("trace (-want +got):\n%s", cmp.Diff(want, text))
			}
		}
	}
	halted, err := recording.NewTrace("1")
	if err != nil {
		t.Fatal(err)
	}
	replay(t, rec, &recording.Replay{Until: func(m recording.Moment) bool { return m.Number > 3 }}, "+", slog.New(slog.DiscardHandler), halted.Watch)
	if diff := cmp.Diff([]recording.End{{Of: "message 1", How: "held", Operation: "window", Detail: "until 2000-01-01T00:00:20.000Z"}}, halted.Ends()); diff != "" {
		t.Errorf("ends of a message that is held (-want +got):\n%s", diff)
	}
	for _, id := range []string{"", "0", "x", "=x", "1:2"} {
		if _, err := recording.NewTrace(id); err == nil {
			t.Errorf("NewTrace(%q) succeeded", id)
		}
	}
}

// TestCompare compares two versions of a graph.
func TestCompare(t *testing.T) {
	rec, _ := live(t, "")
	run := func(separator string) *recording.Outcomes {
		o := recording.NewOutcomes()
		replay(t, rec, &recording.Replay{AsRecorded: true}, separator, slog.New(slog.DiscardHandler), o.Watch)
		return o
	}
	if d, n := recording.Compare(run("+"), run("+")); len(d) != 0 || n != 10 {
		t.Errorf("%d of %d are different in equal runs", len(d), n)
	}
	d, _ := recording.Compare(run("+"), run("-"))
	if len(d) != 2 || d[0].Of != "window 2000-01-01T00:00:20.000Z" {
		t.Fatalf("differences %s", d)
	}
	want := `window 2000-01-01T00:00:20.000Z
  - out {"topic":"","payload":"1+2+3+4","timestamp":"000946684820000:00000:graphd-run"}
  + out {"topic":"","payload":"1-2-3-4","timestamp":"000946684820000:00000:graphd-run"}
`
	if diff := cmp.Diff(want, d[0].String()); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
}
