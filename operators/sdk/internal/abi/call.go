// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"errors"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// Buffers are the functions of the resource types.buffer.
type Buffers interface {
	// Read returns a buffer's bytes, in memory that the host allocated.
	Read(handle uint32) []byte
	// Drop gives a buffer back.
	Drop(handle uint32)
}

// Call is one call from the host: it owns the buffers that came with it.
type Call struct {
	memory  *Memory
	host    Buffers
	buffers []*buffer
	fault   string // why the result can't be lowered; empty: it can
}

// NewCall begins a call.
func NewCall(m *Memory, host Buffers) *Call { return &Call{memory: m, host: host} }

// Close gives back every buffer that no result took along. What an operator keeps of
// them it must have read.
func (c *Call) Close() {
	for _, b := range c.buffers {
		if !b.passed {
			c.host.Drop(b.handle)
		}
		b.call = nil
	}
}

// buffer is a buffer of the host.
type buffer struct {
	call   *Call // nil once the call is over
	handle uint32
	passed bool   // in the result, which owns it
	data   []byte // not nil once read
}

func (b *buffer) Read() []byte {
	if b.data == nil {
		if b.call == nil {
			panic("sdk: content was read for the first time after the call that brought it had returned")
		}
		b.data = b.call.host.Read(b.handle)
	}
	return b.data
}

// ---- lift: from the host

func (c *Call) content(v *content) sdk.Bytes {
	if v.tag == contentBuffer {
		b := &buffer{call: c, handle: v.address}
		c.buffers = append(c.buffers, b)
		return sdk.Lazy(b)
	}
	return sdk.Raw(c.memory.bytes(v.list))
}

func (c *Call) stamp(v *stamp) sdk.Timestamp {
	return sdk.Timestamp{Secs: v.secs, Nanos: v.nanos, Counter: v.counter, Node: c.content(&v.node)}
}

// clock lifts a hybrid-logical-clock.
func (m *Memory) clock(v *clock) sdk.Timestamp {
	return sdk.Timestamp{Secs: v.secs, Nanos: v.nanos, Counter: v.counter, Node: sdk.Raw(m.bytes(v.node))}
}

func (c *Call) data(v *data) sdk.Data {
	switch payload := unsafe.Pointer(&v.payload); v.tag {
	case dataMessage:
		return c.message((*message)(payload))
	case dataSnapshot:
		return c.snapshot((*snapshot)(payload))
	default:
		return c.content((*content)(payload))
	}
}

func (c *Call) message(v *message) *sdk.Message {
	m := &sdk.Message{
		Timestamp: c.stamp(&v.stamp),
		Topic:     c.content(&v.topic),
		Payload:   c.content(&v.payload),
	}
	if v.contentType.some != 0 {
		m.ContentType = c.content(&v.contentType.content)
	}
	if properties := elements[property](c.memory, v.properties); len(properties) > 0 {
		m.Properties = make([]sdk.Property, len(properties))
		for i := range properties {
			m.Properties[i] = sdk.Property{Key: c.content(&properties[i].key), Value: c.content(&properties[i].value)}
		}
	}
	if v.hasSchema != 0 {
		if v.schemaTag == schemaReference {
			m.Schema = &sdk.Schema{Reference: c.content(&v.schemaName)}
		} else {
			m.Schema = &sdk.Schema{Name: c.content(&v.schemaName), Content: c.content(&v.schemaContent)}
		}
	}
	return m
}

func (c *Call) snapshot(v *snapshot) *sdk.Snapshot {
	return &sdk.Snapshot{
		Timestamp: c.stamp(&v.stamp),
		Format:    c.content(&v.format),
		Width:     v.width,
		Height:    v.height,
		Frame:     c.content(&v.frame),
	}
}

// Data lifts the argument of map.process and filter.process.
func (c *Call) Data(arguments unsafe.Pointer) sdk.Data { return c.data((*data)(arguments)) }

// Branch lifts the arguments of branch.process.
func (c *Call) Branch(arguments unsafe.Pointer) (sdk.Timestamp, sdk.Data) {
	a := (*branchArguments)(arguments)
	return c.memory.clock(&a.at), c.data(&a.in)
}

// Delay lifts the arguments of delay.process.
func (c *Call) Delay(arguments unsafe.Pointer) (sdk.Data, sdk.Timestamp) {
	a := (*delayArguments)(arguments)
	return c.data(&a.in), c.memory.clock(&a.at)
}

// Accumulate lifts the arguments of accumulate.process.
func (c *Call) Accumulate(arguments unsafe.Pointer) (staged sdk.Data, batch []sdk.Data) {
	a := (*accumulateArguments)(arguments)
	items := elements[data](c.memory, a.in)
	batch = make([]sdk.Data, len(items))
	for i := range items {
		batch[i] = c.data(&items[i])
	}
	return c.data(&a.staged), batch
}

// Config lifts the argument of init: the addresses and lengths of its two lists.
func (m *Memory) Config(properties, numProperties, schemas, numSchemas uint32) sdk.Config {
	var config sdk.Config
	for _, p := range elements[parameter](m, list{properties, numProperties}) {
		config.Parameters = append(config.Parameters, sdk.Parameter{Key: m.text(p.key), Value: m.text(p.value)})
	}
	for _, s := range elements[moduleSchema](m, list{schemas, numSchemas}) {
		config.Schemas = append(config.Schemas, sdk.ModuleSchema{
			Name: m.text(s.name), ContentType: m.text(s.contentType), Content: m.text(s.content),
		})
	}
	return config
}

// ---- lower: to the host

func (c *Call) lower(v *content, b sdk.Bytes) {
	// A handle goes out once. Where the same content is in a result twice, the
	// second time it is bytes.
	if h, ok := b.Buffer().(*buffer); ok && h.call == c && !h.passed {
		h.passed = true
		*v = content{tag: contentBuffer, list: list{address: h.handle}}
		return
	}
	*v = content{tag: contentBytes, list: c.memory.lower(c.read(b))}
}

// read returns the bytes of b.
func (c *Call) read(b sdk.Bytes) []byte {
	if h, ok := b.Buffer().(*buffer); ok && h.call == nil && h.data == nil {
		c.fault = "the result holds content of an earlier call that was never read"
		return nil
	}
	return b.Bytes()
}

// lowerText lowers b, which has to be text.
func (c *Call) lowerText(v *content, b sdk.Bytes, what string) {
	c.lower(v, b)
	if v.tag == contentBytes && !utf8.Valid(c.memory.bytes(v.list)) {
		c.fault = "the result's " + what + " is not valid UTF-8"
	}
}

func (c *Call) lowerStamp(v *stamp, t *sdk.Timestamp) {
	v.secs, v.nanos, v.counter = t.Secs, t.Nanos, t.Counter
	c.lowerText(&v.node, t.Node, "node id")
}

// lowerClock lowers t, whose node id is node, to a hybrid-logical-clock.
func (m *Memory) lowerClock(v *clock, t *sdk.Timestamp, node []byte) {
	*v = clock{secs: t.Secs, nanos: t.Nanos, counter: t.Counter, node: m.lower(node)}
}

func (c *Call) lowerData(v *data, d sdk.Data) {
	payload := unsafe.Pointer(&v.payload)
	switch d := d.(type) {
	case *sdk.Message:
		if d != nil {
			v.tag = dataMessage
			c.lowerMessage((*message)(payload), d)
			return
		}
	case *sdk.Snapshot:
		if d != nil {
			v.tag = dataSnapshot
			c.lowerSnapshot((*snapshot)(payload), d)
			return
		}
	case sdk.Bytes:
		v.tag = dataBytes
		c.lower((*content)(payload), d)
		return
	}
	c.fault = "the operator returned neither data nor an error"
}

func (c *Call) lowerMessage(v *message, m *sdk.Message) {
	c.lowerStamp(&v.stamp, &m.Timestamp)
	c.lower(&v.topic, m.Topic)
	v.contentType.some = 0
	if !m.ContentType.IsZero() {
		v.contentType.some = 1
		c.lowerText(&v.contentType.content, m.ContentType, "content type")
	}
	c.lower(&v.payload, m.Payload)
	var properties []property
	properties, v.properties = newElements[property](c.memory, len(m.Properties))
	for i := range properties {
		c.lowerText(&properties[i].key, m.Properties[i].Key, "user property")
		c.lowerText(&properties[i].value, m.Properties[i].Value, "user property")
	}
	v.hasSchema = 0
	if s := m.Schema; s != nil {
		v.hasSchema = 1
		if s.Reference.IsZero() {
			v.schemaTag = schemaInline
			c.lowerText(&v.schemaName, s.Name, "schema")
			c.lowerText(&v.schemaContent, s.Content, "schema")
		} else {
			v.schemaTag = schemaReference
			c.lowerText(&v.schemaName, s.Reference, "schema")
		}
	}
}

func (c *Call) lowerSnapshot(v *snapshot, s *sdk.Snapshot) {
	c.lowerStamp(&v.stamp, &s.Timestamp)
	c.lowerText(&v.format, s.Format, "format")
	v.width, v.height = s.Width, s.Height
	c.lower(&v.frame, s.Frame)
}

// area is where results are. A component runs one call at a time and the host has
// read the result before it begins the next, so there is one of each.
type area struct {
	data  resultData
	clock resultClock
	yes   resultBool
}

// ResultData lowers what map.process and accumulate.process return. A result that
// can't be lowered is an error.
func (c *Call) ResultData(d sdk.Data, err error) unsafe.Pointer {
	r := &c.memory.area.data
	if err == nil {
		r.tag = resultOK
		c.lowerData(&r.ok, d)
		err = c.check()
	}
	if err != nil {
		*(*wideError)(unsafe.Pointer(r)) = wideError{tag: resultErr, message: c.memory.lowerMessageOf(err)}
	}
	return unsafe.Pointer(r)
}

// ResultBool lowers what filter.process and branch.process return.
func (c *Call) ResultBool(yes bool, err error) unsafe.Pointer {
	r := &c.memory.area.yes
	*r = resultBool{tag: resultOK}
	if err != nil {
		*r = resultBool{tag: resultErr, message: c.memory.lowerMessageOf(err)}
	} else if yes {
		*(*bool)(unsafe.Pointer(&r.message)) = true
	}
	return unsafe.Pointer(r)
}

// ResultTime lowers what delay.process returns. A result that can't be lowered is an
// error.
func (c *Call) ResultTime(t sdk.Timestamp, err error) unsafe.Pointer {
	r := &c.memory.area.clock
	if err == nil {
		r.tag = resultOK
		node := c.read(t.Node)
		if !utf8.Valid(node) {
			c.fault = "the result's node id is not valid UTF-8"
		}
		c.memory.lowerClock(&r.ok, &t, node)
		err = c.check()
	}
	if err != nil {
		*(*wideError)(unsafe.Pointer(r)) = wideError{tag: resultErr, message: c.memory.lowerMessageOf(err)}
	}
	return unsafe.Pointer(r)
}

// check returns what prevented the result from being lowered. If something did, the
// call keeps its buffers.
func (c *Call) check() error {
	if c.fault == "" {
		return nil
	}
	for _, b := range c.buffers {
		b.passed = false
	}
	return errors.New("sdk: " + c.fault)
}

func (m *Memory) lowerMessageOf(err error) list {
	return m.lower([]byte(strings.ToValidUTF8(err.Error(), "\uFFFD")))
}
