// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

func TestBroker(t *testing.T) {
	b, err := broker.Start()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	if err := b.Subscribe("a/+", func(topic string, payload []byte) { got <- topic + " " + string(payload) }); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if message := <-got; message != "a/b x" {
		t.Errorf("received %q", message)
	}
	conn, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", b.Address()); err == nil {
		conn.Close()
		t.Error("the broker still listens after Close")
	}
}

// Acknowledging while more is published neither stops the broker nor loses
// anything, far beyond what the client said it can take at once.
func TestBrokerKeepsUpWithAcknowledgements(t *testing.T) {
	b, err := broker.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	source, err := mqtt.NewSource(mqtt.Config{Address: b.Address(), ClientID: "source", MaxInflight: 10}, "in")
	if err != nil {
		t.Fatal(err)
	}
	const count = 5000
	ctx, cancel := context.WithCancel(t.Context())
	flush, ended, got := make(chan struct{}), make(chan error, 1), make(chan string, count)
	go func() {
		ended <- source.Run(ctx, func(d endpoint.Delivery) {
			d.Settle()
			got <- string(d.Message.Payload)
		}, flush)
	}()
	deadline := time.After(20 * time.Second)
	for tick := time.Tick(time.Millisecond); !source.Connected(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("not connected")
		}
	}
	go func() {
		for i := range count {
			if err := b.Publish("in", []byte(strconv.Itoa(i))); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range count {
		select {
		case payload := <-got:
			if payload != strconv.Itoa(i) {
				t.Fatalf("received %s, want %d", payload, i)
			}
		case <-deadline:
			t.Fatalf("received %d messages of %d", i, count)
		}
	}
	cancel()
	close(flush)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
