// SPDX-License-Identifier: Apache-2.0

package history_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

var g = resource.Key{Namespace: resource.DefaultNamespace, Name: "g"}

func TestEvents(t *testing.T) {
	now := time.Unix(1000, 0)
	h := history.New(func() time.Time { return now })
	used := []deploy.InUse{{Registry: "r", Reference: "a:1", Digest: "sha256:1"}}
	h.Tell(deploy.Event{Graph: g, Reason: "Started", Message: "m", Artifacts: used})
	h.Tell(deploy.Event{Graph: g, Warning: true, Reason: "Failed", Message: "m"})
	now = now.Add(time.Minute)
	h.Tell(deploy.Event{Graph: g, Reason: "Started", Message: "m"})
	h.Tell(deploy.Event{Graph: g, Instance: 1, Reason: "Started", Message: "m"})
	want := []history.Event{
		{Warning: true, Reason: "Failed", Message: "m", Count: 1, First: time.Unix(1000, 0), Last: time.Unix(1000, 0)},
		{Reason: "Started", Message: "m", Count: 2, First: time.Unix(1000, 0), Last: now},
		{Reason: "Started", Message: "instance 1: m", Count: 1, First: now, Last: now},
	}
	if diff := cmp.Diff(want, h.Events(g)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(used, h.Artifacts(g)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for n := range 2 * history.MaxEvents {
		h.Tell(deploy.Event{Graph: g, Reason: "Failed", Message: fmt.Sprint(n)})
	}
	if got := h.Events(g); len(got) != history.MaxEvents || got[len(got)-1].Message != fmt.Sprint(2*history.MaxEvents-1) {
		t.Errorf("%d events", len(got))
	}
	h.Retain(func(k resource.Key) bool { return k != g })
	if got := h.Events(g); got != nil {
		t.Errorf("%d events of what is forgotten", len(got))
	}
}

func TestLines(t *testing.T) {
	h := history.New(time.Now)
	var all strings.Builder
	logger := slog.New(h.Handler(slog.NewTextHandler(&all, nil)))
	_, more := h.Lines(g, 0)
	logger.Info("nobody's")
	logger.With("graph", "azure-iot-operations/g").WithGroup("x").Warn("away", "error", errors.New("no route"), "graph", "inner")
	<-more
	logger.Debug("too much", "graph", "g")
	logger.With("graph", "g", "operation", "map").Info("guest says", "n", 1, slog.Group("of", "x", ""))
	logger.Error("elsewhere", "graph", "plant/g")
	lines, _ := h.Lines(g, 0)
	want := []history.Line{
		{Number: 1, Level: slog.LevelWarn, Text: `away x.error="no route" x.graph=inner`},
		{Number: 2, Operation: "map", Text: `guest says n=1 of.x=""`},
	}
	if diff := cmp.Diff(want, lines, cmpopts.IgnoreFields(history.Line{}, "Time")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if lines, _ = h.Lines(g, 1); len(lines) != 1 || lines[0].Number != 2 {
		t.Errorf("after the first: %v", lines)
	}
	if lines, _ = h.Lines(resource.Key{Namespace: "plant", Name: "g"}, 0); len(lines) != 1 {
		t.Errorf("of another namespace: %v", lines)
	}
	if n := strings.Count(all.String(), "\n"); n != 4 {
		t.Errorf("%d lines were passed on:\n%s", n, &all)
	}

	// It is bounded, by lines and by bytes.
	for range 2 * history.MaxLines {
		logger.Info("short", "graph", "g")
	}
	lines, _ = h.Lines(g, 0)
	if len(lines) != history.MaxLines || lines[len(lines)-1].Number != 2+2*history.MaxLines {
		t.Errorf("%d lines are kept", len(lines))
	}
	for range history.MaxText / history.MaxLine {
		logger.Info(strings.Repeat("ä", history.MaxLine), "graph", "g")
	}
	lines, more = h.Lines(g, 0)
	size := 0
	for _, l := range lines {
		size += len(l.Text)
	}
	if size > history.MaxText || len(lines) < 10 || !strings.HasSuffix(lines[len(lines)-1].Text, "ä...") {
		t.Errorf("%d lines of %d bytes are kept", len(lines), size)
	}
	h.Retain(func(resource.Key) bool { return false })
	<-more
}

// TestHandler: what it passes on is what it was given.
func TestHandler(t *testing.T) {
	var b strings.Builder
	err := slogtest.TestHandler(history.New(time.Now).Handler(slog.NewJSONHandler(&b, nil)), func() []map[string]any {
		var all []map[string]any
		for d := json.NewDecoder(strings.NewReader(b.String())); ; {
			var m map[string]any
			if err := d.Decode(&m); err == io.EOF {
				return all
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
