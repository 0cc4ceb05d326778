// SPDX-License-Identifier: Apache-2.0

package guests_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/operators/build"
)

func TestGo(t *testing.T) {
	built, err := build.Operator(t.Context(), "go/shout")
	if err != nil {
		t.Fatal(err)
	}
	shout(t, compile(t, built.Bytes), false)
}

// shout is the scenario that the operators of the same name in all languages go
// through. The operator turns ASCII letters into upper case, sets the content type, adds
// two user properties: the payload's length, under the name that setting "property"
// gives, and how many messages it has counted in the state store; counts them in the
// metrics as well, says in the log that it has begun, and on standard error how many
// settings it has got. silent are those that have no standard error.
func shout(t *testing.T, c *component.Component, silent bool) {
	o := instantiate(t, c, component.InstanceConfig{})
	o.start("property", "size", "other", "Größe")
	if got, want := strings.Join(o.logged, "\n"), "2 shout/map: adding user property size"; !strings.Contains(got, want) {
		t.Errorf("init logged %q, want %q", got, want)
	}
	if got, want := o.stderr.String(), "shout: 2 settings\n"; !silent && got != want {
		t.Errorf("init wrote %q to standard error, want %q", got, want)
	}

	in := message{Topic: "in", Payload: "Grüße, x", ContentType: "a/b", Properties: [][2]string{{"k", "v"}, {"Schlüssel", ""}}}
	done := 0
	check := func(payload string, held bool) {
		t.Helper()
		in := in
		var b *buffer
		if in.Payload = payload; held {
			b = &buffer{data: []byte(payload)}
			in.Payload, in.PayloadBuffer = "", b
		}
		done++
		want := message{
			Topic: "in", Payload: upper(payload), ContentType: "text/plain",
			Properties: append(in.Properties[:2:2], [2]string{"size", strconv.Itoa(len(payload))}, [2]string{"count", strconv.Itoa(done)}),
		}
		got, err := o.process(in)
		if err != nil {
			t.Fatalf("process: %v, with %q on standard error", err, o.stderr.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("process (-want +got):\n%s", diff)
		}
		if held && (b.reads != 1 || len(o.buffers) != 0) {
			t.Fatalf("buffer read %d times, %d buffers left; want 1 and 0", b.reads, len(o.buffers))
		}
	}
	wantError := func(want string, in message) {
		t.Helper()
		var f *failure
		if _, err := o.process(in); !errors.As(err, &f) || !strings.Contains(f.text, want) {
			t.Errorf("process: got error %v, want one of the operator with %q", err, want)
		}
	}

	for range 50 {
		check(in.Payload, false)
		check(in.Payload, true)
	}
	large := strings.Repeat("0123456789abcdef", 1<<12)
	check(large, false)
	check(large, true)

	wantError("payload is empty", message{Topic: "in"})
	check("after", false)
	wantError("payload is empty", message{Topic: "in", PayloadBuffer: &buffer{}})
	check("after", true)
	if v, err := o.call("process", variant(0, own("x"))); err != nil || v.Case() != 1 || v.Payload().Field(0).Str() != "Unexpected input type." {
		t.Errorf("process of bytes = %+v, %v; want an error", v, err)
	}
	check("after", true)
	o.full = true
	wantError("state store", in)
	wantError("store is full", in)
	o.full = false
	check("after", false)

	if len(o.buffers) != 0 {
		t.Errorf("%d buffers left", len(o.buffers))
	}
	if got, want := o.counters, map[string]uint64{"messages operator=shout": uint64(done)}; !cmp.Equal(got, want) {
		t.Errorf("counters = %v, want %v", got, want)
	}
	if got, want := o.stored, map[string]string{"count": fmt.Sprint(done)}; !cmp.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}

	o = instantiate(t, c, component.InstanceConfig{})
	if ok, err := o.init("refuse", "true"); ok || err != nil {
		t.Errorf("init of what it refuses = %v, %v; want false", ok, err)
	}
}

// upper returns s with its ASCII letters in upper case.
func upper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, s)
}
