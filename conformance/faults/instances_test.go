// SPDX-License-Identifier: Apache-2.0

//go:build services

package faults_test

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
)

// TestInstances has instances divide what comes, get killed, and become fewer and more while
// numbers pass: all of them come out, and a broker keeps nothing for who has left.
func TestInstances(t *testing.T) {
	graphd, artifacts := programsFor(t)
	r := &rig{
		t: t, count: 3, graphd: graphd, registry: artifacts, dir: t.TempDir(),
		resources: "testdata/resources.yaml", arrivals: inAnyOrder(), began: time.Now(),
	}
	r.open(mosquitto.Options{})
	if got := r.in.Connections(); got != 2*r.count {
		t.Errorf("%d connections to the first broker, want that of each of %d instances of both", got, r.count)
	}
	const each = 10_000
	publish := func(round, perSecond int) (wait func()) {
		var publishing sync.WaitGroup
		publishing.Go(func() { r.publish(perSecond, numbers(round*each, (round+1)*each)...) })
		return publishing.Wait
	}

	publish(0, 10_000)()
	r.wantAll(each)
	if again := r.arrivals.repeated(); again != 0 {
		t.Errorf("%d messages came more than once, where nothing had failed", again)
	}

	wait := publish(1, 5000)
	r.until("some numbers have come", func() bool { return r.arrivals.reached(each + each/3) })
	r.end(syscall.SIGKILL)
	r.start()
	wait()
	r.wantAll(2 * each)

	wait = publish(2, 2000)
	r.until("some more have come", func() bool { return r.arrivals.reached(2*each + each/10) })
	r.resize(1)
	for number := 1; number < 3; number++ {
		r.wantNoSession(number)
	}
	r.resize(2)
	wait()
	r.wantAll(3 * each)
	r.wantNoSession(2)
	if client := "graphd-plain_1-source"; !hasSession(t, r.from.Addr, client) {
		t.Errorf("the broker keeps no session of %s, which runs", client)
	}
}

// repeated returns how many messages had come before.
func (a *arrivals) repeated() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.again
}

// resize changes how many instances there are, and waits until there are.
func (r *rig) resize(count int) {
	r.t.Helper()
	r.count = count
	r.configure()
	listed := count
	if count == 1 {
		listed = 0
	}
	r.until(fmt.Sprintf("there are %d instances", count), func() bool {
		statuses := r.statuses()
		for _, s := range statuses {
			if len(s.Instances) != listed || s.HealthState.Status != "Available" {
				return false
			}
			for _, i := range s.Instances {
				if i.Retiring {
					return false
				}
			}
		}
		return len(statuses) == 2
	})
}

// wantNoSession looks whether the first broker keeps anything for an instance.
func (r *rig) wantNoSession(number int) {
	r.t.Helper()
	for _, node := range []string{"plain_%d-source", "marked_%d-in"} {
		client := "graphd-" + fmt.Sprintf(node, number)
		if hasSession(r.t, r.from.Addr, client) {
			r.t.Errorf("the broker keeps a session of %s, which has retired", client)
		}
	}
}

// hasSession asks a broker for a client's session, and leaves it as it is.
func hasSession(t *testing.T, addr, client string) bool {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := packets.NewControlPacket(packets.CONNECT)
	connect := p.Content.(*packets.Connect)
	connect.ClientID = client
	hour := uint32(3600)
	connect.Properties.SessionExpiryInterval = &hour // it must not end by being looked at
	if _, err := p.WriteTo(c); err != nil {
		t.Fatal(err)
	}
	answer, err := packets.ReadPacket(c)
	if err != nil {
		t.Fatal(err)
	}
	ack, ok := answer.Content.(*packets.Connack)
	if !ok || ack.ReasonCode != packets.ConnackSuccess {
		t.Fatalf("CONNECT as %s is answered by %v", client, answer)
	}
	if !ack.SessionPresent {
		none := packets.NewControlPacket(packets.DISCONNECT)
		none.Content.(*packets.Disconnect).Properties = &packets.Properties{SessionExpiryInterval: new(uint32)}
		if _, err := none.WriteTo(c); err != nil {
			t.Fatal(err)
		}
	}
	return ack.SessionPresent
}
