// SPDX-License-Identifier: Apache-2.0

package recording_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/endpointtest"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/recording"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFormat fixes the bytes of the format, in both directions.
func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		name   string
		record recording.Record
		text   string
	}{
		{"text", recording.Record{Topic: "a/b", Payload: []byte(`{"t":"<1>"}`), ContentType: "application/json",
			Properties: []message.Property{{Key: "k", Value: "1"}, {Key: "k", Value: "ü"}},
			Time:       hlc.Timestamp{Millis: 1700000000000, Counter: 3, Node: "df"}, Stamped: true},
			`{"topic":"a/b","payload":"{\"t\":\"<1>\"}","contentType":"application/json","userProperties":[["k","1"],["k","ü"]],"timestamp":"001700000000000:00003:df"}`},
		{"binary", recording.Record{Topic: "a", Payload: []byte{0xff, 0, 1}}, `{"topic":"a","payloadBase64":"/wAB"}`},
		{"empty", recording.Record{Payload: []byte{}}, `{"topic":"","payload":""}`},
		{"control characters", recording.Record{Payload: []byte("\x00\r\n\u2028\u20ac\U0001f600")}, `{"topic":"","payload":"\u0000\r\n\u2028€😀"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := recording.NewWriter(&b).Write(tt.record); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != tt.text+"\n" {
				t.Errorf("written %s, want %s", got, tt.text)
			}
			got, err := recording.NewReader("r", strings.NewReader(tt.text)).Read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.record, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", "\n\nhello\n", "r.jsonl:3: not valid JSON at byte 1"},
		{"cut off", `{"topic":"a","payload":"x"`, "r.jsonl:1: not valid JSON: the line ends in the middle"},
		{"unknown property", `{"topic":"a","payload":"x","qos":1}`, `r.jsonl:1: json: unknown field "qos"`},
		{"no payload", `{"topic":"a"}`, "r.jsonl:1: neither payload nor payloadBase64"},
		{"both payloads", `{"topic":"a","payload":"","payloadBase64":""}`, "r.jsonl:1: both payload and payloadBase64"},
		{"bad base64", `{"topic":"a","payloadBase64":"?"}`, "r.jsonl:1: payloadBase64: illegal base64"},
		{"bad timestamp", `{"topic":"a","payload":"x","timestamp":"now"}`, `r.jsonl:1: timestamp: hlc: parse "now"`},
		{"two objects", `{"topic":"a","payload":"x"} {}`, "r.jsonl:1: more follows"},
		{"not UTF-8", "{\"topic\":\"a\",\"payload\":\"\xff\"}", "r.jsonl:1: not UTF-8"},
		{"half a pair", `{"topic":"a","payload":"\ud83dx"}`, "r.jsonl:1: half a surrogate pair"},
		{"other half", `{"topic":"a","payload":"\ude00"}`, "r.jsonl:1: half a surrogate pair"},
		{"properties as an object", `{"payload":"x","userProperties":{"a":"b"}}`, "r.jsonl:1: json: cannot unmarshal object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := recording.NewReader("r.jsonl", strings.NewReader(tt.text)).Read()
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s...", err, tt.want)
			}
		})
	}
	t.Run("pair, and what looks like half of one", func(t *testing.T) {
		r, err := recording.NewReader("r", strings.NewReader(`{"payload":"\ud83d\ude00 \\ud83d"}`)).Read()
		if err != nil || string(r.Payload) != "😀 \\ud83d" {
			t.Errorf("payload %q, %v", r.Payload, err)
		}
	})
	t.Run("endless line", func(t *testing.T) {
		_, err := recording.NewReader("r", endless{}).Read()
		if err == nil || !strings.Contains(err.Error(), "r:1: the line is longer than") {
			t.Errorf("error %v", err)
		}
	})
}

// endless is a line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func readAll(t *testing.T, in recording.Input) []recording.Record {
	t.Helper()
	var records []recording.Record
	for {
		r, err := in.Read()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"b.json": "{ \"pretty\": 1 }\n", "a.raw": "\xff\x00", "c.JSON": "not JSON at all", "readme.md": "no", "10.json": "", "9.json": "9",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	in, err := recording.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	want := []recording.Record{
		{Topic: "probe/1", Payload: []byte{}},
		{Topic: "probe/1", Payload: []byte("9")},
		{Topic: "snapshot_simulation", Payload: []byte("\xff\x00")},
		{Topic: "probe/1", Payload: []byte("{ \"pretty\": 1 }\n")},
		{Topic: "probe/1", Payload: []byte("not JSON at all")},
	}
	if diff := cmp.Diff(want, readAll(t, in)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if done, total := in.Progress(); done != 5 || total != 5 {
		t.Errorf("progress %d of %d, want 5 of 5", done, total)
	}
	if _, err := recording.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no *.json and no *.raw") {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := recording.Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	text := "{\"payload\":\"1\"}\n\n{\"payload\":\"2\"}" // no newline at the end
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got := readAll(t, in); len(got) != 2 || string(got[1].Payload) != "2" {
		t.Errorf("records %v", got)
	}
	if done, total := in.Progress(); done != int64(len(text)) || total != done {
		t.Errorf("progress %d of %d, want all of %d", done, total, len(text))
	}
}

func TestMessage(t *testing.T) {
	r := recording.Record{Topic: "t", Payload: []byte("p"), ContentType: "c", Properties: []message.Property{{Key: "k", Value: "v"}},
		Time: hlc.Timestamp{Millis: 5, Node: "n"}, Stamped: true}
	m := r.Message()
	want := &message.Message{Topic: "t", Payload: []byte("p"), ContentType: "c", Properties: []message.Property{
		{Key: "__ts", Value: "000000000000005:00000:n"}, {Key: "k", Value: "v"}}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	m.Time = r.Time
	if diff := cmp.Diff(r, recording.Of(m)); diff != "" {
		t.Errorf("and back (-want +got):\n%s", diff)
	}
}

func TestSource(t *testing.T) {
	s := recording.NewSource(recording.NewReader("r", strings.NewReader("{\"payload\":\"1\"}\n{\"payload\":\"2\"}\nx\n")))
	var got []string
	err := s.Run(t.Context(), func(d endpoint.Delivery) { got = append(got, string(d.Message.Payload)) }, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "r:3: ") || strings.Join(got, " ") != "1 2" || s.Read() != 2 {
		t.Errorf("Run = %v after %v", err, got)
	}
	if s.Connected() {
		t.Error("connected after the end")
	}
}

func TestSink(t *testing.T) {
	endpointtest.TestSink(t, func(t *testing.T) *endpointtest.SinkRig {
		var b bytes.Buffer
		return &endpointtest.SinkRig{
			Sink: recording.NewSink(recording.NewWriter(&b)),
			Received: func() (messages []*message.Message) {
				for _, r := range readAll(t, recording.NewReader("r", bytes.NewReader(b.Bytes()))) {
					messages = append(messages, &message.Message{Payload: r.Payload, ContentType: r.ContentType, Properties: r.Properties})
				}
				return messages
			},
		}
	})
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestSinkFails(t *testing.T) {
	s := recording.NewSink(recording.NewWriter(full{}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := s.Run(ctx)
		cancel() // as the engine does
		ended <- err
	}()
	var refused error
	if err := s.Send(ctx, &message.Message{Topic: "\xff"}, func(err error) { refused = err }); err != nil || !errors.Is(refused, recording.ErrText) {
		t.Errorf("Send = %v, done with %v; want nil and ErrText", err, refused)
	}
	if err := s.Send(ctx, &message.Message{}, func(error) { t.Error("done was called") }); !errors.Is(err, context.Canceled) {
		t.Errorf("Send = %v, want context.Canceled", err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("Run = %v", err)
	}
}

// TestRoundTrip writes and reads any record.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := recording.Record{
			Topic:       rapid.String().Draw(t, "topic"),
			Payload:     rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "payload"),
			ContentType: rapid.String().Draw(t, "content type"),
			Properties: rapid.SliceOf(rapid.Custom(func(t *rapid.T) message.Property {
				return message.Property{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "value")}
			})).Draw(t, "properties"),
			Stamped: rapid.Bool().Draw(t, "stamped"),
		}
		if len(r.Properties) == 0 {
			r.Properties = nil
		}
		if r.Stamped {
			r.Time = hlc.Timestamp{Millis: rapid.Int64().Draw(t, "millis"), Counter: rapid.Uint64().Draw(t, "counter"),
				Node: rapid.StringMatching(`[a-z0-9-]*`).Draw(t, "node")}
		}
		var b bytes.Buffer
		if err := recording.NewWriter(&b).Write(r); err != nil {
			t.Fatal(err)
		}
		if bytes.Count(b.Bytes(), []byte("\n")) != 1 {
			t.Fatalf("more than one line: %q", b.Bytes())
		}
		got, err := recording.NewReader("r", &b).Read()
		if err != nil {
			t.Fatal(err)
		}
		if got.Payload == nil {
			got.Payload = []byte{}
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatalf("round trip (-want +got):\n%s", diff)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"topic":"a","payload":"x","userProperties":[["k","v"]],"timestamp":"1:2:n"}` + "\n"))
	f.Add([]byte(`{"payloadBase64":"/wAB"}`))
	f.Add([]byte(`{"payload":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := recording.NewReader("f", bytes.NewReader(data))
		for {
			r, err := in.Read()
			if err != nil {
				return
			}
			var b bytes.Buffer
			if err := recording.NewWriter(&b).Write(r); err != nil {
				t.Fatalf("can't write what was read (%+v): %v", r, err)
			}
			again, err := recording.NewReader("again", &b).Read()
			if err != nil {
				t.Fatalf("can't read what was written: %v", err)
			}
			if diff := cmp.Diff(r, again); diff != "" {
				t.Fatalf("read, written and read (-first +second):\n%s", diff)
			}
		}
	})
}
