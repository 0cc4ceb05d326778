// SPDX-License-Identifier: Apache-2.0

package sdk_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func TestBytes(t *testing.T) {
	lazy, wasRead := sdktest.Buffer("from the host")
	if lazy.IsZero() || wasRead() {
		t.Error("a buffer was read by looking at it")
	}
	for _, tt := range []struct {
		name string
		b    sdk.Bytes
		want string
		zero bool
	}{
		{"zero", sdk.Bytes{}, "", true},
		{"empty text", sdk.Text(""), "", false},
		{"nil bytes", sdk.Raw(nil), "", false},
		{"text", sdk.Text("text"), "text", false},
		{"bytes", sdk.Raw([]byte{0xff}), "\xff", false},
		{"lazy", lazy, "from the host", false},
	} {
		if tt.b.String() != tt.want || string(tt.b.Bytes()) != tt.want || tt.b.IsZero() != tt.zero {
			t.Errorf("%s: %q, zero %t; want %q, %t", tt.name, tt.b, tt.b.IsZero(), tt.want, tt.zero)
		}
	}
	if !wasRead() {
		t.Error("reading a buffer went unnoticed")
	}
}

func TestProperties(t *testing.T) {
	m := &sdk.Message{}
	if v, found := m.Property("a"); found || v != "" {
		t.Errorf("property of an empty message: %q, %t", v, found)
	}
	m.SetProperty("a", "1")
	m.Properties = append(m.Properties, sdk.Property{Key: sdk.Text("b"), Value: sdk.Text("2")}, sdk.Property{Key: sdk.Text("a"), Value: sdk.Text("3")})
	if v, found := m.Property("a"); !found || v != "1" {
		t.Errorf("the first a is %q, %t", v, found)
	}
	text := func() string {
		var s []string
		for _, p := range m.Properties {
			s = append(s, p.Key.String()+"="+p.Value.String())
		}
		return strings.Join(s, " ")
	}
	m.SetProperty("a", "new")
	if got := text(); got != "a=new b=2 a=new" {
		t.Errorf("after setting a: %s", got)
	}
	m.DeleteProperty("a")
	if got := text(); got != "b=2" {
		t.Errorf("after deleting a: %s", got)
	}
}

func TestTypes(t *testing.T) {
	m, s := &sdk.Message{}, &sdk.Snapshot{}
	if got, err := sdk.AsMessage(m); got != m || err != nil {
		t.Errorf("AsMessage = %v, %v", got, err)
	}
	if got, err := sdk.AsSnapshot(s); got != s || err != nil {
		t.Errorf("AsSnapshot = %v, %v", got, err)
	}
	for want, d := range map[string]sdk.Data{"snapshot": s, "bytes": sdk.Text(""), "nothing": nil} {
		_, err := sdk.AsMessage(d)
		var e *sdk.TypeError
		if !errors.As(err, &e) || err.Error() != "unexpected input type: "+want {
			t.Errorf("AsMessage(%s): %v", want, err)
		}
	}
	if _, err := sdk.AsSnapshot(m); err == nil || err.Error() != "unexpected input type: message" {
		t.Errorf("AsSnapshot(message): %v", err)
	}
}

func TestTimestamp(t *testing.T) {
	ts := sdk.Timestamp{Secs: 1_700_000_000, Nanos: 123_456_789, Counter: 42, Node: sdk.Text("node")}
	if got, want := ts.Time(), time.Date(2023, 11, 14, 22, 13, 20, 123_456_789, time.UTC); !got.Equal(want) {
		t.Errorf("Time() = %v, want %v", got, want)
	}
	if got, want := ts.String(), "001700000000123:00042:node"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	later := ts.WithTime(ts.Time().Add(time.Second))
	if later.Secs != ts.Secs+1 || later.Nanos != ts.Nanos || later.Counter != 42 || later.Node.String() != "node" {
		t.Errorf("WithTime = %v", later)
	}
	if early := ts.WithTime(time.Unix(-1, 5)); early.Secs != 0 || early.Nanos != 0 {
		t.Errorf("WithTime before the epoch = %v", early)
	}
	order := []sdk.Timestamp{
		{}, {Nanos: 1}, {Secs: 1}, {Secs: 1, Counter: 1}, {Secs: 1, Counter: 1, Node: sdk.Text("a")}, {Secs: 1, Counter: 1, Node: sdk.Text("b")}, {Secs: math.MaxUint64},
	}
	for i, a := range order {
		for j, b := range order {
			want := min(max(i-j, -1), 1)
			if got := a.Compare(b); got != want {
				t.Errorf("(%v).Compare(%v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	c := sdk.Config{Parameters: []sdk.Parameter{
		{Key: "text", Value: "t"}, {Key: "text", Value: "second"}, {Key: "empty", Value: ""},
		{Key: "float", Value: "-1.5e3"}, {Key: "int", Value: "-7"}, {Key: "bool", Value: "true"}, {Key: "duration", Value: "1m30s"},
	}}
	if v, found := c.Lookup("text"); v != "t" || !found {
		t.Errorf("Lookup = %q, %t", v, found)
	}
	if got := c.Text("text", "x") + c.Text("empty", "x") + c.Text("missing", "x"); got != "tx" {
		t.Errorf("Text = %q", got)
	}
	if v, err := c.Required("text"); v != "t" || err != nil {
		t.Errorf("Required = %q, %v", v, err)
	}
	for _, key := range []string{"missing", "empty"} {
		if _, err := c.Required(key); err == nil || !strings.Contains(err.Error(), `parameter "`+key+`" is missing: want a value`) {
			t.Errorf("Required(%s): %v", key, err)
		}
	}
	if v, err := c.Float("float", 1); v != -1500 || err != nil {
		t.Errorf("Float = %v, %v", v, err)
	}
	if v, err := c.Int("int", 1); v != -7 || err != nil {
		t.Errorf("Int = %v, %v", v, err)
	}
	if v, err := c.Bool("bool", false); !v || err != nil {
		t.Errorf("Bool = %v, %v", v, err)
	}
	if v, err := c.Duration("duration", 1); v != 90*time.Second || err != nil {
		t.Errorf("Duration = %v, %v", v, err)
	}
	if v, err := c.Float("missing", 2.5); v != 2.5 || err != nil {
		t.Errorf("Float of a missing one = %v, %v", v, err)
	}
	if v, err := c.Float("text", 2.5); v != 2.5 || err == nil || err.Error() != `parameter "text" is "t": want a number` {
		t.Errorf("Float of text = %v, %v", v, err)
	}
	for name, err := range map[string]error{
		"an integer":    second(c.Int("float", 0)),
		"true or false": second(c.Bool("int", false)),
		"a duration":    second(c.Duration("int", 0)),
		"is missing":    second(c.Int("empty", 0)),
	} {
		var e *sdk.ParameterError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestLogger(t *testing.T) {
	env := sdktest.New()
	log := env.Host().Log.WithContext("c")
	log.Trace("t")
	log.Debug("d")
	log.Info("i")
	log.Warn("w")
	log.Error("e")
	log.Critical("c")
	var got []string
	for _, l := range env.Logs() {
		got = append(got, l.Context+"/"+l.Level.String()+"/"+l.Message)
	}
	want := []string{"c/trace/t", "c/debug/d", "c/info/i", "c/warn/w", "c/error/e", "c/critical/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMetrics(t *testing.T) {
	env := sdktest.New()
	metrics := env.Host().Metrics
	a, b := sdk.Label{Key: "a", Value: "1"}, sdk.Label{Key: "b", Value: "2"}
	count := metrics.Counter("n", a)
	both := count.With(b)
	for _, err := range []error{count.Add(1), both.Add(2), both.Add(3), metrics.Counter("n").Add(10)} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := []uint64{env.Counter("n"), env.Counter("n", a), env.Counter("n", b, a), env.Counter("n", b)}; !slices.Equal(got, []uint64{10, 1, 5, 0}) {
		t.Errorf("counters: %v", got)
	}
	h := metrics.Histogram("h").With(a)
	if err := errors.Join(h.Record(1.5), h.Record(2)); err != nil || !slices.Equal(env.Histogram("h", a), []float64{1.5, 2}) {
		t.Errorf("histogram: %v, %v", env.Histogram("h", a), err)
	}
	var refusal *sdk.MetricsError
	for _, err := range []error{h.RecordUint(1), metrics.Counter("h").Add(1), metrics.Histogram("n").Record(1)} {
		if !errors.As(err, &refusal) || !refusal.Incompatible {
			t.Errorf("a metric of another type: %v", err)
		}
	}
	if err := metrics.Histogram("u").RecordUint(7); err != nil || !slices.Equal(env.Histogram("u"), []float64{7}) {
		t.Errorf("histogram of integers: %v, %v", env.Histogram("u"), err)
	}
}
