// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"net"
	"testing"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
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
