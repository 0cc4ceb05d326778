// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
)

// member is a source that runs.
type member struct {
	*mqtt.Source
	got   chan endpoint.Delivery
	stop  func()
	ended chan error
}

// join runs a source until stop is called, or it has retired.
func join(t *testing.T, config mqtt.Config, filters ...string) *member {
	t.Helper()
	s, err := mqtt.NewSource(config, filters...)
	if err != nil {
		t.Fatal(err)
	}
	emit, got := collect()
	ctx, cancel := context.WithCancel(t.Context())
	flush, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, emit, flush) }()
	m := &member{Source: s, got: got, ended: ended, stop: sync.OnceFunc(func() {
		cancel()
		close(flush)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	})}
	t.Cleanup(m.stop)
	for !s.Connected() {
		runtime.Gosched()
	}
	return m
}

// subscriptions returns what a client is subscribed to, sorted; nil without a session.
func (b *broker) subscriptions(client string) []string {
	c, ok := b.server.Clients.Get(client)
	if !ok {
		return nil
	}
	var all []string
	for filter := range c.State.Subscriptions.GetAll() {
		all = append(all, filter)
	}
	return all
}

// TestGroup: what comes is divided; and a member that retires finishes what it was given,
// and leaves no session.
func TestGroup(t *testing.T) {
	b := newBroker(t, nil)
	config := func(client string) mqtt.Config {
		return mqtt.Config{Address: b.addr, ClientID: client, Group: "g", MaxInflight: 5}
	}
	one, two := join(t, config("one"), "in/#"), join(t, config("two"), "in/#")
	seen := map[string]int{}
	settle := func(m *member, n int) {
		for range n {
			d := <-m.got
			seen[string(d.Message.Payload)]++
			d.Settle()
		}
	}
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			b.publish(1, &message.Message{Topic: "in/x", Payload: fmt.Append(nil, i)})
		}
	}
	publish(0, 40) // twenty for each, of which five are in flight
	settle(one, 1)
	two.Retire()
	two.Retire()
	settle(two, 1)
	select {
	case err := <-two.ended:
		t.Fatalf("retired with messages unsettled: %v", err)
	default:
	}
	done := make(chan struct{})
	go func() { // what the broker still has for it
		defer close(done)
		if err := <-two.ended; err != nil {
			t.Error(err)
		}
		two.ended <- nil
	}()
	for retired := false; !retired; {
		select {
		case d := <-two.got:
			seen[string(d.Message.Payload)]++
			d.Settle()
		case d := <-one.got:
			seen[string(d.Message.Payload)]++
			d.Settle()
		case <-done:
			retired = true
		}
	}
	if got := b.subscriptions("two"); len(got) != 0 {
		t.Errorf("who has retired is subscribed to %v", got)
	}
	publish(40, 60)
	for len(seen) < 60 {
		settle(one, 1)
	}
	for payload, n := range seen {
		if n != 1 {
			t.Errorf("message %s came %d times", payload, n)
		}
	}
}

// TestGroupOfOne: who is alone again, or no longer, has only the subscription that it
// wants; what the session holds is kept.
func TestGroupOfOne(t *testing.T) {
	b := newBroker(t, nil)
	config := mqtt.Config{Address: b.addr, ClientID: "one"}
	for _, step := range []struct {
		group string
		alone bool
		want  string
	}{{"", false, "in"}, {"g", false, "$share/g/in"}, {"g", true, "in"}} {
		config.Group, config.Alone = step.group, step.alone
		m := join(t, config, "in", "$shared/other/in")
		b.publish(1, &message.Message{Topic: "in", Payload: []byte("m")})
		(<-m.got).Settle()
		if got := strings.Join(b.subscriptions("one"), " "); len(strings.Fields(got)) != 2 || !strings.Contains(" "+got+" ", " "+step.want+" ") {
			t.Errorf("group %q, alone %v: subscribed to %s, want %s and the one that was shared already", step.group, step.alone, got, step.want)
		}
		m.stop()
	}
}

// TestRetireWithStrays: who retires in a session that is subscribed to what nobody wants any
// more gives that up as well, however much comes of it.
func TestRetireWithStrays(t *testing.T) {
	b := newBroker(t, nil)
	config := mqtt.Config{Address: b.addr, ClientID: "one", Group: "g"}
	join(t, config, "old/#").stop()
	s, err := mqtt.NewSource(config, "new")
	if err != nil {
		t.Fatal(err)
	}
	s.Retire()
	emit, _ := collect()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context(), emit, nil) }()
	for n := 0; ; n++ {
		b.publish(1, &message.Message{Topic: "old/x", Payload: fmt.Append(nil, n)})
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		default:
			continue
		}
		break
	}
	if got := b.subscriptions("one"); len(got) != 0 {
		t.Errorf("who has retired is subscribed to %v", got)
	}
	if s.Stats().Stray == 0 {
		t.Error("there were no strays")
	}
}

// TestGroupRefused: a broker that can't divide messages is a reason to end.
func TestGroupRefused(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.Group = "g"
	source := newSource(t, config, "t")
	ended := make(chan error, 1)
	go func() { ended <- source.Run(t.Context(), func(endpoint.Delivery) {}, nil) }()
	c, _ := broker.accept()
	c.connack(0, false, func(p *packets.Properties) { p.SharedSubAvailable = new(byte) })
	if err := receive(t, ended); !errors.Is(err, endpoint.ErrSubscription) || !strings.Contains(err.Error(), "shared") {
		t.Errorf("Run: %v", err)
	}
}
