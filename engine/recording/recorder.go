// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/window"
)

// magic is how a recording begins; the last byte is the version of the format.
const magic = "\x89GREC\r\n\x01"

// The kinds of frames.
const (
	headerFrame   = 1
	messageFrame  = 2
	frontierFrame = 3
	endFrame      = 4
)

// frameHead is the length of what stands before a body.
const frameHead = 8

// MaxFrame is the length in bytes of the longest body.
const MaxFrame = 256 << 20

// frontierEvery is how long the frontier may move on before that is written down,
// while no message comes.
const frontierEvery = time.Second

// Header says what a recording is of.
type Header struct {
	Began   time.Time
	Of      string   // what was recorded, for people
	Sources []string // names of the sources, by the place that moments refer to
}

// Recorder writes a recording. Used by one goroutine. After an error it writes
// nothing more, and returns that error again.
type Recorder struct {
	to       io.Writer
	last     time.Time     // of the last frame
	frontier progress.Time // as written down
	written  time.Time     // when that was
	ahead    progress.Time // the frontier, and since when
	since    time.Time
	messages uint64
	frame    []byte
	err      error
}

// NewRecorder writes a recording to w: one Write for each frame. w is the caller's to
// close, after Close.
func NewRecorder(w io.Writer, h Header) (*Recorder, error) {
	r := &Recorder{to: w, last: h.Began, frontier: progress.Beginning, ahead: progress.Beginning, written: h.Began}
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, fmt.Errorf("recording: write: %w", err)
	}
	r.write(func(b []byte) []byte {
		b = binary.AppendVarint(append(b, headerFrame), h.Began.UnixNano())
		b = window.AppendText(b, h.Of)
		b = binary.AppendUvarint(b, uint64(len(h.Sources)))
		for _, name := range h.Sources {
			b = window.AppendText(b, name)
		}
		return b
	})
	return r, r.err
}

// Messages returns how many messages are written.
func (r *Recorder) Messages() uint64 { return r.messages }

// Message writes that m came at a time, from the source at that place in the header.
// Its Time is the stamp that it is replayed with; the property endpoint.StampProperty
// is not among its properties.
func (r *Recorder) Message(at time.Time, source int, m *message.Message) error {
	r.catchUp()
	r.moment(messageFrame, at, func(b []byte) []byte {
		return window.AppendMessage(binary.AppendUvarint(b, uint64(source)), m)
	})
	if r.err == nil {
		r.messages++
	}
	return r.err
}

// Frontier notes that the frontier has moved. What lies between two messages is written
// down only once, or every second.
func (r *Recorder) Frontier(at time.Time, frontier progress.Time) error {
	if frontier > r.ahead {
		r.ahead, r.since = frontier, at
	}
	if at.Sub(r.written) >= frontierEvery {
		r.catchUp()
	}
	return r.err
}

// catchUp writes the frontier down, if it has moved.
func (r *Recorder) catchUp() {
	if r.ahead == r.frontier {
		return
	}
	r.frontier, r.written = r.ahead, r.since
	r.moment(frontierFrame, r.since, func(b []byte) []byte { return binary.AppendVarint(b, int64(r.frontier)) })
}

// Close writes the end, at a time.
func (r *Recorder) Close(at time.Time) error {
	r.catchUp()
	r.moment(endFrame, at, func(b []byte) []byte { return binary.AppendUvarint(b, r.messages) })
	if r.err == nil {
		r.err = errors.New("recording: write: the recording has its end already")
		return nil
	}
	return r.err
}

// moment writes a frame of something that happened at a time.
func (r *Recorder) moment(kind byte, at time.Time, rest func([]byte) []byte) {
	r.write(func(b []byte) []byte {
		return rest(binary.AppendVarint(append(b, kind), at.UnixNano()-r.last.UnixNano()))
	})
	r.last = at
}

func (r *Recorder) write(body func([]byte) []byte) {
	if r.err != nil {
		return
	}
	r.frame = body(append(r.frame[:0], make([]byte, frameHead)...))
	length := len(r.frame) - frameHead
	if length > MaxFrame {
		r.err = fmt.Errorf("recording: write: a message takes %d bytes, more than %d", length, MaxFrame)
		return
	}
	binary.LittleEndian.PutUint32(r.frame, uint32(length))
	binary.LittleEndian.PutUint32(r.frame[4:], checksum(r.frame[:4], r.frame[frameHead:]))
	if _, err := r.to.Write(r.frame); err != nil {
		r.err = fmt.Errorf("recording: write: %w", err)
	}
}

// checksum is that of a frame.
func checksum(length, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, length), table, body)
}
