// SPDX-License-Identifier: Apache-2.0

package window_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/window"
)

func messages() []*message.Message {
	return []*message.Message{
		{},
		{Payload: []byte{}, Time: hlc.Timestamp{Millis: -1, Counter: 1 << 63, Node: "n", SubMillis: 999_999}},
		{
			Kind: message.Data, Time: hlc.Timestamp{Millis: 1_700_000_000_000, Node: "df"}, Topic: "a/b", Payload: []byte("x\x00y"),
			ContentType: "application/json", Schema: &message.Schema{Reference: "r", Name: "n", Content: "c"},
			Properties: []message.Property{{Key: "k", Value: "v"}, {Key: "k", Value: ""}},
			Envelope: &message.Envelope{
				Retained: true, Text: true, Expires: time.Unix(5, 6), ResponseTopic: "answers", Correlation: []byte{},
			},
		},
		{Kind: message.Snapshot, Format: "rgb24", Width: 224, Height: 1 << 31, Payload: []byte{1, 2, 3}, Envelope: &message.Envelope{}},
		{Kind: message.Raw, Payload: bytes.Repeat([]byte("z"), 1000)},
	}
}

func TestMessage(t *testing.T) {
	var all []byte
	for _, m := range messages() {
		all = window.AppendMessage(all, m)
	}
	rest := all
	for i, want := range messages() {
		var got *message.Message
		var err error
		if got, rest, err = window.DecodeMessage(rest); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("message %d (-want +got):\n%s", i, diff)
		}
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes are left", len(rest))
	}
}

// TestShortMessage checks that no beginning of a message is taken for one.
func TestShortMessage(t *testing.T) {
	for i, m := range messages() {
		whole := window.AppendMessage(nil, m)
		for n := range whole {
			if got, _, err := window.DecodeMessage(whole[:n]); err == nil {
				t.Errorf("message %d: the first %d of %d bytes are %+v", i, n, len(whole), got)
			}
		}
	}
	if _, _, err := window.DecodeMessage([]byte{9, 0, 0}); err == nil {
		t.Error("a message of version 9 is taken")
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range messages() {
		f.Add(window.AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := window.DecodeMessage(b)
		if err != nil {
			return
		}
		again, rest, err := window.DecodeMessage(window.AppendMessage(nil, m))
		if err != nil || len(rest) != 0 {
			t.Fatalf("encoded again it has %d bytes left, %v", len(rest), err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("encoded again (-want +got):\n%s", diff)
		}
	})
}
