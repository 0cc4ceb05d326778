// SPDX-License-Identifier: Apache-2.0

// Package goguests_test runs operators written in Go, as graphctl build makes them: the
// temperature operator of this repository, and one that does what Go programs do, to
// see that it either works or fails cleanly.
package goguests_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/state/memory"
	"github.com/wasm-graph/graphd/operators/build"
)

// Building and compiling an operator takes seconds, so it is done once for all tests.
var modules struct {
	standard, temperature *processor.Module
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	engine, err := wazero.New(ctx, wazero.Config{})
	if err != nil {
		panic(err)
	}
	rt, err := component.New(component.Config{Engine: engine})
	if err != nil {
		panic(err)
	}
	for dir, module := range map[string]**processor.Module{"standard": &modules.standard, "../../../operators/temperature": &modules.temperature} {
		built, err := build.Operator(ctx, dir)
		if err != nil {
			panic(err)
		}
		if *module, err = processor.Load(ctx, rt, built.Name, built.Bytes); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	for _, module := range []*processor.Module{modules.standard, modules.temperature} {
		if err := module.Close(ctx); err != nil {
			panic(err)
		}
	}
	if err := engine.Close(ctx); err != nil {
		panic(err)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// logs is what guests have logged: level, context and message, a line each.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{
		Level:       slog.LevelDebug - 4,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return drop(a, slog.TimeKey, "graph", "operation") },
	}))
}

func drop(a slog.Attr, keys ...string) slog.Attr {
	if slices.Contains(keys, a.Key) {
		return slog.Attr{}
	}
	return a
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSpace(string(line)))
	return len(line), nil
}

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, text) })
}

// open opens an operator of a kind.
func open(t testing.TB, m *processor.Module, kind operator.Kind, env processor.Environment, config operator.Config) operator.Instance {
	t.Helper()
	config.Operation, config.Kind = "guest/"+string(kind), kind
	i, err := m.Opener(config, env).Open(t.Context())
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

// ask sends a message to a map operator and returns the payload that comes back.
func ask(t testing.TB, i operator.Instance, topic, payload string) (string, error) {
	t.Helper()
	out, err := i.Map(t.Context(), &message.Message{Topic: topic, Payload: []byte(payload)})
	if err != nil {
		return "", err
	}
	return string(out.Payload), nil
}

func TestExportedKinds(t *testing.T) {
	all := []operator.Kind{operator.Accumulate, operator.Branch, operator.Delay, operator.Filter, operator.Map}
	if diff := cmp.Diff(all, modules.standard.Kinds()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]operator.Kind{operator.Accumulate, operator.Branch, operator.Filter, operator.Map}, modules.temperature.Kinds()); diff != "" {
		t.Error(diff)
	}
}

// What programs do works, or gives a clean error.
func TestStandardLibrary(t *testing.T) {
	var l logs
	i := open(t, modules.standard, operator.Map, processor.Environment{Logger: l.logger(), Deadline: 10 * time.Second}, operator.Config{})
	for _, tt := range []struct{ topic, payload, want string }{
		{"sleep", "", "slept"},
		{"goroutines", "", "4950"},
		{"files", "", "open /etc/passwd: "},
		{"environment", "", "0 0 wasip1/wasm"},
		{"network", "", "dial: dial tcp 127.0.0.1:80: "},
		{"print", "", "printed"},
		{"log", "a warning", "logged"},
		{"url", "mqtt://host:1883/a?q=b%20c", "host:1883 b c"},
		{"json", `{"b":[1,true,null],"a":"é"}`, `{"a":"é","b":[1,true,null]}`},
		{"garbage", "kept", "kept 20"},
		{"anything else", "as it was", "as it was"},
	} {
		got, err := ask(t, i, tt.topic, tt.payload)
		if err != nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.topic, got, err, tt.want)
		}
	}
	for _, want := range []string{
		`msg="on stdout"`, `msg="on stderr"`, `msg="by package log"`,
		`level=WARN msg="a warning" context=map`, `level=INFO msg="structured n=1" context=slog`,
	} {
		if !l.has(want) {
			t.Errorf("%s was not logged; there is %q", want, l.lines)
		}
	}
	if got, err := ask(t, i, "large", ""); err != nil || got != strings.Repeat("0123456789", 500_000) {
		t.Errorf("large: %d bytes, %v", len(got), err)
	}
}

func TestMessagesPassUntouched(t *testing.T) {
	i := open(t, modules.standard, operator.Map, processor.Environment{}, operator.Config{})
	at := hlc.Timestamp{Millis: 1_700_000_000_123, SubMillis: 456_789, Counter: 42, Node: "a node"}
	for _, in := range []*message.Message{
		{},
		{Time: at, Topic: "t", Payload: []byte("p"), ContentType: "c", Properties: []message.Property{{Key: "k", Value: "v"}, {Key: "k", Value: ""}}, Schema: &message.Schema{Reference: "aio-sr://s"}},
		{Time: at, Topic: "t", Payload: bytes.Repeat([]byte("large"), 100_000), Schema: &message.Schema{Name: "n", Content: "{}"}},
		{Kind: message.Snapshot, Time: at, Format: "rgb24", Width: 3, Height: 2, Payload: []byte("123456789abcdefghi")},
		{Kind: message.Raw, Payload: []byte("raw")},
		{Kind: message.Raw, Payload: bytes.Repeat([]byte{0xff}, 1_000_000)},
	} {
		out, err := i.Map(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in.Payload, out.Payload) {
			t.Errorf("kind %d: payload of %d bytes came back as %d others", in.Kind, len(in.Payload), len(out.Payload))
		}
		out.Payload = in.Payload // which go-cmp takes long to compare
		if in.Kind == message.Raw {
			out.Time = in.Time // raw bytes carry none
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Errorf("kind %d, %d bytes: %s", in.Kind, len(in.Payload), diff)
		}
	}
}

func TestErrorsAndPanics(t *testing.T) {
	var l logs
	i := open(t, modules.standard, operator.Map, processor.Environment{Logger: l.logger()}, operator.Config{})
	for topic, want := range map[string]string{
		"error":       "not today",
		"panic":       "panic: oh no",
		"nil map":     "panic: assignment to entry in nil map",
		"nil pointer": "panic: runtime error: invalid memory address or nil pointer dereference",
		"json":        "invalid character 'o' looking for beginning of value",
	} {
		_, err := ask(t, i, topic, "oh no")
		var refusal *operator.Refusal
		if !errors.As(err, &refusal) || refusal.Message != want {
			t.Errorf("%s: %v, want %s", topic, err, want)
		}
		if got, err := ask(t, i, "", "next"); err != nil || got != "next" {
			t.Errorf("after %s: %q, %v", topic, got, err)
		}
	}
	for _, want := range []string{"panic: oh no", "main.(*guest).process", "standard/main.go:"} {
		if !l.has(want) {
			t.Errorf("%q was not logged; there is %q", want, l.lines)
		}
	}
}

// What Go can't recover from ends the instance, and nothing else.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		topic string
		cause error
		log   string
	}{
		{"goroutine panic", nil, "where nobody recovers"},
		{"exit", nil, ""}, // wasi:cli/exit tells success from failure, and no more
		{"deadlock", nil, "all goroutines are asleep - deadlock!"},
		{"spin", operator.ErrDeadline, ""},
		{"recursion", nil, ""},
		{"hoard", nil, ""},
	} {
		t.Run(tt.topic, func(t *testing.T) {
			var l logs
			env := processor.Environment{Logger: l.logger(), Memory: 64 << 20, Deadline: time.Second}
			i := open(t, modules.standard, operator.Map, env, operator.Config{})
			_, err := ask(t, i, tt.topic, "")
			var refusal *operator.Refusal
			if err == nil || errors.As(err, &refusal) || tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("got %v, want a fault of cause %v", err, tt.cause)
			}
			if tt.log != "" && !l.has(tt.log) {
				t.Errorf("%q was not logged; there is %q", tt.log, l.lines)
			}
		})
	}
	i := open(t, modules.standard, operator.Map, processor.Environment{}, operator.Config{})
	if got, err := ask(t, i, "", "next"); err != nil || got != "next" {
		t.Errorf("after all that: %q, %v", got, err)
	}
}

func TestContentOfAnEarlierCall(t *testing.T) {
	i := open(t, modules.standard, operator.Map, processor.Environment{}, operator.Config{})
	for _, size := range []int{1 << 10, 1 << 20} { // bytes, and a buffer
		payload := strings.Repeat("x", size)
		if _, err := ask(t, i, "keep", payload); err != nil {
			t.Fatal(err)
		}
		got, err := ask(t, i, "kept", "")
		var refusal *operator.Refusal
		if size == 1<<10 {
			if err != nil || got != payload {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		} else if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, "an earlier call that was never read") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestInit(t *testing.T) {
	var l logs
	env := processor.Environment{Logger: l.logger()}
	for key, value := range map[string]string{"refuse": "no such unit", "panic": "yes"} {
		config := operator.Config{Kind: operator.Map, Properties: []operator.Property{{Key: key, Value: value}}}
		if _, err := modules.standard.Opener(config, env).Open(t.Context()); !errors.Is(err, operator.ErrInit) {
			t.Errorf("%s: %v", key, err)
		}
	}
	open(t, modules.standard, operator.Map, env, operator.Config{Schemas: []operator.Schema{{Name: "n", ContentType: "t", Content: "{}"}}})
	for _, want := range []string{`msg="init: no such unit"`, "init: panic: in init", `msg="schema n t {}"`} {
		if !l.has(want) {
			t.Errorf("%s was not logged; there is %q", want, l.lines)
		}
	}
}

func TestOtherKinds(t *testing.T) {
	at := hlc.Timestamp{Millis: 1_700_000_000_000, Counter: 1, Node: "n"}
	ctx := t.Context()

	f := open(t, modules.standard, operator.Filter, processor.Environment{}, operator.Config{})
	for width, want := range map[uint32]bool{3: true, 1: false} {
		pass, err := f.Filter(ctx, &message.Message{Kind: message.Snapshot, Width: width, Height: 2, Payload: []byte("x")})
		if err != nil || pass != want {
			t.Errorf("filter of width %d: %t, %v", width, pass, err)
		}
	}
	var refusal *operator.Refusal
	if _, err := f.Filter(ctx, &message.Message{}); !errors.As(err, &refusal) || refusal.Message != "unexpected input type: message" {
		t.Errorf("filter of a message: %v", err)
	}

	b := open(t, modules.standard, operator.Branch, processor.Environment{}, operator.Config{})
	for counter, want := range map[uint64]bool{1: true, 2: false} {
		arm, err := b.Branch(ctx, hlc.Timestamp{Counter: counter}, &message.Message{Payload: bytes.Repeat([]byte("x"), 10_000)})
		if err != nil || arm != want {
			t.Errorf("branch at %d: %t, %v", counter, arm, err)
		}
	}
	if _, err := b.Branch(ctx, hlc.Timestamp{Node: "panic"}, &message.Message{}); !errors.As(err, &refusal) || refusal.Message != "panic: at a branch" {
		t.Errorf("branch that panics: %v", err)
	}

	d := open(t, modules.standard, operator.Delay, processor.Environment{}, operator.Config{})
	until, err := d.Delay(ctx, &message.Message{}, at)
	if want := (hlc.Timestamp{Millis: at.Millis + 90_000, Counter: 1, Node: "n"}); err != nil || until != want {
		t.Errorf("delay until %v, %v; want %v", until, err, want)
	}
	own := hlc.Timestamp{Millis: 5, SubMillis: 6, Counter: 7, Node: "own"}
	if until, err = d.Delay(ctx, &message.Message{Time: own, Payload: []byte("message time")}, at); err != nil || until != own {
		t.Errorf("delay until %v, %v; want %v", until, err, own)
	}

	a := open(t, modules.standard, operator.Accumulate, processor.Environment{}, operator.Config{})
	staged := &message.Message{Time: at}
	for range 2 {
		var batch []*message.Message
		for n := range 64 {
			batch = append(batch, &message.Message{Topic: fmt.Sprint("t", n), Payload: fmt.Append(nil, n)})
		}
		if staged, err = a.Accumulate(ctx, staged, batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(staged.Payload); strings.Count(got, ";") != 128 || !strings.HasSuffix(got, "62;63;") || staged.Topic != "t63" || staged.Time != at {
		t.Errorf("accumulated %q, topic %s, time %v", got, staged.Topic, staged.Time)
	}
}

// Time and randomness are those of the host.
func TestTimeAndRandomness(t *testing.T) {
	env := func() processor.Environment {
		clock := uint64(0)
		return processor.Environment{
			Now:       func() time.Time { return time.Date(2031, 5, 17, 1, 2, 3, 4_000_000, time.UTC) },
			Monotonic: func() uint64 { return clock },
			Wait:      func(_ context.Context, until uint64) error { clock = max(clock, until); return nil },
			Random:    rand.NewChaCha8([32]byte{1}),
			Deadline:  time.Minute,
		}
	}
	var answers [2][]string
	for n := range answers {
		i := open(t, modules.standard, operator.Map, env(), operator.Config{})
		for _, topic := range []string{"now", "random", "random", "sleep"} {
			got, err := ask(t, i, topic, "")
			if err != nil {
				t.Fatalf("%s: %v", topic, err)
			}
			answers[n] = append(answers[n], got)
		}
	}
	if want := "2031-05-17T01:02:03.004Z"; answers[0][0] != want {
		t.Errorf("the time is %s, want %s", answers[0][0], want)
	}
	if answers[0][1] == answers[0][2] {
		t.Errorf("random twice is %s", answers[0][1])
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("equal hosts, different answers: %s", diff)
	}
}

func TestStore(t *testing.T) {
	clock := hlc.NewClock(hlc.Config{Now: time.Now, Node: "test"})
	store := memory.New(memory.Config{Clock: clock, Now: time.Now})
	i := open(t, modules.standard, operator.Map, processor.Environment{State: store}, operator.Config{})
	got, err := ask(t, i, "store", "")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`get "" false false <nil>`,
		`set 1 true <nil>`,
		`set 2 false <nil>`,
		`set 3 false <nil>`,
		`set 4 true <nil>`,
		`get "4" true true <nil>`,
		`set 5 true <nil>`,
		`set 6 false state store: a fencing token is required for this request`,
		`vdel -1 <nil>`,
		`del 0 state store: a fencing token is required for this request`,
		`vdel 1 <nil>`,
		`get "" false false <nil>`,
	}, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	i := open(t, modules.standard, operator.Map, processor.Environment{Meter: meter}, operator.Config{})
	if _, err := ask(t, i, "metrics", ""); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			got[m.Name] = fmt.Sprint(d.DataPoints[0].Value, labels(d.DataPoints[0].Attributes))
		case metricdata.Histogram[float64]:
			got[m.Name] = fmt.Sprint(d.DataPoints[0].Sum, labels(d.DataPoints[0].Attributes))
		case metricdata.Histogram[int64]:
			got[m.Name] = fmt.Sprint(d.DataPoints[0].Sum, labels(d.DataPoints[0].Attributes))
		default:
			got[m.Name] = fmt.Sprintf("%T", d)
		}
	}
	want := map[string]string{"count": "5 k=v", "floats": "1.5", "integers": "7 k=v"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func labels(s attribute.Set) string {
	if v, ok := s.Value("k"); ok {
		return " k=" + v.AsString()
	}
	return ""
}

func TestTemperature(t *testing.T) {
	i := open(t, modules.temperature, operator.Map, processor.Environment{}, operator.Config{})
	for payload, want := range map[string]string{
		`{"temperature":{"value":100.0,"unit":"F"}}`: `{"temperature":{"value":37.77777777777778,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`,
		`{"temperature":{"value":1209,"unit":"F"}}`:  `{"temperature":{"value":653.8888888888889,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"C","overtemp":false}}`,
	} {
		if got, err := ask(t, i, "sensor/temperature/raw", payload); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", payload, got, err, want)
		}
	}
	var refusal *operator.Refusal
	for _, payload := range []string{"", "no JSON", strings.Repeat("x", 10<<20)} {
		if _, err := ask(t, i, "", payload); !errors.As(err, &refusal) || refusal.Message != "Failed to parse payload as JSON" {
			t.Errorf("%d bytes that are no JSON: %v", len(payload), err)
		}
	}
}

// Every call allocates, in a heap that the host never sees the inside of. It must not
// grow.
func TestManyCalls(t *testing.T) {
	i := open(t, modules.temperature, operator.Map, processor.Environment{Memory: 32 << 20}, operator.Config{})
	payload := `{"temperature":{"value":100.0,"unit":"F"}}` + strings.Repeat(" ", 10_000) // a buffer
	for range 5_000 {
		if _, err := ask(t, i, "sensor/temperature/raw", payload); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkTemperature(b *testing.B) {
	i := open(b, modules.temperature, operator.Map, processor.Environment{}, operator.Config{})
	in := &message.Message{Topic: "sensor/temperature/raw", Payload: []byte(`{"temperature":{"value":100.0,"unit":"F"}}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Map(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
