// SPDX-License-Identifier: Apache-2.0

package guests_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine/component"
)

func TestMap(t *testing.T) { uppercase(t, componentOf(t, guests.Map())) }

// uppercase runs an operator built from c/map.c.
func uppercase(t *testing.T, data []byte) {
	o := instantiate(t, compile(t, data), component.InstanceConfig{})
	o.start()
	if want := []string{"2 uppercase/map: initialized"}; !cmp.Equal(o.logged, want) {
		t.Errorf("init logged %q, want %q", o.logged, want)
	}
	in := message{Topic: "in", Payload: "Grüße, x", ContentType: "a/b", Properties: [][2]string{{"k", "v"}, {"k", "w"}}}
	want := in
	want.Payload = "GRüßE, X"
	b := &buffer{data: []byte(in.Payload)}
	held := in
	held.Payload, held.PayloadBuffer = "", b
	for _, in := range []message{in, held} {
		if got, err := o.process(in); err != nil || !cmp.Equal(got, want) {
			t.Errorf("process = %+v, %v; want %+v", got, err, want)
		}
	}
	if b.reads != 1 || len(o.buffers) != 0 {
		t.Errorf("buffer read %d times, %d buffers left; want 1 and 0", b.reads, len(o.buffers))
	}
}

func TestHostile(t *testing.T) { hostile(t, componentOf(t, guests.Hostile())) }

// hostile lets an operator built from c/hostile.c loose on the runtime.
func hostile(t *testing.T, data []byte) {
	c := compile(t, data)
	limits := component.InstanceConfig{Memory: 64 << 20, Handles: 100, Deadline: 100 * time.Millisecond}
	for _, tt := range []struct {
		topic string
		error string // in the text of the trap
		cause error  // of the trap
	}{
		{topic: "trap", error: "unreachable"},
		{topic: "loop", cause: component.ErrDeadline},
		{topic: "log-loop", cause: component.ErrDeadline},
		{topic: "recursion", cause: component.ErrExhausted},
		{topic: "indirect-recursion", cause: component.ErrExhausted},
		{topic: "memory-fill", cause: component.ErrDeadline},
		{topic: "result-pointer", error: "out of bounds"},
		{topic: "result-alignment", error: "not aligned"},
		{topic: "result-case", error: "discriminant 2"},
		{topic: "case", error: "discriminant 3"},
		{topic: "option-case", error: "discriminant 2"},
		{topic: "pointer", error: "out of bounds"},
		{topic: "length", error: "out of bounds"},
		{topic: "list-length", error: "out of bounds"},
		{topic: "list-alignment", error: "not aligned"},
		{topic: "utf8", error: "UTF-8"},
		{topic: "surrogate", error: "UTF-8"},
		{topic: "handle", error: "unknown handle index 12345"},
		{topic: "handle-zero", error: "unknown handle index 0"},
		{topic: "handle-twice", error: "unknown handle index"},
		{topic: "handle-dropped", error: "unknown handle index"},
		{topic: "handle-dropped-twice", error: "unknown handle index"},
		{topic: "log-pointer", error: "out of bounds"},
		{topic: "log-length", error: "longer than"},
		{topic: "log-level", error: "discriminant 6"},
		{topic: "log-utf8", error: "UTF-8"},
		{topic: "read-pointer", error: "out of bounds"},
		{topic: "post-trap", error: "unreachable"},
		{topic: "post-log", error: "cannot leave component instance"},
	} {
		t.Run(tt.topic, func(t *testing.T) {
			o := instantiate(t, c, limits)
			o.start()
			if _, err := o.process(message{Topic: "fine"}); err != nil {
				t.Fatalf("process before: %v", err)
			}
			_, err := o.process(message{Topic: tt.topic, PayloadBuffer: &buffer{data: []byte("x")}})
			var trap *component.Trap
			if !errors.As(err, &trap) || !strings.Contains(err.Error(), tt.error) || tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("process: got error %v, want a trap with %q, cause %v", err, tt.error, tt.cause)
			}
			if _, err := o.process(message{Topic: "fine"}); !errors.Is(err, component.ErrPoisoned) {
				t.Errorf("process after: got error %v, want %v", err, component.ErrPoisoned)
			}
		})
	}
}

// What c/hostile.c does within the rules is no reason to stop it.
func TestHostileWithinRules(t *testing.T) {
	c := compile(t, componentOf(t, guests.Hostile()))
	o := instantiate(t, c, component.InstanceConfig{Memory: 64 << 20, Deadline: 10 * time.Second})
	o.start()
	for _, tt := range []struct{ topic, error string }{{"error", "told to fail"}, {"memory", "no more memory"}} {
		var f *failure
		if _, err := o.process(message{Topic: tt.topic}); !errors.As(err, &f) || f.text != tt.error {
			t.Errorf("process of topic %s: got error %v, want %q of the operator", tt.topic, err, tt.error)
		}
	}
	if got, err := o.process(message{Topic: "payload"}); err != nil || len(got.Payload) != 64<<20 {
		t.Errorf("process of topic payload = %d bytes, %v; want all of its memory, 64 MiB", len(got.Payload), err)
	}
	if _, err := o.process(message{Topic: "flood"}); err != nil || o.lines != 100000 {
		t.Errorf("process of topic flood: %d lines logged, error %v; want 100000", o.lines, err)
	}
	b := &buffer{}
	if _, err := o.process(message{Topic: "handle-kept", PayloadBuffer: b}); err != nil || !o.buffers[b] {
		t.Errorf("process of topic handle-kept: error %v, buffer kept: %v", err, o.buffers[b])
	}
	if got, err := o.process(message{Topic: "fine", PayloadBuffer: b}); err != nil || got.PayloadBuffer != b || b.reads != 0 {
		t.Errorf("process of topic fine = %+v, %v; want the buffer back, unread", got, err)
	}
}

func TestHostileInit(t *testing.T) {
	c := compile(t, componentOf(t, guests.Hostile()))
	for _, tt := range []struct {
		setting string
		want    bool
		error   string
	}{
		{"", true, ""},
		{"refuse", false, ""},
		{"bool", true, ""},
		{"trap", false, "unreachable"},
		{"loop", false, component.ErrDeadline.Error()},
	} {
		t.Run(tt.setting, func(t *testing.T) {
			o := instantiate(t, c, component.InstanceConfig{Deadline: 100 * time.Millisecond})
			got, err := o.init("other", "1", "init", tt.setting)
			if got != tt.want || (err != nil) != (tt.error != "") || err != nil && !strings.Contains(err.Error(), tt.error) {
				t.Errorf("init = %v, %v; want %v, %q", got, err, tt.want, tt.error)
			}
		})
	}
}
