// SPDX-License-Identifier: Apache-2.0

package processor_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/types"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/wit"
)

func TestMain(m *testing.M) { os.Exit(coretest.EveryEngine{M: m}.Run()) }

func newRuntime(t testing.TB) *component.Runtime {
	t.Helper()
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// A call allocates its result and nothing else: the message with its properties, and
// its text with a small payload.
func TestMapAllocates(t *testing.T) {
	i := open(t, load(t, guests.Map()), processor.Environment{})
	in := &message.Message{
		Topic: "line/1", ContentType: "text/plain", Payload: bytes.Repeat([]byte("a"), 256),
		Properties: []message.Property{{Key: "a", Value: "b"}, {Key: "c", Value: "d"}},
	}
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := i.Map(ctx, in); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations a call, want 2", allocs)
	}
}

// makeComponent wraps a core module that fits world map-impl.
func makeComponent(t testing.TB, core []byte) []byte {
	t.Helper()
	packages, err := witparser.Parse(wit.Processor())
	if err != nil {
		t.Fatal(err)
	}
	var worlds []*types.Component
	for _, name := range []string{"map-impl", "host"} {
		w, err := packages.World(name)
		if err != nil {
			t.Fatal(err)
		}
		worlds = append(worlds, w)
	}
	wasm, err := encode.Component(core, encode.Union(worlds...), encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func load(t testing.TB, core []byte) *processor.Module {
	t.Helper()
	m, err := processor.Load(t.Context(), newRuntime(t), "guest", makeComponent(t, core))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, m *processor.Module, env processor.Environment, props ...operator.Property) operator.Instance {
	t.Helper()
	i, err := m.Opener(operator.Config{Graph: "g", Operation: "upper/map", Kind: operator.Map, Properties: props}, env).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// What an operator is allowed must be there when it is opened.
func TestAllow(t *testing.T) {
	t.Setenv("GRAPHD_TEST", "")
	dir := t.TempDir()
	m := load(t, guests.Map())
	allow := func(g operator.Grant) error {
		i, err := m.Opener(operator.Config{Operation: "upper/map", Kind: operator.Map}, processor.Environment{Allow: g}).Open(t.Context())
		if err == nil {
			err = i.Close()
		}
		return err
	}
	there := []operator.Directory{{Path: dir, Name: "/data"}}
	if err := allow(operator.Grant{Directories: there, Variables: []operator.Variable{{Name: "GRAPHD_TEST", Inherit: true}, {Name: "A"}}}); err != nil {
		t.Errorf("open: %v", err)
	}
	for want, g := range map[string]operator.Grant{
		"operation upper/map: allow directory: open " + dir + "/none: ":    {Directories: append(there, operator.Directory{Path: dir + "/none", Name: "/none"})},
		"operation upper/map: allow variable GRAPHD_NONE: it is not set (": {Variables: []operator.Variable{{Name: "GRAPHD_NONE", Inherit: true}}},
	} {
		if err := allow(g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open: got error %v, want %q", err, want)
		}
	}
}

func TestMap(t *testing.T) {
	var log bytes.Buffer
	m := load(t, guests.Map())
	i := open(t, m, processor.Environment{Logger: slog.New(slog.NewTextHandler(&log, nil)), BufferBorder: 1000})
	for _, n := range []int{0, 1, 999, 1000, 100_000} { // bytes, then buffers
		in := &message.Message{
			Topic: "line/1", ContentType: "text/plain", Payload: bytes.Repeat([]byte("a"), n),
			Properties: []message.Property{{Key: "k", Value: "v"}}, Schema: &message.Schema{Reference: "aio-sr://x"},
		}
		out, err := i.Map(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat("A", n); string(out.Payload) != want {
			t.Errorf("payload of %d bytes came back wrong: %.20q", n, out.Payload)
		}
		if out.Topic != in.Topic || out.ContentType != in.ContentType || len(out.Properties) != 1 || *out.Schema != *in.Schema {
			t.Errorf("message came back as %+v, want %+v", out, in)
		}
		if n > 0 && in.Payload[0] != 'a' {
			t.Error("the message handed in was changed")
		}
	}
	if got := log.String(); !strings.Contains(got, "operation=upper/map") || !strings.Contains(got, "initialized") {
		t.Errorf("log is %q, want the guest's line with the operation's name", got)
	}
	var refusal *operator.Refusal
	if _, err := i.Map(t.Context(), &message.Message{Kind: message.Raw}); !errors.As(err, &refusal) || refusal.Message != "Unexpected input type." {
		t.Errorf("Map of raw bytes: %v, want the guest's refusal", err)
	}
	if _, err := i.Map(t.Context(), &message.Message{Payload: []byte("on")}); err != nil {
		t.Errorf("Map after a refusal: %v", err)
	}
	if _, err := i.Filter(t.Context(), &message.Message{}); err == nil {
		t.Error("a map operator filtered")
	}
}

func TestFaults(t *testing.T) {
	m := load(t, guests.Hostile())
	env := processor.Environment{Deadline: 50 * time.Millisecond, Memory: 32 << 20}
	for _, tt := range []struct {
		topic string
		cause error
		text  string
	}{
		{"loop", operator.ErrDeadline, "wasm-graph:processor/map@1.1.0#process"},
		{"recursion", operator.ErrStack, "component guest"},
		{"memory-fill", operator.ErrDeadline, ""},
		{"trap", nil, "unreachable"},
		{"handle-zero", nil, "unknown handle index 0"},
		{"utf8", nil, "UTF-8"},
		{"read-pointer", nil, ""},
	} {
		t.Run(tt.topic, func(t *testing.T) {
			i := open(t, m, env)
			_, err := i.Map(t.Context(), &message.Message{Topic: tt.topic})
			var refusal *operator.Refusal
			if err == nil || errors.As(err, &refusal) || tt.cause != nil && !errors.Is(err, tt.cause) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Map: %v, want a fault with cause %v and text %q", err, tt.cause, tt.text)
			}
		})
	}
}

// TestFaultAfterRefusedMemory: a trap is for want of memory where that was refused in the
// same call, and not in one that the guest got over long ago.
func TestFaultAfterRefusedMemory(t *testing.T) {
	i := open(t, load(t, guests.Hostile()), processor.Environment{Memory: 1 << 20})
	var refusal *operator.Refusal
	if _, err := i.Map(t.Context(), &message.Message{Topic: "memory"}); !errors.As(err, &refusal) {
		t.Fatalf("Map: %v, want a refusal of a guest that gets no memory", err)
	}
	if _, err := i.Map(t.Context(), &message.Message{Topic: "trap"}); err == nil || errors.Is(err, operator.ErrMemory) {
		t.Errorf("Map: %v, want a trap that isn't for want of memory", err)
	}
}

func TestInitRefuses(t *testing.T) {
	m := load(t, guests.Hostile())
	for what, want := range map[string]error{"refuse": operator.ErrInit, "loop": operator.ErrDeadline, "trap": nil} {
		config := operator.Config{Operation: "o", Kind: operator.Map, Properties: []operator.Property{{Key: "init", Value: what}}}
		i, err := m.Opener(config, processor.Environment{Deadline: 50 * time.Millisecond}).Open(t.Context())
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("Open with init=%s = %v, %v; want %v", what, i, err, want)
		}
	}
	if _, err := m.Opener(operator.Config{Kind: operator.Delay}, processor.Environment{}).Open(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "exports no delay operator; it exports [map]") {
		t.Errorf("Open as a delay: %v", err)
	}
}

// TestNotAvailable opens an operator that asks for what graphd does not have, and
// accepts its configuration only if it is told so.
func TestNotAvailable(t *testing.T) {
	core, err := os.ReadFile("testdata/unavailable.wasm")
	if err != nil {
		t.Fatal(err)
	}
	open(t, load(t, core), processor.Environment{})
}

// TestLogFlood counts what of 100,000 lines in no time reaches the log.
func TestLogFlood(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	m := load(t, guests.Hostile())
	i := open(t, m, processor.Environment{
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		Now:     func() time.Time { return now },
		LogRate: 10,
	})
	if _, err := i.Map(t.Context(), &message.Message{Topic: "flood"}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "msg=flood"); n < 90 || n > 100 {
		t.Errorf("%d lines logged, want the burst of 100, less those of init", n)
	}
	now = now.Add(time.Second)
	if _, err := i.Map(t.Context(), &message.Message{Topic: "flood"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "lines dropped") {
		t.Error("the log does not say that lines were dropped")
	}
}

func TestLoadRefuses(t *testing.T) {
	rt := newRuntime(t)
	old, err := os.ReadFile("testdata/old-world.wasm")
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.ReplaceAll(makeComponent(t, guests.Map()), []byte("processor/map@1.1.0"), []byte("processor/map@7.1.0"))
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"the older world", old, processor.ErrOldWorld},
		{"another version", newer, processor.ErrNoOperator},
		{"no component", []byte("hello"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := processor.Load(t.Context(), rt, "guest", tt.data); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Load: %v, want %v", err, tt.want)
			}
		})
	}
}

// Modules are loaded side by side: two that wait for each other get on.
func TestLoadAll(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	modules := make([]*processor.Module, 20)
	for n := range modules {
		modules[n] = &processor.Module{}
	}
	got, errs := processor.LoadAll(len(modules), func(n int) (*processor.Module, error) {
		if n < 2 {
			both.Done()
			both.Wait()
		}
		if n == 7 {
			return nil, errors.New("seven")
		}
		return modules[n], nil
	})
	for n := range modules {
		if failed := n == 7; failed != (errs[n] != nil) || failed != (got[n] == nil) || !failed && got[n] != modules[n] {
			t.Errorf("module %d: %p, %v", n, got[n], errs[n])
		}
	}
}
