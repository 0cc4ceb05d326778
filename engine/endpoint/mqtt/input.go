// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"io"
)

// A read buffer begins small, for there may be thousands of connections that nothing
// much comes on, and grows where reads fill it.
const (
	firstInput = 1 << 10
	mostInput  = 64 << 10
)

// input is a buffered reader that packets are taken out of in place.
type input struct {
	from       io.Reader
	buf        []byte
	start, end int // of what was read and not taken
}

// buffered returns what was read and not taken, valid until the next call of another
// method.
func (i *input) buffered() []byte { return i.buf[i.start:i.end] }

// Read takes bytes out, and reads if there are none.
func (i *input) Read(p []byte) (int, error) {
	if i.start == i.end {
		if err := i.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, i.buffered())
	i.start += n
	return n, nil
}

// fill reads until n bytes, of mostInput at most, are buffered.
func (i *input) fill(n int) error {
	for i.end-i.start < n {
		if i.start > 0 {
			i.end = copy(i.buf, i.buffered())
			i.start = 0
		}
		if i.end == len(i.buf) {
			buf := make([]byte, min(max(firstInput, 4*len(i.buf)), mostInput))
			copy(buf, i.buf)
			i.buf = buf
		}
		read, err := i.from.Read(i.buf[i.end:])
		i.end += read
		if err != nil && i.end-i.start < n {
			return err
		}
	}
	return nil
}

// next takes a packet out, and returns the length bytes of it that follow header ones.
// They are valid until the next call of any method.
func (i *input) next(header, length int) ([]byte, error) {
	if size := header + length; size <= mostInput {
		if err := i.fill(size); err != nil {
			return nil, err
		}
		body := i.buf[i.start+header : i.start+size]
		i.start += size
		return body, nil
	}
	// Memory is made as the bytes come, not as they are announced.
	i.start += header
	var large bytes.Buffer
	if _, err := io.CopyN(&large, i, int64(length)); err != nil {
		return nil, err
	}
	return large.Bytes(), nil
}
