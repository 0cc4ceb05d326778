// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// The codecs of the five process functions, shaped by hand because every message
// passes one. They write and read the bytes that the Canonical ABI gives to the
// types of wasm-graph:processor@1.1.0 (a test compares them with what the generic
// codec does), so all offsets below follow from the WIT:
//
//	buffer-or-bytes, -string   case u8 @0, handle u32 @4 or pointer @4 length @8    12 bytes
//	timespec                   secs u64 @0, nanos u32 @8                           16
//	hybrid-logical-clock       timespec @0, counter u64 @16, node-id string @24     32
//	timestamp                  timespec @0, counter u64 @16, node-id @24            40
//	message                    timestamp @0, topic @40, content-type option @52,
//	                           payload @68, user-properties list @80, schema @88   120
//	snapshot                   timestamp @0, format @40, width u32 @52,
//	                           height u32 @56, frame @60                            72
//	data-model                 case u8 @0, payload @8                              128
const (
	bufferSize    = 12
	clockSize     = 32
	dataModelSize = 128
	propertySize  = 2 * bufferSize
)

// The cases of data-model, and of buffer-or-bytes.
const (
	caseRaw = iota
	caseMessage
	caseSnapshot
)

const (
	caseBuffer = iota
	caseBytes
)

var le = binary.LittleEndian

// buffer is the host's side of the buffer resource: bytes that a guest need not
// copy into its memory unless it reads them.
type buffer struct{ data []byte }

// codec lowers messages into a guest and lifts them out of it. It belongs to one
// instance.
type codec struct {
	// resource is the number of the buffer resource, -1 where the component does
	// not import it: everything is passed as bytes then.
	resource int
	// border is the payload size from which on it is passed as a buffer.
	border int
	// slab is room for the next results. They are made a few at once; one that is kept for
	// long keeps the others.
	slab []message.Message
}

const slabSize = 4

// expectMessage announces the allocations that lowerMessage will make, in its order.
func (c *codec) expectMessage(f *abi.Frame, m *message.Message) {
	switch m.Kind {
	case message.Raw:
		c.expectPayload(f, m.Payload)
		return
	case message.Snapshot:
		f.ExpectString(m.Time.Node)
		f.ExpectString(m.Format)
		c.expectPayload(f, m.Payload)
		return
	}
	f.ExpectString(m.Time.Node)
	f.Expect(1, uint64(len(m.Topic)))
	if m.ContentType != "" {
		f.ExpectString(m.ContentType)
	}
	c.expectPayload(f, m.Payload)
	f.Expect(4, uint64(len(m.Properties))*propertySize)
	for _, p := range m.Properties {
		f.ExpectString(p.Key)
		f.ExpectString(p.Value)
	}
	switch s := m.Schema; {
	case s == nil:
	case s.Reference != "":
		f.ExpectString(s.Reference)
	default:
		f.ExpectString(s.Name)
		f.ExpectString(s.Content)
	}
}

func (c *codec) expectPayload(f *abi.Frame, b []byte) {
	if !c.asBuffer(b) {
		f.Expect(1, uint64(len(b)))
	}
}

// asBuffer tells whether a payload is passed as a handle.
func (c *codec) asBuffer(b []byte) bool { return len(b) >= c.border && c.resource >= 0 }

// lowerMessage stores m as a data-model at ptr, which is checked to be good for
// dataModelSize bytes.
func (c *codec) lowerMessage(f *abi.Frame, m *message.Message, ptr uint32) error {
	switch m.Kind {
	case message.Raw:
		f.Memory()[ptr] = caseRaw
		return c.lowerPayload(f, m.Payload, ptr+8)
	case message.Snapshot:
		f.Memory()[ptr] = caseSnapshot
		if err := c.lowerTimestamp(f, m.Time, ptr+8); err != nil {
			return err
		}
		if err := lowerString(f, m.Format, ptr+48); err != nil {
			return err
		}
		x := f.Memory()[ptr+60 : ptr+68]
		le.PutUint32(x, m.Width)
		le.PutUint32(x[4:], m.Height)
		return c.lowerPayload(f, m.Payload, ptr+68)
	}
	f.Memory()[ptr] = caseMessage
	if err := c.lowerTimestamp(f, m.Time, ptr+8); err != nil {
		return err
	}
	if err := lowerBytes(f, m.Topic, ptr+48); err != nil {
		return err
	}
	f.Memory()[ptr+60] = 0
	if m.ContentType != "" {
		f.Memory()[ptr+60] = 1
		if err := lowerString(f, m.ContentType, ptr+64); err != nil {
			return err
		}
	}
	if err := c.lowerPayload(f, m.Payload, ptr+76); err != nil {
		return err
	}
	if err := c.lowerProperties(f, m.Properties, ptr+88); err != nil {
		return err
	}
	return c.lowerSchema(f, m.Schema, ptr+96)
}

func (c *codec) lowerTimestamp(f *abi.Frame, t hlc.Timestamp, ptr uint32) error {
	putTime(f.Memory()[ptr:ptr+24], t)
	return lowerString(f, t.Node, ptr+24)
}

// putTime stores a timespec and a counter.
func putTime(b []byte, t hlc.Timestamp) {
	secs, ms := t.Millis/1000, t.Millis%1000
	le.PutUint64(b, uint64(secs))
	le.PutUint32(b[8:], uint32(ms)*1e6+t.SubMillis)
	le.PutUint64(b[16:], t.Counter)
}

// lowerBytes stores s as a buffer-or-bytes in its bytes case, lowerString as a
// buffer-or-string in its string case.
func lowerBytes[T string | []byte](f *abi.Frame, s T, ptr uint32) error {
	at, err := f.Realloc(1, uint64(len(s)))
	if err != nil {
		return err
	}
	copy(f.Memory()[at:], s)
	putBytes(f, ptr, at, uint32(len(s)))
	return nil
}

func lowerString(f *abi.Frame, s string, ptr uint32) error {
	at, n, err := f.LowerString(s)
	if err != nil {
		return fmt.Errorf("string %.40q: %w", s, err)
	}
	putBytes(f, ptr, at, n)
	return nil
}

func putBytes(f *abi.Frame, ptr, at, n uint32) {
	x := f.Memory()[ptr : ptr+bufferSize]
	x[0] = caseBytes
	le.PutUint32(x[4:], at)
	le.PutUint32(x[8:], n)
}

func (c *codec) lowerPayload(f *abi.Frame, b []byte, ptr uint32) error {
	if !c.asBuffer(b) {
		return lowerBytes(f, b, ptr)
	}
	h, err := f.LowerOwn(c.resource, &buffer{b})
	if err != nil {
		return err
	}
	x := f.Memory()[ptr : ptr+bufferSize]
	x[0] = caseBuffer
	le.PutUint32(x[4:], h)
	return nil
}

func (c *codec) lowerProperties(f *abi.Frame, props []message.Property, ptr uint32) error {
	at, err := f.Realloc(4, uint64(len(props))*propertySize)
	if err != nil {
		return err
	}
	x := f.Memory()[ptr : ptr+8]
	le.PutUint32(x, at)
	le.PutUint32(x[4:], uint32(len(props)))
	for _, p := range props {
		if err := lowerString(f, p.Key, at); err != nil {
			return err
		}
		if err := lowerString(f, p.Value, at+bufferSize); err != nil {
			return err
		}
		at += propertySize
	}
	return nil
}

func (c *codec) lowerSchema(f *abi.Frame, s *message.Schema, ptr uint32) error {
	m := f.Memory()
	if s == nil {
		m[ptr] = 0
		return nil
	}
	m[ptr] = 1
	if s.Reference != "" {
		m[ptr+4] = 0
		return lowerString(f, s.Reference, ptr+8)
	}
	m[ptr+4] = 1
	if err := lowerString(f, s.Name, ptr+8); err != nil {
		return err
	}
	return lowerString(f, s.Content, ptr+20)
}

// liftMessage reads the data-model at ptr, which is checked to be good for
// dataModelSize bytes. What it returns shares nothing with the guest, and with like, which
// was lowered in this call, strings and properties that are equal.
func (c *codec) liftMessage(f *abi.Frame, ptr uint32, like *message.Message) (m *message.Message, err error) {
	x := f.Memory()[ptr : ptr+dataModelSize]
	m = c.newMessage()
	if like.Kind != message.Data {
		like = &message.Message{} // not all that it says was lowered
	}
	switch x[0] {
	case caseRaw:
		m.Kind = message.Raw
		m.Payload, err = c.liftBytes(f, x[8:])
		return m, err
	case caseSnapshot:
		m.Kind = message.Snapshot
		if m.Time, err = c.liftTimestamp(f, x[8:], like.Time.Node); err != nil {
			return nil, err
		}
		if m.Format, err = c.liftString(f, x[48:], ""); err != nil {
			return nil, err
		}
		m.Width, m.Height = le.Uint32(x[60:]), le.Uint32(x[64:])
		m.Payload, err = c.liftBytes(f, x[68:])
		return m, err
	case caseMessage:
	default:
		return nil, fmt.Errorf("invalid data-model discriminant %d, want less than 3", x[0])
	}
	if m.Time, err = c.liftTimestamp(f, x[8:], like.Time.Node); err != nil {
		return nil, err
	}
	topic, err := c.viewBytes(f, x[48:])
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(topic) {
		return nil, fmt.Errorf("topic %.40q is not valid UTF-8", topic)
	}
	if m.Topic = like.Topic; string(topic) != m.Topic {
		m.Topic = f.Text(topic)
	}
	switch x[60] {
	case 0:
	case 1:
		if m.ContentType, err = c.liftString(f, x[64:], like.ContentType); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("invalid option discriminant %d", x[60])
	}
	if m.Payload, err = c.liftBytes(f, x[76:]); err != nil {
		return nil, err
	}
	if m.Properties, err = c.liftProperties(f, le.Uint32(x[88:]), le.Uint32(x[92:]), like.Properties); err != nil {
		return nil, err
	}
	m.Schema, err = c.liftSchema(f, x[96:])
	return m, err
}

// newMessage returns room for a message.
func (c *codec) newMessage() *message.Message {
	if len(c.slab) == 0 {
		c.slab = make([]message.Message, slabSize)
	}
	m := &c.slab[0]
	c.slab = c.slab[1:]
	return m
}

func (c *codec) liftTimestamp(f *abi.Frame, x []byte, node string) (hlc.Timestamp, error) {
	t, err := getTime(x)
	if err != nil {
		return t, err
	}
	t.Node, err = c.liftString(f, x[24:], node)
	return t, err
}

// maxSecs keeps a time's milliseconds within an int64.
const maxSecs = 1<<63/1000 - 1

// getTime reads a timespec and a counter.
func getTime(x []byte) (hlc.Timestamp, error) {
	secs, nanos := le.Uint64(x), le.Uint32(x[8:])
	if secs > maxSecs || nanos >= 1e9 {
		return hlc.Timestamp{}, fmt.Errorf("time of %d s and %d ns is out of range", secs, nanos)
	}
	return hlc.Timestamp{
		Millis:    int64(secs)*1000 + int64(nanos/1e6),
		SubMillis: nanos % 1e6,
		Counter:   le.Uint64(x[16:]),
	}, nil
}

// viewBytes returns the bytes of a buffer-or-bytes. They may be the guest's, good
// until it runs again; those of a buffer are the host's own.
func (c *codec) viewBytes(f *abi.Frame, x []byte) ([]byte, error) {
	b, _, err := c.resolve(f, x)
	return b, err
}

// ownPayload is from which size on a payload gets memory of its own: a smaller one
// shares an allocation with the text of its message.
const ownPayload = 1 << 10

// liftBytes is viewBytes with a copy where the bytes are the guest's.
func (c *codec) liftBytes(f *abi.Frame, x []byte) ([]byte, error) {
	b, guests, err := c.resolve(f, x)
	switch {
	case !guests || len(b) == 0:
	case len(b) < ownPayload:
		b = f.Copy(b)
	default:
		b = append(make([]byte, 0, len(b)), b...)
	}
	return b, err
}

// liftString reads a buffer-or-string, which is likely to be like.
func (c *codec) liftString(f *abi.Frame, x []byte, like string) (string, error) {
	if x[0] == caseBytes {
		return f.LiftStringAs(le.Uint32(x[4:]), le.Uint32(x[8:]), like)
	}
	b, err := c.viewBytes(f, x)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("string %.40q is not valid UTF-8", b)
	}
	return f.Text(b), nil
}

func (c *codec) resolve(f *abi.Frame, x []byte) (b []byte, guests bool, err error) {
	switch x[0] {
	case caseBuffer:
		if c.resource < 0 {
			return nil, false, fmt.Errorf("buffer handle %d from a component that does not import buffers", le.Uint32(x[4:]))
		}
		o, err := f.LiftOwn(c.resource, le.Uint32(x[4:]))
		if err != nil {
			return nil, false, err
		}
		return o.(*buffer).data, false, nil
	case caseBytes:
		b, err = f.View(le.Uint32(x[4:]), 1, uint64(le.Uint32(x[8:])))
		return b, true, err
	}
	return nil, false, fmt.Errorf("invalid buffer discriminant %d, want less than 2", x[0])
}

// liftProperties reads n properties. Most operators leave all of like, those that they were
// given, or most, as and where they are.
func (c *codec) liftProperties(f *abi.Frame, ptr, n uint32, like []message.Property) ([]message.Property, error) {
	if n == 0 {
		return nil, nil
	}
	list, err := f.View(ptr, 4, uint64(n)*propertySize)
	if err != nil {
		return nil, fmt.Errorf("user properties: %w", err)
	}
	if int(n) == len(like) && sameProperties(f, list, like) {
		return slices.Clip(like), nil
	}
	props := make([]message.Property, n)
	for i := range props {
		var as message.Property
		if i < len(like) {
			as = like[i]
		}
		if props[i].Key, err = c.liftString(f, list, as.Key); err != nil {
			return nil, err
		}
		if props[i].Value, err = c.liftString(f, list[bufferSize:], as.Value); err != nil {
			return nil, err
		}
		list = list[propertySize:]
	}
	return props, nil
}

// sameProperties reports whether list, as many properties as like, is like.
func sameProperties(f *abi.Frame, list []byte, like []message.Property) bool {
	same := func(x []byte, s string) bool {
		return x[0] == caseBytes && f.IsString(le.Uint32(x[4:]), le.Uint32(x[8:]), s)
	}
	for _, p := range like {
		if !same(list, p.Key) || !same(list[bufferSize:], p.Value) {
			return false
		}
		list = list[propertySize:]
	}
	return true
}

func (c *codec) liftSchema(f *abi.Frame, x []byte) (*message.Schema, error) {
	switch {
	case x[0] == 0:
		return nil, nil
	case x[0] != 1 || x[4] > 1:
		return nil, fmt.Errorf("invalid schema discriminant %d.%d", x[0], x[4])
	}
	s := &message.Schema{}
	var err error
	if x[4] == 0 {
		s.Reference, err = c.liftString(f, x[8:], "")
		return s, err
	}
	if s.Name, err = c.liftString(f, x[8:], ""); err != nil {
		return nil, err
	}
	s.Content, err = c.liftString(f, x[20:], "")
	return s, err
}

// lowerClock stores t as a hybrid-logical-clock at ptr.
func lowerClock(f *abi.Frame, t hlc.Timestamp, ptr uint32) error {
	putTime(f.Memory()[ptr:ptr+24], t)
	at, n, err := f.LowerString(t.Node)
	if err != nil {
		return err
	}
	x := f.Memory()[ptr+24 : ptr+clockSize]
	le.PutUint32(x, at)
	le.PutUint32(x[4:], n)
	return nil
}

// liftClock reads a hybrid-logical-clock.
func liftClock(f *abi.Frame, x []byte) (hlc.Timestamp, error) {
	t, err := getTime(x)
	if err != nil {
		return t, err
	}
	t.Node, err = f.LiftString(le.Uint32(x[24:]), le.Uint32(x[28:]))
	return t, err
}
