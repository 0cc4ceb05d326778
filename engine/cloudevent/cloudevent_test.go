// SPDX-License-Identifier: Apache-2.0

package cloudevent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/cloudevent"
	"github.com/wasm-graph/graphd/engine/message"
)

// properties makes user properties of keys and values in turn.
func properties(text ...string) []message.Property {
	var all []message.Property
	for i := 0; i < len(text); i += 2 {
		all = append(all, message.Property{Key: text[i], Value: text[i+1]})
	}
	return all
}

func TestProperties(t *testing.T) {
	now := time.Date(2026, 1, 2, 4, 4, 5, 6_000_000, time.FixedZone("", 3600))
	create := cloudevent.Policy{Create: true, Source: "aio://plant", NewID: func() string { return "new" }}
	event := properties("specversion", "1.0", "type", "t", "x", "y", "source", "s", "id", "i", "time", "then")
	for _, tt := range []struct {
		name        string
		policy      cloudevent.Policy
		contentType string
		have, want  []message.Property
		is          bool
	}{
		{"no event", cloudevent.Policy{}, "text/plain", properties("a", "b", "datacontenttype", "old"), properties("a", "b", "datacontenttype", "old"), false},
		{"almost an event", cloudevent.Policy{}, "text/plain", properties("specversion", "1.0", "type", "t", "source", "s"), properties("specversion", "1.0", "type", "t", "source", "s"), false},
		{"nothing", cloudevent.Policy{}, "", nil, nil, false},
		{"event", cloudevent.Policy{}, "text/plain", event, append(slices.Clip(event), properties("datacontenttype", "text/plain")...), true},
		{"event of another content", cloudevent.Policy{}, "text/plain", append(properties("datacontenttype", "old"), event...), append(properties("datacontenttype", "text/plain"), event...), true},
		{"event of unknown content", cloudevent.Policy{}, "", append(properties("datacontenttype", "old"), event...), append(properties("datacontenttype", "old"), event...), true},
		{"created", create, "text/plain", properties("a", "b"), properties("a", "b", "specversion", "1.0", "type", "ms.aio-dataflow.telemetry", "source", "aio://plant",
			"id", "new", "subject", "out/there", "time", "2026-01-02T03:04:05.006Z", "datacontenttype", "text/plain"), true},
		{"completed", create, "", event, append(slices.Clip(event), properties("subject", "out/there")...), true},
		{"complete", create, "", append(properties("subject", "mine"), event...), append(properties("subject", "mine"), event...), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &message.Message{ContentType: tt.contentType, Properties: slices.Clone(tt.have)}
			got, is := tt.policy.Properties(m, "out/there", now)
			if diff := cmp.Diff(tt.want, got); diff != "" || is != tt.is {
				t.Errorf("event: %v, want %v (-want +got):\n%s", is, tt.is, diff)
			}
			if diff := cmp.Diff(tt.have, m.Properties); diff != "" {
				t.Errorf("the message was changed:\n%s", diff)
			}
		})
	}
}

// TestNewID: an id is made for every message that needs one, and for no other.
func TestNewID(t *testing.T) {
	made := 0
	policy := cloudevent.Policy{Create: true, NewID: func() string { made++; return "new" }}
	policy.Properties(&message.Message{Properties: properties("id", "given")}, "t", time.Time{})
	policy.Properties(&message.Message{}, "t", time.Time{})
	policy.Properties(&message.Message{}, "t", time.Time{})
	if made != 2 {
		t.Errorf("made %d ids, want 2", made)
	}
}

func TestIsAttribute(t *testing.T) {
	for key, want := range map[string]bool{"id": true, "dataschema": true, "time": true, "__ts": false, "ID": false, "": false} {
		if cloudevent.IsAttribute(key) != want {
			t.Errorf("IsAttribute(%q) = %v", key, !want)
		}
	}
}
