// SPDX-License-Identifier: Apache-2.0

// Package slogger puts log/slog on top of an operator's Logger:
//
//	log := slogger.New(host.Log)
//	log.Info("bounds are set", "lower", lower, "upper", upper)
//
// An entry becomes the message, followed by its attributes as slog's TextHandler writes
// them. The runtime adds the time. Package slog makes a component about a megabyte
// larger; operators that log plain text do better with Logger itself.
package slogger

import (
	"bytes"
	"context"
	"log/slog"
	"sync"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// New returns a slog.Logger that writes to log. Levels below slog.LevelDebug become
// trace; from slog.LevelError+4 on they become critical.
func New(log *sdk.Logger) *slog.Logger { return slog.New(NewHandler(log)) }

// Handler is a slog.Handler over an operator's Logger.
type Handler struct {
	log  *sdk.Logger
	out  *output
	text slog.Handler // formats attributes to out
}

// output is what the text handlers that come of one Handler write to.
type output struct {
	mu  sync.Mutex // guards buf while an entry is formatted
	buf bytes.Buffer
}

// NewHandler returns a Handler that writes to log.
func NewHandler(log *sdk.Logger) *Handler {
	out := &output{}
	return &Handler{log, out, slog.NewTextHandler(&out.buf, &slog.HandlerOptions{
		Level: slog.Level(-128), // the runtime decides what it keeps
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{} // the runtime's, or in front of the attributes
			}
			return a
		},
	})}
}

// Enabled implements slog.Handler: the runtime decides what it keeps.
func (h *Handler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.buf.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	message := r.Message
	if attributes := bytes.TrimSpace(h.out.buf.Bytes()); len(attributes) > 0 {
		message += " " + string(attributes)
	}
	h.log.Log(level(r.Level), message)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.log, h.out, h.text.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.log, h.out, h.text.WithGroup(name)}
}

func level(l slog.Level) sdk.Level {
	switch {
	case l < slog.LevelDebug:
		return sdk.LevelTrace
	case l < slog.LevelInfo:
		return sdk.LevelDebug
	case l < slog.LevelWarn:
		return sdk.LevelInfo
	case l < slog.LevelError:
		return sdk.LevelWarn
	case l < slog.LevelError+4:
		return sdk.LevelError
	default:
		return sdk.LevelCritical
	}
}
