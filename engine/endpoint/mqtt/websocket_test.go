// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/endpointtest"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
)

// newGateway leads WebSockets to a broker. What the broker sends it cuts into frames
// that have nothing to do with packets. It returns a configuration that goes there.
func newGateway(t *testing.T, addr string, secure bool) mqtt.Config {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	handler := http.NewServeMux()
	handler.HandleFunc("/mqtt", func(w http.ResponseWriter, r *http.Request) {
		if protocols := websocket.Subprotocols(r); !slices.Equal(protocols, []string{"mqtt"}) {
			t.Errorf("asked for the protocols %q", protocols)
		}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		broker, err := net.Dial("tcp", addr)
		if err != nil {
			ws.Close()
			return
		}
		back := make(chan struct{})
		go func() {
			defer close(back)
			defer ws.Close()
			chunk := make([]byte, 1000)
			for size := 1; ; size = size%len(chunk) + 1 {
				n, err := broker.Read(chunk[:size])
				if err != nil {
					bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
					_ = ws.WriteMessage(websocket.CloseMessage, bye) // the client may be gone
					return
				}
				if ws.WriteMessage(websocket.BinaryMessage, chunk[:n]) != nil {
					return
				}
			}
		}()
		for {
			_, frame, err := ws.NextReader()
			if err != nil {
				break
			}
			if _, err := io.Copy(broker, frame); err != nil {
				break
			}
		}
		broker.Close()
		<-back
	})
	server := httptest.NewUnstartedServer(handler)
	config := testConfig(t, server.Listener.Addr().String())
	config.WebSocket = "/mqtt"
	if secure {
		server.StartTLS()
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		config.TLS = &tls.Config{RootCAs: pool}
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return config
}

func TestWebSocketSuites(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "ws", true: "wss"}[secure], func(t *testing.T) {
			endpointtest.TestSource(t, func(t *testing.T) *endpointtest.SourceRig {
				b := newBroker(t, nil)
				c := newGateway(t, b.addr, secure)
				return &endpointtest.SourceRig{
					Source:    newSource(t, c, "endpointtest/+"),
					Publish:   func(messages ...*message.Message) { b.publish(1, messages...) },
					Unsettled: func() int { return b.unsettled(c.ClientID) },
					Reopen:    func() endpoint.Source { return newSource(t, c, "endpointtest/+") },
				}
			})
			endpointtest.TestSink(t, func(t *testing.T) *endpointtest.SinkRig {
				b := newBroker(t, nil)
				return &endpointtest.SinkRig{Sink: newSink(t, newGateway(t, b.addr, secure), "out"), Received: b.subscribe("out")}
			})
		})
	}
}

func TestWebSocketLargeMessage(t *testing.T) {
	b := newBroker(t, nil)
	config := newGateway(t, b.addr, true)
	source, sink := config, config
	source.ClientID, sink.ClientID = t.Name()+"-source", t.Name()+"-sink"
	emit, deliveries := collect()
	receiver := newSource(t, source, "out")
	runSource(t, receiver, emit)
	waitUntil(t, "connected", receiver.Connected)
	sender := newSink(t, sink, "out")
	runSink(t, sender)
	large := strings.Repeat("0123456789", 1<<18)
	wantDone(t, sendAll(t, sender, "before", large, "after"), "before", large, "after")
	wantDeliveries(t, deliveries, "before", large, "after")
}

// TestWebSocketRefused: a server that knows no WebSockets there is asked again and
// again, for it may be restarting.
func TestWebSocketRefused(t *testing.T) {
	config := newGateway(t, "127.0.0.1:1", false)
	config.WebSocket = "/elsewhere"
	logged := make(chan string, 100)
	config.Logger = logErrors(logged)
	sink := runSink(t, newSink(t, config, "t"))
	for range 2 {
		if got := receive(t, logged); !strings.Contains(got, "/elsewhere: websocket: bad handshake: 404 Not Found") {
			t.Errorf("logged %q", got)
		}
	}
	if err := sink.stop(); err != nil {
		t.Error(err)
	}
}

// TestWebSocketGone: a broker that ends the connection by a frame or by none, or that
// sends text, loses nothing but that connection.
func TestWebSocketGone(t *testing.T) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	ways := []func(*websocket.Conn) error{
		func(c *websocket.Conn) error {
			return c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""))
		},
		func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("mqtt")) },
		func(c *websocket.Conn) error { return nil },
	}
	calls := make(chan int, 1)
	calls <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := <-calls
		calls <- n + 1
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		if _, _, err := ws.ReadMessage(); err != nil { // CONNECT
			t.Error(err)
		}
		if err := ways[n%len(ways)](ws); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	logged := make(chan string, 100)
	config := testConfig(t, server.Listener.Addr().String())
	config.WebSocket, config.Logger = "/", logErrors(logged)
	sink := runSink(t, newSink(t, config, "t"))
	for _, want := range []string{"EOF", "the broker sent a text frame", "EOF"} {
		if got := receive(t, logged); !strings.Contains(got, want) {
			t.Errorf("logged %q, want %q in it", got, want)
		}
	}
	if err := sink.stop(); err != nil {
		t.Error(err)
	}
}
