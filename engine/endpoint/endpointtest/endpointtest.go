// SPDX-License-Identifier: Apache-2.0

// Package endpointtest is the suite that every endpoint driver passes: order,
// settlement, back-pressure, redelivery and the flush at the end, as package
// endpoint promises them.
package endpointtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
)

// patience bounds each wait for something that must happen.
const patience = 10 * time.Second

// SourceRig is a source under test and the peer that it receives from.
type SourceRig struct {
	Source endpoint.Source // not running
	// Publish makes the peer send these messages to the source, in order. It is
	// called while the source is connected.
	Publish func(messages ...*message.Message)
	// Unsettled returns how many of the messages published the peer still holds, as
	// not acknowledged; nil where the protocol acknowledges nothing.
	Unsettled func() int
	// Reopen returns a source that takes the place of the first, which has ended,
	// at the same peer: it receives what was not acknowledged. Nil where the
	// protocol can't redeliver.
	Reopen func() endpoint.Source
}

// SinkRig is a sink under test and the peer that it sends to.
type SinkRig struct {
	Sink endpoint.Sink // not running
	// Received returns the messages that the peer has got so far, in order.
	Received func() []*message.Message
}

// TestSource runs the suite for sources; open returns a new rig for each test and
// registers the cleaning up with t.
func TestSource(t *testing.T, open func(t *testing.T) *SourceRig) {
	t.Run("order", func(t *testing.T) { testOrder(t, open(t)) })
	t.Run("settle", func(t *testing.T) { testSettle(t, open(t)) })
	t.Run("back-pressure", func(t *testing.T) { testBackPressure(t, open(t)) })
	t.Run("flush", func(t *testing.T) { testFlush(t, open(t)) })
	t.Run("redelivery", func(t *testing.T) { testRedelivery(t, open(t)) })
}

// TestSink runs the suite for sinks; open returns a new rig for each test and
// registers the cleaning up with t.
func TestSink(t *testing.T, open func(t *testing.T) *SinkRig) {
	t.Run("order", func(t *testing.T) { testSinkOrder(t, open(t)) })
	t.Run("drain", func(t *testing.T) { testSinkDrain(t, open(t)) })
	t.Run("cancelled", func(t *testing.T) { testSinkCancelled(t, open(t)) })
}

// Messages returns n different messages with all that a transport must keep:
// binary payloads, repeated properties in order, content types.
func Messages(n int) []*message.Message {
	messages := make([]*message.Message, n)
	for i := range messages {
		m := &message.Message{
			Topic:   "endpointtest/in",
			Payload: fmt.Appendf(nil, `{"n":%d}`, i),
			Properties: []message.Property{
				{Key: "n", Value: fmt.Sprint(i)},
				{Key: "again", Value: "one"},
				{Key: "again", Value: "two"},
			},
		}
		switch i % 3 {
		case 0:
			m.ContentType = "application/json"
		case 1:
			m.Payload = []byte{0, 0xff, 0xfe, byte(i), byte(i >> 8)}
			m.Properties = nil
		}
		messages[i] = m
	}
	return messages
}

// run is a running source and what it has emitted.
type run struct {
	t         *testing.T
	stop      context.CancelFunc
	flush     chan struct{}
	ended     chan error
	gate      sync.RWMutex // held for writing: emit blocks
	mu        sync.Mutex
	delivered []endpoint.Delivery
}

func start(t *testing.T, s endpoint.Source) *run {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &run{t: t, stop: stop, flush: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		r.ended <- s.Run(ctx, func(d endpoint.Delivery) {
			r.gate.RLock()
			defer r.gate.RUnlock()
			r.mu.Lock()
			defer r.mu.Unlock()
			r.delivered = append(r.delivered, d)
		}, r.flush)
	}()
	eventually(t, "the source is connected", s.Connected)
	return r
}

// end stops the source, lets it flush and waits for it.
func (r *run) end() {
	r.t.Helper()
	r.stop()
	close(r.flush)
	r.wait()
}

func (r *run) wait() {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("Run did not return")
	}
}

// deliveries waits until n messages are delivered and returns all that are.
func (r *run) deliveries(n int) []endpoint.Delivery {
	r.t.Helper()
	var got []endpoint.Delivery
	eventually(r.t, fmt.Sprintf("%d messages are delivered", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = slices.Clone(r.delivered)
		return len(got) >= n
	})
	return got
}

func testOrder(t *testing.T, rig *SourceRig) {
	r := start(t, rig.Source)
	sent := Messages(20)
	rig.Publish(sent...)
	got := r.deliveries(len(sent))
	settleAll(got)
	r.end()
	compare(t, sent, messagesOf(got))
	for i, d := range got {
		if d.Message.Time.Millis != 0 {
			t.Errorf("message %d has the time %v, want none: stamping is not the driver's", i, d.Message.Time)
		}
		if rig.Unsettled != nil && d.Settle == nil {
			t.Errorf("message %d can't be settled", i)
		}
	}
}

func testSettle(t *testing.T, rig *SourceRig) {
	if rig.Unsettled == nil {
		return
	}
	r := start(t, rig.Source)
	sent := Messages(10)
	rig.Publish(sent...)
	got := r.deliveries(len(sent))
	if n := rig.Unsettled(); n != len(sent) {
		t.Errorf("%d messages are unsettled before the first Settle, want %d", n, len(sent))
	}
	for _, d := range slices.Backward(got) { // any order is allowed
		d.Settle()
	}
	eventually(t, "all messages are acknowledged", func() bool { return rig.Unsettled() == 0 })
	r.end()
}

func testBackPressure(t *testing.T, rig *SourceRig) {
	r := start(t, rig.Source)
	r.gate.Lock()
	sent := Messages(50)
	rig.Publish(sent...)
	r.gate.Unlock()
	got := r.deliveries(len(sent))
	settleAll(got)
	r.end()
	compare(t, sent, messagesOf(got))
}

func testFlush(t *testing.T, rig *SourceRig) {
	r := start(t, rig.Source)
	sent := Messages(5)
	rig.Publish(sent...)
	got := r.deliveries(len(sent))
	r.stop()
	select {
	case err := <-r.ended:
		t.Fatalf("Run returned (%v) before flush was closed", err)
	case <-time.After(50 * time.Millisecond):
	}
	settleAll(got)
	close(r.flush)
	r.wait()
	if rig.Unsettled != nil {
		eventually(t, "what was settled before the flush is acknowledged", func() bool { return rig.Unsettled() == 0 })
	}
	if rig.Source.Connected() {
		t.Error("the source is connected after Run returned")
	}
}

func testRedelivery(t *testing.T, rig *SourceRig) {
	if rig.Reopen == nil {
		return
	}
	r := start(t, rig.Source)
	sent := Messages(6)
	rig.Publish(sent...)
	got := r.deliveries(len(sent))
	positions := map[string]endpoint.Position{} // by payload
	slots := map[uint64]bool{}
	for _, d := range got {
		if d.Redelivered {
			t.Errorf("%s is called a redelivery at first", d.Message.Payload)
		}
		positions[string(d.Message.Payload)] = d.Position
		slots[d.Position.Slot] = true
	}
	if !slots[0] && len(slots) != len(sent) {
		t.Errorf("%d unacknowledged messages share %d slots: %v", len(sent), len(slots), positions)
	}
	got[0].Settle()
	got[1].Settle()
	got[4].Settle() // not its turn: an acknowledgement by prefix may hold it back
	r.end()

	r = start(t, rig.Reopen())
	again := r.deliveries(3)
	settled := 0
	eventually(t, "everything is acknowledged in the end", func() bool {
		again = r.deliveries(3)
		settleAll(again[settled:])
		settled = len(again)
		return rig.Unsettled() == 0
	})
	r.end()
	for _, d := range again {
		if want := positions[string(d.Message.Payload)]; !d.Redelivered || d.Position != want {
			t.Errorf("%s came again with redelivered %v at %v, want true at %v", d.Message.Payload, d.Redelivered, d.Position, want)
		}
	}
	var payloads [][]byte
	for _, m := range messagesOf(again) {
		if !slices.ContainsFunc(payloads, func(p []byte) bool { return string(p) == string(m.Payload) }) {
			payloads = append(payloads, m.Payload)
		}
	}
	want := [][]byte{sent[2].Payload, sent[3].Payload, sent[4].Payload, sent[5].Payload}
	if len(payloads) == 3 { // the driver acknowledged message 4 on its own
		want = slices.Delete(want, 2, 3)
	}
	if diff := cmp.Diff(want, payloads); diff != "" {
		t.Errorf("redelivered payloads (-want +got):\n%s", diff)
	}
}

func testSinkOrder(t *testing.T, rig *SinkRig) {
	r := startSink(t, rig.Sink)
	sent := Messages(30)
	for i, m := range sent {
		r.send(i, m)
	}
	eventually(t, "all is confirmed", func() bool { return len(r.confirmed()) == len(sent) })
	r.end()
	for i, c := range r.confirmed() {
		if c.n != i || c.err != nil {
			t.Errorf("confirmation %d is of message %d with error %v; want them in order, without error", i, c.n, c.err)
		}
	}
	eventually(t, "the peer has everything", func() bool { return len(rig.Received()) >= len(sent) })
	compare(t, sent, rig.Received())
}

// testSinkDrain ends the sink right after the last Send: what was taken is
// confirmed before Run returns.
func testSinkDrain(t *testing.T, rig *SinkRig) {
	r := startSink(t, rig.Sink)
	sent := Messages(30)
	for i, m := range sent {
		r.send(i, m)
	}
	r.end()
	if got := len(r.confirmed()); got != len(sent) {
		t.Errorf("%d of %d messages are confirmed when Run returned", got, len(sent))
	}
	eventually(t, "the peer has everything", func() bool { return len(rig.Received()) >= len(sent) })
	compare(t, sent, rig.Received())
}

func testSinkCancelled(t *testing.T, rig *SinkRig) {
	r := startSink(t, rig.Sink)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := rig.Sink.Send(ctx, Messages(1)[0], func(error) {})
	if err == nil || err != ctx.Err() { //nolint:errorlint // the contract is that very error
		t.Errorf("Send with an ended context = %v, want its error", err)
	}
	r.end()
}

type confirmation struct {
	n   int
	err error
}

type sinkRun struct {
	t     *testing.T
	sink  endpoint.Sink
	stop  context.CancelFunc
	ended chan error
	mu    sync.Mutex
	done  []confirmation
}

func startSink(t *testing.T, s endpoint.Sink) *sinkRun {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &sinkRun{t: t, sink: s, stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	eventually(t, "the sink is connected", s.Connected)
	return r
}

func (r *sinkRun) send(n int, m *message.Message) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := r.sink.Send(ctx, m, func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done = append(r.done, confirmation{n, err})
	})
	if err != nil {
		r.t.Fatalf("Send of message %d: %v", n, err)
	}
}

func (r *sinkRun) confirmed() []confirmation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.done)
}

func (r *sinkRun) end() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("Run did not return")
	}
}

// compare checks what a transport must keep of each message.
func compare(t *testing.T, want, got []*message.Message) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if diff := cmp.Diff(w.Payload, g.Payload); diff != "" {
			t.Errorf("payload of message %d (-want +got):\n%s", i, diff)
		}
		if g.ContentType != w.ContentType {
			t.Errorf("content type of message %d = %q, want %q", i, g.ContentType, w.ContentType)
		}
		if !slices.Equal(g.Properties, w.Properties) {
			t.Errorf("properties of message %d = %v, want %v", i, g.Properties, w.Properties)
		}
	}
}

func messagesOf(deliveries []endpoint.Delivery) []*message.Message {
	messages := make([]*message.Message, len(deliveries))
	for i, d := range deliveries {
		messages[i] = d.Message
	}
	return messages
}

func settleAll(deliveries []endpoint.Delivery) {
	for _, d := range deliveries {
		if d.Settle != nil {
			d.Settle()
		}
	}
}

// eventually waits for a condition that an outside peer brings about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 50 * time.Microsecond; !condition(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
		time.Sleep(pause)
	}
}
