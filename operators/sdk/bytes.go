// SPDX-License-Identifier: Apache-2.0

package sdk

// Bytes are bytes or text that may still be with the host. They cross over when
// they are first asked for, so an operator that passes a payload on, without looking
// at it, does not pay for its size.
//
// Bytes are immutable: what Bytes returns must not be written to. To change a
// message, assign new Bytes to its field. The zero Bytes are empty and, where
// something is optional, absent.
type Bytes struct {
	data   []byte
	buffer Buffer // where not nil, data is unused
}

// Buffer is content that is read when it is wanted. Read returns the same bytes
// whenever it is called.
type Buffer interface {
	Read() []byte
}

// Raw returns b as Bytes. It does not copy: b must not be written to any more.
func Raw(b []byte) Bytes {
	if b == nil {
		b = []byte{}
	}
	return Bytes{data: b}
}

// Text returns s as Bytes.
func Text(s string) Bytes { return Raw([]byte(s)) }

// Lazy returns Bytes whose content is that of buffer.
func Lazy(buffer Buffer) Bytes { return Bytes{buffer: buffer} }

// Bytes returns the content, which must not be written to. Content that the host
// holds has to be read, once, before the call that brought it returns; later
// attempts panic.
func (b Bytes) Bytes() []byte {
	if b.buffer != nil {
		return b.buffer.Read()
	}
	return b.data
}

// String returns the content as text. See Bytes.
func (b Bytes) String() string { return string(b.Bytes()) }

// Buffer returns the buffer behind the content, or nil where the operator holds it.
func (b Bytes) Buffer() Buffer { return b.buffer }

// IsZero reports whether b is absent: neither bytes nor a buffer, not even empty ones.
func (b Bytes) IsZero() bool { return b.buffer == nil && b.data == nil }

func (Bytes) isData() {}
