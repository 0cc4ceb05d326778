// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxLine is the length in bytes of the longest line, and MaxSample of the largest
// sample file, that are read.
const (
	MaxLine   = 64 << 20
	MaxSample = 64 << 20
)

// Topics under which a folder's samples are fed.
const (
	JSONTopic = "probe/1"             // of *.json
	RawTopic  = "snapshot_simulation" // of *.raw
)

// Input is a sequence of records. Used by one goroutine.
type Input interface {
	// Read returns the next record, or io.EOF after the last. Any other error names
	// the file, and the line where it has lines.
	Read() (Record, error)
	// Progress returns how much is read so far, in a unit of its own, and how much
	// there is in all; 0 where that is unknown.
	Progress() (done, total int64)
	Close() error
}

// Open opens a folder of samples, a file with sample lines, or a recording, of which
// it reads the messages.
func Open(path string) (Input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("recording: open: %w", err)
	}
	if info.IsDir() {
		return openFolder(path)
	}
	is, err := isRecordingFile(path)
	if err != nil {
		return nil, err
	}
	if is {
		p, err := openPlayer(path)
		if err != nil {
			return nil, err
		}
		return played{p}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: open: %w", err)
	}
	r := NewReader(path, f)
	r.total = info.Size()
	return r, nil
}

// Reader reads sample lines.
type Reader struct {
	name  string
	from  io.Reader
	lines *bufio.Reader
	line  int
	done  int64
	total int64
}

// NewReader returns a Reader of the lines in r; errors call it name. Close
// closes r, if it is an io.Closer.
func NewReader(name string, r io.Reader) *Reader {
	return &Reader{name: name, from: r, lines: bufio.NewReaderSize(r, 64<<10)}
}

// Read implements Input. Empty lines are skipped.
func (r *Reader) Read() (Record, error) {
	for {
		text, err := r.next()
		if err != nil {
			return Record{}, err
		}
		if len(text) == 0 {
			continue
		}
		record, err := parse(text)
		if err != nil {
			return Record{}, fmt.Errorf("%s:%d: %w", r.name, r.line, err)
		}
		return record, nil
	}
}

// next returns the next line without the white space around it.
func (r *Reader) next() ([]byte, error) {
	var text []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		r.done += int64(len(part))
		text = append(text, part...)
		switch {
		case len(text) > MaxLine:
			return nil, fmt.Errorf("%s:%d: the line is longer than %d bytes", r.name, r.line+1, MaxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(text) == 0):
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s:%d: read: %w", r.name, r.line+1, err)
			}
			return nil, err
		}
		r.line++
		return bytes.TrimSpace(text), nil
	}
}

// Progress implements Input, in bytes.
func (r *Reader) Progress() (done, total int64) { return r.done, r.total }

// Close implements Input.
func (r *Reader) Close() error {
	if c, ok := r.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// folder reads samples from a folder.
type folder struct {
	path  string
	names []string
	next  int
}

// openFolder lists the samples in name order.
func openFolder(path string) (*folder, error) {
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("recording: open: %w", err)
	}
	f := &folder{path: path}
	for _, e := range entries {
		if !e.IsDir() && topicOf(e.Name()) != "" {
			f.names = append(f.names, e.Name())
		}
	}
	if len(f.names) == 0 {
		return nil, fmt.Errorf("recording: open %s: the folder has no *.json and no *.raw", path)
	}
	return f, nil
}

// IsSample reports whether a file of that name in a folder is one of its samples.
func IsSample(name string) bool { return topicOf(name) != "" }

func topicOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return JSONTopic
	case ".raw":
		return RawTopic
	}
	return ""
}

// Read implements Input.
func (f *folder) Read() (Record, error) {
	if f.next == len(f.names) {
		return Record{}, io.EOF
	}
	name := f.names[f.next]
	f.next++
	payload, err := readSample(filepath.Join(f.path, name))
	if err != nil {
		return Record{}, err
	}
	return Record{Topic: topicOf(name), Payload: payload}, nil
}

func readSample(path string) (payload []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: read sample: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if info, err := file.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("recording: read sample %s: %w", path, fs.ErrInvalid)
	}
	payload, err = io.ReadAll(io.LimitReader(file, MaxSample+1))
	if err != nil {
		return nil, fmt.Errorf("recording: read sample: %w", err)
	}
	if len(payload) > MaxSample {
		return nil, fmt.Errorf("recording: read sample %s: larger than %d bytes", path, MaxSample)
	}
	return payload, nil
}

// Progress implements Input, in files.
func (f *folder) Progress() (done, total int64) { return int64(f.next), int64(len(f.names)) }

// Close implements Input.
func (f *folder) Close() error { return nil }
