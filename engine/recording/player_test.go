// SPDX-License-Identifier: Apache-2.0

package recording_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/recording"
)

var began = time.Unix(1_700_000_000, 5).UTC()

// record makes a recording of two messages and some frontiers.
func record(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	r, err := recording.NewRecorder(&b, recording.Header{Began: began, Of: "test", Sources: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	for _, err := range []error{
		r.Frontier(at(1), 10), // together with the next
		r.Frontier(at(2), 11),
		r.Message(at(3), 1, &message.Message{
			Time: hlc.Timestamp{Millis: 1000, Counter: 2, Node: "n"}, Topic: "t", Payload: []byte("x"),
			Properties: []message.Property{{Key: "k", Value: "v"}},
		}),
		r.Frontier(at(4), 12),
		r.Frontier(at(2000), 13), // a second later
		r.Message(at(2001), 0, &message.Message{Kind: message.Snapshot, Format: "rgb", Width: 2, Height: 1, Payload: []byte{0xff}}),
		r.Close(at(2002)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// moments reads all of a recording and returns it as text, and what it ended with.
func moments(p recording.Moments) (texts []string, end error) {
	for {
		m, err := p.Next()
		if err != nil {
			return texts, err
		}
		text := fmt.Sprintf("%v frontier %d", m.At.Sub(began), m.Frontier)
		if m.Message != nil {
			text += fmt.Sprintf(" source %d message %d %q %v", m.Source, m.Number, m.Message.Payload, m.Message.Time)
		}
		texts = append(texts, text)
	}
}

// TestRecordingFormat fixes the bytes of a recording.
func TestRecordingFormat(t *testing.T) {
	data := record(t)
	want := strings.Join(strings.Fields(`
		89 47 52 45 43 0d 0a 01
		14000000 553598bd  01 8a80d0e2c6bfce972f 04 74657374 02 01 61 01 62
		06000000 bc2c6a6b  03 8092f401 16
		1b000000 96ddfbb3  02 80897a 01  01 00 01  d00f 02 00 01 6e  01 74 00 00  00 00  01 78  01 01 6b 01 76
		07000000 22e9e2ca  03 80b5bef00e 1a
		17000000 d10da4b2  02 80897a 00  01 01 01  00 00 00 00  00 00 03 726762  02 01  01 ff  00
		05000000 8987f5d1  04 80897a 02`), "")
	if got := hex.EncodeToString(data); got != want {
		t.Errorf("written\n%s, want\n%s", got, want)
	}
	p, err := recording.NewPlayer("r", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	h := p.Header()
	h.Began = h.Began.UTC()
	if diff := cmp.Diff(recording.Header{Began: began, Of: "test", Sources: []string{"a", "b"}}, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	got, end := moments(p)
	if diff := cmp.Diff([]string{
		"2ms frontier 11",
		`3ms frontier 11 source 1 message 1 "x" 000000000001000:00002:n`,
		"2s frontier 13",
		`2.001s frontier 13 source 0 message 2 "\xff" 000000000000000:00000:`,
	}, got); diff != "" || !errors.Is(end, io.EOF) {
		t.Errorf("ended with %v; moments (-want +got):\n%s", end, diff)
	}
	if done, _ := p.Progress(); done != int64(len(data)) {
		t.Errorf("progress %d of %d", done, len(data))
	}
}

// TestBrokenOff cuts a recording off after each byte: what is whole is read, and the
// error says where the rest should be.
func TestBrokenOff(t *testing.T) {
	data := record(t)
	whole, err := recording.NewPlayer("r", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all, _ := moments(whole)
	for n := range data {
		var got []string
		p, err := recording.NewPlayer("r.rec", bytes.NewReader(data[:n]))
		if err == nil {
			got, err = moments(p)
		}
		var damage *recording.Damage
		if !errors.As(err, &damage) || !damage.Truncated || damage.Offset > int64(n) {
			t.Fatalf("cut to %d bytes: %v, want it broken off at %d at most", n, err, n)
		}
		if !strings.HasPrefix(err.Error(), fmt.Sprintf("r.rec: at byte %d, after %d messages: the recording breaks off: ", damage.Offset, damage.Messages)) {
			t.Errorf("error %v", err)
		}
		if !slices.Equal(all[:len(got)], got) {
			t.Errorf("cut to %d bytes: %s, want %s", n, got, all[:len(got)])
		}
		if n == len(data)-1 && len(got) != len(all) {
			t.Errorf("only the end is missing, and %d of %d moments are read", len(got), len(all))
		}
	}
}

// TestDamaged changes each byte: nothing that was changed is read.
func TestDamaged(t *testing.T) {
	data := record(t)
	whole, err := recording.NewPlayer("r", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all, _ := moments(whole)
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 0x41
		var got []string
		p, err := recording.NewPlayer("r", bytes.NewReader(changed))
		if err == nil {
			got, err = moments(p)
		}
		var damage *recording.Damage
		if !errors.As(err, &damage) || damage.Offset > int64(i) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if !slices.Equal(all[:len(got)], got) {
			t.Errorf("byte %d changed: %s, want %s", i, got, all[:len(got)])
		}
	}
	_, err = recording.NewPlayer("r", strings.NewReader("\x89GREC\r\n\x02"))
	if err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("version 2: %v", err)
	}
	more, err := recording.NewPlayer("r", bytes.NewReader(append(bytes.Clone(data), 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, end := moments(more); end == nil || !strings.Contains(end.Error(), "more follows after its end") {
		t.Errorf("more than its end: %v", end)
	}
}

// TestRecorderFails: after a failure nothing is written, and everything fails.
func TestRecorderFails(t *testing.T) {
	w := &shortWriter{left: 3}
	r, err := recording.NewRecorder(w, recording.Header{Began: began, Sources: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	first := r.Message(began, 0, &message.Message{})
	second := r.Message(began, 0, &message.Message{})
	if first != nil || second == nil || !strings.Contains(second.Error(), "recording: write: disk full") || r.Messages() != 1 {
		t.Errorf("errors %v, %v after %d messages; want the second to fail", first, second, r.Messages())
	}
	w.left = 10
	if err := r.Close(began); err == nil {
		t.Error("Close succeeded")
	}
}

// shortWriter takes some writes.
type shortWriter struct{ left int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// TestOpenMoments opens all that can be played.
func TestOpenMoments(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rec := write("r.rec", record(t))
	m, h, err := recording.OpenMoments(rec)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if texts, end := moments(m); len(texts) != 4 || len(h.Sources) != 2 || !errors.Is(end, io.EOF) {
		t.Errorf("recording: %s, %v, %+v", texts, end, h)
	}
	if done, total := m.Progress(); done == 0 || done != total {
		t.Errorf("progress %d of %d", done, total)
	}
	lines := write("l.jsonl", []byte(`{"topic":"t","payload":"1","timestamp":"1000:0:n"}`+"\n"+`{"payload":"2"}`))
	l, h, err := recording.OpenMoments(lines)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, err := l.Next()
	if err != nil || !first.Stamped || first.Number != 1 || first.When() != time.UnixMilli(1000).UTC() || len(h.Sources) != 1 {
		t.Errorf("line %+v, %v, header %+v", first, err, h)
	}
	if second, err := l.Next(); err != nil || second.Stamped || second.Number != 2 || !second.When().IsZero() {
		t.Errorf("second line %+v, %v", second, err)
	}

	// The messages alone.
	in, err := recording.Open(rec)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if records := readAll(t, in); len(records) != 2 || string(records[0].Payload) != "x" || !records[1].Stamped {
		t.Errorf("records %+v", records)
	}
	if _, _, err := recording.OpenMoments(write("cut.rec", record(t)[:12])); err == nil || !strings.Contains(err.Error(), "cut.rec: at byte 8, after 0 messages") {
		t.Errorf("cut off: %v", err)
	}
	if _, _, err := recording.OpenMoments(filepath.Join(dir, "absent")); err == nil {
		t.Error("opened what isn't there")
	}
}

func TestRecordingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		r, err := recording.NewRecorder(&b, recording.Header{Began: began, Sources: []string{"a", "b", "c"}})
		if err != nil {
			t.Fatal(err)
		}
		at, frontier := began, progress.Time(0)
		var want []recording.Moment
		for range rapid.IntRange(0, 20).Draw(t, "moments") {
			at = at.Add(time.Duration(rapid.Int64Range(-1e9, 3e9).Draw(t, "pause")))
			if rapid.Bool().Draw(t, "frontier") {
				frontier += progress.Time(rapid.Int64Range(1, 1000).Draw(t, "advance"))
				err = r.Frontier(at, frontier)
			} else {
				m := &message.Message{Topic: rapid.String().Draw(t, "topic"), Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
					Time: hlc.Timestamp{Millis: rapid.Int64().Draw(t, "millis"), Node: "n"}}
				source := rapid.IntRange(0, 2).Draw(t, "source")
				want = append(want, recording.Moment{At: at, Source: source, Number: uint64(len(want) + 1), Message: m, Stamped: true, Frontier: frontier})
				err = r.Message(at, source, m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(at); err != nil {
			t.Fatal(err)
		}
		p, err := recording.NewPlayer("r", &b)
		if err != nil {
			t.Fatal(err)
		}
		var got []recording.Moment
		for {
			m, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.At = m.At.UTC(); m.Message != nil {
				m.Frontier = max(m.Frontier, 0)
				got = append(got, m)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("round trip (-want +got):\n%s", diff)
		}
	})
}

func FuzzPlayer(f *testing.F) {
	data := record(f)
	f.Add(data)
	f.Add(data[:len(data)-20])
	f.Add(data[8:])
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := recording.NewPlayer("f", bytes.NewReader(data))
		if err != nil {
			return
		}
		messages := uint64(0)
		for {
			m, err := p.Next()
			var damage *recording.Damage
			if errors.As(err, &damage) && damage.Messages != messages {
				t.Fatalf("%d messages read, and the damage says %d", messages, damage.Messages)
			}
			if err != nil {
				if _, again := p.Next(); again == nil || again.Error() != err.Error() {
					t.Fatalf("ended with %v, and then with %v", err, again)
				}
				return
			}
			if m.Message != nil {
				messages++
			}
		}
	})
}
