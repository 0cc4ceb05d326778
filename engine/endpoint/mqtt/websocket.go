// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// webSocket is MQTT over a WebSocket (section 6): packets are bytes in binary
// frames, whose boundaries mean nothing.
type webSocket struct {
	*websocket.Conn
	below net.Conn
	frame io.Reader // what is being read; nil between two frames
}

// ownDeadline is a connection whose deadline for writing is ours: the WebSocket
// would take it off with every frame.
type ownDeadline struct{ net.Conn }

// SetWriteDeadline does nothing.
func (ownDeadline) SetWriteDeadline(time.Time) error { return nil }

// upgrade makes a WebSocket of a connection, which is closed where that fails.
func (c Config) upgrade(ctx context.Context, raw net.Conn) (net.Conn, error) {
	given := func(context.Context, string, string) (net.Conn, error) { return ownDeadline{raw}, nil }
	dialer := websocket.Dialer{
		NetDialContext:    given,
		NetDialTLSContext: given,
		Subprotocols:      []string{"mqtt"},
		ReadBufferSize:    firstInput,
	}
	target := url.URL{Scheme: "ws", Host: c.Address, Path: c.WebSocket}
	if c.TLS != nil {
		target.Scheme = "wss"
	}
	ws, answer, err := dialer.DialContext(ctx, target.String(), nil)
	if err != nil {
		raw.Close()
		if answer != nil {
			err = fmt.Errorf("%w: %s", err, answer.Status)
		}
		return nil, fmt.Errorf("open web socket %s: %w", &target, err)
	}
	return &webSocket{Conn: ws, below: raw}, nil
}

// Read implements net.Conn.
func (w *webSocket) Read(p []byte) (int, error) {
	for {
		if w.frame == nil {
			kind, frame, err := w.NextReader()
			if err != nil {
				return 0, ended(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("the broker sent a text frame")
			}
			w.frame = frame
		}
		n, err := w.frame.Read(p)
		if errors.Is(err, io.EOF) {
			w.frame, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, ended(err)
		}
	}
}

// ended returns io.EOF for a connection that the peer has closed.
func ended(err error) error {
	if errors.As(err, new(*websocket.CloseError)) {
		return io.EOF
	}
	return err
}

// Write implements net.Conn.
func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline implements net.Conn.
func (w *webSocket) SetWriteDeadline(t time.Time) error { return w.below.SetWriteDeadline(t) }

// SetDeadline implements net.Conn.
func (w *webSocket) SetDeadline(t time.Time) error { return w.below.SetDeadline(t) }
