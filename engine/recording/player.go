// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/window"
)

// Moment is something that happened while it was recorded: a message came, or only the
// frontier moved.
type Moment struct {
	At       time.Time        // when; zero where nobody knows
	Frontier progress.Time    // where the frontier was, or is from now on
	Source   int              // place of the message's source in the header
	Number   uint64           // of the message in the recording, from 1
	Message  *message.Message // nil: only the frontier moved
	Stamped  bool             // the message's Time is known
}

// Moments is a sequence of moments: a recording, or sample lines. Used by one
// goroutine.
type Moments interface {
	// Next returns the next moment, or io.EOF after the last. A *Damage says that there
	// is more, or should be, but can't be read.
	Next() (Moment, error)
	// Progress returns how much is read so far, in a unit of its own, and how much
	// there is in all; 0 where that is unknown.
	Progress() (done, total int64)
	Close() error
}

// Damage is what keeps a recording from being read to its end. What is before it is
// sound, and all of it has been read.
type Damage struct {
	File     string
	Offset   int64  // in bytes: where the first frame begins that can't be read
	Messages uint64 // before that
	// Truncated says that the file just ends there: it was broken off. Otherwise bytes
	// are not what was written.
	Truncated bool
	Err       error
}

func (d *Damage) Error() string {
	what := "the recording is damaged"
	if d.Truncated {
		what = "the recording breaks off"
	}
	return fmt.Sprintf("%s: at byte %d, after %d messages: %s: %v", d.File, d.Offset, d.Messages, what, d.Err)
}

func (d *Damage) Unwrap() error { return d.Err }

// Player reads a recording.
type Player struct {
	name   string
	from   io.Reader
	in     *bufio.Reader
	header Header

	body     bytes.Buffer
	begin    int64 // offset of the frame being read
	done     int64 // offset of what is read
	total    int64
	at       time.Time // of the last frame
	frontier progress.Time
	messages uint64
	ended    error // what Next returns from now on
}

// NewPlayer returns a Player of the recording in r; errors call it name. Close closes r,
// if it is an io.Closer. Where there is no sound header the error is a *Damage.
func NewPlayer(name string, r io.Reader) (*Player, error) {
	p := &Player{name: name, from: r, in: bufio.NewReaderSize(r, 64<<10), frontier: progress.Beginning}
	head := make([]byte, len(magic))
	n, err := io.ReadFull(p.in, head)
	p.done = int64(n)
	switch {
	case err != nil && !isEnd(err):
		return nil, p.unreadable(err)
	case string(head[:n]) != magic[:n] && bytes.HasPrefix([]byte(magic)[:len(magic)-1], head[:min(n, len(magic)-1)]):
		return nil, p.damage(false, fmt.Errorf("it is in version %d of the format, and only 1 is known", head[n-1]))
	case string(head[:n]) != magic[:n]:
		return nil, p.damage(false, errors.New("it does not begin as recordings do"))
	case err != nil:
		return nil, p.damage(true, errors.New("it has not even a beginning"))
	}
	d, err := p.frame()
	if errors.Is(err, io.EOF) {
		err = p.damage(true, errors.New("it has no header"))
	}
	if err != nil {
		return nil, err
	}
	if kind := d.Byte(); kind != headerFrame {
		return nil, p.damage(false, fmt.Errorf("it begins with a frame of kind %d, not with a header", kind))
	}
	p.at = time.Unix(0, d.Signed())
	p.header = Header{Began: p.at, Of: d.Text()}
	for range min(d.Unsigned(), uint64(len(d.Rest()))) { // a name takes a byte at least
		p.header.Sources = append(p.header.Sources, d.Text())
	}
	if err := decoded(d); err != nil {
		return nil, p.damage(false, err)
	}
	return p, nil
}

// IsRecording reports whether a file that begins with head is a recording, of whatever
// version.
func IsRecording(head []byte) bool {
	return bytes.HasPrefix(head, []byte(magic[:len(magic)-1]))
}

// Header returns what the recording is of.
func (p *Player) Header() Header { return p.header }

// Next implements Moments.
func (p *Player) Next() (Moment, error) {
	if p.ended != nil {
		return Moment{}, p.ended
	}
	m, err := p.next()
	if err != nil {
		p.ended = err
	}
	return m, err
}

func (p *Player) next() (Moment, error) {
	d, err := p.frame()
	if errors.Is(err, io.EOF) {
		return Moment{}, p.damage(true, errors.New("it has no end: whoever recorded it was stopped before it could finish"))
	}
	if err != nil {
		return Moment{}, err
	}
	kind := d.Byte()
	at := p.at.Add(time.Duration(d.Signed()))
	m := Moment{At: at, Frontier: p.frontier}
	switch kind {
	case messageFrame:
		source := d.Unsigned()
		if m.Message = d.Message(); d.Err() == nil && source >= uint64(len(p.header.Sources)) {
			return Moment{}, p.damage(false, fmt.Errorf("a message of source %d, of %d", source, len(p.header.Sources)))
		}
		m.Source, m.Number, m.Stamped = int(source), p.messages+1, true
	case frontierFrame:
		m.Frontier = max(p.frontier, progress.Time(d.Signed()))
	case endFrame:
		if n := d.Unsigned(); d.Err() == nil && n != p.messages {
			return Moment{}, p.damage(false, fmt.Errorf("it should have %d messages", n))
		}
	default:
		return Moment{}, p.damage(false, fmt.Errorf("a frame of the unknown kind %d", kind))
	}
	if err := decoded(d); err != nil {
		return Moment{}, p.damage(false, err)
	}
	p.at, p.frontier = at, m.Frontier
	if m.Message != nil {
		p.messages++
	}
	if kind != endFrame {
		return m, nil
	}
	p.begin = p.done
	switch _, err := p.in.ReadByte(); {
	case err == nil:
		return Moment{}, p.damage(false, errors.New("more follows after its end"))
	case !isEnd(err):
		return Moment{}, p.unreadable(err)
	}
	return Moment{}, io.EOF
}

// frame reads the next frame, and returns a decoder of its body; io.EOF where there is
// none.
func (p *Player) frame() (*window.Decoder, error) {
	p.begin = p.done
	var head [frameHead]byte
	n, err := io.ReadFull(p.in, head[:])
	p.done += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case isEnd(err):
		return nil, p.damage(true, fmt.Errorf("%d bytes of a frame are missing", frameHead-n))
	case err != nil:
		return nil, p.unreadable(err)
	}
	length := int64(binary.LittleEndian.Uint32(head[:]))
	if length > MaxFrame {
		return nil, p.damage(false, fmt.Errorf("a frame of %d bytes; there is none of more than %d", length, MaxFrame))
	}
	p.body.Reset()
	got, err := io.CopyN(&p.body, p.in, length) // grows with what is there, not with what is promised
	p.done += got
	switch {
	case isEnd(err):
		return nil, p.damage(true, fmt.Errorf("%d bytes of a frame are missing", length-got))
	case err != nil:
		return nil, p.unreadable(err)
	}
	if checksum(head[:4], p.body.Bytes()) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, p.damage(false, errors.New("a frame doesn't fit its checksum"))
	}
	return window.NewDecoder(p.body.Bytes()), nil
}

// decoded returns an error if d could not decode, or has anything left.
func decoded(d *window.Decoder) error {
	if err := d.Err(); err != nil {
		return fmt.Errorf("a frame can't be decoded: %w", err)
	}
	if n := len(d.Rest()); n > 0 {
		return fmt.Errorf("a frame is %d bytes too long", n)
	}
	return nil
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func (p *Player) damage(truncated bool, err error) *Damage {
	return &Damage{File: p.name, Offset: p.begin, Messages: p.messages, Truncated: truncated, Err: err}
}

func (p *Player) unreadable(err error) error {
	return fmt.Errorf("%s: at byte %d: read: %w", p.name, p.done, err)
}

// Progress implements Moments, in bytes.
func (p *Player) Progress() (done, total int64) { return p.done, p.total }

// Close implements Moments.
func (p *Player) Close() error {
	if c, ok := p.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// OpenMoments opens a recording, or sample lines or a folder of samples as if they were
// one, of a single source without a name.
func OpenMoments(path string) (Moments, Header, error) {
	is, err := isRecordingFile(path)
	if err != nil {
		return nil, Header{}, err
	}
	if is {
		p, err := openPlayer(path)
		if err != nil {
			return nil, Header{}, err
		}
		return p, p.header, nil
	}
	in, err := Open(path)
	if err != nil {
		return nil, Header{}, err
	}
	return &samples{Input: in}, Header{Of: path, Sources: []string{""}}, nil
}

func openPlayer(path string) (*Player, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: open: %w", err)
	}
	p, err := NewPlayer(path, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info, err := f.Stat(); err == nil {
		p.total = info.Size()
	}
	return p, nil
}

// isRecordingFile looks at the beginning of a file.
func isRecordingFile(path string) (is bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("recording: open: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("recording: open: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, len(magic))
	n, err := io.ReadFull(f, head)
	if err != nil && !isEnd(err) {
		return false, fmt.Errorf("recording: open: %w", err)
	}
	return IsRecording(head[:n]), nil
}

// samples makes moments of sample lines.
type samples struct {
	Input
	number uint64
}

// Next implements Moments.
func (s *samples) Next() (Moment, error) {
	r, err := s.Read()
	if err != nil {
		return Moment{}, err
	}
	s.number++
	m := Moment{Frontier: progress.Beginning, Number: s.number, Stamped: r.Stamped}
	m.Message = &message.Message{Time: r.Time, Topic: r.Topic, Payload: r.Payload, ContentType: r.ContentType, Properties: r.Properties}
	return m, nil
}

// played is a recording as sample lines: the messages alone.
type played struct{ *Player }

// Read implements Input.
func (p played) Read() (Record, error) {
	for {
		m, err := p.Next()
		if err != nil {
			return Record{}, err
		}
		if m.Message != nil {
			return Of(m.Message), nil
		}
	}
}
