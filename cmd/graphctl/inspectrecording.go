// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wasm-graph/graphd/engine/recording"
)

// recordingReport is what graphctl inspect finds in a recording.
type recordingReport struct {
	Of       string            `json:"of"`
	Began    time.Time         `json:"began"`
	Sources  []string          `json:"sources"`
	Messages []recordedMessage `json:"messages"`
	Damage   string            `json:"damage,omitempty"` // why it can't be read to its end
}

// recordedMessage is a message in a recording.
type recordedMessage struct {
	Number    uint64    `json:"number"`
	At        time.Time `json:"at"`
	Source    string    `json:"source"`
	Topic     string    `json:"topic"`
	Bytes     int       `json:"bytes"`
	Timestamp string    `json:"timestamp"`
	Frontier  int64     `json:"frontier"` // when it came, in Unix milliseconds
}

// isRecording looks at the beginning of a file.
func isRecording(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // only read
	head := make([]byte, 16)
	n, _ := io.ReadFull(f, head)
	return recording.IsRecording(head[:n])
}

// inspectRecording lists the messages of a recording.
func inspectRecording(path string) (r *recordingReport, err error) {
	moments, header, err := recording.OpenMoments(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, moments.Close()) }()
	r = &recordingReport{Of: header.Of, Began: header.Began.UTC(), Sources: header.Sources, Messages: []recordedMessage{}}
	for {
		m, err := moments.Next()
		var damage *recording.Damage
		switch {
		case errors.Is(err, io.EOF):
			return r, nil
		case errors.As(err, &damage):
			r.Damage = damage.Error()
			return r, nil
		case err != nil:
			return nil, err
		case m.Message != nil:
			r.Messages = append(r.Messages, recordedMessage{
				Number: m.Number, At: m.At.UTC(), Source: header.Sources[m.Source], Topic: m.Message.Topic,
				Bytes: len(m.Message.Payload), Timestamp: m.Message.Time.String(), Frontier: int64(m.Frontier),
			})
		}
	}
}

func (r *recordingReport) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, r)
	}
	fmt.Fprintf(w, "recording of %s, begun %s, %d messages\n", r.Of, r.Began.Format(time.RFC3339Nano), len(r.Messages))
	for _, m := range r.Messages {
		fmt.Fprintf(w, "%8d  %s  %s  %s  %d bytes  %s\n", m.Number, m.At.Format(time.RFC3339Nano), m.Source, m.Topic, m.Bytes, m.Timestamp)
	}
	if r.Damage != "" {
		fmt.Fprintln(w, r.Damage)
	}
	return nil
}
