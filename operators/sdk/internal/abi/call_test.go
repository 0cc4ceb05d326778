// SPDX-License-Identifier: Apache-2.0

//go:build !wasip1

package abi

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// host stands in for the host's side of the resource types.buffer.
type host struct {
	memory  *Memory
	content map[uint32]string // by handle: the buffers that the operator owns
	reads   []uint32
	drops   []uint32
}

func (h *host) Read(handle uint32) []byte {
	h.reads = append(h.reads, handle)
	return h.memory.bytes(h.memory.lower([]byte(h.content[handle])))
}

func (h *host) Drop(handle uint32) { h.drops = append(h.drops, handle) }

func newHost(buffers map[uint32]string) (*host, *Call) {
	m := NewMemory(1 << 20)
	h := &host{memory: m, content: buffers}
	return h, NewCall(m, h)
}

func (h *host) text(s string) content {
	return content{tag: contentBytes, list: h.memory.lower([]byte(s))}
}

func (h *host) buffer(handle uint32) content {
	return content{tag: contentBuffer, list: list{address: handle}}
}

// message returns a message with everything in it; its payload is buffer 7, one
// property's value buffer 8.
func (h *host) message() *data {
	d := &data{tag: dataMessage}
	properties, l := newElements[property](h.memory, 2)
	properties[0] = property{h.text("k"), h.text("v")}
	properties[1] = property{h.text("lazy"), h.buffer(8)}
	*(*message)(unsafe.Pointer(&d.payload)) = message{
		stamp:         stamp{secs: 1_700_000_000, nanos: 5, counter: 3, node: h.text("node")},
		topic:         h.text("a/b"),
		contentType:   optional{some: 1, content: h.text("text/plain")},
		payload:       h.buffer(7),
		properties:    l,
		hasSchema:     1,
		schemaTag:     schemaInline,
		schemaName:    h.text("schema"),
		schemaContent: h.text("{}"),
	}
	return d
}

// read returns what the host makes of c.
func (h *host) read(c content) string {
	if c.tag == contentBuffer {
		return "buffer " + h.content[c.address]
	}
	return h.memory.text(c.list)
}

func TestMessageIsPassedOnUntouched(t *testing.T) {
	h, c := newHost(map[uint32]string{7: "payload", 8: "value"})
	in := c.Data(unsafe.Pointer(h.message()))
	r := (*resultData)(c.ResultData(in, nil))
	c.Close()

	if r.tag != resultOK || r.ok.tag != dataMessage {
		t.Fatalf("result is %d, data %d", r.tag, r.ok.tag)
	}
	m := (*message)(unsafe.Pointer(&r.ok.payload))
	properties := elements[property](h.memory, m.properties)
	got := []any{
		m.stamp.secs, m.stamp.nanos, m.stamp.counter, h.read(m.stamp.node), h.read(m.topic),
		m.contentType.some, h.read(m.contentType.content), h.read(m.payload), len(properties),
		h.read(properties[0].key), h.read(properties[0].value), h.read(properties[1].key), h.read(properties[1].value),
		m.hasSchema, m.schemaTag, h.read(m.schemaName), h.read(m.schemaContent),
	}
	want := []any{
		uint64(1_700_000_000), uint32(5), uint64(3), "node", "a/b",
		uint8(1), "text/plain", "buffer payload", 2,
		"k", "v", "lazy", "buffer value",
		uint8(1), uint8(schemaInline), "schema", "{}",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(h.reads) != 0 || len(h.drops) != 0 {
		t.Errorf("buffers read: %v, dropped: %v; want none", h.reads, h.drops)
	}
}

func TestMessageIsChanged(t *testing.T) {
	h, c := newHost(map[uint32]string{7: "payload", 8: "value"})
	in := c.Data(unsafe.Pointer(h.message())).(*sdk.Message)
	if got := in.Payload.String() + in.Payload.String(); got != "payloadpayload" {
		t.Errorf("payload twice = %q", got)
	}
	in.Topic = in.Payload          // once as a buffer ...
	in.Timestamp.Node = in.Payload // ... and once more as bytes
	in.Payload = sdk.Text("new")   //
	in.ContentType = sdk.Bytes{}   // absent
	in.Properties = nil            // buffer 8 is left behind
	in.Schema = &sdk.Schema{Reference: sdk.Text("aio-sr://x")}
	r := (*resultData)(c.ResultData(in, nil))
	c.Close()

	m := (*message)(unsafe.Pointer(&r.ok.payload))
	got := []any{h.read(m.stamp.node), h.read(m.topic), m.contentType.some, h.read(m.payload), m.properties.length, m.schemaTag, h.read(m.schemaName)}
	want := []any{"buffer payload", "payload", uint8(0), "new", uint32(0), uint8(schemaReference), "aio-sr://x"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if want := []uint32{7}; !reflect.DeepEqual(h.reads, want) {
		t.Errorf("buffers read: %v, want %v", h.reads, want)
	}
	if want := []uint32{8}; !reflect.DeepEqual(h.drops, want) {
		t.Errorf("buffers dropped: %v, want %v", h.drops, want)
	}
}

func TestSnapshotAndBytes(t *testing.T) {
	h, c := newHost(map[uint32]string{1: "frame"})
	in := &data{tag: dataSnapshot}
	*(*snapshot)(unsafe.Pointer(&in.payload)) = snapshot{
		stamp: stamp{secs: 1, node: h.text("n")}, format: h.text("rgb24"), width: 640, height: 480, frame: h.buffer(1),
	}
	s := c.Data(unsafe.Pointer(in)).(*sdk.Snapshot)
	if s.Format.String() != "rgb24" || s.Width != 640 || s.Height != 480 || s.Frame.String() != "frame" || s.Timestamp.Secs != 1 {
		t.Errorf("lifted %+v", s)
	}
	r := (*resultData)(c.ResultData(s, nil))
	out := (*snapshot)(unsafe.Pointer(&r.ok.payload))
	if r.ok.tag != dataSnapshot || out.width != 640 || out.height != 480 || h.read(out.frame) != "buffer frame" || h.read(out.format) != "rgb24" {
		t.Errorf("lowered %+v", out)
	}

	bare := &data{tag: dataBytes}
	*(*content)(unsafe.Pointer(&bare.payload)) = h.text("bare")
	b := c.Data(unsafe.Pointer(bare)).(sdk.Bytes)
	r = (*resultData)(c.ResultData(b, nil))
	if got := h.read(*(*content)(unsafe.Pointer(&r.ok.payload))); r.ok.tag != dataBytes || got != "bare" {
		t.Errorf("lowered bytes %q, tag %d", got, r.ok.tag)
	}
}

func TestArguments(t *testing.T) {
	h, c := newHost(map[uint32]string{7: "payload", 8: "value"})
	at := clock{secs: 9, nanos: 8, counter: 7, node: h.memory.lower([]byte("id"))}
	check := func(name string, ts sdk.Timestamp, d sdk.Data) {
		t.Helper()
		if ts.Secs != 9 || ts.Nanos != 8 || ts.Counter != 7 || ts.Node.String() != "id" {
			t.Errorf("%s: time %v", name, ts)
		}
		if m, ok := d.(*sdk.Message); !ok || m.Topic.String() != "a/b" {
			t.Errorf("%s: data %v", name, d)
		}
	}
	ts, d := c.Branch(unsafe.Pointer(&branchArguments{at, *h.message()}))
	check("branch", ts, d)
	d, ts = c.Delay(unsafe.Pointer(&delayArguments{*h.message(), at}))
	check("delay", ts, d)

	items, l := newElements[data](h.memory, 3)
	for i := range items {
		items[i] = *h.message()
	}
	staged, batch := c.Accumulate(unsafe.Pointer(&accumulateArguments{*h.message(), l}))
	if len(batch) != 3 || staged.(*sdk.Message).Topic.String() != "a/b" || batch[2].(*sdk.Message).Topic.String() != "a/b" {
		t.Errorf("accumulate: %v, %v", staged, batch)
	}

	parameters, p := newElements[parameter](h.memory, 1)
	parameters[0] = parameter{h.memory.lower([]byte("key")), h.memory.lower([]byte("value"))}
	schemas, s := newElements[moduleSchema](h.memory, 1)
	schemas[0] = moduleSchema{h.memory.lower([]byte("n")), h.memory.lower([]byte("t")), h.memory.lower([]byte("c"))}
	config := h.memory.Config(p.address, p.length, s.address, s.length)
	want := sdk.Config{Parameters: []sdk.Parameter{{Key: "key", Value: "value"}}, Schemas: []sdk.ModuleSchema{{Name: "n", ContentType: "t", Content: "c"}}}
	if !reflect.DeepEqual(config, want) {
		t.Errorf("config %v, want %v", config, want)
	}
}

func TestResults(t *testing.T) {
	h, c := newHost(map[uint32]string{1: "lazy id"})
	yes := *(*resultBool)(c.ResultBool(true, nil))
	no := *(*resultBool)(c.ResultBool(false, nil))
	if yes.tag != resultOK || yes.message.address&0xff != 1 || no.tag != resultOK || no.message.address&0xff != 0 {
		t.Errorf("true = %+v, false = %+v", yes, no)
	}
	refusal := (*resultBool)(c.ResultBool(true, errors.New("no\xff")))
	if refusal.tag != resultErr || h.memory.text(refusal.message) != "no\ufffd" {
		t.Errorf("refusal = %d %q", refusal.tag, h.memory.text(refusal.message))
	}
	wide := (*wideError)(c.ResultData(nil, errors.New("no data")))
	if wide.tag != resultErr || h.memory.text(wide.message) != "no data" {
		t.Errorf("error = %d %q", wide.tag, h.memory.text(wide.message))
	}

	node := h.buffer(1)
	lazy := sdk.Timestamp{Secs: 1, Nanos: 2, Counter: 3, Node: c.content(&node)}
	until := (*resultClock)(c.ResultTime(lazy, nil))
	if until.tag != resultOK || until.ok.secs != 1 || until.ok.nanos != 2 || until.ok.counter != 3 || h.memory.text(until.ok.node) != "lazy id" {
		t.Errorf("time = %+v", until)
	}
	// A clock's node id is text, so the buffer it came from was not passed on.
	if c.Close(); !reflect.DeepEqual(h.drops, []uint32{1}) {
		t.Errorf("dropped %v", h.drops)
	}
	wide = (*wideError)(c.ResultTime(lazy, errors.New("no time")))
	if wide.tag != resultErr || h.memory.text(wide.message) != "no time" {
		t.Errorf("error = %d %q", wide.tag, h.memory.text(wide.message))
	}
}

func TestResultsThatCannotBeLowered(t *testing.T) {
	earlier, stale := newHost(map[uint32]string{7: "payload", 8: "value"})
	kept := stale.Data(unsafe.Pointer(earlier.message())).(*sdk.Message)
	stale.Close()

	for _, tt := range []struct {
		name string
		give sdk.Data
		want string
	}{
		{"nothing", nil, "neither data nor an error"},
		{"nil message", (*sdk.Message)(nil), "neither data nor an error"},
		{"nil snapshot", (*sdk.Snapshot)(nil), "neither data nor an error"},
		{"kept", kept, "earlier call that was never read"},
		{"content type", &sdk.Message{ContentType: sdk.Raw([]byte{0xff})}, "content type is not valid UTF-8"},
		{"property", &sdk.Message{Properties: []sdk.Property{{Key: sdk.Raw([]byte{0xff})}}}, "user property is not valid UTF-8"},
		{"schema", &sdk.Message{Schema: &sdk.Schema{Name: sdk.Raw([]byte{0xff})}}, "schema is not valid UTF-8"},
		{"node id", &sdk.Message{Timestamp: sdk.Timestamp{Node: sdk.Raw([]byte{0xff})}}, "node id is not valid UTF-8"},
		{"format", &sdk.Snapshot{Format: sdk.Raw([]byte{0xff})}, "format is not valid UTF-8"},
	} {
		h, c := newHost(map[uint32]string{7: "payload", 8: "value"})
		in := c.Data(unsafe.Pointer(h.message())).(*sdk.Message)
		if m, ok := tt.give.(*sdk.Message); ok && m != nil && m != kept {
			m.Payload = in.Payload // would have gone with the result
		}
		r := (*wideError)(c.ResultData(tt.give, nil))
		c.Close()
		if got := h.memory.text(r.message); r.tag != resultErr || !strings.Contains(got, tt.want) {
			t.Errorf("%s: result %d %q, want %q", tt.name, r.tag, got, tt.want)
		}
		if len(h.drops) != 2 {
			t.Errorf("%s: dropped %v, want both buffers", tt.name, h.drops)
		}
	}
}

func TestContentOfAnEarlierCall(t *testing.T) {
	h, c := newHost(map[uint32]string{7: "payload", 8: "value"})
	m := c.Data(unsafe.Pointer(h.message())).(*sdk.Message)
	m.Payload.Bytes()
	c.Close()
	if got := m.Payload.String(); got != "payload" {
		t.Errorf("what was read in time is %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("what was not read in time was read later")
		}
	}()
	m.Properties[1].Value.Bytes()
}

func TestMemory(t *testing.T) {
	m := NewMemory(1 << 20)
	if a := m.Allocate(0); a == 0 {
		t.Error("an empty allocation is at 0")
	}
	used := map[uint32]bool{}
	for size := uint32(1); size < 3000; size += 37 {
		a := m.Allocate(size)
		if a%8 != 0 {
			t.Fatalf("%d bytes are at %d", size, a)
		}
		for i := a; i < a+size; i++ {
			if used[i] {
				t.Fatalf("%d bytes at %d overlap others", size, a)
			}
			used[i] = true
		}
		if size%5 == 0 {
			m.Release()
		}
	}
	old := m.lower([]byte("grown"))
	grown := m.Reallocate(old.address, old.length, 9)
	if got := m.text(list{grown, 9}); got != "grown\x00\x00\x00\x00" {
		t.Errorf("reallocated: %q", got)
	}
}

func TestImports(t *testing.T) {
	m := NewMemory(1 << 16)
	text := m.lower([]byte("words"))

	if err := m.metricsError(&metricsResult{tag: resultOK}); err != nil {
		t.Errorf("metrics: %v", err)
	}
	var refusal *sdk.MetricsError
	if err := m.metricsError(&metricsResult{tag: resultErr, kind: metricsIncompatible, text: text}); !errors.As(err, &refusal) || !refusal.Incompatible || refusal.Text != "words" {
		t.Errorf("metrics: %v", err)
	}
	if err := m.metricsError(&metricsResult{tag: resultErr, kind: metricsLock, text: text}); !errors.As(err, &refusal) || refusal.Incompatible {
		t.Errorf("metrics: %v", err)
	}

	version := optionalClock{some: 1, clock: clock{secs: 4, node: text}}
	e, err := m.entry(&getResult{found: 1, value: text, version: version})
	if err != nil || !e.Found || string(e.Value) != "words" || e.Version.Secs != 4 || e.Version.Node.String() != "words" {
		t.Errorf("get: %+v, %v", e, err)
	}
	if e, err = m.entry(&getResult{value: text}); err != nil || e.Found || e.Value != nil || e.Version != nil {
		t.Errorf("get of nothing: %+v, %v", e, err)
	}
	if s, err := m.setResult(&setResult{applied: 1, version: version}); err != nil || !s.Applied || s.Version.Secs != 4 {
		t.Errorf("set: %+v, %v", s, err)
	}
	if d, err := m.deleteResult(&deleteResult{removed: -1}); err != nil || d.Removed != -1 || d.Version != nil {
		t.Errorf("del: %+v, %v", d, err)
	}

	var request *sdk.RequestError
	for _, tt := range []struct {
		kind uint8
		is   func(error) bool
	}{
		{storeRequest, func(err error) bool { return errors.As(err, &request) && request.Text == "words" }},
		{storeTimeout, func(err error) bool { return errors.Is(err, sdk.ErrTimeout) }},
		{storeProtocol, func(err error) bool { return errors.Is(err, sdk.ErrProtocol) }},
		{storeInternal, func(err error) bool { return errors.Is(err, sdk.ErrInternal) }},
	} {
		var r getResult
		*(*storeError)(unsafe.Pointer(&r)) = storeError{tag: resultErr, kind: tt.kind, text: text}
		if _, err := m.entry(&r); !tt.is(err) {
			t.Errorf("state store error %d: %v", tt.kind, err)
		}
	}
	texts, labels := m.borrowLabels([]sdk.Label{{Key: "k", Value: "v\xff"}})
	if len(texts) != 2 || len(labels) != 1 || m.text(labels[0].key) != "k" || m.text(labels[0].value) != "v\ufffd" {
		t.Errorf("labels: %v, %v", texts, labels)
	}
	token := &sdk.Timestamp{Secs: 1, Nanos: 2, Counter: 3, Node: sdk.Text("n")}
	_, a := m.setArguments([]byte("key"), []byte("value"), sdk.SetOptions{
		Condition: sdk.IfAbsent, Expires: 1500 * time.Millisecond, Fencing: token, Timeout: time.Minute,
	})
	if m.text(a.key) != "key" || m.text(a.value) != "value" || a.condition != onlyIfDoesNotExist ||
		a.expires != (optionalDuration{some: 1, duration: duration{seconds: 1, nanos: 500_000_000}}) ||
		a.timeout != (optionalDuration{some: 1, duration: duration{seconds: 60}}) ||
		a.fencing.some != 1 || a.fencing.secs != 1 || a.fencing.nanos != 2 || a.fencing.counter != 3 || m.text(a.fencing.node) != "n" {
		t.Errorf("set arguments: %+v", a)
	}
	if _, a = m.setArguments(nil, nil, sdk.SetOptions{}); a.condition != unconditional || a.fencing.some+a.timeout.some+a.expires.some != 0 {
		t.Errorf("set arguments by default: %+v", a)
	}

	for c, want := range map[sdk.Condition]uint8{
		sdk.Always: unconditional, sdk.IfAbsent: onlyIfDoesNotExist, sdk.IfAbsentOrEqual: onlyIfEqualOrDoesNotExist,
	} {
		if got := lowerCondition(c); got != want {
			t.Errorf("condition %d is lowered to %d, want %d", c, got, want)
		}
	}
}
