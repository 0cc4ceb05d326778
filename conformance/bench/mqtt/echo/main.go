// SPDX-License-Identifier: Apache-2.0

// Command echo is the baseline of the MQTT path, the least that a program on the
// same client library can do: what arrives on one topic it publishes to another, as
// it came, in order, from the handler, without waiting for acknowledgements. It
// acknowledges what it has received at once, so what is on its way when it ends is
// lost. It says "ready" when it is, and ends when its standard input does.
//
//	echo BROKER QOS IN OUT
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// inflight is how many messages the broker sends ahead, as many as graphd lets it by
// default.
const inflight uint16 = 100

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 4 || args[1] != "0" && args[1] != "1" {
		return fmt.Errorf("usage: echo BROKER 0|1 IN OUT")
	}
	addr, qos, in, out := args[0], args[1][0]-'0', args[2], args[3]
	failed := make(chan error, 2)
	sink, err := connect(ctx, addr, "sink "+out, failed, func(paho.PublishReceived) (bool, error) { return true, nil })
	if err != nil {
		return err
	}
	source, err := connect(ctx, addr, "source "+in, failed, func(r paho.PublishReceived) (bool, error) {
		_, err := sink.PublishWithOptions(ctx, &paho.Publish{
			Topic: out, QoS: qos, Payload: r.Packet.Payload,
			Properties: &paho.PublishProperties{ContentType: r.Packet.Properties.ContentType, User: r.Packet.Properties.User},
		}, paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
		if err != nil {
			failed <- err
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if _, err := source.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: in, QoS: qos}}}); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, stdin)
		ended <- err
	}()
	select {
	case err := <-failed:
		return err
	case err := <-ended:
		return err
	}
}

func connect(ctx context.Context, addr, id string, failed chan<- error, received func(paho.PublishReceived) (bool, error)) (*paho.Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	client := paho.NewClient(paho.ClientConfig{
		Conn:              packets.NewThreadSafeConn(conn),
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){received},
		OnClientError: func(err error) {
			select {
			case failed <- err:
			default: // one is enough
			}
		},
	})
	most := inflight
	_, err = client.Connect(ctx, &paho.Connect{
		ClientID: id, CleanStart: true, KeepAlive: 60,
		Properties: &paho.ConnectProperties{ReceiveMaximum: &most},
	})
	return client, err
}
