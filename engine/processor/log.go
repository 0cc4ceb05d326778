// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// maxLine bounds one line of a guest's log, in bytes; what is over is cut off.
const maxLine = 16 << 10

// guestLog writes what one guest logs, at a bounded rate: a token bucket of ten
// seconds' worth. What is over is counted, and the count logged.
type guestLog struct {
	logger  *slog.Logger
	now     func() time.Time
	rate    float64 // lines a second
	tokens  float64
	last    time.Time
	dropped uint64
	fault   string // the last error that was logged, also where the log leaves errors out
}

func newGuestLog(logger *slog.Logger, now func() time.Time, rate int) *guestLog {
	return &guestLog{logger: logger, now: now, rate: float64(rate), tokens: 10 * float64(rate), last: now()}
}

// levels are the cases of logger.level.
var levels = [...]slog.Level{slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 4}

// call is logger.log.
func (g *guestLog) call(_ *component.Call, args []value.Value) (value.Value, error) {
	g.write(levels[args[0].Case()], args[1].Str(), args[2].Str())
	return value.Value{}, nil
}

// write logs one line, whose strings may be the guest's memory.
func (g *guestLog) write(level slog.Level, from, text string) {
	ctx := context.Background()
	if level >= slog.LevelError {
		g.fault = cut(text)
	}
	if !g.logger.Enabled(ctx, level) {
		return
	}
	now := g.now()
	g.tokens = min(g.tokens+g.rate*now.Sub(g.last).Seconds(), 10*g.rate)
	g.last = now
	if g.tokens < 1 {
		g.dropped++
		return
	}
	g.tokens--
	g.report()
	g.logger.Log(ctx, level, cut(text), "context", cut(from))
}

// report logs how many lines were dropped since it was last called.
func (g *guestLog) report() {
	if g.dropped > 0 {
		g.logger.Warn("operator logs faster than it may: lines dropped", "dropped", g.dropped, "rate", g.rate)
		g.dropped = 0
	}
}

func (g *guestLog) close() { g.report() }

// cut copies s, at most maxLine bytes of it.
func cut(s string) string {
	if len(s) > maxLine {
		return s[:maxLine] + "..."
	}
	return string(append([]byte(nil), s...))
}

// lineWriter logs a stream line by line.
type lineWriter struct {
	log    *guestLog
	stream string
	level  slog.Level
	buf    []byte
}

// Write implements io.Writer. It never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ok := bytes.Cut(p, []byte("\n"))
		if !ok {
			break
		}
		w.buf = append(w.buf, line...)
		w.flush()
		p = rest
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) >= maxLine {
		w.flush()
	}
	return n, nil
}

// flush logs what there is of a line.
func (w *lineWriter) flush() {
	if len(w.buf) > 0 {
		w.log.write(w.level, w.stream, string(w.buf))
		w.buf = w.buf[:0]
	}
}
